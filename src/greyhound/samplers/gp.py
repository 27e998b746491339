"""Bayesian optimisation with a Gaussian process.

One process models several transforms of the losses at once, which share a kernel: losses of trainings have long
tails, and which transform fits depends on the task. The expected improvements of the transforms, each in its
own standard deviations, are added up. Trials that run are believed to give what the model expects of them.
Where trials failed, a second process learns where they do, and its probability of success weighs the
improvement.

Sources: Jones et al. 1998, "Efficient global optimization"; transforms: Cowen-Rivers et al. 2022, "HEBO", and
the Gaussian copula of Salinas et al. 2020; feasibility: Gardner et al. 2014, "Bayesian optimization with
inequality constraints", eq. 5; pending trials: Ginsbourger et al. 2010, "Kriging is well-suited to parallelize
optimization".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.special import logsumexp, ndtri
from scipy.stats import rankdata

from greyhound.numeric import gp, threads
from greyhound.numeric.acquisition import log_expected_improvement, log_probability_below
from greyhound.samplers.base import Traits, start_size, tried_keys
from greyhound.samplers.cube import Cube, cube_of
from greyhound.samplers.random import draw_new
from greyhound.samplers.results import Results, results
from greyhound.samplers.search import maximise
from greyhound.samplers.sobol import Sobol

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from greyhound.history import History
    from greyhound.numeric.gp import Bools, Floats

_MOST_POINTS = 300
"""Data that a process is conditioned on, at most: the best and the latest."""
_MOST_FITTED = 120
"""Data that hyperparameters are fitted on, at most."""
_MOST_CACHED = 64
_MOST_DOUBT = 4.0
_CAUTION = 3.0
"""Power of the probability of success: a failure costs more than a trial, and the border is bisected else."""


@dataclass(frozen=True)
class GP:
    """A Gaussian process with log expected improvement.

    transforms: of the losses, among "standard", "log" and "copula". start: trials of a Sobol sequence
    before the model speaks; by default d + 1 of them, at least 5, at most a fifth of the budget. candidates: random
    configurations that each search of the acquisition begins with.
    """

    transforms: tuple[str, ...] = ("standard", "log", "copula")
    start: int | None = None
    candidates: int = 1000
    traits: ClassVar[Traits] = Traits(objectives=1, model=True)

    def suggest(self, history: History, count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
        """`count` configurations, fewer where the finite space has no more."""
        seen = tried_keys(history)
        cube = cube_of(history.space)
        if not cube.dimension or not cube.varying.any():
            return Sobol().suggest(history, count, rng)
        data = results(history)
        early = max(0, start_size(history, self.start) - len(history))
        if len(data.known) < 2:
            early = count
        found = Sobol().suggest(history, min(early, count), rng) if early else []
        if seen is not None:
            seen |= {history.space.key(params) for params in found}
        if len(found) < min(early, count) or len(found) == count:
            return found
        with threads.one():
            model = Model(history, cube, data, self.transforms)
            taken = set(cube.keys(history.X)) if len(history) else set()
            while len(found) < count:
                params = self._next(history, cube, model, taken, seen, rng)
                if params is None:
                    break
                found.append(params)
        return found

    def judge(self, history: History) -> Callable[[Sequence[Mapping[str, Any]]], Floats] | None:
        """The acquisition at configurations; None before there are two results."""
        data, cube = results(history), cube_of(history.space)
        if len(data.known) < 2 or not cube.varying.any():
            return None
        with threads.one():
            model = Model(history, cube, data, self.transforms)
        return lambda configurations: model.score(cube.rows(configurations))

    def _next(
        self,
        history: History,
        cube: Cube,
        model: Model,
        taken: set[bytes],
        seen: set[Any] | None,
        rng: np.random.Generator,
    ) -> dict[str, Any] | None:
        ranked = maximise(model.score, cube, model.anchors, rng, self.candidates)
        for row, key in zip(ranked, cube.keys(ranked), strict=True):
            if key in taken:
                continue
            params = cube.params(row)
            if cube.constrained and not history.space.allows(params):
                continue
            if seen is not None:
                if history.space.key(params) in seen:
                    continue
                seen.add(history.space.key(params))
            taken.add(key)
            model.believe(row)
            return params
        return draw_new(history, rng, seen)


class Model:
    """What is believed of a study: a process over the transforms, one over success, and what to beat."""

    def __init__(self, history: History, cube: Cube, data: Results, transforms: Sequence[str]) -> None:
        self._cube = cube
        X, active = history.X, history.active
        self._layout = cube.layout(active)
        losses = data.losses
        targets = np.stack([TRANSFORMS[name](losses) for name in transforms], axis=1)
        kept = _kept(losses, _MOST_POINTS)
        Z, owners = self._layout.embed(X[data.known], active[data.known])
        doubts = _relative(data.doubts, losses)
        self._theta = _fitted(Z, owners, targets, doubts, cube.dimension)
        self._owners, self._Z, self._targets, self._doubts = owners, Z[kept], targets[kept], doubts[kept]
        self._process = gp.condition(self._Z, owners, self._targets, self._theta, self._doubts)
        self._best = self._process.at_data().min(axis=0)
        self._success = self._learn_success(X, active, data) if len(data.failed) else None
        order = np.argsort(losses, kind="stable")
        good = data.known[order][~np.isin(data.known[order], data.failed)] if len(data.feasible) else data.known[order]
        self.anchors = X[good[:10]]
        for number in data.pending[-32:]:
            self.believe(X[number], active[number][None])

    def score(self, rows: Floats) -> Floats:
        """log of the acquisition at snapped rows."""
        Z, _ = self._layout.embed(rows, self._cube.activity(rows))
        means, stds = self._process.predict(Z)
        scores = logsumexp(log_expected_improvement(means, stds, self._best), axis=1)
        if self._success is not None:
            means, stds = self._success.predict(Z)
            scores = scores + _CAUTION * log_probability_below(-means, np.sqrt(stds**2 + 0.01), -0.5)[:, 0]
        return scores  # type: ignore[no-any-return]

    def believe(self, row: Floats, active: Bools | None = None) -> None:
        """Take the model's own expectation for the result of a configuration that is being tried."""
        active = self._cube.activity(row[None]) if active is None else active
        Z, _ = self._layout.embed(row[None], active)
        expected, _ = self._process.predict(Z)
        self._Z = np.concatenate([self._Z, Z])
        self._targets = np.concatenate([self._targets, expected])
        self._doubts = np.append(self._doubts, 0.0)
        self._process = gp.condition(self._Z, self._owners, self._targets, self._theta, self._doubts)

    def _learn_success(self, X: Floats, active: Bools, data: Results) -> gp.Posterior:
        ended = np.concatenate([data.failed[-_MOST_POINTS // 2 :], data.feasible[-_MOST_POINTS // 2 :]])
        labels = np.isin(ended, data.feasible).astype(float)[:, None]
        Z, owners = self._layout.embed(X[ended], active[ended])
        theta = gp.fit(Z, owners, labels - labels.mean(), gp.prior_mode(self._cube.dimension), evaluations=15)
        return gp.condition(Z, owners, labels, theta)


def _fitted(Z: Floats, owners: Any, targets: Floats, doubts: Floats, dimension: int) -> gp.Hyperparameters:
    """Hyperparameters for data, fitted on the first trials up to a size at which fits are made.

    A fit is dear, so from 50 trials on the last one serves for some trials more: still a function of the data alone.
    """
    size = _fit_size(len(targets))
    key = (dimension, Z[:size].tobytes(), targets[:size].tobytes(), doubts[:size].tobytes())
    if key in _CACHE:
        _CACHE.move_to_end(key)
        return _CACHE[key]
    chosen = _kept(targets[:size].mean(axis=1), _MOST_FITTED)
    some = targets[chosen]
    spread = some.std(axis=0)
    some = (some - some.mean(axis=0)) / np.where(spread > 1e-9, spread, 1.0)
    theta = gp.fit(Z[chosen], owners, some, gp.prior_mode(dimension), doubts=doubts[chosen])
    _CACHE[key] = theta
    if len(_CACHE) > _MOST_CACHED:
        _CACHE.popitem(last=False)
    return theta


def _relative(doubts: Floats, losses: Floats) -> Floats:
    """Variances of forecasts that stand for losses, as parts of the losses' own variance, (n,), at most 4."""
    variance = float(np.var(losses))
    return np.minimum(doubts**2 / variance, _MOST_DOUBT) if variance > 0 else np.zeros(len(losses))


_CACHE: OrderedDict[Any, gp.Hyperparameters] = OrderedDict()


def _fit_size(count: int) -> int:
    """The largest size of at most `count` at which hyperparameters are fitted."""
    if count <= 50:
        return count
    if count <= 200:
        return count - count % 3
    return count - count % (10 if count < 1000 else 100)


def _kept(losses: Floats, most: int) -> NDArray[np.intp]:
    """Which of the data, at most `most` of them, ascending: half the best, half the latest."""
    if len(losses) <= most:
        return np.arange(len(losses))
    best = np.argsort(losses, kind="stable")[: most // 2]
    rest = np.setdiff1d(np.arange(len(losses)), best)[-(most - len(best)) :]
    return np.sort(np.concatenate([best, rest]))


def log_shifted(losses: Floats) -> Floats:
    """ln of the distance to a little below the lowest: equal ratios near the best count equally."""
    low, median = losses.min(), np.median(losses)
    offset = 0.05 * (median - low)
    if offset <= 0:
        return gp.standardise(losses)
    return gp.standardise(np.log(losses - low + offset))


def copula(losses: Floats) -> Floats:
    """Normal scores of the ranks, Φ⁻¹((rank − ½) / n)."""
    return gp.standardise(ndtri((rankdata(losses) - 0.5) / len(losses)))


def standard(losses: Floats) -> Floats:
    """Standardised, with values far above the median drawn in to ten times its distance from the lowest."""
    low, median = losses.min(), np.median(losses)
    return gp.standardise(np.minimum(losses, low + 10.0 * (median - low)) if median > low else losses)


TRANSFORMS: dict[str, Callable[[Floats], Floats]] = {"standard": standard, "log": log_shifted, "copula": copula}
