"""Racing: a candidate is given up as soon as the folds that are left can hardly make it the best.

Candidates are compared with the best one so far on the same folds, so that what makes a fold easy or hard cancels
out. With d the mean difference over the first k of K folds and s the standard deviation of such differences
between folds, pooled over the candidates that were finished, the difference over all K folds is expected to be normal
with mean d and standard deviation s √(1/k − 1/K). A candidate whose chance to come out ahead is
below `alpha` ends.

Source: the idea, Maron & Moore 1994, "Hoeffding races"; with blocks and a paired test, Birattari et al. 2002,
"A racing algorithm for configuring metaheuristics".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist, fmean
from typing import TYPE_CHECKING, ClassVar

from greyhound.errors import StudyError
from greyhound.schedulers import Action, Start, Traits, Wait
from greyhound.trial import TrialState, Verdict

if TYPE_CHECKING:
    from greyhound.history import History
    from greyhound.trial import Trial

_LEAST_FINISHED = 2


@dataclass(frozen=True)
class Race:
    """Stops candidates in the midst of their folds. alpha: the chance at which one is given up, 0 to 0.5.

    Needs the objective's value on fold i as the metric "split{i}_test_{objective}", as GreyhoundSearchCV reports.
    """

    alpha: float = 0.05
    traits: ClassVar[Traits] = Traits(objectives=1, unbounded=False)

    def __post_init__(self) -> None:
        if not 0.0 < self.alpha < 0.5:
            raise StudyError(f"race: alpha must lie between 0 and 0.5; got {self.alpha!r}.")

    def next(self, history: History) -> Action:
        """A new candidate as long as there are any."""
        return Start() if history.can_start else Wait()

    def until(self, history: History, trial: Trial | None) -> int | None:
        """After each fold but the last."""
        return 1 if trial is None else trial.step + 1

    def judge(self, history: History, trial: Trial) -> Verdict:
        """STOP where the candidate can hardly become the best."""
        folds, objective = history.max_steps or trial.step, history.objectives[0]
        finished = [history.trial(number) for number in history.numbers(TrialState.COMPLETED)]
        if len(finished) < _LEAST_FINISHED or trial.step >= folds:
            return Verdict.CONTINUE

        def losses(metrics: Mapping[str, float], count: int) -> list[float]:
            name = f"split{{}}_test_{objective.metric}"
            return [objective.loss(metrics.get(name.format(fold), math.nan)) for fold in range(count)]

        best = min(finished, key=lambda each: objective.loss(each.metrics[objective.metric]))
        target = losses(best.metrics, folds)
        spread = _pooled([_behind(losses(each.metrics, folds), target) for each in finished if each is not best])
        gap = fmean(_behind(losses(trial.metrics, trial.step), target))
        width = spread * math.sqrt(1 / trial.step - 1 / folds)
        chance = NormalDist().cdf(-gap / width) if width > 0 else float(gap <= 0)
        return Verdict.STOP if chance < self.alpha else Verdict.CONTINUE


def _behind(losses: list[float], target: list[float]) -> list[float]:
    return [loss - other for loss, other in zip(losses, target, strict=False)]


def _pooled(groups: list[list[float]]) -> float:
    """The standard deviation within groups, each about its own mean."""
    squares = sum((each - fmean(group)) ** 2 for group in groups for each in group)
    freedom = sum(len(group) - 1 for group in groups)
    return math.sqrt(squares / freedom) if freedom else 0.0
