"""NSGA-II for several objectives, a child at a time, over mixed spaces.

The parents are the best trials so far: what keeps to the limits before what breaks them, then by front, then by
crowding distance within the front that has to be cut. A child comes of two winners of crowded tournaments by the
operators of `genetic`. There are no generations, so no worker waits for one to be full: each result counts
at once.

Sources: Deb et al. 2002, "A fast and elitist multiobjective genetic algorithm: NSGA-II", constraint domination in
sec. VI; a child at a time: Nebro & Durillo 2009, "On the effect of applying a steady-state selection scheme in the
multi-objective genetic algorithm NSGA-II".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from greyhound.errors import StudyError
from greyhound.numeric import pareto
from greyhound.samplers.base import Traits
from greyhound.samplers.cube import cube_of
from greyhound.samplers.genetic import couples, crossover, mutated
from greyhound.samplers.picking import Picker, at_least
from greyhound.samplers.results import Results, results
from greyhound.samplers.sobol import Sobol

if TYPE_CHECKING:
    from greyhound.history import History
    from greyhound.samplers.results import Numbers

_MOST_CHILDREN = 60
"""How many children in a row may be known already before a random configuration is taken."""
_TOURNAMENT = 2
"""Parents that compete; they are in order, so that the one which comes first wins."""
_CUT_ROUGHLY = 8
"""A front of more than so many times the parents loses the rest at once, before it is cut one by one."""


@dataclass(frozen=True)
class NSGA2:
    """Children of the trials of the best fronts, after `startup` Sobol points.

    parents: how many trials may be parents, at least 2. startup: trials with a result before there are children, at
    least 2. spread: the index η of SBX, spread_of_mutation that of polynomial mutation, above 0; the larger, the
    nearer are children to their parents.
    """

    parents: int = 20
    startup: int = 10
    spread: float = 15.0
    spread_of_mutation: float = 20.0
    traits: ClassVar[Traits] = Traits(model=True)

    def __post_init__(self) -> None:
        at_least("nsga2", "parents", self.parents, 2)
        at_least("nsga2", "startup", self.startup, 2)
        for name in ("spread", "spread_of_mutation"):
            if not getattr(self, name) > 0:
                raise StudyError(f"nsga2: {name} must be above 0; got {getattr(self, name)!r}.")

    def suggest(self, history: History, count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
        """`count` configurations, fewer where the finite space has no more."""
        told, cube = results(history), cube_of(history.space)
        if len(told.ranking) < self.startup or not cube.dimension:
            return Sobol().suggest(history, count, rng)
        picker = Picker(history)
        pairs = couples(history, survivors(told, self.parents), _TOURNAMENT, rng)
        crossed = (crossover(*pair, cube.unordered, self.spread, rng) for pair in pairs)
        children = (mutated(child, cube, self.spread_of_mutation, rng) for child in crossed)
        for _ in range(count):
            if not picker.take(children, _MOST_CHILDREN, rng):
                break
        return picker.found


def survivors(told: Results, most: int) -> Numbers:
    """At most `most` trials in crowded-comparison order: by front, on one front the lonelier first.

    What breaks a limit follows by how much, what has no value last, in the order of `told.ranking`. The front that
    has to be cut loses its most crowded trial again and again, so that what stays is spread evenly.
    """
    if told.values.shape[1] < 2:
        return told.ranking[:most]
    feasible = np.isin(told.known, told.feasible)
    numbers, values = told.known[feasible], told.values[feasible]
    fronts = pareto.ranks(values)
    chosen: list[int] = []
    for front in range(int(fronts.max(initial=-1)) + 1):
        on = np.flatnonzero(fronts == front)
        if len(on) > _CUT_ROUGHLY * most:
            on = on[np.argsort(-pareto.crowding(values[on]), kind="stable")[: _CUT_ROUGHLY * most]]
        while len(on) > max(0, most - len(chosen)):
            on = np.delete(on, int(np.argmin(pareto.crowding(values[on]))))
        lonely = np.argsort(-pareto.crowding(values[on]), kind="stable") if len(on) else on
        chosen.extend(numbers[on[lonely]].tolist())
        if len(chosen) >= most:
            break
    rest = told.ranking[~np.isin(told.ranking, told.feasible)][: most - len(chosen)]
    return np.append(np.asarray(chosen, np.intp), rest)
