"""`cv_results_`, as scikit-learn's own searches give it, from the trials of a study."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.ma import MaskedArray

from greyhound.trial import Trial, TrialState


def cv_results(
    trials: Sequence[Trial], params: Sequence[Mapping[str, Any]], names: Sequence[str], folds: int, train: bool
) -> dict[str, Any]:
    """The table with a row a trial: params, times, scores by split, means, standard deviations and ranks.

    Beyond scikit-learn's it has n_splits_done, and the trial's state and number. A mean is over the splits that
    were done, NaN where one of them has no score; candidates that were not tried on all of them rank behind those
    that were, failed ones last.
    """
    results: dict[str, Any] = {}
    done = np.array([_count(trial, names, folds) for trial in trials], dtype=np.int64)
    for name in ("fit_time", "score_time"):
        _store(results, name, trials, folds, splits=False)
    for name in sorted({key for each in params for key in each}):
        results[f"param_{name}"] = _column([each.get(name, _MISSING) for each in params])
    results["params"] = [dict(each) for each in params]
    full = np.array([trial.state is TrialState.COMPLETED for trial in trials], dtype=bool)
    for name in names:
        _store(results, f"test_{name}", trials, folds)
        results[f"rank_test_{name}"] = _ranks(results[f"mean_test_{name}"], full)
        if train:
            _store(results, f"train_{name}", trials, folds)
    results["n_splits_done"] = done
    results["trial_number"] = np.array([trial.number for trial in trials], dtype=np.int64)
    results["trial_state"] = np.array([trial.state.value for trial in trials], dtype=object)
    return results


_MISSING = object()


def _count(trial: Trial, names: Sequence[str], folds: int) -> int:
    return sum(any(f"split{fold}_test_{name}" in trial.metrics for name in names) for fold in range(folds))


def _store(results: dict[str, Any], name: str, trials: Sequence[Trial], folds: int, splits: bool = True) -> None:
    """Write mean and standard deviation of what was measured as `name`, and the values themselves by split.

    A split that was not done is NaN there and left out of both; one whose fit or score failed is left in.
    """
    keys = [f"split{fold}_{name}" for fold in range(folds)]
    shape = len(trials), folds
    table = np.array([[trial.metrics.get(key, np.nan) for key in keys] for trial in trials], np.float64).reshape(shape)
    there = np.array([[key in trial.metrics for key in keys] for trial in trials], dtype=bool).reshape(shape)
    if splits:
        results.update(zip(keys, table.T, strict=True))
    count = np.where(there.any(axis=1), there.sum(axis=1), np.nan)
    means = np.where(there, table, 0.0).sum(axis=1) / count
    with np.errstate(invalid="ignore"):  # an infinite score is infinitely far from an infinite mean
        squares = np.where(there, (table - means[:, None]) ** 2, 0.0)
    results[f"mean_{name}"] = means
    results[f"std_{name}"] = np.sqrt(squares.sum(axis=1) / count)


def _ranks(means: Any, full: Any) -> Any:
    """Ranks from 1, equal ones sharing the best: those tried in full first, those without a score last."""
    group = np.where(np.isnan(means), 2, np.where(full, 0, 1))
    losses = np.where(np.isnan(means), 0.0, -means)
    keys = list(zip(group.tolist(), losses.tolist(), strict=True))
    ordered = sorted(keys)
    return np.array([bisect_left(ordered, key) + 1 for key in keys], dtype=np.int32)


def _column(values: Sequence[Any]) -> Any:
    """The values of a parameter, masked where a candidate does not have it."""
    there = [value for value in values if value is not _MISSING]
    kinds = {type(value) for value in there}
    dtype: Any = object
    if len(kinds) == 1 and kinds <= {bool, int, float}:
        dtype = kinds.pop()
    elif kinds == {int, float}:
        dtype = float
    column: Any = MaskedArray(np.empty(len(values), dtype=dtype), mask=True)
    for at, value in enumerate(values):
        if value is not _MISSING:
            column[at] = value
    return column
