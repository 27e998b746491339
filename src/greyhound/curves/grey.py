"""Grey models of learning curves, fitted to many curves at once.

The same models as in `greyhound.grey.curves`, which forecasts one curve and takes about a millisecond for it: GM(1,1)
of the newest increments, which die out by a constant factor a step, and NDGM of the newest values, a level plus an
exponential. Here the least squares of all curves are solved together, by their normal equations.

Source: as in `greyhound.grey.gm` and `greyhound.grey.discrete`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from greyhound.grey.base import phi1

Floats: TypeAlias = NDArray[np.float64]

LEAST = 4
"""Values that a curve needs."""
_NEWEST = 0.6
_FEWEST_NEWEST = 5
_RIDGE = 1e-9
_MOST_GROWTH = 5.0


def gm11(rising: Floats, ahead: int) -> Floats:
    """GM(1,1) of the newest increments of curves that rise on the whole: their next values, (m, ahead).

    rising: (m, n), n >= 4, finite, oldest first.
    """
    x = np.diff(newest(rising), axis=1)
    X = np.cumsum(x, axis=1)
    z = (X[:, 1:] + X[:, :-1]) / 2.0
    z_mean, y_mean = z.mean(axis=1, keepdims=True), x[:, 1:].mean(axis=1, keepdims=True)
    squares = ((z - z_mean) ** 2).sum(axis=1, keepdims=True) + _RIDGE * (z * z).sum(axis=1, keepdims=True) + 1e-300
    a = -((z - z_mean) * (x[:, 1:] - y_mean)).sum(axis=1, keepdims=True) / squares
    a = np.clip(a, -_MOST_GROWTH, _MOST_GROWTH)
    second = (y_mean + a * z_mean) * phi1(a) - x[:, :1] * np.expm1(a)
    k = np.arange(x.shape[1], x.shape[1] + ahead)
    following = np.maximum(second * np.exp(np.clip(-a * k, -50.0, 50.0)), 0.0)
    return np.asarray(rising[:, -1:] + np.cumsum(np.minimum.accumulate(following, axis=1), axis=1))


def ndgm(rising: Floats, ahead: int) -> Floats:
    """NDGM of the newest values, run on from the last one: the next values, (m, ahead).

    rising: (m, n), n >= 4, finite. A growth factor outside of [0, 1] is drawn to it.
    """
    x = newest(rising)
    origin = x[:, :1]
    x = x - origin
    count, length = x.shape
    X = np.cumsum(x, axis=1)
    design = np.ones((count, length - 1, 3))
    design[:, :, 0], design[:, :, 1] = X[:, :-1], np.arange(1.0, length)
    scale = np.abs(design).max(axis=1) + 1e-300
    design /= scale[:, None]
    turned = design.transpose(0, 2, 1)
    beta = np.linalg.solve(turned @ design + _RIDGE * np.eye(3), turned @ X[:, 1:, None])[:, :, 0] / scale
    growth, slope = np.clip(beta[:, 0], 0.0, 1.0), beta[:, 1]
    course = np.empty((count, ahead))
    value = x[:, -1]
    for at in range(ahead):
        value = growth * value + slope
        course[:, at] = value
    return origin + course


def newest(curves: Floats) -> Floats:
    """The newest 60 % of curves, at least five values: the steep beginning says little about the end."""
    return curves[:, -max(_FEWEST_NEWEST, round(_NEWEST * curves.shape[1])) :]


GREY: Mapping[str, Callable[[Floats, int], Floats]] = {"gm11": gm11, "ndgm": ndgm}
"""From curves that rise, (m, n), to their next values, (m, ahead), by name."""
