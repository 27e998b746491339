"""FGM(1,1): GM(1,1) on a running sum of fractional order, which weighs recent values more than old ones.

Source: Wu, Liu, Yao, Yan & Liu, Grey system model with the fractional order accumulation, Communications in Nonlinear
Science and Numerical Simulation 18, 2013.
"""

from __future__ import annotations

import math

import numpy as np

from greyhound.errors import GreyError
from greyhound.grey.base import Model, Series, background, least_squares, response, running_sum

_ORDERS = np.linspace(0.1, 2.0, 20)
_NARROWINGS = 16
_GOLDEN = (math.sqrt(5) - 1) / 2


class FGM11(Model):
    """FGM(1,1): ΔX⁽ʳ⁾(k) + a z⁽ʳ⁾(k) = b on the running sum of order r; `order` 1 is GM(1,1).

    Without `order` the one from 0.1 to 2 whose curve has the smallest mean absolute residual is found, by a grid and
    a golden-section search in its best cell; for a constant series it is 1. With another order a constant series is
    not reproduced, as its sum of that order is not a line. After `fit`: `r`, `a`, `b`.
    """

    least = 4
    r: float
    a: float
    b: float

    def __init__(self, order: float | None = None) -> None:
        if order is not None and not (isinstance(order, int | float | np.integer | np.floating) and 0 < order <= 2):
            raise GreyError(f"order: expected a number above 0 and up to 2, or None to find it; got {order!r}.")
        self.order = order

    def _estimate(self, x: Series) -> None:
        self.r = _best_order(x) if self.order is None else float(self.order)
        self.a, self.b = _coefficients(x, self.r)

    def _course(self, count: int) -> Series:
        return _curve(self.series[0], self.r, self.a, self.b, count)


def _coefficients(x: Series, order: float) -> tuple[float, float]:
    X = running_sum(x, order)
    z = background(X)
    a, b = least_squares([-z, np.ones_like(z)], np.diff(X))
    return a, b


def _curve(first: float, order: float, a: float, b: float, count: int) -> Series:
    values = running_sum(response(first, a, b, np.arange(float(count))), -order)
    values[0] = first
    return values


def _best_order(x: Series) -> float:
    def error(order: float) -> float:
        a, b = _coefficients(x, order)
        found = float(np.abs(_curve(x[0], order, a, b, len(x)) - x).mean())
        return found if math.isfinite(found) else math.inf

    errors = [error(order) for order in _ORDERS]
    best = int(np.argmin(errors))
    low, high = _ORDERS[max(best - 1, 0)], _ORDERS[min(best + 1, len(_ORDERS) - 1)]
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    left_error, right_error = error(left), error(right)
    for _ in range(_NARROWINGS):
        if left_error <= right_error:
            high, right, right_error = right, left, left_error
            left = high - _GOLDEN * (high - low)
            left_error = error(left)
        else:
            low, left, left_error = left, right, right_error
            right = low + _GOLDEN * (high - low)
            right_error = error(right)
    found = float(left if left_error <= right_error else right)
    return found if min(left_error, right_error) <= errors[best] else float(_ORDERS[best])
