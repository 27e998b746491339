"""Trials compared after the same number of steps, by one objective or by several.

Several objectives: by non-dominated fronts, and within a front by an epsilon net, so that the first of a front lie
far apart on it.

Source: Deb et al. 2002, "NSGA-II", section III-A (fronts); Schmucker et al. 2021,
"Multi-objective asynchronous successive halving", arXiv 2106.12639 (halving by fronts and an epsilon net).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from greyhound.history import History

    Floats = NDArray[np.float64]


def ranked(history: History, step: int, among: Iterable[int] | None = None) -> list[int]:
    """Numbers of the trials that reported `step` steps or more, the best at that step first; ties go to the older.

    among: only these trials; None for all.
    """
    first = history.losses_at(step)
    numbers = range(len(first)) if among is None else sorted(among)
    reached = [number for number in numbers if not math.isnan(first[number])]
    if len(history.objectives) <= 1:
        return sorted(reached, key=first.__getitem__)
    columns = [history.losses_at(step, objective) for objective in range(len(history.objectives))]
    return [reached[at] for at in order([[column[number] for column in columns] for number in reached])]


def order(losses: Sequence[Sequence[float]]) -> list[int]:
    """Places of points of several losses, the best first: front after front, each spread out from its start.

    losses: n points of m losses to minimise; infinite ones count as the worst.
    """
    import numpy as np

    if not len(losses):
        return []
    points = _unit(np.asarray(losses, float))
    no_worse = np.all([column[:, None] <= column for column in points.T], axis=0)
    dominates = no_worse & ~no_worse.T
    above = dominates.sum(axis=0)
    placed: list[int] = []
    while len(placed) < len(points):
        front = np.flatnonzero(above == 0)
        placed += [int(front[at]) for at in _spread(points[front])]
        above = above - dominates[front].sum(axis=0)
        above[front] = -1
    return placed


def _spread(points: Floats) -> list[int]:
    """Farthest first from the best in the first loss, places of the points."""
    import numpy as np

    chosen = [int(np.argmin(points[:, 0]))]
    gaps = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < len(points):
        gaps[chosen] = -1.0
        chosen.append(int(np.argmax(gaps)))
        gaps = np.minimum(gaps, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return chosen


def _unit(losses: Floats) -> Floats:
    """Each loss brought to [0, 1], infinite ones to 1."""
    import numpy as np

    finite = np.isfinite(losses)
    low = np.where(finite, losses, np.inf).min(axis=0)
    high = np.where(finite, losses, -np.inf).max(axis=0)
    known = np.isfinite(low) & np.isfinite(high)
    low, high = np.where(known, low, 0.0), np.where(known, high, 0.0)
    shown = np.where(finite, losses, high + (high - low) + 1.0)
    span = shown.max(axis=0) - low
    return np.asarray((shown - low) / np.where(span > 0, span, 1.0))
