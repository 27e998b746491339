"""Parzen estimators of mixed points: the density model of TPE. Arrays in, arrays out.

A point is a row of the unit cube. An estimator is a mixture with one component for each point that it was
fitted to and one that stands for the prior; a component is a product of one kernel a column:

- ordered columns: a Gaussian truncated to [0, 1]; where the column has few values, its mass in a value's cell;
- unordered columns: most of the mass on the component's category, the rest spread evenly; the prior's is uniform;
- a column that the component's point does not have is uniform, and one that the point scored does not
  have counts for nothing: which columns a point has follows from the others.

Source: Watanabe 2023, "Tree-structured Parzen estimator", arXiv 2304.11127, sections 3.3 and 3.4;
Bergstra et al. 2011, "Algorithms for hyper-parameter optimization".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

NARROWEST = 0.03
"""The least bandwidth, as a share of the range."""

_MOST_CELLS = 64
"""Ordered columns of more values are continuous: their cells are narrow beside every bandwidth."""
_TINY = 1e-300
_LOG_ROOT_2_PI = 0.5 * math.log(2.0 * math.pi)


@dataclass(frozen=True)
class Parzen:
    """A mixture of product kernels over the unit cube; the prior is the last component.

    centres: (n + 1, d), in [0, 1]. active: (n + 1, d), the columns that a component says something of.
    widths: (n + 1, d) > 0, standard deviations of the ordered columns before truncation.
    smoothing: (d,) > 0, what each category of an unordered column has beside the component's own.
    weights: (n + 1,) > 0, their sum is 1. sizes: (d,), the values of a column, 0 where it is continuous.
    unordered: (d,), columns of categories; they have a size.
    """

    centres: Floats
    active: Bools
    widths: Floats
    smoothing: Floats
    weights: Floats
    sizes: Ints
    unordered: Bools

    def sample(self, count: int, rng: np.random.Generator) -> Floats:
        """Points from the mixture, (count, d), in [0, 1]; values of a column with few are in its cells."""
        chosen = rng.choice(len(self.weights), size=count, p=self.weights)
        units = rng.random((count, self.centres.shape[1]))
        centres, widths, there = self.centres[chosen], self.widths[chosen], self.active[chosen]
        low, high = ndtr(-centres / widths), ndtr((1.0 - centres) / widths)
        bells = np.clip(centres + widths * ndtri(low + units * (high - low)), 0.0, 1.0)
        for column in np.flatnonzero(self.unordered):
            stays = rng.random(count) < 1.0 / (1.0 + self.sizes[column] * self.smoothing[column])
            bells[:, column] = np.where(stays, centres[:, column], units[:, column])
        return np.where(there, bells, units)

    def log_density(self, units: Floats, active: Bools) -> Floats:
        """Log of the mixture's density at points, (m,).

        units: (m, d), in [0, 1]. active: (m, d), the columns that each point has. Columns with
        up to 64 values, and categories, have a probability in place of a density.
        """
        total = np.tile(np.log(np.maximum(self.weights, _TINY)), (len(units), 1))
        for column in range(units.shape[1]):
            rows = np.flatnonzero(active[:, column])
            if rows.size == len(units):
                total += self._log_kernels(column, units[:, column])
            elif rows.size:
                total[rows] += self._log_kernels(column, units[rows, column])
        peak = total.max(axis=1)
        return np.asarray(peak + np.log(np.exp(total - peak[:, None]).sum(axis=1)))

    def _log_kernels(self, column: int, units: Floats) -> Floats:
        """Log of each component's kernel in one column, (m, n + 1)."""
        size, there = int(self.sizes[column]), self.active[:, column]
        if not self.unordered[column] and not 0 < size <= _MOST_CELLS:
            return np.where(there, self._log_bells(column, units), 0.0)
        cells, inverse = np.unique(cells_of(units, size), return_inverse=True)
        if self.unordered[column]:
            own = cells_of(self.centres[:, column], size) == cells[:, None]
            mass = category_kernel(own, size, float(self.smoothing[column]))
        else:
            mass = cell_kernel(cells, size, self.centres[:, column], self.widths[:, column])
        table = np.where(there, np.log(np.maximum(mass, _TINY)), -math.log(size))
        return np.asarray(table[inverse])

    def _log_bells(self, column: int, units: Floats) -> Floats:
        centres, widths = self.centres[:, column], self.widths[:, column]
        inside = ndtr((1.0 - centres) / widths) - ndtr(-centres / widths)
        scaled = (units[:, None] - centres) / widths
        return np.asarray(-0.5 * scaled * scaled - (np.log(widths * inside) + _LOG_ROOT_2_PI))


def fit(
    points: Floats, active: Bools, weights: Floats, prior: float, width: float, sizes: Ints, unordered: Bools
) -> Parzen:
    """The estimator of weighted points.

    points: (n, d), in [0, 1]. active: (n, d). weights: (n,) >= 0. prior: > 0, the prior's weight, in the unit of
    `weights`. width: > 0, see `bandwidths`. sizes, unordered: (d,), see Parzen.
    """
    count, dimension = points.shape
    everything = np.append(weights, prior)
    smoothing = np.zeros(dimension)
    smoothing[unordered] = 1.0 / (count + 1.0)
    return Parzen(
        centres=np.vstack([points, np.full((1, dimension), 0.5)]),
        active=np.vstack([active, ~unordered[None]]),
        widths=np.vstack([np.tile(bandwidths(active, width), (count, 1)), np.ones((1, dimension))]),
        smoothing=smoothing,
        weights=everything / everything.sum(),
        sizes=sizes,
        unordered=unordered,
    )


def bandwidths(active: Bools, width: float) -> Floats:
    """The bandwidth of each column, (d,), as a share of the range: c n^(-1/(d + 4)), clipped to [0.03, 1].

    active: (n, d), which columns the points have; n is counted by column. width: c, what a single point gets.
    Source: Scott 1992, "Multivariate density estimation"; Watanabe 2023, section 3.3.
    """
    counts = np.maximum(active.sum(axis=0), 1)
    return np.asarray(np.clip(width * counts ** (-1.0 / (active.shape[1] + 4.0)), NARROWEST, 1.0))


def improvement_weights(losses: Floats, threshold: float) -> Floats:
    """Weights of the better group, threshold - loss, (n,), with a mean of 1; equal where all are 0.

    losses: (n,), finite and at most `threshold`. Source: Watanabe 2023, section 3.2 (EI weights).
    """
    with np.errstate(over="ignore"):
        gains = np.maximum(threshold - losses, 0.0)
    largest = gains.max(initial=0.0)
    if not 0.0 < largest < math.inf:
        return np.ones(len(losses))
    gains = gains / largest
    return np.asarray(gains / gains.mean())


def category_kernel(own: Bools, size: int, smoothing: float) -> Floats:
    """Probability of a category under each component: (1[own] + w₀/K) / (1 + w₀), w₀/K = smoothing.

    own: whether it is the component's category. size: K. Returns the shape of `own`.
    """
    return np.asarray((own + smoothing) / (1.0 + size * smoothing))


def cell_kernel(cells: Ints, size: int, centres: Floats, widths: Floats) -> Floats:
    """Mass of truncated Gaussians in cells of [0, 1], (m, n).

    cells: (m,), in [0, size). centres, widths: (n,), in units of the range.
    """
    edges = np.arange(size + 1) / size
    below = ndtr((edges[:, None] - centres) / widths)
    return np.asarray((below[cells + 1] - below[cells]) / (below[-1] - below[0]))


def cells_of(units: Floats, size: int) -> Ints:
    """The cell of each unit, of `size` equal ones."""
    return np.minimum((units * size).astype(np.int64), size - 1)
