"""Grey models in discrete form, and those whose input grows with time.

DGM(1,1) estimates the recursion that GM(1,1) only approximates, so a pure exponential is reproduced exactly. NDGM and
NGM add a term in k: their x is c + A βᵏ, an exponential that approaches (or leaves) a level.

Source: DGM: Xie & Liu, Discrete grey forecasting model and its optimization, Applied Mathematical Modelling 33, 2009;
NDGM: Xie, Liu, Yang & Yuan, On novel grey forecasting model based on non-homogeneous index sequence, the same, 37,
2013; NGM: Cui, Liu, Zeng & Xie, A novel grey forecasting model and its optimization, the same, 37, 2013, and with the
constant c: Chen & Yu, Foundation settlement prediction based on a novel NGM model, Mathematical Problems in
Engineering 2014.
"""

from __future__ import annotations

import numpy as np

from greyhound.grey.base import Model, Series, background, least_squares, phi2, response


class DGM11(Model):
    """DGM(1,1): X(k+1) = β₁ X(k) + β₂. After `fit`: `beta1` (the growth of a step), `beta2`."""

    least = 3
    beta1: float
    beta2: float

    def _estimate(self, x: Series) -> None:
        X = np.cumsum(x)
        self.beta1, self.beta2 = least_squares([X[:-1], np.ones(len(x) - 1)], X[1:])

    def _course(self, count: int) -> Series:
        first = self.series[0]
        second = (self.beta1 - 1) * first + self.beta2
        return np.concatenate([[first], second * self.beta1 ** np.arange(count - 1)])


class NDGM(Model):
    """NDGM: X(k+1) = β₁ X(k) + β₂ k + β₃, run from X(1) = x(1). After `fit`: `beta1`, `beta2`, `beta3`."""

    least = 4
    beta1: float
    beta2: float
    beta3: float

    def _estimate(self, x: Series) -> None:
        X = np.cumsum(x)
        k = np.arange(1.0, len(x))
        self.beta1, self.beta2, self.beta3 = least_squares([X[:-1], k, np.ones_like(k)], X[1:])

    def _course(self, count: int) -> Series:
        values = np.empty(count)
        values[0] = self.series[0]
        if count > 1:  # x(k+1) = X(k+1) − X(k) obeys x(k+1) = β₁ x(k) + β₂ from the third value on
            values[1] = (self.beta1 - 1) * values[0] + self.beta2 + self.beta3
        for k in range(2, count):
            values[k] = self.beta1 * values[k - 1] + self.beta2
        return values


class NGM(Model):
    """NGM(1,1,k,c): x(k) + a z(k) = b (k − 1/2) + c. After `fit`: `a`, `b`, `c`.

    The curve solves dX/dt + a X = b t + c through X(1) = x(1):
    X(k) = (x(1) − b/a + b/a² − c/a) e^(−a(k−1)) + (b/a) k − b/a² + c/a, written so that a = 0 is no special case.
    """

    least = 4
    a: float
    b: float
    c: float

    def _estimate(self, x: Series) -> None:
        z = background(np.cumsum(x))
        k = np.arange(2.0, len(x) + 1)
        self.a, self.b, self.c = least_squares([-z, k - 0.5, np.ones_like(z)], x[1:])

    def _course(self, count: int) -> Series:
        time = np.arange(float(count))
        X = response(self.series[0], self.a, self.b + self.c, time) + self.b * time**2 * phi2(-self.a * time)
        return np.diff(X, prepend=0.0)
