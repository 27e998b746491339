"""A study in a few lines of plain text: what was tried, what won, what early stopping saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greyhound.analysis import finals, ranking
from greyhound.trial import Trial, TrialState
from greyhound.values import counted, listed, short

if TYPE_CHECKING:
    from greyhound.history import History

_MOST_OF_FRONT = 20


def counts(history: History) -> str:
    """How many trials are in each state: "12 completed, 30 paused, 1 failed"."""
    parts = [f"{count} {state.value}" for state in TrialState if (count := history.count(state))]
    return ", ".join(parts) or "no trials"


def counted_trials(history: History) -> str:
    """How many trials there are, and in each state: "2 trials: 1 running, 1 completed"."""
    return f"{counted(len(history), 'trial')}: {counts(history)}"


def value(number: float) -> str:
    """A metric as people read it: six significant digits at most."""
    return f"{number:.6g}"


def metrics(history: History) -> list[str]:
    """Names of the objectives, then of the other metrics that have a limit."""
    named = [objective.metric for objective in history.objectives] + [limit.metric for limit in history.limits]
    return list(dict.fromkeys(named))


def score(history: History, trial: Trial) -> str:
    """A trial's objectives, and what has a limit: "accuracy 0.93, latency_ms 4.1 after 27 steps"."""
    values = ", ".join(f"{name} {value(trial.metrics[name])}" for name in metrics(history) if name in trial.metrics)
    if not trial.step:
        return values
    return f"{values} after {counted(trial.step, 'step')}"


def lines(history: History) -> list[str]:
    """The summary, a line each."""
    told = [counted_trials(history)]
    if len(history.objectives) == 1:
        winner = ranking.best(history)
        if winner is None:
            told.append(ranking.why_none(history))
        else:
            told.append(f"best: trial {winner.number}, {score(history, winner)}")
            told.extend(f"  {name} = {short(item)}" for name, item in winner.params.items())
            told.extend(_against_default(history, winner))
    else:
        front = ranking.ordered(history, ranking.front(history))
        shown = ranking.spread(front, _MOST_OF_FRONT)
        some = f"{len(shown)} of them " if len(shown) < len(front) else ""
        told.append(
            f"{counted(len(front), 'trial')} on the Pareto front, {some}by {history.objectives[0].metric}:"
            if front
            else ranking.why_none(history)
        )
        told.extend(f"  trial {trial.number}: {score(history, trial)}; {listed(trial.params)}" for trial in shown)
    if history.max_steps is not None and (saved := ranking.steps_saved(history)):
        total = history.total_steps
        share = saved / (saved + total)
        told.append(
            f"early stopping: {counted(total, 'step')} trained, {saved} saved ({share:.0%} of training all in full)"
        )
    if (found := finals.finals(history)) is not None:
        told.extend(finals.describe(found))
    else:
        told.extend(held_out(history))
    return told


def _against_default(history: History, winner: Trial) -> list[str]:
    default = ranking.baseline(history)
    if default is None or default.number == winner.number or default.state is not TrialState.COMPLETED:
        return []
    return [f"default configuration: trial {default.number}, {score(history, default)}"]


def held_out(history: History) -> list[str]:
    """The held-out metric of the winner and the default, where the finals do not tell it."""
    metric = history.settings.test if history.settings is not None else None
    if metric is None or len(history.objectives) != 1 or history.running:
        return []
    shown = [("best", ranking.best(history)), ("default configuration", ranking.baseline(history))]
    return [
        f"held-out {metric} of the {name}: {value(trial.metrics[metric])}"
        for name, trial in shown
        if trial is not None and metric in trial.metrics
    ]
