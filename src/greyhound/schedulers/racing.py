"""Racing over replicates: a configuration that is plainly worse than the leader on the same folds trains no more.

A step is a replicate (see `evaluators.replicates`), reports are means so far, and all trials meet the folds in one
order, so after n replicates two means are over the same n folds and what a fold does to both drops out. The noise
that is left is pooled over all trials that have seen every fold, as in a two-way layout.

Source: Maron and Moore 1994, "Hoeffding races"; Birattari et al. 2002, "A racing algorithm for configuring
metaheuristics", whose paired t-test against the leader this is, with pooled noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from greyhound.errors import StudyError
from greyhound.schedulers.base import Action, Resume, Start, Traits, Wait, is_number
from greyhound.schedulers.ranking import breaches, finished, trained
from greyhound.trial import TrialState, Verdict

if TYPE_CHECKING:
    from greyhound.history import History
    from greyhound.trial import Trial


@dataclass(frozen=True)
class Racing:
    """Pauses a trial after a replicate where a one-sided t-test finds it worse than the leader.

    risk: of pausing, at each look, one that is as good as a leader who was not chosen by luck, above 0 to 0.5; where
    the leader is the luckiest of many equals it is up to five times as large. fewest: replicates before the first
    look, 1 or more. Nothing is paused until two trials have been trained on all.
    """

    risk: float = 0.05
    fewest: int = 1
    traits: ClassVar[Traits] = Traits(objectives=1, unbounded=False)

    def __post_init__(self) -> None:
        if not (is_number(self.risk) and 0 < self.risk <= 0.5):
            raise StudyError(f"racing: risk must be above 0 and at most 0.5; got {self.risk!r}.")
        if not isinstance(self.fewest, int) or self.fewest < 1:
            raise StudyError(f"racing: fewest must be a whole number of at least 1; got {self.fewest!r}.")

    def next(self, history: History) -> Action:
        """A new configuration; at the end, where none was trained on all, the furthest paused one.

        One that breaks a limit does not count as trained, nor goes on unless there is nothing else.
        """
        if history.can_start:
            return Start()
        if history.running or finished(history):
            return Wait()
        over = breaches(history)
        paused = [number for number in history.numbers(TrialState.PAUSED) if not over[number] or not history.completed]
        if not paused:
            return Wait()
        return Resume(max(paused, key=lambda number: (-over[number], history.trial(number).step, -number)))

    def judge(self, history: History, trial: Trial) -> Verdict:
        """PAUSE where the trial's mean is worse than the leader's on the same replicates beyond chance.

        Nothing that breaks a limit leads, unless everything does.
        """
        from scipy import stats

        done = [number for number in trained(history) if number != trial.number and _saw_all(history, number)]
        if trial.step < self.fewest or len(done) < 2 or history.max_steps is None:
            return Verdict.CONTINUE
        variance, freedom = _noise(history, done)
        losses = history.losses_at(trial.step)
        over, final = breaches(history), history.losses_at(history.max_steps)
        leader = min(done, key=lambda number: (over[number], final[number], number))
        behind = losses[trial.number] - losses[leader]
        bound = float(stats.t.ppf(1 - self.risk, freedom)) * (2 * variance / trial.step) ** 0.5
        return Verdict.PAUSE if behind > bound else Verdict.CONTINUE

    def until(self, history: History, trial: Trial | None) -> int | None:
        """The next replicate."""
        step = (trial.step if trial is not None else 0) + 1
        return max(step, self.fewest) if history.max_steps is None else min(max(step, self.fewest), history.max_steps)


def _saw_all(history: History, number: int) -> bool:
    """Whether the trial told its mean after each replicate; one may have been completed without."""
    steps, means = history.curve(number, history.objectives[0].metric)
    return steps == list(range(1, (history.max_steps or 1) + 1)) and all(map(math.isfinite, means))


def _noise(history: History, numbers: list[int]) -> tuple[float, float]:
    """Variance of one replicate about its trial and its fold, and its degrees of freedom."""
    import numpy as np

    from greyhound.numeric.comparison import noise_within

    steps = np.arange(1, (history.max_steps or 1) + 1)
    means = np.array([[history.losses_at(int(step))[number] for step in steps] for number in numbers])
    sums = means * steps
    return noise_within(np.diff(sums, axis=1, prepend=0.0))
