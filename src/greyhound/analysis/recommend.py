"""One trial out of a Pareto front, and the reason: grey relational ranking.

Each objective is brought to the range from 0 to 1 over the front, 1 for its best value there; the grade of a trial
is how near it comes to being best in all of them, by Deng's coefficients. A trial that is best in one goal and worst
in another so comes behind one that is nearly best in both (within a quarter of the range, of two goals), unless weights
say otherwise; where no trial comes so near, an end of the front is first, and the reason says so. Ranges are the
front's own, so another trial on the front can change the order of the rest.

Source: Deng, "Introduction to grey system theory", Journal of Grey System 1, 1989; for a choice by several criteria
as here: Kuo, Yang & Huang, "The use of grey relational analysis in solving multiple attribute decision-making
problems", Computers & Industrial Engineering 55, 2008.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from greyhound.analysis import ranking, summary
from greyhound.errors import StudyError
from greyhound.trial import Objective, Trial

if TYPE_CHECKING:
    from greyhound.history import History

_DIGITS = 12
"""Of a place between the best, 0, and the worst of a front, 1."""


@dataclass(frozen=True)
class Recommendation:
    """One trial, its grade in (0, 1], and a sentence on why it is the one."""

    trial: Trial
    grade: float
    reason: str


def rank(history: History, weights: Mapping[str, float] | None = None) -> list[tuple[Trial, float]]:
    """The trials of the Pareto front with their grades in (0, 1], the best first; of equal ones the older.

    weights: of objectives by name, finite, >= 0, not all 0; those left out count 1. StudyError where a weight is
    wrong, or where there are not several objectives; empty where no trial has a usable value yet.
    """
    import numpy as np

    from greyhound import grey
    from greyhound.numeric import pareto

    objectives = history.objectives
    if len(objectives) < 2:
        raise StudyError("rank: the study has one objective, which ranks its trials by itself; use study.best.")
    importance = _weights(objectives, weights or {})
    front = ranking.front(history)
    if not front:
        return []
    losses = pareto.unit(history.losses[[trial.number for trial in front]])  # of any size; their places alone count
    ranked = grey.rank(np.round(losses, _DIGITS), ["smaller"] * len(objectives), importance)
    return [(front[at], float(ranked.grades[at])) for at in ranked.order]


def recommend(history: History, weights: Mapping[str, float] | None = None) -> Recommendation | None:
    """The first of `rank`, and why; None where no trial has a usable value yet. StudyError as there."""
    ranked = rank(history, weights)
    if not ranked:
        return None
    trial, grade = ranked[0]
    front = [other for other, _ in ranked]
    return Recommendation(trial, grade, _reason(history.objectives, trial, front, weights or {}))


def _reason(objectives: tuple[Objective, ...], trial: Trial, front: list[Trial], weights: Mapping[str, float]) -> str:
    """Where it stands in each objective, against the best and the worst of the front."""
    if len(front) == 1:
        return f"Trial {trial.number}: no other trial is as good in any combination of goals; it is the whole front."
    places, extreme = [], False
    for objective in objectives:
        values = [other.metrics[objective.metric] for other in front]
        best = max(values) if objective.maximize else min(values)
        worst = min(values) if objective.maximize else max(values)
        mine = trial.metrics[objective.metric]
        told = f"{objective.metric} {summary.value(mine)}"
        if mine == best:
            places.append(f"{told} (the best)")
        else:
            extreme = extreme or mine == worst
            share = abs(mine - best) / abs(worst - best)
            places.append(f"{told} ({share:.0%} of the way from the best, {summary.value(best)}, to the worst)")
    weighted = ", ".join(f"{name} weighted {weight:g}" for name, weight in weights.items())
    how = "has the highest grade" if extreme else "comes nearest to being best in everything"
    return (
        f"Trial {trial.number} {how} of {len(front)} on the Pareto front"
        f"{f', with {weighted}' if weighted else ''}: {'; '.join(places)}."
        f"{' No compromise comes near enough to the best in everything.' if extreme else ''}"
    )


def _weights(objectives: tuple[Objective, ...], weights: Mapping[str, float]) -> list[float]:
    names = [objective.metric for objective in objectives]
    for name, weight in weights.items():
        if name not in names:
            raise StudyError(f"rank: there is no objective {name!r} to weight; there are {', '.join(names)}.")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            raise StudyError(f"rank: the weight of {name} must be a number of at least 0; got {weight!r}.")
    found = [float(weights.get(name, 1.0)) for name in names]
    if sum(found) == 0:
        raise StudyError("rank: at least one objective must have a weight above 0.")
    return found
