"""The inside of a worker process: it runs one job after another until its coordinator is gone.

A thread reads what the coordinator sends; the main thread trains. When the coordinator ends, by
whatever cause, the thread sees the line closed and ends this process together with all processes
that the training started. Signals meant for the coordinator (Ctrl-C reaches the whole process
group) change nothing here.

What a training prints goes to `log.txt` in the trial's folder. That folder is locked while the trial
trains, so that the worker of a coordinator that died and the worker of the next one never train it
at once.

This module stays light: nothing is imported here that a worker does not need to start.
"""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import fcntl
import gc
import math
import mmap
import os
import pickle
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any

from greyhound import leases
from greyhound.descendants import kill_descendants
from greyhound.executors.endings import bind_forks, shield_from_signals
from greyhound.jobs import LOCK, Answer, Channel, Evaluator, Job, Message, Outcome
from greyhound.trial import TrialState

LOG = "log.txt"
LOCK_PATIENCE = "GREYHOUND_LOCK_PATIENCE_S"
"""The variable by which an executor says how long its workers wait for a trial's lock, in seconds."""
LOCK_PATIENCE_S = float(os.environ.get(LOCK_PATIENCE, 30.0))
_LOCK_RETRY_S = 0.1
_PARENT_CHECK_S = 2.0
_FREEING_SHARE = 0.1
"""Share of a worker's time that may go into freeing what trainings left."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker has loaded the evaluator and waits for jobs."""


@dataclass(frozen=True, slots=True)
class Unloadable:
    """The evaluator cannot be loaded in a worker; `error` is the traceback."""

    error: str


@dataclass(frozen=True, slots=True)
class Begun:
    """The worker has the devices of the job and trains it now; while another measures it waits for them."""

    number: int


def main(line: int, evaluator: int, parent: int, cores: Sequence[int], argv: Sequence[str]) -> None:
    """Serve until the coordinator is gone.

    line, evaluator: file descriptors of the socket to the coordinator and of the pickled evaluator.
    parent: the coordinator's process. cores: where to run, anywhere if empty. argv: its `sys.argv`.
    """
    sys.argv[:] = argv
    os.set_inheritable(line, False)
    if cores and hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):  # the machine may have lost a core since they were planned
            os.sched_setaffinity(0, cores)
    shield_from_signals()
    bind_forks()
    sys.stdout.reconfigure(encoding="utf-8", errors="replace", line_buffering=True)  # type: ignore[union-attr]
    faulthandler.enable()

    connection = Connection(line)
    sending = Lock()
    jobs: SimpleQueue[tuple[Job, _Line]] = SimpleQueue()
    Thread(target=_listen, args=(connection, sending, parent, jobs), daemon=True).start()
    try:
        evaluate = _load(evaluator)
    except BaseException:
        _send(connection, sending, Unloadable(traceback.format_exc()))
        _end()
    _send(connection, sending, Ready())

    here, home, leftovers = os.getpid(), Path.cwd(), _Leftovers()
    while True:
        job, channel = jobs.get()
        try:
            with _output_to(job.directory):
                outcome = run(evaluate, job, channel, partial(_send, connection, sending, Begun(job.number)))
        except BaseException:
            outcome = Outcome(job.number, TrialState.FAILED, error=traceback.format_exc())
        if os.getpid() != here:  # the training forked, and its child came back too: the trial is its parent's
            os._exit(int(outcome.state is not TrialState.COMPLETED))
        with contextlib.suppress(OSError):
            os.chdir(home)
        _send(connection, sending, outcome)
        leftovers.free()


def run(evaluator: Evaluator, job: Job, channel: Channel, begun: Callable[[], None] | None = None) -> Outcome:
    """Train a job and say how it ended, whatever the evaluator does. KeyboardInterrupt is let through.

    begun: called once the job has its devices, before it is trained.
    """
    started = time.monotonic()
    try:
        with _locked(job.directory), leases.present():
            started = time.monotonic()
            if begun is not None:
                begun()
            outcome = _checked(evaluator(job, channel))
    except KeyboardInterrupt:
        raise
    except _OccupiedError as error:
        outcome = Outcome(job.number, TrialState.FAILED, error=str(error))
    except BaseException:
        outcome = Outcome(job.number, TrialState.FAILED, error=traceback.format_exc())
    return replace(outcome, number=job.number, seconds=outcome.seconds or time.monotonic() - started)


class _Line:
    """The channel of one job, as the evaluator sees it."""

    def __init__(self, number: int, connection: Connection[Any, Any], sending: Lock) -> None:
        self.number = number
        self.answers: SimpleQueue[Answer] = SimpleQueue()
        self._connection = connection
        self._sending = sending

    def send(self, message: Message) -> None:
        _send(self._connection, self._sending, message)

    def answer(self, wait: bool) -> Answer | None:
        try:
            return self.answers.get(block=wait)
        except Empty:
            return None


class _Leftovers:
    """What trainings left in cycles, such as a framework's trainer with its model and their memory on a GPU.

    Python frees it by itself only after many more objects were made, which may be several trainings later.
    """

    def __init__(self) -> None:
        gc.collect()
        gc.freeze()  # what was loaded stays, and need not be looked through each time
        self._freed_at = -math.inf
        self._seconds = 0.0

    def free(self) -> None:
        """Free it, unless that would take more than its share of the time."""
        begin = time.monotonic()
        if begin - self._freed_at < self._seconds / _FREEING_SHARE:
            return
        gc.collect()
        self._freed_at = time.monotonic()
        self._seconds = self._freed_at - begin


class _OccupiedError(Exception):
    """Another process trains the trial."""


def _listen(connection: Connection[Any, Any], sending: Lock, parent: int, jobs: SimpleQueue[tuple[Job, _Line]]) -> None:
    """Pass on jobs and answers until the coordinator is gone; then end the process."""
    running: _Line | None = None
    try:
        while os.getppid() == parent:
            if not connection.poll(_PARENT_CHECK_S):
                continue  # a child that the coordinator forked may hold the line open
            message = pickle.loads(connection.recv_bytes())
            if isinstance(message, Job):
                running = _Line(message.number, connection, sending)
                jobs.put((message, running))
            else:
                number, answer = message
                if running is not None and running.number == number:
                    running.answers.put(answer)
    except (EOFError, OSError):
        pass
    except BaseException:
        traceback.print_exc()
    _end()


def _send(connection: Connection[Any, Any], sending: Lock, message: object) -> None:
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    try:
        with sending:
            connection.send_bytes(data)
    except OSError:
        _end()


def _end() -> None:
    try:
        kill_descendants(os.getpid())
    finally:
        os._exit(1)


def _load(descriptor: int) -> Evaluator:
    """Read without moving the file's offset, which all workers share."""
    with mmap.mmap(descriptor, 0, prot=mmap.PROT_READ) as data:
        evaluator: Evaluator = pickle.loads(data)
    os.close(descriptor)
    if "cloudpickle" in sys.modules:  # then something of it came by value
        from greyhound.executors.pickling import hand_on_by_value

        hand_on_by_value()
    return evaluator


def _checked(outcome: object) -> Outcome:
    if not isinstance(outcome, Outcome):
        raise TypeError(f"an evaluator returns an Outcome; this one returned {outcome!r}.")
    if outcome.state is TrialState.RUNNING:
        raise ValueError("an evaluator returns how a run ended; this one returned the state RUNNING.")
    return outcome


@contextlib.contextmanager
def _output_to(directory: Path | None) -> Iterator[None]:
    """Send what is printed, by libraries below Python too, to the log in `directory`; nowhere without one."""
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
    log = os.open(directory / LOG if directory else os.devnull, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    before = [(number, os.dup(number)) for number in (1, 2)]
    try:
        for number, _ in before:
            os.dup2(log, number)
        os.close(log)
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        for number, saved in before:
            os.dup2(saved, number)
            os.close(saved)


@contextlib.contextmanager
def _locked(directory: Path | None) -> Iterator[None]:
    """Hold the folder's lock; _OccupiedError if another process keeps it. Nothing without a folder."""
    if directory is None:
        yield
        return
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _lock(descriptor, directory)
        yield
    finally:
        with contextlib.suppress(OSError):
            # Closing alone would leave it locked while a forked child lives that inherited it.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _lock(descriptor: int, directory: Path) -> None:
    give_up = time.monotonic() + LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                return  # a file system without locks
        else:
            return
        if time.monotonic() > give_up:
            raise _OccupiedError(
                f"another process trains this trial, for {LOCK_PATIENCE_S:g} s already: it holds "
                f"{directory / LOCK}. End it (`fuser {directory / LOCK}` names it) and run the trial again."
            )
        time.sleep(_LOCK_RETRY_S)
