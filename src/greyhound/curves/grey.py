"""Grey models of learning curves, fitted to many curves at once.

The same models as in `greyhound.grey.curves`, which forecasts one curve and takes milliseconds for it: GM(1,1) of the
newest increments, NDGM and Verhulst of the newest values, FGM(1,1) of the distance to a level out of reach. Here the
least squares of all curves are solved together, by their normal equations, and the order of FGM(1,1) is one of a few.

Source: as in `greyhound.grey.gm`, `discrete`, `verhulst` and `fractional`.
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
_LOGISTIC_RIDGE = 1e-13
_MOST_GROWTH = 5.0
_MOST_EXPONENT = 50.0
_OUT_OF_REACH = 0.3
ORDERS = (0.1, 0.25, 0.5, 0.75, 1.0)
"""Of the running sums that FGM(1,1) tries on each curve."""


def gm11(rising: Floats, ahead: int) -> Floats:
    """GM(1,1) of the newest increments of curves that rise on the whole: their next values, (m, ahead).

    rising: (m, n), n >= 4, finite, oldest first.
    """
    x = np.diff(newest(rising), axis=1)
    a, b = _whitened(np.cumsum(x, axis=1))
    second = b * phi1(a) - x[:, :1] * np.expm1(a)
    k = np.arange(x.shape[1], x.shape[1] + ahead)
    following = np.maximum(second * np.exp(_bounded(-a * k)), 0.0)
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


def verhulst(rising: Floats, ahead: int) -> Floats:
    """The logistic curve through the newest values, run on from the last one: the next values, (m, ahead).

    rising: (m, n), n >= 4, finite; units do not matter, as they are moved to begin as far above zero as they reach. A
    curve that would run to infinity stays at its last value.
    """
    x = newest(rising)
    x = x - (2.0 * x.min(axis=1, keepdims=True) - x.max(axis=1, keepdims=True))
    scale = np.abs(x).max(axis=1, keepdims=True) + 1e-300
    x = x / scale
    z, change = (x[:, 1:] + x[:, :-1]) / 2.0, np.diff(x, axis=1)
    s2, s3, s4 = ((z**power).sum(axis=1, keepdims=True) for power in (2, 3, 4))
    t1, t2 = ((z**power * change).sum(axis=1, keepdims=True) for power in (1, 2))
    determinant = s2 * s4 * (1.0 + _LOGISTIC_RIDGE) - s3 * s3 + 1e-300
    a = np.clip((s3 * t2 - s4 * t1) / determinant, -_MOST_GROWTH, _MOST_GROWTH)
    b = (s2 * t2 - s3 * t1) / determinant
    k = np.arange(float(x.shape[1] + ahead))
    exponent = _bounded(a * k)
    share = np.exp(exponent) - b * x[:, :1] * k * phi1(exponent)
    pole = (share <= 0.0).any(axis=1, keepdims=True)
    course = x[:, :1] / np.where(pole, 1.0, share)
    here = x.shape[1]
    return np.asarray(rising[:, -1:] + np.where(pole, 0.0, scale * (course[:, here:] - course[:, here - 1 : here])))


def fgm(rising: Floats, ahead: int) -> Floats:
    """FGM(1,1) of the distance to a level 30 % of the way so far above the highest value: the next values, (m, ahead).

    rising: (m, n), n >= 4, finite. Of ORDERS each curve gets the one with the smallest mean absolute residual.
    """
    top = rising.max(axis=1, keepdims=True)
    distance = top + _OUT_OF_REACH * (top - rising.min(axis=1, keepdims=True)) - rising
    n = distance.shape[1]
    k = np.arange(float(n + ahead))
    best, fitted = np.full((len(distance), 1), np.inf), np.zeros((len(distance), n + ahead))
    for order in ORDERS:
        a, b = _whitened(_accumulated(distance, order))
        exponent = _bounded(-a * k)
        course = _accumulated(distance[:, :1] * np.exp(exponent) + b * k * phi1(exponent), -order)
        error = np.abs(course[:, :n] - distance).mean(axis=1, keepdims=True)
        fitted = np.where(error < best, course, fitted)
        best = np.minimum(error, best)
    left = np.minimum.accumulate(np.clip(fitted[:, n:], 0.0, distance[:, -1:]), axis=1)
    return np.asarray(rising[:, -1:] + np.maximum(fitted[:, n - 1 : n] - left, 0.0))


def _whitened(X: Floats) -> tuple[Floats, Floats]:
    """a and b, (m, 1) each, of ΔX(k) + a z(k) = b, by least squares. X: (m, n), running sums."""
    z, x = (X[:, 1:] + X[:, :-1]) / 2.0, np.diff(X, axis=1)
    z_mean, x_mean = z.mean(axis=1, keepdims=True), x.mean(axis=1, keepdims=True)
    squares = ((z - z_mean) ** 2).sum(axis=1, keepdims=True) + _RIDGE * (z * z).sum(axis=1, keepdims=True) + 1e-300
    a = -((z - z_mean) * (x - x_mean)).sum(axis=1, keepdims=True) / squares
    a = np.clip(a, -_MOST_GROWTH, _MOST_GROWTH)
    return a, x_mean + a * z_mean


def _accumulated(x: Floats, order: float) -> Floats:
    """Running sums of fractional order of each row, as `greyhound.grey.base.accumulate`; by Fourier transforms."""
    n = x.shape[1]
    lags = np.arange(1.0, n)
    weights = np.cumprod(np.concatenate([[1.0], (lags - 1.0 + order) / lags]))
    length = 2 * n
    return np.asarray(np.fft.irfft(np.fft.rfft(x, length) * np.fft.rfft(weights, length), length)[:, :n])


def _bounded(exponent: Floats) -> Floats:
    return np.clip(exponent, -_MOST_EXPONENT, _MOST_EXPONENT)


def newest(curves: Floats) -> Floats:
    """The newest 60 % of curves, at least five values: the steep beginning says little about the end."""
    return curves[:, -max(_FEWEST_NEWEST, round(_NEWEST * curves.shape[1])) :]


GREY: Mapping[str, Callable[[Floats, int], Floats]] = {"gm11": gm11, "ndgm": ndgm, "verhulst": verhulst, "fgm": fgm}
"""From curves that rise, (m, n), to their next values, (m, ahead), by name."""
