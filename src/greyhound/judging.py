"""What becomes of a trial: the verdict on a report, and whether a training that ended has what it takes.

A trial diverges when an objective is NaN or infinite, and is completed by its last step as soon as it has every
objective; a spent budget pauses it. Only then, at the first report of an objective at the step up to which it was to
train or behind, the scheduler is asked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile

from greyhound import events as ev
from greyhound.choosing import IN_FULL
from greyhound.errors import StudyError
from greyhound.history import History
from greyhound.schedulers import Scheduler
from greyhound.trial import Trial, TrialState, Verdict
from greyhound.values import show

_MOST_RESTARTS = 3
"""A trial whose worker was lost more often is left lost: it may be what kills them."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and what follows from it.

    end: the state in which the run ends, None where it goes on. until: the step of the next verdict, where it goes on.
    requeue: why the trial is to go first when the study goes on, None where it is not.
    """

    verdict: Verdict
    end: TrialState | None = None
    until: int | None = None
    requeue: str | None = None


def check_reason(failed: object) -> None:
    """StudyError where why a trial failed is not told in text; None is no failure."""
    if failed is not None and not isinstance(failed, str):
        raise StudyError(
            f"tell: failed says why in text, as in failed='no data'; got {show(failed)}: "
            "write str(...) of an exception, and leave it out where the trial was completed."
        )


def judge(history: History, scheduler: Scheduler, trial: Trial, spent: bool) -> Judgement:
    """How a running trial goes on after its last report. spent: whether the budget is used up."""
    if _diverged(history, trial.metrics):
        return Judgement(Verdict.STOP, TrialState.DIVERGED)
    if history.max_steps is not None and trial.step >= history.max_steps and not _missing(history, trial.metrics):
        return Judgement(Verdict.STOP, TrialState.COMPLETED)
    if spent and trial.replicates is None:
        return Judgement(Verdict.PAUSE, TrialState.PAUSED, requeue="the budget was spent")
    if trial.until is None or not _told(history, trial, trial.until):
        return Judgement(Verdict.CONTINUE, until=trial.until)
    verdict = Verdict.CONTINUE if trial.source in IN_FULL else scheduler.judge(history, trial)
    if verdict is Verdict.CONTINUE:
        return Judgement(verdict, until=scheduler.until(history, trial))
    return Judgement(verdict, TrialState.PAUSED if verdict is Verdict.PAUSE else TrialState.STOPPED)


def ending(
    history: History,
    now: float,
    number: int,
    state: TrialState,
    metrics: Mapping[str, float],
    error: str | None = None,
    requeue: str | None = None,
) -> list[ev.Event]:
    """The events that end a trial's run, and put it back where there is a reason to, or its worker was lost."""
    trial, seconds = history.trial(number), history.run_seconds(number, now)
    if state is TrialState.LOST and trial.restarts < _MOST_RESTARTS:
        requeue = error or "its worker was lost"
    events: list[ev.Event] = [ev.Ended(now, number, state, metrics, trial.owner, error, seconds)]
    return events if requeue is None else [*events, ev.Requeued(now, number, requeue, trial.owner)]


def completion(history: History, trial: Trial, told: Mapping[str, float]) -> TrialState:
    """COMPLETED or DIVERGED, for a trial that ends with these metrics besides its own.

    StudyError where an objective is missing.
    """
    metrics = {**trial.metrics, **told}
    if missing := _missing(history, metrics):
        known = f"it has {', '.join(metrics)}" if metrics else "it has no metrics"
        raise StudyError(f"trial {trial.number} ends without {', '.join(missing)}, an objective of the study; {known}.")
    return TrialState.DIVERGED if _diverged(history, metrics) else TrialState.COMPLETED


def told_later(trial: Trial, end: TrialState, told: Mapping[str, float]) -> dict[str, float]:
    """The metrics that a trial which has ended is told anew; none but for a completed one.

    StudyError where it ended in a way that cannot be completed.
    """
    if end is not TrialState.COMPLETED or trial.state is TrialState.STOPPED:
        return {}
    if trial.state is not TrialState.COMPLETED:
        raise StudyError(f"trial {trial.number} has ended already: {trial.state.value}.")
    return {name: value for name, value in told.items() if trial.metrics.get(name) != value}


def _told(history: History, trial: Trial, step: int) -> bool:
    """Whether a trial has every objective and reported one at `step` or behind, so that it can be judged there."""
    if _missing(history, trial.metrics):
        return False
    newest = takewhile(lambda report: report.step >= step, reversed(trial.reports))
    return any(objective.metric in report.metrics for report in newest for objective in history.objectives)


def _missing(history: History, metrics: Mapping[str, float]) -> list[str]:
    return [objective.metric for objective in history.objectives if objective.metric not in metrics]


def _diverged(history: History, metrics: Mapping[str, float]) -> bool:
    return any(not math.isfinite(metrics.get(objective.metric, 0.0)) for objective in history.objectives)
