"""Workers on the machines of a Ray cluster, as many as it has room for.

Ray finds the place: a worker is an actor that asks for the CPUs and GPUs of one trial, and lives on from trial to
trial. While all workers are busy one more actor waits for room. So a machine that joins is used, and a cluster that
grows with its load grows. An actor that dies takes its trial's run with it (LOST, and resumed elsewhere from its
checkpoint), and another one asks for room.

What a worker sends is fetched by a call that waits at its actor, so that a report waits for no network. The thread
that drives the study sleeps on one queue, into which Ray's own thread puts what such calls brought.
"""

from __future__ import annotations

import secrets
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from types import ModuleType
from typing import Any

from greyhound._lazy import require
from greyhound.errors import EvaluationError, GreyhoundError, StudyError
from greyhound.executors.base import WorkerInfo
from greyhound.executors.devices import check_shares
from greyhound.executors.launch import last_line
from greyhound.executors.pickling import pickled
from greyhound.executors.station import News, Order, Place, Program, Station
from greyhound.executors.worker import LOG
from greyhound.jobs import Answer, Evaluator, Job, Message, Outcome, WorkerRetired
from greyhound.memory import is_out_of_memory
from greyhound.trial import TrialState
from greyhound.values import is_int

_CALLS = {"in": 1, "out": 1}
"""Threads of a station: `order` has one, `news` the other, so orders keep their order."""
_START_ATTEMPTS = 3
_END_TIMEOUT_S = 10.0


class Ray:
    """Runs jobs in worker processes on the machines of a Ray cluster.

    The cluster is the one that the program has joined by `ray.init`, else the one that RAY_ADDRESS names or that
    runs on this machine, else one of this machine alone. A study's folder has to be on storage that all its
    machines share.

    evaluator: sent by cloudpickle; EvaluationError where that is impossible.
    workers: how many at most, all asked for at once; "auto": as many as there is room for.
    gpus_per_trial, cores_per_trial: what Ray is asked for, and one CPU where the latter is None. In a cluster without
    any GPU, one GPU or less means the CPU. trial_timeout_s: see Processes.

    MissingExtraError without ray; StudyError where an option is wrong, or there is no such cluster. Not thread-safe.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        workers: int | str = "auto",
        gpus_per_trial: float = 1,
        cores_per_trial: int | None = None,
        *,
        trial_timeout_s: float | None = None,
    ) -> None:
        check_shares(workers, gpus_per_trial)
        if cores_per_trial is not None and not (is_int(cores_per_trial) and cores_per_trial >= 1):
            raise StudyError(f"cores_per_trial: write a whole number from 1; got {cores_per_trial!r}.")
        self.pump: Callable[[Sequence[Message]], None] | None = None  # not used: trainings run elsewhere
        self._ray = _joined()
        self._most = workers if isinstance(workers, int) else None
        machines = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        needs = _needs(gpus_per_trial, cores_per_trial, machines)
        self._actor = self._ray.remote(
            num_cpus=needs["CPU"], num_gpus=needs["GPU"], max_restarts=0, concurrency_groups=_CALLS
        )(Station)
        program = Program.here(folder="working_dir" not in self._ray.get_runtime_context().runtime_env)
        self._start = (self._ray.put(pickled(evaluator)), cores_per_trial or 1, program, trial_timeout_s)
        self._calls: SimpleQueue[tuple[_Slot, Future[Any]]] = SimpleQueue()
        self._inbox: list[Message] = []
        self._marks: dict[Path, Path] = {}
        self._made = 0
        self._proven = False  # some worker has loaded the evaluator
        self._failed_starts = 0
        self._slots: list[_Slot] = []
        room = _room(needs, machines, self._ray.available_resources())
        for _ in range(room if self._most is None else min(room, self._most)):
            self._ask(expected=True)
        self._grow()

    @property
    def slots(self) -> int:
        """How many workers Ray has found a place for, at least the one that waits for it; none that was taken out."""
        return len(self._active())

    @property
    def free(self) -> int:
        """How many workers are ready and idle."""
        return sum(slot.free for slot in self._slots)

    @property
    def workers(self) -> Sequence[WorkerInfo]:
        """The workers behind `slots`."""
        return [WorkerInfo(slot.name, slot.where, slot.job.number if slot.job else None) for slot in self._active()]

    def submit(self, job: Job) -> None:
        """Send a job to a worker that is free; RuntimeError if there is none."""
        slot = next((slot for slot in self._slots if slot.free), None)
        if slot is None:
            raise RuntimeError(f"trial {job.number} was submitted while no worker is free.")
        slot.job, slot.ready, slot.since = job, False, time.monotonic()
        self._order(slot, Order(job.number, job, None if job.directory is None else self._mark(job.directory.parent)))
        self._grow()

    def messages(self, timeout_s: float) -> Sequence[Message]:
        """All messages that came; waits up to timeout_s for the first, or until a worker becomes free.

        EvaluationError if the first worker to answer cannot load the evaluator, StudyError if a machine does not see
        the study's folder; nothing runs then.
        """
        deadline = time.monotonic() + timeout_s
        while self.slots:
            free = self.free
            self._attend(deadline)
            if self._inbox or self.free > free or time.monotonic() >= deadline:
                break
        batch, self._inbox = self._inbox, []
        return batch

    def tell(self, number: int, answer: Answer) -> None:
        """Answer the trial if a worker trains it."""
        for slot in self._slots:
            if slot.job is not None and slot.job.number == number:
                self._order(slot, Order(number, answer))

    def shutdown(self) -> None:
        """Kill all workers, and take back what was asked for. Safe to call twice. The cluster stays joined."""
        slots, self._slots = self._slots, []
        for slot in slots:
            self._ray.kill(slot.actor)
        if slots:
            self._ray.wait([slot.call for slot in slots], num_returns=len(slots), timeout=_END_TIMEOUT_S)
        for mark in self._marks.values():
            mark.unlink(missing_ok=True)
        self._marks.clear()

    def _active(self) -> list[_Slot]:
        kept = [slot for slot in self._slots if (slot.place or slot.expected) and not slot.retired]
        if kept or any(slot.retired for slot in self._slots):
            return kept
        return self._slots[:1]  # the one that waits for room

    def _grow(self) -> None:
        """Ask for the workers that are missing, or for one more where all are busy."""
        if self._failed_starts >= _START_ATTEMPTS:
            return
        if self._most is not None:
            missing = self._most - len(self._slots)
        else:
            missing = int(self.free == 0 and all(slot.place for slot in self._slots))
        for _ in range(missing):
            self._ask()

    def _ask(self, expected: bool = False) -> None:
        name = f"worker-{self._made}"
        self._made += 1
        slot = _Slot(name, self._actor.remote(name, *self._start), expected=expected)
        self._slots.append(slot)
        self._call(slot, slot.actor.place)

    def _call(self, slot: _Slot, method: Any) -> None:
        slot.call = method.options(concurrency_group="out").remote()
        slot.call.future().add_done_callback(lambda future: self._calls.put((slot, future)))

    def _order(self, slot: _Slot, order: Order) -> None:
        def failed(future: Future[Any]) -> None:
            if future.exception() is not None:
                self._calls.put((slot, future))

        slot.actor.order.options(concurrency_group="in").remote(order).future().add_done_callback(failed)

    def _mark(self, folder: Path) -> Path:
        """A file in the folder that is there as long as this executor."""
        if folder not in self._marks:
            folder.mkdir(parents=True, exist_ok=True)
            self._marks[folder] = folder / f".ray-{secrets.token_hex(8)}"
            self._marks[folder].touch()
        return self._marks[folder]

    def _attend(self, until: float) -> None:
        """Sleep until a call has brought something, or `until`, and see to all that came."""
        try:
            self._take(*self._calls.get(timeout=max(0.0, until - time.monotonic())))
            while True:
                self._take(*self._calls.get_nowait())
        except Empty:
            pass

    def _take(self, slot: _Slot, call: Future[Any]) -> None:
        if slot not in self._slots:
            return
        error = call.exception()
        if error is not None:
            self._lose(slot, error)
            return
        match call.result():
            case Place() as place:
                slot.place = place
                self._grow()
            case News(messages, free, trouble):
                for message in messages:
                    self._pass_on(slot, message)
                slot.ready = free
                if free:
                    slot.loaded = self._proven = True
                    self._failed_starts = 0
                if trouble is not None:
                    self._refuse(slot, trouble)
        if not slot.retired:
            self._call(slot, slot.actor.news)

    def _pass_on(self, slot: _Slot, message: Message) -> None:
        if isinstance(message, WorkerRetired):
            self._retire(slot, message.why)
            return
        if isinstance(message, Outcome):
            slot.job = None
            self._failed_starts = 0
        self._inbox.append(message)

    def _refuse(self, slot: _Slot, trouble: GreyhoundError) -> None:
        """No job can run on the slot. Where others have loaded the evaluator, its machine may be to blame."""
        if isinstance(trouble, StudyError) or not self._proven:
            self.shutdown()
            raise trouble
        self._retire(slot, str(trouble).partition("\n")[0])

    def _retire(self, slot: _Slot, why: str) -> None:
        """Take a worker out; its actor keeps the place, so that no other is put there."""
        slot.retired, slot.ready = True, False
        self._give_up(slot, why)
        self._inbox.append(WorkerRetired(f"{slot.name} on {slot.where}", why, self.slots))

    def _give_up(self, slot: _Slot, why: str, state: TrialState = TrialState.LOST) -> None:
        """The job in the slot's hands has ended with its worker."""
        if slot.job is not None:
            self._inbox.append(slot.outcome(slot.job, state, why))
            slot.job = None

    def _lose(self, slot: _Slot, error: BaseException) -> None:
        """A slot's actor has died, or cannot be reached: say what became of its job, and ask for another."""
        self._slots.remove(slot)
        self._ray.kill(slot.actor)
        why = _reason(error)
        self._give_up(slot, why, TrialState.OUT_OF_MEMORY if is_out_of_memory(error) else TrialState.LOST)
        if slot.loaded:
            self._failed_starts = 0
        else:
            self._failed_starts += 1
            if self._failed_starts >= _START_ATTEMPTS and not self._active():
                self.shutdown()
                raise EvaluationError(
                    f"no worker can be started in the Ray cluster, whose machines need Greyhound and what the training "
                    f"imports: {why}"
                )
        self._grow()


@dataclass(eq=False)
class _Slot:
    """A worker, and the job that is in its hands.

    place: None while Ray looks for one. expected: whether there was room for it when it was asked for. call: the call
    that brings what happens next. loaded, ready: whether its process has loaded the evaluator, and waits for a job.
    since: when the job was sent.
    """

    name: str
    actor: Any
    expected: bool = False
    call: Any = None
    place: Place | None = None
    loaded: bool = False
    ready: bool = False
    job: Job | None = None
    since: float = 0.0
    retired: bool = False

    @property
    def free(self) -> bool:
        return self.ready and self.job is None

    @property
    def where(self) -> str:
        return f"{self.place.host}, {self.place.devices}" if self.place else "waits for room"

    def outcome(self, job: Job, state: TrialState, why: str) -> Outcome:
        """The end of the job as seen from outside."""
        error = f"the worker on {self.where} was lost: {why}"
        if job.directory is not None:
            error += f"; what it printed is in {job.directory / LOG}"
        return Outcome(job.number, state, error=error, seconds=time.monotonic() - self.since)


def _joined() -> ModuleType:
    """Ray, once this process has joined a cluster."""
    ray = require("ray", "ray")
    if not ray.is_initialized():
        try:
            ray.init(logging_level="warning", log_to_driver=False)
        except Exception as error:  # whatever Ray makes of an address, a version or a network
            raise StudyError(
                f"the Ray cluster cannot be joined: {last_line(str(error))} Set RAY_ADDRESS to one that runs, or call "
                f"ray.init(...) before."
            ) from error
    return ray


def _reason(error: BaseException) -> str:
    """Why an actor died, of all that Ray says about it: its names for the actor are indented, its advice comes last."""
    if getattr(error, "actor_init_failed", False):
        return last_line(str(error))
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("\t")]
    said = [line for line in lines if not line.startswith("The actor died unexpectedly")] or lines or [repr(error)]
    return said[0].partition(" Some common causes")[0]


def _needs(
    gpus_per_trial: float, cores_per_trial: int | None, machines: Iterable[Mapping[str, float]]
) -> dict[str, float]:
    """What Ray is asked for one worker; warns where no machine of the cluster has that."""
    machines = list(machines)
    needs = {"CPU": float(cores_per_trial or 1), "GPU": float(gpus_per_trial)}
    if 0 < gpus_per_trial <= 1 and not any(machine.get("GPU") for machine in machines):
        needs["GPU"] = 0.0
    if not any(_fits(needs, machine) for machine in machines):
        asked = ", ".join(f"{amount:g} {kind}" for kind, amount in needs.items() if amount)
        warnings.warn(
            f"no machine of the Ray cluster has what one trial needs ({asked}): the study waits for one that has; "
            f"gpus_per_trial= and cores_per_trial= say how much.",
            stacklevel=5,
        )
    return needs


def _room(needs: Mapping[str, float], machines: Iterable[Mapping[str, float]], available: Mapping[str, float]) -> int:
    """For how many workers there is room now, by what each machine has in all, and the cluster has left."""
    return min(sum(_fits(needs, machine) for machine in machines), _fits(needs, available))


def _fits(needs: Mapping[str, float], resources: Mapping[str, float]) -> int:
    return min(int(resources.get(kind, 0.0) / amount + 1e-9) for kind, amount in needs.items() if amount)
