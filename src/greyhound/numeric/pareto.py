"""Points of several losses, all to be minimised: who dominates whom, and how much room a set of points takes.

Domination and hypervolumes are moocore's; crowding: Deb et al. 2002, "A fast and elitist multiobjective genetic
algorithm: NSGA-II", sec. III-B.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from greyhound.numeric.gp import Bools, Floats

_BEYOND = 0.1
"""How far the reference point lies behind the worst of a front, as a share of the front's extent."""
_LARGE = 1e300
_MOST_OBJECTIVES = 5
"""Exact contributions to the hypervolume of more objectives take too long; crowding stands in for them."""


def nondominated(losses: Floats) -> Bools:
    """Which points no other dominates, (n,); of equal points all. losses: (n, m), finite."""
    if losses.shape[1] == 1 or not len(losses):
        return np.asarray((losses == losses.min(axis=0, initial=np.inf)).all(axis=1), bool)
    import moocore

    return np.asarray(moocore.is_nondominated(losses, keep_weakly=True), bool)


def ranks(losses: Floats) -> NDArray[np.int64]:
    """The front that each point is on, (n,), 0 the best. losses: (n, m), finite."""
    import moocore

    return np.asarray(moocore.pareto_rank(losses), np.int64) if len(losses) else np.zeros(0, np.int64)


def hypervolume(losses: Floats, reference: Floats) -> float:
    """The volume between points, (n, m), and a reference, (m,), that they dominate; points beyond it count nothing."""
    import moocore

    inside = losses[(losses < reference).all(axis=1)]
    return float(moocore.hypervolume(inside, ref=reference)) if len(inside) else 0.0


def contributions(losses: Floats) -> Floats:
    """By how much the hypervolume of a front would shrink without each point, (n,), from 0 to 1, the largest 1.

    losses: (n, m), none dominated. The reference point lies a tenth of the front's extent behind its worst corner.
    """
    import moocore

    scaled = unit(losses)
    if losses.shape[1] > _MOST_OBJECTIVES:
        shares = np.minimum(crowding(losses), float(losses.shape[1]))
    else:
        shares = np.asarray(moocore.hv_contributions(scaled, ref=np.full(losses.shape[1], 1.0 + _BEYOND)), float)
    largest = shares.max(initial=0.0)
    return shares / largest if largest > 0 else np.ones(len(losses))


def crowding(losses: Floats) -> Floats:
    """The crowding distance of each point of a front, (n,), infinite at the ends of an objective. losses: (n, m)."""
    distance = np.zeros(len(losses))
    for column in unit(losses).T:
        order = np.argsort(column, kind="stable")
        distance[order[[0, -1]]] = np.inf
        distance[order[1:-1]] += column[order[2:]] - column[order[:-2]]
    return distance


def costs(losses: Floats) -> Floats:
    """One number for each point, (n,), the lower the better: its front, less its share in that front's hypervolume.

    losses: (n, m), finite. On one front costs lie within 1 of each other, so that a better front always goes first.
    Source: the order of Ozaki et al. 2022, "Multiobjective tree-structured Parzen estimator", sec. 4.
    """
    fronts = ranks(losses)
    found = fronts.astype(float)
    for front in range(int(fronts.max(initial=-1)) + 1):
        on = fronts == front
        found[on] -= 0.999 * contributions(losses[on])
    return found


def unit(losses: Floats) -> Floats:
    """Each objective brought to [0, 1] over the points, 0 where it is the same at all."""
    losses = np.where(np.abs(losses).max(axis=0) > _LARGE, losses / 4, losses)  # so that no difference is infinite
    low, high = losses.min(axis=0), losses.max(axis=0)
    spread = np.where(high > low, high - low, 1.0)
    return np.asarray((losses - low) / spread)
