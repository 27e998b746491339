"""Quantiles of Student's t distribution, by which an interval from few points is as wide as it should be.

Source: Abramowitz & Stegun 1964, 26.7.3 and 26.7.4: finite sums for a whole number of degrees of freedom.
"""

from __future__ import annotations

import math

import numpy as np

from greyhound.errors import GreyError

_WIDEST = 1e9
_HALVINGS = 100


def two_sided(t: float, freedom: int) -> float:
    """The probability that |T| <= t, t >= 0, for `freedom` >= 1 degrees of freedom."""
    angle = math.atan(t / math.sqrt(freedom))
    cosine = math.cos(angle)
    odd = freedom % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for number in range(1 + odd, freedom, 2):
        total += term
        term *= cosine**2 * number / (number + 1)
    total *= math.sin(angle)
    return (2 / math.pi) * (angle + total) if odd else total


def half_width(level: float, freedom: int) -> float:
    """The t for which |T| <= t has the probability `level`, by bisection. Raises GreyError unless 0 < level < 1."""
    if not (isinstance(level, int | float | np.integer | np.floating) and 0 < level < 1):
        raise GreyError(f"level: expected a probability between 0 and 1, like 0.9; got {level!r}.")
    low, high = 0.0, _WIDEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if two_sided(middle, freedom) < level:
            low = middle
        else:
            high = middle
    return high
