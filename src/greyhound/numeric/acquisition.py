"""Acquisition functions, in logarithms so that they keep a slope where they are tiny.

Source: Ament et al. 2023, "Unexpected improvements to expected improvement for Bayesian optimization", eqs. 5 to 9.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import erfcx, log_ndtr, ndtr

from greyhound.numeric.gp import Floats

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
_HALF_LOG_HALF_PI = 0.5 * math.log(0.5 * math.pi)


def log_expected_improvement(mean: Floats, std: Floats, best: float | Floats) -> Floats:
    """log EI for minimisation. mean, std: of the same shape, std > 0. best: what is to be undercut."""
    return np.log(std) + log_h((best - mean) / std)


def log_h(z: Floats) -> Floats:
    """log(φ(z) + z Φ(z)), accurate for every z: Ament et al. 2023, eq. 9."""
    z = np.asarray(z, float)
    out = np.empty_like(z)
    high, low = z > -1.0, z <= -1e6
    middle = ~(high | low)
    a = z[high]
    out[high] = np.log(np.exp(-0.5 * a * a - _HALF_LOG_2PI) + a * ndtr(a))
    b = z[middle]
    inside = np.log(-b * erfcx(-b / math.sqrt(2.0))) + _HALF_LOG_HALF_PI
    out[middle] = -0.5 * b * b - _HALF_LOG_2PI + _log1mexp(inside)
    c = z[low]
    out[low] = -0.5 * c * c - _HALF_LOG_2PI - 2.0 * np.log(-c)
    return out


def log_probability_below(mean: Floats, std: Floats, bound: float | Floats) -> Floats:
    """log Φ((bound − mean) / std)."""
    return log_ndtr((bound - mean) / std)  # type: ignore[no-any-return]


def _log1mexp(x: Floats) -> Floats:
    """log(1 − eˣ) for x < 0: Mächler 2012, eq. 7."""
    x = np.minimum(x, -1e-300)
    near = x > -math.log(2.0)
    out = np.empty_like(x)
    out[near] = np.log(-np.expm1(x[near]))
    out[~near] = np.log1p(-np.exp(x[~near]))
    return out
