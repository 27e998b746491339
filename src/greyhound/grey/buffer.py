"""The weakening buffer operator: an early jump in a series is damped before a model is fitted to it.

Source: Liu, The three axioms of buffer operator and their application, Journal of Grey System 3, 1991;
Liu & Lin 2006, section on buffer operators.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from greyhound.grey.base import Series, check_series, check_steps


def weaken(series: ArrayLike, times: int = 1) -> Series:
    """Each value replaced by the mean of it and all later ones, `times` times, (n,); the last value stays.

    The average weakening buffer operator (AWBO): x(k)d = mean(x(k), …, x(n)).
    """
    check_steps(times, "times")
    x = check_series(series, 1)
    for _ in range(times):
        x = (np.cumsum(x[::-1]) / np.arange(1, len(x) + 1))[::-1]
    return x
