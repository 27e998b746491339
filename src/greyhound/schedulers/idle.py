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
_NOISE = 1.25
"""Or by less than so many standard deviations of the noise."""
_USUAL_BEND = 0.6745 * 6**0.5
"""The median size of a second difference of independent normal numbers, in their standard deviations."""
_POINTS = 5
"""At so many steps at most the curves are looked at."""


def nothing_learns(history: History, first: int, step: int) -> bool:
    """Whether most of the first trials stood still at `step`, and at the same loss; False before that is known.

    It is enough that this holds for the `first` trials or for some more, up to twice as many: of eight, chance may let
    four move where most stand still.
    """
    import numpy as np

    points = sorted({round(at) for at in np.linspace(max(1, step // 3), step, _POINTS)})
    curves = np.stack([_losses(history, 2 * first, at) for at in points])
    return step > 1 and any(_stand_still(curves[:, :n]) for n in range(first, max(first, curves.shape[1]) + 1))


def _stand_still(curves: Floats) -> bool:
    """Whether most do. curves: losses after rising steps, (steps, n)."""
    import numpy as np

    curves = curves[:, np.isfinite(curves).all(axis=0)]
    if curves.shape[1] < _FEWEST:
        return False
    early, late = curves[0], curves[-1]
    size = min(float(np.ptp(late)), float(np.abs(np.median(late))))
    noise = _NOISE * _tremble(curves)
    low, high = _densest_half(late)
    moved = float(np.median(np.abs(late - early)))
    return high - low <= max(_ALIKE * size, noise) and moved <= max(_STILL * size, noise)


def _tremble(curves: Floats) -> float:
    """The usual standard deviation of the noise of a loss, by second differences, in which a trend leaves little."""
    import numpy as np

    bends = np.abs(np.diff(curves, 2, axis=0))
    return float(np.median(bends)) / _USUAL_BEND if bends.size else 0.0


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
