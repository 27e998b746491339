"""New configurations where hardly any training learns: random ones, half of them near what fared best so far.

A model of results that are nearly all the same follows their faintest slopes. Who takes, of many random
configurations, one beside a trial that fared well follows nothing but what has happened. Each draw sees another part
of it, a resample of the trials, and distances in which every parameter weighs something else: so what a single trial
suggests, by chance perhaps, is tried now and then, what many suggest often.

Sources: nearest neighbours: Cover & Hart 1967, "Nearest neighbor pattern classification"; a resample for each draw in
the place of a posterior's: Eckles & Kaptein 2014, "Thompson sampling with the online bootstrap".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from greyhound.kinds import Bool, Categorical
from greyhound.schedulers.ranking import breaches

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from greyhound.history import History

_CANDIDATES = 32
_BLIND = 1 / 2
"""The chance that a configuration is drawn whatever was found."""


def scouted(history: History, rng: np.random.Generator) -> dict[str, Any]:
    """Of 32 random configurations the one whose nearest trial, in a resample of them, fared best; at times any."""
    import numpy as np

    space, ranks = history.space, _ranks(history)
    known = np.flatnonzero(history.steps > 0)
    if not len(known) or rng.random() < _BLIND:
        return space.sample(rng)
    seen = rng.choice(known, size=len(known))
    drawn = [space.sample(rng) for _ in range(_CANDIDATES)]
    units = np.array([space.encode(params)[0] for params in drawn])
    unordered = [isinstance(parameter, Categorical | Bool) for parameter in space.parameters.values()]
    differences = units[:, None] - history.X[seen]
    squares = np.where(unordered, differences != 0.0, differences**2)
    nearest = (squares @ rng.exponential(size=len(space))).argmin(axis=1)
    return drawn[int(ranks[seen[nearest]].argmin())]


def _ranks(history: History) -> NDArray[np.intp]:
    """How many trials fared better, (n,): did not fail or break a limit, went further, or have a lower loss so far."""
    import numpy as np

    losses = history.losses[:, 0]
    lost = history.failed | ~np.isfinite(losses) | (np.asarray(breaches(history)) > 0.0)
    return np.lexsort((losses, -history.steps, lost)).argsort()
