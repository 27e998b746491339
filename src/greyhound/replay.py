"""Audit trials: which are trained to their end to check early stopping, and what the scheduler would have made of them.

To replay it the journal is folded once more, but audit trials do there what the scheduler says: they are judged at
its steps and wait where it pauses them. Whenever a worker was free (the journal shows a claim) the scheduler is
asked, and a paused audit trial goes on if it is the one to be resumed.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from greyhound import events as ev
from greyhound.analysis.audit import AUDIT
from greyhound.history import History
from greyhound.schedulers import Resume, Scheduler, Stop
from greyhound.trial import TrialState, Verdict


def audit_is_due(history: History, share: float) -> bool:
    """Whether the next new trial is an audit.

    A coin decides, which knows nothing of the configuration, as long as audits, each a full training, keep to
    their share of all steps.
    """
    if not share or history.max_steps is None:
        return False
    audits = 1 + sum(trial.source == AUDIT for trial in history.trials)
    affordable = audits * history.max_steps <= share * (history.total_steps + history.max_steps)
    return affordable and random.Random(f"audit/{history.seed}/{len(history)}").random() < 0.5


@dataclass
class _Audited:
    """An audit trial as it is replayed. left: reports that it made and that the scheduler has not let it make yet."""

    owner: str
    until: int | None
    left: deque[ev.Reported] = field(default_factory=deque)


def stops(events: Sequence[ev.Event], scheduler: Scheduler) -> Mapping[int, int]:
    """At which step each audit trial would have been stopped, or left paused; those that were not are left out.

    events: the journal, from the first.
    """
    history = History()
    audited: dict[int, _Audited] = {}
    for event in events:
        number = getattr(event, "trial", None)
        if isinstance(event, ev.Started) and event.source == AUDIT and event.trial == len(history):
            until = scheduler.until(history, None)
            history.apply(replace(event, until=until))
            audited[event.trial] = _Audited(event.owner, until)
        elif number in audited:
            if isinstance(event, ev.Reported):
                audited[number].left.append(event)
                _go_on(history, scheduler, event.trial, audited[number])
            elif isinstance(event, ev.Ended) and event.state.failed:
                history.apply(event)
        else:
            if isinstance(event, ev.Started | ev.Resumed):
                _ask(history, scheduler, audited)
            history.apply(event)
    while _ask(history, scheduler, audited):
        pass
    unfinished = (number for number in audited if not history.trial(number).state.failed)
    return {
        number: history.trial(number).step
        for number in unfinished
        if history.trial(number).state in (TrialState.PAUSED, TrialState.STOPPED)
    }


def _ask(history: History, scheduler: Scheduler, audited: Mapping[int, _Audited]) -> bool:
    """Let a paused audit trial go on, or end, if that is what the scheduler would do now; whether it was."""
    if not any(number in audited for number in history.numbers(TrialState.PAUSED)):
        return False
    action = scheduler.next(history)
    if not isinstance(action, Resume | Stop) or action.number not in audited:
        return False
    one = audited[action.number]
    if isinstance(action, Stop):
        history.apply(ev.Ended(history.last_time, action.number, TrialState.STOPPED, {}, one.owner))
        return True
    one.until = scheduler.until(history, history.trial(action.number))
    history.apply(ev.Resumed(history.last_time, action.number, one.owner, one.until))
    _go_on(history, scheduler, action.number, one)
    return True


def _go_on(history: History, scheduler: Scheduler, number: int, one: _Audited) -> None:
    """Let an audit trial report what it has, up to where the scheduler pauses or stops it."""
    while one.left and history.trial(number).state is TrialState.RUNNING:
        history.apply(one.left.popleft())
        trial = history.trial(number)
        if history.max_steps is not None and trial.step >= history.max_steps:
            history.apply(ev.Ended(history.last_time, number, TrialState.COMPLETED, {}, one.owner))
        elif one.until is not None and trial.step >= one.until:
            verdict = scheduler.judge(history, trial)
            if verdict is Verdict.CONTINUE:
                one.until = scheduler.until(history, trial)
            else:
                state = TrialState.PAUSED if verdict is Verdict.PAUSE else TrialState.STOPPED
                history.apply(ev.Ended(history.last_time, number, state, {}, one.owner))
