"""Asynchronous successive halving that pauses and promotes.

Every configuration trains to the first rung and pauses there. A free worker resumes a trial that is
among the best 1/eta of those that reached its rung; where there is none it starts a new configuration.
Nobody waits for a rung to fill, and a promoted trial goes on from its checkpoint.

Source: Li et al. 2020, "A system for massively parallel hyperparameter tuning", algorithm 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from greyhound.errors import StudyError
from greyhound.schedulers.base import Action, Resume, Start, Traits, Wait
from greyhound.schedulers.chance import another_chance, chance_to_win, check_risk
from greyhound.schedulers.halving import last_resort, promotable, promotion
from greyhound.trial import Verdict

if TYPE_CHECKING:
    from greyhound.history import History
    from greyhound.trial import Trial


_RUNGS = 3
"""Rungs below the end by default."""


@dataclass(frozen=True)
class Asha:
    """Rungs at min_steps · etaᵏ steps, below max_steps where that is known.

    eta: 2 or more; 1/eta of a rung's trials are promoted. min_steps: the first rung, 1 or more; None
    for max_steps / eta³, so that there are three rungs below the end, or 1 without max_steps.
    risk: with one, between 0 and 1, a trial that is not promoted is stopped for good once the chance that it
    would finish best is below the risk, and those that keep a larger chance go on before the study ends; None
    to leave them paused.
    """

    eta: int = 3
    min_steps: int | None = None
    risk: float | None = None
    traits: ClassVar[Traits] = Traits()

    def __post_init__(self) -> None:
        if not isinstance(self.eta, int) or self.eta < 2:
            raise StudyError(f"asha: eta must be a whole number of at least 2; got {self.eta!r}.")
        if self.min_steps is not None and (not isinstance(self.min_steps, int) or self.min_steps < 1):
            raise StudyError(f"asha: min_steps must be a whole number of at least 1; got {self.min_steps!r}.")
        check_risk("asha", self.risk)

    def next(self, history: History) -> Action:
        """A promotion where one is due, highest rung first; else a new configuration.

        When no new ones are to be had, the best paused trial is brought to the end, so that a study
        has a winner that was trained in full.
        """
        rungs = self._reached_rungs(history)
        if (due := promotion(history, rungs, self.eta)) is not None:
            return Resume(due)
        if history.can_start:
            return Start()
        best = last_resort(history, rungs)
        if best is None and self.risk is not None:
            best = another_chance(history, self.risk)
        return Resume(best) if best is not None else Wait()

    def judge(self, history: History, trial: Trial) -> Verdict:
        """Every trial pauses at its rung; `next` resumes it, at once if it is among the best."""
        if (
            self.risk is not None
            and trial.number not in promotable(history, trial.step, self.eta)
            and chance_to_win(history, trial.number) < self.risk
        ):
            return Verdict.STOP
        return Verdict.PAUSE

    def until(self, history: History, trial: Trial | None) -> int | None:
        """The next rung, or the end of the training."""
        step = trial.step if trial is not None else 0
        return next((rung for rung in self._rungs(history, step) if rung > step), history.max_steps)

    def _rungs(self, history: History, step: int) -> Iterator[int]:
        """Rungs in rising order, up to the first above `step`."""
        end = history.max_steps
        rung = self.min_steps or max(1, round((end or 1) / self.eta**_RUNGS))
        beyond = math.inf if end is None else end
        if self.min_steps is None and end is not None:
            beyond = min(end, rung * self.eta**_RUNGS)  # rounded down this may lie right before the end
        while rung < beyond:
            yield rung
            if rung > step:
                return
            rung *= self.eta

    def _reached_rungs(self, history: History) -> list[int]:
        highest = int(history.steps.max()) if len(history) else 0
        return [rung for rung in self._rungs(history, highest) if rung <= highest]
