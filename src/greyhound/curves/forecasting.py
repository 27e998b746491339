"""`forecast`: how learning curves go on, alone or with the other curves of their study."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

from greyhound.curves.doubt import DEGREES, SCALE, doubt, moved
from greyhound.curves.ensemble import FAMILIES, average
from greyhound.curves.exploded import tamed
from greyhound.curves.shared import corrections
from greyhound.curves.smoothing import STEADY, Jitter, by_length, jitter, smoothed
from greyhound.errors import CurveError
from greyhound.grey.base import read_limits
from greyhound.numeric import threads

Floats: TypeAlias = NDArray[np.float64]

LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
"""Quantiles that a forecast has: the ends of the 95, 80 and 50 % intervals, and the median."""
_CERTAIN = 1e-12
_PLATEAU = 0.02
"""Most curves stand still if the newest half of the median one ranges over less than this part of their spread."""
_STILL = 0.01
"""Where they do, one that ranges over so little of it is half believed to stay."""
_PRIOR = 0.7
"""How far curves that were alike may be apart in the end, in standard deviations of all curves at their step."""
_LEAST = 1e-4
"""The smallest error to be expected, in such distances."""
_FURTHEST = 10_000_000
"""The last step of a forecast: grey models work out every step on the way there."""
_EXPLODED = 0.1
"""The doubt about a loss that exploded, as a part of how far it lies above those that did not."""


class Forecast(NamedTuple):
    """mean: the shape that was asked for. quantiles: the same with an axis more, the levels, rising."""

    mean: Floats
    quantiles: Floats


class Told(NamedTuple):
    """What was told of the final value of curves, all (m,).

    The errors follow a Student distribution with `degrees` of freedom, whose scale is 0.84 times std.
    """

    mean: Floats
    std: Floats
    degrees: Floats


def certain(values: Floats) -> Told:
    """Of values that are known, (m,)."""
    return Told(values, np.zeros(values.shape), np.full(values.shape, DEGREES))


def forecast(
    curve: ArrayLike,
    steps: int | Sequence[int],
    *,
    known: ArrayLike | None = None,
    configurations: ArrayLike | None = None,
    known_configurations: ArrayLike | None = None,
    levels: Sequence[float] = LEVELS,
    families: Sequence[str] = FAMILIES,
    limits: tuple[float, float] | None = None,
) -> Forecast:
    """What a curve, or each of many, will be after so many steps: `mean, quantiles = forecast(curve, 52)`.

    curve: (n,), or (m, n), values after steps 1 to n. NaN where there is no value: gaps are bridged, and what stands at
    the end is still to come. One value is enough. A curve that became infinite has diverged, and its forecast is NaN.
    Where more curves rise than fall larger values are better; one that exploded to the worse moves no other's forecast.
    One value alone does not tell how far it may move: then all quantiles lie at it.
    steps: one step or several, up to 10 million, counted as the curve's first is 1; a step that a curve has is not
    forecast but returned.
    known: (k, T), curves of the same study, k may be 0; those that reached a step in question are learned from.
    configurations, known_configurations: (m, d) and (k, d), in the unit cube, both or neither.
    levels: of the quantiles, in (0, 1). families: see FAMILIES. limits: what the metric cannot leave.

    Returns mean and quantiles of shapes (m, h) and (m, h, levels), without m for a single curve and without h for a
    single step. Raises CurveError.
    """
    curves = _curves(curve, "curve")
    wanted = np.atleast_1d(np.asarray(steps))
    if wanted.dtype.kind not in "iu" or wanted.ndim != 1 or not len(wanted) or wanted.min() < 1:
        raise CurveError(f"steps: expected whole numbers of at least 1; got {steps!r}.")
    if wanted.max() > _FURTHEST:
        raise CurveError(f"steps: forecasts reach up to step {_FURTHEST}; got {wanted.max()}: count in longer steps.")
    others = _known(known, int(wanted.max()))
    unknown = [family for family in families if family not in FAMILIES]
    if unknown or not families:
        raise CurveError(f"families: expected some of {', '.join(FAMILIES)}; got {', '.join(unknown) or 'none'}.")
    X, other_X = _configurations(configurations, known_configurations, len(curves), len(others))
    shares = _numbers(levels, "levels", "numbers between 0 and 1")
    if not ((shares > 0.0) & (shares < 1.0)).all():
        raise CurveError(f"levels: expected numbers between 0 and 1; got {levels!r}.")
    bounds = read_limits(limits)
    if bounds is None:
        raise CurveError(f"limits: expected two numbers, the lower one first, like (0, 1); got {limits!r}.")
    with threads.one():
        mean, std, degrees = _forecasts(curves, X, wanted, others, other_X, families)
    quantiles = mean[..., None] + SCALE * std[..., None] * student.ppf(shares, degrees[..., None])
    mean, quantiles = np.clip(mean, *bounds), np.clip(quantiles, *bounds)
    if np.ndim(steps) == 0:
        mean, quantiles = mean[:, 0], quantiles[:, 0]
    return Forecast(mean[0], quantiles[0]) if np.ndim(curve) == 1 else Forecast(mean, quantiles)


def at_step(
    curves: Floats,
    X: Floats,
    step: int,
    known: Floats,
    known_X: Floats,
    families: Sequence[str] = FAMILIES,
    shaking: Jitter = STEADY,
) -> Told:
    """What curves of losses, all of one length, will be at a later step.

    curves: (m, n), finite; X: (m, d); known: (k, T), finite up to `step` > n; known_X: (k, d). One that exploded moves
    no forecast of another, and keeps its own distance above the worst of the others. shaking: of the study's curves;
    forecasts go by what lies beneath it.
    """
    n = curves.shape[1]
    calm, calm_known = tamed(curves, known[:, :step])
    above = curves[:, -1] - calm[:, -1]
    both = smoothed(np.concatenate([calm, calm_known[:, :n]]), shaking)
    calm, calm_known = both[: len(calm)], np.hstack([both[len(calm) :], calm_known[:, n:]])
    unit = _unit(calm, calm_known)
    told = _of_calm(calm / unit, X, step, calm_known / unit, known_X, families)
    return Told(unit * told.mean + above, np.hypot(unit * told.std, _EXPLODED * above), told.degrees)


def _unit(curves: Floats, known: Floats) -> float:
    """About the spread of all values, or their size where they are one; a power of two, by which dividing is exact.

    In such units the least errors that models expect are small whatever the losses are. curves: (m, n), known: (k, T).
    """
    values = np.concatenate([curves.ravel(), known.ravel()])
    size = float(np.ptp(values)) or abs(float(values[0])) or 1.0
    return 2.0 ** math.floor(math.log2(size))


def _of_calm(curves: Floats, X: Floats, step: int, known: Floats, known_X: Floats, families: Sequence[str]) -> Told:
    """As `at_step`, of curves that have not exploded, in units of about their spread."""
    n = curves.shape[1]
    target = np.array([float(step)])
    found = average(curves, target, known, families)
    errors = known[:, step - 1] - found.known[:, 0]
    here = np.concatenate([curves[:, -1], known[:, n - 1]])
    left = np.sqrt(np.log(step / n) / np.log(step))
    scale = float(_PRIOR * here.std() * left) if len(here) > 2 else float(np.median(found.std))
    added, std = corrections(curves, X, known[:, :n], known_X, errors, scale)
    if not len(known):
        return Told(found.mean[:, 0], np.maximum(std, found.std[:, 0]), np.full(len(curves), DEGREES))
    last = curves[:, -1]
    wider, degrees = doubt(curves, known[:, :n], errors, max(_LEAST * scale, _CERTAIN))
    mean = last + _movement(curves, known[:, :n], float(here.std())) * (found.mean[:, 0] + added - last)
    return Told(mean, wider * std, np.full(len(curves), degrees))


def _movement(curves: Floats, known: Floats, spread: float) -> Floats:
    """How far each curve is from standing still where most do, (m,), in [0, 1]; 1 where most move.

    curves: (m, n), known: (k, n). spread: of their last values. On a plateau what the few that move teach is noise to
    those that do not, and would undo the order that their last values tell.
    """
    movement = moved(np.concatenate([curves, known]))
    if curves.shape[1] < 2 or np.median(movement) >= _PLATEAU * spread:
        return np.ones(len(curves))
    squares = movement[: len(curves)] ** 2
    return np.asarray(squares / (squares + (_STILL * spread) ** 2))


def chance_below(value: float | Floats, mean: Floats, std: Floats, degrees: Floats) -> Floats:
    """The probability that what was told, see Told, turns out below a value; NaN where nothing is known.

    value, mean, std, degrees: of shapes that go together, which the answer has.
    """
    least = _CERTAIN * np.abs(mean) + np.finfo(float).tiny
    with np.errstate(over="ignore"):
        return np.asarray(student.cdf((value - mean) / (SCALE * np.maximum(std, least)), degrees))


def _forecasts(
    curves: Floats, X: Floats, steps: NDArray[np.int64], known: Floats, known_X: Floats, families: Sequence[str]
) -> Told:
    """See Told, but (m, h), for each of the steps, (h,)."""
    mean = np.full((len(curves), len(steps)), np.nan)
    std, degrees = np.zeros(mean.shape), np.full(mean.shape, DEGREES)
    lengths, filled = bridged(curves)
    known_lengths, known_filled = bridged(known)
    side = -1.0 if _rise(filled, lengths) + _rise(known_filled, known_lengths) > 0 else 1.0
    shaking = jitter([*by_length(side * filled, lengths), *by_length(side * known_filled, known_lengths)])
    for n in np.unique(lengths[lengths > 0]):
        group = np.flatnonzero(lengths == n)
        for at, step in enumerate(steps.tolist()):
            if step <= n:
                mean[group, at] = filled[group, step - 1]
                continue
            told = np.flatnonzero(known_lengths >= step)
            losses, std[group, at], degrees[group, at] = at_step(
                side * filled[group, :n], X[group], step, side * known_filled[told, :step], known_X[told], families,
                shaking,
            )  # fmt: skip
            mean[group, at] = side * losses
    return Told(mean, std, degrees)


def _rise(curves: Floats, lengths: NDArray[np.intp]) -> int:
    """How many more curves end above their beginning than below it. curves: (m, n), NaN behind `lengths`, (m,)."""
    there = np.flatnonzero(lengths)
    first, last = curves[there, 0], curves[there, lengths[there] - 1]
    return int((last > first).sum()) - int((last < first).sum())


def bridged(curves: Floats) -> tuple[NDArray[np.intp], Floats]:
    """How long each curve is, (m,), 0 for one that has no value or diverged, and the curves with their gaps bridged.

    Gaps are bridged by straight lines, a gap at the beginning by the first value.
    """
    there = np.isfinite(curves)
    n = curves.shape[1]
    lengths = np.where(there.any(axis=1), n - np.argmax(there[:, ::-1], axis=1), 0)
    lengths[np.isinf(curves).any(axis=1)] = 0
    filled = curves.copy()
    k = np.arange(n)
    for row in np.flatnonzero((lengths > 0) & (there.sum(axis=1) < lengths)):
        filled[row, : lengths[row]] = np.interp(k[: lengths[row]], k[there[row]], curves[row, there[row]])
    return lengths, filled


def _known(values: ArrayLike | None, steps: int) -> Floats:
    """Known curves, (k, T), T >= steps, NaN where they have no value; k is 0 for None and for nothing."""
    curves = _numbers(() if values is None else values, "known")
    if curves.ndim and not len(curves):
        return np.empty((0, steps))
    curves = _curves(curves, "known")
    return np.pad(curves, ((0, 0), (0, max(0, steps - curves.shape[1]))), constant_values=np.nan)


def _numbers(values: ArrayLike, name: str, expected: str = "numbers, of shape (n,) or (m, n)") -> Floats:
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise CurveError(f"{name}: expected {expected}; got {values!r}.") from None


def _curves(values: ArrayLike, name: str) -> Floats:
    curves = np.atleast_2d(_numbers(values, name))
    if curves.ndim != 2 or not curves.shape[1]:
        raise CurveError(f"{name}: expected the shape (n,) or (m, n), n >= 1; got {np.shape(values)}.")
    return curves


def _configurations(X: ArrayLike | None, known_X: ArrayLike | None, count: int, known: int) -> tuple[Floats, Floats]:
    if X is None and known_X is None:
        return np.zeros((count, 0)), np.zeros((known, 0))
    if X is None or known_X is None:
        raise CurveError("configurations: give those of the curves and those of the known ones, or neither.")
    rows = "rows of numbers from 0 to 1"
    mine, theirs = (np.atleast_2d(_numbers(each, "configurations", rows)) for each in (X, known_X))
    if not known and not theirs.size:
        theirs = theirs.reshape(0, mine.shape[-1])
    if mine.shape != (count, mine.shape[-1]) or theirs.shape != (known, mine.shape[-1]):
        raise CurveError(
            f"configurations: expected the shapes ({count}, d) and ({known}, d); got {mine.shape} and {theirs.shape}."
        )
    if not all(np.isfinite(each).all() for each in (mine, theirs)):
        raise CurveError(f"configurations: expected {rows}; one of them is NaN or infinite.")
    return mine, theirs
