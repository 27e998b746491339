"""What a model-based sampler learns from: every trial's loss as if it had been trained to its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from greyhound.curves.study import finals
from greyhound.numeric import pareto
from greyhound.numeric.limits import breach
from greyhound.trial import TrialState

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from greyhound.history import History
    from greyhound.numeric.gp import Bools, Floats

    Numbers = NDArray[np.intp]


@dataclass(frozen=True)
class Results:
    """The trials of a study as a model sees them; numbers are trials' numbers, ascending but for `ranking`.

    known, losses: trials with a value, to minimise; of several objectives every one, in `values`, (k, m), and losses
    are then `pareto.costs`: which front a trial is on, less its share in that front's hypervolume. pending: trials
    whose value is still to come. failed: trials that ended without one, or whose metrics break a limit; feasible: the
    others of those known.

    ranking: all but the pending, best first: what keeps to the limits by loss, what breaks them by how much, what has
    no value; ties by age. costs: (n,), of every trial, NaN for the pending: losses, in which what breaks a limit comes
    behind all that keeps to it, and what has no value counts as the worst. doubts: (k,), of those known, the standard
    deviation of the forecast that stands for the first loss, 0 for what was trained to its end.
    """

    known: Numbers
    losses: Floats
    pending: Numbers
    failed: Numbers
    feasible: Numbers
    ranking: Numbers
    costs: Floats
    values: Floats
    doubts: Floats


def results(history: History) -> Results:
    """Read them off a history.

    A trial that was not trained to its end counts with the forecasts of its final losses, by its own curve and those
    of the others, and one that was with its losses less what of them is noise.
    """
    every = history.losses
    finite = np.isfinite(every).all(axis=1) & np.full(len(every), bool(history.objectives))
    broken = breach(history.violations)
    waiting = np.zeros(len(every), bool)
    waiting[history.numbers(TrialState.RUNNING, TrialState.PAUSED)] = True
    doubts = np.zeros(len(every))
    if history.max_steps is not None and finite.any():
        to_come, doubts = _to_come(history, every, finite)
        every = every + to_come
    values = _one_number(every, finite, broken) if every.shape[1] != 1 else every[:, 0].copy()
    feasible = finite & (broken == 0)
    pending = waiting & ~finite
    costs = np.where(pending, np.nan, _costs(values, finite, broken))
    order = np.lexsort((costs, ~finite))
    return Results(
        known=np.flatnonzero(finite),
        losses=values[finite],
        pending=np.flatnonzero(pending),
        failed=np.flatnonzero(~feasible & ~pending),
        feasible=np.flatnonzero(feasible),
        ranking=order[~pending[order]],
        costs=costs,
        values=every[finite],
        doubts=doubts[finite],
    )


def thinned(numbers: Numbers, most: int) -> Numbers:
    """At most `most` of the numbers, (n,), evenly over their order, the first and the last among them."""
    if len(numbers) <= most:
        return numbers
    return numbers[np.linspace(0, len(numbers) - 1, most).round().astype(np.intp)]


def _one_number(every: Floats, finite: Bools, broken: Floats) -> Floats:
    """The costs of several objectives, (n,), NaN where one is missing; what breaks a limit beats nothing that does not.

    every: (n, m). broken: (n,), see `_costs`.
    """
    values = np.full(len(every), np.nan)
    for some in (finite & (broken == 0), finite & (broken > 0)):
        values[some] = pareto.costs(every[some])
    return values


def _costs(values: Floats, finite: Bools, broken: Floats) -> Floats:
    """See Results, (n,), of the pending ones too. broken: (n,), by how much the limits are broken, >= 0."""
    costs = values.copy()
    kept, over = values[finite & (broken == 0)], finite & (broken > 0)
    if over.any():
        worst, span = (kept.max(), np.ptp(kept)) if len(kept) else (0.0, 0.0)
        amounts, steps = np.unique(broken[over], return_inverse=True)
        costs[over] = worst + (span or 1.0) * (steps + 1.0) / len(amounts)
    costs[~finite] = costs[finite].max() if finite.any() else 0.0
    return costs


def _to_come(history: History, losses: Floats, finite: Bools) -> tuple[Floats, Floats]:
    """By how much each trial's losses, (n, m), should move until its end, and the doubt of the first, (n,)."""
    moves, doubts = np.zeros(losses.shape), np.zeros(len(losses))
    forecast = finals(history)
    ended = np.zeros(len(losses), bool)
    ended[history.numbers(TrialState.COMPLETED)] = True
    moves[ended] = -forecast.noise[ended]
    told = finite & ~ended & np.isfinite(forecast.mean).all(axis=1)
    moves[told] = forecast.mean[told] - losses[told]
    doubts[told] = forecast.std[told, 0]
    return moves, doubts
