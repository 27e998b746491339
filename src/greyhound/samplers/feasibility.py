"""How likely a configuration is to end with a result and to keep to the limits, learnt from the trials.

A limit's metric is a number that a Gaussian process predicts, so the search knows on which side of the bound it is and
how far, before any trial has broken it. That trials fail altogether is a yes or no, learnt by a process of its own.

Source: Gardner et al. 2014, "Bayesian optimization with inequality constraints", eq. 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from greyhound.numeric import gp
from greyhound.numeric.acquisition import log_probability_below
from greyhound.samplers.results import thinned

if TYPE_CHECKING:
    from greyhound.history import History
    from greyhound.numeric.gp import Bools, Floats, Layout
    from greyhound.samplers.results import Numbers, Results

_MOST_POINTS = 150
"""Trials of each kind that a process is fitted to, evenly over their numbers."""
_EVALUATIONS = 15
_CAUTION = 3.0
"""Power of the probability that all goes well: a failure costs more than a trial, and the border is bisected else."""
_UNSURE = 0.1
"""Standard deviation added to what is believed of a yes or no."""


class Feasibility:
    """What is believed of limits and failures. history, told: the trials; layout: of the space's coordinates."""

    def __init__(self, history: History, told: Results, layout: Layout) -> None:
        self._layout = layout
        self._margins = [part for at in range(len(history.limits)) if (part := self._margin(history, told, at))]
        self._success = self._learn_success(history, told)

    def log_chance(self, rows: Floats, active: Bools) -> Floats:
        """log of the chance that all goes well at snapped rows, (q,), failures weighing more. active: (q, d)."""
        Z = self._layout.embed(rows, active)
        total = self.log_within(rows, active)
        if self._success is not None:
            means, stds = self._success.predict(Z)
            total = total + log_probability_below(-means, np.hypot(stds, _UNSURE), -0.5)[:, 0]
        return _CAUTION * total

    def log_within(self, rows: Floats, active: Bools) -> Floats:
        """log of the chance that the limits hold at snapped rows, (q,). active: (q, d)."""
        Z = self._layout.embed(rows, active)
        total = np.zeros(len(rows))
        for process, edge in self._margins:
            means, stds = process.predict(Z)
            total += log_probability_below(means[:, 0], stds[:, 0], edge)
        return total

    def _margin(self, history: History, told: Results, at: int) -> tuple[gp.Posterior, float] | None:
        """A process over the limit's metric, and what it has to stay below; None where too few trials have it."""
        limit = history.limits[at]
        sign = 1.0 if limit.upper else -1.0
        chosen = thinned(told.known, 2 * _MOST_POINTS)
        found = [history.trial(int(number)).metrics.get(limit.metric, np.nan) for number in chosen]
        over = sign * (np.asarray(found, float) - limit.bound)
        there = np.isfinite(over)
        if there.sum() < 2:
            return None
        size = float(np.median(np.abs(over[there])))
        drawn_in = np.arcsinh(over[there] / (size or 1.0))  # long tails either side of the bound, which stays at 0
        centre, spread = float(drawn_in.mean()), float(drawn_in.std()) or 1.0
        process = self._process(history, chosen[there], (drawn_in - centre) / spread)
        return process, -centre / spread

    def _learn_success(self, history: History, told: Results) -> gp.Posterior | None:
        lost = np.setdiff1d(told.failed, told.known)
        if not len(lost):
            return None
        ended = np.concatenate([thinned(lost, _MOST_POINTS), thinned(told.known, _MOST_POINTS)])
        return self._process(history, ended, np.isin(ended, told.known).astype(float))

    def _process(self, history: History, numbers: Numbers, targets: Floats) -> gp.Posterior:
        Z = self._layout.embed(history.X[numbers], history.active[numbers])
        start: Any = gp.prior_mode(len(self._layout))
        theta = gp.fit(Z, self._layout, (targets - targets.mean())[:, None], start, evaluations=_EVALUATIONS)
        return gp.condition(Z, self._layout, targets[:, None], theta)
