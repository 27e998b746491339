"""The search for the highest acquisition over the true mixed space: no rounding afterwards, no relaxation.

A finite space of few configurations is scored whole. Else random rows and mutants of the best trials are
scored, and the best of them are improved by moving one parameter at a time, every coordinate in each round, continuous
ones at shrinking distances: Hutter et al. 2011, "Sequential model-based optimization for general algorithm
configuration", sec. 4.3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from greyhound.samplers.cube import Cube

if TYPE_CHECKING:
    from greyhound.numeric.gp import Floats

_WHOLE = 2000
_STARTS = 5
_ROUNDS = 8
_RETURNED = 64


def maximise(
    score: Callable[[Floats], Floats], cube: Cube, anchors: Floats, rng: np.random.Generator, candidates: int
) -> Floats:
    """Snapped, allowed rows of high score, best first; at least one. anchors: rows whose surroundings are looked at."""
    whole = cube.everything(_WHOLE)
    if whole is not None:
        return whole[np.argsort(-score(whole), kind="stable")]
    parts = [cube.random(rng, candidates)]
    if len(anchors):
        mutants = cube.mutants(anchors, rng, candidates // 2)
        parts.append(mutants[cube.allowed(mutants)])
    rows = np.concatenate(parts)
    scores = score(rows)
    best = np.argsort(-scores, kind="stable")
    pool, pool_scores = [rows[best[:_RETURNED]]], [scores[best[:_RETURNED]]]
    current, heights = rows[best[:_STARTS]], scores[best[:_STARTS]]
    for _ in range(_ROUNDS):
        blocks = [cube.neighbours(row, rng) for row in current]
        near = np.concatenate(blocks)
        if not len(near):
            break
        found = score(near)
        pool.append(near)
        pool_scores.append(found)
        ends = np.cumsum([len(block) for block in blocks])
        better = False
        for at, (end, block) in enumerate(zip(ends, blocks, strict=True)):
            if not len(block):
                continue
            top = end - len(block) + int(np.argmax(found[end - len(block) : end]))
            if found[top] > heights[at] + 1e-9:
                current[at], heights[at], better = near[top], found[top], True
        if not better:
            break
    rows, scores = np.concatenate(pool), np.concatenate(pool_scores)
    return rows[np.argsort(-scores, kind="stable")[: 4 * _RETURNED]]
