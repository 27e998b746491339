"""GM(1,1), the grey model of first order in one variable: a short series as an exponential.

    x(k) + a z(k) = b,  z(k) = α X(k−1) + (1 − α) X(k)

by least squares, then the solution of dX/dt + a X = b through X(1) = x(1), then differences.
−a is the rate of growth: up to 0.3 good for medium-term forecasts, up to 0.5 for short ones, above 1 unusable.

Source: Deng 1982, and Introduction to grey system theory, Journal of Grey System 1, 1989; the limits of a: Liu & Lin
2006, section on the range of GM(1,1).
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from greyhound.errors import GreyError
from greyhound.grey.base import Model, Series, background, least_squares, phi1

_HALVINGS = 50
_CANCELS_BELOW = 1e-4


class GM11(Model):
    """GM(1,1); `background` is the weight α of the older value, or "optimal".

    After `fit`: `a` (development coefficient), `b` (grey input), `weight` (the α used). A constant series has a = 0
    and is continued as it is.

    α = 1/2 is Deng's. The optimal α = 1/a − 1/(eᵃ − 1) is that for which z(k) is the integral of X over the step where
    X is an exponential, which makes the equation exact for one; α and a are solved for together. Background values as
    integrals: Tan, The structure method and application of background value in grey system GM(1,1) model, Systems
    Engineering — Theory & Practice 20, 2000.
    """

    least = 3
    a: float
    b: float
    weight: float

    def __init__(self, background: float | Literal["optimal"] = 0.5) -> None:
        given = background if background != "optimal" else 0.5
        if not isinstance(given, int | float) or not 0 <= given <= 1:
            raise GreyError(f'background: expected a weight from 0 to 1 or "optimal"; got {background!r}.')
        self.background = background

    def _estimate(self, x: Series) -> None:
        self.weight = _optimal_weight(x) if self.background == "optimal" else float(self.background)
        self.a, self.b = _coefficients(x, self.weight)

    def _course(self, count: int) -> Series:
        first = float(self.series[0])
        second = self.b * float(phi1(self.a)) - first * np.expm1(self.a)
        later = second * np.exp(-self.a * np.arange(1, count))  # (1 − eᵃ)(x(1) − b/a) e^(−ak), also at a = 0
        return np.concatenate([[first], later])


def _coefficients(x: Series, weight: float) -> tuple[float, float]:
    z = background(np.cumsum(x), weight)
    a, b = least_squares([-z, np.ones_like(z)], x[1:])
    return a, b


def _exact_weight(a: float) -> float:
    """α = 1/a − 1/(eᵃ − 1), between 0 and 1; 1/2 − a/12 where that cancels."""
    if abs(a) < _CANCELS_BELOW:
        return 0.5 - a / 12
    if a > 700:
        return 1 / a
    return 1 / a - 1 / math.expm1(a)


def _optimal_weight(x: Series) -> float:
    """The α that is exact for the a that it leads to: the root of exact(a(α)) − α in [0, 1], by bisection."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _exact_weight(_coefficients(x, middle)[0]) > middle:
            low = middle
        else:
            high = middle
    return (low + high) / 2
