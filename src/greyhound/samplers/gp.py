"""Bayesian optimisation with a Gaussian process.

A process models each of several transforms of the losses: losses of trainings have long tails, and which transform
fits depends on the task. Each suggestion is the best under one of them, drawn with weights by how well each foretells
the order of the results, every one predicted from the others: one that stretches the differences of good results
stays near the best, one that does not looks further away, and in turns neither is stuck. Numbers are warped as fits
the results, so that a loss that turns steep towards an edge is followed there. Length scales are drawn
around the fitted ones, which few results leave uncertain: one set of them may never leave an optimum that it believes
in. Doubts are too small once hyperparameters are taken for known, so where trials are stopped early, and a look further
away is cheap, every other suggestion, by chance, doubts twice as much. Trials that run are believed to give what the
model expects of them. Where trials fail or there are limits, the chance that all goes well weighs the improvement: see
`feasibility`.

Sources: Jones et al. 1998, "Efficient global optimization"; transforms: Cowen-Rivers et al. 2022, "HEBO", and
the Gaussian copula of Salinas et al. 2020; warps: Snoek et al. 2014, "Input warping for Bayesian optimization of
non-stationary functions"; several sets of length scales: Snoek et al. 2012, "Practical Bayesian
optimization", section 3.2, where they are averaged over; wider doubts: Wang & de Freitas 2014, "Theoretical analysis of
Bayesian optimisation with unknown Gaussian process hyper-parameters", whose expected improvement has them;
feasibility: Gardner et al. 2014, "Bayesian optimization with inequality constraints", eq. 5; pending trials:
Ginsbourger et al. 2010, "Kriging is well-suited to parallelize optimization".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.special import log_ndtr, ndtri
from scipy.stats import rankdata

from greyhound.curves.exploded import tamed
from greyhound.errors import StudyError
from greyhound.numeric import gp, threads
from greyhound.numeric.acquisition import log_expected_improvement
from greyhound.samplers.base import Traits, key_of, start_size, tried_keys
from greyhound.samplers.cube import Cube, cube_of
from greyhound.samplers.feasibility import Feasibility
from greyhound.samplers.noise import loudness
from greyhound.samplers.picking import at_least
from greyhound.samplers.plateau import explores
from greyhound.samplers.priors import rank_correlation, trust
from greyhound.samplers.random import draw_new
from greyhound.samplers.results import Results, results
from greyhound.samplers.search import maximise
from greyhound.samplers.sobol import Sobol

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from greyhound.history import History
    from greyhound.numeric.gp import Bools, Floats, Layout

_MOST_POINTS = 300
"""Data that a process is conditioned on, at most: the best and the latest."""
_MOST_FITTED = 120
"""Data that hyperparameters are fitted on, at most."""
_MOST_CACHED = 64
_EVALUATIONS = 50
"""Evaluations of the posterior density in a fit, at most."""
_WARPED = 2
"""Numbers are warped from so many data for each dimension on: fewer would be fitted by anything."""
_SHARPNESS = 0.15
"""How fast weights of transforms fall with their score, a datum."""
_LEAST_WEIGHT = 0.01
"""The weight, beside the best's, below which a transform is left out."""
_SCREENED = 150
"""From so many data on fewer configurations are screened, as each takes longer."""
_SPREAD = 0.5
"""Standard deviation of the logarithms of length scales about the fitted ones."""
_WIDE = 2.0
"""Where trials are stopped early half of the suggestions take doubts for so many times what they are."""
_FEWEST_KNOWN = 5
_SHRUNK = 5.0
"""The trials of an earlier study that can be modelled, at least; and so many trials' weight has the belief in it."""
_MOST_DOUBT = 4.0


@dataclass(frozen=True)
class GP:
    """A Gaussian process with log expected improvement.

    transforms: of the losses, among "standard", "log" and "copula". start: trials of a Sobol sequence
    before the model speaks; by default d + 1 of them, from 5 to 20, at most a fifth of the budget. candidates: random
    configurations that each search of the acquisition begins with, at least 1.
    """

    transforms: tuple[str, ...] = ("standard", "log", "copula")
    start: int | None = None
    candidates: int = 1000
    traits: ClassVar[Traits] = Traits(model=True)

    def __post_init__(self) -> None:
        check_options("gp", self.transforms, self.start, self.candidates)

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
            seen |= set(map(key_of(history), found))
        if len(found) < min(early, count) or len(found) == count:
            return found
        with threads.one():
            model = Model(history, cube, data, self.transforms)
            taken = set(cube.keys(history.X))
            while len(found) < count:
                drawn = draw_new(history, rng, seen) if explores(data, rng) else None
                model.draw(rng)
                params = drawn or self._next(history, cube, model, taken, seen, rng)
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
            model.draw(np.random.default_rng([history.seed, len(history)]))
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
        count = round(self.candidates * min(1.0, _SCREENED / model.size))
        key_in = key_of(history)
        ranked = maximise(model.score, cube, model.anchors, rng, max(1, count))
        for row, key in zip(ranked, cube.keys(ranked), strict=True):
            if key in taken:
                continue
            params = cube.params(row)
            if seen is not None:
                if (known := key_in(params)) in seen:
                    continue
                seen.add(known)
            taken.add(key)
            model.believe(row)
            return params
        return draw_new(history, rng, seen)


class Model:
    """What is believed of a study: a process for each transform, one for success, and what to beat.

    The transform that speaks is the one with most weight until `draw` chooses another.
    """

    def __init__(self, history: History, cube: Cube, data: Results, transforms: Sequence[str]) -> None:
        self._cube = cube
        X, active = history.X, history.active
        self._trust = trust(history, cube.log_prior(X[data.known]), data.losses)
        self._layout = cube.layout(active)
        losses = data.losses
        kept = _kept(losses, _MOST_POINTS)
        Z = self._layout.embed(X[data.known], active[data.known])
        self._trend = Trend(history, cube, X[data.known], losses)
        trend = self._trend(X[data.known])
        within = np.isin(data.known[kept], data.feasible)
        noise = (_relative(data.doubts, losses), loudness(history, data.known))
        views = [View(name, Z, self._layout, losses, trend, kept, within, noise) for name in transforms]
        weights = _weights([view.order_score(losses[kept]) for view in views], len(kept))
        self._views = [view for view, weight in zip(views, weights, strict=True) if weight]
        self._weights = weights[weights > 0]
        self._view = self._views[int(self._weights.argmax())]
        self._any_within = bool(within.any())
        self.size = len(kept)
        self._feasible = Feasibility(history, data, self._layout) if history.limits or len(data.failed) else None
        order = np.argsort(losses, kind="stable")
        good = data.known[order][~np.isin(data.known[order], data.failed)] if len(data.feasible) else data.known[order]
        self.anchors = X[good[:10]]
        for number in data.pending[-32:]:
            self.believe(X[number], active[number][None])

    def draw(self, rng: np.random.Generator) -> None:
        """Let one of the transforms speak, drawn by weight, with length scales drawn around its fitted ones."""
        self._view = self._views[int(rng.choice(len(self._views), p=self._weights))]
        self._view.draw(rng)

    def score(self, rows: Floats) -> Floats:
        """log of the acquisition at snapped rows."""
        active = self._cube.activity(rows)
        scores = self._trust * self._cube.log_prior(rows)
        if self._any_within:
            Z = self._layout.embed(rows, active)
            scores = scores + self._view.log_gain(Z, self._trend(rows))
        if self._feasible is not None:
            scores = scores + self._feasible.log_chance(rows, active)
        return scores

    def believe(self, row: Floats, active: Bools | None = None) -> None:
        """Take the model's own expectation for the result of a configuration that is being tried."""
        active = self._cube.activity(row[None]) if active is None else active
        Z = self._layout.embed(row[None], active)
        for view in self._views:
            view.believe(Z)


class View:
    """A process over one transform of the losses.

    Z: (n, p), of the layout's `embed`, of all results. losses, trend: (n,), of them; the trend is taken off the
    transformed losses. kept: which of the results the process is conditioned on; within: which of those keep to the
    limits. noise: (n,) twice, the variances of forecasts that stand for losses, and how many times the usual noise
    each one has.
    """

    def __init__(
        self,
        transform: str,
        Z: Floats,
        layout: Layout,
        losses: Floats,
        trend: Floats,
        kept: NDArray[np.intp],
        within: Bools,
        noise: tuple[Floats, Floats],
    ) -> None:
        self._layout = layout
        early = _fit_size(len(losses))
        past = TRANSFORMS[transform](losses[:early]) - trend[:early]
        doubts, loud = noise
        self._fit = self._theta = _fitted(Z[:early], layout, past[:, None], doubts[:early])
        targets = TRANSFORMS[transform](losses) - trend
        self._Z, self._targets, self._trend = Z[kept], targets[kept, None], trend[kept]
        self._doubts, self._loudness = doubts[kept], loud[kept]
        self._widens, self._width = bool(doubts.any()), 1.0
        self._rivals = within | ~within.any()
        self._condition()
        self._best = self._believed_best()

    def log_gain(self, Z: Floats, trend: Floats) -> Floats:
        """log of the expected improvement over the best result, in standard deviations of the targets, (q,)."""
        means, stds = self._process.predict(Z)
        return log_expected_improvement(means[:, 0] + trend, self._width * stds[:, 0], self._best)

    def order_score(self, losses: Floats) -> float:
        """Mean log probability of the true order of pairs of results, each predicted without itself; at most 0."""
        means, stds = self._process.without(self._targets)
        means, variances = means[:, 0] + self._trend, stds[:, 0] ** 2
        lower = losses[:, None] < losses[None, :]
        apart = (means[None, :] - means[:, None]) / np.sqrt(variances[:, None] + variances[None, :])
        return float(log_ndtr(apart[lower]).mean()) if lower.any() else 0.0

    def draw(self, rng: np.random.Generator) -> None:
        """Take length scales near the fitted ones and, where trials are stopped early, often wider doubts."""
        around = _SPREAD * rng.standard_normal(len(self._fit.log_lengths))
        self._theta = replace(self._fit, log_lengths=self._fit.log_lengths + around)
        self._width = _WIDE if self._widens and rng.random() < 0.5 else 1.0
        self._condition()
        self._best = self._believed_best()

    def believe(self, Z: Floats) -> None:
        """Take what is expected at one more row for its result."""
        expected, _ = self._process.predict(Z)
        self._Z = np.concatenate([self._Z, Z])
        self._targets = np.concatenate([self._targets, expected])
        self._doubts, self._loudness = np.append(self._doubts, 0.0), np.append(self._loudness, 1.0)
        self._condition()

    def _condition(self) -> None:
        self._process = gp.condition(self._Z, self._layout, self._targets, self._theta, self._doubts, self._loudness)

    def _believed_best(self) -> float:
        """What to beat: the lowest mean at results; beliefs, which are means themselves, do not move it."""
        known = self._process.at_data()[: len(self._trend), 0] + self._trend
        return float(known[self._rivals].min())


def _weights(scores: Sequence[float], count: int) -> Floats:
    """Chances of the transforms: the better a transform foretells which of two results is lower, the more it counts."""
    weights = np.exp(_SHARPNESS * count * (np.asarray(scores) - max(scores)))
    weights[weights < _LEAST_WEIGHT] = 0.0
    return np.asarray(weights / weights.sum())


class Trend:
    """What earlier studies make of a configuration: the mean that the process takes its data from.

    Each source has a process of its own on the normal scores of its losses. It counts with the rank correlation
    between what it predicts and what was found, shrunk to ½ as if five trials had said so: a source that does
    not fit is dropped after a few trials. X: (n, d), with results. losses: (n,).
    """

    def __init__(self, history: History, cube: Cube, X: Floats, losses: Floats) -> None:
        self._cube, self._sources = cube, []
        self._layout = cube.layout(np.ones((0, cube.dimension), bool))
        for known in history.settings.known if history.settings else ():
            if len(known.losses) < _FEWEST_KNOWN:
                continue
            rows = cube.rows(known.params)
            Z = self._layout.embed(rows, cube.activity(rows))
            targets = copula(np.asarray(known.losses))[:, None]
            process = gp.condition(Z, self._layout, targets, _fitted(Z, self._layout, targets))
            fit = rank_correlation(self._predict(process, X), losses)
            weight = (len(losses) * fit + _SHRUNK * 0.5) / (len(losses) + _SHRUNK)
            if weight > 0:
                self._sources.append((weight, process))

    def __call__(self, rows: Floats) -> Floats:
        """The mean over the sources, weighted, at snapped rows, (n,); 0 without any."""
        total = np.zeros(len(rows))
        for weight, process in self._sources:
            total += weight / len(self._sources) * self._predict(process, rows)
        return total

    def _predict(self, process: gp.Posterior, rows: Floats) -> Floats:
        Z = self._layout.embed(rows, self._cube.activity(rows))
        return np.asarray(process.predict(Z)[0][:, 0])


def _fitted(Z: Floats, layout: Layout, targets: Floats, doubts: Floats | None = None) -> gp.Hyperparameters:
    """Hyperparameters for data, from the cache where these were fitted before."""
    doubts = np.zeros(len(Z)) if doubts is None else doubts
    key = (layout, Z.tobytes(), targets.tobytes(), doubts.tobytes())
    if key in _CACHE:
        _CACHE.move_to_end(key)
        return _CACHE[key]
    chosen = _kept(targets.mean(axis=1), _MOST_FITTED)
    some = targets[chosen]
    spread = some.std(axis=0)
    some = (some - some.mean(axis=0)) / np.where(spread > 1e-9, spread, 1.0)
    warps = int(layout.to_warp.sum()) if len(chosen) >= _WARPED * len(layout) else 0
    start = gp.prior_mode(len(layout), warps)
    theta = gp.fit(Z[chosen], layout, some, start, evaluations=_EVALUATIONS, doubts=doubts[chosen])
    _CACHE[key] = theta
    if len(_CACHE) > _MOST_CACHED:
        _CACHE.popitem(last=False)
    return theta


def _relative(doubts: Floats, losses: Floats) -> Floats:
    """Variances of forecasts that stand for losses, as parts of the losses' own variance, (n,), at most 4.

    A loss that exploded counts as the worst that has not: by its size every doubt would be nothing.
    """
    calm, _ = tamed(losses[:, None], np.empty((0, 1)))
    variance = float(np.var(calm))
    return np.minimum(doubts**2 / variance, _MOST_DOUBT) if variance > 0 else np.zeros(len(losses))


_CACHE: OrderedDict[Any, gp.Hyperparameters] = OrderedDict()


def _fit_size(count: int) -> int:
    """The largest size of at most `count` at which hyperparameters are fitted.

    A fit is dear, so from 50 trials on the last one serves for some trials more: still a function of the data alone.
    """
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
    """ln of the distance to a little below the lowest: equal ratios near the best count equally.

    What lies far out even so has exploded, and counts as the worst that has not: it would hide all other differences.
    """
    low, median = losses.min(), np.median(losses)
    offset = 0.05 * (median - low)
    if offset <= 0:
        return gp.standardise(losses)
    logs = np.log(losses - low + offset)
    calm, _ = tamed((logs - logs.min())[:, None], np.empty((0, 1)))
    return gp.standardise(calm[:, 0])


def copula(losses: Floats) -> Floats:
    """Normal scores of the ranks, Φ⁻¹((rank − ½) / n)."""
    return gp.standardise(ndtri((rankdata(losses) - 0.5) / len(losses)))


def standard(losses: Floats) -> Floats:
    """Standardised, with values far above the median drawn in."""
    return gp.standardise(gp.drawn_in(losses))


TRANSFORMS: dict[str, Callable[[Floats], Floats]] = {"standard": standard, "log": log_shifted, "copula": copula}


def check_options(sampler: str, transforms: Any, start: object, candidates: object) -> None:
    """StudyError where an option of a sampler with processes is none: transforms, a start of 0 or more, candidates."""
    several = isinstance(transforms, list | tuple) and transforms
    if not several or any(name not in list(TRANSFORMS) for name in transforms):
        raise StudyError(
            f"{sampler}: transforms must be a list of some of {', '.join(TRANSFORMS)}; got {transforms!r}."
        )
    if start is not None:
        at_least(sampler, "start", start, 0)
    at_least(sampler, "candidates", candidates, 1)
