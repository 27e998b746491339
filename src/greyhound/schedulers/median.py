"""The median stopping rule: a training whose best value so far lies below the usual one is stopped.

A trial is stopped at step t if its best value by then is strictly worse than the median, over the trials that were
trained to their end, of their mean value up to step t. With several objectives: if it comes behind more than half
of those trials in the ranking by non-dominated fronts at step t. Limits come first: a trial that broke them by more
than the median of those trials did is behind, one by less is not, and else it is held against those that did as it did.

Source: Golovin et al. 2017, "Google Vizier: a service for black-box optimization", section 3.2.2.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, mean, median, median_low
from typing import TYPE_CHECKING, ClassVar

from greyhound.errors import StudyError
from greyhound.schedulers.base import Action, Resume, Start, Traits, Wait
from greyhound.schedulers.chance import another_chance, chance_to_win, check_risk
from greyhound.schedulers.ranking import breaches, ranked, trained
from greyhound.trial import Verdict

if TYPE_CHECKING:
    from greyhound.history import History
    from greyhound.trial import Trial


@dataclass(frozen=True)
class Median:
    """Judges every `interval` steps, from min_steps on, once min_trials trials were trained to their end.

    min_trials: 1 or more. min_steps: 1 or more; None for one interval. interval: 1 or more; None for a tenth of
    max_steps, or 1 without. risk: with one, between 0 and 1, a trial below the median is stopped for good only
    where the chance that it would finish best is below the risk; else it is paused, and goes on before the study
    ends unless the chance has fallen below the risk by then. None stops all.
    """

    min_trials: int = 5
    min_steps: int | None = None
    interval: int | None = None
    risk: float | None = None
    traits: ClassVar[Traits] = Traits()

    def __post_init__(self) -> None:
        for name in ("min_trials", "min_steps", "interval"):
            value = getattr(self, name)
            optional = name != "min_trials"
            if not (optional and value is None) and (not isinstance(value, int) or value < 1):
                raise StudyError(f"median: {name} must be a whole number of at least 1; got {value!r}.")
        check_risk("median", self.risk)

    def next(self, history: History) -> Action:
        """A new configuration; when there are no more, what was paused and may still win."""
        if history.can_start:
            return Start()
        back = another_chance(history, self.risk) if self.risk is not None else None
        return Resume(back) if back is not None else Wait()

    def judge(self, history: History, trial: Trial) -> Verdict:
        """Stop or pause what lies below the median, where enough trials have finished to tell."""
        done = [number for number in trained(history) if number != trial.number]
        if len(done) < self.min_trials or not self._is_behind(history, trial, done):
            return Verdict.CONTINUE
        if self.risk is None or chance_to_win(history, trial.number) < self.risk:
            return Verdict.STOP
        return Verdict.PAUSE if history.can_start else Verdict.CONTINUE

    def until(self, history: History, trial: Trial | None) -> int | None:
        """The next step at which it is judged, or the end of the training."""
        step = trial.step if trial is not None else 0
        end = history.max_steps
        interval = self.interval or max(1, (end or 1) // 10)
        following = max((step // interval + 1) * interval, self.min_steps or interval)
        return following if end is None else min(following, end)

    def _is_behind(self, history: History, trial: Trial, done: Sequence[int]) -> bool:
        if len(history.objectives) > 1:
            order = ranked(history, trial.step, [*done, trial.number])
            return trial.number in order and order.index(trial.number) > (len(order) - 1) / 2
        over = breaches(history, trial.step)
        usual = median_low(over[number] for number in done)
        if over[trial.number] != usual:
            return over[trial.number] > usual
        alike = [number for number in done if over[number] == usual]
        means = [_mean(values) for number in alike if (values := _losses(history, number, trial.step))]
        mine = _losses(history, trial.number, trial.step)
        return bool(means) and bool(mine) and min(mine) > median(means)


def _mean(values: Sequence[float]) -> float:
    """Their mean, also where their sum is beyond the largest float."""
    try:
        return fmean(values)
    except OverflowError:
        return mean(values)


def _losses(history: History, number: int, step: int) -> list[float]:
    """Finite losses that a trial reported up to `step`."""
    objective = history.objectives[0]
    steps, values = history.curve(number, objective.metric)
    return [objective.loss(value) for value in values[: bisect_right(steps, step)] if math.isfinite(value)]
