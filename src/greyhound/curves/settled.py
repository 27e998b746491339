"""What finished trainings have come to, beneath the noise of their last step.

The last value of a noisy curve is partly luck, and of many the best is mostly so. Simple exponential smoothing takes
the level of the curve instead: what the newest steps say, each less than the next. How fast it forgets is chosen by
what would have foretold the next step best, over the second half of all curves together: where they still move by more
than their noise nothing is smoothed.

Source: Gardner 1985, "Exponential smoothing: the state of the art", section 3.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from greyhound.curves.exploded import tamed

Floats: TypeAlias = NDArray[np.float64]

_NEWEST = (1.0, 0.7, 0.5, 0.35, 0.25, 0.18, 0.12, 0.08)
"""Shares of the newest step in the level; with 1 nothing is smoothed."""
_LEAST_ERRORS = 20
"""Nothing is smoothed where fewer steps could be foretold."""
_TINY = 1e-12


def settled(curves: Floats) -> Floats:
    """The level of each curve at its end, (k,), in the curves' units.

    curves: (k, T), losses, finite, NaN behind their ends. One that exploded has no say in how fast to forget.
    """
    there = np.isfinite(curves)
    lengths = there.sum(axis=1)
    rows, half = np.arange(len(curves)), np.maximum(lengths // 2, 1)
    foretold = there & (np.arange(curves.shape[1]) >= half[:, None])
    counts = foretold.sum(axis=1)
    last = curves[rows, lengths - 1]
    if counts.sum() < _LEAST_ERRORS:
        return np.asarray(last)
    calm, _ = tamed(np.where(there, curves, last[:, None]), curves[:0])
    first = int(half.min())
    floor = _TINY * float(np.var(calm)) + np.finfo(float).tiny
    errors = []
    for share in _NEWEST:
        squares = np.where(foretold[:, first:], (_levels(calm, share)[:, first - 1 : -1] - calm[:, first:]) ** 2, 0.0)
        errors.append(np.log(squares.sum(axis=1) / np.maximum(counts, 1) + floor).mean())
    return np.asarray(_levels(curves, _NEWEST[int(np.argmin(errors))])[rows, lengths - 1])


def _levels(curves: Floats, share: float) -> Floats:
    """Of each curve after each step, (k, T). share: of the newest step in the level."""
    return np.asarray(lfilter([share], [1.0, share - 1.0], curves, axis=1, zi=(1.0 - share) * curves[:, :1])[0])
