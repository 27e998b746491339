"""Learning curves beneath their noise.

A curve is taken for a Gaussian process in the logarithm of its step, smooth or rougher and of any height, with noise
of one size on all of its values. One short curve hardly tells noise from movement, but those of a study are alike: each
says how likely every size of noise is, and of some ways in which curves may share the sizes that one is taken which
makes all of them likeliest. The curves of smooth trainings so stay as they are, to the digit. What lies far from its
curve is no noise either: a drop of the learning rate stays one.

Sources: posterior and marginal likelihood of the process: Rasmussen & Williams 2006, "Gaussian Processes for Machine
Learning", eq. 2.25 and 2.30, its covariances eq. 4.17; a distribution of sizes that makes all likeliest: Morris 1983,
"Parametric empirical Bayes inference", section 1.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from greyhound.curves.exploded import tamed
from greyhound.numeric.gp import matern52

Floats: TypeAlias = NDArray[np.float64]

_LENGTH = 2.8
"""The length scale, in logarithms of steps."""
_HEIGHTS = np.array([0.01, 0.05, 0.2, 0.7, 2.0])
"""Standard deviations of the process, in ranges of the curve."""
_SIZES = np.concatenate([[0.0], 2.0 ** np.arange(-7.0, 0.0)])
"""Standard deviations of the noise, in usual ranges of a curve; what is smaller does no harm."""
_CLEAR = 5.0
"""By how much the log likelihood must rise before there is noise at all."""
_RARE = 1e-3
"""Sizes that fewer curves have do not count."""
_FAR = 3.0
"""What lies so many times as far from its curve as half of all values do is no noise."""
_MOST = 100
"""So many curves are asked, of more every second, third and so on."""
_LEAST = 3
"""Steps that a curve needs, ..."""
_FEWEST = 20
"""... and all of them together."""
_TINY = 1e-12


def _shares() -> Floats:
    """What shares of curves may have each size, (c, J): about one size, closely or less so, and some none."""
    at = np.arange(1.0, len(_SIZES))
    found = []
    for middle, width, none in itertools.product(at, (0.5, 1.5), (0.02, 0.2, 0.5)):
        some = np.exp(-0.5 * ((at - middle) / width) ** 2)
        found.append(np.concatenate([[none], (1.0 - none) * some / some.sum()]))
    return np.array(found)


_SHARES = _shares()


@dataclass(frozen=True)
class Jitter:
    """How much the values of a curve shake from step to step.

    sizes: (J,), standard deviations, in units of the loss, rising from 0. shares: (J,), of the curves, > 0, sum 1.
    """

    sizes: Floats
    shares: Floats


STEADY = Jitter(np.zeros(1), np.ones(1))


def jitter(groups: Sequence[Floats]) -> Jitter:
    """Of curves of losses, finite, in groups of one length each, (m, n). What never moves or exploded tells nothing."""
    every = sum(map(len, groups)) // _MOST + 1
    telling = [group[_telling(group)][::every] for group in groups if group.shape[1] >= _LEAST and len(group)]
    moving = [group for group in telling if len(group)]
    if sum(group.size for group in moving) < _FEWEST:
        return STEADY
    sizes = _SIZES * float(np.concatenate([np.ptp(group, axis=1) for group in moving]).mean())
    log_likelihood = np.concatenate([_posterior(group, sizes)[0] for group in moving])
    log_likelihood -= log_likelihood.max(axis=1, keepdims=True)
    together = np.log(np.exp(log_likelihood) @ _SHARES.T + np.finfo(float).tiny).sum(axis=0)
    best = int(together.argmax())
    if together[best] < log_likelihood[:, 0].sum() + _CLEAR:
        return STEADY
    counts = _SHARES[best] > _RARE
    return Jitter(sizes[counts], _SHARES[best, counts] / _SHARES[best, counts].sum())


def _telling(group: Floats) -> NDArray[np.bool_]:
    """Which curves move and have not exploded, (m,)."""
    calm, _ = tamed(group, group[:0])
    return np.asarray((np.ptp(calm, axis=1) > 0.0) & (calm == group).all(axis=1))


def by_length(curves: Floats, lengths: NDArray[np.intp]) -> list[Floats]:
    """Curves in groups of one length each, (m, n). curves: (k, T), finite as far as `lengths`, (k,)."""
    return [curves[lengths == n, :n] for n in np.unique(lengths[lengths > 0]).tolist()]


def smoothed(curves: Floats, jitter: Jitter) -> Floats:
    """What the curves are beneath their jitter, (m, n). curves: (m, n), losses, finite. One that exploded stays."""
    if curves.shape[1] < _LEAST or len(jitter.sizes) == 1:
        return curves
    rows = np.flatnonzero(_telling(curves))
    seen = curves[rows]
    log_likelihood, each = _posterior(seen, jitter.sizes)
    weight = jitter.shares * np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    _, vectors = _components(curves.shape[1])
    turned = np.einsum("mj,mjkc->mkc", weight, each)
    beneath = seen.mean(axis=1, keepdims=True) + np.einsum("mkc,knc->mn", turned, vectors)
    reach = _FAR * float(np.median(np.abs(beneath - seen))) if len(rows) else 0.0
    smooth = curves.copy()
    smooth[rows] = np.clip(beneath, seen - reach, seen + reach)
    return smooth


def _posterior(curves: Floats, sizes: Floats) -> tuple[Floats, Floats]:
    """For each size of noise its log likelihood, (m, J), and the curve's components, see there, (m, J, kinds, n − 1).

    Both averaged over the kinds and heights of the process, by their likelihoods, which leave out what all sizes share.
    """
    unit = _power_of_two(float(sizes[-1]))
    curves, sizes = curves / unit, sizes / unit
    values, vectors = _components(curves.shape[1])
    turned = np.einsum("mn,knc->mkc", curves - curves.mean(axis=1, keepdims=True), vectors)[:, None, :, None]
    heights = np.ptp(curves, axis=1)[:, None] * _HEIGHTS
    movement = heights[:, None, None, :, None] ** 2 * values[:, None]
    variance = movement + sizes[:, None, None, None] ** 2
    density = -0.5 * (turned**2 / variance + np.log(variance)).sum(axis=4)
    highest = density.max(axis=(2, 3))
    weight = np.exp(density - highest[:, :, None, None])
    total = weight.sum(axis=(2, 3))
    weight /= total[:, :, None, None]
    return np.log(total) + highest, unit * np.einsum("mjkh,mjkhc->mjkc", weight, turned * (movement / variance))


def _power_of_two(size: float) -> float:
    """The next one below a size, > 0: dividing by it is exact, so that no forecast depends on its unit."""
    return 2.0 ** math.floor(math.log2(size))


@functools.lru_cache(maxsize=256)
def _components(n: int) -> tuple[Floats, Floats]:
    """Of processes of height 1 about their mean over n steps, a smooth kind and a rougher, the variances, (2, n − 1),
    and vectors, (2, n, n − 1), of their principal components."""
    at = np.log(np.arange(1.0, n + 1.0))[:, None] / _LENGTH
    apart = np.sqrt(3.0) * np.abs(at - at.T)
    both = np.stack([matern52(at, at), (1.0 + apart) * np.exp(-apart)])
    both = both - both.mean(axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(both - both.mean(axis=2, keepdims=True))
    return np.maximum(values[:, 1:], _TINY), vectors[:, :, 1:]
