"""A steady-state genetic algorithm over mixed spaces.

The parents are the best `parents` configurations so far, so that the best survive by themselves
(elitism); a child comes of two winners of tournaments by crossover and mutation in the unit cube,
column by column after its type. Nothing that was tried is tried again.

Source: SBX: Deb & Agrawal 1995, "Simulated binary crossover for continuous search space"; polynomial
mutation: Deb & Goyal 1996, "A combined genetic adaptive search (GeneAS) for engineering design".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from greyhound.errors import StudyError
from greyhound.samplers.base import Traits
from greyhound.samplers.cube import Cube, cube_of
from greyhound.samplers.picking import Picker, at_least
from greyhound.samplers.results import results
from greyhound.samplers.sobol import Sobol

if TYPE_CHECKING:
    from greyhound.history import History
    from greyhound.numeric.parzen import Bools, Floats
    from greyhound.samplers.results import Numbers

_MOST_CHILDREN = 60
"""How many children in a row may be known already before a random configuration is taken."""


@dataclass(frozen=True)
class Genetic:
    """Children of the best configurations so far, after `parents` Sobol points.

    parents: how many configurations may be parents, at least 2. tournament: how many draws the best
    of which becomes a parent, at least 1. spread: the index η of SBX, spread_of_mutation that of
    polynomial mutation, above 0; the larger, the nearer are children to their parents.
    """

    parents: int = 10
    tournament: int = 2
    spread: float = 15.0
    spread_of_mutation: float = 20.0
    traits: ClassVar[Traits] = Traits(model=True)

    def __post_init__(self) -> None:
        at_least("genetic", "parents", self.parents, 2)
        at_least("genetic", "tournament", self.tournament, 1)
        for name in ("spread", "spread_of_mutation"):
            if not getattr(self, name) > 0:
                raise StudyError(f"genetic: {name} must be above 0; got {getattr(self, name)!r}.")

    def suggest(self, history: History, count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
        """`count` configurations, fewer where the finite space has no more."""
        told, cube = results(history), cube_of(history.space)
        if len(told.ranking) < self.parents or not cube.dimension:
            return Sobol().suggest(history, count, rng)
        picker = Picker(history)
        pairs = couples(history, told.ranking[: self.parents], self.tournament, rng)
        crossed = (crossover(*pair, cube.unordered, self.spread, rng) for pair in pairs)
        children = (mutated(child, cube, self.spread_of_mutation, rng) for child in crossed)
        for _ in range(count):
            if not picker.take(children, _MOST_CHILDREN, rng):
                break
        return picker.found


def couples(
    history: History, numbers: Numbers, tournament: int, rng: np.random.Generator
) -> Iterator[tuple[Floats, Floats]]:
    """Rows of two winners of tournaments, (d,) each, without an end. numbers: of the trials that take part, best first.

    What a trial does not have it takes from the other, or anywhere where neither has it: a child that comes to have it
    would else favour the middle.
    """
    rows, there = history.X[numbers], history.active[numbers]
    while True:
        first, second = (int(rng.integers(len(rows), size=tournament).min()) for _ in range(2))
        if first == second:
            second = int(rng.integers(len(rows)))
        one = np.where(there[first], rows[first], rows[second])
        other = np.where(there[second], rows[second], rows[first])
        absent = np.flatnonzero(~there[first] & ~there[second])
        one[absent] = other[absent] = rng.random(len(absent))
        yield one, other


def mutated(point: Floats, cube: Cube, spread: float, rng: np.random.Generator) -> Floats:
    """A point with about one of its columns changed, at least one: see `mutation`; (d,), in [0, 1]."""
    changed = rng.random(len(point)) < 1.0 / len(point)
    changed[rng.integers(len(point))] |= not changed.any()
    return np.where(changed, mutation(point, cube, spread, rng), point)


def crossover(first: Floats, second: Floats, unordered: Bools, spread: float, rng: np.random.Generator) -> Floats:
    """A child of two points of the unit cube, (d,): SBX in ordered columns, either parent's value in others.

    SBX: ½ ((1 ± β) x₁ + (1 ∓ β) x₂), β = (2u)^(1/(η+1)) for u <= ½, else (2(1 − u))^(−1/(η+1)), u uniform;
    half of the columns are one parent's as they are. spread: η > 0. Source: Deb & Agrawal 1995.
    """
    beta = sbx_spread(rng.random(len(first)), spread)
    sign = np.where(rng.random(len(first)) < 0.5, 1.0, -1.0)
    blended = 0.5 * ((1.0 + sign * beta) * first + (1.0 - sign * beta) * second)
    either = np.where(rng.random(len(first)) < 0.5, first, second)
    kept = unordered | (rng.random(len(first)) < 0.5)
    return np.clip(np.where(kept, either, blended), 0.0, 1.0)


def sbx_spread(uniform: Floats, spread: float) -> Floats:
    """The factor β of SBX for u in [0, 1), (n,), above 0. spread: η. Source: Deb & Agrawal 1995, eq. 9."""
    inner = (2.0 * uniform) ** (1.0 / (spread + 1.0))
    outer = (2.0 * (1.0 - uniform)) ** (-1.0 / (spread + 1.0))
    return np.where(uniform <= 0.5, inner, outer)


def mutation(point: Floats, cube: Cube, spread: float, rng: np.random.Generator) -> Floats:
    """Every column changed after its type, (d,), in [0, 1].

    Continuous: polynomial mutation; ordered values: a step, one cell or by polynomial mutation more;
    unordered: another value, uniform.
    """
    moved = point + polynomial_step(point, rng.random(len(point)), spread)
    sizes = np.maximum(cube.cells, 1)
    direction = np.where(rng.random(len(point)) < 0.5, -1.0, 1.0)
    stepped = point + direction / sizes
    stepped = np.where((stepped < 0.0) | (stepped > 1.0), point - direction / sizes, stepped)
    moved = np.where((cube.cells > 0) & (np.abs(moved - point) * sizes < 1.0), stepped, moved)
    turned = (point + (1.0 + np.floor(rng.random(len(point)) * (sizes - 1.0))) / sizes) % 1.0
    return np.clip(np.where(cube.unordered, turned, moved), 0.0, 1.0)


def polynomial_step(point: Floats, uniform: Floats, spread: float) -> Floats:
    """The step δ of polynomial mutation within [0, 1], (n,). point, uniform: (n,), in [0, 1]. spread: η > 0.

    u < ½: δ = (2u + (1 − 2u)(1 − (x − 0))^(η+1))^(1/(η+1)) − 1;
    else δ = 1 − (2(1 − u) + 2(u − ½)(1 − (1 − x))^(η+1))^(1/(η+1)).
    Source: Deb & Agrawal 1999, "A niched-penalty approach for constraint handling", for a range of 1.
    """
    power = 1.0 / (spread + 1.0)
    down = (2.0 * uniform + (1.0 - 2.0 * uniform) * (1.0 - point) ** (spread + 1.0)).clip(0.0) ** power - 1.0
    up = 1.0 - (2.0 * (1.0 - uniform) + (2.0 * uniform - 1.0) * point ** (spread + 1.0)).clip(0.0) ** power
    return np.where(uniform < 0.5, down, up)
