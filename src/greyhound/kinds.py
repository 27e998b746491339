"""The kinds of parameter: Float, Int, Categorical, Ordinal and Bool."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, MappingView, Sequence, Set
from dataclasses import KW_ONLY, dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any, ClassVar

from greyhound.errors import SpaceError
from greyhound.parameters import UNSET, Parameter, Where, cell_at, cell_middle, clip, nowhere
from greyhound.values import (
    as_choice,
    as_flag,
    as_number,
    as_scalar,
    as_whole,
    did_you_mean,
    either,
    exact,
    show,
    show_all,
)

_DIGITS = 12
"""Digits that a value keeps on its way through the unit interval."""

_LARGEST_FLOAT = 1e150
_LARGEST_INT = 2**64


@dataclass(frozen=True, eq=False, repr=False)
class Float(Parameter):
    """A real number between `low` and `high`, both included.

    log: spread over orders of magnitude; needs low > 0. step: only low, low + step, low + 2 step…;
    a step that does not divide the range lowers `high` to the last value reached.
    """

    kind: ClassVar[str] = "float"
    low: float
    high: float
    _: KW_ONLY
    log: bool = False
    step: float | None = None

    def encode(self, value: float) -> float:
        """See Parameter."""
        value = min(max(value, self.low), self.high)
        if self.step is not None:
            return cell_middle(self._index(value), self._count)
        if self.low == self.high:
            return 0.5
        if self.log:
            return min(1.0, math.log(value / self.low) / self._width)
        return min(1.0, (value - self.low) / self._width)

    def decode(self, unit: float) -> float:
        """See Parameter."""
        unit = clip(unit)
        if self.step is not None:
            return self._at(cell_at(unit, self._count))
        if unit == 0.0:
            return self.low
        if unit == 1.0:
            return self.high
        if self.log:
            return self._snap_log(self.low * math.exp(unit * self._width))
        return self._snap(self.low + unit * self._width)

    def canonical(self, value: Any) -> float:
        """See Parameter. An int becomes a float; with `step`, rounding noise is taken off."""
        number = as_number(value, "the value")
        if not self.low <= number <= self.high:
            raise SpaceError(f"{number!r} is outside {self.low!r} to {self.high!r}.")
        if self.step is None:
            return number
        nearest = self._at(self._index(number))
        noise = max(1e-9 * self.step, 4 * math.ulp(max(-self.low, self.high)))
        if abs(nearest - number) > noise:
            raise SpaceError(f"{number!r} is not {self.low!r} plus a multiple of the step {self.step!r}.")
        return nearest

    @property
    def size(self) -> int | None:
        """See Parameter."""
        if self.step is not None:
            return self._count
        return 1 if self.low == self.high else None

    def _at(self, index: int) -> float:
        if self.step is None:
            return self.low
        low, _, step, scale = self._ticks
        return (low + index * step) / scale

    def _index(self, value: float) -> int:
        assert self.step is not None  # noqa: S101 - our own logic
        return min(round((value - self.low) / self.step), self._count - 1)

    @cached_property
    def _ticks(self) -> tuple[int, int, int, int]:
        """Low, high and step as whole multiples of 1 / scale, and scale: decimals without rounding."""
        ratios = [Decimal(repr(number)).as_integer_ratio() for number in (self.low, self.high, self.step)]
        scale = math.lcm(*(denominator for _, denominator in ratios))
        low, high, step = (numerator * (scale // denominator) for numerator, denominator in ratios)
        return low, high, step, scale

    @cached_property
    def _count(self) -> int:
        low, high, step, _ = self._ticks
        return (high - low) // step + 1

    @cached_property
    def _width(self) -> float:
        return math.log(self.high / self.low) if self.log else self.high - self.low

    @cached_property
    def _anchors(self) -> tuple[float, ...]:
        return (self.low, self.high) if self.default is UNSET else (self.low, self.high, self.default)

    @cached_property
    def _decimals(self) -> int:
        return _DIGITS - math.floor(math.log10(self._width))

    def _snap(self, raw: float) -> float:
        """The decimal next to `raw`, which is the value meant to within 1e-15 of the range."""
        error = 1e-15 * self._width
        for anchor in self._anchors:
            if abs(raw - anchor) <= error:
                return anchor
        snapped = round(raw, self._decimals) + 0.0
        for anchor in self._anchors:  # a decimal that an anchor could be taken for gives way to it
            if abs(snapped - anchor) <= 2 * error:
                return anchor
        return min(max(snapped, self.low), self.high)

    def _snap_log(self, raw: float) -> float:
        """The same for a raw value that is right to within a relative 5e-16 (1 + log(high / low))."""
        error = _log_error(self._width)
        for anchor in self._anchors:
            if abs(raw - anchor) <= error * anchor:
                return anchor
        snapped = float(f"{raw:.{_DIGITS - 1}e}")
        for anchor in self._anchors:
            if abs(snapped - anchor) <= 2 * error * anchor:
                return anchor
        return min(max(snapped, self.low), self.high)

    def _check(self) -> None:
        low, high, log = as_number(self.low, "low"), as_number(self.high, "high"), as_flag(self.log, "log")
        _check_bounds(low, high, log)
        if max(abs(low), abs(high)) > _LARGEST_FLOAT or (log and low < 1 / _LARGEST_FLOAT):
            raise SpaceError(f"bounds must lie within 1e150, and above 1e-150 with log=True; got {low!r} to {high!r}.")
        step = None if self.step is None else as_number(self.step, "step")
        self._set(low=low, high=high, log=log, step=step)
        if step is None:
            return
        if step <= 0:
            raise SpaceError(f"step must be above 0; got step={step!r}.")
        if log:
            raise SpaceError("log=True and step cannot be combined; leave one of them out.")
        if step < 64 * math.ulp(max(abs(low), abs(high))):
            raise SpaceError(f"step={step!r} is too small beside low={low!r}, high={high!r}; leave it out.")
        self._set(high=self._at(self._count - 1))
        self.__dict__.pop("_ticks")  # made with the declared high
        self.__dict__.pop("_count")

    def _arguments(self) -> Mapping[str, Any]:
        return {
            "low": self.low,
            "high": self.high,
            **({"log": True} if self.log else {}),
            **({"step": self.step} if self.step is not None else {}),
        }


@dataclass(frozen=True, eq=False, repr=False)
class Int(Parameter):
    """A whole number between `low` and `high`, both included.

    log: spread over orders of magnitude, cells log-proportional; needs low >= 1 and step 1. step: as
    for Float. A value comes back from `decode(encode(value))` unchanged where the range is below
    2**52; with log=True where it is below 10**12 or has up to 12 significant digits; the bounds always.
    Else the nearest value that a float in [0, 1] can tell apart comes back.
    """

    kind: ClassVar[str] = "int"
    low: int
    high: int
    _: KW_ONLY
    log: bool = False
    step: int = 1

    def encode(self, value: int) -> float:
        """See Parameter."""
        value = min(max(value, self.low), self.high)
        if not self.log:
            return cell_middle(int((value - self.low) // self.step), self.size)
        start = self.low - 0.5
        return (math.log((value - 0.5) / start) + math.log((value + 0.5) / start)) / (2 * self._width)

    def decode(self, unit: float) -> int:
        """See Parameter."""
        unit = clip(unit)
        if not self.log:
            return self._at(cell_at(unit, self.size))
        if unit == 1.0:
            return self.high
        raw = (self.low - 0.5) * math.exp(unit * self._width)
        return min(max(self._snap(raw), self.low), self.high)

    def canonical(self, value: Any) -> int:
        """See Parameter. A float without a fraction becomes an int."""
        number = as_whole(value, "the value")
        if not self.low <= number <= self.high:
            raise SpaceError(f"{number} is outside {self.low} to {self.high}.")
        if (number - self.low) % self.step:
            raise SpaceError(f"{number} is not {self.low} plus a multiple of the step {self.step}.")
        return number

    @property
    def size(self) -> int:
        """See Parameter."""
        return (self.high - self.low) // self.step + 1

    def _at(self, index: int) -> int:
        return self.low + index * self.step

    @cached_property
    def _width(self) -> float:
        return math.log((self.high + 0.5) / (self.low - 0.5))

    def _snap(self, raw: float) -> int:
        """The value whose cell holds `raw`; from 10**12 on only 12 digits can be told apart for certain."""
        number = math.floor(raw + 0.5)
        if number < 10**_DIGITS:
            return number
        error = _log_error(self._width)
        anchors = [anchor for anchor in (self.low, self.high, self.default) if anchor is not UNSET]
        for anchor in anchors:
            if abs(number - anchor) <= error * anchor:
                return int(anchor)
        unit = 10 ** (len(str(number)) - _DIGITS)
        snapped = (number + unit // 2) // unit * unit
        return next((int(a) for a in anchors if abs(snapped - a) <= 2 * error * a), snapped)

    def _check(self) -> None:
        low, high, log = as_whole(self.low, "low"), as_whole(self.high, "high"), as_flag(self.log, "log")
        step = as_whole(self.step, "step")
        _check_bounds(low, high, log)
        if max(abs(low), abs(high)) > _LARGEST_INT:
            raise SpaceError(f"bounds must lie within 2**64; got low={low}, high={high}.")
        if step <= 0:
            raise SpaceError(f"step must be above 0; got step={step}.")
        if log and step != 1:
            raise SpaceError("log=True and step cannot be combined; leave one of them out.")
        self._set(low=low, high=high - (high - low) % step, log=log, step=step)

    def _arguments(self) -> Mapping[str, Any]:
        return {
            "low": self.low,
            "high": self.high,
            **({"log": True} if self.log else {}),
            **({"step": self.step} if self.step != 1 else {}),
        }


class _Listed(Parameter):
    """What parameters with a list of values have in common."""

    choices: Sequence[Any]

    def encode(self, value: Any) -> float:
        """See Parameter. SpaceError where the value is not among the choices."""
        index = self._indices.get(exact(value))
        if index is None:
            index = self._indices[exact(self.canonical(value))]
        return cell_middle(index, len(self.choices))

    def decode(self, unit: float) -> Any:
        """See Parameter."""
        return self.choices[cell_at(clip(unit), len(self.choices))]

    def canonical(self, value: Any) -> Any:
        """See Parameter. Lists become tuples; 1, 1.0 and True are three different choices."""
        choice = as_choice(value)
        if exact(choice) not in self._indices:
            close = did_you_mean(choice, self.choices)
            raise SpaceError(f"{show(choice)} is not among {show_all(self.choices)}{close}")
        return choice

    @property
    def size(self) -> int:
        """See Parameter."""
        return len(self.choices)

    def _at(self, index: int) -> Any:
        return self.choices[index]

    @cached_property
    def _indices(self) -> dict[Any, int]:
        return {exact(choice): index for index, choice in enumerate(self.choices)}

    def _check_choices(self, what: str) -> None:
        given: object = as_scalar(self.choices)  # an array of no dimension is no list
        if isinstance(given, str):
            raise SpaceError(f"{what} must be a list; got the text {given!r}: write [{given!r}].")
        if isinstance(given, Set) and not isinstance(given, MappingView):  # the keys of a dict have an order
            raise SpaceError(f"{what} must be a list, for a set has no order; got {show(given)}.")
        if isinstance(given, (Mapping, bytes)) or not isinstance(given, Iterable):
            raise SpaceError(f"{what} must be a list; got {show(given)}.")
        choices = tuple(as_choice(choice) for choice in given)
        if not choices:
            raise SpaceError(f"{what} must hold at least one value; got an empty list.")
        seen: set[Any] = set()
        for choice in choices:
            if exact(choice) in seen:
                raise SpaceError(f"{what} must differ; {show(choice)} is there twice.")
            seen.add(exact(choice))
        self._set(choices=choices)


@dataclass(frozen=True, eq=False, repr=False)
class Categorical(_Listed):
    """One of several choices without an order: str, int, float, bool, None, or tuples of these.

    weights: how likely each choice is held to be good, one number of at least 0 a choice, in their order: a prior in
    full, instead of `prior`.
    """

    kind: ClassVar[str] = "categorical"
    choices: Sequence[Any]
    _: KW_ONLY
    weights: Sequence[float] | None = None

    def _check(self) -> None:
        self._check_choices("choices")
        if self.weights is None:
            return
        weighed: object = as_scalar(self.weights)
        given = list(weighed) if isinstance(weighed, Iterable) and not isinstance(weighed, (Mapping, Set)) else []
        if len(given) != len(self.choices):
            raise SpaceError(
                f"weights must be a list with a number for each of the {len(self.choices)} choices, in their order; "
                f"got {show(self.weights)}."
            )
        weights = tuple(as_number(weight, "a weight") for weight in given)
        if min(weights) < 0 or not 0 < sum(weights) < math.inf:
            raise SpaceError(f"weights must be at least 0, one of them above; got {given}.")
        if self.prior is not None:
            raise SpaceError("weights and prior say the same; leave one of them out.")
        self._set(weights=weights)

    def _arguments(self) -> Mapping[str, Any]:
        return {"choices": self.choices, **({} if self.weights is None else {"weights": self.weights})}


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Ordinal(_Listed):
    """One of several values in a meaningful order, kept in `choices`. Neighbours should behave alike."""

    kind: ClassVar[str] = "ordinal"
    choices: Sequence[Any]

    def __init__(
        self,
        values: Sequence[Any],
        *,
        default: Any = UNSET,
        when: Mapping[str, Any] | None = None,
        prior: Any = None,
    ) -> None:
        self._set(choices=values, default=default, when=when, prior=prior)
        self.__post_init__()

    def _check(self) -> None:
        self._check_choices("values")

    def _arguments(self) -> Mapping[str, Any]:
        return {"values": self.choices}


@dataclass(frozen=True, eq=False, repr=False)
class Bool(_Listed):
    """False or True."""

    kind: ClassVar[str] = "bool"
    choices: Sequence[Any] = field(default=(False, True), init=False)

    def _check(self) -> None:
        pass

    def _arguments(self) -> Mapping[str, Any]:
        return {}


_KINDS: Mapping[str, tuple[type[Parameter], tuple[str, ...], tuple[str, ...]]] = {
    "float": (Float, ("low", "high"), ("log", "step")),
    "int": (Int, ("low", "high"), ("log", "step")),
    "categorical": (Categorical, ("choices",), ("weights",)),
    "ordinal": (Ordinal, ("values",), ()),
    "bool": (Bool, (), ()),
}
"""Each kind: its class, the arguments that it needs, those that it takes besides `default`, `when` and `prior`."""


def parameter_from_dict(name: str, data: Any, *, where: Where = nowhere) -> Parameter:
    """What `Parameter.to_dict` wrote; SpaceError, naming the parameter, where it cannot be read.

    where: tells the line of (name,) and (name, key) for the message.
    """
    here = f"{where((name,))}{name}: "
    if not isinstance(data, Mapping):
        raise SpaceError(f"{here}must be a mapping such as {{type: float, low: 0, high: 1}}; got {show(data)}.")
    if "type" not in data:
        raise SpaceError(f"{here}needs a type: {either(_KINDS)}.")
    kind = data["type"]
    if not isinstance(kind, str) or kind not in _KINDS:
        close = did_you_mean(kind, _KINDS)
        at = where((name, "type"))
        raise SpaceError(f"{at}{name}: unknown type {show(kind)}; it may be {either(_KINDS)}{close}")
    cls, needed, optional = _KINDS[kind]
    known = ("type", *needed, *optional, "default", "when", "prior")
    for key in data:
        if key not in known:
            close = did_you_mean(key, known, f"; {kind} takes {', '.join(known[1:])}")
            raise SpaceError(f"{where((name, key))}{name}: unknown key {show(key)}{close}")
    for key in needed:
        if key not in data:
            raise SpaceError(f"{here}needs {key!r}.")
    try:
        return cls(**{key: value for key, value in data.items() if key != "type"})
    except SpaceError as error:
        raise SpaceError(f"{here}{error}") from None


def _log_error(width: float) -> float:
    """Bound on the relative error of exp(log(x)) taken over a range of `width` = log(high / low)."""
    return 5e-16 * (1.0 + width)


def _check_bounds(low: float, high: float, log: bool) -> None:
    if low > high:
        raise SpaceError(f"low must be below high; got low={low!r}, high={high!r}.")
    if log and low <= 0:
        raise SpaceError(f"low must be above 0 with log=True; got low={low!r}.")
