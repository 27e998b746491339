"""For code that is given no trial: `greyhound.report` and `greyhound.params`, in a script and inside of a training.

Run by Greyhound, a script finds the descriptor of a socket to its worker in the environment; a line of
JSON goes out for each report, and a line comes back with the verdict. Run by hand, reports are printed.
What a report may hold is checked here, for `trial.report` too: this module stays light.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import operator
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from greyhound.errors import StudyError
from greyhound.values import LARGEST_WHOLE, show

if TYPE_CHECKING:
    from greyhound.evaluators.live import LiveTrial

LINE = "GREYHOUND_LINE"
PARAMS = "GREYHOUND_PARAMS"

_trials: list[LiveTrial] = []  # those that this process trains, the innermost last


@contextlib.contextmanager
def training(trial: LiveTrial) -> Iterator[None]:
    """Let `report` and `params` speak for this trial."""
    _trials.append(trial)
    try:
        yield
    finally:
        _trials.remove(trial)


def current_trial() -> LiveTrial | None:
    """The trial that this process trains, by a function or a task; None in a script and outside of a study."""
    return _trials[-1] if _trials else None


def report(step: int, **metrics: Any) -> None:
    """Tell metrics after `step` steps. Ends the script, with exit code 0, when the trial is to go no further.

    Inside of a training function it is the trial's own `report`. Outside of a study the metrics are printed as
    a line of JSON and nothing else happens. StudyError for a step that is no whole number of at least 0, for
    metrics that are no numbers, and for none.
    """
    if (trial := current_trial()) is not None:
        trial.report_metrics(step, metrics)
        return
    step, values = checked("greyhound.report", step, metrics)
    message = json.dumps({"step": step, **values})
    line = _line()
    if line is None:
        print(message, flush=True)
        return
    reports, answers = line
    try:
        reports.sendall(f"{message}\n".encode())
        answer = answers.readline()
    except OSError:
        answer = ""
    if answer.strip() != "continue":  # an empty line: the worker is gone
        sys.exit(0)


def params() -> dict[str, Any]:
    """The trial's parameters by name; empty outside of a study."""
    if (trial := current_trial()) is not None:
        return dict(trial.params)
    found = json.loads(os.environ.get(PARAMS, "{}"))
    return dict(found)


def checked(call: str, step: Any, metrics: Mapping[str, Any]) -> tuple[int, dict[str, float]]:
    """Step and metrics as plain numbers; StudyError, which begins with `call`, where they are none."""
    try:
        whole = -1 if isinstance(step, bool) else operator.index(step)
    except TypeError:
        whole = -1
    if not 0 <= whole <= LARGEST_WHOLE:
        raise StudyError(f"{call}: the step must be a whole number of at least 0; got {show(step)}.")
    if not metrics:
        raise StudyError(f"{call}: there are no metrics; write them by name, as in {call}(3, score=0.9).")
    return whole, {name: number(value, f"{call}: metric {name!r}") for name, value in metrics.items()}


def number(value: Any, what: str) -> float:
    """A number, or the only one of an array or a tensor; StudyError, in which `what` names it, for all else."""
    try:
        single = math.prod(getattr(value, "shape", ())) == 1
        plain = value.item() if single and hasattr(value, "item") else value
        if single and not isinstance(plain, str | bytes):
            return float(plain)
    except (TypeError, ValueError, OverflowError):
        pass
    raise StudyError(f"{what} must be a number; got {show(value)}.")


@functools.cache
def _line() -> tuple[socket.socket, TextIO] | None:
    """Where reports go, and where answers come from: apart, for a write must not drop what was read ahead."""
    descriptor = os.environ.get(LINE)
    if descriptor is None:
        return None
    try:
        line = socket.socket(fileno=int(descriptor))
    except OSError:  # a process further down, which did not inherit the line
        return None
    return line, line.makefile("r", encoding="utf-8")
