"""The grey Verhulst model: a series that saturates, as a logistic curve.

Source: Deng 1989; Liu & Lin 2006, section on the grey Verhulst model; the logistic curve: Verhulst 1838.
"""

from __future__ import annotations

import numpy as np

from greyhound.errors import GreyError
from greyhound.grey.base import Model, Series, background, least_squares, phi1


class Verhulst(Model):
    """Grey Verhulst: ΔX(k) + a z(k) = b z(k)², where the series X itself is what saturates, at a/b.

    X(k+1) = a x₁ / (b x₁ + (a − b x₁) e^(ak)), x₁ = X(1). For a series of increments, fit its running sum.
    After `fit`: `a`, `b`. Raises GreyError where x₁ is zero, and where the curve has a pole within reach.
    """

    least = 4
    a: float
    b: float

    def _estimate(self, x: Series) -> None:
        if x[0] == 0:
            raise GreyError("series: a Verhulst curve that starts at zero stays there; leave out the first value.")
        z = background(x)
        self.a, self.b = least_squares([-z, z**2], np.diff(x))

    def _course(self, count: int) -> Series:
        first = float(self.series[0])
        k = np.arange(float(count))
        share = np.exp(self.a * k) - self.b * first * k * phi1(self.a * k)  # x₁ / X(k+1), 1 at k = 0
        pole = np.flatnonzero(share <= 0)
        if len(pole):
            raise GreyError(
                f"Verhulst: the fitted curve runs to infinity before its value number {pole[0] + 1}; "
                "the series does not saturate, use GM11 or DGM11."
            )
        return first / share
