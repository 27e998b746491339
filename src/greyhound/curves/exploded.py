"""Losses that exploded but are finite: among others they would be all that a spread, a mean or a square tells of.

What lies further above the upper quartile than three times the way from there down to the best, and than three times
the quartile's own size, has exploded, and counts as the worst loss of that step that has not. The way down stands where
Tukey has the distance of the quartiles, which is zero on a plateau, so that the few that leave one would be outliers;
the size keeps what is only as bad as a training that learned nothing. Nor does anything count that lies below the bound
of an earlier step, as untrained models are no explosion either.

Source: Tukey 1977, "Exploratory data analysis", ch. 2, for fences beyond the quartiles.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

_FAR_OUT = 3.0
_LARGEST = 1e100
"""The size above which squares would overflow."""


def tamed(curves: Floats, known: Floats) -> tuple[Floats, Floats]:
    """Both as they are where nothing exploded. curves: (m, n), known: (k, T), k >= 0, T >= n, losses, finite.

    Steps behind the n-th are judged by those known curves that had not exploded by then.
    """
    n = curves.shape[1]
    here = np.concatenate([curves, known[:, :n]])
    bounds = _bounds(here, -np.inf)
    worst = _worst(here, bounds)
    calm = known[known[:, n - 1] <= bounds[-1], n:]
    later = _worst(calm, _bounds(calm, bounds[-1])) if calm.size else np.full(known.shape[1] - n, worst[-1])
    return np.clip(curves, -_LARGEST, worst), np.clip(known, -_LARGEST, np.concatenate([worst, later]))


def _bounds(losses: Floats, least: float) -> Floats:
    """What a loss that has not exploded may be at each step, (n,), at least `least`. losses: (m, n), m >= 1."""
    high = np.quantile(losses, 0.75, axis=0)
    with np.errstate(over="ignore"):
        bounds = high + _FAR_OUT * np.maximum(high - losses.min(axis=0), np.abs(high))
    return np.maximum.accumulate(np.maximum(bounds, least))


def _worst(losses: Floats, bounds: Floats) -> Floats:
    """The highest loss of each step that has not exploded, (n,)."""
    return np.asarray(np.minimum(np.where(losses <= bounds, losses, -np.inf).max(axis=0), _LARGEST))
