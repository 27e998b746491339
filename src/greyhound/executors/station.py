"""A worker's place in a Ray cluster, seen from inside: the actor that holds it.

The actor does not train. It keeps one worker process beside itself, on the devices that Ray gave it, as an
executor keeps those of this machine: started, timed, heard and replaced in the same way. So a training shares no
interpreter, no threads and no signal handlers with Ray, and one that crashes leaves the place taken.

A thread of its own listens to the worker, whether or not the study asks for news, so no report waits for the network.
When the raylet, which started the actor, dies, the machine is lost to Ray and its trials are trained elsewhere; then
the actor ends at once, and the worker with it. Ray itself would wait for the study's last call to return.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import sys
import time
import traceback
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import Pipe
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple, cast

from greyhound._lazy import require
from greyhound.errors import EvaluationError, GreyhoundError, StudyError
from greyhound.executors.devices import Lease
from greyhound.executors.processes import Processes
from greyhound.executors.worker import LOCK_PATIENCE
from greyhound.jobs import Answer, Evaluator, Job, Message

_LOCK_PATIENCE_S = 180.0
"""A file server keeps the locks of a machine that died until its lease ends: 90 s by default for NFSv4 on Linux."""
_PARENT_CHECK_S = 2.0
_MARK_PATIENCE_S = 2.0
"""How long a file written elsewhere may take to be seen; a network file system may remember that there was none."""
_MARK_RETRY_S = 0.2


class Place(NamedTuple):
    """Where Ray has put a station: the machine's name, and the devices there in words."""

    host: str
    devices: str


class News(NamedTuple):
    """What came from a station's worker; free: whether it waits for a job. trouble: why no job can run there."""

    messages: Sequence[Message]
    free: bool
    trouble: GreyhoundError | None = None


class Order(NamedTuple):
    """A job to train, or an answer for trial `number`. mark: a file that the job's machine has to see."""

    number: int
    what: Job | Answer
    mark: Path | None = None


class Program(NamedTuple):
    """What a training finds of the program that tunes, as in a worker beside it.

    folder: where it runs, None where Ray has been told another. path, argv: its sys.path and sys.argv.
    """

    folder: str | None
    path: tuple[str, ...]
    argv: tuple[str, ...]

    @classmethod
    def here(cls, folder: bool) -> Program:
        """This one."""
        path = tuple(os.path.abspath(entry) for entry in sys.path)
        return cls(os.getcwd() if folder else None, path, tuple(sys.argv))

    def imitate(self) -> None:
        """Let this process resemble it, as far as its folders are on this machine."""
        if self.folder is not None:
            with contextlib.suppress(OSError):
                os.chdir(self.folder)
        sys.path += [entry for entry in self.path if entry not in sys.path and os.path.exists(entry)]
        sys.argv[:] = self.argv


class Pickled:
    """An evaluator that is unpickled in the worker, not on the way there."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __reduce__(self) -> tuple[Any, ...]:
        return pickle.loads, (self._data,)


class Station:
    """One worker process, and what it is told and tells; `order` and `news` may be called at the same time.

    name: of the worker. evaluator: pickled. threads: how many its libraries start. trial_timeout_s: see Processes.
    """

    def __init__(
        self, name: str, evaluator: bytes, threads: int, program: Program, trial_timeout_s: float | None
    ) -> None:
        program.imitate()
        gpus = require("ray", "ray").get_runtime_context().get_accelerator_ids()["GPU"]
        lease = Lease(name, gpus=tuple(gpus), cores=(), threads=threads)
        self._place = Place(socket.gethostname(), lease.device)
        self._orders: SimpleQueue[Order] = SimpleQueue()
        self._unseen: deque[Order] = deque()
        self._news: SimpleQueue[News] = SimpleQueue()
        self._bell, self._rope = Pipe(duplex=False)
        self._raylet = os.getppid()
        pickled = cast(Evaluator, Pickled(evaluator))
        patience = {LOCK_PATIENCE: str(_LOCK_PATIENCE_S)}
        self._processes = Processes(pickled, trial_timeout_s=trial_timeout_s, environment=patience, leases=[lease])
        Thread(target=self._serve, daemon=True).start()

    def place(self) -> Place:
        """Where this is."""
        return self._place

    def order(self, order: Order) -> None:
        """Take an order, for `news` to see to."""
        self._orders.put(order)
        self._rope.send_bytes(b"!")

    def news(self) -> News:
        """All that is to be told; waits for the first."""
        came = [self._news.get()]
        with contextlib.suppress(Empty):
            while True:
                came.append(self._news.get_nowait())
        return came[-1]._replace(messages=[message for news in came for message in news.messages])

    def _serve(self) -> None:
        """Do as ordered and listen, until no job can run here any more."""
        try:
            told = False
            while self._processes.slots:
                if os.getppid() != self._raylet:
                    os._exit(1)
                self._obey()
                messages = self._processes.messages(_PARENT_CHECK_S, self._bell)
                free = self._processes.free > 0
                if messages or free != told or not self._processes.slots:
                    self._news.put(News(messages, free))
                    told = free
        except GreyhoundError as error:
            self._news.put(News([], False, error))
        except BaseException:
            self._news.put(News([], False, EvaluationError(traceback.format_exc())))

    def _obey(self) -> None:
        """See to the orders that came. A job waits for the worker, which may have died and be replaced meanwhile."""
        while self._bell.poll():
            self._bell.recv_bytes()
        with contextlib.suppress(Empty):
            while True:
                self._unseen.append(self._orders.get_nowait())
        while self._unseen and (isinstance(self._unseen[0].what, Answer) or self._processes.free):
            order = self._unseen.popleft()
            if isinstance(order.what, Answer):
                self._processes.tell(order.number, order.what)
                continue
            if order.mark is not None:
                self._expect(order.mark)
            self._processes.submit(order.what)

    def _expect(self, mark: Path) -> None:
        give_up = time.monotonic() + _MARK_PATIENCE_S
        while not mark.exists():
            if time.monotonic() > give_up:
                raise StudyError(
                    f"{self._place.host}, a machine of the Ray cluster, does not see the study's folder "
                    f"{mark.parent}: trainings would lose their checkpoints. Write storage= or checkpoints= with a "
                    f"folder that all machines share."
                )
            time.sleep(_MARK_RETRY_S)
