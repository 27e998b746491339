"""How a learning curve goes on: accuracies and losses that change fast at first and then level off.

GM(1,1) of the values themselves expects exponential growth and does worse here than repeating the last value; what
works is to model how the curve saturates:

    gm11      GM(1,1) of the increments, which die out by a constant factor a step
    ndgm      NDGM of the values: a level plus an exponential
    verhulst  a logistic curve through the values
    fgm       FGM(1,1) of the distance to a level that is a little out of reach: it dies out as slowly as a power law

All but `fgm` look only at the newest part of the curve, as the steep beginning says little about the end. Each goes on
from the last value, turns back by a tenth of the range of the newest part at most, and on by that range at most. The
interval is as wide as the errors that the same forecaster makes on shorter parts of the same curve.

Source: models as in `gm`, `discrete`, `verhulst` and `fractional`; the use on increments: Deng's accumulation read
backwards, the curve being the running sum of its increments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from greyhound.errors import GreyError
from greyhound.grey.base import Series, check_series, check_steps, read_limits
from greyhound.grey.discrete import NDGM
from greyhound.grey.fractional import FGM11
from greyhound.grey.gm import GM11
from greyhound.grey.student import half_width
from greyhound.grey.verhulst import Verhulst

_FEWEST = 4
_NEWEST = 0.6
_FEWEST_NEWEST = 5
_OUT_OF_REACH = 0.3
_BACK_TESTS = 5


@dataclass(frozen=True)
class CurveForecast:
    """The next values of a curve, (steps,), each with an interval."""

    mean: Series
    low: Series
    high: Series


def forecast_curve(
    values: ArrayLike,
    steps: int,
    family: str = "gm11",
    level: float = 0.9,
    limits: tuple[float, float] | None = None,
) -> CurveForecast:
    """The next `steps` values of a curve that rises or falls to a level.

    values: (n,), n >= 4, equally spaced in training, oldest first. family: "gm11", "ndgm", "verhulst" or "fgm".
    level: the probability that each interval is made for. limits: what the metric cannot leave, (0, 1) for an accuracy.
    A curve whose newest part is constant is forecast to stay so, with no width. Raises GreyError.
    """
    x = check_series(values, _FEWEST, "values")
    check_steps(steps)
    if not isinstance(family, str) or family not in FAMILIES:
        raise GreyError(f"family: expected one of {', '.join(FAMILIES)}; got {family!r}.")
    bounds = read_limits(limits)
    if bounds is None:
        raise GreyError(f"limits: expected two numbers, the lower one first, like (0, 1); got {limits!r}.")
    mean = _course(x, steps, family)
    spread, freedom = _spread(x, family)
    width = half_width(level, freedom) * spread * np.sqrt(np.arange(1.0, steps + 1))
    return CurveForecast(*(np.clip(curve, *bounds) for curve in (mean, mean - width, mean + width)))


def gm11(rising: Series, steps: int) -> Series:
    """GM(1,1) of the newest increments of a curve that rises, (steps,)."""
    increments = np.diff(_newest(rising))
    following = GM11().fit(increments).predict(steps)
    return float(rising[-1]) + np.cumsum(np.minimum.accumulate(np.maximum(following, 0)))


def ndgm(rising: Series, steps: int) -> Series:
    """NDGM of the newest values, moved to go on from the last, (steps,)."""
    model = NDGM().fit(_newest(rising))
    return model.predict(steps) + float(model.residuals[-1])


def verhulst(rising: Series, steps: int) -> Series:
    """The logistic curve through the newest values, moved to go on from the last, (steps,).

    Values that are not all of one sign are moved to lie above zero first.
    """
    newest = _newest(rising)
    floor = 0.0 if newest.min() > 0 or newest.max() < 0 else 2 * newest.min() - newest.max()
    model = Verhulst().fit(newest - floor)
    return model.predict(steps) + float(rising[-1] - model.fitted[-1])


def fgm(rising: Series, steps: int) -> Series:
    """FGM(1,1) of the distance to a level 30 % of the way so far above the highest value, (steps,)."""
    distance = rising.max() + _OUT_OF_REACH * (rising.max() - rising.min()) - rising
    model = FGM11().fit(distance)
    left = np.minimum.accumulate(np.clip(model.predict(steps), 0, distance[-1]))
    return float(rising[-1]) + np.maximum(float(model.fitted[-1]) - left, 0)


FAMILIES: Mapping[str, Callable[[Series, int], Series]] = {"gm11": gm11, "ndgm": ndgm, "verhulst": verhulst, "fgm": fgm}
"""How `forecast_curve` goes about it, by name: from a rising curve, (n,), to its next values, (steps,)."""


def _course(x: Series, steps: int, family: str) -> Series:
    """The family's forecast within a sensible range; the last value where the family cannot be fitted."""
    third = max(1, len(x) // 3)
    sign = 1.0 if x[-third:].mean() >= x[:third].mean() else -1.0
    rising = sign * x
    newest = _newest(rising)
    way = newest.max() - newest.min()
    if way == 0:
        return np.full(steps, x[-1])
    try:
        course = FAMILIES[family](rising, steps)
    except GreyError:
        course = np.full(steps, rising[-1])
    return sign * np.clip(course, rising[-1] - 0.1 * way, rising.max() + way)


def _spread(x: Series, family: str) -> tuple[float, int]:
    """The standard error of a forecast one step ahead, and its degrees of freedom; it grows with the root of the steps.

    From forecasts of the rest of the curve from up to five shorter parts; from the last changes where it is too short.
    """
    cuts = np.unique(np.linspace(max(_FEWEST, len(x) // 2), len(x) - 1, _BACK_TESTS).astype(int))
    squares = []
    for cut in cuts[cuts < len(x)]:
        ahead = np.arange(1, len(x) - cut + 1)
        squares.append((x[cut:] - _course(x[:cut], len(ahead), family)) ** 2 / ahead)
    if not squares:
        squares = [np.diff(x)[-2:-1] ** 2, np.diff(x)[-1:] ** 2]
    return float(np.sqrt(np.concatenate(squares).mean())), len(squares)


def _newest(rising: Series) -> Series:
    return rising[-max(_FEWEST_NEWEST, round(_NEWEST * len(rising))) :]
