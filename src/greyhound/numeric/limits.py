"""By how much limits are broken, several of them in one number."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def breach(violations: Floats) -> Floats:
    """By how much each of n points breaks k limits, (n,), >= 0, each limit in units of its worst breach.

    violations: (n, k), >= 0. What was not measured, NaN, breaks nothing.
    """
    over = np.nan_to_num(violations, nan=0.0).clip(max=1e300)
    worst = over.max(axis=0, initial=0.0)
    return np.asarray((over / np.where(worst > 0, worst, 1.0)).sum(axis=1))
