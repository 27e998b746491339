"""Trees as the model: expected improvement under a forest, or under gradient boosting.

Trees bear ordinals, categories and conditions without a scale, and cliffs without smoothing. Losses are
log-shifted, so that the model resolves the good ones. Where trials fail or break a limit the expected
improvement is weighted with the chance of success; trials that still run are believed to give an average loss, and as
a tree resolves nothing between two trials, what lies right beside those that run is worth less the nearer it is.

Source: Hutter et al. 2011, "Sequential model-based optimization for general algorithm configuration" (SMAC);
feasibility: Gelbart et al. 2014, "Bayesian optimization with unknown constraints"; beside what runs: González et al.
2016, "Batch Bayesian optimization via local penalization", with another penalty. The models are in `numeric.trees`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from greyhound._lazy import require
from greyhound.errors import StudyError
from greyhound.numeric import trees
from greyhound.numeric.acquisition import log_expected_improvement
from greyhound.numeric.parzen import cells_of
from greyhound.samplers.base import Traits
from greyhound.samplers.cube import Cube, cube_of
from greyhound.samplers.picking import Picker, at_least
from greyhound.samplers.plateau import explores
from greyhound.samplers.priors import trust
from greyhound.samplers.results import Results, results, thinned
from greyhound.samplers.search import maximise
from greyhound.samplers.sobol import Sobol

if TYPE_CHECKING:
    from greyhound.history import History
    from greyhound.numeric.parzen import Floats

_MOST_TRIALS = {"forest": 500, "boosting": 250}
"""How many trials a model is fitted to: the best half of these, and the others evenly over their ranks."""
_CANDIDATES = 1000
_ANCHORS = 5
_MOST_TRIES = 200
_MOST_JUDGED = 256
"""How many failed trials, and how many others, the chance of success is estimated from."""
_BESIDE = 0.02
"""How near counts as beside what runs, times √d: with 16 workers 0.01 gained less, with 4 workers 0.05 lost."""
_ABSENT = -1.0
"""The feature of a parameter that a configuration doesn't have; those there are in [0, 1]."""


@dataclass(frozen=True)
class Boosting:
    """Expected improvement under trees, after `startup` Sobol points. Needs scikit-learn.

    model: "forest", extra-trees, or "boosting", bagged gradient boosting. startup: trials with a result before
    the model is used, at least 1. trees: of the forest, at least 2.
    """

    model: str = "forest"
    startup: int = 8
    trees: int = 50
    traits: ClassVar[Traits] = Traits(model=True)

    def __post_init__(self) -> None:
        if self.model not in _MOST_TRIALS:
            raise StudyError(f"boosting: model must be 'forest' or 'boosting'; got {self.model!r}.")
        at_least("boosting", "startup", self.startup, 1)
        at_least("boosting", "trees", self.trees, 2)

    def check_installed(self) -> None:
        """MissingExtraError without scikit-learn."""
        require("sklearn.ensemble", trees.EXTRA)

    def suggest(self, history: History, count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
        """`count` configurations, fewer where the finite space has no more; MissingExtraError without scikit-learn."""
        self.check_installed()
        told, cube = results(history), cube_of(history.space)
        if len(told.ranking) < self.startup or not cube.dimension:
            return Sobol().suggest(history, count, rng)
        picker = Picker(history)
        for _ in range(count):
            ranked = () if explores(told, rng) else self._ranked(history, told, picker, cube, rng)
            if not picker.take(ranked, _MOST_TRIES, rng):
                break
        return picker.found

    def _ranked(self, history: History, told: Results, picker: Picker, cube: Cube, rng: np.random.Generator) -> Floats:
        """Candidates, (m, d), the most promising first."""
        score = self._fitted(history, told, cube.rows(picker.found), cube, rng)

        def scored(rows: Floats) -> Floats:
            return np.where(picker.possible(rows), score(rows), -np.inf)

        return maximise(scored, cube, history.X[told.ranking[:_ANCHORS]], rng, _CANDIDATES)

    def judge(self, history: History) -> Callable[[Sequence[Mapping[str, Any]]], Floats] | None:
        """The acquisition at configurations; None before `startup` results."""
        told, cube = results(history), cube_of(history.space)
        if len(told.ranking) < self.startup or not cube.dimension:
            return None
        score = self._fitted(history, told, cube.rows(()), cube, np.random.default_rng([history.seed, len(history)]))
        return lambda configurations: score(cube.rows(configurations))

    def _fitted(
        self, history: History, told: Results, batch: Floats, cube: Cube, rng: np.random.Generator
    ) -> Callable[[Floats], Floats]:
        """The acquisition: from rows, (m, d), to scores, (m,). batch: (b, d), what is proposed besides."""
        half = _MOST_TRIALS[self.model] // 2
        learnt = np.append(told.ranking[:half], thinned(told.ranking[half:], half))
        trying = np.vstack([history.X[told.pending], batch])
        targets = np.append(trees.log_shift(told.costs[learnt]), np.zeros(len(trying)))
        seen = features(np.vstack([history.X[learnt], trying]), cube)
        seed = int(rng.integers(2**31))
        model: trees.Forest | trees.Boosters
        if self.model == "forest":
            model = trees.fit_forest(seen, targets, seed, trees=self.trees)
        else:
            model = trees.fit_boosters(seen, targets, seed)
        lowest = float(targets[: len(learnt)].min())
        belief = trust(history, cube.log_prior(history.X[told.known]), told.losses)
        judged = np.append(thinned(told.failed, _MOST_JUDGED), thinned(told.feasible, _MOST_JUDGED))
        failed = np.isin(judged, told.failed)

        def score(rows: Floats) -> Floats:
            described = features(rows, cube)
            gains = log_expected_improvement(*model.predict(described), lowest) + belief * cube.log_prior(rows)
            if len(trying):
                gains += trees.log_apart(seen[len(learnt) :], described, _BESIDE * cube.dimension**0.5)
            if not failed.any():
                return gains
            tried = features(history.X[judged], cube)
            width = 0.15 * cube.dimension**0.5
            return np.asarray(gains + np.log(trees.success_rate(tried, failed, described, width)))

        return score


def features(rows: Floats, cube: Cube) -> Floats:
    """What trees see of snapped rows, (n, f): units, a column for each of three or more categories, absence as -1."""
    active = cube.activity(rows)
    columns = []
    for at, size in enumerate(cube.categories):
        units = rows[:, at, None]
        if size > 2:
            units = (cells_of(units, size) == np.arange(size)) * 1.0
        columns.append(np.where(active[:, at, None], units, _ABSENT))
    return np.concatenate(columns, axis=1)
