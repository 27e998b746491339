"""Trials compared after the same number of steps, by one objective or by several.

What broke a limit by then comes behind all that kept to it, by how much. Several objectives: by non-dominated fronts,
and within a front by an epsilon net, so that the first of a front lie far apart on it; of one that was not told at the
step or since the newest value counts.

Source: Deb et al. 2002, "NSGA-II", section III-A (fronts); Schmucker et al. 2021,
"Multi-objective asynchronous successive halving", arXiv 2106.12639 (halving by fronts and an epsilon net); Deb 2000,
"An efficient constraint handling method for genetic algorithms" (limits before losses).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING

from greyhound.rungs import losses_at
from greyhound.trial import TrialState

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from greyhound.history import History
    from greyhound.trial import Report

    Floats = NDArray[np.float64]


def ranked(history: History, step: int, among: Iterable[int] | None = None) -> list[int]:
    """Numbers of the trials that reported `step` steps or more, the best at that step first; ties go to the older.

    Those that broke a limit by then come last, by how much. among: only these trials; None for all. Replicates of the
    finals are none of them: they are a few configurations many times over.
    """
    columns = losses_at(history, step)
    numbers, apart = range(len(history)) if among is None else sorted(among), replicates(history)
    reached = [
        number
        for number in numbers
        if number not in apart and not all(math.isnan(column[number]) for column in columns)
    ]
    over = breaches(history, step)
    kept = _by_losses(columns, [number for number in reached if not over[number]])
    broke = _by_losses(columns, [number for number in reached if over[number]])
    return [*kept, *sorted(broke, key=over.__getitem__)]


def replicates(history: History) -> set[int]:
    """Numbers of the trials that the finals trained again, which a search that goes on does not compete with."""
    return {trial.number for trial in history.replicates}


def breaches(history: History, step: int | None = None) -> Sequence[float]:
    """By how much each trial broke the limits when it first reported `step` steps or more, (n,), >= 0; None: by now.

    Of what it had not told by then the newest value counts, and what is not known breaks nothing.
    """
    if not history.limits:
        return [0.0] * len(history)
    from greyhound.numeric.limits import breach

    violations = history.violations
    if step is not None:
        violations = violations.copy()
        for number, trial in enumerate(history.trials):
            for at, limit in enumerate(history.limits):
                if (value := _told(trial.reports, limit.metric, step)) is not None:
                    violations[number, at] = max(0.0, limit.over(value))
    return list(breach(violations).tolist())


def trained(history: History) -> list[int]:
    """Numbers of the search's trials that were trained to their end."""
    apart = replicates(history)
    return [number for number in history.numbers(TrialState.COMPLETED) if number not in apart]


def finished(history: History) -> list[int]:
    """Numbers of the search's trials that were trained to their end and are not known to break a limit."""
    over = breaches(history)
    return [number for number in trained(history) if not over[number]]


def order(losses: Sequence[Sequence[float]]) -> list[int]:
    """Places of points of several losses, the best first: front after front, each spread out from its start.

    losses: n points of m losses to minimise; infinite ones count as the worst.
    """
    import numpy as np

    if not len(losses):
        return []
    points = _unit(np.asarray(losses, float))
    no_worse = np.all([column[:, None] <= column for column in points.T], axis=0)
    dominates = no_worse & ~no_worse.T
    above = dominates.sum(axis=0)
    placed: list[int] = []
    while len(placed) < len(points):
        front = np.flatnonzero(above == 0)
        placed += [int(front[at]) for at in _spread(points[front])]
        above = above - dominates[front].sum(axis=0)
        above[front] = -1
    return placed


def _by_losses(columns: Sequence[Sequence[float]], numbers: list[int]) -> list[int]:
    """The trials, rising numbers, the best first. columns: (n,) each, losses, one an objective."""
    if len(columns) == 1:
        return sorted(numbers, key=columns[0].__getitem__)
    return [numbers[at] for at in order([[column[number] for column in columns] for number in numbers])]


def _told(reports: Sequence[Report], metric: str, step: int) -> float | None:
    """The first value of a metric at `step` or behind it, else the last before; None where there is none."""
    at = bisect_left(reports, step, key=attrgetter("step"))
    nearest = chain(reports[at:], reversed(reports[:at]))
    return next((each.metrics[metric] for each in nearest if metric in each.metrics), None)


def _spread(points: Floats) -> list[int]:
    """Farthest first from the best in the first loss, places of the points."""
    import numpy as np

    chosen = [int(np.argmin(points[:, 0]))]
    gaps = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < len(points):
        gaps[chosen] = -1.0
        chosen.append(int(np.argmax(gaps)))
        gaps = np.minimum(gaps, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return chosen


def _unit(losses: Floats) -> Floats:
    """Each loss brought to [0, 1], infinite ones to 1."""
    import numpy as np

    finite = np.isfinite(losses)
    low = np.where(finite, losses, np.inf).min(axis=0)
    high = np.where(finite, losses, -np.inf).max(axis=0)
    known = np.isfinite(low) & np.isfinite(high)
    low, high = np.where(known, low, 0.0), np.where(known, high, 0.0)
    shown = np.where(finite, losses, high + (high - low) + 1.0)
    span = shown.max(axis=0) - low
    return np.asarray((shown - low) / np.where(span > 0, span, 1.0))
