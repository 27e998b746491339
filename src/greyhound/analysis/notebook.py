"""A study as a notebook shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greyhound.analysis import ranking, summary
from greyhound.markup import paragraph, table
from greyhound.trial import Trial
from greyhound.values import listed

if TYPE_CHECKING:
    from greyhound.history import History

_MOST_ROWS = 10


def study_html(history: History, title: str) -> str:
    """Counts, and a table of the best trials: of the front, where there are several objectives, from end to end."""
    goals = [objective.metric for objective in history.objectives]
    shown = _leaders(history)
    rows = [
        (
            trial.number,
            trial.state.value,
            trial.step,
            *(summary.value(trial.metrics[name]) if name in trial.metrics else "" for name in goals),
            listed(trial.params),
        )
        for trial in shown
    ]
    which = "best trials" if len(goals) == 1 else f"{len(shown)} of the Pareto front"
    caption = f"{title}: {which} of {len(history)}"
    return table(("trial", "state", "step", *goals, "configuration"), rows, caption) + paragraph(
        summary.counts(history)
    )


def _leaders(history: History) -> list[Trial]:
    if len(history.objectives) != 1:
        return ranking.spread(ranking.ordered(history, ranking.front(history)), _MOST_ROWS)
    return [history.trial(number) for number in ranking.ranked(history)[:_MOST_ROWS]]
