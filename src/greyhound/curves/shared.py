"""What the curves of one study say about each other: a model of where the families' average is wrong.

For the curves that reached the step in question, the error of the average is known. A Gaussian process learns it
from what the curve looked like so far (its last value, how it changed lately) and from the configuration, and
corrects the others. Its length scales, how much the configuration counts and the noise are not fitted but averaged
over a grid by their evidence, together with two plain models: that the average is right, and that it is wrong by the
same amount everywhere. What all errors share is expected to be small beside what sets them apart: one finished
training, which may have gone astray, does not move every forecast. So three finished trainings are enough to
learn from, and twenty are learned from well.

Source: Rasmussen & Williams 2006, "Gaussian Processes for Machine Learning", eq. 2.25 and 2.41 for the process with a
constant mean whose height has a Gaussian prior; its variance integrated out: Shah et al. 2014, eq. 6.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from greyhound.numeric.gp import matern52

Floats: TypeAlias = NDArray[np.float64]

_LENGTHS = (0.5, 1.0, 2.0)
_CONFIGURATION = (0.0, 0.25, 0.5, 1.0)
"""How much the unit cube of the configuration counts beside the standardised looks of the curve."""
_NOISE = np.array([0.01, 0.1, 0.5])
"""Variances of noise, as parts of the signal's."""
_DEGREES = 4.0
_PRIOR_COUNT = 3.0
"""The prior scale counts as much as so many curves."""
_SHARED = 3.0
"""The prior precision of what all errors share, as a part of that of each."""
_OUTLIER = 5.0
_STRANGER = 3.0
"""As _OUTLIER, in prior scales, for errors too few to have a spread of their own."""
_MOST = 60
_SMALLEST = 1e-9


def corrections(
    curves: Floats, X: Floats, known: Floats, known_X: Floats, errors: Floats, scale: float
) -> tuple[Floats, Floats]:
    """What is to be added to the average, and the standard deviation of what is left; both (m,).

    curves: (m, n), and known: (k, n), finite, up to the same step. X: (m, d), known_X: (k, d), configurations in the
    unit cube; d may be 0. errors: (k,), truth minus average of the known. scale: what such errors are expected to be.
    """
    scale = max(scale, _SMALLEST)
    known, known_X, errors = known[-_MOST:], known_X[-_MOST:], errors[-_MOST:]
    count = len(errors)
    if not count:
        return np.zeros(len(curves)), np.full(len(curves), scale)
    middle = np.median(errors)
    if count > 3:
        spread = max(1.4826 * float(np.median(np.abs(errors - middle))), 1e-3 * scale, _SMALLEST)
        errors = np.clip(errors, middle - _OUTLIER * spread, middle + _OUTLIER * spread)
    else:
        spread = scale
        errors = np.clip(errors, -_STRANGER * scale, _STRANGER * scale)
    expected = (_PRIOR_COUNT * scale + count * spread) / (_PRIOR_COUNT + count)
    pull = _DEGREES * expected**2
    looks, known_looks = _looks(curves, known)
    models = [_never(errors, pull, len(curves)), _always(errors, pull, len(curves))]
    for weight in _CONFIGURATION:
        at, known_at = np.hstack([looks, weight * X]), np.hstack([known_looks, weight * known_X])
        for length in _LENGTHS:
            near = matern52(known_at / length, known_at / length)
            models.append(_process(near, matern52(at / length, known_at / length), errors, pull))
    evidence, means, variances = (np.concatenate(parts) for parts in zip(*models, strict=True))
    share = np.exp(evidence - evidence.max())
    share /= share.sum()
    mean = share @ means
    return mean, np.sqrt(share @ (variances + (means - mean) ** 2))


Model: TypeAlias = tuple[Floats, Floats, Floats]
"""Log evidence (c,), means (c, m), variances (c, m)."""


def _process(near: Floats, cross: Floats, errors: Floats, pull: float) -> Model:
    """The process for each noise. near: (k, k), cross: (m, k), correlations."""
    count = len(errors)
    values, vectors = np.linalg.eigh(near)
    turned, ones, across = errors @ vectors, vectors.sum(axis=0), cross @ vectors
    inverse = 1.0 / (np.maximum(values, 0.0) + _NOISE[:, None])
    precision = inverse @ (ones * ones) + _SHARED
    heights = (inverse @ (ones * turned)) / precision
    left = turned - heights[:, None] * ones
    squares = (inverse * left * left).sum(axis=1) + _SHARED * heights**2 + pull
    degrees = count + _DEGREES
    evidence = 0.5 * (np.log(inverse).sum(axis=1) - np.log(precision / _SHARED) - degrees * np.log(squares))
    means = heights[:, None] + (inverse * left) @ across.T
    unknown = 1.0 + _NOISE[:, None] - inverse @ (across * across).T
    unknown += (1.0 - (inverse * ones) @ across.T) ** 2 / precision[:, None]
    return evidence, means, (squares / degrees)[:, None] * np.maximum(unknown, _NOISE[:, None])


def _always(errors: Floats, pull: float, curves: int) -> Model:
    """The average is wrong by the same amount everywhere."""
    weight, degrees = len(errors) + _SHARED, len(errors) + _DEGREES
    mean = errors.sum() / weight
    squares = ((errors - mean) ** 2).sum() + _SHARED * mean**2 + pull
    evidence = -0.5 * (degrees * np.log(squares) + np.log(weight / _SHARED))
    variance = squares / degrees * (1.0 + 1.0 / weight)
    return np.array([evidence]), np.full((1, curves), mean), np.full((1, curves), variance)


def _never(errors: Floats, pull: float, curves: int) -> Model:
    """The average is right."""
    squares, degrees = (errors * errors).sum() + pull, len(errors) + _DEGREES
    evidence = -0.5 * degrees * np.log(squares)
    return np.array([evidence]), np.zeros((1, curves)), np.full((1, curves), squares / degrees)


def _looks(curves: Floats, known: Floats) -> tuple[Floats, Floats]:
    """The last value and the changes over the newest half and quarter, in quarters of the spread of all curves."""
    both = np.concatenate([curves, known])
    n = both.shape[1]
    back = [n // 2 + 1, max(1, n // 4) + 1] if n > 2 else [n] if n > 1 else []
    looks = np.stack([both[:, -1], *(both[:, -1] - both[:, -steps] for steps in back)], axis=1)
    middle = np.median(looks, axis=0)
    spread = np.maximum(1.4826 * np.median(np.abs(looks - middle), axis=0), 0.25 * looks.std(axis=0)) + _SMALLEST
    looks = np.clip((looks - middle) / spread, -3.0, 3.0) / 4.0
    return looks[: len(curves)], looks[len(curves) :]
