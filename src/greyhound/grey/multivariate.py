"""GM(1,N) and GM(0,N): one series explained by N − 1 others.

Both are explanations first: a forecast needs the factors' future values. Check the fit before use (`checks.check`).

Source: Deng 1982; Liu & Lin 2006, chapter on grey systems modelling.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from greyhound.errors import GreyError
from greyhound.grey.base import Fitted, Series, background, check_finite, check_series, least_squares, response

Factors = NDArray[np.float64]
"""One row a factor, one column a point in time, (N − 1, n)."""


class FactorModel(Fitted):
    """A series (n,) and its factors (N − 1, n); `fitted` and `residuals` as for every model."""

    factors: Factors
    b: Series

    def fit(self, series: ArrayLike, factors: ArrayLike) -> Self:
        """Estimate from `series` (n,) and `factors`, a list of series of the same length; n >= N + 1.

        Raises GreyError where the lengths differ, the series is too short, or a value is not finite.
        """
        self.__dict__.pop("fitted", None)  # a fit that fails leaves nothing to forecast from
        rows = _check_factors(factors)
        self.series = check_series(series, least=len(rows) + 2)
        self.factors = rows
        if rows.shape[1] != len(self.series):
            raise GreyError(
                f"factors: expected {len(self.series)} values each, as many as the series has; got {rows.shape[1]}."
            )
        with np.errstate(all="ignore"):
            self._estimate(self.series, np.cumsum(rows, axis=1))
        self.fitted = self._values(rows)
        return self

    def predict(self, factors: ArrayLike) -> Series:
        """The next values of the series, one for each column of the factors' next values, (steps,)."""
        self._check_fitted()
        coming = _check_factors(factors)
        if len(coming) != len(self.factors):
            raise GreyError(f"factors: the model was fitted to {len(self.factors)} factors; got {len(coming)}.")
        return self._values(np.concatenate([self.factors, coming], axis=1))[len(self.series) :]

    def _values(self, factors: Factors) -> Series:
        with np.errstate(all="ignore"):
            values = self._course(factors)
        check_finite(values, type(self).__name__)
        return values

    @abstractmethod
    def _estimate(self, x: Series, sums: Factors) -> None:
        """Set the parameters from x, (n,), and the factors' running sums, (N − 1, n)."""

    @abstractmethod
    def _course(self, factors: Factors) -> Series:
        """The curve at each column of `factors`, from the first on."""


class GM1N(FactorModel):
    """GM(1,N): x₁(k) + a z₁(k) = Σ bᵢ Xᵢ(k). After `fit`: `a`, `b` (N − 1,).

    X̂₁(k+1) = (x₁(1) − u) e^(−ak) + u with u = Σ bᵢ Xᵢ(k+1) / a, which takes the factors' sums as constant over
    the whole time and so fits well only where they change slowly.
    """

    a: float

    def _estimate(self, x: Series, sums: Factors) -> None:
        z = background(np.cumsum(x))
        self.a, *coefficients = least_squares([-z, *sums[:, 1:]], x[1:])
        self.b = np.array(coefficients)

    def _course(self, factors: Factors) -> Series:
        inflow = self.b @ np.cumsum(factors, axis=1)
        X = response(self.series[0], self.a, inflow, np.arange(float(factors.shape[1])))
        return np.diff(X, prepend=0.0)


class GM0N(FactorModel):
    """GM(0,N): X₁(k) = Σ bᵢ Xᵢ(k) + a, a regression on running sums from k = 2 on. After `fit`: `a`, `b` (N − 1,).

    Its differences are x̂₁(k) = Σ bᵢ xᵢ(k) from the third value on; the first is that of the data, and the second
    what X̂₁(2) leaves beside it.
    """

    a: float

    def _estimate(self, x: Series, sums: Factors) -> None:
        *coefficients, self.a = least_squares([*sums[:, 1:], np.ones(len(x) - 1)], np.cumsum(x)[1:])
        self.b = np.array(coefficients)

    def _course(self, factors: Factors) -> Series:
        X = self.b @ np.cumsum(factors, axis=1) + self.a
        X[0] = self.series[0]
        return np.diff(X, prepend=0.0)


def _check_factors(factors: ArrayLike) -> Factors:
    try:
        rows = np.array(factors, dtype=np.float64, ndmin=2)
    except (TypeError, ValueError):
        raise GreyError("factors: expected a list of series of equal length, one for each factor.") from None
    if rows.ndim != 2 or not rows.size:
        raise GreyError(f"factors: expected a list of series, one for each factor; got the shape {rows.shape}.")
    return np.stack([check_series(row, 1, f"factor {number}") for number, row in enumerate(rows, 1)])
