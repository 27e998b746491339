"""Grey relational analysis: how alike the courses of short series are, and which alternative is nearest to the ideal.

A grade says that two series move together, not that one causes the other.

Source: Deng's grade: Deng 1982 and 1989; degrees of incidence: Liu & Lin 2006, chapter on grey incidence analysis;
ranking against the ideal of normalised criteria: Deng 1989, and as used with Taguchi's designs: Lin & Lin,
International Journal of Machine Tools & Manufacture 42, 2002.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from greyhound.errors import GreyError
from greyhound.grey.base import Series, check_series

Table = NDArray[np.float64]
"""One row a series or an alternative, one column a point or a criterion, (m, n)."""


def deng_coefficients(reference: ArrayLike, compared: ArrayLike, distinguishing: float = 0.5) -> Table:
    """γᵢ(k) = (Δmin + ρ Δmax) / (Δᵢ(k) + ρ Δmax), Δᵢ(k) = |x₀(k) − xᵢ(k)|, (m, n), in (0, 1].

    reference: x₀, (n,). compared: the xᵢ, (m, n), in the same units: normalise first. distinguishing: ρ in (0, 1].
    Least and largest Δ are over all series and points, so a grade depends on what else is compared. All are 1 where
    every series equals the reference.
    """
    if not 0 < _number(distinguishing) <= 1:
        raise GreyError(f"distinguishing: expected a number above 0 and up to 1; got {distinguishing!r}.")
    x0 = check_series(reference, 1, "reference")
    off = np.abs(_check_table(compared, len(x0), "compared") - x0)
    largest = float(off.max())
    if largest == 0:
        return np.ones_like(off)
    return (float(off.min()) + distinguishing * largest) / (off + distinguishing * largest)


def deng_grade(
    reference: ArrayLike, compared: ArrayLike, distinguishing: float = 0.5, weights: ArrayLike | None = None
) -> Series:
    """Deng's grey relational grade of each compared series, (m,), in (0, 1]: the (weighted) mean of its coefficients.

    weights: one a point, >= 0; they are divided by their sum. The other arguments as for `deng_coefficients`.
    """
    coefficients = deng_coefficients(reference, compared, distinguishing)
    return coefficients @ _check_weights(weights, coefficients.shape[1])


def absolute_degree(first: ArrayLike, second: ArrayLike) -> float:
    """The absolute degree of incidence ε of two series of equal length >= 2, in (0, 1]: alike in their rise.

    ε = (1 + |s₀| + |s₁|) / (1 + |s₀| + |s₁| + |s₀ − s₁|), with s the area under x − x(1). Depends on the units.
    """
    x, y = check_series(first, 2, "first"), check_series(second, 2, "second")
    if len(x) != len(y):
        raise GreyError(f"second: expected {len(x)} values, as many as the first series has; got {len(y)}.")
    s0, s1 = _area(x), _area(y)
    size = 1 + abs(s0) + abs(s1)
    return float(size / (size + abs(s0 - s1)))


def relative_degree(first: ArrayLike, second: ArrayLike) -> float:
    """The relative degree of incidence r: `absolute_degree` of x/x(1) and y/y(1), so independent of units."""
    x, y = check_series(first, 2, "first"), check_series(second, 2, "second")
    for name, values in (("first", x), ("second", y)):
        if values[0] == 0:
            raise GreyError(f"{name}: a series that starts at zero has no relative course; leave out its first value.")
    return absolute_degree(x / x[0], y / y[0])


def synthetic_degree(first: ArrayLike, second: ArrayLike, theta: float = 0.5) -> float:
    """The synthetic degree of incidence: θ ε + (1 − θ) r, θ in [0, 1]."""
    if not 0 <= _number(theta) <= 1:
        raise GreyError(f"theta: expected a number from 0 to 1; got {theta!r}.")
    return theta * absolute_degree(first, second) + (1 - theta) * relative_degree(first, second)


def larger_better(values: ArrayLike) -> Series:
    """(x − min) / (max − min), (n,), 1 for the largest; all 1 where the values are equal."""
    x = check_series(values, 1, "values")
    spread = float(x.max() - x.min())
    return (x - x.min()) / spread if spread else np.ones_like(x)


def smaller_better(values: ArrayLike) -> Series:
    """(max − x) / (max − min), (n,), 1 for the smallest; all 1 where the values are equal."""
    return larger_better(-check_series(values, 1, "values"))


def nominal_better(values: ArrayLike, target: float) -> Series:
    """1 − |x − target| / max |x − target|, (n,), 1 on target; all 1 where all are on target."""
    x = check_series(values, 1, "values")
    off = np.abs(x - check_series([target], 1, "target")[0])
    return 1 - off / off.max() if off.max() else np.ones_like(x)


@dataclass(frozen=True)
class Ranking:
    """Alternatives by their grey relational grade with the ideal, best first."""

    order: tuple[int, ...]
    """Numbers of the alternatives from 0, best first; of equal ones the earlier."""
    grades: Series
    """(m,), in (0, 1], in the order given."""
    coefficients: Table
    """(m, criteria): how near each comes to the best there is in each criterion; the reason for its grade."""


def rank(
    alternatives: ArrayLike,
    goals: Sequence[str | float],
    weights: ArrayLike | None = None,
    distinguishing: float = 0.5,
) -> Ranking:
    """Rank alternatives on several criteria by Deng's grade with an ideal that is best in each.

    alternatives: (m, criteria). goals: for each criterion "larger", "smaller", or the number that it should be.
    weights: for each criterion, >= 0, equal without. A criterion that is the same for all says nothing: 1 for each.
    """
    if isinstance(goals, str) or not isinstance(goals, Sequence | np.ndarray):
        raise GreyError(f'goals: expected "larger", "smaller" or a number for each criterion; got {goals!r}.')
    table = _check_table(alternatives, len(goals), "alternatives")
    normalised = np.column_stack([_normalise(column, goal) for column, goal in zip(table.T, goals, strict=True)])
    coefficients = deng_coefficients(np.ones(len(goals)), normalised, distinguishing)
    grades = coefficients @ _check_weights(weights, len(goals))
    return Ranking(tuple(np.argsort(-grades, kind="stable").tolist()), grades, coefficients)


_NORMALISED = {"larger": larger_better, "smaller": smaller_better}


def _normalise(column: Series, goal: str | float) -> Series:
    if isinstance(goal, str):
        if goal not in _NORMALISED:
            raise GreyError(f'goals: expected "larger", "smaller" or a number for each criterion; got {goal!r}.')
        return _NORMALISED[goal](column)
    return nominal_better(column, goal)


def _area(x: Series) -> float:
    """s = Σ from 2 to n − 1 of x(k) − x(1), and half the last."""
    rise = x - x[0]
    return float(rise[1:-1].sum() + rise[-1] / 2)


def _check_table(values: ArrayLike, columns: int, name: str) -> Table:
    try:
        table = np.array(values, dtype=np.float64, ndmin=2)
    except (TypeError, ValueError):
        raise GreyError(f"{name}: expected rows of numbers, all of the same length.") from None
    if table.ndim != 2 or not len(table) or table.shape[1] != columns:
        raise GreyError(f"{name}: expected rows of {columns} numbers; got the shape {table.shape}.")
    return np.stack([check_series(row, 1, f"{name}, row {number}") for number, row in enumerate(table, 1)])


def _check_weights(weights: ArrayLike | None, count: int) -> Series:
    if weights is None:
        return np.full(count, 1 / count)
    w = check_series(weights, 1, "weights")
    if len(w) != count or (w < 0).any() or w.sum() == 0:
        raise GreyError(f"weights: expected {count} numbers of at least 0, not all 0; got {w.tolist()}.")
    return w / float(w.sum())


def _number(value: Any) -> float:
    """A number, or an array or tensor of one; NaN for anything else."""
    try:
        return math.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        return math.nan
