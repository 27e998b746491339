"""Which hyperparameters matter: three answers to the same question, each right in its own case.

- "ped-anova" asks what it takes to be among the best tenth: how differently a hyperparameter is distributed there
  and among all trials. Quick, needs no model, minds no outliers, sees every shape of a relation. Source: Watanabe,
  Bansal & Hutter, "PED-ANOVA: Efficiently quantifying hyperparameter importance in arbitrary subspaces", IJCAI
  2023, arXiv 2304.10255; conditional ones: weighted as in "Conditional PED-ANOVA", arXiv 2601.20800.
- "fanova" asks how much of the variance over the whole space a hyperparameter explains by itself, exactly for a
  random forest that is fitted to the trials. One bad corner can be most of the variance. Source: Hutter, Hoos &
  Leyton-Brown, "An efficient approach for assessing hyperparameter importance", ICML 2014.
- "grey" asks how far a hyperparameter moves along with the objective: Deng's grey relational grade, beyond the one
  that comes by chance. For a dozen trials and relations that go one way; a valley in the middle of the range
  fools it. All are 0 where nothing is beyond chance. Source: Deng, "Introduction to grey system theory", Journal of
  Grey System 1, 1989.

None tells of a hyperparameter that counts through others alone. Values are the last ones that trials reported,
whether trained to the end or not; a trial that failed (but for one whose worker was lost) has the worst of all.
Replicates of the finals are left out: they would count a few configurations many times over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from greyhound._lazy import require
from greyhound.errors import StudyError
from greyhound.kinds import Bool, Categorical
from greyhound.trial import Objective, TrialState

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from greyhound.history import History
    from greyhound.parameters import Parameter

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]
    Ints = NDArray[np.intp]

_FEWEST = 4
"""Trials with a value before anything is said."""
_BINS = 50
_TOP = 0.1
_FEWEST_TOP = 5
"""So many of the best are looked at, if that is up to half of all; a tenth of more than fifty."""
_LEAST_WIDTH = 0.5 / 1.64
"""Of a kernel, in bins: nine tenths of it within its own."""
_SAME = 0.02
"""Trials nearer to each other count as one; and of more trials than this, as many over all ranks are looked at:"""
_MOST_COMPARED = 2000
_TREES = 64
_SHUFFLES = 60
_CHANCE = 0.9
"""A grade counts as far as it is above this quantile of those of shuffled trials."""


@dataclass(frozen=True)
class _Observed:
    """What is known of one hyperparameter: the trials that have it.

    units: (n,), in [0, 1]. losses: (n,), finite. share: of all trials, those that have it. top: which are among the
    best of all trials, (n,). tops: how many those are.
    """

    parameter: Parameter
    units: Floats
    losses: Floats
    share: float
    top: Bools
    tops: int

    @property
    def codes(self) -> Ints | None:
        """Numbers of the categories from 0, (n,); None where the values have an order."""
        import numpy as np

        if not isinstance(self.parameter, Categorical | Bool):
            return None
        return np.minimum((self.units * (self.parameter.size or 1)).astype(np.intp), (self.parameter.size or 1) - 1)


def importance(history: History, method: str = "ped-anova", metric: str | None = None) -> dict[str, float]:
    """The share of each hyperparameter, >= 0, the most important first; they add up to 1.

    All are 0 where nothing is known: below four trials with a value, or where all have the same. method: "ped-anova",
    "fanova" (MissingExtraError without scikit-learn) or "grey". metric: an objective, which may be left out where it
    is the only one, or any other metric, of which small values count as good. StudyError where an argument is wrong.
    """
    import numpy as np

    if method not in METHODS:
        raise StudyError(f"importance: there is no method {method!r}; there are {', '.join(METHODS)}.")
    losses = _losses(history, _objective(history, metric))
    known = np.flatnonzero(np.isfinite(losses))
    shares = dict.fromkeys(history.space.names, 0.0)
    if len(known) >= _FEWEST and losses[known].min() < losses[known].max():
        shares |= METHODS[method](history, known, losses[known])
    total = sum(shares.values())
    if total > 0:
        shares = {name: share / total for name, share in shares.items()}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def ped_anova(history: History, known: Ints, losses: Floats) -> dict[str, float]:
    """By name, the Pearson divergence of the best trials' distribution from that of all, >= 0.

    known: (n,), numbers of the trials. losses: (n,), finite. Of trials that have the parameter, times the square of
    its share among the best over its share among all. A search gathers around its optimum; so that "all" still
    tells of the space, of trials that nearly coincide the best alone counts.
    """
    apart = _apart(history.X[known], history.active[known], losses)
    known, losses = known[apart], losses[apart]
    shares = {}
    for name, seen in _observed(history, known, losses):
        if not seen.top.any():
            continue
        among_best = float(seen.top.sum()) / seen.tops
        codes = seen.codes
        if codes is None:
            bins = min(seen.parameter.size or _BINS, _BINS)
            places = (seen.units * bins).astype(int).clip(0, bins - 1)
            best, everywhere = kernel_density(places[seen.top], bins), kernel_density(places, bins)
        else:
            count = seen.parameter.size or 1
            best, everywhere = category_density(codes[seen.top], count), category_density(codes, count)
        shares[name] = among_best**2 / seen.share * float((everywhere * (best / everywhere - 1.0) ** 2).sum())
    return shares


def kernel_density(places: Ints, bins: int) -> Floats:
    """The probability of each bin by a Parzen estimator, (bins,), above 0; sums to 1.

    places: (n,), the bins that were hit, n >= 1. Normal kernels of Scott's bandwidth 1.059 min(s, IQR/1.34) n^(−1/5)
    within the range, and one uniform as the prior. Source: Watanabe et al. 2023.
    """
    import numpy as np
    from scipy.special import ndtr

    count = len(places)
    deviation = float(places.std(ddof=1)) if count > 1 else 0.0
    quartiles = float(np.subtract(*np.percentile(places, [75, 25])))
    width = max(1.059 * min(deviation, quartiles / 1.34) * count**-0.2, _LEAST_WIDTH)
    hits = np.bincount(places, minlength=bins)
    centres = np.flatnonzero(hits)
    edges = ndtr((np.arange(bins + 1) - 0.5 - centres[:, None]) / width)
    kernels = np.diff(edges, axis=1) / (edges[:, -1:] - edges[:, :1])
    density: Floats = (hits[centres] @ kernels + 1.0 / bins) / (count + 1)
    return density


def category_density(codes: Ints, count: int) -> Floats:
    """The probability of each category, (count,), above 0, with one trial's weight on the uniform prior."""
    import numpy as np

    return (np.bincount(codes, minlength=count) + 1.0 / count) / (len(codes) + 1)


def fanova(history: History, known: Ints, losses: Floats) -> dict[str, float]:
    """By name, the share of a random forest's variance that the parameter explains alone, 0 to 1.

    known: (n,), numbers of the trials. losses: (n,), finite. Categories are put in the order of their mean loss, as is
    best for a tree's cuts (Breiman et al. 1984); a parameter is at random where it does not exist.
    """
    import numpy as np

    rng = np.random.default_rng(0)
    losses = losses / (np.abs(losses).max() or 1.0)  # so that their squares are finite; shares know no scale
    features = rng.random((len(known), len(history.space)))
    names = list(history.space)
    for name, seen in _observed(history, known, losses):
        at = names.index(name)
        codes = seen.codes
        rows = np.flatnonzero(history.active[known, at])
        if codes is None:
            features[rows, at] = seen.units
        else:
            count = seen.parameter.size or 1
            ranks = np.argsort(np.argsort(_means(codes, seen.losses, count), kind="stable"))
            features[rows, at] = (ranks[codes] + 0.5) / count
    varying = [at for at, name in enumerate(names) if history.space[name].size != 1]
    if not varying:
        return {}
    forest = require("sklearn.ensemble", "boosting").RandomForestRegressor(_TREES, random_state=0)
    forest.fit(features[:, varying], losses)
    effects = np.array([main_effects(grown.tree_, len(varying)) for grown in forest.estimators_])
    return {names[at]: float(effect) for at, effect in zip(varying, effects.mean(axis=0), strict=True)}


def main_effects(tree: Any, dimension: int) -> Floats:
    """V_j / V of a regression tree over the unit cube, (dimension,), 0 to 1; all 0 where it is constant.

    tree: scikit-learn's. V_j = ∫ (a_j − f₀)², with a_j the mean over all other coordinates, f₀ that over all; V the
    whole variance. Exact: leaves are boxes. Source: Hutter et al. 2014.
    """
    import numpy as np

    low, high, values = _boxes(tree, dimension)
    sizes = high - low
    volumes = sizes.prod(axis=1)
    mean = float(volumes @ values)
    total = float(volumes @ (values - mean) ** 2)
    effects = np.zeros(dimension)
    if total <= 0:
        return effects
    for at in range(dimension):
        others = np.delete(sizes, at, axis=1).prod(axis=1) * (values - mean)
        edges, places = np.unique(np.concatenate([low[:, at], high[:, at]]), return_inverse=True)
        steps = np.bincount(places, weights=np.concatenate([others, -others]), minlength=len(edges))
        effects[at] = float(np.cumsum(steps)[:-1] ** 2 @ np.diff(edges)) / total
    return effects


def _boxes(tree: Any, dimension: int) -> tuple[Floats, Floats, Floats]:
    """Lower and upper corners of the leaves within the unit cube, (l, dimension), and their values, (l,)."""
    import numpy as np

    low, high = np.zeros((tree.node_count, dimension)), np.ones((tree.node_count, dimension))
    for node in range(tree.node_count):  # children come after their parents
        left, right = tree.children_left[node], tree.children_right[node]
        if left < 0:
            continue
        at, cut = tree.feature[node], tree.threshold[node]
        for child in (left, right):
            low[child], high[child] = low[node], high[node]
        high[left, at] = min(high[node, at], cut)
        low[right, at] = max(low[node, at], cut)
    leaves = tree.children_left < 0
    return low[leaves], high[leaves], tree.value[leaves, 0, 0]


def grey_relation(history: History, known: Ints, losses: Floats) -> dict[str, float]:
    """By name, how far Deng's grade with the losses is above what shuffled trials reach, 0 to 1.

    known: (n,), numbers of the trials. losses: (n,), finite. (grade − by chance) / (1 − by chance), times the share of
    trials that have the parameter; 0 where the grade may well be chance.
    """
    shares = {}
    for name, seen in _observed(history, known, losses):
        grade, by_chance = relational_grades(seen.units, seen.losses, seen.codes)
        shares[name] = seen.share * max(0.0, (grade - by_chance) / (1.0 - by_chance)) if by_chance < 1 else 0.0
    return shares


def relational_grades(units: Floats, losses: Floats, codes: Ints | None) -> tuple[float, float]:
    """Deng's grade of a hyperparameter with the losses, and one that nine in ten shuffles miss; both in (0, 1].

    units: (n,), unit coordinates, brought to the range from 0 to 1 here; the better of the grades with x and 1 − x.
    losses: (n,), of which the ranks count. codes: (n,), categories from 0, whose mean ranks take the place of x; None
    where the values have an order.
    """
    import numpy as np

    from greyhound import grey

    rng = np.random.default_rng(0)
    ranks = _ranks(losses)
    orders = [np.arange(len(ranks)), *(rng.permutation(len(ranks)) for _ in range(_SHUFFLES))]
    series = [_course(units[order], None if codes is None else codes[order], ranks) for order in orders]
    grades = grey.deng_grade(ranks, np.array([*series, *(1.0 - each for each in series)]))
    better = grades.reshape(2, -1).max(axis=0)
    return float(better[0]), float(np.quantile(better[1:], _CHANCE))


def _course(units: Floats, codes: Ints | None, ranks: Floats) -> Floats:
    import numpy as np

    from greyhound import grey

    if codes is None:
        return grey.larger_better(units)
    return grey.larger_better(_means(codes, ranks, int(np.max(codes)) + 1)[codes])


def _means(codes: Ints, values: Floats, count: int) -> Floats:
    """The mean value of each category, (count,); that of all where there is none of it."""
    import numpy as np

    hits = np.bincount(codes, minlength=count)
    sums = np.bincount(codes, weights=values, minlength=count)
    return np.where(hits > 0, sums / np.maximum(hits, 1), values.mean())


def _ranks(values: Floats) -> Floats:
    """Ranks from 0 to 1, (n,), equal ones in the middle of theirs."""
    import numpy as np

    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    middles = np.cumsum(counts) - (counts + 1) / 2
    return middles[places] / max(len(values) - 1, 1)


def _observed(history: History, known: Ints, losses: Floats) -> Iterator[tuple[str, _Observed]]:
    """The hyperparameters that took at least two values, and their trials."""
    import numpy as np

    units, active = history.X[known], history.active[known]
    wanted = max(int(np.ceil(_TOP * len(losses))), min(_FEWEST_TOP, len(losses) // 2))
    top = losses <= np.partition(losses, wanted - 1)[wanted - 1]
    for at, (name, parameter) in enumerate(history.space.parameters.items()):
        there = active[:, at]
        if there.sum() >= _FEWEST and np.ptp(units[there, at]) > 0:
            share = float(there.mean())
            yield name, _Observed(parameter, units[there, at], losses[there], share, top[there], int(top.sum()))


def _apart(units: Floats, active: Bools, losses: Floats) -> Ints:
    """Indices of the trials that are at least `_SAME` from every better one that is kept, ascending.

    units, active: (n, d). The distance is the root of the mean square over the coordinates.
    """
    import numpy as np

    rows = np.where(active, units, -1.0)
    order = np.argsort(losses, kind="stable")
    kept: list[int] = []
    for at in order[np.linspace(0, len(order) - 1, min(len(order), _MOST_COMPARED)).round().astype(int)].tolist():
        if not kept or ((rows[kept] - rows[at]) ** 2).mean(axis=1).min() >= _SAME**2:
            kept.append(at)
    return np.sort(np.array(kept, np.intp))


def _objective(history: History, metric: str | None) -> Objective:
    objectives = history.objectives
    if metric is None:
        if len(objectives) != 1:
            names = ", ".join(objective.metric for objective in objectives)
            raise StudyError(f"importance: the study has {len(objectives)} objectives; give metric=, one of {names}.")
        return objectives[0]
    named = [objective for objective in objectives if objective.metric == metric]
    reported = {name for trial in history.trials for name in trial.metrics}
    if not named and metric not in reported:
        names = ", ".join(sorted(reported | {objective.metric for objective in objectives}))
        raise StudyError(f"importance: there is no metric {metric!r}; there are {names}.")
    return named[0] if named else Objective(metric, maximize=False)


def _losses(history: History, objective: Objective) -> Floats:
    """What each trial has of the metric, to minimise, (n,); NaN where nothing is known of it."""
    import numpy as np

    values = np.array([objective.loss(trial.metrics.get(objective.metric, np.nan)) for trial in history.trials])
    values = values.astype(float).reshape(len(history))
    failed = np.array([trial.state.failed for trial in history.trials], dtype=bool)
    lost = np.array([trial.state is TrialState.LOST for trial in history.trials], dtype=bool)
    good = np.isfinite(values) & ~failed
    worst = values[good].max() if good.any() else np.nan
    losses = np.where(good, values, np.where(failed & ~lost, worst, np.nan))
    losses[[trial.number for trial in history.replicates]] = np.nan
    return losses


METHODS: Mapping[str, Callable[[History, Ints, Floats], dict[str, float]]] = {
    "ped-anova": ped_anova,
    "fanova": fanova,
    "grey": grey_relation,
}
