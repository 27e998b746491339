"""`greyhound status`: what goes on in a study."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any

import typer

from greyhound import samplers, strategy
from greyhound.analysis import ranking, summary
from greyhound.budget import Budget, duration
from greyhound.cli import show
from greyhound.cli.arguments import JsonOption, NameOption, StudyArgument, Watched
from greyhound.errors import StudyError
from greyhound.history import History
from greyhound.registry import named
from greyhound.spending import time_left
from greyhound.storage import presence
from greyhound.trial import TrialState


def status(
    study: StudyArgument,
    name: NameOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew every two seconds.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what goes on in a study; reads only.

    Example: greyhound status train.db
    """
    watched = Watched(study, name)
    while True:
        history = watched.read()
        if as_json:
            typer.echo(json.dumps(_status(history), indent=1))
        else:
            if watch:
                typer.echo("\033[2J\033[H", nl=False)  # clear the screen
            for line in [*summary.lines(history), *_choosers(history), *_activity(history)]:
                typer.echo(line)
        if not watch:
            return
        time.sleep(2.0)


def _choosers(history: History) -> list[str]:
    """The sampler in a line, and the scheduler, "auto" resolved."""
    settings = history.settings
    scheduler = [f"scheduler: {strategy.scheduler_name(settings)}"] if settings is not None else []
    return [f"sampler: {_strategy(history)}", *scheduler]


def _activity(history: History) -> list[str]:
    """What runs, and what is left of the budget."""
    lines, now = [], _now(history)
    if history.settings is not None and not history.settings.budget.unlimited:
        lines.append(f"budget: {history.settings.budget_in_words}; {time_left(history, now)}")
    for trial in history.running:
        owner = history.owners.get(trial.owner)
        lives = owner is not None and presence.alive(owner, now)
        whose = f"{owner.host}, process {owner.pid}" if owner is not None else "unknown"
        lines.append(
            f"running: trial {trial.number}, step {trial.step}, for {duration(history.run_seconds(trial.number, now))} "
            f"({whose}{'' if lives else ', which is gone: resume takes it up again'})"
        )
    return lines


def _now(history: History) -> float:
    """The time, in Unix seconds, while somebody drives the study; else when it was last heard of."""
    now = time.time()
    driven = any(presence.alive(owner, now) for owner in history.owners.values())
    return now if driven else history.last_time


def _strategy(history: History) -> str:
    """The sampler in a line, with what it chose where it can be made again here."""
    wanted = history.settings.sampler if history.settings is not None else "auto"
    try:
        return samplers.explain(strategy.make_sampler(wanted), named(wanted), history)
    except StudyError:
        return named(wanted)


def _status(history: History) -> dict[str, Any]:
    winner = ranking.best(history) if len(history.objectives) == 1 else None
    budget = history.settings.whole_budget if history.settings is not None else Budget()
    return {
        "trials": len(history),
        "states": {state.value: history.count(state) for state in TrialState},
        "best": show.record(winner, None) if winner is not None else None,
        "sampler": _strategy(history),
        "scheduler": strategy.scheduler_name(history.settings) if history.settings is not None else None,
        "steps": history.total_steps,
        "steps_saved": ranking.steps_saved(history),
        "seconds": history.elapsed_seconds(_now(history)),
        "budget": budget.to_json(),
    }
