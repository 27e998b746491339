"""What all grey models share: accumulation, the check of a series, least squares, and the frame of a model.

A grey model does not look at the short, noisy series x itself but at its running sum X, which is smoother
(the accumulated generating operation, AGO), fits a first-order equation to it, and takes differences of the
solution (the inverse operation, IAGO) to come back.

Source: Deng, Control problems of grey systems, Systems & Control Letters 1, 1982; Liu & Lin, Grey Information, 2006.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from greyhound.errors import GreyError

Series = NDArray[np.float64]
"""One value a point in time, (n,)."""

_SMALLEST, _LARGEST = 1e-100, 1e100
"""Sizes of values whose squares and running sums are still ordinary numbers."""
_SINGULAR = 1e-12
"""Singular values below this part of the largest count as zero."""
_TAYLOR_BELOW = 1e-2


class Fitted(ABC):
    """What models have after `fit`. series: the data, (n,). fitted: the model's values for the same points, (n,)."""

    series: Series
    fitted: Series

    @property
    def residuals(self) -> Series:
        """Data minus fitted values, (n,); the first is zero."""
        self._check_fitted()
        return self.series - self.fitted

    def _check_fitted(self) -> None:
        if not hasattr(self, "fitted"):
            raise GreyError(f"{type(self).__name__}: there is nothing to forecast from yet; call fit first.")


class Model(Fitted):
    """One series, the curve fitted to it, and how that curve goes on.

    After `fit`, `series` is the data (n,), `fitted` the model's values for the same points (n,), the first of which
    is the first of the data, and `residuals` their difference (n,).
    """

    least: int
    """The shortest series that determines the parameters."""

    def fit(self, series: ArrayLike) -> Self:
        """Estimate the parameters from `series`, equally spaced in time, oldest first.

        Raises GreyError where the series is too short or not finite, or where the model runs to infinity on it.
        """
        self.__dict__.pop("fitted", None)  # a fit that fails leaves nothing to forecast from
        self.series = check_series(series, self.least)
        with np.errstate(all="ignore"):
            self._estimate(self.series)
        self.fitted = self._values(len(self.series))
        return self

    def predict(self, steps: int) -> Series:
        """The next `steps` values after the series, (steps,)."""
        self._check_fitted()
        check_steps(steps)
        return self._values(len(self.series) + steps)[len(self.series) :]

    def _values(self, count: int) -> Series:
        with np.errstate(all="ignore"):
            values = self._course(count)
        check_finite(values, type(self).__name__)
        return values

    @abstractmethod
    def _estimate(self, x: Series) -> None:
        """Set the parameters from x, (n,)."""

    @abstractmethod
    def _course(self, count: int) -> Series:
        """The first `count` values of the fitted curve, (count,)."""


AnyModel = TypeVar("AnyModel", bound=Model)


def fresh(model: AnyModel) -> AnyModel:
    """A copy to fit, so that the caller's model keeps what it was fitted to."""
    return copy.copy(model)


def check_model(model: Model, name: str = "model") -> None:
    """Refuse what is not a model of one series, such as its class."""
    if not isinstance(model, Model):
        raise GreyError(f"{name}: expected a grey model, like GM11(); got {model!r}.")


def check_series(values: ArrayLike, least: int, name: str = "series") -> Series:
    """`values` as a new array of finite floats, (n,) with n >= least. Raises GreyError."""
    try:
        x = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise GreyError(f"{name}: expected a sequence of numbers; got {values!r}.") from None
    if x.ndim != 1:
        raise GreyError(f"{name}: expected one dimension, a value for each point in time; got the shape {x.shape}.")
    if len(x) < least:
        raise GreyError(f"{name}: {len(x)} values are too few for this; give at least {least}.")
    bad = np.flatnonzero(~np.isfinite(x))
    if len(bad):
        raise GreyError(f"{name}: value number {bad[0] + 1} is {x[bad[0]]}; leave it out or fill it in.")
    sizes = np.abs(x[x != 0])
    if len(sizes) and (sizes.max() > _LARGEST or sizes.min() < _SMALLEST):
        raise GreyError(
            f"{name}: sizes must lie within {_SMALLEST:g} and {_LARGEST:g}; divide the series by a constant."
        )
    return x


def read_limits(limits: tuple[float, float] | None) -> tuple[float, float] | None:
    """What a metric cannot leave, infinite for None; None where it is not two numbers, the lower one first."""
    try:
        low, high = (-np.inf, np.inf) if limits is None else map(float, limits)
    except (TypeError, ValueError):
        return None
    return (low, high) if low < high else None


def check_steps(steps: int, name: str = "steps") -> None:
    """Refuse a number of steps, or of what `name` says, that is not a whole number above zero."""
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
        raise GreyError(f"{name}: expected a whole number of at least 1; got {steps!r}.")


def check_finite(values: Series, name: str) -> None:
    """Refuse a curve that has left the range of floats."""
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise GreyError(
            f"{name}: the fitted curve is not finite from its value number {bad[0] + 1} on; "
            "forecast fewer steps or use another model."
        )


def accumulate(x: ArrayLike, order: float = 1.0) -> Series:
    """The running sum of x of fractional order r, (n,): X(k) = Σᵢ C(k−i+r−1, k−i) x(i); order −r undoes order r.

    Raises GreyError where x is no series of finite numbers, or the order no finite number.
    Source: Wu et al., Communications in Nonlinear Science and Numerical Simulation 18, 2013, definition 1.
    """
    if isinstance(order, bool) or not isinstance(order, int | float | np.integer | np.floating):
        raise GreyError(f"order: expected a number, such as 0.5; got {order!r}.")
    if not np.isfinite(order):
        raise GreyError(f"order: expected a finite number, such as 0.5; got {order!r}.")
    return running_sum(check_series(x, 1), float(order))


def running_sum(x: Series, order: float) -> Series:
    """As `accumulate`, of a course that need not be finite."""
    if order == 1:
        return np.cumsum(x)
    lags = np.arange(1, len(x))
    weights = np.cumprod(np.concatenate([[1.0], (lags - 1 + order) / lags]))
    return np.convolve(weights, x)[: len(x)]


def background(X: Series, weight: float = 0.5) -> Series:
    """The value z of X between neighbours, (n − 1,): weight X(k−1) + (1 − weight) X(k). Source: Deng 1982."""
    return weight * X[:-1] + (1 - weight) * X[1:]


def least_squares(columns: Sequence[Series], target: Series) -> list[float]:
    """The coefficients of the columns that fit target best, the smallest such where several do equally well.

    Each column is scaled to largest size 1, so that the result does not depend on the units of the series.
    """
    scales = np.array([np.abs(column).max() for column in columns])
    scales[scales == 0] = 1.0
    scale = np.abs(target).max() or 1.0
    solution = np.linalg.lstsq(np.column_stack(columns) / scales, target / scale, rcond=_SINGULAR)[0]
    return [float(value) for value in solution * scale / scales]


def response(start: float, a: float, inflow: Series | float, time: Series) -> Series:
    """X at `time` after X = start, where dX/dt + a X = inflow with a constant inflow, (n,).

    The usual (start − inflow/a) e^(−at) + inflow/a, written so that a = 0 needs no case of its own.
    """
    return start * np.exp(-a * time) + inflow * time * phi1(-a * time)


def phi1(z: Series | float) -> Series:
    """(e^z − 1)/z, 1 at z = 0."""
    z = np.asarray(z, dtype=np.float64)
    safe = np.where(z == 0, 1.0, z)
    return np.where(z == 0, 1.0, np.expm1(safe) / safe)


def phi2(z: Series | float) -> Series:
    """(e^z − 1 − z)/z², 1/2 at z = 0; by its Taylor series where the difference would cancel."""
    z = np.asarray(z, dtype=np.float64)
    near = np.abs(z) < _TAYLOR_BELOW
    safe = np.where(near, 1.0, z)
    taylor = 1 / 2 + z * (1 / 6 + z * (1 / 24 + z * (1 / 120 + z * (1 / 720 + z / 5040))))
    return np.where(near, taylor, (np.expm1(safe) - safe) / safe**2)
