"""What the trials of a study would reach if they were trained to their end."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from greyhound.curves.forecasting import Told, at_step, bridged, certain
from greyhound.curves.settled import settled
from greyhound.trial import TrialState

if TYPE_CHECKING:
    from greyhound.history import History

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Curves:
    """The curves of a study's trials. values: (n, max_steps), losses, gaps bridged. lengths: (n,), in steps.

    A trial that has not reported, or diverged, has the length 0, one that completed all steps, however early it ended.
    X: (n, d), configurations in the unit cube. noise: (n,), what of its last value is taken for chance and is not in
    `values`; 0 for curves that have not come to the end.
    """

    values: Floats
    lengths: NDArray[np.intp]
    X: Floats
    noise: Floats

    @functools.cached_property
    def constant(self) -> bool:
        """Whether curves lie apart and none ever moved, as of a number of parameters.

        Where all lie at one value they may not have begun to move.
        """
        first = self.values[self.lengths > 1, :1]
        if not len(first) or np.ptp(first) == 0.0:
            return False
        later = np.arange(self.values.shape[1]) < self.lengths[:, None]
        return not ((self.values != self.values[:, :1]) & later).any()

    def finals(self, numbers: NDArray[np.intp], step: int) -> Told:
        """The final losses of trials, (q,), as they could be told at `step`."""
        end = self.values.shape[1]
        if step >= end or self.constant:
            return certain(self.values[numbers, min(step, end) - 1])
        done = np.flatnonzero(self.lengths == end)
        return at_step(self.values[numbers, :step], self.X[numbers], end, self.values[done], self.X[done])

    def now(self) -> Told:
        """Every trial's final loss, (n,), NaN where nothing is known."""
        told = np.full((3, len(self.lengths)), np.nan)
        for length in np.unique(self.lengths[self.lengths > 0]).tolist():
            group = np.flatnonzero(self.lengths == length)
            told[:, group] = self.finals(group, length)
        return Told(*told)


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
        """How many steps of each trial are known in every objective, (n,)."""
        return np.asarray(np.min([each.lengths for each in self.curves], axis=0))

    @property
    def noise(self) -> Floats:
        """What of each trial's last losses is taken for chance, (n, m)."""
        return np.stack([each.noise for each in self.curves], axis=1)

    def told_at(self, step: int, numbers: NDArray[np.intp]) -> Told:
        """The final losses of trials, (q, m), as they could be told at `step`."""
        return _side_by_side([each.finals(numbers, step) for each in self.curves])


def finals(history: History) -> Finals:
    """Forecasts for all trials of a history whose max_steps is known, of all its objectives."""
    kept = _CACHE.get(history)
    if kept is None or kept[0] != history.length:
        curves = tuple(_read(history, at) for at in range(len(history.objectives)))
        kept = history.length, Finals(curves, *_side_by_side([each.now() for each in curves]))
        _CACHE[history] = kept
    return kept[1]


def of_replicates(history: History, at: int = 0) -> bool:
    """Whether curves are means over the replicates so far: then the objective comes with a standard error."""
    done = history.numbers(TrialState.COMPLETED)
    if not done or not history.objectives:
        return False
    return f"{history.objectives[at].metric}_std_error" in history.trial(done[0]).metrics


_CACHE: weakref.WeakKeyDictionary[History, tuple[int, Finals]] = weakref.WeakKeyDictionary()
"""The last forecasts of a history, and how many events it had: sampler and scheduler ask for the same."""


def _side_by_side(told: Sequence[Told]) -> Told:
    return Told(*(np.stack(parts, axis=1) for parts in zip(*told, strict=True)))


def _read(history: History, at: int) -> Curves:
    """The curves of an objective. A training that ended by itself before max_steps stays at what it came to.

    Its noise is that of its last report; what was told in place of that is taken as it is.
    """
    end, objective = history.max_steps or 1, history.objectives[at]
    values = np.full((len(history), end), np.nan)
    for number in range(len(history)):
        steps, metrics = history.curve(number, objective.metric)
        places = np.asarray(steps, np.intp) - 1
        inside = (places >= 0) & (places < end)
        losses = np.asarray(metrics, float) if objective.loss(1.0) > 0 else -np.asarray(metrics, float)
        values[number, places[inside]] = losses[inside]
    lengths, filled = bridged(values)
    noise = np.zeros(len(history))
    ended = np.isin(np.arange(len(history)), history.numbers(TrialState.COMPLETED))
    known = np.flatnonzero((lengths == end) | (ended & (lengths > 0)))
    last, told = filled[known, lengths[known] - 1], history.losses[known, at]
    final = np.where(ended[known] & np.isfinite(told), told, last)
    level = last if of_replicates(history, at) else settled(filled[known])
    reached = np.where(final == last, level, final)
    behind = np.arange(end) >= np.minimum(lengths[known], end - 1)[:, None]
    filled[known] = np.where(behind, reached[:, None], filled[known])
    noise[known], lengths[known] = final - reached, end
    return Curves(filled, lengths, np.array(history.X), noise)
