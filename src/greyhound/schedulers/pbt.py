"""Population based training: the worst of a population go on from copies of the best, with hyperparameters perturbed.

A population of trials trains together, and pauses at every interval. Members that are behind go first; when it is a
member's turn again it is ranked among those of its population that have come as far. One among the worst `share` is
stopped, and a new trial takes its place: it copies the checkpoint of one of the best `share` (exploit, by truncation)
and its configuration, every hyperparameter of which is multiplied by 0.8 or 1.2, or drawn anew (explore). So what
is found is a schedule of hyperparameters: the line of a trial and its parents.

Nobody waits: few workers train a population nearly in step, and as many workers as members compare each with
those that were there before it. When a population is trained and the budget lasts, another one follows; where more
workers are free than it has members, another one begins beside it.

Source: Jaderberg et al. 2017, "Population based training of neural networks", arXiv 1711.09846, algorithm 1 and
appendix A (truncation selection; perturb and resample).
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from greyhound.errors import StudyError
from greyhound.schedulers.base import Action, Resume, Start, Stop, Traits, Wait, is_number
from greyhound.schedulers.ranking import ranked, replicates
from greyhound.space import Float, Int, Ordinal, Parameter, Space
from greyhound.trial import TrialState, Verdict

if TYPE_CHECKING:
    from greyhound.history import History
    from greyhound.trial import Trial

_FACTORS = (0.8, 1.2)
_ALIVE = (TrialState.RUNNING, TrialState.PAUSED)
_MOST_TRIES = 20
"""How often a configuration is perturbed until one keeps to the constraints; then the parent's is taken as it is."""


@dataclass(frozen=True)
class PBT:
    """A population of trials that copy each other's checkpoints.

    population: trials that train together, 2 or more. interval: steps between decisions, 1 or more; None for a tenth
    of max_steps. share: which part of the population is replaced, and by copies of which part, above 0 and at most
    0.5. resample: the chance that a hyperparameter is drawn anew rather than perturbed, 0 to 1; categories change only
    so. fixed: names of hyperparameters that copies take over as they are, such as those that shape the model.
    """

    population: int = 10
    interval: int | None = None
    share: float = 0.2
    resample: float = 0.25
    fixed: Sequence[str] = ()
    traits: ClassVar[Traits] = Traits(unbounded=False)

    def __post_init__(self) -> None:
        if not isinstance(self.population, int) or self.population < 2:
            raise StudyError(f"pbt: population must be a whole number of at least 2; got {self.population!r}.")
        if self.interval is not None and (not isinstance(self.interval, int) or self.interval < 1):
            raise StudyError(f"pbt: interval must be a whole number of at least 1; got {self.interval!r}.")
        if not (is_number(self.share) and 0.0 < self.share <= 0.5):
            raise StudyError(f"pbt: share must lie above 0 and be at most 0.5; got {self.share!r}.")
        if not (is_number(self.resample) and 0.0 <= self.resample <= 1.0):
            raise StudyError(f"pbt: resample must lie between 0 and 1; got {self.resample!r}.")
        listed = isinstance(self.fixed, Collection) and not isinstance(self.fixed, str)
        if not listed or not all(isinstance(name, str) for name in self.fixed):
            raise StudyError(f"pbt: fixed must be a list of names, such as ['width']; got {self.fixed!r}.")
        object.__setattr__(self, "fixed", tuple(self.fixed))

    def check(self, space: Space) -> None:
        """StudyError where `fixed` names a hyperparameter that the space does not have."""
        unknown = [name for name in self.fixed if name not in space]
        if unknown:
            there = ", ".join(space) or "none"
            raise StudyError(f"pbt: fixed names {unknown[0]!r}, which the space does not have; it has {there}.")

    def next(self, history: History) -> Action:
        """What was stopped is replaced first; then older populations go on, the newest is filled, and goes on."""
        populations = self._populations(history)
        if history.can_start and (copy := self._replacement(history, populations)) is not None:
            return copy
        newest = max(populations.values(), default=0)
        founders = sum(history.trial(number).parent is None for number in populations)
        filled = founders > 0 and founders % self.population == 0
        waiting = (
            (populations[n], history.trial(n).step, n) for n in history.numbers(TrialState.PAUSED) if n in populations
        )
        first = min(waiting, default=None)
        if first is None or (first[0] == newest and not filled and history.can_start):
            return Start() if history.can_start else Wait()
        number = first[2]
        return Stop(number) if self._is_beaten(history, history.trial(number), populations) else Resume(number)

    def judge(self, history: History, trial: Trial) -> Verdict:
        """Every trial pauses; `next` resumes or replaces it when it is its turn."""
        return Verdict.PAUSE

    def until(self, history: History, trial: Trial | None) -> int | None:
        """The next multiple of the interval, or the end of the training."""
        step = trial.step if trial is not None else 0
        interval, end = self._interval(history), history.max_steps
        following = (step // interval + 1) * interval
        return following if end is None else min(following, end)

    def _is_beaten(self, history: History, trial: Trial, populations: Mapping[int, int]) -> bool:
        """Whether the trial is among the worst where a better one can take its place."""
        order = self._order(history, trial, populations)
        worst = order[len(order) - round(self.share * len(order)) :]
        return history.can_start and trial.number in worst and bool(self._parents(history, trial, populations))

    def _replacement(self, history: History, populations: Mapping[int, int]) -> Start | None:
        """A new trial in the place of one that was stopped; None where none is missing, or none is left to copy."""
        stopped: dict[int, list[int]] = {}
        for number in history.numbers(TrialState.STOPPED):
            stopped.setdefault(populations[number], []).append(number)
        for own, losers in sorted(stopped.items()):
            copies = sum(each == own and history.trial(n).parent is not None for n, each in populations.items())
            if copies < len(losers):
                parents = self._parents(history, history.trial(losers[copies]), populations)
                if parents:
                    return self._copy(history, parents)
        return None

    def _copy(self, history: History, parents: Sequence[int]) -> Start:
        """A new trial from the checkpoint of one of the parents, its configuration perturbed."""
        rng = random.Random(f"pbt/{history.seed}/{len(history)}")
        parent = history.trial(rng.choice(parents))
        interval = self._interval(history)
        params = explore(history.space, parent.params, rng, self.resample, self.fixed)
        return Start(params, parent.number, parent.step // interval * interval)

    def _parents(self, history: History, loser: Trial, populations: Mapping[int, int]) -> list[int]:
        """Members that train on, of the best that have come as far; the best of all that do, where none is."""
        order = self._order(history, loser, populations)
        best = order[: max(1, round(self.share * len(order)))]
        better = order[: order.index(loser.number)] if loser.number in order else order
        alive = [number for number in better if history.trial(number).state in _ALIVE]
        return [number for number in alive if number in best] or alive[:1]

    def _order(self, history: History, trial: Trial, populations: Mapping[int, int]) -> list[int]:
        """Members of the trial's population that have come as far, the best at its step first."""
        own = populations[trial.number]
        return ranked(history, trial.step, [number for number, each in populations.items() if each == own])

    def _populations(self, history: History) -> dict[int, int]:
        """The population of each trial, by number: that of its parent, or as many founders after the first.

        Replicates of the finals belong to none.
        """
        found: dict[int, int] = {}
        founders = 0
        apart = replicates(history)
        for trial in history.trials:
            if trial.number in apart:
                continue
            if trial.parent is not None:
                found[trial.number] = found.get(trial.parent, 0)
            else:
                found[trial.number] = founders // self.population
                founders += 1
        return found

    def _interval(self, history: History) -> int:
        return self.interval or max(1, (history.max_steps or 1) // 10)


def explore(
    space: Space, params: Mapping[str, Any], rng: random.Random, resample: float, fixed: Collection[str] = ()
) -> dict[str, Any]:
    """A configuration near another one, valid in the space.

    Numbers are multiplied by 0.8 or 1.2, and move by a step at least where they have steps, as ordinals do; with
    the chance `resample` a parameter is drawn anew. fixed: names of those that stay.
    """

    def moved(name: str, unit: float, there: bool) -> float:
        if there and name in fixed:
            return unit
        if not there or rng.random() < resample:
            return rng.random()
        return _perturbed(space[name], params[name], unit, rng)

    units, active = space.encode(params)
    for _ in range(_MOST_TRIES):
        found = space.decode([moved(*each) for each in zip(space.names, units, active, strict=True)])
        if space.allows(found):
            return found
    return dict(params)


def _perturbed(parameter: Parameter, value: Any, unit: float, rng: random.Random) -> float:
    """A coordinate, in [0, 1], near that of the value."""
    up = rng.random() < 0.5
    if isinstance(parameter, Float | Int):
        number = value * _FACTORS[up]
        number = round(number) if isinstance(parameter, Int) else number
        if parameter.step is not None and parameter.decode(parameter.encode(number)) == value:
            number = value + parameter.step if up else value - parameter.step
        return parameter.encode(number)
    if isinstance(parameter, Ordinal):
        return min(1.0, max(0.0, unit + (1 if up else -1) / len(parameter.choices)))
    return unit
