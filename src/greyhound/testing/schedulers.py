"""What every scheduler promises: pure decisions that bring a study to its end, nothing trained twice."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from greyhound.history import History
from greyhound.schedulers.base import Action, Resume, Scheduler, Start, Stop, Traits, Wait
from greyhound.space import Float, Space
from greyhound.storage import Memory
from greyhound.study import Study
from greyhound.testing.promise import expect
from greyhound.trial import TrialState, Verdict

Make = Callable[[], Scheduler]

MAX_STEPS = 27


def check_scheduler(make: Make) -> None:
    """Run every check on the schedulers that make() gives."""
    for check in CHECKS.values():
        check(make)


def ends_a_study(make: Make) -> None:
    """With any number of workers, the study ends, no step is trained twice or beyond the end."""
    for workers in (1, 4):
        run = simulate(make(), trials=20, workers=workers)
        expect(run.study.finished, f"{workers} workers: a study of 20 trials comes to its end")
        expect(len(run.study.trials) == 20, f"{workers} workers: every trial of the budget is started")
        expect(
            len(set(run.trained)) == len(run.trained),
            f"{workers} workers: no step of a trial is trained twice",
        )
        longest = max(step for _, step in run.trained)
        expect(longest <= MAX_STEPS, f"{workers} workers: no trial is trained beyond max_steps")


def completes_a_winner(make: Make) -> None:
    """At the end at least one trial was trained in full, if only a few were started."""
    for trials in (1, 2, 5, 20):
        run = simulate(make(), trials=trials, workers=2)
        expect(len(run.study.history.completed) >= 1, f"of {trials} trials at least one is trained to the end")


def resumes_only_what_is_paused(make: Make) -> None:
    """Actions fit the history: a resumed trial is paused, a new one is allowed, verdicts are verdicts."""
    run = simulate(make(), trials=20, workers=3)
    for history, action in run.actions:
        if isinstance(action, Resume | Stop):
            state = history.trial(action.number).state
            expect(state is TrialState.PAUSED, f"only a paused trial is resumed or stopped, not one {state.value}")
        elif isinstance(action, Start):
            expect(history.can_start, "a new trial is started only where history.can_start")
        else:
            expect(isinstance(action, Wait), f"an action is Start, Resume, Stop or Wait, not {action!r}")


def never_idles_with_room(make: Make) -> None:
    """A free worker gets work as long as new configurations may be started: nobody waits for a slow one."""
    run = simulate(make(), trials=30, workers=4)
    for history, action in run.actions:
        expect(
            not (isinstance(action, Wait) and history.can_start),
            "Wait only where no new trial can be started",
        )


def judges_ahead(make: Make) -> None:
    """`until` lies behind the steps trained and not behind max_steps."""
    scheduler = make()
    run = simulate(scheduler, trials=12, workers=2)
    history = run.study.history
    for trial in (None, *history.paused):
        until = scheduler.until(history, trial)
        step = trial.step if trial is not None else 0
        expect(
            until is not None and step < until <= MAX_STEPS,
            f"until lies in ({step}, {MAX_STEPS}]; got {until}",
        )


def is_pure(make: Make) -> None:
    """Every decision is the same when it is taken again from the journal by another instance."""
    run = simulate(make(), trials=15, workers=3)
    events = run.study.journal.read(0)
    for length, exhausted, action in run.decided:
        history = History.of(events[:length])
        history.exhausted = exhausted
        expect(make().next(history) == action, "the same history gives the same decision in another process")


def bears_failures(make: Make) -> None:
    """Trials that fail, diverge or never report don't stall the study."""
    run = simulate(make(), trials=20, workers=2, failures=True)
    expect(run.study.finished, "a study in which a third of the trials fail comes to its end")


def judges_several_objectives(make: Make) -> None:
    """Where it takes several objectives, a study of two comes to its end with a trial trained in full."""
    if make().traits.objectives < 2:
        return
    run = simulate(make(), trials=20, workers=3, objectives=2)
    expect(run.study.finished, "a study with two objectives comes to its end")
    expect(len(run.study.history.completed) >= 1, "with two objectives at least one trial is trained to the end")


CHECKS: Mapping[str, Callable[[Make], None]] = {
    check.__name__: check
    for check in (
        ends_a_study, completes_a_winner, resumes_only_what_is_paused, never_idles_with_room, judges_ahead, is_pure,
        bears_failures, judges_several_objectives,
    )
}  # fmt: skip


@dataclass
class Run:
    """What a simulated study did. trained: (trial, step) in order. decided: (events, exhausted, action)."""

    study: Study
    trained: list[tuple[int, int]] = field(default_factory=list)
    actions: list[tuple[History, Action]] = field(default_factory=list)
    decided: list[tuple[int, bool, Action]] = field(default_factory=list)


def simulate(
    scheduler: Scheduler,
    *,
    trials: int,
    workers: int,
    failures: bool = False,
    max_steps: int = MAX_STEPS,
    objectives: int = 1,
) -> Run:
    """Drive a study by ask, report and tell in simulated time on saturating curves of uneven speed.

    objectives: 1, or 2 for another that is small where the first is large.
    """
    clock = [0.0]
    study = Study(
        Space(x=Float(0.0, 1.0)),
        maximize="accuracy",
        minimize="cost" if objectives > 1 else (),
        max_steps=max_steps,
        budget=trials,
        sampler="random",
        scheduler=scheduler,
        storage=Memory(),
        clock=lambda: clock[0],
    )
    run = Run(study)
    rng = random.Random(0)
    _watch(scheduler, run)
    free, queue, order = workers, [], 0  # type: int, list[tuple[float, int, int, int]], int
    while True:
        while free and (trial := study.ask()) is not None:
            free, order = free - 1, order + 1
            heapq.heappush(queue, (clock[0] + 0.5 + trial.params["x"], order, trial.number, trial.step + 1))
        if not queue:
            return run
        clock[0], _, number, step = heapq.heappop(queue)
        if failures and rng.random() < 0.05:
            study.tell(number, failed="made to fail")
            free += 1
            continue
        x = study.history.trial(number).params["x"]
        value = float("nan") if failures and x > 0.9 and step > 5 else x * (1 - 0.8**step) + 0.02 * rng.random()
        run.trained.append((number, step))
        metrics = {"accuracy": value, **({"cost": 0.1 + x} if objectives > 1 else {})}
        if study.report(number, step, **metrics) is Verdict.CONTINUE:
            order += 1
            heapq.heappush(queue, (clock[0] + 0.5 + x, order, number, step + 1))
        else:
            free += 1


def _watch(scheduler: Scheduler, run: Run) -> None:
    """Note every decision that the study asks its scheduler for."""
    study = run.study

    class Watched:
        traits: ClassVar[Traits] = scheduler.traits
        judge = staticmethod(scheduler.judge)
        until = staticmethod(scheduler.until)

        def next(self, history: History) -> Action:
            action = scheduler.next(history)
            run.actions.append((_frozen(history, study), action))
            run.decided.append((history.length, history.exhausted, action))
            return action

    study.scheduler = Watched()


def _frozen(history: History, study: Study) -> History:
    copy = History.of(study.journal.read(0)[: history.length])
    copy.exhausted = history.exhausted
    return copy
