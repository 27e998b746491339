"""Conditions: which parameters exist, given the values of others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from greyhound.errors import SpaceError
from greyhound.parameters import UNSET, Parameter, Where
from greyhound.values import did_you_mean, exact, show

Conditions: TypeAlias = tuple[tuple[str, frozenset[Any]], ...]
"""Parents of a parameter, each with the `exact` values at which the parameter exists."""


def resolve(name: str, parameters: Mapping[str, Parameter], where: Where) -> Conditions:
    """The parents of a parameter; SpaceError where one is unknown or cannot have the value asked for."""
    conditions = []
    for parent, values in (parameters[name].when or {}).items():
        here = f"{where((name, 'when'))}{name}: "
        if parent not in parameters:
            close = did_you_mean(parent, parameters)
            raise SpaceError(f"{here}its condition names the unknown parameter {parent!r}{close}")
        try:
            allowed = frozenset(exact(parameters[parent].canonical(value)) for value in values)
        except SpaceError as error:
            raise SpaceError(f"{here}its condition asks of {parent} what it cannot be: {error}") from None
        conditions.append((parent, allowed))
    return tuple(conditions)


def topological(conditions: Mapping[str, Conditions], where: Where) -> tuple[str, ...]:
    """The names, parents before children and else as declared; SpaceError for a cycle."""
    order: list[str] = []
    waiting = list(conditions)
    while waiting:
        ready = set(order)
        late = []
        for name in waiting:
            if all(parent in ready for parent, _ in conditions[name]):
                order.append(name)
                ready.add(name)
            else:
                late.append(name)
        if len(late) == len(waiting):
            name = late[0]
            raise SpaceError(f"{where((name, 'when'))}{name}: its condition leads back to itself.")
        waiting = late
    return tuple(order)


def exists(conditions: Conditions, values: Mapping[str, Any]) -> bool:
    """Whether a parameter with these conditions exists where its parents have these values."""
    return all(parent in values and exact(values[parent]) in allowed for parent, allowed in conditions)


def combinations(
    order: Sequence[str], axes: Mapping[str, Sequence[Any]], conditions: Mapping[str, Conditions]
) -> Iterator[dict[str, Any]]:
    """All configurations of the values on these axes, the parameter that is last in order changing fastest.

    order: parents before children. The dicts that are given are the caller's to keep.
    """
    values: dict[str, Any] = {}
    levels: list[Iterator[Any]] = []  # one iterator for each parameter of the order that is open

    def opened(name: str) -> Iterator[Any]:
        return iter(axes[name]) if exists(conditions[name], values) else iter((UNSET,))

    if not order:
        yield {}
        return
    levels.append(opened(order[0]))
    while levels:
        name = order[len(levels) - 1]
        values.pop(name, None)
        try:
            value = next(levels[-1])
        except StopIteration:
            levels.pop()
            continue
        if value is not UNSET:
            values[name] = value
        if len(levels) < len(order):
            levels.append(opened(order[len(levels)]))
        else:
            yield dict(values)


def condition_text(parameter: Parameter) -> str:
    """The condition of a parameter in words."""
    return " and ".join(
        f"{name} is {' or '.join(show(value) for value in values)}" for name, values in (parameter.when or {}).items()
    )


def count_configurations(
    order: Sequence[str], parameters: Mapping[str, Parameter], conditions: Mapping[str, Conditions]
) -> int | None:
    """Configurations by the sets of parameters that their parents rule out; None if infinitely many.

    Goes through the parameters parents first. `ways` counts, for each set of parameters still to come
    that do not exist, the assignments so far that lead to it.
    """
    children: dict[str, list[tuple[str, frozenset[Any]]]] = {name: [] for name in order}
    for name in order:
        for parent, allowed in conditions[name]:
            children[parent].append((name, allowed))
    ways: dict[frozenset[str], int] = {frozenset(): 1}
    for name in _depth_first(order, children, conditions):
        size = parameters[name].size
        everyone = frozenset(child for child, _ in children[name])
        named = frozenset().union(*(allowed for _, allowed in children[name]))
        outcomes = [(frozenset(c for c, allowed in children[name] if value not in allowed), 1) for value in named]
        after: dict[frozenset[str], int] = {}
        for absent, count in ways.items():
            rest = absent - {name}
            if name in absent:
                after[rest | everyone] = after.get(rest | everyone, 0) + count
                continue
            if size is None:
                return None
            for ruled_out, number in (*outcomes, (everyone, size - len(named))):
                if number:
                    after[rest | ruled_out] = after.get(rest | ruled_out, 0) + count * number
        ways = after
    return sum(ways.values())


def _depth_first(
    order: Sequence[str],
    children: Mapping[str, Sequence[tuple[str, frozenset[Any]]]],
    conditions: Mapping[str, Conditions],
) -> Iterator[str]:
    """Parents before children, and each child as soon as may be, so that few are open at a time."""
    missing = {name: len(conditions[name]) for name in order}
    stack = [name for name in reversed(order) if not missing[name]]
    while stack:
        name = stack.pop()
        yield name
        for child, _ in children[name]:
            missing[child] -= 1
            if not missing[child]:
                stack.append(child)
