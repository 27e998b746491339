"""What trials promise: by how much their final losses should beat what is finished, and how likely they do.

With one objective the best final loss is to be beaten, with several the front of those that nothing dominates.

Sources: the expected improvement: Jones, Schonlau & Welch 1998, eq. 15; of a hypervolume: `numeric.ehvi`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from greyhound.schedulers.ranking import trained

if TYPE_CHECKING:
    from greyhound.curves.study import Finals
    from greyhound.history import History
    from greyhound.numeric.gp import Floats

_FAR_OUT = 3.0
"""Losses that lie so many times the distance of the quartiles above the upper one are outliers."""
_SMALLEST = 1e-9
"""Standard deviations are at least such a part of the spread of what is known, or of the way to the best."""


@dataclass(frozen=True)
class Best:
    """The lowest final loss."""

    loss: float

    def gain(self, mean: Floats, std: Floats) -> Floats:
        """Expected improvement on it, (n,), >= 0, in units of the loss. mean, std: (n, 1), of final losses."""
        import numpy as np
        from scipy.special import ndtr

        room = self.loss - mean[:, 0]
        std = np.maximum(std[:, 0], _SMALLEST * np.abs(room) + np.finfo(float).tiny)
        z = room / std
        return np.asarray(std * (z * ndtr(z) + np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)))

    def chance(self, mean: Floats, std: Floats, degrees: Floats) -> Floats:
        """The probability to finish below it, (n,); 1 for trials of which nothing is known.

        mean, std, degrees: (n, 1), see `curves.forecasting.Told`.
        """
        import numpy as np

        from greyhound.curves.forecasting import chance_below

        return np.nan_to_num(chance_below(self.loss, mean[:, 0], std[:, 0], degrees[:, 0]), nan=1.0)


@dataclass(frozen=True)
class Front:
    """Points of several losses that nothing dominates. points: (k, m). worst: (m,), the worst that is no outlier.

    Of a front of very many points some stand for all.
    """

    points: Floats
    worst: Floats

    def gain(self, mean: Floats, std: Floats) -> Floats:
        """Expected improvement of the hypervolume before the worst, (n,), >= 0. mean, std: (n, m)."""
        import numpy as np

        from greyhound.numeric import ehvi

        behind = self.worst + 0.1 * self._spread
        boxes = ehvi.undominated(ehvi.few(self.points), behind)
        return np.asarray(np.exp(ehvi.log_expected_improvement(mean, self._wide(std), *boxes)))

    def chance(self, mean: Floats, std: Floats, degrees: Floats) -> Floats:
        """The probability that no point will dominate it, (n,); 1 for trials of which nothing is known.

        mean, std, degrees: (n, m), see `curves.forecasting.Told`.
        """
        import numpy as np

        from greyhound.curves.forecasting import chance_below
        from greyhound.numeric import ehvi

        std = self._wide(std)
        lower, upper = ehvi.undominated(ehvi.few(self.points), np.full(self.points.shape[1], np.inf))
        chance = np.ones((len(mean), len(lower)))
        for at in range(mean.shape[1]):
            told = (each[:, at, None] for each in (mean, std, degrees))
            below = chance_below(np.stack([lower[:, at], upper[:, at]])[:, None], *told)
            chance *= below[1] - below[0]
        return np.asarray(np.nan_to_num(chance.sum(axis=1), nan=1.0))

    @property
    def _spread(self) -> Floats:
        import numpy as np

        spread = self.worst - self.points.min(axis=0)
        return np.asarray(np.where(spread > 0, spread, 1.0))

    def _wide(self, std: Floats) -> Floats:
        import numpy as np

        return np.asarray(np.maximum(std, _SMALLEST * self._spread))


def to_beat(history: History, forecast: Finals) -> Best | Front | None:
    """What is finished and keeps to the limits, beneath noise; before there is such, the best expected of what keeps.

    None where nothing is known. A loss that exploded would stretch the hypervolume without end, so what lies far out
    (Tukey 1977, "Exploratory data analysis", ch. 2) is no worst.
    """
    import numpy as np

    from greyhound.numeric import pareto

    ended = np.asarray(trained(history), int)
    within = np.asarray(~(history.violations > 0).any(axis=1))
    done = (history.losses - forecast.noise)[ended[within[ended]]]
    known = done[np.isfinite(done).all(axis=1)]
    there = np.isfinite(forecast.mean).all(axis=1)
    expected = forecast.mean[there]
    points = next((some for some in (known, forecast.mean[there & within], expected) if len(some)), expected)
    if not len(points):
        return None
    if points.shape[1] == 1:
        return Best(float(points.min()))
    front = points[pareto.nondominated(points)]
    low, high = np.quantile(expected, (0.25, 0.75), axis=0)
    worst = np.minimum(expected.max(axis=0), high + _FAR_OUT * (high - low))
    return Front(front, np.maximum(front.max(axis=0), worst))
