"""A worker process seen from outside: how it is started, heard, killed and buried.

It is a fresh Python started by `subprocess`, so it needs neither a `__main__` guard nor an importable
main module, and starts the same way from a script, a notebook or a thread.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from enum import Enum
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

from greyhound.descendants import kill_descendants
from greyhound.executors.devices import Lease, environment
from greyhound.executors.pickling import pickled
from greyhound.jobs import Evaluator, Job
from greyhound.memory import memory_kills
from greyhound.trial import TrialState

_BOOT = (
    "import json, sys; start = json.loads(sys.argv[1]); sys.path[:] = start.pop('path'); "
    "from greyhound.executors.worker import main; main(**start)"
)
_MESSAGES_AT_ONCE = 256
_REAP_TIMEOUT_S = 10.0


class Phase(Enum):
    """The life of a worker process."""

    STARTING = "starting"
    READY = "ready"
    ENDING = "ending"  # killed, but still there


class Launcher:
    """Starts worker processes for one evaluator. EvaluationError if it cannot be sent to them.

    variables: those that win over the lease's. The pickled evaluator lies in a file without a name: it
    may be large, and a process that does not read must not block the coordinator, as a full socket
    would.
    """

    def __init__(self, evaluator: Evaluator, variables: Mapping[str, str]) -> None:
        data = pickled(evaluator)
        self._evaluator = tempfile.TemporaryFile()  # noqa: SIM115
        self._evaluator.write(data)
        self._evaluator.flush()
        self._variables = dict(variables)
        self._directory = Path.cwd()
        self._path = [str(entry) or str(self._directory) for entry in sys.path]

    def start(self, lease: Lease) -> WorkerProcess:
        """Start a process that is held to the lease; OSError if the system cannot."""
        errors = tempfile.TemporaryFile("a+b")  # noqa: SIM115
        ours, theirs = socket.socketpair()
        with theirs, contextlib.ExitStack() as undo:
            undo.callback(errors.close)
            undo.callback(ours.close)
            start = {
                "line": theirs.fileno(),
                "evaluator": self._evaluator.fileno(),
                "parent": os.getpid(),
                "cores": lease.cores,
                "path": self._path,
                "argv": sys.argv,
            }
            popen = subprocess.Popen(
                [sys.executable, "-c", _BOOT, json.dumps(start)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                cwd=self._directory,
                env={**os.environ, **environment(lease), **self._variables},
                pass_fds=(theirs.fileno(), self._evaluator.fileno()),
            )
            undo.pop_all()
        return WorkerProcess(popen, Connection(ours.detach()), errors)

    def close(self) -> None:
        """Start no more."""
        self._evaluator.close()


class WorkerProcess:
    """A worker process and the line to it.

    since: when it was started. trouble: why it is about to end, where that is known.
    """

    def __init__(self, popen: subprocess.Popen[bytes], line: Connection[Any, Any], errors: IO[bytes]) -> None:
        self.phase = Phase.STARTING
        self.since = time.monotonic()
        self.trouble = ""
        self._popen = popen
        self._line = line
        self._errors = errors
        self._sentinel = _sentinel(popen.pid)
        self._memory_kills = 0
        self._last_words = ""

    @property
    def watched(self) -> bool:
        """Whether one of `lines` tells of its end."""
        return self._sentinel is not None

    def lines(self) -> list[Any]:
        """What to wait on."""
        return [item for item in (self._line, self._sentinel) if item is not None and not _closed(item)]

    def send(self, message: object) -> None:
        """OSError if nobody can receive it."""
        if isinstance(message, Job):
            self._memory_kills = memory_kills()
        self._line.send_bytes(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))

    def receive(self, everything: bool) -> list[object]:
        """What came, if anything; much of it or everything. A process that went deaf is killed."""
        limit = None if everything else _MESSAGES_AT_ONCE
        came: list[object] = []
        try:
            while not self._line.closed and len(came) != limit and self._line.poll():
                came.append(pickle.loads(self._line.recv_bytes()))
        except (EOFError, OSError):
            self._line.close()
            self.kill()
        except Exception as error:  # whatever unpickling a user's value may raise
            self.trouble = f"the worker sent what cannot be read here: {error!r}"
            self.kill()
        return came

    def gone(self) -> bool:
        """Whether the process has ended."""
        return self._popen.poll() is not None

    def kill(self) -> None:
        """Kill it with all that it started; it is gone soon after."""
        if not self.gone():
            kill_descendants(self._popen.pid)
            self._popen.kill()

    def close(self) -> None:
        """Let go of a process that was killed or is gone, and keep its last words."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(_REAP_TIMEOUT_S)
        self._line.close()
        if self._sentinel is not None:
            os.close(self._sentinel)
            self._sentinel = None
        self._errors.seek(0)
        self._last_words = last_line(self._errors.read().decode(errors="replace"))
        self._errors.close()

    def how_it_ended(self) -> str:
        """In words, once it is closed."""
        code = self._popen.returncode
        if self.trouble:
            return self.trouble
        if code is not None and code < 0:
            return f"the worker was killed by signal {-code} ({signal.strsignal(-code) or 'unknown'})"
        last_words = f": {self._last_words}" if self._last_words else ""
        return f"the worker ended with exit code {code}{last_words}"

    def how_its_job_ended(self) -> TrialState:
        """What its end means for the job that it was sent last."""
        if self.trouble:
            return TrialState.FAILED
        if self._popen.returncode == -signal.SIGKILL and memory_kills() > self._memory_kills:
            return TrialState.OUT_OF_MEMORY  # the system killed something for want of memory meanwhile
        return TrialState.LOST


def last_line(text: str | None) -> str:
    """The last line that says something; "" if none does."""
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _closed(item: object) -> bool:
    return isinstance(item, Connection) and item.closed


def _sentinel(pid: int) -> int | None:
    """A descriptor that can be waited on for the end of a process, where the system has such."""
    if sys.platform == "linux" and hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):
            return os.pidfd_open(pid)
    return None
