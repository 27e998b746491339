"""The tree-structured Parzen estimator: propose what the better trials make likely and the worse don't.

The trials are split into the best 15 % and the rest; each group gets a multivariate Parzen estimator,
l(x) and g(x), and of candidates drawn from l the one with the largest l(x) / g(x) is proposed. Trials that
failed are in g alone, and so are trials that still run, whatever they will give (the constant liar); l / g is
weighted with the chance of success where trials fail or break a limit.

Source: Bergstra et al. 2011, "Algorithms for hyper-parameter optimization"; defaults: Watanabe 2023,
"Tree-structured Parzen estimator", arXiv 2304.11127, section 5; failures: Watanabe & Hutter 2023, "c-TPE",
arXiv 2211.14411. The model is in `numeric.parzen`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from greyhound.errors import StudyError
from greyhound.numeric import parzen
from greyhound.samplers.base import Traits
from greyhound.samplers.cube import Cube, cube_of
from greyhound.samplers.picking import Picker, at_least
from greyhound.samplers.plateau import explores
from greyhound.samplers.priors import trust
from greyhound.samplers.results import Results, results, thinned
from greyhound.samplers.sobol import Sobol

if TYPE_CHECKING:
    from greyhound.history import History
    from greyhound.numeric.parzen import Floats, Parzen
    from greyhound.samplers.results import Numbers

_MOST_BETTER = 25
_MOST_WORSE = 512
"""Of more worse trials as many as this are kept, evenly over their ranks."""
_WIDTH = 0.08
"""The bandwidth of a single trial, as a share of the range; 0.2 and the gap to the neighbours gained less."""
_WIDTH_OF_FAILURES = 0.25
"""The same where failures are judged: one says something of all that is near."""
_PRIOR = 1.0
"""The weight of the prior, in trials."""
_MOST_TRIES = 200
"""How many of the best candidates may be known or forbidden before a random configuration is taken."""
_NEIGHBOURS_OF = 3
_MOST_NEAR = 192
"""The best trials' neighbours are candidates too; as many of them as this."""


@dataclass(frozen=True)
class TPE:
    """Tree-structured Parzen estimator, after `startup` Sobol points.

    startup: trials with a result before the model is used, at least 1. better: the share of trials in
    the better group, above 0 and below 1; the group has at most 25. candidates: points drawn
    from the better group's density for each suggestion, at least 1.
    """

    startup: int = 10
    better: float = 0.15
    candidates: int = 128
    traits: ClassVar[Traits] = Traits(model=True)

    def __post_init__(self) -> None:
        at_least("tpe", "startup", self.startup, 1)
        at_least("tpe", "candidates", self.candidates, 1)
        if not 0.0 < self.better < 1.0:
            raise StudyError(f"tpe: better must lie between 0 and 1; got {self.better!r}.")

    def suggest(self, history: History, count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
        """`count` configurations, fewer where the finite space has no more."""
        told, cube = results(history), cube_of(history.space)
        if len(told.ranking) < self.startup or not cube.dimension:
            return Sobol().suggest(history, count, rng)
        picker = Picker(history)
        for _ in range(count):
            at_random = explores(told, rng)
            ranked = () if at_random else self._ranked(history, told, cube.rows(picker.found), cube, rng)
            if not picker.take(ranked, _MOST_TRIES, rng):
                break
        return picker.found

    def _ranked(self, history: History, told: Results, batch: Floats, cube: Cube, rng: np.random.Generator) -> Floats:
        """Candidates, (m, d), the most promising first. batch: (b, d), what is proposed with them."""

        X = np.vstack([history.X, batch])
        active = np.vstack([history.active, cube.activity(batch)])
        trying = np.append(told.pending, np.arange(len(history), len(X)))

        def density(rows: Numbers, width: float, weights: Floats | None = None) -> Parzen:
            weights = np.ones(len(rows)) if weights is None else weights
            return parzen.fit(X[rows], active[rows], weights, _PRIOR, width, cube.cells, cube.unordered)

        order, costs, known = told.ranking, told.costs, len(told.known)
        split = min(math.ceil(self.better * known), _MOST_BETTER)
        better, worse = order[:split], thinned(order[split:], _MOST_WORSE)
        gains = np.empty(0)
        if split:
            gains = parzen.improvement_weights(costs[better], float(costs[order[min(split, known - 1)]]))
        likely = density(better, _WIDTH, gains)
        rest = density(np.append(worse, trying), _WIDTH)

        points = cube.snap(likely.sample(self.candidates, rng))
        if split:
            near = np.concatenate([cube.neighbours(X[number], rng) for number in better[:_NEIGHBOURS_OF]])
            points = np.concatenate([points, near[rng.permutation(len(near))[:_MOST_NEAR]]])
        there = cube.activity(points)
        scores = likely.log_density(points, there) - rest.log_density(points, there)
        if len(told.failed):
            failures, successes = (
                density(thinned(numbers, _MOST_WORSE), _WIDTH_OF_FAILURES).log_density(points, there)
                for numbers in (told.failed, told.feasible)
            )
            scores += log_success(failures, successes, len(told.failed), len(told.feasible))
        scores += trust(history, cube.log_prior(history.X[told.known]), told.losses) * cube.log_prior(points)
        return np.asarray(points[np.argsort(-scores, kind="stable")])


def log_success(failures: Floats, successes: Floats, failed: int, succeeded: int) -> Floats:
    """Log of the chance that a trial succeeds, (m,), by Bayes' rule from the log densities of both kinds, (m,).

    P(success) = 1 / (1 + r p(x | failed) / p(x | success)), r = (failed + 1) / (succeeded + 1).
    """
    return np.asarray(-np.logaddexp(0.0, math.log((failed + 1) / (succeeded + 1)) + failures - successes))
