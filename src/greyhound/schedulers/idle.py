"""Whether trainings learn anything at first: a plateau that most curves stand on tells nothing of how they will end.

Where the learning rate is off, a network predicts the same for every input, whatever else is set, and its loss stands
still; the few trainings that leave the plateau may do so late. A forecast made of curves that stand still is sure that
they always will, so where the first trials are of that kind no forecast is to be trusted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from greyhound.history import History
    from greyhound.numeric.gp import Floats

_FEWEST = 5
"""So many of the first trials must have a loss."""
_ALIKE = 0.06
"""Half of the losses lie within this part of the spread of all of them and of their own size, or are equal."""
_STILL = 0.02
"""Half of the losses changed by less than this part since a third of the steps."""


def nothing_learns(history: History, first: int, step: int) -> bool:
    """Whether most of the first trials stood still at `step`, and at the same loss; False before that is known.

    It is enough that this holds for the `first` trials or for some more, up to twice as many: of eight, chance may let
    four move where most stand still.
    """
    early, late = _losses(history, 2 * first, max(1, step // 3)), _losses(history, 2 * first, step)
    return step > 1 and any(_stand_still(early[:n], late[:n]) for n in range(first, max(first, len(late)) + 1))


def _stand_still(early: Floats, late: Floats) -> bool:
    import numpy as np

    known = np.isfinite(early) & np.isfinite(late)
    if known.sum() < _FEWEST:
        return False
    early, late = early[known], late[known]
    size = min(float(np.ptp(late)), float(np.abs(np.median(late))))
    low, high = _densest_half(late)
    return high - low <= _ALIKE * size and float(np.median(np.abs(late - early))) <= _STILL * size


def learners(history: History, first: int, step: int) -> int:
    """How many trials have a loss clearly below the plateau of the `first` at `step`."""
    import numpy as np

    late = _losses(history, first, step)
    low, high = _densest_half(late[np.isfinite(late)])
    return int((history.losses[:, 0] < low - 2.0 * (high - low)).sum())


def _losses(history: History, first: int, step: int) -> Floats:
    import numpy as np

    return np.asarray(history.losses_at(step)[:first], float)


def _densest_half(losses: Floats) -> tuple[float, float]:
    """The ends of the shortest interval that holds half of the losses, (n,), n >= 1."""
    import numpy as np

    rising, count = np.sort(losses), (len(losses) + 1) // 2
    at = int((rising[count - 1 :] - rising[: len(rising) - count + 1]).argmin())
    return float(rising[at]), float(rising[at + count - 1])
