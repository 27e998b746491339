"""Grid search, in an order that covers the space early, and that ends by itself.

The points are visited in the order in which a Sobol sequence falls into their cells, not row by row:
after any number of trials what was tried is spread over the whole space, so that a grid which is
cut short has still looked everywhere.

Coarse to fine (`refine=True`), once the grid is through: half a step, then a quarter and so on, to either side of the
best trial, along one parameter and then along two, until every finer neighbour of the best is known.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

from greyhound.errors import StudyError
from greyhound.kinds import Bool, Categorical
from greyhound.samplers.base import MOST_LISTED, Traits, key_of
from greyhound.samplers.results import results
from greyhound.samplers.sobol import unit_point

if TYPE_CHECKING:
    import numpy as np

    from greyhound.history import History
    from greyhound.space import Space

_MOST_DRAWS = 20_000
_ORDER_SEED = 0
_MOST_HALVINGS = 10
_MOST_FIRST = 300
"""So many points of the sequence are looked at for the first ones of a grid of any size."""


@dataclass(frozen=True)
class Grid:
    """Every combination of all values that are listed and at most `levels` of each range, once.

    levels: values of a `Float` or `Int`, at least 2; a shorter range is tried in full. refine: go on around the best
    trial with finer steps, down to 1/1024 of the grid's.
    """

    levels: int = 5
    refine: bool = False
    traits: ClassVar[Traits] = Traits(finite=True)

    def __post_init__(self) -> None:
        if not isinstance(self.levels, int) or self.levels < 2:
            raise StudyError(f"grid: levels must be a whole number of at least 2; got {self.levels!r}.")

    def suggest(self, history: History, count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
        """The next `count` points of the grid that no trial has; none when all were tried."""
        space, key = history.space, key_of(history)
        tried = {space.key(trial.params) for trial in history.trials}
        left = (dict(params) for params in _ordered(_Held(space), self.levels) if key(params) not in tried)
        found = list(islice(left, count))
        if self.refine and len(found) < count:
            found += islice(_finer(history, self.levels, tried), count - len(found))
        return found

    def first(self, history: History, count: int) -> list[dict[str, Any]]:
        """The middles of cells of the grid that no trial was in yet; the grid may be of any size.

        A model that begins with them learns more than from the grid's own points, many of which lie on the edge.
        """
        space, key_in = history.space, key_of(history)
        known = {space.key(trial.params) for trial in history.trials}
        found: list[dict[str, Any]] = []
        for at in range(_MOST_FIRST):
            if len(found) == count:
                break
            point = _middle(space, unit_point(len(space), history.seed, at).tolist(), self.levels)
            if (key := key_in(point)) not in known and space.allows(point):
                known.add(key)
                found.append(point)
        return found


def _middle(space: Space, units: Sequence[float], levels: int) -> dict[str, Any]:
    """The configuration in the middle of the cell that a point of the unit cube is in."""
    counts = [len(parameter.values(levels)) for parameter in space.parameters.values()]
    return space.decode([(int(unit * count) + 0.5) / count for unit, count in zip(units, counts, strict=True)])


def _finer(history: History, levels: int, tried: set[Any]) -> Iterator[dict[str, Any]]:
    """Configurations nearer to the best trial than the grid's, the coarsest first, none of those tried."""
    ranking = results(history).ranking
    if not len(ranking):
        return
    space, key_in, best = history.space, key_of(history), history.trial(int(ranking[0])).params
    movable = [name for name in best if not isinstance(space[name], Categorical | Bool)]
    known = set(tried)
    for halvings in range(1, _MOST_HALVINGS + 1):
        step = 1.0 / (levels - 1) / 2**halvings
        moves = [(name, side * step) for name in movable for side in (-1.0, 1.0)]
        for several in itertools.chain(((move,) for move in moves), itertools.combinations(moves, 2)):
            if len({name for name, _ in several}) < len(several):
                continue
            moved = dict(best)
            for name, shift in several:
                parameter = space[name]
                moved[name] = parameter.decode(parameter.encode(best[name]) + shift)
            active = set(space.active(moved))
            if active == set(moved) and space.allows(moved) and (key := key_in(moved)) not in known:
                known.add(key)
                yield moved


class _Held:
    """A space as the key of a cache: the same object, or an equal one."""

    def __init__(self, space: Space) -> None:
        self.space = space

    def __hash__(self) -> int:
        return hash(self.space.names)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and self.space == other.space


@functools.lru_cache(maxsize=4)
def _ordered(held: _Held, levels: int) -> tuple[dict[str, Any], ...]:
    space = held.space
    points = list(islice(space.grid(levels), MOST_LISTED + 1))
    if len(points) > MOST_LISTED:
        raise StudyError(
            f"grid: {levels} levels give over {MOST_LISTED} combinations of {len(space)} parameters; "
            f"take fewer levels, fix some parameters, or use another sampler."
        )
    if not points:
        raise StudyError(
            f"grid: no combination of {levels} levels keeps to the constraints; take more levels, or another sampler."
        )
    return tuple(_spread(space, points, levels))


def _spread(space: Space, points: list[dict[str, Any]], levels: int) -> list[dict[str, Any]]:
    """The grid's points in the order in which a Sobol sequence first falls into their cells."""
    left = {space.key(point): point for point in points}
    scanned = _scanned(space, levels, min(4 * len(points), _MOST_DRAWS))
    ordered = [point for each in scanned if (point := left.pop(space.key(each), None)) is not None]
    rest = list(left.values())
    random.Random(_ORDER_SEED).shuffle(rest)
    return ordered + rest


def _scanned(space: Space, levels: int, draws: int) -> Iterator[dict[str, Any]]:
    """The points of the grid into whose cells a Sobol sequence falls, some again and again."""
    axes = list(space.axes(levels).values())
    for at in range(draws if space.names else 0):
        units = unit_point(len(space), _ORDER_SEED, at)
        cells = [axis[int(unit * len(axis))] for axis, unit in zip(axes, units, strict=True)]
        whole = dict(zip(space.names, cells, strict=True))
        yield {name: whole[name] for name in space.active(whole)}
