"""What people search with in scikit-learn, as a space of ours.

Taken are: our own spaces and parameters; the distributions of scipy that RandomizedSearchCV takes; the lists of
GridSearchCV; skopt's tuples, (low, high) and (low, high, "log-uniform"); and lists of such dicts, of which
each is a space of its own.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from greyhound.errors import SpaceError
from greyhound.space import Categorical, Float, Int, Ordinal, Parameter, Space
from greyhound.values import as_scalar, show

_SCALARS = (str, int, float, bool, type(None))
_PRIORS = {"uniform": False, "log-uniform": True, "loguniform": True}
_TAIL = 1e-3
"""A distribution without bounds is searched between this quantile and one minus it."""
_DRAWS = 100
_WHICH = "subspace"


@dataclass(frozen=True)
class Translation:
    """A space, and what its configurations mean to an estimator.

    names: the estimator's names of parameters that are called otherwise in the space; None for those that only
    others hang on. meanings: from values in the space to the estimator's, where these differ.
    """

    space: Space
    names: Mapping[str, str | None] = field(default_factory=dict)
    meanings: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)

    def params(self, configuration: Mapping[str, Any]) -> dict[str, Any]:
        """A configuration of the space as arguments of the estimator's `set_params`."""
        found = {}
        for name, value in configuration.items():
            if (theirs := self.names.get(name, name)) is not None:
                found[theirs] = self.meanings[name](value) if name in self.meanings else value
        return found


def translate(given: Any) -> Translation:
    """A space, or what scikit-learn and skopt search with, as a Translation; SpaceError where it is neither."""
    if isinstance(given, Translation):
        return given
    if isinstance(given, Space):
        return Translation(given)
    if isinstance(given, Mapping):
        parameters, meanings = _read(given)
        return Translation(Space(parameters), {}, meanings)
    if isinstance(given, list | tuple) and given and all(isinstance(each, Mapping) for each in given):
        return _union(given)
    raise SpaceError(
        f"write a dict of distributions or lists, a list of such dicts, or a greyhound.Space; got {show(given)}."
    )


def _read(given: Mapping[str, Any]) -> tuple[dict[str, Parameter], dict[str, Callable[[Any], Any]]]:
    parameters, meanings = {}, {}
    for name, value in given.items():
        try:
            parameters[name], meaning = _parameter(value)
        except SpaceError as error:
            raise SpaceError(f"{name}: {error}") from None
        if meaning is not None:
            meanings[name] = meaning
    return parameters, meanings


def _union(spaces: Iterable[Mapping[str, Any]]) -> Translation:
    """One space of several, of which a configuration is in one: their parameters exist there only."""
    spaces = list(spaces)
    parameters: dict[str, Parameter] = {_WHICH: Categorical(range(len(spaces)))}
    names: dict[str, str | None] = {_WHICH: None}
    meanings = {}
    for at, each in enumerate(spaces):
        read, decode = _read(each)
        for name, parameter in read.items():
            ours = f"{at}: {name}"
            parameters[ours] = conditional(parameter, {_WHICH: at})
            names[ours] = name
            if name in decode:
                meanings[ours] = decode[name]
    return Translation(Space(parameters), names, meanings)


def conditional(parameter: Parameter, when: Mapping[str, Any]) -> Parameter:
    """The parameter, which exists only under a condition more."""
    both = {**(parameter.when or {}), **when}
    return type(parameter)(**parameter._arguments(), default=parameter.default, when=both, prior=parameter.prior)


def _parameter(value: Any) -> tuple[Parameter, Callable[[Any], Any] | None]:
    if isinstance(value, Parameter):
        return value, None
    if hasattr(value, "ppf") and hasattr(value, "support"):
        return _distribution(value)
    if hasattr(value, "rvs"):
        return _choices([value.rvs(random_state=seed) for seed in range(_DRAWS)], ordered=True)
    if isinstance(value, tuple) and _is_range(value):
        return _range(value), None
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
        return _choices(list(value))
    raise SpaceError(f"must be a list of values, a distribution of scipy, or (low, high); got {show(value)}.")


def _is_range(value: tuple[Any, ...]) -> bool:
    numbers_first = len(value) >= 2 and all(_is_number(each) for each in value[:2])
    return numbers_first and (len(value) == 2 or isinstance(value[2], str))


def _range(value: tuple[Any, ...]) -> Parameter:
    low, high = as_scalar(value[0]), as_scalar(value[1])
    prior = value[2] if len(value) > 2 else "uniform"
    if prior not in _PRIORS:
        raise SpaceError(f"the third entry of a range is 'uniform' or 'log-uniform'; got {show(prior)}.")
    if isinstance(low, int) and isinstance(high, int):
        return Int(low, high, log=_PRIORS[prior])
    return Float(low, high, log=_PRIORS[prior])


def _distribution(given: Any) -> tuple[Parameter, Callable[[Any], Any] | None]:
    """A distribution of scipy, frozen or not: the three usual ones as ranges, any other by its quantiles."""
    name = getattr(_unfrozen(given), "name", "")
    low, high = (as_scalar(end) for end in given.support())
    if name == "uniform":
        return Float(low, high), None
    if name in ("loguniform", "reciprocal"):
        return Float(low, high, log=True), None
    if name == "randint":
        return Int(int(low), int(high)), None
    bottom, top = (0.0 if low > -float("inf") else _TAIL), (1.0 if high < float("inf") else 1 - _TAIL)
    return Float(bottom, top), _Quantile(given)


@dataclass(frozen=True)
class _Quantile:
    """From a quantile, 0 to 1, to the distribution's value there."""

    distribution: Any

    def __call__(self, quantile: float) -> Any:
        value = max(as_scalar(self.distribution.ppf(quantile)), as_scalar(self.distribution.support()[0]))
        discrete = hasattr(_unfrozen(self.distribution), "pmf")
        return int(value) if discrete and value == int(value) else value


def _unfrozen(distribution: Any) -> Any:
    """What a frozen distribution was made of; one that needs no arguments is taken as it is."""
    return getattr(distribution, "dist", distribution)


@dataclass(frozen=True)
class _Labelled:
    """From the label of a choice to the choice."""

    choices: Mapping[str, Any]

    def __call__(self, label: str) -> Any:
        return self.choices[label]


def _choices(values: list[Any], ordered: bool = False) -> tuple[Parameter, Callable[[Any], Any] | None]:
    """A list of values, each once: in order where they are rising numbers; by label where they are objects."""
    plain = [as_scalar(value) for value in values]
    if ordered and all(_is_number(value) for value in plain):
        plain = sorted(set(plain))
    if not all(isinstance(value, _SCALARS) for value in plain):
        labels = [_label(value) for value in plain]
        distinct = [name if labels.count(name) == 1 else f"{name} {at}" for at, name in enumerate(labels)]
        return Categorical(distinct), _Labelled(dict(zip(distinct, values, strict=True)))
    plain = list({(type(value), value): value for value in plain}.values())
    if len(plain) > 2 and all(_is_number(value) for value in plain) and all(a < b for a, b in pairwise(plain)):
        return Ordinal(plain), None
    return Categorical(plain), None


def _label(value: Any) -> str:
    if isinstance(value, _SCALARS):
        return str(value)
    name = getattr(value, "__name__", None)
    return name if isinstance(name, str) else show(value) if isinstance(value, tuple | list) else type(value).__name__


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
