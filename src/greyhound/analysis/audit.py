"""How often early stopping was wrong, and what it cost, shown by trials that were trained to their end nevertheless."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from greyhound.analysis import ranking
from greyhound.trial import TrialState
from greyhound.values import counted

if TYPE_CHECKING:
    from greyhound.history import History

AUDIT = "audit"
"""The source of trials that were trained to their end to check early stopping."""
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Stopped:
    """An audit trial that early stopping would have ended at `step`.

    wrong: it ended better than all that the study would have had without it (with several objectives: none of
    those dominates it). cost: by how much it was better than the best of those, in units of the objective, 0 where it
    was not; None with several objectives.
    """

    trial: int
    step: int
    wrong: bool
    cost: float | None


@dataclass(frozen=True)
class Audit:
    """audited: audit trials that were trained to their end. stopped: those of them that would have been stopped.

    left: trials of the study, audits apart, that were stopped or left paused. steps: what the audit cost, in steps
    that early stopping would not have trained.
    """

    audited: int
    stopped: Sequence[Stopped]
    left: int
    steps: int

    @property
    def wrong(self) -> int:
        """How many stops were wrong."""
        return sum(each.wrong for each in self.stopped)

    @property
    def interval(self) -> tuple[float, float]:
        """Between which shares of all stops, 0 to 1, the wrong ones lie with 95 % confidence; (0, 1) without a stop.

        Source: Clopper & Pearson 1934, "The use of confidence or fiducial limits illustrated in the case of the
        binomial": it covers at least as often as it says, whatever the share.
        """
        return binomial_interval(self.wrong, len(self.stopped), _CONFIDENCE)

    @property
    def cost(self) -> float | None:
        """The largest gain that a wrong stop gave away; None with several objectives or without a stop."""
        return max((each.cost for each in self.stopped if each.cost is not None), default=None)

    def __str__(self) -> str:
        if not self.audited:
            return "no audit trial was trained to its end; with audit=0.1 a study spends a tenth of its steps on them"
        told = f"{counted(self.audited, 'audit trial')} trained to the end"
        if not self.stopped:
            return f"{told}, and none would have been stopped"
        low, high = self.interval
        count = len(self.stopped)
        told += f", of which early stopping would have ended {count}; {self.wrong} of {count} "
        told += f"would have been wrong ({self.wrong / count:.0%}, with 95 % confidence {low:.0%} to {high:.0%})"
        if self.wrong and self.cost is not None:
            told += f", giving away {self.cost:.4g} at most"
        if self.left:
            told += f"; for the {counted(self.left, 'trial')} stopped or left paused this means "
            told += f"{low * self.left:.0f} to {high * self.left:.0f} that would have ended better than the best"
        return f"{told}. The audit cost {counted(self.steps, 'step')}"


def audit(history: History, stops: Mapping[int, int]) -> Audit:
    """What audit trials show. stops: the steps at which they would have been stopped, by their numbers."""
    ended = [trial for trial in history.completed if trial.source == AUDIT]
    stopped = {trial.number: stops[trial.number] for trial in ended if trial.number in stops}
    left = [trial for trial in history.select(TrialState.PAUSED, TrialState.STOPPED) if trial.source != AUDIT]
    return Audit(
        audited=len(ended),
        stopped=tuple(_compared(history, number, step, stopped) for number, step in sorted(stopped.items())),
        left=len(left),
        steps=sum(history.trial(number).step - step for number, step in stopped.items()),
    )


def binomial_interval(hits: int, count: int, confidence: float) -> tuple[float, float]:
    """Clopper and Pearson's interval for a share of which `hits` in `count` were seen; (0, 1) for a count of 0."""
    from scipy.special import betaincinv

    tail = (1.0 - confidence) / 2.0
    low = float(betaincinv(hits, count - hits + 1, tail)) if hits else 0.0
    high = float(betaincinv(hits + 1, count - hits, 1.0 - tail)) if hits < count else 1.0
    return low, high


def _compared(history: History, number: int, step: int, stopped: Mapping[int, int]) -> Stopped:
    usable = ranking.usable(history)
    others = history.losses[[at for at in usable if at not in stopped]]
    mine = history.losses[number]
    if number not in usable:
        return Stopped(number, step, False, 0.0 if len(mine) == 1 else None)
    if len(mine) == 1:
        gain = float(others.min() - mine[0]) if len(others) else 0.0
        return Stopped(number, step, gain > 0 or not len(others), max(0.0, gain))
    beaten = (others <= mine).all(axis=1)
    return Stopped(number, step, not beaten.any(), None)
