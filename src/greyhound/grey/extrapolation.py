"""From the best value of a hyperparameter at a series of growing sizes to the one at sizes never tuned.

Two candidates: a power law, optimum = c · size^p, by least squares on logarithms; and a grey model of the optima as a
series over sizes that grow by equal factors. On such a series GM(1,1) is a power law too, but one whose level is set
by all values but the first, so that it bends where the first sizes are not typical; with FGM(1,1) it bends freely.
The candidate that would have forecast the last optima better, each from those before it, is chosen. Grey models bring
no interval, so each forecast has that of the power law about it, as a factor; that of the chosen one is widened, in
quadrature, by how far the two are apart.

Source: power laws of optima over size: Kaplan et al., Scaling laws for neural language models, 2020; their intervals:
the prediction interval of a straight line, as in any text on regression; grey models: see `gm` and `fractional`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from greyhound.errors import GreyError
from greyhound.grey.base import Model, Series, check_series, fresh
from greyhound.grey.fractional import FGM11
from greyhound.grey.gm import GM11
from greyhound.grey.student import half_width

_FEWEST = 3
_POWER_LAW = "power law"
_GREY = {"GM11": GM11(background="optimal"), "FGM11": FGM11()}
_MOST_STEPS = 1000
"""How many steps of the series a grey model is run ahead at most."""
_NO_STEP = 1e-9
_LARGEST_LOG = 230.0


@dataclass(frozen=True)
class Candidate:
    """What one forecaster says, with an interval about it, as wide for a grey model as for the power law."""

    name: str
    """"power law", "GM11" or "FGM11"."""
    mean: Series
    """(m,), one a target size."""
    low: Series
    high: Series
    error: float
    """Leave-last-out error: mean |ln(forecast / optimum)|; infinity where there were too few sizes to tell."""


@dataclass(frozen=True)
class Extrapolation:
    """The forecast optimum for each target size, and where it comes from. `str()` of it says so in a sentence."""

    at: Series
    """Target sizes, (m,)."""
    mean: Series
    """The chosen candidate's forecast, (m,)."""
    low: Series
    high: Series
    level: float
    """The probability with which the interval should hold the best value found at that size."""
    chosen: str
    candidates: tuple[Candidate, ...]
    """The power law, then the best grey model where one could be fitted."""

    def __str__(self) -> str:
        forecasts = ", ".join(
            f"{mean:.3g} ({low:.3g} to {high:.3g}) at {size:g}"
            for size, mean, low, high in zip(self.at, self.mean, self.low, self.high, strict=True)
        )
        errors = ", ".join(
            f"{one.name} {100 * math.expm1(min(one.error, _LARGEST_LOG)):.3g} %"
            if math.isfinite(one.error)
            else f"{one.name} unknown"
            for one in self.candidates
        )
        return f"{forecasts}; by {self.chosen}, chosen by leave-last-out error: {errors}."


def extrapolate(sizes: ArrayLike, optima: ArrayLike, at: ArrayLike | None = None, level: float = 0.9) -> Extrapolation:
    """Forecast the optimum for the sizes `at` from those found at `sizes`.

    sizes: (n,), n >= 3, growing, above zero: widths, parameters, examples. optima: (n,), above zero. at: one or more
    sizes beyond the last; without, the next one of the series. Sizes that do not grow by equal factors are brought
    to such by linear interpolation of logarithms before a grey model is fitted. With three sizes a grey model cannot
    be judged, and the power law is chosen. Raises GreyError.
    """
    x, y = _check(sizes, optima)
    u, v = np.log(x), np.log(y)
    ahead = np.log(_targets(x, at))
    line = _candidate(_POWER_LAW, None, u, v, ahead, level)
    grey = _best_grey(u, v, ahead, level)
    candidates = (line,) if grey is None else (line, grey)
    best = min(candidates, key=lambda one: one.error)
    apart = np.log(candidates[-1].mean / candidates[0].mean)
    centre, width = np.log(best.mean), np.hypot(np.log(best.high / best.mean), apart)
    low, high = _exp(centre - width), _exp(centre + width)
    return Extrapolation(np.exp(ahead), best.mean, low, high, level, best.name, candidates)


def _best_grey(u: Series, v: Series, ahead: Series, level: float) -> Candidate | None:
    found = []
    for name, model in _GREY.items():
        try:
            found.append(_candidate(name, model, u, v, ahead, level))
        except GreyError:  # this one does not suit the series; the others may
            continue
    return min(found, key=lambda one: one.error, default=None)


def _candidate(name: str, model: Model | None, u: Series, v: Series, ahead: Series, level: float) -> Candidate:
    """One forecaster's forecast; `model` is None for the power law. All in logarithms until the end."""
    mean = _forecast(model, u, v, ahead)
    errors = _leave_last_out(model, u, v)
    width = half_width(level, len(u) - 2) * _spread(u, v) * _leverage(u, ahead)
    return Candidate(name, _exp(mean), _exp(mean - width), _exp(mean + width), float(np.abs(errors).mean()))


def _forecast(model: Model | None, u: Series, v: Series, ahead: Series) -> Series:
    if model is None:
        slope, level = _line(u, v)
        return level + slope * ahead
    steps = (len(u) - 1) * (ahead - u[0]) / (u[-1] - u[0])  # from the first size, in steps of the series
    last = max(math.ceil(float(steps.max()) - _NO_STEP), len(u))
    if last > len(u) + _MOST_STEPS:
        raise GreyError(f"at: {last} steps of the series are too far for a grey model.")
    even = np.interp(np.linspace(u[0], u[-1], len(u)), u, v)
    fitted = fresh(model).fit(np.exp(even - even[0]))
    course = np.concatenate([fitted.fitted, fitted.predict(last + 1 - len(u))])
    if (course <= 0).any():
        raise GreyError("optima: the grey model's curve falls to zero.")
    logarithm: Series = np.interp(steps, np.arange(len(course)), np.log(course)) + even[0]
    return logarithm


def _leave_last_out(model: Model | None, u: Series, v: Series) -> Series:
    """ln(forecast / optimum) for the last optima, one for each two sizes beyond two, each from those before it."""
    cuts = range(len(u) - max(1, (len(u) - 2) // 2), len(u))
    try:
        return np.array([_forecast(model, u[:cut], v[:cut], u[cut : cut + 1])[0] - v[cut] for cut in cuts])
    except GreyError:
        return np.full(len(cuts), math.inf)


def _line(u: Series, v: Series) -> tuple[float, float]:
    """Slope and level of the least-squares line v = level + slope u."""
    off = u - u.mean()
    slope = float(off @ v / (off @ off))
    return slope, float(v.mean() - slope * u.mean())


def _spread(u: Series, v: Series) -> float:
    """The scatter of the logarithms of the optima about a power law, n − 2 degrees of freedom."""
    slope, level = _line(u, v)
    return float(np.sqrt(((v - level - slope * u) ** 2).sum() / (len(u) - 2)))


def _leverage(u: Series, ahead: Series) -> Series:
    """How much wider than the scatter the forecast of a line is at `ahead`, (m,)."""
    off = u - u.mean()
    factor: Series = np.sqrt(1 + 1 / len(u) + (ahead - u.mean()) ** 2 / (off @ off))
    return factor


def _exp(logarithm: Series) -> Series:
    """e to it, kept within the range whose ratios are still ordinary numbers."""
    return np.exp(np.clip(logarithm, -_LARGEST_LOG, _LARGEST_LOG))


def _check(sizes: ArrayLike, optima: ArrayLike) -> tuple[Series, Series]:
    x, y = check_series(sizes, _FEWEST, "sizes"), check_series(optima, _FEWEST, "optima")
    if len(x) != len(y):
        raise GreyError(f"optima: expected {len(x)} values, one for each size; got {len(y)}.")
    if x[0] <= 0 or (np.diff(np.log(np.maximum(x, x[0]))) < _NO_STEP).any():
        raise GreyError(f"sizes: expected sizes above zero, each larger than the one before; got {x.tolist()}.")
    if (y <= 0).any():
        raise GreyError("optima: expected values above zero, as a power law needs them; leave out or shift the others.")
    return x, y


def _targets(x: Series, at: ArrayLike | None) -> Series:
    if at is None:
        return x[-1:] * math.exp(math.log(x[-1] / x[0]) / (len(x) - 1))
    targets = check_series(np.atleast_1d(np.asarray(at)), 1, "at")
    if (targets <= x[-1]).any():
        raise GreyError(f"at: expected sizes beyond the last one tuned, {x[-1]:g}; got {targets.tolist()}.")
    return targets
