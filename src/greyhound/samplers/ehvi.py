"""Bayesian optimisation of several objectives: the expected hypervolume improvement under Gaussian processes.

Every objective has a process of its own, over a transform of its losses. What a front is worth depends on the scale of
the objectives and on the reference point, and no choice of them suits all fronts, so each suggestion draws its own: one
goes to the ends of the front, the next fills its middle. Trials that run are believed to give what the model expects of
them, and that counts as part of the front, so that the next ones look elsewhere. Limits and failures weigh the
improvement by the chance that all goes well.

Sources: Emmerich et al. 2011, "Hypervolume-based expected improvement"; in logarithms: Ament et al. 2023, "Unexpected
improvements to expected improvement for Bayesian optimization"; the computation is in `numeric.ehvi`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from greyhound.numeric import ehvi, gp, pareto, threads
from greyhound.samplers.base import Traits, start_size
from greyhound.samplers.cube import Cube, cube_of
from greyhound.samplers.feasibility import Feasibility
from greyhound.samplers.gp import TRANSFORMS, check_options
from greyhound.samplers.picking import Picker
from greyhound.samplers.results import Results, results, thinned
from greyhound.samplers.search import maximise
from greyhound.samplers.sobol import Sobol

if TYPE_CHECKING:
    from greyhound.history import History
    from greyhound.numeric.gp import Bools, Floats, Layout
    from greyhound.samplers.results import Numbers

_MOST_POINTS = 300
"""Trials that the processes are conditioned on, at most: the best and the latest."""
_MOST_FITTED = 120
"""Trials that hyperparameters are fitted on, at most."""
_BEHIND = (-0.25, 0.0, 1.0)
"""Where the reference point may lie: at 0 a tenth of the front's extent behind its worst corner, at 1 that much behind
the worst of all trials, and where negative before the corner, which gives up long thin ends for the middle."""
_MOST_PENDING = 32
_ANCHORS = 12
_MOST_TRIES = 256


@dataclass(frozen=True)
class EHVI:
    """Expected hypervolume improvement; with one objective, expected improvement.

    transforms: of the losses, among "standard", "log" and "copula"; each suggestion draws one. start: trials of a Sobol
    sequence before the model speaks; by default d + 1 of them, from 5 to 20, at most a fifth of the budget. candidates:
    random configurations that each search of the acquisition begins with, at least 1.
    """

    transforms: tuple[str, ...] = ("standard", "copula")
    start: int | None = None
    candidates: int = 1000
    traits: ClassVar[Traits] = Traits(model=True)

    def __post_init__(self) -> None:
        check_options("ehvi", self.transforms, self.start, self.candidates)

    def suggest(self, history: History, count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
        """`count` configurations, fewer where the finite space has no more."""
        cube, told = cube_of(history.space), results(history)
        if not cube.varying.any() or len(told.known) < 2 or len(history) < start_size(history, self.start):
            return Sobol().suggest(history, count, rng)
        picker = Picker(history)
        with threads.one():
            transform = self.transforms[int(rng.integers(len(self.transforms)))]
            model = Model(history, cube, told, transform, float(rng.choice(_BEHIND)))
            for _ in range(count):
                ranked = maximise(model.score, cube, model.anchors, rng, self.candidates)
                if not picker.take(ranked, _MOST_TRIES, rng):
                    break
                row = cube.rows(picker.found[-1:])
                model.believe(row, cube.activity(row))
        return picker.found

    def judge(self, history: History) -> Callable[[Sequence[Mapping[str, Any]]], Floats] | None:
        """The acquisition at configurations; None before there are two results."""
        cube, told = cube_of(history.space), results(history)
        if len(told.known) < 2 or not cube.varying.any():
            return None
        with threads.one():
            model = Model(history, cube, told, self.transforms[0], 0.0)
        return lambda configurations: model.score(cube.rows(configurations))


class Model:
    """What is believed of a study: a process for each objective, what the front leaves, and what is feasible.

    transform: of the losses. behind: where the reference point lies, see `_BEHIND`. anchors: rows of the best trials,
    around which it is worth looking.
    """

    def __init__(self, history: History, cube: Cube, told: Results, transform: str, behind: float) -> None:
        several = told.values.shape[1] > 1
        self._behind = behind if several else 0.0  # one objective has no ends to give up
        X, active = history.X, history.active
        self._cube, self._layout = cube, cube.layout(active)
        chosen = _chosen(told)
        values = told.values[np.searchsorted(told.known, chosen)]
        self._Z = self._layout.embed(X[chosen], active[chosen])
        self._within = np.isin(chosen, told.feasible)
        self._targets = [TRANSFORMS[transform](each)[:, None] for each in values.T]
        self._thetas = [_fitted(self._Z, self._layout, each, transform) for each in values.T]
        self._feasible = Feasibility(history, told, self._layout) if history.limits or len(told.failed) else None
        front = int((told.costs[told.feasible] < 0.001).sum()) if several else 0
        best = told.ranking[: max(_ANCHORS, front)]
        self.anchors = X[thinned(best, 3 * _ANCHORS)]
        self._condition()
        for number in told.pending[-_MOST_PENDING:]:
            self.believe(X[[number]], active[[number]])

    def score(self, rows: Floats) -> Floats:
        """log of the acquisition at snapped rows, (q,)."""
        active = self._cube.activity(rows)
        scores = np.zeros(len(rows))
        if self._within.any():
            Z = self._layout.embed(rows, active)
            means, stds = (np.hstack(each) for each in zip(*(p.predict(Z) for p in self._processes), strict=True))
            scores = ehvi.log_expected_improvement(means, stds, *self._boxes)
        if self._feasible is not None:
            scores = scores + self._feasible.log_chance(rows, active)
        return scores

    def believe(self, row: Floats, active: Bools) -> None:
        """Take the model's own expectation for the result of a configuration, (1, d), that is being tried."""
        Z = self._layout.embed(row, active)
        expected = [process.predict(Z)[0] for process in self._processes]
        likely = self._feasible is None or self._feasible.log_within(row, active)[0] > np.log(0.5)
        self._Z = np.concatenate([self._Z, Z])
        self._within = np.append(self._within, likely)
        self._targets = [np.concatenate(pair) for pair in zip(self._targets, expected, strict=True)]
        self._condition()

    def _condition(self) -> None:
        self._processes = [
            gp.condition(self._Z, self._layout, targets, theta)
            for targets, theta in zip(self._targets, self._thetas, strict=True)
        ]
        at_data = np.hstack([process.at_data() for process in self._processes])
        if self._within.any():
            self._boxes = _boxes(at_data[self._within], self._behind)


def _boxes(points: Floats, behind: float) -> tuple[Floats, Floats]:
    """What the points, (n, m), leave undominated before a reference point a little behind their front."""
    front = np.unique(points[pareto.nondominated(points)], axis=0)
    extent = np.ptp(front, axis=0)
    extent = np.where(extent > 1e-9, extent, np.maximum(np.ptp(points, axis=0), 1e-9))
    worst = front.max(axis=0)
    reference = worst + (behind * extent if behind < 0 else behind * (points.max(axis=0) - worst) + 0.1 * extent)
    return ehvi.undominated(ehvi.few(front), reference)


def _chosen(told: Results) -> Numbers:
    """Numbers of the trials that are modelled, ascending: all known, or half the best of them and half the latest."""
    if len(told.known) <= _MOST_POINTS:
        return told.known
    best = told.ranking[np.isin(told.ranking, told.known)][: _MOST_POINTS // 2]
    rest = np.setdiff1d(told.known, best)
    return np.sort(np.concatenate([best, rest[-(_MOST_POINTS - len(best)) :]]))


def _fitted(Z: Floats, layout: Layout, losses: Floats, transform: str) -> gp.Hyperparameters:
    """Hyperparameters for losses, (n,). A fit is dear: beyond 50 trials they are those of the trials a moment ago."""
    every = 1 if len(losses) <= 50 else 3 if len(losses) <= 120 else 8
    some = thinned(np.arange(len(losses) - len(losses) % every), _MOST_FITTED)
    return _fit(Z[some].tobytes(), layout, losses[some].tobytes(), transform)


@functools.lru_cache(maxsize=64)
def _fit(Z: bytes, layout: Layout, losses: bytes, transform: str) -> gp.Hyperparameters:
    values = np.frombuffer(losses)
    targets = TRANSFORMS[transform](values)[:, None]
    points = np.frombuffer(Z).reshape(len(values), -1)
    return gp.fit(points, layout, targets, gp.prior_mode(len(layout)))
