"""How a run of a training ended, told from what it raised or returned."""

from __future__ import annotations

import math
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from greyhound.errors import StudyError, TrialPaused, TrialStopped
from greyhound.evaluators.live import LiveTrial
from greyhound.evaluators.reporting import number
from greyhound.jobs import Outcome
from greyhound.memory import is_out_of_memory
from greyhound.trial import TrialState, Verdict
from greyhound.values import show

_OWN_FOLDER = str(Path(__file__).parents[1])
_LONGEST = 20_000
"""Characters of an error that are kept, about."""


class KilledError(RuntimeError):
    """A process that trains along was killed from outside: the training is lost, as with its own."""


def completed(trial: LiveTrial, returned: Any) -> Outcome:
    """The outcome of a training that returned: a table of metrics, a number or several, or nothing.

    FAILED where an objective was neither returned nor reported, DIVERGED where one is NaN or infinite.
    """
    try:
        metrics = _metrics(returned, trial.job.objectives)
    except StudyError as error:
        return Outcome(trial.number, TrialState.FAILED, error=str(error))
    known = {**trial.last_metrics, **metrics}
    missing = [name for name in trial.job.objectives if name not in known]
    if missing:
        told = f"it told {', '.join(known)}" if known else "it reported and returned nothing"
        return Outcome(
            trial.number,
            TrialState.FAILED,
            error=f"the training ended without {', '.join(missing)}, an objective of the study; {told}.",
        )
    finite = all(math.isfinite(known[name]) for name in trial.job.objectives)
    return Outcome(trial.number, TrialState.COMPLETED if finite else TrialState.DIVERGED, metrics)


def raised(trial: LiveTrial, error: BaseException) -> Outcome:
    """The outcome of a training that was left by an exception."""
    pruned = any(cls.__name__ == "TrialPruned" for cls in type(error).__mro__)  # ours, or Optuna's
    if isinstance(error, TrialPaused) or (pruned and trial.verdict is Verdict.PAUSE):
        return Outcome(trial.number, TrialState.PAUSED)
    if isinstance(error, TrialStopped) or pruned:
        if trial.diverged:
            return Outcome(trial.number, TrialState.DIVERGED, error="an objective became NaN or infinite")
        return Outcome(trial.number, TrialState.STOPPED)
    state = TrialState.LOST if isinstance(error, KilledError) else TrialState.FAILED
    if is_out_of_memory(error):
        state = TrialState.OUT_OF_MEMORY
    return Outcome(trial.number, state, error=_traceback(error))


def _metrics(returned: Any, objectives: Sequence[str]) -> dict[str, float]:
    if returned is None:
        return {}
    if isinstance(returned, Mapping):
        items = dict(returned)
    else:
        values = list(returned) if isinstance(returned, tuple | list) else [returned]
        if len(values) != len(objectives):
            raise StudyError(
                f"the training returned {len(values)} values for {len(objectives)} objectives: {', '.join(objectives)}."
            )
        items = dict(zip(objectives, values, strict=True))
    try:
        return {str(name): number(value, str(name)) for name, value in items.items()}
    except StudyError as error:
        shown = " ".join(show(returned).split())
        raise StudyError(
            f"the training returned {shown}; return a number for each objective, a dict of metrics, or nothing."
        ) from error


def _traceback(error: BaseException) -> str:
    """The traceback from the training's first frame on, causes before it; Greyhound's own frames above it are left out.

    Of a very long one, as where the message shows a tensor, the middle is left out.
    """
    told = traceback.TracebackException.from_exception(error)
    first = next((at for at, frame in enumerate(told.stack) if not frame.filename.startswith(_OWN_FOLDER)), 0)
    told.stack = traceback.StackSummary.from_list(told.stack[first:])
    text = "".join(told.format()).rstrip()
    if len(text) <= _LONGEST:
        return text
    half = _LONGEST // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters …\n{text[-half:]}"
