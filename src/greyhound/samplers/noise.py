"""How noisy each trial's loss is, where trials are means over replicates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from greyhound.curves.study import of_replicates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from greyhound.history import History
    from greyhound.numeric.gp import Floats


def loudness(history: History, numbers: NDArray[np.intp]) -> Floats:
    """The noise variance of these trials' losses, over that of a trial with all its replicates, (n,), at least 1.

    A mean over k of n replicates has n/k times the variance. In a study without replicates all are 1.
    """
    if history.max_steps is None or not of_replicates(history):
        return np.ones(len(numbers))
    return np.asarray(history.max_steps / np.clip(history.steps[numbers], 1, history.max_steps))
