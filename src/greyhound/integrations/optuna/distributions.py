"""Optuna's distributions as our parameters, and back."""

from __future__ import annotations

from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from greyhound.errors import SpaceError
from greyhound.space import Categorical, Float, Int, Parameter


def parameter_of(distribution: BaseDistribution) -> Parameter:
    """The parameter that a distribution stands for; choices as Optuna keeps them, by their position from 0.

    So any object may be a choice. SpaceError where a distribution is of an unknown class.
    """
    if isinstance(distribution, FloatDistribution):
        return Float(distribution.low, distribution.high, log=distribution.log, step=distribution.step)
    if isinstance(distribution, IntDistribution):
        return Int(distribution.low, distribution.high, log=distribution.log, step=distribution.step)
    if isinstance(distribution, CategoricalDistribution):
        return Categorical(range(len(distribution.choices)))
    raise SpaceError(f"{distribution!r}: must be a FloatDistribution, an IntDistribution or a CategoricalDistribution.")


def inward(distribution: BaseDistribution, value: Any) -> Any:
    """A value of Optuna's as one of `parameter_of(distribution)`."""
    if isinstance(distribution, CategoricalDistribution):
        return int(distribution.to_internal_repr(value))
    return value


def outward(distribution: BaseDistribution, value: Any) -> Any:
    """A value of `parameter_of(distribution)` as one of Optuna's."""
    return distribution.choices[value] if isinstance(distribution, CategoricalDistribution) else value


def widened(distribution: BaseDistribution, parameter: Parameter) -> BaseDistribution:
    """The distribution over the range of a parameter that grew out of it."""
    if isinstance(parameter, Float):
        return FloatDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step)
    if isinstance(parameter, Int):
        return IntDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step)
    return distribution
