"""Trials as the command line shows them: a table, one in full, or a record for JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from greyhound.analysis import ranking, summary
from greyhound.analysis.table import strict
from greyhound.budget import duration
from greyhound.errors import StudyError
from greyhound.evaluators import checkpoint
from greyhound.evaluators.retention import trial_folder
from greyhound.history import History
from greyhound.trial import Trial, TrialState
from greyhound.values import listed


def record(trial: Trial, folder: Path | None, full: bool = False) -> dict[str, Any]:
    """The trial with JSON-safe values; with its learning curve, error and files if `full`.

    folder: the study's, to find the checkpoint in; None for none.
    """
    path = checkpoint.latest(trial_folder(folder, trial.number)) if folder is not None else None
    brief = {
        "number": trial.number,
        "state": trial.state.value,
        "params": dict(trial.params),
        "metrics": strict(dict(trial.metrics)),
        "step": trial.step,
        "seed": trial.seed,
        "seconds": round(trial.seconds, 3),
        "checkpoint": str(path) if path is not None else None,
    }
    if not full:
        return brief
    log = None if folder is None else trial_folder(folder, trial.number) / "log.txt"
    return {
        **brief,
        "source": trial.source,
        "parent": trial.parent,
        "begin": trial.begin,
        "error": trial.error,
        "attrs": strict(dict(trial.attrs)),
        "reports": [{"step": report.step, **strict(dict(report.metrics))} for report in trial.reports],
        "log": str(log) if log is not None and log.exists() else None,
    }


def select(history: History, state: str | None, sort: str | None) -> Sequence[Trial]:
    """The trials in a state, by a metric, the best first; by number if no metric is given."""
    states = {each.value.replace(" ", "-"): each for each in TrialState}
    if state is not None and state.replace(" ", "-").replace("_", "-") not in states:
        raise StudyError(f"--state: there is no state {state!r}; there are {', '.join(states)}.")
    wanted = None if state is None else states[state.replace(" ", "-").replace("_", "-")]
    chosen = [trial for trial in history.trials if wanted in (None, trial.state)]
    if sort is None:
        return chosen
    known = {name for trial in history.trials for name in trial.metrics}
    if known and sort not in known:
        raise StudyError(f"--sort: there is no metric {sort!r}; there are {', '.join(sorted(known))}.")
    up = any(objective.metric == sort and objective.maximize for objective in history.objectives)

    def key(trial: Trial) -> tuple[bool, float]:
        value = trial.metrics.get(sort, math.nan)
        if not math.isfinite(value):
            return (True, 0.0)  # behind all others, by number
        return (False, -value if up else value)

    return sorted(chosen, key=key)


def print_table(history: History, trials: Sequence[Trial]) -> None:
    """A row a trial, as wide as the terminal, or as long as it takes where there is none.

    Of several objectives a star marks the Pareto front.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    metrics = summary.metrics(history)
    front = {trial.number for trial in ranking.front(history)} if len(history.objectives) > 1 else set()
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("trial", "state", "step", *metrics, "time"):
        grid.add_column(column, no_wrap=True)
    grid.add_column("configuration", overflow="fold")
    for trial in trials:
        values = [summary.value(trial.metrics[name]) if name in trial.metrics else "" for name in metrics]
        row = [
            f"{trial.number}{' *' if trial.number in front else ''}",
            trial.state.value,
            str(trial.step),
            *values,
            duration(trial.seconds),
        ]
        grid.add_row(*row, listed(trial.params))
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    console.print(grid, markup=False, emoji=False)


def in_full(history: History, trial: Trial, folder: Path | None) -> str:
    """Everything about one trial, as text."""
    full = record(trial, folder, full=True)
    lines = [f"trial {trial.number}: {trial.state.value}, {summary.score(history, trial) or 'no values'}"]
    lines += [f"  {name} = {value}" for name, value in trial.params.items()]
    lines.append(f"proposed by {trial.source}, seed {trial.seed}, trained for {duration(trial.seconds)}")
    if trial.parent is not None:
        lines.append(f"went on from the checkpoint of trial {trial.parent} at step {trial.begin}")
    if trial.restarts:
        lines.append(f"put back {trial.restarts} times")
    lines += [f"{name}: {value}" for name, value in trial.attrs.items()]
    if trial.reports:
        lines.append("reports:")
        lines += [
            f"  step {report.step}: " + ", ".join(f"{k} {summary.value(v)}" for k, v in report.metrics.items())
            for report in trial.reports
        ]
    lines += [f"{what}: {full[what]}" for what in ("checkpoint", "log") if full[what]]
    if trial.error:
        lines += ["error:", trial.error]
    return "\n".join(lines)
