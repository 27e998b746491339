"""Which grey model suits a series: the one that would have forecast its last values best.

Source: leave-last-out is the one-step form of rolling-origin evaluation: Tashman, Out-of-sample tests of forecasting
accuracy, International Journal of Forecasting 16, 2000.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from greyhound.errors import GreyError
from greyhound.grey.base import Model, Series, check_model, check_series, check_steps, fresh
from greyhound.grey.discrete import DGM11, NDGM, NGM
from greyhound.grey.fractional import FGM11
from greyhound.grey.gm import GM11
from greyhound.grey.verhulst import Verhulst

CANDIDATES: Mapping[str, Model] = {
    "GM11": GM11(),
    "GM11 optimal": GM11(background="optimal"),
    "DGM11": DGM11(),
    "FGM11": FGM11(),
    "NDGM": NDGM(),
    "NGM": NGM(),
    "Verhulst": Verhulst(),
}
"""What `best_model` compares unless told otherwise."""


@dataclass(frozen=True)
class Best:
    """The model with the smallest leave-last-out error, fitted to the whole series."""

    name: str
    model: Model
    errors: Mapping[str, float]
    """Each candidate's mean absolute error on the values left out; infinity where it could not forecast them."""
    last_value_error: float
    """The same error of repeating the value before: a model that does not beat it is of no use here."""


def best_model(series: ArrayLike, candidates: Mapping[str, Model] | None = None, last: int = 1) -> Best:
    """The candidate that forecasts the last `last` values best, each from those before it.

    Of equal ones the first. Raises GreyError where none can forecast them, as for fewer than four values.
    """
    check_steps(last, "last")
    tried = CANDIDATES if candidates is None else candidates
    if not isinstance(tried, Mapping):
        raise GreyError(f'candidates: expected models by name, like {{"GM11": GM11()}}; got {tried!r}.')
    for name, model in tried.items():
        check_model(model, f"candidates, {name}")
    x = check_series(series, last + 1)
    errors = {name: _error_or_infinity(model, x, last) for name, model in tried.items()}
    if not errors or min(errors.values()) == math.inf:
        raise GreyError(
            f"series: no candidate can be fitted to its first {len(x) - last} of {len(x)} values; "
            "give a longer series or other candidates."
        )
    name = min(errors, key=lambda name: errors[name])
    return Best(name, fresh(tried[name]).fit(x), errors, float(np.abs(np.diff(x))[-last:].mean()))


def leave_last_out(model: Model, series: ArrayLike, last: int = 1) -> float:
    """Mean absolute error of the model's forecasts of the last `last` values, each from all those before it.

    In the units of the series. Raises GreyError where the model cannot be fitted to what is left.
    """
    check_model(model)
    check_steps(last, "last")
    x = check_series(series, last + 1)
    cuts = range(len(x) - last, len(x))
    return float(np.mean([abs(fresh(model).fit(x[:cut]).predict(1)[0] - x[cut]) for cut in cuts]))


def _error_or_infinity(model: Model, x: Series, last: int) -> float:
    try:
        return leave_last_out(model, x, last)
    except GreyError:
        return math.inf
