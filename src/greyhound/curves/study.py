"""What the trials of a study would reach if they were trained to their end."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from greyhound.curves.forecasting import Told, at_step, bridged, certain
from greyhound.curves.smoothing import STEADY, Jitter, by_length, jitter, smoothed
from greyhound.numeric import threads
from greyhound.trial import TrialState

if TYPE_CHECKING:
    from greyhound.history import History

Floats: TypeAlias = NDArray[np.float64]

_COLUMNS = 200
"""Curves of more steps are thinned to so many columns: trainings may have a million."""


@dataclass(frozen=True)
class Curves:
    """The curves of a study's trials. end: max_steps. values: (n, c), losses, gaps bridged, a column a step.

    Of many steps some share a column, which has the newest value of them; the last one is for the end alone. lengths:
    (n,), in steps. A trial that has not reported, or diverged, has the length 0, one that completed all steps, however
    early it ended. X: (n, d), configurations in the unit cube. noise: (n,), what of its last value is taken for chance
    and is not in `values`; 0 for curves that have not come to the end. shaking: how much values do from step to step.
    """

    end: int
    values: Floats
    lengths: NDArray[np.intp]
    X: Floats
    noise: Floats
    shaking: Jitter

    @property
    def columns(self) -> NDArray[np.intp]:
        """The lengths, (n,), in columns."""
        return _column(self.lengths, self.end)

    @functools.cached_property
    def constant(self) -> bool:
        """Whether curves lie apart and none ever moved, as of a number of parameters.

        Where all lie at one value they may not have begun to move.
        """
        first = self.values[self.columns > 1, :1]
        if not len(first) or np.ptp(first) == 0.0:
            return False
        later = np.arange(self.values.shape[1]) < self.columns[:, None]
        return not ((self.values != self.values[:, :1]) & later).any()

    def finals(self, numbers: NDArray[np.intp], step: int) -> Told:
        """The final losses of trials, (q,), as they could be told at `step`, NaN where nothing is known.

        Of one that had not come so far, by what is known of it.
        """
        seen = np.minimum(self.columns[numbers], _column(step, self.end))
        told = np.full((3, len(numbers)), np.nan)
        for column in np.unique(seen[seen > 0]).tolist():
            group = seen == column
            told[:, group] = self._after(numbers[group], column)
        return Told(*told)

    def _after(self, numbers: NDArray[np.intp], seen: int) -> Told:
        """The final losses of trials, (q,), by as many columns of their curves as each has."""
        last = self.values.shape[1]
        if seen == last or self.constant:
            return certain(self.values[numbers, seen - 1])
        done = np.flatnonzero(self.lengths == self.end)
        return at_step(
            self.values[numbers, :seen], self.X[numbers], last, self.values[done], self.X[done], shaking=self.shaking
        )

    def now(self) -> Told:
        """Every trial's final loss, (n,), NaN where nothing is known."""
        return self.finals(np.arange(len(self.lengths)), self.end)


@dataclass(frozen=True)
class Finals:
    """Of every trial and objective, (n, m): what is told of the final loss, see Told; NaN where nothing is known.

    curves: of each objective.
    """

    curves: tuple[Curves, ...]
    mean: Floats
    std: Floats
    degrees: Floats

    @property
    def lengths(self) -> NDArray[np.intp]:
        """How far each trial has come by the objective told last, (n,), in steps; 0 where one is not known."""
        lengths = np.stack([each.lengths for each in self.curves])
        return np.where(lengths.min(axis=0) > 0, lengths.max(axis=0), 0)

    @property
    def noise(self) -> Floats:
        """What of each trial's last losses is taken for chance, (n, m)."""
        return np.stack([each.noise for each in self.curves], axis=1)

    def told_at(self, step: int, numbers: NDArray[np.intp]) -> Told:
        """The final losses of trials, (q, m), as they could be told at `step`."""
        with threads.one():
            return _side_by_side([each.finals(numbers, step) for each in self.curves])


def finals(history: History) -> Finals:
    """Forecasts for all trials of a history whose max_steps is known, of all its objectives."""
    kept = _CACHE.get(history)
    if kept is None or kept[0] != history.length:
        with threads.one():
            curves = tuple(_read(history, at) for at in range(len(history.objectives)))
            kept = history.length, Finals(curves, *_side_by_side([each.now() for each in curves]))
        _CACHE[history] = kept
    return kept[1]


def of_replicates(history: History) -> bool:
    """Whether curves are means over the replicates so far."""
    return history.settings is not None and history.settings.replicated


_CACHE: weakref.WeakKeyDictionary[History, tuple[int, Finals]] = weakref.WeakKeyDictionary()
"""The last forecasts of a history, and how many events it had: sampler and scheduler ask for the same."""


def _side_by_side(told: Sequence[Told]) -> Told:
    return Told(*(np.stack(parts, axis=1) for parts in zip(*told, strict=True)))


def _read(history: History, at: int) -> Curves:
    """The curves of an objective. A training that ended by itself before max_steps stays at what it came to.

    Its noise is that of its last report; what was told in place of that is taken as it is.
    """
    end, objective = history.max_steps or 1, history.objectives[at]
    values, lengths = np.full((len(history), min(end, _COLUMNS)), np.nan), np.zeros(len(history), np.intp)
    curves = [history.curve(number, objective.metric) for number in range(len(history))]
    numbers = np.repeat(np.arange(len(history)), np.array([len(steps) for steps, _ in curves], np.intp))
    places = np.fromiter(chain.from_iterable(steps for steps, _ in curves), np.intp, len(numbers))
    losses = np.fromiter(chain.from_iterable(metrics for _, metrics in curves), float, len(numbers))
    losses *= objective.loss(1.0)
    there = (places >= 1) & (places <= end) & ~np.isnan(losses)
    numbers, places, losses = numbers[there], places[there], losses[there]
    values[numbers, _column(places, end) - 1] = losses
    np.maximum.at(lengths, numbers, places)
    lengths[numbers[np.isinf(losses)]] = 0
    columns, (_, filled) = _column(lengths, end), bridged(values)
    noise = np.zeros(len(history))
    ended = np.isin(np.arange(len(history)), history.numbers(TrialState.COMPLETED))
    known = np.flatnonzero((lengths == end) | (ended & (lengths > 0)))
    last, told = filled[known, columns[known] - 1], history.losses[known, at]
    final = np.where(ended[known] & np.isfinite(told), told, last)
    shaking = STEADY if of_replicates(history) else jitter(by_length(filled, columns))
    level = last.copy()
    for column in np.unique(columns[known]).tolist():
        group = columns[known] == column
        level[group] = smoothed(filled[known[group], :column], shaking)[:, -1]
    reached = np.where(final == last, level, final)
    behind = np.arange(values.shape[1]) >= np.minimum(columns[known], values.shape[1] - 1)[:, None]
    filled[known] = np.where(behind, reached[:, None], filled[known])
    noise[known], lengths[known] = final - reached, end
    return Curves(end, filled, lengths, np.array(history.X), noise, shaking)


def _column(steps: int | NDArray[np.intp], end: int) -> NDArray[np.intp]:
    """The column of each of the steps, counted as steps are, from 1; 0 for 0."""
    steps = np.asarray(steps, np.intp)
    return np.where(steps > 0, np.maximum(steps * min(end, _COLUMNS) // end, 1), 0)
