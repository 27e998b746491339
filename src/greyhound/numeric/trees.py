"""Ensembles of regression trees with a mean and a standard deviation. Arrays in, arrays out.

- A forest of extremely randomised trees: the mean of its leaves, and the total variance of their mixture.
- Bagged gradient boosting: the mean of the members, and their spread, scaled to what each point's members that
  have not seen it got wrong.

Source: Geurts et al. 2006, "Extremely randomized trees"; total variance: Hutter et al. 2014, "Algorithm
runtime prediction", section 4.3.2; boosting: Friedman 2002, "Stochastic gradient boosting".
The trees are scikit-learn's, an optional dependency.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from greyhound._lazy import require
from greyhound.numeric.gp import drawn_in

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

EXTRA = "boosting"
"""The extra of greyhound-tune that brings scikit-learn."""

_FLOOR = 1e-3
"""The least standard deviation, in units of the targets' own."""
_MOST_STRETCH = 10.0
_FEW = 10
"""Below so many points each tree of a boosting sees all of its resample."""


@dataclass(frozen=True)
class Forest:
    """Fitted extra-trees, and the mean and variance of the targets in each of their leaves.

    means, variances: one array a tree, by node. floor: the least standard deviation.
    """

    trees: Sequence[Any]
    means: Sequence[Floats]
    variances: Sequence[Floats]
    floor: float

    def predict(self, features: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation at points, (m,) each, in units of the targets. features: (m, f)."""
        rows = np.ascontiguousarray(features, dtype=np.float32)
        leaves = [tree.apply(rows) for tree in self.trees]
        means = np.stack([mean[leaf] for mean, leaf in zip(self.means, leaves, strict=True)])
        variances = np.stack([spread[leaf] for spread, leaf in zip(self.variances, leaves, strict=True)])
        return total_moments(means, variances, self.floor)


@dataclass(frozen=True)
class Boosters:
    """Gradient boosting fitted to several resamples. stretch: factor that calibrates their spread, >= 1."""

    members: Sequence[Any]
    stretch: float
    floor: float

    def predict(self, features: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation at points, (m,) each, in units of the targets. features: (m, f)."""
        values = np.stack([member.predict(features) for member in self.members])
        mean, std = total_moments(values, np.zeros_like(values), self.floor)
        return mean, self.stretch * std


def fit_forest(features: Floats, targets: Floats, seed: int, *, trees: int = 50, leaf: int = 1) -> Forest:
    """Extra-trees on (n, f) features and (n,) targets, n >= 1.

    trees: how many. leaf: the least number of points in a leaf. MissingExtraError where scikit-learn is missing.
    """
    ensemble = require("sklearn.ensemble", EXTRA)
    model = ensemble.ExtraTreesRegressor(trees, min_samples_leaf=leaf, random_state=seed).fit(features, targets)
    grown = [member.tree_ for member in model.estimators_]
    return Forest(
        trees=grown,
        means=[tree.value[:, 0, 0] for tree in grown],
        variances=[np.maximum(tree.impurity, 0.0) for tree in grown],
        floor=_floor(targets),
    )


def fit_boosters(features: Floats, targets: Floats, seed: int, *, members: int = 5, rounds: int = 30) -> Boosters:
    """Gradient boosting on bootstrap resamples of (n, f) features and (n,) targets, n >= 1.

    members: how many resamples. rounds: trees of each. MissingExtraError where scikit-learn is missing.
    """
    ensemble = require("sklearn.ensemble", EXTRA)
    rng = np.random.default_rng(seed)
    fitted, guesses = [], np.full((members, len(targets)), np.nan)
    for at in range(members):
        rows = rng.integers(len(targets), size=len(targets))
        model = ensemble.GradientBoostingRegressor(
            n_estimators=rounds,
            max_depth=4,
            learning_rate=0.15,
            subsample=0.8 if len(targets) >= _FEW else 1.0,
            max_features=0.7,
            random_state=int(rng.integers(2**31)),
        ).fit(features[rows], targets[rows])
        fitted.append(model)
        unseen = np.setdiff1d(np.arange(len(targets)), rows)
        if unseen.size:
            guesses[at, unseen] = model.predict(features[unseen])
    floor = _floor(targets)
    return Boosters(fitted, stretch_of(guesses, targets, floor), floor)


def total_moments(means: Floats, variances: Floats, floor: float) -> tuple[Floats, Floats]:
    """Mean and standard deviation of the equal mixture of an ensemble's predictions, (m,) each.

    means, variances: (members, m), variances >= 0. floor: the least standard deviation, > 0.
    Total variance: mean(variance + mean²) − (mean of means)². Source: Hutter et al. 2014, section 4.3.2.
    """
    mean = means.mean(axis=0)
    spread = variances.mean(axis=0) + ((means - mean) ** 2).mean(axis=0)
    return mean, np.sqrt(np.maximum(spread, floor * floor))


def stretch_of(guesses: Floats, targets: Floats, floor: float) -> float:
    """The factor on the members' spread under which errors out of bag are as large as it tells, in [1, 10].

    The root of the mean squared error over the mean variance: by point, two members that happen to agree would decide.
    guesses: (members, n), NaN where a member has seen the point; points of under two guesses don't count.
    """
    rows = np.isfinite(guesses).sum(axis=0) >= 2
    if not rows.any():
        return _MOST_STRETCH
    mean = np.nanmean(guesses[:, rows], axis=0)
    variances = np.maximum(np.nanvar(guesses[:, rows], axis=0), floor * floor)
    errors = targets[rows] - mean
    return float(np.clip(np.sqrt(np.mean(errors * errors) / np.mean(variances)), 1.0, _MOST_STRETCH))


def log_shift(losses: Floats) -> Floats:
    """Losses on a scale that resolves the best, (n,), with mean 0 and standard deviation 1.

    ln(y − y_min + 0.05 (median − y_min)), standardised, of losses that `drawn_in` has brought near; the mean stands for
    a median that is the lowest itself, and ranks for losses that lie too far apart; 0 where all are equal.
    losses: (n,), finite, n >= 1.
    """
    with np.errstate(over="ignore"):
        losses = drawn_in(losses)
        low, high = losses.min(), losses.max()
        spread = high - low
    if not np.isfinite(spread):
        losses, low = np.asarray(np.searchsorted(np.sort(losses), losses) * 1.0), np.float64(0.0)
    elif spread == 0.0:
        return np.zeros(len(losses))
    above = (losses - low) / (losses.max() - low)
    logs = np.log(above + 0.05 * (np.median(above) or above.mean()))
    return np.asarray((logs - logs.mean()) / logs.std())


def success_rate(points: Floats, failed: Bools, features: Floats, width: float) -> Floats:
    """Chance that a trial succeeds, from how those nearby fared, (m,), in (0, 1).

    points: (n, f). failed: (n,). features: (m, f). width: of the Gaussian kernel, in units of the features.
    (½ + Σ k over successes) / (1 + Σ k over all): the Nadaraya-Watson estimate with one trial's worth of doubt.
    """
    near = np.exp(-0.5 * _squares(points, features) / width**2)
    return np.asarray((0.5 + near[:, ~failed].sum(axis=1)) / (1.0 + near.sum(axis=1)))


def log_apart(points: Floats, features: Floats, width: float) -> Floats:
    """log of Π (1 − exp(−d² / 2w²)) over the distances d to points, (m,): −inf at one of them, 0 far from all.

    points: (n, f). features: (m, f). width: w, in units of the features.
    """
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(-np.expm1(-0.5 * _squares(points, features) / width**2)).sum(axis=1))


def _squares(points: Floats, features: Floats) -> Floats:
    """Squared distances from features, (m, f), to points, (n, f): (m, n)."""
    squares = (features**2).sum(axis=1)[:, None] + (points**2).sum(axis=1) - 2.0 * features @ points.T
    return np.asarray(np.maximum(squares, 0.0))


def _floor(targets: Floats) -> float:
    return _FLOOR * (float(targets.std()) or 1.0)
