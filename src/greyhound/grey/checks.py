"""Whether a grey model may be fitted to a series, and how well it fits.

Source: class ratios, posterior variance ratio and small-error probability: Deng 1982 and 1989; the table of grades:
Liu & Lin 2006, chapter on grey systems modelling.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from greyhound.errors import GreyError
from greyhound.grey.base import Model, Series, check_series
from greyhound.grey.multivariate import FactorModel

_QUARTILE = 0.6745
"""Half of a normal error lies within so many standard deviations."""
_WITHIN_BAND = 0.99


class Grade(enum.IntEnum):
    """How good a fit is by one measure, 1 best; UNFIT is beyond the table."""

    EXCELLENT = 1
    GOOD = 2
    FAIR = 3
    POOR = 4
    UNFIT = 5


_RELATIVE_ERRORS = (0.01, 0.05, 0.10, 0.20)
_RATIOS = (0.35, 0.50, 0.65, 0.80)
_PROBABILITIES = (0.95, 0.80, 0.70, 0.60)


@dataclass(frozen=True)
class Check:
    """How well a model fits: each measure, its grade, and the worst of the grades."""

    mape: float
    """Mean relative error from the second value on, a fraction; NaN where a value of the series is zero."""
    ratio: float
    """C, the standard deviation of the residuals by that of the data, >= 0."""
    probability: float
    """P, the share of residuals within 0.6745 standard deviations of the data from their mean, 0 to 1."""

    @property
    def mape_grade(self) -> Grade:
        """By relative error: up to 1, 5, 10 and 20 %; UNFIT where it is NaN."""
        return _grade([self.mape <= limit for limit in _RELATIVE_ERRORS])

    @property
    def ratio_grade(self) -> Grade:
        """By C: up to 0.35, 0.5, 0.65 and 0.8."""
        return _grade([self.ratio <= limit for limit in _RATIOS])

    @property
    def probability_grade(self) -> Grade:
        """By P: from 0.95, 0.8, 0.7 and 0.6."""
        return _grade([self.probability >= limit for limit in _PROBABILITIES])

    @property
    def grade(self) -> Grade:
        """The worst of the three."""
        return max(self.mape_grade, self.ratio_grade, self.probability_grade)


def check(model: Model | FactorModel) -> Check:
    """How well a fitted model reproduces its series. Raises GreyError where it was not fitted."""
    if not hasattr(model, "fitted"):
        raise GreyError(f"{type(model).__name__}: there is no fit to check yet; call fit first.")
    data = model.series
    zeros = bool((data[1:] == 0).any())
    return Check(
        mape=math.nan if zeros else mape(data[1:], model.fitted[1:]),
        ratio=variance_ratio(data, model.residuals),
        probability=small_error_probability(data, model.residuals),
    )


def mape(actual: ArrayLike, forecast: ArrayLike) -> float:
    """Mean absolute relative error, a fraction. Raises GreyError where an actual value is zero."""
    x, y = _pair(actual, forecast)
    if (x == 0).any():
        raise GreyError("actual: a relative error of zero is not defined; leave out the zeros.")
    return float(np.abs((y - x) / x).mean())


def variance_ratio(data: ArrayLike, residuals: ArrayLike) -> float:
    """C = S₂/S₁, the residuals' standard deviation by that of the data; for constant data 0 (no error) or infinity."""
    x, e = _pair(data, residuals)
    spread, error = x.std(), e.std()
    if spread == 0:
        return 0.0 if error == 0 else math.inf
    return float(error / spread)


def small_error_probability(data: ArrayLike, residuals: ArrayLike) -> float:
    """P = share of residuals e with |e − mean(e)| < 0.6745 S₁; for constant data that of residuals that are equal."""
    x, e = _pair(data, residuals)
    spread, off = x.std(), np.abs(e - e.mean())
    return float((off == 0).mean() if spread == 0 else (off < _QUARTILE * spread).mean())


def class_ratios(series: ArrayLike) -> Series:
    """σ(k) = x(k−1)/x(k), (n − 1,). Raises GreyError where a value is not above zero."""
    x = check_series(series, 2)
    if (x <= 0).any():
        raise GreyError("series: class ratios need values above zero; add translation(series) to it first.")
    return x[:-1] / x[1:]


def admissible(series: ArrayLike) -> bool:
    """Whether GM(1,1) suits the series: all positive, all class ratios within (e^(−2/(n+1)), e^(2/(n+1)))."""
    x = check_series(series, 2)
    if (x <= 0).any():
        return False
    return bool((np.abs(np.log(class_ratios(x))) < 2 / (len(x) + 1)).all())


def translation(series: ArrayLike) -> float:
    """The constant to add to the series so that it is `admissible`: 0 where it is, else the smallest that will do.

    The smallest is that which brings every class ratio, by logarithm, within 99 % of the band. Fit the model to the
    sum and take the constant off its forecasts.
    """
    x = check_series(series, 2)
    if admissible(x):
        return 0.0
    limit = math.exp(_WITHIN_BAND * 2 / (len(x) + 1))
    larger, smaller = np.maximum(x[:-1], x[1:]), np.minimum(x[:-1], x[1:])
    # (larger + c) / (smaller + c) <= limit for each pair of neighbours
    needed = float(((larger - limit * smaller) / (limit - 1)).max())
    lift = float(-x.min())
    if needed > lift:
        return needed
    return lift + (abs(lift) or 1.0)  # a constant series that is not above zero


def _grade(passed: list[bool]) -> Grade:
    return Grade(passed.index(True) + 1) if any(passed) else Grade.UNFIT


def _pair(first: ArrayLike, second: ArrayLike) -> tuple[Series, Series]:
    x, y = check_series(first, 1, "first series"), check_series(second, 1, "second series")
    if len(x) != len(y):
        raise GreyError(f"expected two series of equal length; got {len(x)} and {len(y)} values.")
    return x, y
