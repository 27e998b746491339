"""Parametric shapes of learning curves, fitted to many curves at once.

Each family is y(k) = A + B φ(k), where φ falls towards 0:

    power        φ = k^(−c)                       pow3
    logarithmic  φ = ln 2 / ln(k + 1)             ilog2
    exponential  φ = e^(−(k − 1)/τ)
    janoschek    φ = e^(−((k − 1)/τ)^β)           Weibull growth

The shapes, c or τ and β, are on a grid. For each, A and B have a conjugate Normal-inverse-Gamma prior, so that fit,
forecast and evidence are closed formulas; the shapes of a family are averaged by their evidence.

Sources: the families: Domhan et al. 2015, "Speeding up automatic hyperparameter optimization of deep neural networks
by extrapolation of learning curves", table 1; the linear model: Bishop 2006, "Pattern Recognition and Machine
Learning", sec. 3.3 and 3.5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

_TAUS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
_DEGREES = 2.0
_NOISE = 0.03
"""Standard deviation of the noise that the prior expects, in ranges of the curve."""
_SPREAD = 4.0
"""Prior standard deviation of A, about the last value, and of B, in standard deviations of the noise."""


def _janoschek(k: Floats, tau: float, beta: float) -> Floats:
    return np.exp(-(((k - 1.0) / tau) ** beta))


_SHAPES: Mapping[str, Callable[[Floats], list[Floats]]] = {
    "power": lambda k: [k**-c for c in (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)],
    "logarithmic": lambda k: [np.log(2.0) / np.log(k + 1.0)],
    "exponential": lambda k: [_janoschek(k, tau, 1.0) for tau in _TAUS],
    "janoschek": lambda k: [_janoschek(k, tau, beta) for tau in _TAUS for beta in (0.5, 1.5)],
}
PARAMETRIC = tuple(_SHAPES)


def fitted(family: str, curves: Floats, weights: Floats, steps: Floats) -> Floats:
    """What the family expects of each curve at the steps, (m, h).

    curves: (m, n), finite, values after steps 1 to n. weights: (n,), how much each step counts, 0 or more. steps: (h,).
    """
    here = np.stack(_SHAPES[family](np.arange(1.0, curves.shape[1] + 1.0)))
    ahead = np.stack(_SHAPES[family](steps))
    last = curves[:, -1:]
    scale = np.maximum(np.ptp(curves, axis=1), 1e-12)[:, None]
    y = (curves - last) / scale
    # the posterior precision of (A, B) is [[s0, s1], [s1, s2]], the same for all curves, one for each shape
    s0 = weights.sum() + _SPREAD**-2
    s1 = here @ weights
    s2 = (here * here) @ weights + _SPREAD**-2
    t0 = (y @ weights)[:, None]
    t1 = (y * weights) @ here.T
    determinant = s0 * s2 - s1 * s1
    level, height = (s2 * t0 - s1 * t1) / determinant, (s0 * t1 - s1 * t0) / determinant
    squares = np.maximum(((y * y) @ weights)[:, None] - level * t0 - height * t1, 0.0)
    degrees = _DEGREES + weights.sum()
    evidence = -0.5 * np.log(determinant) - 0.5 * degrees * np.log(_DEGREES * _NOISE**2 + squares)
    share = np.exp(evidence - evidence.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    found: Floats = last + scale * ((share * level).sum(axis=1)[:, None] + (share * height) @ ahead)
    return found
