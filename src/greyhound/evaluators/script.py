"""Tuning a script that may know nothing of Greyhound.

Parameters become flags, or fill a template; no shell is involved. Metrics come from lines of JSON on
standard output, from `greyhound.report` inside of the script, or from TensorBoard's event files. A script
that calls `greyhound.report` is told there when to end; another is terminated.

It runs in a session of its own, so that Ctrl-C on the terminal does not reach it, and dies with its worker. So does
what it started; after a script that failed or was told to go no further, nothing of it is left either.
"""

from __future__ import annotations

import codecs
import contextlib
import io
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
import warnings
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, TextIO

from greyhound import leases
from greyhound._lazy import require
from greyhound.descendants import Watcher, kill_descendants, kill_group
from greyhound.errors import EvaluationError, GreyhoundError, StudyError, TrialEnded
from greyhound.evaluators.live import LiveTrial
from greyhound.evaluators.outcomes import completed, raised
from greyhound.evaluators.reporting import LINE, PARAMS
from greyhound.evaluators.tensorboard import EventFiles
from greyhound.jobs import Channel, Job, Outcome
from greyhound.memory import memory_kills, says_out_of_memory
from greyhound.terminations import terminations
from greyhound.trial import TrialState
from greyhound.values import LARGEST_WHOLE, show

_TAIL_LINES = 40
_POLL_S = 0.5
_LEFT_BEHIND_POLL_S = 0.02
_PATIENCE_S = 10.0
_STEP_NAMES = ("step", "epoch")
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
_SWITCH = re.compile(r"\{(--?([^-{}][^{}]*))\}")
_LINE_BREAK = re.compile(r"(\r\n|\n|\r)")
_OWN_PLACEHOLDERS = ("params_json", "seed", "directory", "max_steps", "trial", "fold", "folds", "repeat")


@dataclass(frozen=True)
class Script:
    """Trains by running a command.

    command: the program and its arguments; a first word ending in .py is run by this Python. In its words {name} is
    a parameter, {seed}, {trial}, {max_steps}, {directory} (the trial's own folder), {params_json}, {fold}, {folds}
    and {repeat} are the trial's, {{ and }} are braces; a word {--name} is the flag --name where the parameter is
    true, and is left out where it is false. Words of parameters that a configuration does not have are left out,
    with the flag before them. Where no word names a parameter or {params_json}, every parameter is appended as
    --name value, a text that begins with "-" as --name=value. Truth values are written true and false, None as
    nothing, lists as JSON, negative numbers without an exponent.
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
        """EvaluationError where the template has a placeholder that is neither a parameter nor ours.

        names: of all parameters. Warns of those that a template leaves out.
        """
        known = (*names, *_OWN_PLACEHOLDERS)
        for word in self.command:
            for name in _placeholders(word):
                if name not in known:
                    raise EvaluationError(
                        f"command: unknown placeholder {{{name}}} in {word!r}; there are {_braced(known)}."
                    )
        left_out = [] if "params_json" in self._placeholders else sorted(set(names) - self._placeholders)
        if left_out and self._is_template(names):
            warnings.warn(
                f"command: no word of it holds {_braced(left_out)}, so their values do not reach the script; write "
                f"each parameter, {{params_json}} for all, or none to have all appended as flags.",
                stacklevel=4,
            )

    def __call__(self, job: Job, channel: Channel) -> Outcome:
        """Run the script for one job; FAILED where it reports what cannot be taken."""
        begin = time.monotonic()
        trial = LiveTrial(job, channel)
        try:
            trial.checkpoint()
            with _Run(self, trial) as run:
                run.follow()
                outcome = run.outcome()
        except TrialEnded as ended:
            outcome = raised(trial, ended)
        except GreyhoundError as error:
            outcome = Outcome(job.number, TrialState.FAILED, error=str(error))
        return replace(outcome, seconds=time.monotonic() - begin)

    def words(self, job: Job) -> list[str]:
        """The command for a job, every placeholder filled in."""
        values = {name: _text(value) for name, value in job.params.items()}
        own = {
            "params_json": json.dumps(dict(job.params)),
            "seed": str(job.seed),
            "trial": str(job.number),
            "max_steps": _text(job.max_steps),
            "directory": str(job.directory or ""),
            "fold": str(job.fold),
            "folds": str(job.folds),
            "repeat": str(job.repeat),
        }
        words = list(_filled(self.command, {**own, **values}))
        if not self._is_template(job.params):
            words += [word for name, value in job.params.items() for word in _flag(name, value)]
        return words

    @property
    def _placeholders(self) -> set[str]:
        return {name for word in self.command for name in _placeholders(word)}

    def _is_template(self, names: Collection[str]) -> bool:
        """Whether it says itself where parameters go, `names` or any that a configuration does not have."""
        return any(
            name in names or name == "params_json" or name not in _OWN_PLACEHOLDERS for name in self._placeholders
        )


class _Run:
    """One process of a script, its three lines of output, and what they said."""

    def __init__(self, script: Script, trial: LiveTrial) -> None:
        self._trial = trial
        self._final: dict[str, float] = {}
        self._complaint = ""  # the last line of standard error
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._selector = selectors.DefaultSelector()
        self._asks = False
        self._ending = False  # told to end: what it still says goes to the log alone
        self._memory_kills = memory_kills()
        self._terminations = terminations()
        ours, theirs = socket.socketpair()
        command = script.words(trial.job)
        self._watcher = Watcher()
        environment = {
            **os.environ,
            LINE: str(theirs.fileno()),
            PARAMS: json.dumps(dict(trial.params)),
            "PYTHONUNBUFFERED": "1",
        }
        try:
            self._process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                stdin=subprocess.DEVNULL,
                env=environment,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            self._watcher.dismiss()
            ours.close()
            raise EvaluationError(f"{command[0]}: cannot be started: {getattr(error, 'strerror', error)}.") from error
        finally:
            theirs.close()
        self._watcher.watch(self._process.pid)
        self._line = ours
        for source, lines in (
            (self._process.stdout, _Lines(self._printed, sys.stdout)),
            (self._process.stderr, _Lines(self._complained, sys.stderr)),
            (ours, _Lines(self._reported)),
        ):
            self._selector.register(source, selectors.EVENT_READ, lines)  # type: ignore[arg-type]
        self._events = EventFiles(script.tensorboard, self._process.pid, trial) if script.tensorboard else None

    def __enter__(self) -> _Run:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, TrialEnded | GreyhoundError):
            self._end()
        if error is not None or self._process.poll() != 0:  # whoever trains next must not meet what it started
            if self._process.poll() is None:
                kill_descendants(self._process.pid)
            kill_group(self._process.pid)
            self._process.wait()
        self._watcher.dismiss()
        self._selector.close()
        self._line.close()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def follow(self) -> None:
        """Pass on what the script says until it ends; TrialEnded where it is to go no further."""
        going = True
        while going:
            going = self._listen()
            leases.give_way(lambda: self._signal(signal.SIGSTOP), lambda: self._signal(signal.SIGCONT))
            if self._events is not None:
                self._events.poll()

    def outcome(self) -> Outcome:
        """How the script ended by itself."""
        code = self._process.wait()
        if code == 0 and self._cut_short:
            return Outcome(self._trial.number, TrialState.PAUSED)
        if code == 0:
            late = self._events.untold if self._events is not None else {}
            outcome = completed(self._trial, {**late, **self._final} or None)
            return outcome if outcome.error is None else replace(outcome, error=f"{outcome.error} {self._hint}")
        said = "\n".join(self._tail)
        how = f"the script was killed by signal {-code}" if code < 0 else f"the script ended with exit code {code}"
        killed = code == -signal.SIGKILL  # not by us: by the system, or by somebody who wants the machine
        state = TrialState.LOST if killed else TrialState.FAILED
        if says_out_of_memory(said) or (killed and memory_kills() > self._memory_kills):
            state = TrialState.OUT_OF_MEMORY
        why = f"{how}: {self._complaint}" if self._complaint else how
        return Outcome(self._trial.number, state, error=f"{said}\n{why}".strip())

    @property
    def _cut_short(self) -> bool:
        """Whether it ended because everybody was told to end, and before it said that it had come to its end.

        It says so by its last step or, where there are no steps to go by, by final metrics.
        """
        step, most = self._trial.step, self._trial.job.max_steps
        finished = step >= most if step and most is not None else bool(self._final)
        return not finished and terminations() > self._terminations

    @property
    def _hint(self) -> str:
        example = {"step": 1, **dict.fromkeys(self._trial.job.objectives, 0.5)}
        return f"A script tells metrics by printing lines such as {json.dumps(example)}."

    def _end(self) -> None:
        """Let a script that asks know by its line, terminate another, and listen while it ends."""
        self._ending = True
        with contextlib.suppress(OSError):
            self._line.sendall(b"stop\n")
            self._line.shutdown(socket.SHUT_WR)  # whatever it asks after that is answered too
        if not self._asks:
            self._signal(signal.SIGTERM)
        until = time.monotonic() + _PATIENCE_S
        while (self._listen() or self._left_behind()) and time.monotonic() < until:
            pass

    def _left_behind(self) -> bool:
        """Whether what the script started outlives it, as a training behind a shell that saves; waits a moment then."""
        left = self._signal(0)
        if left:
            time.sleep(_LEFT_BEHIND_POLL_S)
        return left

    def _listen(self) -> bool:
        """Take in what the script says, or wait for it a while; False when it has ended and said all."""
        if not self._selector.get_map():  # it closed all its lines: nothing is left but its end
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_POLL_S)
        # A process that the script left behind may hold its output open: the script's end counts.
        over = self._process.poll() is not None
        ready = self._selector.select(0 if over else _POLL_S)
        for key, _ in ready:
            self._read(key.fileobj, key.data)
        return bool(ready) or not over

    def _read(self, source: Any, lines: _Lines) -> None:
        try:
            data = os.read(source.fileno(), 65536)
        except ConnectionResetError:  # it ended without reading its last answer
            data = b""
        if not data:
            self._selector.unregister(source)
        lines.take(data)

    def _printed(self, line: str, stays: bool) -> None:
        if stays:
            self._tail.append(line)
        found = None if self._ending else _metrics(line, _STEP_NAMES)
        if found is None:
            return
        step, metrics = found
        if step is None:
            self._final.update(metrics)
            self._trial.last_metrics.update(metrics)
        elif metrics:
            self._trial.report_metrics(step, metrics)

    def _complained(self, line: str, stays: bool) -> None:
        if stays:
            self._tail.append(line)
            self._complaint = line.strip() or self._complaint

    def _reported(self, line: str, _stays: bool) -> None:
        self._asks = True
        if self._ending:
            return
        found = _metrics(line, ("step",))
        if found is None or found[0] is None:
            raise StudyError(f"greyhound.report: a report has a step and metrics; got {show(line)}.")
        self._trial.report_metrics(*found)
        with contextlib.suppress(OSError):
            self._line.sendall(b"continue\n")

    def _signal(self, number: int) -> bool:
        """Signal the script and what it started; whether there was any of them."""
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
            return False
        return True


class _Lines:
    """What comes in pieces, logged as it comes, heard line by line.

    hear: called with each line and whether it stays, as one that ends in "\\r" does not: a progress bar's next state
    is written over it. log: where everything goes too.
    """

    def __init__(self, hear: Callable[[str, bool], None], log: TextIO | None = None) -> None:
        self._hear = hear
        self._log = log
        # It holds back a "\r" until it is known whether "\n" follows.
        self._decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")("replace"), translate=False)
        self._begun: list[str] = []  # pieces of the line that has not ended

    def take(self, data: bytes) -> None:
        """The next piece; an empty one is the end, which ends the last line too."""
        text = self._decoder.decode(data, final=not data)
        if not data and (text or any(self._begun)) and not text.endswith("\r"):
            text += "\n"
        if self._log is not None:
            self._log.write(text)
            self._log.flush()
        self._begun.append(text)
        if _LINE_BREAK.search(text):
            *ended, rest = _LINE_BREAK.split("".join(self._begun))
            self._begun = [rest]
            for line, end in zip(ended[::2], ended[1::2], strict=True):
                self._hear(line, end != "\r")


def _metrics(line: str, step_names: Sequence[str]) -> tuple[int | None, dict[str, float]] | None:
    """Step and metrics in a line of JSON; None where it is not one. A line without a step is final.

    A line whose step is no whole number of at least 0 says nothing either.
    """
    text = line.strip()
    if not (text.startswith("{") and text.endswith("}")):
        return None
    try:
        found = json.loads(text, parse_int=float)  # so that an int of any length is a number, if an infinite one
    except (ValueError, RecursionError):
        return None
    numbers = {name: value for name, value in found.items() if isinstance(value, float)}
    metrics = {name: value for name, value in numbers.items() if name not in step_names}
    if not any(name in found for name in step_names):
        return (None, metrics) if metrics else None
    given = [numbers[name] for name in step_names if name in numbers]
    steps = [int(step) for step in given if step.is_integer() and 0 <= step <= LARGEST_WHOLE]
    return (steps[0], metrics) if steps else None


def _placeholders(word: str) -> Iterator[str]:
    if (switch := _SWITCH.fullmatch(word)) is not None:
        return iter((switch[2],))
    return (found[1] for found in _PLACEHOLDER.finditer(word) if found[1] is not None)


def _filled(words: Sequence[str], values: Mapping[str, str]) -> Iterator[str]:
    """The words with placeholders filled in, those of missing parameters left out with their flag."""

    def fill(found: re.Match[str]) -> str:
        return values[found[1]] if found[1] is not None else found[0][0]

    held: str | None = None  # a flag, until it is known whether its value is there
    for word in words:
        switch = _SWITCH.fullmatch(word)
        names = [] if switch is not None else list(_placeholders(word))
        if any(name not in values for name in names):
            held = None if held is not None and not list(_placeholders(held)) else held
            continue
        if held is not None:
            yield _PLACEHOLDER.sub(fill, held)
            held = None
        if switch is not None:
            yield from _switched(switch[1], switch[2], values)
        elif word.startswith("-") and not names and "=" not in word:
            held = word
        else:
            yield _PLACEHOLDER.sub(fill, word)
    if held is not None:
        yield _PLACEHOLDER.sub(fill, held)


def _switched(flag: str, name: str, values: Mapping[str, str]) -> Iterator[str]:
    """The flag where its parameter is true; nothing where that is false or missing."""
    value = values.get(name, "false")
    if value not in ("true", "false"):
        raise EvaluationError(
            f"command: {{{flag}}} is a flag for a parameter that is true or false; {name} is {value!r}."
        )
    if value == "true":
        yield flag


def _flag(name: str, value: Any) -> tuple[str, ...]:
    """The words that give a parameter: argparse takes a text that begins with "-" for a flag if it stands alone."""
    text = _text(value)
    return (f"--{name}={text}",) if isinstance(value, str) and text.startswith("-") else (f"--{name}", text)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list | dict):
        return json.dumps(value)
    text = "" if value is None else str(value)
    if isinstance(value, float) and text.startswith("-") and "e" in text:
        return format(Decimal(text), "f")  # argparse takes -1e-05 for a flag
    return text


def _braced(names: Sequence[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in names)
