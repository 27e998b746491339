"""Grey prediction evolution: each new configuration is forecast from the course of three populations.

A population is the best `population` trials of those that had ended: now, one round of as many trials ago, and
two rounds ago (greedy selection over all that was tried). For a new configuration a member of each, in order of age,
makes a series of three for every coordinate, and a grey model says where it goes next; categories are copied from
the members. Part of the coordinates, half by default, are those of one of the best.

It learns no model of the objective: where trials are dear, samplers that do need fewer of them.

Source: Hu, Xu, Su, Zhu & Guo, "Grey prediction evolution algorithm for global optimization", Applied Mathematical
Modelling 79, 2020; first generations: DE/rand/1/bin, Storn & Price 1997. There selection is between a child and the
member in its place; the best of all, crossover, categories, conditions and the translation into Deng's bounds for
GM(1,1) are additions for budgets of some dozens.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from greyhound.errors import StudyError
from greyhound.samplers.base import Traits, key_of, tried_keys
from greyhound.samplers.random import draw_new
from greyhound.samplers.sobol import Sobol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from greyhound.history import History
    from greyhound.samplers.cube import Cube
    from greyhound.samplers.results import Results

    Floats = NDArray[np.float64]
    Ints = NDArray[np.intp]

_MOST_CHILDREN = 40
"""How many children in a row may be known already, or not allowed, before a random configuration is taken."""
_TRANSLATION = 1.55
"""Added to coordinates, so that class ratios of any three are admissible: (1 + s) / s < e^(2/4), n = 3."""
_FEWEST = 4
"""Members that DE/rand/1/bin needs: a target and three others."""


@dataclass(frozen=True)
class Grey:
    """Grey prediction evolution after `startup` Sobol points, and differential evolution up to three rounds.

    population: members of each of the three, at least 4. startup: trials with a result before the first child, at
    least 4. crossover: the share of coordinates that are forecast, above 0 and up to 1. threshold: below this
    distance, as a share of the range, values of a series count as equal, above 0 and below 1. mutation: the chance
    that a category is drawn anew, 0 to 1.
    """

    population: int = 6
    startup: int = 10
    crossover: float = 0.5
    threshold: float = 0.01
    mutation: float = 0.1
    traits: ClassVar[Traits] = Traits(model=True)

    def __post_init__(self) -> None:
        for name in ("population", "startup"):
            value: object = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < _FEWEST:
                raise StudyError(f"grey: {name} must be a whole number of at least {_FEWEST}; got {value!r}.")
        if not 0 < self.crossover <= 1:
            raise StudyError(f"grey: crossover must be above 0 and up to 1; got {self.crossover!r}.")
        if not 0 < self.threshold < 1:
            raise StudyError(f"grey: threshold must be above 0 and below 1; got {self.threshold!r}.")
        if not 0 <= self.mutation <= 1:
            raise StudyError(f"grey: mutation must be from 0 to 1; got {self.mutation!r}.")

    def suggest(self, history: History, count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
        """`count` configurations, fewer where the finite space has no more."""
        from greyhound.samplers.cube import cube_of
        from greyhound.samplers.results import results

        told = results(history)
        if len(told.known) < self.startup or not history.space.names:
            return Sobol().suggest(history, count, rng)
        cube = cube_of(history.space)
        numbers, losses = ended(told)
        populations = [_rows(history, numbers[at], cube, rng) for at in generations(losses, self.population)]
        seen, tried, key_in = set(cube.keys(history.X)), tried_keys(history), key_of(history)
        found: list[dict[str, Any]] = []
        for at in range(count):
            params = self._new(populations, _progress(history, at), cube, seen, tried, key_in, rng)
            if params is None:
                params = draw_new(history, rng, tried)
            if params is None:
                break
            found.append(params)
        return found

    def _new(
        self,
        populations: list[Floats],
        progress: float,
        cube: Cube,
        seen: set[bytes],
        tried: set[Any] | None,
        key_in: Callable[[Mapping[str, Any]], Hashable],
        rng: np.random.Generator,
    ) -> dict[str, Any] | None:
        """A child of the populations that was not tried yet; None where none is found."""
        for _ in range(_MOST_CHILDREN):
            row = cube.snap(self._child(populations, progress, cube, rng)[None])
            key = cube.keys(row)[0]
            if key in seen:
                continue
            params = cube.params(row[0])
            if tried is not None and key_in(params) in tried:
                continue
            if cube.space.allows(params):
                seen.add(key)
                if tried is not None:
                    tried.add(key_in(params))
                return params
        return None

    def _child(self, populations: list[Floats], progress: float, cube: Cube, rng: np.random.Generator) -> Floats:
        """A child of three populations by grey forecast, or of fewer by DE/rand/1/bin; (d,), in [0, 1]."""
        import numpy as np

        newest = populations[-1]  # the best first
        target = newest[rng.integers(len(newest), size=2).min()]
        if len(populations) < 3:
            members = newest[rng.choice(len(newest), 3, replace=False)]
            moved = members[0] + 0.5 * (members[1] - members[2])
        else:
            members = np.stack([each[rng.integers(len(each))] for each in populations])
            moved = forecast(members, self.threshold, 4.0 - 3.99 * progress, rng)
        inside = np.where((moved >= 0) & (moved <= 1), moved, rng.random(len(moved)))
        copied = members[rng.choice(3, len(moved), p=[1 / 6, 1 / 3, 1 / 2]), np.arange(len(moved))]
        copied = np.where(rng.random(len(moved)) < self.mutation, rng.random(len(moved)), copied)
        changed = rng.random(len(moved)) < self.crossover
        changed[rng.integers(len(moved))] = True
        return np.where(changed, np.where(np.asarray(cube.categories) > 0, copied, inside), target)


def ended(told: Results) -> tuple[Ints, Floats]:
    """Numbers of the trials with a result or without hope of one, ascending, and what they cost, (n,) each.

    What breaks a limit costs more than all that keeps to it; what has no value costs infinity.
    """
    import numpy as np

    numbers = np.sort(told.ranking)
    return numbers, np.where(np.isin(numbers, told.known), told.costs[numbers], np.inf)


def generations(losses: Floats, population: int) -> list[Ints]:
    """The populations two rounds ago, one round ago and now, as positions in `losses`, the best first.

    losses: (n,), of trials in the order in which they ended; infinite ones are in no population. A round is
    `population` trials. Only the one of now where n or the finite ones do not suffice for three.
    """
    import numpy as np

    found = []
    for back in (2, 1, 0):
        sofar = losses[: max(0, len(losses) - back * population)]
        best = np.argsort(sofar, kind="stable")[:population]
        found.append(best[np.isfinite(sofar[best])])
    return found if len(found[0]) == population else found[-1:]


def forecast(members: Floats, threshold: float, reach: float, rng: np.random.Generator) -> Floats:
    """Where the series of three go next, (d,), not bound to [0, 1].

    members: (3, d), the oldest first, in [0, 1]. threshold: distance below which values count as equal. reach: t, how
    far a series that stands still is disturbed, in units of its spread. All three equal: x₁ + t spread (rand − ½), a
    spread of zero counting as the threshold; two of them: the least-squares line's next value, (4x₃ + x₂ − 2x₁)/3;
    else the even grey model, on the series translated by 1.55. Source: Hu et al. 2020.
    """
    import numpy as np

    x1, x2, x3 = members
    spread = members.max(axis=0) - members.min(axis=0)
    nearest = np.minimum(np.minimum(abs(x1 - x2), abs(x2 - x3)), abs(x1 - x3))
    still = x1 + reach * spread * (rng.random(len(x1)) - 0.5)
    line = (4 * x3 + x2 - 2 * x1) / 3
    apart = nearest >= threshold
    moved: Floats = np.where(spread < threshold, still, line)
    x1, x2, x3 = members[:, apart] + _TRANSLATION
    moved[apart] = grey_next(x1, x2, x3) - _TRANSLATION
    return moved


def grey_next(x1: Floats, x2: Floats, x3: Floats) -> Floats:
    """The fourth value of GM(1,1) on three, (m,); x2 and x3 differ and are not both zero.

    a = 2 (x₂ − x₃)/(x₂ + x₃), b = 2 (x₂² + x₁x₂ − x₁x₃)/(x₂ + x₃), x₄ = (1 − eᵃ)(x₁ − b/a) e^(−3a).
    Source: Hu et al. 2020, GM(1,1) on three points; for GM(1,1) Deng 1982.
    """
    import numpy as np

    a = 2 * (x2 - x3) / (x2 + x3)
    b = 2 * (x2**2 + x1 * x2 - x1 * x3) / (x2 + x3)
    following: Floats = -np.expm1(a) * (x1 - b / a) * np.exp(-3 * a)
    return following


def _rows(history: History, numbers: Ints, cube: Cube, rng: np.random.Generator) -> Floats:
    """The configurations of trials, (n, d); what does not exist at one is uniform."""
    import numpy as np

    rows = history.X[numbers]
    return cube.snap(np.where(history.active[numbers], rows, rng.random(rows.shape)))


def _progress(history: History, ahead: int) -> float:
    """How much of the budget of trials is used, 0 to 1; half where there is none."""
    total = history.settings.budget.trials if history.settings is not None else None
    return 0.5 if not total else min(1.0, (len(history) + ahead) / total)
