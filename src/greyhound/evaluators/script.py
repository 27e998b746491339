"""Tuning a script that may know nothing of Greyhound.

Parameters become flags, or fill a template; no shell is involved. Metrics come from lines of JSON on
standard output, from `greyhound.report` inside of the script, or from TensorBoard's event files. A script
that calls `greyhound.report` is told there when to end; another is terminated.

It runs in a session of its own, so that Ctrl-C on the terminal does not reach it, and dies with its worker.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from greyhound._lazy import require
from greyhound.errors import EvaluationError, TrialEnded
from greyhound.evaluators.live import LiveTrial
from greyhound.evaluators.outcomes import completed, raised, says_out_of_memory
from greyhound.evaluators.reporting import LINE, PARAMS
from greyhound.jobs import Channel, Job, Outcome
from greyhound.trial import TrialState

_TAIL_LINES = 40
_POLL_S = 0.5
_PATIENCE_S = 10.0
_STEP_NAMES = ("step", "epoch")
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
_OWN_PLACEHOLDERS = ("params_json", "seed", "directory", "max_steps", "trial")
_DIE_WITH_PARENT = "import ctypes,os,sys;ctypes.CDLL(None).prctl(1,9);os.execvp(sys.argv[1],sys.argv[1:])"
"""Asks Linux for SIGKILL when the worker dies (prctl PR_SET_PDEATHSIG), then becomes the script."""


@dataclass(frozen=True)
class Script:
    """Trains by running a command.

    command: the program and its arguments; a first word ending in .py is run by this Python. Words with
    {name} placeholders make it a template: {name} is a parameter, {seed}, {trial}, {max_steps},
    {directory} (the trial's own folder) and {params_json} are the trial's, {{ and }} are braces. Words of
    parameters that a configuration does not have are left out, with the flag before them. Without
    placeholders every parameter is appended as --name value; truth values are written true and false.
    tensorboard: a folder to watch for event files of the script; needs the extra "tensorboard".
    EvaluationError where the program does not exist.
    """

    command: tuple[str, ...]
    tensorboard: str | None = None
    evaluates_jobs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        words = tuple(str(word) for word in self.command)
        if not words or not words[0]:
            raise EvaluationError("the command is empty; write the script to run, such as train.py.")
        if words[0].endswith(".py"):
            if not Path(words[0]).is_file():
                raise EvaluationError(f"{words[0]}: there is no such script.")
            words = (sys.executable, *words)
        elif shutil.which(words[0]) is None:
            raise EvaluationError(f"{words[0]}: there is no such program.")
        object.__setattr__(self, "command", words)
        if self.tensorboard is not None:
            require("tensorboard", "tensorboard")

    def check(self, names: Collection[str]) -> None:
        """EvaluationError where the template has a placeholder that is neither a parameter nor ours."""
        known = (*names, *_OWN_PLACEHOLDERS)
        for word in self.command:
            for name in _placeholders(word):
                if name not in known:
                    raise EvaluationError(
                        f"command: unknown placeholder {{{name}}} in {word!r}; there are {_braced(known)}."
                    )

    def __call__(self, job: Job, channel: Channel) -> Outcome:
        """Run the script for one job."""
        begin = time.monotonic()
        trial = LiveTrial(job, channel)
        trial.checkpoint()
        with _Run(self, trial) as run:
            try:
                run.follow()
            except TrialEnded as ended:
                run.end()
                outcome = raised(trial, ended)
            else:
                outcome = run.outcome()
        return replace(outcome, seconds=time.monotonic() - begin)

    def words(self, job: Job) -> list[str]:
        """The command for a job, every placeholder filled in."""
        values = {name: _text(value) for name, value in job.params.items()}
        if not any(True for word in self.command for _ in _placeholders(word)):
            flags = [part for name, text in values.items() for part in (f"--{name}", text)]
            return [*self.command, *flags]
        own = {
            "params_json": json.dumps(dict(job.params)),
            "seed": str(job.seed),
            "trial": str(job.number),
            "max_steps": _text(job.max_steps),
            "directory": str(job.directory or ""),
        }
        return list(_filled(self.command, {**own, **values}))


class _Run:
    """One process of a script, its three lines of output, and what they said."""

    def __init__(self, script: Script, trial: LiveTrial) -> None:
        self._trial = trial
        self._final: dict[str, float] = {}
        self._complaint = ""  # the last line of standard error
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._selector = selectors.DefaultSelector()
        self._rest: dict[Any, bytes] = {}
        ours, theirs = socket.socketpair()
        command = script.words(trial.job)
        if sys.platform == "linux":
            command = [sys.executable, "-S", "-c", _DIE_WITH_PARENT, *command]
        environment = {
            **os.environ,
            LINE: str(theirs.fileno()),
            PARAMS: json.dumps(dict(trial.params)),
            "PYTHONUNBUFFERED": "1",
        }
        self._started = time.time()
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env=environment,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()
        self._line = ours
        for source, reader in (
            (self._process.stdout, self._printed),
            (self._process.stderr, self._complained),
            (ours, self._reported),
        ):
            self._selector.register(source, selectors.EVENT_READ, reader)  # type: ignore[arg-type]
        self._events = _TensorBoard(script.tensorboard, self._process.pid, trial) if script.tensorboard else None

    def __enter__(self) -> _Run:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._signal(signal.SIGKILL)
            self._process.wait()
        self._selector.close()
        self._line.close()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def follow(self) -> None:
        """Pass on what the script says until it ends; TrialEnded where it is to go no further."""
        while True:
            # A process that the script left behind may hold its output open: the script's end counts.
            over = self._process.poll() is not None
            ready = self._selector.select(0 if over else _POLL_S)
            for key, _ in ready:
                self._read(key.fileobj, key.data)
            if self._events is not None:
                self._events.poll()
            if over and not ready:
                return

    def end(self) -> None:
        """Let a script that asks know by its line, terminate another; kill it if it does not listen."""
        with contextlib.suppress(OSError):
            self._line.sendall(b"stop\n")
        if not self._asks():
            self._signal(signal.SIGTERM)
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def outcome(self) -> Outcome:
        """How the script ended by itself."""
        code = self._process.wait()
        if code == 0:
            return completed(self._trial, self._final or None)
        said = "\n".join(self._tail)
        how = f"the script was killed by signal {-code}" if code < 0 else f"the script ended with exit code {code}"
        state = TrialState.OUT_OF_MEMORY if says_out_of_memory(said) else TrialState.FAILED
        why = f"{how}: {self._complaint}" if self._complaint else how
        return Outcome(self._trial.number, state, error=f"{said}\n{why}".strip())

    def _asks(self) -> bool:
        return self._line in self._rest

    def _read(self, source: Any, reader: Any) -> None:
        data = os.read(source.fileno(), 65536)
        *lines, rest = (self._rest.get(source, b"") + data).split(b"\n")
        if source is not self._line or data:
            self._rest[source] = rest
        if not data:
            self._selector.unregister(source)
            if rest:
                lines.append(rest)
        for line in lines:
            reader(line.decode(errors="replace"))

    def _printed(self, line: str) -> None:
        sys.stdout.write(line + "\n")
        self._tail.append(line)
        found = _metrics(line)
        if found is not None:
            step, metrics = found
            if step is None:
                self._final.update(metrics)
                self._trial.last_metrics.update(metrics)
            elif metrics:
                self._trial.report(step, **metrics)

    def _complained(self, line: str) -> None:
        sys.stderr.write(line + "\n")
        self._tail.append(line)
        self._complaint = line.strip() or self._complaint

    def _reported(self, line: str) -> None:
        found = _metrics(line)
        if found is None or found[0] is None:
            return
        self._trial.report(found[0], **found[1])
        with contextlib.suppress(OSError):
            self._line.sendall(b"continue\n")

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


class _TensorBoard:
    """The scalars that one process writes into event files below a folder."""

    def __init__(self, folder: str, pid: int, trial: LiveTrial) -> None:
        self._folder = Path(folder.replace("{directory}", str(trial.job.directory or "")))
        self._name = re.compile(rf"events\.out\.tfevents\..*\.{pid}(\..*)?$")
        self._trial = trial
        self._loaders: dict[Path, Any] = {}
        self._seen: dict[int, dict[str, float]] = {}

    def poll(self) -> None:
        """Report every step for which an objective was written since the last time."""
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
        from tensorboard.util import tensor_util

        for path in self._folder.rglob("events.out.tfevents.*") if self._folder.is_dir() else ():
            if self._name.search(path.name) and path not in self._loaders:
                self._loaders[path] = EventFileLoader(str(path))
        fresh: dict[int, dict[str, float]] = {}
        for loader in self._loaders.values():
            for event in loader.Load():
                for value in event.summary.value:
                    if not value.HasField("tensor"):
                        continue
                    array = tensor_util.make_ndarray(value.tensor)
                    if array.shape == () and array.dtype.kind in "fiu":
                        names = fresh.setdefault(event.step, {})
                        names[value.tag] = names[value.tag.rpartition("/")[2]] = float(array)
        for step in sorted(fresh):
            if any(name in fresh[step] for name in self._trial.job.objectives):
                self._trial.report(step, **fresh[step])
            else:
                self._trial.last_metrics.update(fresh[step])


def _metrics(line: str) -> tuple[int | None, dict[str, float]] | None:
    """Step and metrics in a line of JSON; None where it is not one. A line without a step is final."""
    text = line.strip()
    if not (text.startswith("{") and text.endswith("}")):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    numbers = {
        str(name): float(value)
        for name, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    for name in _STEP_NAMES:
        if name in numbers and numbers[name] >= 0 and numbers[name] == int(numbers[name]):
            return int(numbers.pop(name)), {each: v for each, v in numbers.items() if each not in _STEP_NAMES}
    return (None, numbers) if numbers else None


def _placeholders(word: str) -> Iterator[str]:
    return (found[1] for found in _PLACEHOLDER.finditer(word) if found[1] is not None)


def _filled(words: Sequence[str], values: Mapping[str, str]) -> Iterator[str]:
    """The words with placeholders filled in, those of missing parameters left out with their flag."""

    def fill(found: re.Match[str]) -> str:
        return values[found[1]] if found[1] is not None else found[0][0]

    held: str | None = None  # a flag, until it is known whether its value is there
    for word in words:
        names = list(_placeholders(word))
        if any(name not in values for name in names):
            held = None if held is not None and not list(_placeholders(held)) else held
            continue
        if held is not None:
            yield _PLACEHOLDER.sub(fill, held)
            held = None
        if word.startswith("-") and not names and "=" not in word:
            held = word
        else:
            yield _PLACEHOLDER.sub(fill, word)
    if held is not None:
        yield _PLACEHOLDER.sub(fill, held)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list | dict):
        return json.dumps(value)
    return "" if value is None else str(value)


def _braced(names: Sequence[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in names)
