"""The expected hypervolume improvement, exactly and in logarithms, for independent Gaussian objectives.

What a front leaves undominated is cut into boxes; a new point y gains the part of each box [l, u] that it dominates,
Π_j (min(u_j, ·) − max(l_j, y_j)), whose expectation is Π_j (EI_j(u_j) − EI_j(l_j)) with EI_j(b) = E[max(0, b − y_j)].
Their sum is the improvement. All objectives are to be minimised.

Sources: the formula: Yang et al. 2019, "Efficient computation of expected hypervolume improvement using box
decomposition algorithms", sec. 4; the boxes: Lacour, Klamroth & Fonseca 2017, "A box decomposition algorithm to compute
the hypervolume indicator", sec. 3.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from greyhound.numeric.acquisition import log_h
from greyhound.numeric.gp import Floats

_MOST_POINTS = {1: 1, 2: 200, 3: 80, 4: 25, 5: 12}
_MOST_POINTS_OF_MANY = 8
"""Points of a front that are cut into boxes, at most, by the number of objectives: of more there are more boxes."""


def log_expected_improvement(means: Floats, stds: Floats, lower: Floats, upper: Floats) -> Floats:
    """log of the expected hypervolume improvement, (q,).

    means, stds: (q, m), of the objectives, stds > 0. lower, upper: (b, m), of `undominated`.
    """
    total = np.zeros((len(means), len(lower)))
    for j in range(means.shape[1]):
        bounds, at = np.unique(np.concatenate([lower[:, j], upper[:, j]]), return_inverse=True)
        below, above = at[: len(lower)], at[len(lower) :]
        mean, std = means[:, j, None], stds[:, j, None]
        finite = np.where(np.isfinite(bounds), bounds, 0.0)
        gains = np.where(np.isfinite(bounds), np.log(std) + log_h((finite - mean) / std), -np.inf)
        high, low = gains[:, above], gains[:, below]
        with np.errstate(divide="ignore"):
            total += high + np.log(-np.expm1(np.minimum(low - high, 0.0)))
    return np.asarray(logsumexp(total, axis=1))


def few(front: Floats) -> Floats:
    """So many points of a front, (n, m), as can be cut into boxes at once: evenly over the first objective's order."""
    ordered = np.unique(front, axis=0)
    most = _MOST_POINTS.get(front.shape[1], _MOST_POINTS_OF_MANY)
    if len(ordered) <= most:
        return ordered
    return np.asarray(ordered[np.linspace(0, len(ordered) - 1, most).round().astype(np.intp)])


def undominated(front: Floats, reference: Floats) -> tuple[Floats, Floats]:
    """Disjoint boxes that cover what lies before the reference point and no point of the front dominates.

    front: (n, m), finite. reference: (m,). Returns lower and upper corners, (b, m) each; lower ones may be −∞.
    """
    corners, _ = _upper_bounds(front, reference)
    turned, defining = _upper_bounds(-corners, np.full(len(reference), np.inf))
    m = len(reference)
    low = np.empty((len(turned), m))
    high = np.empty((len(turned), m))
    low[:, 0], high[:, 0] = defining[:, 0, 0], np.inf
    for j in range(1, m):
        low[:, j], high[:, j] = defining[:, :j, j].max(axis=1), turned[:, j]
    solid = (low < high).all(axis=1)
    return -high[solid], -low[solid]


def _upper_bounds(points: Floats, reference: Floats) -> tuple[Floats, Floats]:
    """The local upper bounds of points, (k, m), and the points that define their components, (k, m, m).

    What the points leave undominated before the reference is what lies before at least one of the bounds.
    Source: Lacour et al. 2017, algorithm 1, with the defining points of eq. 8.
    """
    m = len(reference)
    bounds = reference[None].astype(float)
    dummies = np.full((m, m), -np.inf)
    dummies[np.diag_indices(m)] = reference
    defining = dummies[None]
    off_diagonal = ~np.eye(m, dtype=bool)
    for point in np.unique(points, axis=0):
        hit = (point < bounds).all(axis=1)
        if not hit.any():
            continue
        new_bounds, new_defining = [bounds[~hit]], [defining[~hit]]
        inner, chosen = bounds[hit], defining[hit]
        for j in range(m):
            kept = point[j] >= chosen[:, off_diagonal[j], j].max(axis=1, initial=-np.inf)
            moved, told = inner[kept].copy(), chosen[kept].copy()
            moved[:, j] = point[j]
            told[:, j] = point
            new_bounds.append(moved)
            new_defining.append(told)
        bounds, defining = np.concatenate(new_bounds), np.concatenate(new_defining)
    return bounds, defining
