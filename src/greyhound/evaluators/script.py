"""Tuning a script that may know nothing of Greyhound.

Parameters become flags, or fill a template; no shell is involved. Metrics come from lines of JSON on
standard output, from other lines of which a pattern is given, from `greyhound.report` inside of the script, or from
TensorBoard's event files. A script that calls `greyhound.report` is told there when to end; another is terminated.

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
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TextIO

from greyhound import leases
from greyhound._lazy import require
from greyhound.descendants import Watcher, kill_descendants, kill_group
from greyhound.errors import EvaluationError, GreyhoundError, StudyError, TrialEnded, TrialPaused
from greyhound.evaluators.command import OWN_PLACEHOLDERS, braced, filled, flag, placeholders, written
from greyhound.evaluators.live import LiveTrial
from greyhound.evaluators.outcomes import completed, raised
from greyhound.evaluators.printed import STEP_NAMES, Pattern, Printed, metrics_in_json
from greyhound.evaluators.reporting import LINE, PARAMS
from greyhound.evaluators.tensorboard import EventFiles
from greyhound.jobs import Channel, Job, Outcome
from greyhound.memory import memory_kills, says_out_of_memory
from greyhound.terminations import terminations
from greyhound.trial import TrialState
from greyhound.values import show

_TAIL_LINES = 40
_POLL_S = 0.5
_LEFT_BEHIND_POLL_S = 0.02
_PATIENCE_S = 10.0
_SAVES_WITHIN_S = 0.5
"""How long a script that is to be paused may leave its files alone until it is taken to have saved."""
_LINE_BREAK = re.compile(r"(\r\n|\n|\r)")
_LOG_NAME = re.compile(r"^log\.txt$|\.log$|^events\.out\.tfevents")
_OF_RANK = re.compile(r"\[rank\d+\]: ([\w.]+(?:Error|Exception|Interrupt)\b.*)")
_NO_VALUE_WANTED = re.compile(r"unrecognized arguments: (.* )?(true|false)( |$)|ignored explicit argument")


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
    lines: what lines of its output look like that tell metrics, with names in braces where their numbers stand:
    "epoch {epoch}: loss {loss}". {} is anything; where no step or epoch is named, steps are counted.
    EvaluationError where the program does not exist, or a line names no metric.
    """

    command: tuple[str, ...]
    tensorboard: str | None = None
    lines: Sequence[str] = ()
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
        object.__setattr__(self, "lines", (self.lines,) if isinstance(self.lines, str) else tuple(self.lines))
        for line in self.lines:
            Pattern(line)
        if self.tensorboard is not None:
            require("tensorboard", "tensorboard")

    def check(self, names: Collection[str], max_steps: int | None = None) -> None:
        """EvaluationError where the template has a placeholder that is neither a parameter nor ours, or has no value.

        names: of all parameters. max_steps: of a training. Warns of parameters that a template leaves out.
        """
        known = (*names, *OWN_PLACEHOLDERS)
        for word in self.command:
            for name in placeholders(word):
                if name not in known:
                    raise EvaluationError(
                        f"command: unknown placeholder {{{name}}} in {word!r}; there are {braced(known)}."
                    )
        if max_steps is None and "max_steps" in self._placeholders - set(names):
            raise EvaluationError(
                "command: {max_steps} is the length of a full training, which this study does not have: "
                "give --max-steps, in Python max_steps=."
            )
        left_out = [] if "params_json" in self._placeholders else sorted(set(names) - self._placeholders)
        if left_out and self._is_template(names):
            warnings.warn(
                f"command: no word of it holds {braced(left_out)}, so their values do not reach the script; write "
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
        except _TrainedInFull:
            outcome = completed(trial, run.final or None)
        except TrialEnded as ended:
            outcome = raised(trial, ended)
        except GreyhoundError as error:
            outcome = Outcome(job.number, TrialState.FAILED, error=str(error))
        return replace(outcome, seconds=time.monotonic() - begin)

    def words(self, job: Job) -> list[str]:
        """The command for a job, every placeholder filled in."""
        values = {name: written(value) for name, value in job.params.items()}
        own = {
            "params_json": json.dumps(dict(job.params)),
            "seed": str(job.seed),
            "trial": str(job.number),
            "max_steps": written(job.max_steps),
            "directory": str(job.directory or ""),
            "fold": str(job.fold),
            "folds": str(job.folds),
            "repeat": str(job.repeat),
        }
        words = list(filled(self.command, {**own, **values}))
        if self.appends(job.params):
            words += [word for name, value in job.params.items() for word in flag(name, value)]
        return words

    @property
    def keeps_files(self) -> bool:
        """Whether the command names the trial's own folder."""
        return "directory" in self._placeholders

    def appends(self, names: Collection[str]) -> bool:
        """Whether parameters of these names are appended as flags."""
        return not self._is_template(names)

    @property
    def _placeholders(self) -> set[str]:
        return {name for word in self.command for name in placeholders(word)}

    def _is_template(self, names: Collection[str]) -> bool:
        """Whether it says itself where parameters go, `names` or any that a configuration does not have."""
        return any(
            name in names or name == "params_json" or name not in OWN_PLACEHOLDERS for name in self._placeholders
        )


class _TrainedInFull(TrialEnded):
    """The script trains on, though it has come to the study's max_steps."""


class _Run:
    """One process of a script, its three lines of output, and what they said.

    final: metrics that belong to no step, or were told behind the last.
    """

    def __init__(self, script: Script, trial: LiveTrial) -> None:
        self._trial = trial
        self._script = script
        self._fitting = Printed([Pattern(line) for line in script.lines])
        self.final: dict[str, float] = {}
        self._complaint = ""  # the last line of standard error
        self._rank_complaint = ""  # what the first rank of torchrun's to fail said
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
        self._events = (
            EventFiles(script.tensorboard, self._process.pid, trial, self._tell) if script.tensorboard else None
        )

    def __enter__(self) -> _Run:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        keeps = isinstance(error, TrialPaused | _TrainedInFull)
        if keeps and self._script.keeps_files and self._trial.job.directory is not None and not self._asks:
            self._let_it_save(self._trial.job.directory)
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
            outcome = completed(self._trial, {**late, **self.final} or None)
            return outcome if outcome.error is None else replace(outcome, error=f"{outcome.error} {self._hint}")
        said = "\n".join(self._tail)
        how = f"the script was killed by signal {-code}" if code < 0 else f"the script ended with exit code {code}"
        killed = code == -signal.SIGKILL  # not by us: by the system, or by somebody who wants the machine
        state = TrialState.LOST if killed else TrialState.FAILED
        if says_out_of_memory(said) or (killed and memory_kills() > self._memory_kills):
            state = TrialState.OUT_OF_MEMORY
        complaint = self._rank_complaint or self._complaint
        why = f"{how}: {complaint}{self._advice(complaint)}" if complaint else how
        return Outcome(self._trial.number, state, error=f"{said}\n{why}".strip())

    @property
    def _cut_short(self) -> bool:
        """Whether it ended because everybody was told to end, and before it said that it had come to its end.

        It says so by its last step or, where there are no steps to go by, by final metrics.
        """
        step, most = self._trial.step, self._trial.job.max_steps
        finished = step >= most if step and most is not None else bool(self.final)
        return not finished and terminations() > self._terminations

    def _advice(self, complaint: str) -> str:
        """How to write a flag that the script does not know; nothing where it complains of something else."""
        if not self._script.appends(self._trial.params):
            return ""
        flags = [name for name, value in self._trial.params.items() if isinstance(value, bool)]
        if flags and _NO_VALUE_WANTED.search(complaint):
            return f". A flag that takes no value is written {{--{flags[0]}}} in --command."
        unknown = [name for name in self._trial.params if re.search(rf"--{re.escape(name)}(?![\w-])", complaint)]
        if not unknown:
            return ""
        return (
            f". Parameters are appended as --name value: name {unknown[0]} as the script's flag is, or give its place "
            f"in the command, as in '-- --flag {{{unknown[0]}}}'."
        )

    @property
    def _hint(self) -> str:
        example = {"step": 1, **dict.fromkeys(self._trial.job.objectives, 0.5)}
        first = self._trial.job.objectives[0]
        otherwise = (
            f"No line that it printed told them by {' or '.join(map(repr, self._script.lines))}."
            if self._script.lines
            else f"Where it prints them in words of its own, give such a line, with {{{first}}} for the number: "
            f"--line 'validation {first}: {{{first}}}', in Python lines=."
        )
        return f"A script tells metrics by printing lines such as {json.dumps(example)}. {otherwise}"

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

    def _let_it_save(self, folder: Path) -> None:
        """Listen while files change in the trial's folder: most scripts print what they measured, and save then.

        One that ends in the midst of that leaves a file that cannot be read; one that ends before it loses a step.
        """
        self._ending = True
        begin = time.monotonic()
        files, changed = _files(folder), begin
        while self._listen() and (now := time.monotonic()) < min(changed + _SAVES_WITHIN_S, begin + _PATIENCE_S):
            if (found := _files(folder)) != files:
                files, changed = found, now

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
        found = None if self._ending else metrics_in_json(line, STEP_NAMES)
        if found is None:
            self._look_into(line, stays)
            return
        step, metrics = found
        if step is None:
            self._conclude(metrics)
        elif metrics:
            self._tell(step, metrics)

    def _complained(self, line: str, stays: bool) -> None:
        if stays:
            self._tail.append(line)
            self._complaint = line.strip() if re.search(r"\w", line) else self._complaint
            if not self._rank_complaint and (of_rank := _OF_RANK.match(line)) is not None:
                self._rank_complaint = of_rank[1]
        self._look_into(line, stays)

    def _look_into(self, line: str, stays: bool) -> None:
        """Tell what a line says by the patterns; what a progress bar shows on its way is no result."""
        if stays and not self._ending and (found := self._fitting.hear(line)) is not None:
            self._tell(*found)

    def _tell(self, step: int, metrics: Mapping[str, float]) -> None:
        """Report metrics; those that are told behind the last step are final. A training that goes on past it ends."""
        trial, most = self._trial, self._trial.job.max_steps
        told = all(name in trial.last_metrics for name in trial.job.objectives)
        if most is None or trial.step < most or not told:
            trial.report_metrics(step, metrics)
        elif step <= trial.step:
            self._conclude(metrics)
        else:
            raise _TrainedInFull

    def _conclude(self, metrics: Mapping[str, float]) -> None:
        self.final.update(metrics)
        self._trial.last_metrics.update(metrics)

    def _reported(self, line: str, _stays: bool) -> None:
        self._asks = True
        if self._ending:
            return
        found = metrics_in_json(line, ("step",))
        step, metrics = found or (None, {})
        if step is None:
            raise StudyError(f"greyhound.report: a report has a step and metrics; got {show(line)}.")
        self._tell(step, metrics)
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


def _files(folder: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of the files in a folder, at any depth, without logs, which change all the time."""
    found = {}
    for path in folder.rglob("*"):
        if _LOG_NAME.search(path.name) is None:
            with contextlib.suppress(OSError):  # it was put in another's place meanwhile
                state = path.stat()
                found[path] = (state.st_size, state.st_mtime_ns)
    return found
