"""All families together: what each expects of a curve, and their average by evidence.

What speaks for a family is how well it would have forecast, from the first two thirds of the curve, the rest of it;
and, where other curves of the study went on to the step in question, how well it would have forecast those from as many
steps. Both count as a Laplace likelihood with its scale at the highest. Nobody is believed to be exact, and a
forecast keeps to the range of the curve's newest part: it turns back by a tenth of it and goes on by the whole at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from greyhound.curves import grey
from greyhound.curves.families import PARAMETRIC, fitted

Floats: TypeAlias = NDArray[np.float64]

FAMILIES = ("last", *PARAMETRIC, *grey.GREY)
"""All families by name; "last" repeats the last value."""
_PRIOR = {"last": 3.0, "gm11": 3.0, "ndgm": 1.0, "exponential": 1.0}
_USUAL_PRIOR = 0.3
_BACK = 0.1
_OWN = 2.0
"""What a curve's own past counts, in curves that were seen to their end."""
_INEXACT = 0.02
"""An error that is always to be expected, in ranges of the curves."""


@dataclass(frozen=True)
class Average:
    """mean, std: (m, h), of the curves. known: (k, h), the same mean for curves whose course is known."""

    mean: Floats
    std: Floats
    known: Floats


def expected(curves: Floats, steps: Floats, families: Sequence[str] = FAMILIES) -> Floats:
    """What each family expects, (families, m, h).

    curves: (m, n), finite, values after steps 1 to n. steps: (h,), whole, rising, above n. Grey models say what "last"
    says of curves that are too short for them.
    """
    n = curves.shape[1]
    third = max(1, n // 3)
    falls = curves[:, -third:].mean(axis=1) < curves[:, :third].mean(axis=1)
    rising = np.where(falls[:, None], -1.0, 1.0) * curves
    last = rising[:, -1:]
    way = np.ptp(grey.newest(curves), axis=1)[:, None]
    weights = np.arange(1.0, n + 1.0) / n
    weights[: min(1, n - 2)] = 0.0  # the first step says nothing of the last
    found = np.empty((len(families), len(curves), len(steps)))
    for at, family in enumerate(families):
        if n < 2 or family == "last" or (family in grey.GREY and n < grey.LEAST):
            found[at] = last
        elif family in grey.GREY:
            found[at] = grey.GREY[family](rising, int(steps[-1]) - n)[:, steps.astype(np.intp) - n - 1]
        else:
            found[at] = fitted(family, rising, weights, steps)
    found = np.clip(found, last - _BACK * way, grey.newest(rising).max(axis=1)[:, None] + way)
    return np.where(falls[:, None], -found, found)


def average(curves: Floats, steps: Floats, known: Floats, families: Sequence[str] = FAMILIES) -> Average:
    """The families' average by evidence.

    curves, steps: as for `expected`. known: (k, T), k >= 0, other curves, finite, that reached the last of the steps.
    """
    each = expected(curves, steps, families)
    own = _back_test(curves, families)
    floor = _INEXACT * _ranges(curves)
    evidence = np.log([_PRIOR.get(family, _USUAL_PRIOR) for family in families])[:, None, None] + np.zeros(each.shape)
    evidence -= _OWN * np.log(own + floor)[:, :, None]
    theirs = np.empty((len(families), 0, len(steps)))
    if len(known):
        theirs = expected(known[:, : curves.shape[1]], steps, families)
        errors = np.abs(theirs - known[:, steps.astype(np.intp) - 1])
        evidence -= len(known) * np.log(errors.mean(axis=1) + 1e-3 * errors.mean() + 1e-12)[:, None, :]
    weight = np.exp(evidence - evidence.max(axis=0))
    weight /= weight.sum(axis=0)
    mean = (weight * each).sum(axis=0)
    between = (weight * (each - mean) ** 2).sum(axis=0)
    std = np.sqrt(between + _alone(curves, steps, floor) ** 2)
    return Average(mean, std, (weight.mean(axis=1)[:, None, :] * theirs).sum(axis=0))


def _alone(curves: Floats, steps: Floats, floor: Floats) -> Floats:
    """By how much a curve may still move, (m, h), judged by itself: like a random walk over log steps."""
    n = curves.shape[1]
    changes = np.abs(np.diff(curves, axis=1)) if n > 1 else np.zeros((len(curves), 1))
    change = changes[:, -max(1, n // 2) :].mean(axis=1)
    return np.asarray((change + floor)[:, None] * np.sqrt(np.log1p(steps - n) / np.log(2.0)))


def _back_test(curves: Floats, families: Sequence[str]) -> Floats:
    """Mean absolute error of each family on the newest third of each curve, (families, m); all alike if too short."""
    n = curves.shape[1]
    cut = n - max(1, n // 3)
    if cut < 3:
        return np.ones((len(families), len(curves)))
    ahead = np.arange(cut + 1.0, n + 1.0)
    return np.asarray(np.abs(expected(curves[:, :cut], ahead, families) - curves[:, cut:]).mean(axis=2))


def _ranges(curves: Floats) -> Floats:
    """How large differences are among these curves, (m,), above zero."""
    last = curves[:, -1]
    return np.asarray(np.maximum(np.ptp(curves, axis=1), last.std()) + 1e-9 * (1.0 + np.abs(last)))
