"""The default: chooses a sampler for what it sees of the study, and says what and why in one line.

What it chose is a function of the history like everything else, so a continued study goes on alike, and one
whose space or budget changed may go on with another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from greyhound.registry import named
from greyhound.samplers.base import MOST_LISTED, Sampler, Traits, start_size
from greyhound.samplers.bohb import BOHB
from greyhound.samplers.ehvi import EHVI
from greyhound.samplers.gp import GP
from greyhound.samplers.grid import Grid
from greyhound.samplers.nsga2 import NSGA2
from greyhound.values import counted

if TYPE_CHECKING:
    import numpy as np

    from greyhound.history import History

_ALWAYS_TRIED = 16
"""A space of at most so many configurations is tried whole, whatever the budget."""
_MOST_MODELLED = 4
"""Of more objectives a model's hypervolume takes long to work out, and evolution serves."""
_MOST_TRIALS = 1000
"""With several objectives evolution goes on from here: a model learns little more and takes longer each time."""
_HALVING = ("asha", "hyperband")
"""Schedulers that leave most trials at one of a few steps: values of the same step compare, forecasts less well."""


@dataclass(frozen=True)
class Auto:
    """Grid where the budget lets all be tried, a Gaussian process else, or one for each of several objectives.

    Under successive halving the process learns from the values at one rung, as in BOHB.
    """

    traits: ClassVar[Traits] = Traits(model=True)

    def suggest(self, history: History, count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
        """`count` configurations, fewer where the finite space has no more."""
        sampler, _ = choose(history)
        return list(sampler.suggest(history, count, rng))

    def explain(self, history: History) -> str:
        """What was chosen, and why."""
        _, why = choose(history)
        return why


def choose(history: History) -> tuple[Sampler, str]:
    """The sampler for a study, and the reason in one line."""
    space = history.space
    if len(history.objectives) > 1:
        return _for_several(history)
    budget = history.settings.budget.trials if history.settings else None
    coverable = min(max(_ALWAYS_TRIED, budget or 0), MOST_LISTED)
    if not history.define_by_run and space.size is not None and space.size <= coverable:
        return Grid(levels=max(2, space.size)), f"grid: all {space.size} configurations can be tried"
    if history.settings and named(history.settings.scheduler) in _HALVING:
        return BOHB(), f"bohb: a Gaussian process of the values at one step, for {_described(history)}"
    first = start_size(history)
    return GP(), f"gp: a Gaussian process after {first} points of a Sobol sequence, for {_described(history)}"


def _for_several(history: History) -> tuple[Sampler, str]:
    count = len(history.objectives)
    if count > _MOST_MODELLED or len(history) >= _MOST_TRIALS:
        return NSGA2(), f"nsga2: {count} objectives and {len(history)} trials, of which evolution is the cheapest"
    return EHVI(), f"ehvi: {count} objectives, a Gaussian process for each, for {_described(history)}"


def _described(history: History) -> str:
    space = history.space
    size = f"{space.size:,} configurations" if space.size is not None else "infinitely many configurations"
    return f"{counted(len(space), 'parameter')} and {size}"
