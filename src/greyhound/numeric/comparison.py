"""Several treatments measured on the same few seeds: intervals that hold for whichever is picked.

Row k, column j of `values` is treatment k on seed j: values = mean of k + effect of seed j + noise, the noise of
all rows alike and near Gaussian (two-way layout with one observation a cell, Scheffé 1959, ch. 4.2).

Who looks at several means and picks the best looks at a maximum of noise. Two remedies are here: intervals
that hold for all rows at once, and so for the one picked (Šidák 1967), and the value of the pick on seeds that
did not choose it (leave-one-out cross-validation, Stone 1974).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

_LARGE = 1e100
"""Squares and sums of more than this, as of losses that exploded, may be infinite; those of less than 1 / _LARGE, 0."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the interval around it; infinite ends where one seed leaves the noise unknown."""

    estimate: float
    low: float
    high: float


def intervals(values: Floats, level: float = 0.95) -> list[Interval]:
    """The mean of each row, with intervals that hold for all rows at once with probability `level`.

    values: (k, n). With noise s² per value, an interval is mean ± t_q,v s / √n, where q is the two-sided quantile for
    level^(1/k) (Šidák 1967) and v are Satterthwaite's (1946) degrees of freedom. One row: Student's interval.
    """
    if (scale := _scale(values)) != 1:
        found = intervals(values / scale, level)
        return [Interval(scale * each.estimate, scale * each.low, scale * each.high) for each in found]
    rows, seeds = values.shape
    means = values.mean(axis=1)
    variance, freedom = _noise(values)
    if seeds < 2:
        margin = np.inf
    else:
        quantile = float(stats.t.ppf((1 + level ** (1 / rows)) / 2, freedom))
        margin = quantile * float(np.sqrt(variance / seeds))
    return [Interval(float(mean), float(mean) - margin, float(mean) + margin) for mean in means]


def picked_by_others(losses: Floats) -> Floats:
    """On each seed the loss of the row that is best on all other seeds, (n,).

    losses: (k, n). Its mean is an unbiased estimate of what picking the best mean of n - 1 seeds gives. One
    seed chooses nothing: the mean of its rows.
    """
    rows, seeds = losses.shape
    if seeds < 2 or rows < 2:
        return np.asarray(losses.mean(axis=0))
    scaled = losses / _scale(losses)
    others = scaled.sum(axis=1, keepdims=True) - scaled
    return np.asarray(losses[others.argmin(axis=0), np.arange(seeds)])


def chances(losses: Floats, rng: np.random.Generator, draws: int = 20_000) -> Floats:
    """The chance that each row's true mean is the lowest, (k,), given the values and a flat prior.

    losses: (k, n). The seeds' effects are the same for all rows and drop out; the means' posterior is a multivariate t
    with (k - 1)(n - 1) degrees of freedom (Box and Tiao 1973, ch. 2.11 and 7), which is drawn from.
    """
    losses = losses / _scale(losses)
    rows, seeds = losses.shape
    if rows == 1:
        return np.ones(1)
    if seeds < 2:
        return np.full(rows, 1 / rows)
    variance, freedom = noise_within(losses)
    spread = np.sqrt(variance / seeds * freedom / rng.chisquare(freedom, draws))
    drawn = losses.mean(axis=1) + spread[:, None] * rng.standard_normal((draws, rows))
    lowest = drawn == drawn.min(axis=1, keepdims=True)
    return np.asarray((lowest / lowest.sum(axis=1, keepdims=True)).mean(axis=0))


def noise_within(values: Floats) -> tuple[float, float]:
    """Variance of one value about its row and its seed, and its degrees of freedom, at least one. values: (k, n)."""
    rows, seeds = values.shape
    freedom = max(1.0, (rows - 1.0) * (seeds - 1.0))
    return float(np.square(_without_seeds(values)).sum()) / freedom, freedom


def _scale(values: Floats) -> float:
    """What to divide values by so that their squares are finite, and not 0; 1 where they are."""
    largest = float(np.abs(values).max(initial=0.0))
    return largest if largest > _LARGE or 0 < largest < 1 / _LARGE else 1.0


def _noise(values: Floats) -> tuple[float, float]:
    """Variance of one value about its row's mean, the seed's effect included, and its degrees of freedom.

    It is the variance of the seeds' means plus (1 - 1/k) times that within seeds, which are independent.
    """
    rows, seeds = values.shape
    if seeds < 2:
        return np.inf, 1.0
    between = float((values - values[:, :1]).mean(axis=0).var(ddof=1))  # exactly 0 where all seeds give the same
    variance, freedom = noise_within(values)
    within = (1 - 1 / rows) * variance
    total = between + within
    if total <= 0:
        return 0.0, 1.0
    return total, total**2 / (between**2 / (seeds - 1) + within**2 / freedom)


def _without_seeds(values: Floats) -> Floats:
    """The residuals of the two-way layout, (k, n); exactly 0 where all seeds give the same."""
    values = values - values[:, :1]
    return np.asarray(values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean())
