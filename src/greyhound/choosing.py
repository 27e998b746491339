"""What a free worker trains next: what waits to be trained goes first, then the scheduler chooses, then the sampler.

In this order: what the finals have yet to train, trials that were put back, the default configuration, what was
enqueued; then what the scheduler wants, which for a new configuration may ask the sampler. Nothing happens here: the
study writes the claim of what was chosen, and chooses again if another process was first.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from greyhound import events as ev
from greyhound.analysis.audit import AUDIT
from greyhound.budget import Budget
from greyhound.history import History
from greyhound.numeric import threads
from greyhound.parameters import Parameter
from greyhound.samplers import Sampler
from greyhound.schedulers import Resume, Scheduler, Start, Stop
from greyhound.settings import Settings
from greyhound.strategy import sampler_name, scheduler_name
from greyhound.trial import Params, Trial, TrialState, derive_seed
from greyhound.values import show

DEFAULT, ENQUEUED, FINALS = "default", "enqueued", "finals"
"""Sources of trials, besides audits and the names of samplers and schedulers."""
IN_FULL = (DEFAULT, FINALS, AUDIT)
"""Sources of trials that are trained to their end whatever the scheduler says."""


@dataclass(frozen=True, slots=True)
class New:
    """A configuration to start.

    source: who chose it. ticket: its place in the queue. seed: None for the one that its number gives. parent,
    step: the trial from whose checkpoint it starts, and the step at which that one was judged.
    """

    params: Params
    source: str
    ticket: int | None = None
    seed: int | None = None
    parent: int | None = None
    step: int = 0


class Suggestions:
    """What the sampler suggests, when it is asked for or computed ahead."""

    def __init__(self) -> None:
        self._ahead: tuple[int, list[Params]] | None = None

    def prepare(self, history: History, sampler: Sampler) -> None:
        """Compute the next configuration if it is the sampler's to choose, and has not been computed."""
        if history.can_start and _waiting(history) is None and not self._prepared(history):
            self._ahead = len(history), _suggest(history, sampler)

    def take(self, history: History, sampler: Sampler) -> Params | None:
        """The next configuration; None where the sampler has no more."""
        found = self._ahead[1] if self._ahead and self._prepared(history) else _suggest(history, sampler)
        self._ahead = None
        if found:
            return found[0]
        return {} if history.define_by_run and not sampler.traits.finite else None

    def _prepared(self, history: History) -> bool:
        return self._ahead is not None and self._ahead[0] == len(history) and len(self._ahead[1]) > 0


def choose(
    history: History, settings: Settings, scheduler: Scheduler, suggest: Callable[[], Params | None], spent: bool
) -> New | Resume | Stop | None:
    """What to train next, or a trial to end before choosing again; None where there is nothing to do now.

    suggest: gives the sampler's next configuration; None, that it has no more, is noted in the history. spent: whether
    the budget is used up; then only finals go on.
    """
    if (replicate := _replicate(history)) is not None:
        return replicate
    if spent:
        return None
    if (waiting := _waiting(history)) is not None:
        return waiting
    action = scheduler.next(history)
    if isinstance(action, Start):
        if action.params is not None:
            return New(action.params, scheduler_name(settings), parent=action.parent, step=action.step)
        if (params := suggest()) is not None:
            source = AUDIT if _audit_is_due(history, settings.audit) else sampler_name(settings)
            return New(params, source, parent=action.parent, step=action.step)
        history.exhausted = True
        action = scheduler.next(history)
    return action if isinstance(action, Resume | Stop) else None


def why_finished(history: History, settings: Settings, scheduler: Scheduler, spent: str | None) -> str | None:
    """One sentence on why nothing more will be chosen; None while something may. spent: the budget used up, so said."""
    if history.replicates_open:
        return None
    if spent is not None:
        return spent
    if history.running or history.requeued or history.can_start:
        return None
    if isinstance(scheduler.next(history), Resume):
        return None
    if history.exhausted:
        return f"every configuration that {sampler_name(settings)} has was tried"
    return f"the budget of {Budget(trials=settings.budget.trials)} is used up"


def claim(
    history: History, scheduler: Scheduler, wanted: New | Resume, owner: str, now: float
) -> ev.Started | ev.Resumed:
    """The event with which `owner` takes what was chosen, up to the step at which it is judged."""
    if isinstance(wanted, Resume):
        return ev.Resumed(now, wanted.number, owner, _until_again(history, scheduler, history.trial(wanted.number)))
    number, params = len(history), dict(wanted.params)
    seed = derive_seed(history.seed, number) if wanted.seed is None else wanted.seed
    child = None
    if wanted.step:
        child = Trial(number, params, TrialState.RUNNING, seed, wanted.source, wanted.step, parent=wanted.parent)
    until = history.max_steps if wanted.source in IN_FULL else scheduler.until(history, child)
    return ev.Started(now, number, params, seed, wanted.source, owner, until, wanted.ticket, wanted.parent, wanted.step)


def warn_of_another(trial: Trial, name: str, parameter: Parameter) -> None:
    """Say so where an enqueued value was not taken, because the training asks for others."""
    enqueued = trial.source == ENQUEUED and name in trial.proposed
    if enqueued and not parameter.contains(trial.proposed[name]):
        warnings.warn(
            f"trial {trial.number}: the enqueued {name}={show(trial.proposed[name])} is not in {parameter!r}, which is "
            f"what the training asks for; {show(trial.params[name])} was drawn instead.",
            stacklevel=2,
        )


def _replicate(history: History) -> New | Resume | None:
    """What the finals have yet to train; it is planned by who begins the finals, not budgeted."""
    for trial in history.replicates:
        if trial.state is TrialState.PAUSED:
            return Resume(trial.number)
    for ticket, event in history.replicates_due:
        return New(event.params, FINALS, ticket, event.seed)
    return None


def _waiting(history: History) -> New | Resume | None:
    """What is to be trained before anything is chosen."""
    if history.requeued:
        return Resume(history.requeued[0])
    if not history.can_start:
        return None
    if not len(history) and not history.define_by_run and (default := history.space.default()) is not None:
        return New(default, DEFAULT)
    if (first := history.first_queued) is not None:
        ticket, params = first
        return New(params, ENQUEUED, ticket)
    return None


def _suggest(history: History, sampler: Sampler) -> list[Params]:
    import numpy as np

    if history.define_by_run and not len(history.space):
        return [{}]
    rng = np.random.default_rng([history.seed, len(history)])
    with threads.one():
        return list(sampler.suggest(history, 1, rng))


def _audit_is_due(history: History, share: float) -> bool:
    """Whether the next new trial is an audit.

    A coin decides, which knows nothing of the configuration, as long as audits, each a full training, keep to
    their share of all steps.
    """
    if not share or history.max_steps is None:
        return False
    audits = 1 + sum(trial.source == AUDIT for trial in history.trials)
    affordable = audits * history.max_steps <= share * (history.total_steps + history.max_steps)
    return affordable and random.Random(f"audit/{history.seed}/{len(history)}").random() < 0.5


def _until_again(history: History, scheduler: Scheduler, trial: Trial) -> int | None:
    if trial.source in IN_FULL:
        return history.max_steps
    if trial.until is not None and trial.until > trial.step:
        return trial.until  # it was interrupted on its way there
    return scheduler.until(history, trial)
