"""Worker processes on this machine, each with GPUs and cores of its own.

A worker lives on from job to job, and is replaced after an out-of-memory error (nothing else gives
back all GPU memory), a time-out, its death, and on a GPU after any failure: some errors of CUDA, such as
a failed assertion, stay with the process and would fail all that it trains later. The coordinator
sleeps in one `wait` on all lines and processes.

A slot is the place of a worker: its lease stays, its process may be replaced. A slot on which job
after job fails is taken out, so that one bad GPU does not eat the study.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

from greyhound.errors import EvaluationError, StudyError
from greyhound.executors.base import WorkerInfo
from greyhound.executors.devices import Lease, plan, usable_cores, visible_gpus
from greyhound.executors.launch import Launcher, Phase, WorkerProcess, last_line
from greyhound.executors.worker import LOG, Begun, Ready, Unloadable
from greyhound.jobs import Answer, Evaluator, Job, Message, Outcome, WorkerRetired
from greyhound.trial import TrialState

_COUNTS_AGAINST_WORKER = frozenset({TrialState.FAILED, TrialState.LOST, TrialState.OUT_OF_MEMORY})
_ENDS_WORKER = frozenset({TrialState.OUT_OF_MEMORY, TrialState.TIMED_OUT})
_START_ATTEMPTS = 2
_POLL_S = 0.2
_LONGEST_WAIT_S = 3600.0


class Processes:
    """Runs jobs in worker processes.

    evaluator: sent by cloudpickle; EvaluationError where that is impossible.
    workers, gpus_per_trial, cores_per_trial: see `devices.plan`; StudyError where they do not fit, or the system
    cannot start so many.
    trial_timeout_s: a run that takes longer is killed (TIMED_OUT). retire_after: how many jobs in a
    row may end FAILED, LOST or OUT_OF_MEMORY on a worker before it is taken out. start_timeout_s:
    how long a worker may take until it has loaded the evaluator; one that fails twice is taken out.
    environment: more variables for the workers; they win over those that the lease brings.
    leases: what each worker may use, where that is not to be planned here.

    Workers start at once and in parallel; `free` counts those that are ready. Not thread-safe.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        workers: int | str = "auto",
        gpus_per_trial: float = 1,
        cores_per_trial: int | None = None,
        *,
        trial_timeout_s: float | None = None,
        retire_after: int = 5,
        start_timeout_s: float = 120.0,
        environment: Mapping[str, str] | None = None,
        leases: Sequence[Lease] | None = None,
    ) -> None:
        _check_positive(trial_timeout_s=trial_timeout_s, retire_after=retire_after, start_timeout_s=start_timeout_s)
        if leases is None:
            gpus = visible_gpus() if gpus_per_trial else []
            leases = plan(workers, gpus_per_trial, usable_cores(), gpus, cores_per_trial)
        self.pump: Callable[[Sequence[Message]], None] | None = None  # not used: trainings run elsewhere
        self._trial_timeout_s = math.inf if trial_timeout_s is None else trial_timeout_s
        self._start_timeout_s = start_timeout_s
        self._retire_after = retire_after
        self._inbox: list[Message] = []
        self._proven = False  # some worker has loaded the evaluator
        self._launcher = Launcher(evaluator, environment or {})
        self._slots = [_Slot(lease) for lease in leases]
        self._finalizer = weakref.finalize(self, _shut_down, self._slots, self._launcher, os.getpid())
        for slot in self._slots:
            try:
                slot.process = self._launcher.start(slot.lease)
            except OSError as error:
                self.shutdown()
                raise StudyError(
                    f"workers: {slot.lease.name} of {len(leases)} cannot be started: {error.strerror or error}; give "
                    f"fewer workers, or raise what the system allows (`ulimit -a`)."
                ) from error

    @property
    def slots(self) -> int:
        """How many workers have not been taken out."""
        return len(self._active())

    @property
    def free(self) -> int:
        """How many workers are ready and idle."""
        return sum(slot.free for slot in self._active())

    @property
    def workers(self) -> Sequence[WorkerInfo]:
        """All workers that have not been taken out."""
        return [
            WorkerInfo(slot.lease.name, slot.lease.device, slot.job.number if slot.job else None)
            for slot in self._active()
        ]

    def submit(self, job: Job) -> None:
        """Send a job to a worker that is free; RuntimeError if there is none."""
        slot = next((slot for slot in self._active() if slot.free), None)
        if slot is None:
            raise RuntimeError(f"trial {job.number} was submitted while no worker is free.")
        slot.assign(job)

    def messages(self, timeout_s: float, bell: Connection[Any, Any] | None = None) -> Sequence[Message]:
        """All messages that came; waits up to timeout_s for the first, or until a worker becomes free.

        bell: returns early too when there is something to be read from it, which is left there.
        EvaluationError if the first worker to answer cannot load the evaluator; nothing runs then.
        """
        deadline = time.monotonic() + timeout_s
        while self.slots:
            free = self.free
            rung = self._attend(deadline, bell)
            if self._inbox or rung or self.free > free or time.monotonic() >= deadline:
                break
        batch, self._inbox = self._inbox, []
        return batch

    def tell(self, number: int, answer: Answer) -> None:
        """Answer the trial if a worker trains it."""
        for slot in self._active():
            if slot.job is not None and slot.job.number == number:
                slot.answer((number, answer))

    def shutdown(self) -> None:
        """Kill all workers and all that they started. Safe to call twice; done at exit at the latest."""
        self._finalizer()

    def _active(self) -> list[_Slot]:
        return [slot for slot in self._slots if not slot.retired] if self._finalizer.alive else []

    def _attend(self, until: float, bell: Connection[Any, Any] | None) -> bool:
        """Sleep until something happens to a worker, or `until`, and see to it; whether the bell has rung."""
        lines: dict[Any, _Slot] = {}
        alarms = [until]
        watched = True
        for slot in self._slots:
            if slot.process is not None:
                lines |= dict.fromkeys(slot.process.lines(), slot)
                watched = watched and slot.process.watched
                alarms.append(self._deadline(slot))
        patience = min(alarms) - time.monotonic()
        bells = [] if bell is None else [bell]
        ready = wait([*lines, *bells], max(0.0, min(patience, _LONGEST_WAIT_S if watched else _POLL_S)))
        stirred = {id(lines[line]) for line in ready if line in lines}
        for slot in self._slots:
            if id(slot) in stirred or not watched:
                self._read(slot)
            if time.monotonic() >= self._deadline(slot):
                self._expire(slot)
        return bell in ready

    def _read(self, slot: _Slot) -> None:
        process = slot.process
        if process is None:
            return
        gone = process.gone()  # asked first: all that it sent before its end is then there to be read
        for message in process.receive(everything=gone):
            if process.phase is not Phase.ENDING:
                self._take(slot, process, message)
        if gone:
            slot.process = None
            process.close()
            if not slot.retired:
                self._replace(slot, process)

    def _take(self, slot: _Slot, process: WorkerProcess, message: object) -> None:
        match message:
            case Ready():
                self._proven = True
                process.phase = Phase.READY
                slot.flush()
            case Unloadable(error):
                if not self._proven:
                    self.shutdown()
                    raise EvaluationError(
                        f"the training cannot be loaded in a worker process: {last_line(error)}. What it "
                        f"uses has to be importable there, or defined in the file or notebook that starts "
                        f"the study.\n\n{error}"
                    )
                process.trouble = last_line(error)
            case Begun(number):
                if slot.job is not None and slot.job.number == number:
                    slot.since, slot.begun = time.monotonic(), True
            case Outcome(number):
                if slot.job is not None and slot.job.number == number:
                    slot.failed_starts = 0
                    self._finish(slot, message)
            case _:
                self._inbox.append(message)  # type: ignore[arg-type]

    def _finish(self, slot: _Slot, outcome: Outcome) -> None:
        """Hand on the end of the job that ran on the slot, and judge the worker by it."""
        slot.job = None
        self._inbox.append(outcome)
        if outcome.state in _COUNTS_AGAINST_WORKER:
            slot.failures += 1
        elif outcome.state is not TrialState.TIMED_OUT:
            slot.failures = 0
        if slot.failures >= self._retire_after:
            self._retire(slot, last_line(outcome.error) or outcome.state.value)
        elif outcome.state in _ENDS_WORKER or (outcome.state is TrialState.FAILED and slot.lease.gpus):
            slot.end()

    def _replace(self, slot: _Slot, process: WorkerProcess) -> None:
        """The slot's process has ended: say what became of its job, and start another process."""
        if process.phase is not Phase.ENDING or process.trouble:
            if slot.job is not None and slot.sent:
                outcome = slot.outcome(slot.job, process.how_its_job_ended(), process.how_it_ended())
                self._finish(slot, outcome)
            else:
                slot.failed_starts += 1
                if slot.failed_starts >= _START_ATTEMPTS:
                    self._retire(slot, process.how_it_ended())
        if not slot.retired:
            try:
                slot.process = self._launcher.start(slot.lease)
            except OSError as error:
                self._retire(slot, str(error))

    def _deadline(self, slot: _Slot) -> float:
        if slot.process is None or slot.process.phase is Phase.ENDING:
            return math.inf
        if slot.process.phase is Phase.STARTING:
            return slot.process.since + self._start_timeout_s
        return slot.since + self._trial_timeout_s if slot.sent and slot.begun else math.inf

    def _expire(self, slot: _Slot) -> None:
        if slot.job is not None and slot.sent:
            limit = f"the run took longer than {self._trial_timeout_s:g} s (trial_timeout_s)"
            self._finish(slot, slot.outcome(slot.job, TrialState.TIMED_OUT, limit))
        elif slot.process is not None:
            slot.process.trouble = f"it did not start within {self._start_timeout_s:g} s (start_timeout_s)"
            slot.end()

    def _retire(self, slot: _Slot, why: str) -> None:
        slot.retired = True
        if slot.job is not None:
            lost = f"its worker could not be started: {why}"
            self._inbox.append(slot.outcome(slot.job, TrialState.LOST, lost))
            slot.job = None
        slot.end()
        self._inbox.append(WorkerRetired(slot.lease.name, why, self.slots))


@dataclass(eq=False)
class _Slot:
    """The place of a worker, and the job that is in its hands.

    unsent: what waits for the process to be ready, the job first. since: when the job was sent, then when it was begun.
    failures: jobs in a row that failed. failed_starts: processes in a row that ended without having
    finished a job.
    """

    lease: Lease
    process: WorkerProcess | None = None
    job: Job | None = None
    unsent: list[object] = field(default_factory=list)
    since: float = math.nan
    begun: bool = False
    failures: int = 0
    failed_starts: int = 0
    retired: bool = False

    @property
    def free(self) -> bool:
        return self.job is None and self.process is not None and self.process.phase is Phase.READY

    @property
    def sent(self) -> bool:
        """Whether there is a job and the process has it."""
        return self.job is not None and not self.unsent

    def assign(self, job: Job) -> None:
        self.job = job
        self.unsent = [job]
        self.flush()

    def answer(self, message: object) -> None:
        if self.unsent:
            self.unsent.append(message)
        elif self.process is not None:
            with contextlib.suppress(OSError):  # it is dying: the job's outcome will say so
                self.process.send(message)

    def flush(self) -> None:
        """Send what waits. A process that is gone leaves it to the one that replaces it."""
        process = self.process
        if process is None or process.phase is not Phase.READY or process.gone():
            return
        with contextlib.suppress(OSError):
            for message in self.unsent:
                process.send(message)
            self.unsent = []
            self.since, self.begun = time.monotonic(), False

    def outcome(self, job: Job, state: TrialState, error: str) -> Outcome:
        """The end of the job as seen from outside."""
        if not self.sent:
            return Outcome(job.number, state, error=error)
        if job.directory is not None:
            error += f"; what it printed is in {job.directory / LOG}"
        return Outcome(job.number, state, error=error, seconds=time.monotonic() - self.since)

    def end(self) -> None:
        """Kill the process; the next one starts when it is gone, and with it what it held on the GPU."""
        if self.process is not None:
            self.process.phase = Phase.ENDING
            self.process.kill()


def _shut_down(slots: Sequence[_Slot], launcher: Launcher, owner: int) -> None:
    """End everything at once. A fork of the process that owns the workers leaves them alone."""
    if os.getpid() != owner:
        return
    processes = [slot.process for slot in slots if slot.process is not None]
    for slot in slots:
        slot.process = slot.job = None
    for process in processes:
        process.kill()
    for process in processes:
        process.close()
    launcher.close()


def _check_positive(**options: float | None) -> None:
    for name, value in options.items():
        if value is not None and not value > 0:
            raise StudyError(f"{name}: write a number above 0; got {value!r}.")
