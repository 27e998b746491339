"""Which trials are best: one winner, or the front of those that none beats in everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from greyhound.trial import Trial, TrialState

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from greyhound.history import History

T = TypeVar("T")


def usable(history: History) -> NDArray[np.intp]:
    """Numbers of the search's trials that have finite objectives, did not fail and keep to the limits.

    Replicates of the finals are left out: they measure configurations again and are not there to be chosen. Where
    values are means over folds and repeats, only trials that have had them all count as soon as there is one: a mean
    over easy folds is none over all.
    """
    import numpy as np

    finite = np.isfinite(history.losses).all(axis=1)
    within = (history.violations <= 0).all(axis=1)
    kept = finite & within & ~history.failed
    kept[[trial.number for trial in history.replicates]] = False
    if history.settings is not None and history.settings.replicated and history.max_steps is not None:
        whole = kept & (history.steps >= history.max_steps)
        kept = whole if whole.any() else kept
    return np.flatnonzero(kept)


def best(history: History) -> Trial | None:
    """The trial with the best last value of the only objective; None where no trial has one.

    It need not have been trained to the end, but on all folds and repeats: its value is that of its checkpoint. Of
    equal ones the longer trained is better, then the older.
    """
    numbers = ranked(history)
    return history.trial(numbers[0]) if numbers else None


def why_none(history: History) -> str:
    """Why there is no best trial and no front, without a full stop: which limit stands before all, where one does."""
    import numpy as np

    from greyhound.numeric.limits import breach

    told = "no trial has a usable value yet"
    valued = np.flatnonzero(np.isfinite(history.losses).all(axis=1) & ~history.failed)
    over = history.violations[valued]
    for limit, each in zip(history.limits, over.T, strict=True):
        if len(each) and np.isnan(each).all():
            return f"{told}: none has reported {limit.metric}, and {limit} is to hold"
    measured = ~np.isnan(over).any(axis=1)
    if not history.limits or not measured.any() or (over <= 0).all(axis=1).any():
        return told
    nearest = history.trial(int(valued[measured][breach(over[measured]).argmin()]))
    known = [each.metric for each in history.limits if each.metric in nearest.metrics]
    metrics = ", ".join(f"{metric} {nearest.metrics[metric]:.6g}" for metric in known)
    limits = " and ".join(map(str, history.limits))
    return f"{told}: none keeps to {limits}; nearest is trial {nearest.number} with {metrics}"


def ranked(history: History) -> list[int]:
    """Numbers of the usable trials by the first objective, the best first, as in `best`."""
    import numpy as np

    numbers = usable(history)
    order = np.lexsort((numbers, -history.steps[numbers], history.losses[numbers, 0]))
    return [int(number) for number in numbers[order]]


def front(history: History) -> Sequence[Trial]:
    """The trials that no other beats in every objective (the Pareto front), by number."""
    return [history.trial(number) for number in _front(history, usable(history))]


def leaders(history: History) -> set[int]:
    """Numbers of the trials on the front, and of those that are if all that still train fall behind."""
    import numpy as np

    numbers = usable(history)
    settled = np.ones(len(history), bool)
    settled[history.numbers(TrialState.RUNNING, TrialState.PAUSED)] = False
    return {*_front(history, numbers), *_front(history, numbers[settled[numbers]])}


def _front(history: History, numbers: NDArray[np.intp]) -> list[int]:
    from greyhound.numeric import pareto

    return [int(number) for number in numbers[pareto.nondominated(history.losses[numbers])]]


def ordered(history: History, trials: Sequence[Trial]) -> list[Trial]:
    """Trials of a front from its best in the first objective to its worst, the order in which a front is read."""
    first = history.objectives[0]
    return sorted(trials, key=lambda trial: (first.loss(trial.metrics[first.metric]), trial.number))


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most so many of the items (two at least), from the first to the last; all, if so few."""
    if len(items) <= most:
        return list(items)
    return [items[round(at * (len(items) - 1) / (most - 1))] for at in range(most)]


def baseline(history: History) -> Trial | None:
    """The default configuration's trial, which the study tried first; None where the space has none."""
    return next((trial for trial in history.trials[:50] if trial.source == "default"), None)


def steps_saved(history: History) -> int:
    """Training steps that early stopping did not spend: what all trials in full would have cost, less the actual.

    Trials that failed or still run, and those that Ctrl-C, the end of the budget or `retry` left to be taken up again,
    count only what they trained.
    """
    if history.max_steps is None:
        return 0
    early = set(history.numbers(TrialState.PAUSED, TrialState.STOPPED)) - set(history.requeued)
    return sum(history.max_steps - history.trial(number).step for number in early)
