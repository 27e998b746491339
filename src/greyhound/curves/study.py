"""What the trials of a study would reach if they were trained to their end."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from greyhound.curves.forecasting import at_step, bridged
from greyhound.curves.settled import settled
from greyhound.trial import TrialState

if TYPE_CHECKING:
    from greyhound.history import History

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Curves:
    """The curves of a study's trials. values: (n, max_steps), losses, gaps bridged. lengths: (n,), in steps.

    A trial that has not reported, or diverged, has the length 0. X: (n, d), configurations in the unit cube. noise:
    (n,), what of its last value is taken for chance and is not in `values`; 0 for curves that have not come to the end.
    """

    values: Floats
    lengths: NDArray[np.intp]
    X: Floats
    noise: Floats

    def finals(self, numbers: NDArray[np.intp], step: int) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the final losses of trials, as they could be told at `step`; both (m,)."""
        end = self.values.shape[1]
        if step >= end:
            return self.values[numbers, -1], np.zeros(len(numbers))
        done = np.flatnonzero(self.lengths == end)
        return at_step(self.values[numbers, :step], self.X[numbers], end, self.values[done], self.X[done])

    def now(self) -> tuple[Floats, Floats]:
        """Mean and standard deviation of every trial's final loss, (n,), NaN where nothing is known."""
        mean, std = np.full(len(self.lengths), np.nan), np.full(len(self.lengths), np.nan)
        for length in np.unique(self.lengths[self.lengths > 0]).tolist():
            group = np.flatnonzero(self.lengths == length)
            mean[group], std[group] = self.finals(group, length)
        return mean, std


@dataclass(frozen=True)
class Finals:
    """Of every trial, (n,): mean and standard deviation of its final loss, NaN where nothing is known."""

    curves: Curves
    mean: Floats
    std: Floats


def finals(history: History) -> Finals:
    """Forecasts for all trials of a history whose max_steps is known, of its first objective."""
    kept = _CACHE.get(history)
    if kept is None or kept[0] != history.length:
        curves = _read(history)
        kept = history.length, Finals(curves, *curves.now())
        _CACHE[history] = kept
    return kept[1]


def of_replicates(history: History) -> bool:
    """Whether curves are means over the replicates so far: then the objective comes with a standard error."""
    done = history.numbers(TrialState.COMPLETED)
    if not done or not history.objectives:
        return False
    return f"{history.objectives[0].metric}_std_error" in history.trial(done[0]).metrics


_CACHE: weakref.WeakKeyDictionary[History, tuple[int, Finals]] = weakref.WeakKeyDictionary()
"""The last forecasts of a history, and how many events it had: sampler and scheduler ask for the same."""


def _read(history: History) -> Curves:
    end, objective = history.max_steps or 1, history.objectives[0]
    values = np.full((len(history), end), np.nan)
    for number in range(len(history)):
        steps, metrics = history.curve(number, objective.metric)
        at = np.asarray(steps, np.intp) - 1
        inside = (at >= 0) & (at < end)
        losses = np.asarray(metrics, float) if objective.loss(1.0) > 0 else -np.asarray(metrics, float)
        values[number, at[inside]] = losses[inside]
    lengths, filled = bridged(values)
    noise = np.zeros(len(history))
    if (lengths == end).any() and not of_replicates(history):
        last = filled[lengths == end, -1]
        filled[lengths == end, -1] = settled(filled[lengths == end])
        noise[lengths == end] = last - filled[lengths == end, -1]
    return Curves(filled, lengths, np.array(history.X), noise)
