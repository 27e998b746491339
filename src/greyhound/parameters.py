"""Parameters: the dimensions of a search space, each with its map to and from the unit interval.

Samplers work in the unit cube. `decode` turns a unit into a value so that a uniform unit gives a
uniform value (log-uniform where `log=True`), and `encode` is its inverse:

- A parameter with k values owns k cells of the interval, equal unless `log=True`; a value encodes
  as the middle of its cell.
- A continuous value is snapped to a decimal grid on its way out, so that trials show 0.1 and not
  0.09999999999999999 and so that `decode(encode(v)) == v` exactly: for every value that `decode`
  gives, the bounds, the default, and every value of up to 12 significant digits (counted from the
  width of the range, or from the value itself where `log=True`) that is not within rounding error of
  a bound or the default without being it. Any other value comes back to within 1e-11 of the range
  (of itself where `log=True`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from enum import Enum
from functools import cached_property
from typing import Any, ClassVar, TypeAlias

from greyhound.errors import SpaceError
from greyhound.values import as_conditions, as_json, as_scalar, exact, is_int, show


class Unset(Enum):
    """The default of a parameter that has none; None cannot say so, for it may be a choice."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"


UNSET = Unset.UNSET

Where: TypeAlias = Callable[[tuple[Any, ...]], str]
"""Where in a file the entry of a key path stands, as the start of an error message; "" if in no file."""


def nowhere(path: tuple[Any, ...]) -> str:
    """The `Where` of what does not come from a file."""
    return ""


@dataclass(frozen=True, eq=False, repr=False)
class Parameter(ABC):
    """One dimension of a space.

    default: its value in the space's default configuration. when: the parameter exists only where
    each of these other parameters exists and has the given value, or one of the given list of
    values. (A list, tuple, set or range is always read as a list of values; a value that is itself a tuple is
    written inside a list.) prior: a guess at a good value, or the pair of guess and how sure, above 0 and
    below 1 (0.5 where only the guess is given); samplers look there first, and less so with every
    result. Wrong arguments raise SpaceError.
    """

    kind: ClassVar[str]
    _: KW_ONLY
    default: Any = UNSET
    when: Mapping[str, Any] | None = None
    prior: Any = None

    def __post_init__(self) -> None:
        self._check()
        self._set(when=as_conditions(self.when), prior=self._guess(self.prior))
        if self.default is not UNSET:
            unset = self.default is None and not self.contains(None)
            try:
                self._set(default=UNSET if unset else self.canonical(self.default))
            except SpaceError as error:
                raise SpaceError(f"default: {error}") from None

    @abstractmethod
    def encode(self, value: Any) -> float:
        """The value's place in [0, 1]. Numbers outside the bounds count as the bound."""

    @abstractmethod
    def decode(self, unit: float) -> Any:
        """The value at a place in [0, 1]; a unit outside is clipped."""

    @abstractmethod
    def canonical(self, value: Any) -> Any:
        """The value as this parameter writes it in plain Python; SpaceError where it is not one."""

    @property
    @abstractmethod
    def size(self) -> int | None:
        """How many values there are; None where there is a continuum."""

    @property
    def has_default(self) -> bool:
        """Whether a default was given."""
        return self.default is not UNSET

    def contains(self, value: Any) -> bool:
        """Whether the value is one of this parameter's."""
        try:
            self.canonical(value)
        except SpaceError:
            return False
        return True

    def values(self, levels: int) -> tuple[Any, ...]:
        """At most `levels` distinct values, spread evenly over the unit interval; all, if so few."""
        if not is_int(levels) or levels < 1:
            raise SpaceError(f"levels must be a whole number of at least 1; got {show(levels)}.")
        if self.size is not None and self.size <= levels:
            return tuple(self._at(index) for index in range(self.size))
        units = (at / (levels - 1) for at in range(levels)) if levels > 1 else (0.5,)
        spread = (self.decode(unit) for unit in units)
        return tuple({exact(value): value for value in spread}.values())

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe values that `parameter_from_dict` reads; arguments left at their default are left out."""
        data: dict[str, Any] = {"type": self.kind}
        data.update((name, as_json(value)) for name, value in self._arguments().items())
        if self.has_default:
            data["default"] = as_json(self.default)
        if self.when:
            data["when"] = {name: as_json(_alone(values)) for name, values in self.when.items()}
        if self.prior is not None:
            data["prior"] = [as_json(self.prior[0]), self.prior[1]]
        return data

    def __repr__(self) -> str:
        arguments = dict(self._arguments())
        if self.has_default:
            arguments["default"] = self.default
        if self.when:
            arguments["when"] = {name: _alone(values) for name, values in self.when.items()}
        if self.prior is not None:
            arguments["prior"] = self.prior
        bare = ("low", "high", "choices", "values")
        shown = (repr(value) if name in bare else f"{name}={value!r}" for name, value in arguments.items())
        return f"{type(self).__name__}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        return self._key == other._key if isinstance(other, Parameter) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key)

    @cached_property
    def _key(self) -> tuple[Any, ...]:
        when = frozenset((name, frozenset(map(exact, values))) for name, values in (self.when or {}).items())
        return (self.kind, exact(tuple(self._arguments().items())), exact(self.default), when, exact(self.prior))

    @abstractmethod
    def _check(self) -> None:
        """Bring the arguments into their plain form, or raise SpaceError."""

    @abstractmethod
    def _arguments(self) -> Mapping[str, Any]:
        """The arguments of its own that differ from their default, by name."""

    def _guess(self, prior: Any) -> tuple[Any, float] | None:
        """A prior as a guess and how sure; SpaceError where it is neither a guess nor that."""
        if prior is None:
            return None
        pair = isinstance(prior, (tuple, list)) and len(prior) == 2 and not self.contains(prior)
        guess, sure = (prior[0], as_scalar(prior[1])) if pair else (prior, 0.5)
        try:
            guess = self.canonical(guess)
        except SpaceError as error:
            raise SpaceError(f"prior: {error}") from None
        if isinstance(sure, bool) or not isinstance(sure, (int, float)) or not 0.0 < sure < 1.0:
            raise SpaceError(f"prior: how sure must lie between 0 and 1, as in prior=({guess!r}, 0.7); got {sure!r}.")
        return guess, float(sure)

    def _at(self, index: int) -> Any:
        """The value of cell `index`, counted from the lowest."""
        raise NotImplementedError

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)


def _alone(values: tuple[Any, ...]) -> Any:
    """Values of a condition as people write them: one that is no tuple without its list."""
    return values[0] if len(values) == 1 and not isinstance(values[0], tuple) else list(values)


# Cells of the unit interval


def cell_middle(index: int, count: int) -> float:
    """The middle of cell `index` of `count` equal ones, so that `cell_at` finds it again below 2**52."""
    unit = (2 * index + 1) / (2 * count)
    return math.nextafter(unit, 0.0) if cell_at(unit, count) > index else unit


def cell_at(unit: float, count: int) -> int:
    """floor(unit * count), at most count - 1, without rounding error."""
    numerator, denominator = unit.as_integer_ratio()
    return min(numerator * count // denominator, count - 1)


def clip(unit: float) -> float:
    """The unit, within [0, 1]."""
    return float(min(1.0, max(0.0, unit)))
