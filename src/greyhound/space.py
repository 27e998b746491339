"""The search space: parameters, the conditions under which they exist, and the constraints between them.

A `Space` is immutable. It maps configurations (dicts of the parameters that exist) to points of the
unit cube and back, one coordinate a parameter in the order of declaration, whether it exists or not.

    space = Space(
        lr=Float(1e-5, 1e-1, log=True),
        optimizer=Categorical(["sgd", "adamw"]),
        momentum=Float(0.0, 0.99, when={"optimizer": "sgd"}),
    )

This module is the door to all that concerns spaces; parameters are defined in `parameters`
and `kinds`, `when` in `conditions`, rules in `constraints`, files in `spacefile`, and changes of a
parameter in `evolution`. How trials follow a changed space is `migration`'s affair.
"""

from __future__ import annotations

import itertools
import json
import os
import random
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import cached_property
from keyword import iskeyword
from types import MappingProxyType
from typing import Any

from greyhound.conditions import (
    Conditions,
    combinations,
    condition_text,
    count_configurations,
    exists,
    resolve,
    topological,
)
from greyhound.constraints import Constraint, Rule, make_constraint
from greyhound.errors import SpaceError
from greyhound.evolution import widen
from greyhound.kinds import Bool, Categorical, Float, Int, Ordinal, parameter_from_dict
from greyhound.markup import paragraph, table
from greyhound.parameters import UNSET, Parameter, Where, nowhere
from greyhound.spacefile import locator, read_json, read_text, read_yaml, write_yaml
from greyhound.values import did_you_mean, exact, show
from greyhound.walk import Uniform, walk

__all__ = [
    "INACTIVE",
    "UNSET",
    "Bool",
    "Categorical",
    "Float",
    "Int",
    "Ordinal",
    "Parameter",
    "Space",
    "parameter_from_dict",
    "read_yaml",
    "widen",
]

INACTIVE = 0.5
"""The coordinate of a parameter that a configuration does not have."""

_CONSTRAINTS = "constraints"
_MOST_TRIES = 10_000
_MOST_ENUMERATED = 20_000
_PROBES = 64
_PROBES_OF_FUNCTIONS = 8
"""Points on which constraints are tried at declaration though the first is allowed; functions may be slow."""


class Space:
    """Parameters by name, and constraints between them.

    parameters: a mapping, for names that are no keyword; the others are given by keyword. constraint:
    rules by name, each a function of the configuration that tells whether it is allowed, or an
    expression such as "a < b"; a rule that mentions a parameter which does not exist in a
    configuration is satisfied there. Whatever is wrong raises SpaceError, as does a space in which no
    configuration keeps to the constraints, so far as trying many can tell.
    """

    def __init__(
        self,
        parameters: Mapping[str, Parameter] | None = None,
        /,
        *,
        constraint: Mapping[str, Rule] | None = None,
        **params: Parameter,
    ) -> None:
        if parameters is not None and not isinstance(parameters, Mapping):
            raise SpaceError(f"parameters must be a mapping from names to parameters; got {show(parameters)}.")
        declared = dict(parameters or {})
        for name, parameter in params.items():
            if name in declared:
                raise SpaceError(f"{name}: is declared twice, in the mapping and by keyword.")
            declared[name] = parameter
        if isinstance(constraint, Parameter):
            raise SpaceError("a parameter named constraint is declared as Space({'constraint': ...}).")
        self._build(declared, {} if constraint is None else constraint, nowhere)

    def _build(self, parameters: Mapping[Any, Any], rules: Any, where: Where) -> None:
        for name, parameter in parameters.items():
            if not isinstance(name, str) or not name:
                raise SpaceError(f"a parameter's name must be text; got {show(name)}.")
            if not isinstance(parameter, Parameter):
                raise SpaceError(f"{name}: must be a parameter such as Float(0.0, 1.0); got {show(parameter)}.")
        if not isinstance(rules, Mapping):
            raise SpaceError(f"constraint must be a mapping such as {{'a below b': 'a < b'}}; got {show(rules)}.")
        self._parameters: dict[str, Parameter] = dict(parameters)
        self._conditions = {name: resolve(name, self._parameters, where) for name in parameters}
        self._order = topological(self._conditions, where)
        self._index = {name: at for at, name in enumerate(self._parameters)}
        self._constraints: dict[str, Constraint] = {}
        for name, rule in rules.items():
            try:
                self._constraints[name] = make_constraint(name, rule, self._parameters)
            except SpaceError as error:
                raise SpaceError(f"{where((_CONSTRAINTS, name))}{error}") from None
        if self._constraints:
            try:
                self._refuse_empty()
            except SpaceError as error:
                raise SpaceError(f"{where((_CONSTRAINTS,))}{error}") from error.__cause__

    # What it holds

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters in order of declaration, which is the order of coordinates."""
        return tuple(self._parameters)

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """The parameters by name."""
        return MappingProxyType(self._parameters)

    @property
    def constraints(self) -> Mapping[str, Rule]:
        """The rules by name, as they were given."""
        return {name: constraint.rule for name, constraint in self._constraints.items()}

    @property
    def dimension(self) -> int:
        """How many parameters there are."""
        return len(self._parameters)

    @property
    def conditions(self) -> Mapping[str, Conditions]:
        """The parents of each parameter, with the `exact` values at which it exists; () where it always does."""
        return MappingProxyType(self._conditions)

    @cached_property
    def size(self) -> int | None:
        """How many distinct configurations there are, constraints not counted; None if infinitely many.

        Counted over the structure of the conditions, not one by one; the cost grows with the number of
        conditional parameters whose existence hangs together.
        """
        return count_configurations(self._order, self._parameters, self._conditions)

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __contains__(self, name: object) -> bool:
        return name in self._parameters

    def __getitem__(self, name: str) -> Parameter:
        return self._parameters[name]

    def __eq__(self, other: object) -> bool:
        """Equal parameters in the same order, and equal constraints."""
        if not isinstance(other, Space):
            return NotImplemented
        mine, theirs = self._parameters, other._parameters
        return list(mine.items()) == list(theirs.items()) and self.constraints == other.constraints

    def __hash__(self) -> int:
        return hash((self.names, tuple(self._constraints)))

    def __repr__(self) -> str:
        if not self._parameters:
            return "Space()"
        by_keyword = all(name.isidentifier() and not iskeyword(name) for name in self._parameters)
        by_keyword = by_keyword and "constraint" not in self._parameters
        if by_keyword:
            lines = [f"    {name}={parameter!r},\n" for name, parameter in self._parameters.items()]
        else:
            inner = "".join(f"        {name!r}: {parameter!r},\n" for name, parameter in self._parameters.items())
            lines = [f"    {{\n{inner}    }},\n"]
        if self._constraints:
            lines.append(f"    constraint={self.constraints!r},\n")
        return f"Space(\n{''.join(lines)})"

    def _repr_html_(self) -> str:
        columns = ("parameter", "kind", "values", "default", "exists where")
        rows = [(name, *_described(parameter)) for name, parameter in self._parameters.items()]
        return table(columns, rows) + "".join(paragraph(f"constraint: {name}") for name in self._constraints)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self._parameters, self.constraints)

    # Configurations

    def active(self, params: Mapping[str, Any]) -> tuple[str, ...]:
        """Names of the parameters that exist in a configuration, given the values of their parents.

        `params` may also hold parameters that do not exist there; they are ignored.
        """
        values: dict[str, Any] = {}
        there = set()
        for name in self._order:
            if self._exists(name, values):
                there.add(name)
                if name in params:
                    values[name] = params[name]
        return tuple(name for name in self._parameters if name in there)

    def allows(self, params: Mapping[str, Any]) -> bool:
        """Whether all constraints hold; SpaceError where one cannot be worked out."""
        return all(constraint.holds(params) for constraint in self._constraints.values())

    def complete(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration with missing parameters at their default, where they have one."""
        values: dict[str, Any] = {}
        for name in self._order:
            parameter = self._parameters[name]
            if name in params:
                if parameter.contains(params[name]):  # in the form of this space, in which conditions name it
                    values[name] = parameter.canonical(params[name])
            elif self._exists(name, values) and parameter.has_default:
                values[name] = parameter.default
        return {**self._declared(values), **{name: params[name] for name in params if name not in values}}

    def default(self) -> dict[str, Any] | None:
        """The default configuration; None where a parameter that exists in it has no default."""
        params = self.complete({})
        return params if len(params) == len(self.active(params)) else None

    def validate(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """A configuration given by a person, in the form of this space.

        In order of declaration and in plain Python: scalars of numpy, ints for a Float, floats without
        a fraction for an Int, and lists are converted. SpaceError where a name is unknown or missing, a
        parameter is given that does not exist there, a value is out of range, or a constraint is broken.
        """
        if not isinstance(params, Mapping):
            raise SpaceError(f"a configuration is a mapping from names to values; got {show(params)}.")
        for name in params:
            if name not in self._parameters:
                close = did_you_mean(name, self._parameters, f"; there are {', '.join(self._parameters) or 'none'}")
                raise SpaceError(f"unknown parameter {show(name)}{close}")
        values: dict[str, Any] = {}
        for name in self._order:
            exists = self._exists(name, values)
            if exists and name not in params:
                raise SpaceError(f"{name}: is missing; give it a value.")
            if not exists and name in params:
                raise SpaceError(f"{name}: exists only where {condition_text(self._parameters[name])}; leave it out.")
            if exists:
                try:
                    values[name] = self._parameters[name].canonical(params[name])
                except SpaceError as error:
                    raise SpaceError(f"{name}: {error}") from None
        for constraint in self._constraints.values():
            if not constraint.holds(values):
                shown = ", ".join(f"{name}={value!r}" for name, value in values.items() if name in constraint.names)
                raise SpaceError(f"{constraint} does not hold for {shown}.")
        return self._declared(values)

    def key(self, params: Mapping[str, Any]) -> Hashable:
        """Equal for two configurations, as `validate` or `decode` give them, if they are the same one."""
        return tuple((name, exact(params[name])) for name in self._parameters if name in params)

    # The unit cube

    def encode(self, params: Mapping[str, Any]) -> tuple[list[float], list[bool]]:
        """The configuration's point in the unit cube, and which coordinates count: the rest are INACTIVE."""
        mask = [name in params for name in self._parameters]
        units = [
            parameter.encode(params[name]) if name in params else INACTIVE
            for name, parameter in self._parameters.items()
        ]
        return units, mask

    def decode(self, units: Sequence[float]) -> dict[str, Any]:
        """The configuration at a point of the unit cube; constraints are not looked at.

        Coordinates outside [0, 1] are clipped; those of parameters that do not exist there are ignored.
        """
        if len(units) != len(self._parameters):
            raise SpaceError(f"a point of this space has {len(self._parameters)} coordinates; got {len(units)}.")
        values: dict[str, Any] = {}
        for name in self._order:
            if self._exists(name, values):
                values[name] = self._parameters[name].decode(units[self._index[name]])
        return self._declared(values)

    def sample(self, rng: Uniform) -> dict[str, Any]:
        """A configuration uniform over what the constraints leave of the unit cube.

        Where many draws in a row break a constraint, the end of a random walk from one that is known to break none.
        """
        for _ in range(_MOST_TRIES):
            params = self.decode([rng.random() for _ in self._parameters])
            if self.allows(params):
                return params
        inside, _ = self.encode(self._inside)
        params = self.decode(walk(inside, lambda units: self.allows(self.decode(units)), rng))
        return params if self.allows(params) else dict(self._inside)  # rounding, where it never moved

    @cached_property
    def _inside(self) -> dict[str, Any]:
        """A configuration that keeps to the constraints: the default, or else the first that the declaration tried."""
        default = self.default()
        return next(filter(self.allows, self._probes())) if default is None else default

    def grid(self, levels: int) -> Iterator[dict[str, Any]]:
        """All distinct allowed configurations of the values on the `axes`.

        The parameter declared last changes fastest, parents before the parameters that depend on them.
        """
        return (params for params in self._product(self.axes(levels)) if self.allows(params))

    def axes(self, levels: int) -> dict[str, Sequence[Any]]:
        """The values of each parameter on a grid: all that are listed, and at most `levels` of a range."""
        ranges = {name for name, parameter in self._parameters.items() if isinstance(parameter, (Float, Int))}
        return {name: p.values(levels if name in ranges else p.size or 1) for name, p in self._parameters.items()}

    def _product(self, axes: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
        return map(self._declared, combinations(self._order, axes, self._conditions))

    def _exists(self, name: str, values: Mapping[str, Any]) -> bool:
        return exists(self._conditions[name], values)

    def _declared(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: values[name] for name in self._parameters if name in values}

    def _refuse_empty(self) -> None:
        """Raise SpaceError where a constraint breaks down, or where nothing that is tried is allowed."""
        default = self.default()
        for constraint in self._constraints.values():
            if default is not None and not constraint.holds(default):
                raise SpaceError(f"{constraint} does not hold for the default configuration; change the defaults.")
        swift = all(isinstance(rule, str) for rule in self.constraints.values())
        enough = _PROBES if swift else _PROBES_OF_FUNCTIONS
        held: set[str] = set()
        found, tried = False, 0
        for params in self._probes():
            tried += 1
            holding = [name for name, constraint in self._constraints.items() if constraint.holds(params)]
            held.update(holding)
            found = found or len(holding) == len(self._constraints)
            if found and tried >= enough:
                return
        if found:
            return
        never = [str(constraint) for name, constraint in self._constraints.items() if name not in held]
        what = " or the ".join(never) if never else f"constraints {_quoted(self._constraints)} together"
        size = self.size
        how = "of all" if size is not None and size <= _MOST_ENUMERATED else "of the"
        raise SpaceError(f"no configuration satisfies the {what}: none {how} {tried:,} that were tried.")

    def _probes(self) -> Iterator[dict[str, Any]]:
        """Where to try the constraints: all of a small space, else corners, a grid, and random points."""
        if self.size is not None and self.size <= _MOST_ENUMERATED:
            yield from self._product({name: p.values(p.size or 1) for name, p in self._parameters.items()})
            return
        rng = random.Random(0)
        dimension = len(self._parameters)
        yield from (self.decode([rng.random() for _ in range(dimension)]) for _ in range(_PROBES))
        corners = itertools.islice(itertools.product((0.0, 1.0), repeat=dimension), 1024)
        yield from (self.decode(corner) for corner in corners)
        for at, end in itertools.product(range(dimension), (0.0, 1.0)):
            yield self.decode([end if other == at else 1.0 - end for other in range(dimension)])
        axes = {name: parameter.values(3) for name, parameter in self._parameters.items()}
        yield from itertools.islice(self._product(axes), 2048)
        yield from (self.decode([rng.random() for _ in range(dimension)]) for _ in range(_MOST_TRIES))

    # Files

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe values: parameters by name, and "constraints"; a rule that is a function becomes None.

        A parameter may not be named "constraints" here; SpaceError if one is.
        """
        if _CONSTRAINTS in self._parameters:
            raise SpaceError("a parameter named 'constraints' cannot be written to a file; rename it.")
        data: dict[str, Any] = {name: parameter.to_dict() for name, parameter in self._parameters.items()}
        if self._constraints:
            data[_CONSTRAINTS] = {
                name: rule if isinstance(rule, str) else None for name, rule in self.constraints.items()
            }
        return data

    @classmethod
    def from_dict(
        cls, data: Any, *, functions: Mapping[str, Callable[..., Any]] | None = None, where: Where = nowhere
    ) -> Space:
        """What `to_dict` wrote; SpaceError where it cannot be read.

        functions: the constraints that are functions, by name. where: tells the line of a key path.
        """
        if not isinstance(data, Mapping):
            raise SpaceError(
                f"{where(())}a space maps names to parameters, as in lr: {{type: float, low: 0, high: 1}}; "
                f"got {show(data)}."
            )
        given = {name: value for name, value in data.items() if name != _CONSTRAINTS}
        for name in given:
            if not isinstance(name, str):
                raise SpaceError(f"{where((name,))}a parameter's name must be text; got {show(name)}: quote it.")
        parameters = {name: parameter_from_dict(name, value, where=where) for name, value in given.items()}
        rules = _rules(data.get(_CONSTRAINTS), functions or {}, where)
        space = cls.__new__(cls)
        space._build(parameters, rules, where)
        return space

    def to_yaml(self) -> str:
        """The space as YAML, one line a parameter; see `to_dict`."""
        data = self.to_dict()
        rules = data.pop(_CONSTRAINTS, None)
        text = write_yaml(data) if data or not rules else ""
        if rules:
            text += f"{_CONSTRAINTS}:\n" + "".join(f"  {line}\n" for line in write_yaml(rules).splitlines())
        return text

    @classmethod
    def from_yaml(
        cls,
        text_or_path: str | os.PathLike[str],
        *,
        functions: Mapping[str, Callable[..., Any]] | None = None,
    ) -> Space:
        """A space from a YAML text or file; SpaceError, naming the line, where it cannot be read."""
        text, source = read_text(text_or_path, "YAML")
        data, lines = read_yaml(text, source)
        return cls.from_dict(data, functions=functions, where=locator(lines, source))

    def to_json(self) -> str:
        """The space as JSON; see `to_dict`."""
        return json.dumps(self.to_dict(), indent=2)

    @classmethod
    def from_json(
        cls,
        text_or_path: str | os.PathLike[str],
        *,
        functions: Mapping[str, Callable[..., Any]] | None = None,
    ) -> Space:
        """A space from a JSON text or file; SpaceError where it cannot be read."""
        text, source = read_text(text_or_path, "JSON")
        return cls.from_dict(read_json(text, source), functions=functions, where=locator({}, source))


# Reading


def _rules(data: Any, functions: Mapping[str, Callable[..., Any]], where: Where) -> dict[str, Rule]:
    here = where((_CONSTRAINTS,))
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise SpaceError(f"{here}constraints must be a mapping such as {{a below b: a < b}}; got {show(data)}.")
    rules: dict[str, Rule] = {}
    for name, rule in data.items():
        at = where((_CONSTRAINTS, name))
        if rule is None and name in functions:
            rules[name] = functions[name]
        elif rule is None:
            raise SpaceError(f"{at}constraint {show(name)}: is a function, which a file cannot hold; give it again.")
        elif isinstance(rule, str):
            rules[name] = rule
        else:
            raise SpaceError(
                f"{at}constraint {show(name)}: must be an expression such as 'a < b'; got {show(rule)}. "
                "(A parameter in a file may not be named 'constraints'.)"
            )
    return rules


def _quoted(names: Mapping[str, object]) -> str:
    return ", ".join(repr(name) for name in names)


def _described(parameter: Parameter) -> tuple[str, str, str, str]:
    """Kind, values, default and condition of a parameter, in words."""
    told = parameter.to_dict()
    if "low" in told:
        values = f"{told['low']:g} to {told['high']:g}" + (f" by {told['step']:g}" if told.get("step") else "")
        values += ", by magnitude" if told.get("log") else ""
    else:
        values = ", ".join(show(value) for value in told.get("choices") or told.get("values") or (False, True))
    default = show(parameter.default) if parameter.has_default else ""
    return told["type"], values, default, condition_text(parameter)


def _restored(parameters: Mapping[str, Parameter], rules: Mapping[str, Rule]) -> Space:
    return Space(parameters, constraint=rules)
