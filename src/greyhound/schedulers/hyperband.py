"""Hyperband: successive halving with several first rungs, since nobody knows how much an early value tells.

Bracket s trains ⌈(s_max + 1) etaˢ / (s + 1)⌉ configurations from max_steps / etaˢ steps on, and halves them as
asynchronous successive halving does: it pauses every one at its rung and promotes the best 1/eta of those of its
bracket that reached it, without waiting for the others. Bracket 0 trains its few in full. Brackets follow each
other from the most eager one, s_max, to 0 and begin anew; each learns from all its earlier rounds.

With the sampler "bohb" this is the pairing of that name.

Source: Li et al. 2018, "Hyperband: a novel bandit-based approach to hyperparameter optimization", algorithm 1;
promotion without waiting: Li et al. 2020, algorithm 2; with a model: Falkner et al. 2018, "BOHB".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from greyhound.errors import StudyError
from greyhound.schedulers.base import Action, Resume, Start, Traits, Wait
from greyhound.schedulers.halving import last_resort, promotion
from greyhound.trial import Verdict

if TYPE_CHECKING:
    from greyhound.history import History
    from greyhound.trial import Trial

_MOST_HALVINGS = 3


@dataclass(frozen=True)
class Hyperband:
    """Brackets of successive halving below max_steps, which has to be known.

    eta: 2 or more; 1/eta of a rung's trials are promoted. min_steps: the first rung of the most eager bracket is
    at least this, 1 or more; None for three rungs below the end, fewer where max_steps is below eta³.
    """

    eta: int = 3
    min_steps: int | None = None
    traits: ClassVar[Traits] = Traits(unbounded=False)

    def __post_init__(self) -> None:
        if not isinstance(self.eta, int) or self.eta < 2:
            raise StudyError(f"hyperband: eta must be a whole number of at least 2; got {self.eta!r}.")
        if self.min_steps is not None and (not isinstance(self.min_steps, int) or self.min_steps < 1):
            raise StudyError(f"hyperband: min_steps must be a whole number of at least 1; got {self.min_steps!r}.")

    def next(self, history: History) -> Action:
        """A promotion where one is due, the most eager bracket first; else a new configuration.

        When no new ones are to be had, the best paused trial is brought to the end if no other was.
        """
        end = _end(history)
        for bracket in range(self.most(end), 0, -1):
            members = [number for number in range(len(history)) if self.bracket(number, end) == bracket]
            due = promotion(history, self.rungs(bracket, end), self.eta, members)
            if due is not None:
                return Resume(due)
        if history.can_start:
            return Start()
        best = last_resort(history, self.rungs(self.most(end), end))
        return Resume(best) if best is not None else Wait()

    def judge(self, history: History, trial: Trial) -> Verdict:
        """Every trial pauses at its rung; `next` resumes it, at once if it is among the best of its bracket."""
        return Verdict.PAUSE

    def until(self, history: History, trial: Trial | None) -> int | None:
        """The next rung of the trial's bracket, or the end of the training."""
        number, step = (trial.number, trial.step) if trial is not None else (len(history), 0)
        end = _end(history)
        rungs = self.rungs(self.bracket(number, end), end)
        return next((rung for rung in rungs if rung > step), end)

    def most(self, end: int) -> int:
        """s_max = ⌊log_eta(end / min_steps)⌋: how often the most eager bracket halves."""
        if self.min_steps is None:
            return min(_MOST_HALVINGS, _log(end, self.eta))
        return _log(end // self.min_steps, self.eta) if self.min_steps < end else 0

    def sizes(self, end: int) -> list[int]:
        """Configurations of each bracket in one round, by s from 0 on."""
        most = self.most(end)
        return [math.ceil((most + 1) * self.eta**s / (s + 1)) for s in range(most + 1)]

    def bracket(self, number: int, end: int) -> int:
        """The bracket s that trial `number` belongs to: a round goes from s_max to 0."""
        sizes = self.sizes(end)
        place = number % sum(sizes)
        for s in range(len(sizes) - 1, 0, -1):
            if place < sizes[s]:
                return s
            place -= sizes[s]
        return 0

    def rungs(self, bracket: int, end: int) -> list[int]:
        """Steps at which the bracket's trials pause, rising: end / etaˢ … end / eta; none in bracket 0."""
        return [max(1, round(end / self.eta**s)) for s in range(bracket, 0, -1)]


def _end(history: History) -> int:
    if history.max_steps is None:
        raise StudyError("hyperband needs max_steps, the length of a full training.")
    return history.max_steps


def _log(number: int, base: int) -> int:
    """⌊log_base(number)⌋, exactly; 0 for 1."""
    found = 0
    while base ** (found + 1) <= number:
        found += 1
    return found
