"""A space as arrays: many configurations at once, as rows of the unit cube.

A row has a coordinate for every parameter, also for those that do not exist at it: these keep any value
until a parent changes, and `activity` says which count. Parameters with values that can be counted are held at the
places that `encode` gives these values, so that a row of the cube and a trial of the history are the same numbers.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from greyhound.kinds import Bool, Categorical
from greyhound.numeric.gp import Layout
from greyhound.samplers.priors import has_priors, log_density
from greyhound.space import INACTIVE, Space
from greyhound.values import exact

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from greyhound.numeric.gp import Bools, Floats

_LISTED = 4096
"""The places of parameters with at most so many values are listed; those of others are worked out each time."""
_FEW = 12
_MOST_OTHERS = 64
"""Of more unordered values a search looks at so many others at a time: each is a column of the model."""
_SCALES = (0.003, 0.01, 0.03, 0.1, 0.3)
"""Standard deviations of a continuous coordinate's moves."""


@dataclass(frozen=True)
class _Parent:
    at: int
    allowed: Bools | frozenset[Any]  # by level, or the values themselves where these are too many


@functools.lru_cache(maxsize=16)
def cube_of(space: Space) -> Cube:
    """The cube of a space, made once."""
    return Cube(space)


class Cube:
    """The arrays that belong to a space. d: its dimension; rows: (n, d) in the unit cube.

    cells: (d,), how many equal cells a coordinate has, 0 where it is continuous or its cells are unequal.
    categories: how many values without an order, 0 for others; unordered: (d,), where there are such.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        parameters = list(space.parameters.values())
        sizes = [parameter.size for parameter in parameters]
        index = {name: at for at, name in enumerate(space)}
        self.dimension = len(parameters)
        self.levels: list[Floats | None] = [
            np.unique([parameter.encode(value) for value in parameter.values(_LISTED)])
            if size is not None and size <= _LISTED
            else None
            for parameter, size in zip(parameters, sizes, strict=True)
        ]
        self._edges = [np.empty(0) if each is None else _edges(each) for each in self.levels]
        self.cells = np.array(
            [0 if getattr(parameter, "log", False) else min(parameter.size or 0, 2**52) for parameter in parameters],
            np.int64,
        )
        self.categories = tuple(
            size or 0 if isinstance(parameter, Categorical | Bool) else 0
            for parameter, size in zip(parameters, sizes, strict=True)
        )
        self.unordered = np.array(self.categories, np.int64) > 0
        self._warped = tuple(
            not categories and (levels is None or len(levels) > _FEW)
            for categories, levels in zip(self.categories, self.levels, strict=True)
        )
        self.varying = np.array([size != 1 for size in sizes], bool)
        self._parents: list[list[_Parent]] = [
            [_Parent(index[parent], self._allowed(index[parent], values)) for parent, values in conditions]
            for conditions in space.conditions.values()
        ]
        self.conditional = tuple(bool(parents) for parents in self._parents)
        self._order = _parents_first(self._parents)
        self.constrained = bool(space.constraints)
        self._alike = _alike(space)

    def layout(self, active: Bools) -> Layout:
        """What a model has to know of the coordinates; `active` of the trials: a space defined by run has gaps."""
        optional = np.asarray(self.conditional, bool) | (~active).any(axis=0)
        return Layout(self.categories, tuple(optional.tolist()), self._warped, self._alike)

    def snap(self, rows: Floats) -> Floats:
        """The rows within the cube, with each coordinate that has values at the place of its value."""
        snapped = np.clip(rows, 0.0, 1.0)
        for at, parameter in enumerate(self.space.parameters.values()):
            levels = self.levels[at]
            if levels is not None:
                snapped[:, at] = levels[self._level(at, snapped[:, at])]
            elif parameter.size is not None:
                snapped[:, at] = [parameter.encode(parameter.decode(unit)) for unit in snapped[:, at].tolist()]
        return snapped

    def activity(self, rows: Floats) -> Bools:
        """Which parameters exist at snapped rows, (n, d)."""
        active = np.ones(rows.shape, bool)
        for at in self._order:
            for parent in self._parents[at]:
                active[:, at] &= active[:, parent.at] & self._meets(rows[:, parent.at], parent)
        return active

    def random(self, rng: np.random.Generator, count: int) -> Floats:
        """`count` random snapped rows, uniform in the cube; where there are constraints, those that keep to them.

        At least one.
        """
        rows = self.snap(rng.random((count, self.dimension)))
        rows = rows[self.allowed(rows)]
        return rows if len(rows) else self.rows([self.space.sample(rng)])

    def allowed(self, rows: Floats) -> Bools:
        """Which rows keep to the constraints."""
        if not self.constrained:
            return np.ones(len(rows), bool)
        return np.array([self.space.allows(self.space.decode(row)) for row in rows.tolist()], bool)

    def log_prior(self, rows: Floats) -> Floats:
        """log of the density that the user's guesses give snapped rows, (n,); parameters that are absent count 0."""
        total = np.zeros(len(rows))
        if has_priors(self.space):
            active = self.activity(rows)
            for at, parameter in enumerate(self.space.parameters.values()):
                total += np.where(active[:, at], log_density(parameter, rows[:, at]), 0.0)
        return total

    def everything(self, most: int) -> Floats | None:
        """All configurations as rows, where there are at most `most`, else None."""
        size = self.space.size
        return self._grid if size is not None and size <= most else None

    @functools.cached_property
    def _grid(self) -> Floats:
        return self.rows(self.space.grid(self.space.size or 1))

    def neighbours(self, row: Floats, rng: np.random.Generator) -> Floats:
        """Allowed rows that differ from a row, (d,), in one parameter that exists there, and in what it brings in.

        Parameters of few values, or of unordered ones, take each other value, of hundreds some at random; those of many
        ordered ones the nearest and some at random.
        """
        active = self.activity(row[None])[0]
        moves = {at: self._moves(at, float(row[at]), rng) for at in np.flatnonzero(active & self.varying).tolist()}
        moved = np.repeat(list(moves), [len(values) for values in moves.values()]).astype(np.intp)
        each = np.arange(len(moved))
        near = np.where(active, row, rng.random((len(moved), self.dimension)))
        near[each, moved] = np.concatenate([np.empty(0), *moves.values()])
        near = self.snap(near)
        near = near[near[each, moved] != row[moved]]
        return np.asarray(near[self.allowed(near)])

    def mutants(self, rows: Floats, rng: np.random.Generator, count: int) -> Floats:
        """`count` rows, each a random one of `rows`, or a cross of two, with about two of its coordinates moved."""
        chosen, other = rows[rng.integers(len(rows), size=(2, count))]
        crossed = rng.random((count, 1)) < 0.5
        chosen = np.where(crossed & (rng.random(chosen.shape) < 0.5), other, chosen)
        moved = rng.random(chosen.shape) < min(1.0, 2.0 / max(1, self.dimension))
        scale = np.asarray(_SCALES)[rng.integers(len(_SCALES), size=chosen.shape)]
        near = chosen + scale * rng.standard_normal(chosen.shape)
        anywhere = rng.random(chosen.shape)
        jump = self.unordered | (rng.random(chosen.shape) < 0.3)
        return self.snap(np.where(moved, np.where(jump, anywhere, _reflect(near)), chosen))

    def rows(self, configurations: Iterable[Mapping[str, Any]]) -> Floats:
        """The rows of configurations."""
        rows = [self.space.encode(params)[0] for params in configurations]
        return np.array(rows, np.float64).reshape(len(rows), self.dimension)

    def keys(self, rows: Floats) -> list[bytes]:
        """A key for each snapped row, equal for rows of one configuration, or of two within 1e-12 of each range."""
        known = np.where(self.activity(rows), rows, INACTIVE)
        return [row.tobytes() for row in np.round(known, 12) + 0.0]

    def params(self, row: Floats) -> dict[str, Any]:
        """The configuration at a row."""
        return self.space.decode(row.tolist())

    def _moves(self, at: int, here: float, rng: np.random.Generator) -> Floats:
        levels = self.levels[at]
        if levels is None:
            near = here + np.asarray(_SCALES) * rng.standard_normal((2, len(_SCALES)))
            return np.append(_reflect(near.ravel()), rng.random(2))
        others: Floats = levels[levels != here]
        if self.unordered[at]:
            return others if len(others) <= _MOST_OTHERS else rng.choice(others, _MOST_OTHERS, replace=False)
        if len(others) <= _FEW:
            return others
        order = np.argsort(np.abs(others - here))
        return np.append(others[order[:6]], rng.choice(others, 4))

    def _allowed(self, parent: int, values: frozenset[Any]) -> Bools | frozenset[Any]:
        levels = self.levels[parent]
        if levels is None:
            return values
        parameter = self.space[self.space.names[parent]]
        return np.array([exact(parameter.decode(float(level))) in values for level in levels], bool)

    def _meets(self, column: Floats, parent: _Parent) -> Bools:
        if isinstance(parent.allowed, frozenset):
            parameter = self.space[self.space.names[parent.at]]
            return np.array([exact(parameter.decode(float(unit))) in parent.allowed for unit in column], bool)
        return np.asarray(parent.allowed[self._level(parent.at, column)])

    def _level(self, at: int, units: Floats) -> NDArray[np.intp]:
        """The indices among the levels of a coordinate that has them, (n,)."""
        return np.asarray(np.searchsorted(self._edges[at], units, side="right"))


def _alike(space: Space) -> tuple[tuple[int, ...], ...]:
    """Groups of coordinates that have the same values, without an order, and names that differ in numbers alone."""
    groups: dict[tuple[str, str], list[int]] = {}
    for at, (name, parameter) in enumerate(space.parameters.items()):
        if isinstance(parameter, Categorical | Bool):
            groups.setdefault((re.sub(r"\d+", "#", name), repr(parameter.values(parameter.size))), []).append(at)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def _edges(levels: Floats) -> Floats:
    """Where the cells meet whose middles are the levels, one less than these."""
    edges = itertools.accumulate(levels.tolist(), lambda edge, middle: 2.0 * middle - edge, initial=0.0)
    return np.array(list(edges))[1:-1]


def _parents_first(parents: Sequence[Iterable[_Parent]]) -> list[int]:
    order: list[int] = []
    waiting = list(range(len(parents)))
    while waiting:
        ready = [at for at in waiting if all(parent.at in order for parent in parents[at])]
        order.extend(ready)
        waiting = [at for at in waiting if at not in ready]
    return order


def _reflect(values: Floats) -> Floats:
    """Values mirrored at 0 and 1, so that moves from an edge stay inside."""
    folded = np.abs(values) % 2.0
    return np.where(folded > 1.0, 2.0 - folded, folded)
