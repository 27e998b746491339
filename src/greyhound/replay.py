"""What the scheduler would have made of audit trials, which are trained to their end to check early stopping.

To replay it the journal is folded once more, but audit trials do there what the scheduler says: they are judged at
its steps and wait where it pauses them. Whenever a worker was free (the journal shows a claim) the scheduler is
asked, and a paused audit trial goes on if it is the one to be resumed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from greyhound import events as ev
from greyhound.analysis.audit import AUDIT
from greyhound.history import History
from greyhound.judging import judge
from greyhound.schedulers import Resume, Scheduler, Stop
from greyhound.trial import TrialState


@dataclass
class _Audited:
    """An audit trial as it is replayed. left: what it told, its end too, and the scheduler has not let it tell yet."""

    owner: str
    left: deque[ev.Reported | ev.Ended] = field(default_factory=deque)


def stops(events: Sequence[ev.Event], scheduler: Scheduler) -> Mapping[int, int]:
    """At which step each audit trial would have been stopped, or left paused; those that were not are left out.

    events: the journal, from the first.
    """
    history = History()
    audited: dict[int, _Audited] = {}
    for event in events:
        number = getattr(event, "trial", None)
        if isinstance(event, ev.Started) and event.source == AUDIT and event.trial == len(history):
            history.apply(replace(event, until=scheduler.until(history, None)))
            audited[event.trial] = _Audited(event.owner)
        elif number in audited:
            if isinstance(event, ev.Reported) or (isinstance(event, ev.Ended) and event.state is TrialState.COMPLETED):
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
    until = scheduler.until(history, history.trial(action.number))
    history.apply(ev.Resumed(history.last_time, action.number, one.owner, until))
    _go_on(history, scheduler, action.number, one)
    return True


def _go_on(history: History, scheduler: Scheduler, number: int, one: _Audited) -> None:
    """Let an audit trial tell what it has, up to where the scheduler pauses or stops it."""
    while one.left and history.trial(number).state is TrialState.RUNNING:
        event = one.left.popleft()
        if isinstance(event, ev.Ended):
            history.apply(replace(event, owner=one.owner))
            return
        history.apply(event)
        trial = history.trial(number)
        found = judge(history, scheduler, replace(trial, source=""), spent=False)
        if found.end is not None:
            history.apply(ev.Ended(history.last_time, number, found.end, {}, one.owner))
        elif found.until != trial.until:
            history.apply(ev.Continued(history.last_time, number, found.until))
