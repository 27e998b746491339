"""The one-call API: a study driven by workers until its budget is spent.

The loop is ask, report and tell, and nothing else: workers that are free get what `ask` gives, what
they send goes to `report` and `tell`, and verdicts go back. Ctrl-C or SIGTERM pauses every running
trial at its checkpoint and returns; a second one leaves at once, which loses nothing either.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, cast

from greyhound import executors, streams, terminations
from greyhound.budget import parse_seconds
from greyhound.callbacks import Callback
from greyhound.display import Display, make_display
from greyhound.errors import EvaluationError, SpaceError, StudyError
from greyhound.evaluators.function import Function, check_takes_trial, from_target, import_path, tunes_here
from greyhound.evaluators.live import LiveTrial
from greyhound.evaluators.replicates import Replicated
from greyhound.evaluators.script import Script
from greyhound.executors import Executor, Processes, Serial
from greyhound.finals import Plan, begin, reserve
from greyhound.jobs import Answer, Evaluator, Message, Outcome, Progress, WorkerRetired
from greyhound.settings import check_configuration, plain_configuration, read_max_steps, read_objectives
from greyhound.space import Space
from greyhound.storage import Journal
from greyhound.study import Study
from greyhound.trial import TrialState, Verdict
from greyhound.values import is_int, show

_WORKER_OPTIONS = ("executor", "workers", "gpus_per_trial", "cores_per_trial", "trial_timeout_s")
_TICK_S = 0.2
_GRACE_S = 60.0
"""How long trials may take to reach their next report when the budget is spent; then they are cut off."""


def tune(
    train: Callable[[Any], Any] | str | Evaluator,
    space: Space | Mapping[str, Any] | None = None,
    *,
    maximize: str | Sequence[str] = (),
    minimize: str | Sequence[str] = (),
    subject_to: str | Sequence[str] = (),
    max_steps: int | None = None,
    budget: Any = None,
    audit: float = 0.0,
    executor: str = "local",
    workers: int | str = "auto",
    gpus_per_trial: float = 1,
    cores_per_trial: int | None = None,
    trial_timeout: str | float | None = None,
    storage: str | Path | Journal | None = None,
    name: str | None = None,
    sampler: Any = "auto",
    scheduler: Any = "auto",
    seed: int = 0,
    warm_start: Any = (),
    enqueue: Sequence[Mapping[str, Any]] = (),
    checkpoints: str | Path | None = None,
    checkpoint_quota: int | None = None,
    callbacks: Sequence[Callback] = (),
    folds: int = 1,
    repeats: int = 1,
    finals: bool | str | Mapping[str, int] = "auto",
    test: str | None = None,
    progress: bool | str = "auto",
) -> Study:
    """Find good hyperparameters for a training function; the study that it made or continued.

    train: a function of one argument, the trial, or its import path ("package.module:function" or
    "file.py:function"). space, maximize, minimize, subject_to, max_steps, budget, audit, sampler, scheduler, seed,
    warm_start, storage, name, checkpoints, checkpoint_quota, callbacks, test: see Study. executor: where to train,
    "local" for this machine, "ray" for a Ray cluster (docs/ray.md). workers: how many worker
    processes, "auto" for as many as GPUs (or, without, cores) allow, "serial" to train in this process, which has
    all its devices and cannot be timed out.
    gpus_per_trial: GPUs of each, a fraction to share one. cores_per_trial: CPU cores of each.
    trial_timeout: the longest that one run of a trial may take, such as "30m". enqueue: configurations
    to try first, if the study is new. folds, repeats: each configuration is trained on every fold (trial.fold of
    trial.folds), so often (trial.repeat); its metrics are means, hopeless ones stop after the first folds, max_steps
    is the length of one training, and budgets count replicates as steps.
    finals: at the end the best few and the default are trained again on fresh
    seeds; "auto" keeps a fifth of the budget for that where there is a default to compare with and a budget of time,
    steps or 30 trials; True or {"top": 5, "seeds": 5} do so in any case, False never.
    progress: False for a quiet terminal, "auto" for a live table.

    Without a budget the study ends when sampler and scheduler have no more to do, or by Ctrl-C.
    Raises StudyError, SpaceError, BudgetError, StorageError or EvaluationError, before anything is
    trained, where an argument is wrong; EvaluationError also when trials fail on every worker.
    """
    tunes_here()
    timeout_s = parse_seconds(trial_timeout, "trial_timeout")
    evaluator, target = as_evaluator(train)
    if folds != 1 or repeats != 1:
        evaluator, target, max_steps = replicated(evaluator, target, folds, repeats, max_steps)
        one = len(read_objectives(maximize, minimize)) == 1
        scheduler = ("racing" if one else "none") if scheduler == "auto" else scheduler
    options: dict[str, Any] = {
        "executor": executor,
        "workers": workers,
        "gpus_per_trial": gpus_per_trial,
        "cores_per_trial": cores_per_trial,
        "trial_timeout_s": timeout_s,
    }
    space = space if space is None or isinstance(space, Space) else Space(space)
    check_space(evaluator, space, enqueue, max_steps)
    display, trainer = make_display(progress), make_executor(evaluator, **options)
    with contextlib.ExitStack() as last:
        last.callback(trainer.shutdown)
        study = Study(
            space,
            maximize=maximize,
            minimize=minimize,
            subject_to=subject_to,
            sampler=sampler,
            scheduler=scheduler,
            max_steps=max_steps,
            budget=budget,
            audit=audit,
            seed=seed,
            warm_start=warm_start,
            storage=storage,
            name=name,
            checkpoints=checkpoints,
            checkpoint_quota=checkpoint_quota,
            callbacks=callbacks,
            target={**target, **options} if target else {},
            test=test,
            devices_per_trial=gpus_per_trial or 1,
        )
        enqueue_first(study, enqueue)
        study.trainer = lambda it: drive(it, make_executor(evaluator, **options), make_display(progress))
        drive(study, trainer, display, reserve(study, finals, budget))
    return study


def as_evaluator(train: Callable[[Any], Any] | str | Evaluator) -> tuple[Evaluator, dict[str, Any]]:
    """What is tuned as an evaluator, and how another process makes it again; empty where none can."""
    here = {"folder": os.getcwd()}
    if isinstance(train, str):
        return from_target(train), {"function": train, **here}
    if isinstance(train, Script):
        told = {"command": list(train.command), "tensorboard": train.tensorboard, "lines": list(train.lines)}
        return train, {**told, **here}
    if getattr(train, "evaluates_jobs", False):
        return cast(Evaluator, train), {}
    if not callable(train):
        raise EvaluationError(
            f"train must be a function of one argument, the trial, or its import path; got {train!r}."
        )
    function = cast(Callable[[Any], Any], train)
    check_takes_trial(function, getattr(function, "__name__", show(function)))
    path = import_path(function)
    return Function(function), {"function": path, **here} if path else {}


def replicated(
    evaluator: Evaluator, target: Mapping[str, Any], folds: int, repeats: int, max_steps: int | None
) -> tuple[Evaluator, dict[str, Any], int]:
    """The evaluator, target and max_steps of a study whose steps are the replicates of a configuration."""
    made = Replicated(evaluator, folds, repeats, read_max_steps(max_steps))
    told = {"folds": folds, "repeats": repeats, "steps": max_steps}
    return made, {**target, "replicates": told}, made.count


def evaluator_again(target: Mapping[str, Any]) -> tuple[Evaluator, dict[str, Any]]:
    """The evaluator and the workers' options that a study was last run with, from its journal.

    Relative paths in it count from the folder that the study was run in, which should be the current one.
    EvaluationError where only the study's own program can make it.
    """
    options = {key: value for key, value in target.items() if key in _WORKER_OPTIONS}
    if (told := target.get("replicates")) is not None:
        evaluator, _ = evaluator_again({key: value for key, value in target.items() if key != "replicates"})
        return Replicated(evaluator, told["folds"], told["repeats"], told["steps"]), options
    if "function" in target:
        return from_target(target["function"]), options
    if "command" in target:
        return Script(tuple(target["command"]), target.get("tensorboard"), tuple(target.get("lines", ()))), options
    raise EvaluationError("only the program that made this study can continue it: run that program again.")


def check_space(
    evaluator: Evaluator, space: Space | None, enqueue: Sequence[Mapping[str, Any]] = (), max_steps: int | None = None
) -> None:
    """What a space makes wrong, to be told before there is a study of it; None is a space named in the training.

    EvaluationError where a command's template names what the space or the study does not have, or a script has no
    space, StudyError where `enqueue` is no list of configurations, SpaceError where one does not lie in it.
    """
    if isinstance(evaluator, Replicated):
        max_steps, evaluator = evaluator.max_steps, evaluator.evaluator
    if not isinstance(enqueue, Sequence):
        raise StudyError(f"enqueue: write a list of configurations, such as [{{'lr': 0.01}}]; got {show(enqueue)}.")
    for params in enqueue:
        check_configuration(params)
    if space is None:
        if isinstance(evaluator, Script):
            raise EvaluationError(
                "a script cannot name its parameters while it trains: give them as space=gh.Space(...), "
                "on the command line as --space space.yaml."
            )
        return
    if isinstance(evaluator, Script):
        evaluator.check(space.names, max_steps)
    for params in enqueue:
        try:
            space.validate(space.complete(dict(params)))
        except SpaceError as error:
            raise SpaceError(f"enqueue: {error}") from error


def enqueue_first(study: Study, wanted: Sequence[Mapping[str, Any]]) -> None:
    """Ask for configurations to be tried first, if the study is new.

    What is in its queue already is not asked for again: another process may have started the study at the same time,
    or this one have been killed while it did.
    """
    study.refresh()
    if len(study.history):
        return
    asked = [dict(params) for _, params in study.history.queue]
    for place, params in enumerate(wanted):
        space = study.history.space
        named = study.history.define_by_run
        whole = plain_configuration(params) if named else space.validate(space.complete(dict(params)))
        if whole in asked:
            asked.remove(whole)
        else:
            study.enqueue(params, place=place)


def make_executor(
    evaluator: Evaluator,
    *,
    executor: str = "local",
    workers: int | str = "auto",
    gpus_per_trial: float = 1,
    cores_per_trial: int | None = None,
    trial_timeout_s: float | None = None,
) -> Executor:
    """Worker processes, here or in a Ray cluster, or this process for workers="serial".

    The latter has all devices and warns of a time-out. StudyError where an option is wrong.
    """
    streams.fill()
    if executor not in ("local", "ray"):
        raise StudyError(f"executor: write 'local' or 'ray'; got {show(executor)}.")
    if executor == "local" and workers == "serial":
        if trial_timeout_s is not None:
            warnings.warn(
                "trial_timeout does nothing with workers='serial', which cannot end a training in its own process; "
                "write workers=1 to have it ended.",
                stacklevel=3,
            )
        if cores_per_trial is not None and not (is_int(cores_per_trial) and cores_per_trial >= 1):
            raise StudyError(f"cores_per_trial: write a whole number from 1; got {cores_per_trial!r}.")
        return Serial(evaluator)
    place = executors.Ray if executor == "ray" else Processes
    return place(
        evaluator,
        workers=workers,
        gpus_per_trial=gpus_per_trial,
        cores_per_trial=cores_per_trial,
        trial_timeout_s=trial_timeout_s,
    )


def drive(study: Study, executor: Executor, display: Display, plan: Plan | None = None) -> bool:
    """Run a study on an executor until it is finished or interrupted, which it returns whether it was.

    plan: what is kept for the finals, which follow the search.
    The executor is shut down whatever happens, and trials that still ran are put back.
    """
    loop = _Loop(study, executor, display)
    executor.pump = loop.handle_all
    try:
        with _signals(loop), study.beating(), display:
            loop.run()
            while plan is not None and not loop.interrupted and begin(study, plan, executor.slots):
                loop.again()
    finally:
        executor.shutdown()
        loop.leave()
        if not isinstance(sys.exc_info()[1], KeyboardInterrupt):  # then somebody wants to leave at once
            study.flush()
    display.finish(study, loop.interrupted)
    return loop.interrupted


class _Loop:
    """Ask, submit, report, tell. running: numbers of the trials that workers have."""

    def __init__(self, study: Study, executor: Executor, display: Display) -> None:
        self.study = study
        self.executor = executor
        self.display = display
        self.running: set[int] = set()
        study.trained = self.running
        self.interrupted = False
        self._next: LiveTrial | None = None  # asked for already, for the worker that is free next
        self._pausing_since: float | None = None
        self._retired: WorkerRetired | None = None
        self._refused: dict[int, str] = {}  # why trials that still run have failed already

    def run(self) -> None:
        """Until there is nothing left to do."""
        while True:
            if self._pausing_since is None:
                self._submit()
            if not self.running and (self._pausing_since is not None or (self._next is None and self._done())):
                return
            self.handle_all(self.executor.messages(_TICK_S))
            if self._pausing_since is None and (self.interrupted or self._spent()):
                self._pause_all()
            if self._overdue():
                return
            if self.executor.slots > 1 and self._pausing_since is None:
                self.study.prepare()
            self.study.beat()
            self.display.update(self.study.history, self.executor)

    def again(self) -> None:
        """After the search: train what the finals ask for."""
        self._pausing_since = None
        self.run()

    def handle_all(self, messages: Sequence[Message]) -> None:
        """Pass on to the study what workers sent, and its verdicts to them."""
        for message in messages:
            self._handle(message)

    def leave(self) -> None:
        """Put back what still runs."""
        held = {self._next.number} if self._next is not None else set()
        for number in sorted(self.running | held):
            self.study.end(number, TrialState.PAUSED)
        self.running.clear()

    def _submit(self) -> None:
        while self.executor.free > 0:
            trial = self._next or self.study.ask()
            if trial is None:
                return
            self._next = None
            self.running.add(trial.number)
            self.executor.submit(trial.job)

    def _next_instead(self, number: int) -> Verdict:
        """What a worker whose trial was paused does next: train on where that very trial is to be resumed."""
        if self._next is None:
            self._next = self.study.ask()
        if self._next is None or self._next.number != number:
            return Verdict.PAUSE
        self._next = None
        return Verdict.CONTINUE

    def _spent(self) -> bool:
        """Whether the budget ends what runs; the finals were planned to fit and go on."""
        return not self.study.history.replicates_open and self.study.spent is not None

    def _done(self) -> bool:
        if self.executor.slots == 0:
            why = self._retired.why if self._retired else "no worker could be started"
            raise EvaluationError(
                f"every worker was taken out because trial after trial failed on it; the last error: {why}. "
                f"What was finished is kept; `greyhound retry` puts failed trials back once this is mended."
            )
        return self.study.finished  # if not, another process trains what this one waits for

    def _handle(self, message: Message) -> None:
        study = self.study
        if isinstance(message, Progress):
            verdict = study.report(message.number, message.step, **message.metrics)
            if self.interrupted and verdict is Verdict.CONTINUE:
                verdict = Verdict.PAUSE  # told here too: a training in this very process keeps `run` from telling it
            elif message.waits and verdict is Verdict.PAUSE and not self.interrupted and self._pausing_since is None:
                verdict = self._next_instead(message.number)
            if message.waits or verdict is not Verdict.CONTINUE:
                until = study.history.trial(message.number).until
                self.executor.tell(message.number, Answer(verdict, until))
        elif isinstance(message, Outcome):
            self.running.discard(message.number)
            if (why := self._refused.pop(message.number, None)) is not None:
                message = replace(message, state=TrialState.FAILED, error=why)
            elif self.interrupted and message.state is TrialState.FAILED:
                message = replace(message, state=TrialState.PAUSED)  # the signal may have reached what it started too
            self._end(message)
        elif isinstance(message, WorkerRetired):
            self._retired = message
            self.display.warn(f"{message.worker} was taken out, {message.left} left: {message.why}")
        else:
            try:
                study.record(message)
            except SpaceError as error:
                self._refused[message.number] = str(error)
                self.executor.tell(message.number, Answer(Verdict.STOP))

    def _end(self, outcome: Outcome) -> None:
        state, error = outcome.state, outcome.error
        try:
            self.study.end(outcome.number, state, outcome.metrics, error)
        except StudyError as why:
            state, error = TrialState.FAILED, str(why)
            self.study.end(outcome.number, state, outcome.metrics, error)
        if state.failed and error:
            self.display.failed(outcome.number, state, error)

    def _pause_all(self) -> None:
        self._pausing_since = time.monotonic()
        for number in self.running:
            self.executor.tell(number, Answer(Verdict.PAUSE))

    def _overdue(self) -> bool:
        since = self._pausing_since
        return since is not None and not self.interrupted and time.monotonic() - since > _GRACE_S


@contextlib.contextmanager
def _signals(loop: _Loop) -> Iterator[None]:
    """The first SIGINT or SIGTERM pauses; the second leaves at once. Only the main thread can listen."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if loop.interrupted:
            raise KeyboardInterrupt
        if number == signal.SIGTERM:
            terminations.note()
        loop.interrupted = True
        loop.display.warn("pausing the running trials at their next report; once more to leave at once")

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


__all__ = ["as_evaluator", "check_space", "drive", "enqueue_first", "evaluator_again", "make_executor", "tune"]
