"""Plateaus: results that are all as good as the best tell nothing of where a better one is.

A classifier that learns nothing has the same loss whatever its hyperparameters are. Where most configurations are of
that kind a model sees a level plain with holes, follows its faintest slopes, and stays. So a sampler with a model draws
at random as often as results tie with the best: the more there are, the less the model has to go by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from greyhound.numeric.gp import Floats
    from greyhound.samplers.results import Results

_ALIKE = 1e-3
"""Losses closer than this tie, in sizes of the best or, where that is less, of what sets the worst tenth apart."""


def explores(told: Results, rng: np.random.Generator) -> bool:
    """Whether the next configuration is to be drawn at random; nothing is drawn from `rng` where no results tie."""
    share = tied(told.costs[told.feasible])
    return share > 0.0 and rng.random() < share


def tied(losses: Floats) -> float:
    """The share of losses that tie with the lowest, which does not count itself; in [0, 1). losses: (n,), finite."""
    if len(losses) < 2:
        return 0.0
    best = losses.min()
    alike = _ALIKE * min(abs(best), np.quantile(losses, 0.9) - best)
    return float(((losses <= best + alike).sum() - 1) / len(losses))
