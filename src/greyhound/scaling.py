"""Tune small models, forecast the best value of a hyperparameter for a big one.

A study for each of several growing sizes, kept under names of their own in one storage; of each the best value of the
hyperparameter, smoothed over the best few trials; from these the value at a size that was never tuned, with an
interval, by `grey.extrapolate`; and the space for that size, narrowed to the interval.

    from greyhound import scaling

    found = scaling.scale(train, space, sizes=[64, 128, 256], predict=1024, parameter="lr", maximize="accuracy",
                          budget="20 trials", storage="widths.db")
    found.mean, found.low, found.high
    print(found.space.to_yaml())

Source: tuning at small scale for a large one: Yang et al., "Tensor programs V", 2022; power laws of optima: Kaplan et
al., "Scaling laws for neural language models", 2020; the grey model beside them: see `grey.extrapolation`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greyhound.analysis import ranking
from greyhound.display import make_display
from greyhound.errors import SpaceError, StudyError
from greyhound.history import History
from greyhound.jobs import Evaluator
from greyhound.parameters import UNSET
from greyhound.space import Float, Int, Ordinal, Parameter, Space
from greyhound.study import Study
from greyhound.tuning import as_evaluator, check_space, drive, make_executor

if TYPE_CHECKING:
    from greyhound import grey

BEST = 3
"""The best value is the mean over so many of the best trials: the very best is partly luck."""
_FEWEST_SIZES = 3
_LEAST_FACTOR = 2.0
"""A narrowed range of magnitudes holds at least the forecast over and times this."""
_LEAST_PART = 0.1
"""A narrowed linear range holds at least the forecast less and plus this part of the whole."""
_BEYOND = 3.0
"""A range of magnitudes is left only as far as the forecast over or times this asks for."""
_EDGE = 0.05
_NEARLY = 1 - 1e-9


@dataclass(frozen=True)
class Optimum:
    """The best value at one size: the mean over `trials`, the best first, of which `metric` is the best's.

    at_edge: whether it lies at an end of the range that was searched, so that the truth may lie beyond.
    """

    size: float
    value: float
    trials: tuple[int, ...]
    metric: float
    at_edge: bool


@dataclass(frozen=True)
class Forecast:
    """The best value of a parameter at a size that was never tuned, and where it comes from.

    low, high: an interval that should hold it with the probability `extrapolation.level`. candidates: what each
    forecaster says, as (name, mean, low, high, leave-last-out error). space: for that size, the range
    narrowed, and the forecast as the default.
    """

    parameter: str
    size: float
    mean: float
    low: float
    high: float
    optima: tuple[Optimum, ...]
    candidates: tuple[tuple[str, float, float, float, float], ...]
    extrapolation: grey.Extrapolation
    space: Space


def scale(
    train: Callable[[Any], Any] | str | Evaluator,
    space: Space | Mapping[str, Any],
    *,
    sizes: Sequence[float],
    predict: float,
    parameter: str,
    size_parameter: str = "size",
    storage: str | Path | None = None,
    progress: bool | str = "auto",
    workers: int | str = "auto",
    gpus_per_trial: float = 1,
    cores_per_trial: int | None = None,
    trial_timeout_s: float | None = None,
    seed: int = 0,
    **study: Any,
) -> Forecast | None:
    """Tune each size, or go on where an earlier call was, and forecast; None where Ctrl-C came in between.

    train: a function of the trial, its import path, or an evaluator such as Script; the size is one of its
    parameters, named `size_parameter`. space: without the size. sizes: at least three, growing. predict: a larger one.
    parameter: a Float, an Int or an Ordinal of numbers above zero. storage: a file or database for all studies,
    which are named after their size. seed: the first study's, those after it have the next ones, so that not all try
    the same values. study: `maximize` or `minimize`, `budget` (of each size) and all else that
    Study takes. The other arguments are as for `tune`.

    Raises StudyError, SpaceError and what `tune` raises, before anything is trained, where an argument is wrong.
    """
    space = space if isinstance(space, Space) else Space(space)
    check(space, sizes, predict, parameter, size_parameter)
    if study.get("budget") is None:
        raise StudyError("scale: give a budget for each size, such as budget='20 trials'.")
    evaluator, target = as_evaluator(train)
    check_space(evaluator, sized(space, size_parameter, predict), max_steps=study.get("max_steps"))
    options: dict[str, Any] = {
        "workers": workers,
        "gpus_per_trial": gpus_per_trial,
        "cores_per_trial": cores_per_trial,
        "trial_timeout_s": trial_timeout_s,
    }
    histories: dict[float, History] = {}
    for number, size in enumerate(sizes):
        opened = Study(
            sized(space, size_parameter, size),
            storage=storage,
            name=study_name(size_parameter, size),
            target={**target, **options} if target else {},
            seed=seed + number,
            **study,
        )
        with opened:
            if len(opened.history.objectives) != 1:
                raise StudyError(
                    "scale: the best value of one metric is followed; give one to maximize or to minimize."
                )
            if not opened.finished and drive(opened, make_executor(evaluator, **options), make_display(progress)):
                return None
            histories[size] = opened.history
    return forecast(histories, space, predict, parameter, size_parameter)


def check(space: Space, sizes: Sequence[float], predict: float, parameter: str, size_parameter: str = "size") -> None:
    """StudyError or SpaceError where the arguments of `scale` cannot be used."""
    if parameter not in space:
        raise StudyError(f"scale: there is no parameter {parameter!r}; the space has {', '.join(space) or 'none'}.")
    if size_parameter in space:
        raise StudyError(f"scale: {size_parameter} is the size, which each study sets; leave it out of the space.")
    if len(sizes) < _FEWEST_SIZES or any(later <= earlier for earlier, later in itertools.pairwise(sizes)):
        shown = ", ".join(f"{size:g}" for size in sizes)
        raise StudyError(f"scale: at least {_FEWEST_SIZES} sizes, each above the one before, are needed; got {shown}.")
    if not sizes[0] > 0 or not all(map(math.isfinite, (*sizes, predict))):
        raise StudyError("scale: sizes must be finite numbers above 0.")
    if predict <= sizes[-1]:
        raise StudyError(f"scale: the size to predict must be above the last one, {sizes[-1]:g}; got {predict:g}.")
    kind = space[parameter]
    numbers = isinstance(kind, Ordinal) and all(
        isinstance(choice, int | float) and not isinstance(choice, bool) and choice > 0 for choice in kind.choices
    )
    if not isinstance(kind, Float | Int) and not numbers:
        raise StudyError(f"scale: {parameter} must be a float, an int or an ordinal of numbers above 0: {kind!r}.")
    if kind.size == 1:
        raise StudyError(f"scale: {parameter} has one value only; there is nothing to forecast.")


def sized(space: Space, size_parameter: str, size: float) -> Space:
    """The space with the size as one more parameter, of that one value."""
    whole = float(size).is_integer()
    only: Parameter = (
        Int(int(size), int(size), default=int(size)) if whole else Float(float(size), float(size), default=float(size))
    )
    return Space({size_parameter: only, **space.parameters}, constraint=space.constraints)


def study_name(size_parameter: str, size: float) -> str:
    """The name of a size's study within the storage."""
    return f"{size_parameter}-{size:.12g}"


def best_value(history: History, parameter: str, size: float, count: int = BEST) -> Optimum:
    """The mean of a parameter over the `count` best trials that have it; of its logarithm for magnitudes.

    StudyError where no trial has both the parameter and a usable value.
    """
    kind = history.space[parameter]
    numbers = sorted(ranking.usable(history).tolist(), key=lambda number: (history.losses[number, 0], number))
    best = [trial for trial in map(history.trial, numbers) if parameter in trial.params][:count]
    if not best:
        raise StudyError(f"scale: at size {size:g} no trial has a usable value; look at its trials, then run it again.")
    logarithmic = _logarithmic(kind)
    values = [math.log(trial.params[parameter]) if logarithmic else float(trial.params[parameter]) for trial in best]
    mean = math.fsum(values) / len(values)
    unit = math.fsum(kind.encode(trial.params[parameter]) for trial in best) / len(best)
    ends = [kind.encode(value) for value in (kind.values(2)[0], kind.values(2)[-1])]
    at_edge = unit < max(_EDGE, ends[0] + 1e-9) or unit > min(1 - _EDGE, ends[1] - 1e-9)
    metric = best[0].metrics[history.objectives[0].metric]
    numbers_used = tuple(trial.number for trial in best)
    return Optimum(size, math.exp(mean) if logarithmic else mean, numbers_used, metric, at_edge)


def forecast(
    histories: Mapping[float, History], space: Space, predict: float, parameter: str, size_parameter: str = "size"
) -> Forecast:
    """The best value at `predict` from finished studies, by size in growing order; `space` without the size.

    A linear range is forecast as a line over the logarithm of the size, and stays within its bounds. StudyError where
    a study has no usable trial.
    """
    from greyhound import grey

    optima = tuple(best_value(history, parameter, size) for size, history in histories.items())
    there, back = _positive(space[parameter])
    found = grey.extrapolate(list(histories), [there(each.value) for each in optima], at=predict)
    mean, low, high = (back(float(each[0])) for each in (found.mean, found.low, found.high))
    candidates = tuple(
        (one.name, back(float(one.mean[0])), back(float(one.low[0])), back(float(one.high[0])), one.error)
        for one in found.candidates
    )
    narrowed = narrow(sized(space, size_parameter, predict), parameter, mean, low, high)
    return Forecast(parameter, predict, mean, low, high, optima, candidates, found, narrowed)


def narrow(space: Space, parameter: str, mean: float, low: float, high: float) -> Space:
    """The space with one parameter's range brought to that from low to high, and its default to the mean.

    low <= mean <= high. Some room about the mean is kept. A range of magnitudes may move beyond the old one where the
    forecast does; a linear one and a list do not. Without defaults where the new one would break a constraint.
    """
    kind = space[parameter]
    parameters = {**space.parameters, parameter: _narrowed(kind, mean, *_range(kind, mean, low, high))}
    try:
        return Space(parameters, constraint=space.constraints)
    except SpaceError:
        return Space({name: _without_default(each) for name, each in parameters.items()}, constraint=space.constraints)


def report(found: Forecast, size_parameter: str = "size") -> list[str]:
    """The forecast as lines of text: what was found at each size, what each forecaster says, and the space as YAML."""
    lines = []
    for each in found.optima:
        edge = "; at the edge of its range: widen it" if each.at_edge else ""
        what = f"the mean over the best {len(each.trials)}, the best metric {each.metric:.6g}"
        lines.append(f"{size_parameter} {each.size:g}: {found.parameter} {each.value:.4g} ({what}){edge}")
    lines.append("")
    for name, mean, low, high, error in found.candidates:
        judged = _off(error, found.space[found.parameter]) if math.isfinite(error) else "not to be judged"
        chosen = " <- chosen" if name == found.extrapolation.chosen else ""
        lines.append(f"{name}: {mean:.4g} ({low:.4g} to {high:.4g}), on the last sizes {judged}{chosen}")
    lines += [
        f"forecast: {found.parameter} {found.mean:.4g} at {size_parameter} {found.size:g}, "
        f"{found.low:.4g} to {found.high:.4g} with {found.extrapolation.level:.0%}",
        "",
        f"# space for {size_parameter} {found.size:g}",
        found.space.to_yaml().rstrip(),
    ]
    return lines


def _off(error: float, kind: Parameter) -> str:
    """A leave-last-out error as a share of the value, for magnitudes; else of the range that was searched."""
    if _logarithmic(kind):
        return f"{100 * math.expm1(min(error, 20.0)):.3g} % off"
    return f"{100 * error:.3g} % of the range searched off"


def _logarithmic(kind: Parameter) -> bool:
    return isinstance(kind, Ordinal) or bool(getattr(kind, "log", False))


def _positive(kind: Parameter) -> tuple[Callable[[float], float], Callable[[float], float]]:
    """To a number above 0 whose logarithm is to be forecast, and back."""
    if _logarithmic(kind) or not isinstance(kind, Float | Int):
        return float, float
    low, width = kind.low, kind.high - kind.low
    return (
        lambda value: math.exp((value - low) / width),
        lambda number: min(max(low + width * math.log(number), low), low + width),
    )


def _range(kind: Parameter, mean: float, low: float, high: float) -> tuple[float, float]:
    """The range from low to high, with room about the mean, and no further out than that asks for."""
    first, last = _ends(kind)
    if _logarithmic(kind):
        low, high = max(low, min(first, mean / _BEYOND)), min(high, max(last, mean * _BEYOND))
        return min(low, mean / _LEAST_FACTOR), max(high, mean * _LEAST_FACTOR)
    room = _LEAST_PART * (last - first)
    return max(first, min(low, mean - room)), min(last, max(high, mean + room))


def _narrowed(kind: Parameter, mean: float, low: float, high: float) -> Parameter:
    if isinstance(kind, Ordinal):
        nearest = min(kind.choices, key=lambda choice: abs(math.log(choice / mean)))
        inside = [choice for choice in kind.choices if low * _NEARLY <= choice <= high / _NEARLY or choice == nearest]
        return Ordinal(inside, default=nearest, when=kind.when)
    if isinstance(kind, Int):
        least = max(1, math.floor(low)) if kind.log else kind.low + math.floor((low - kind.low) / kind.step) * kind.step
        whole = replace(kind, low=least, high=max(least, math.ceil(high)), default=UNSET)
        return replace(whole, default=whole.decode(whole.encode(round(mean))))
    assert isinstance(kind, Float)  # noqa: S101 - `check` lets nothing else through
    if kind.step is not None:
        low = kind.low + math.floor((low - kind.low) / kind.step) * kind.step
    least_float, most = (_short(end) if kind.log else min(max(_short(end), kind.low), kind.high) for end in (low, high))
    narrowed = replace(kind, low=least_float, high=most, default=UNSET)
    return replace(narrowed, default=narrowed.decode(narrowed.encode(_short(mean))))


def _ends(kind: Parameter) -> tuple[float, float]:
    values = kind.values(2) if not isinstance(kind, Ordinal) else (min(kind.choices), max(kind.choices))
    return float(values[0]), float(values[-1])


def _without_default(kind: Parameter) -> Parameter:
    if isinstance(kind, Ordinal):
        return Ordinal(kind.choices, when=kind.when)
    return replace(kind, default=UNSET)


def _short(number: float) -> float:
    """Rounded to three digits."""
    return float(f"{number:.3g}")


__all__ = [
    "Forecast",
    "Optimum",
    "best_value",
    "check",
    "forecast",
    "narrow",
    "report",
    "scale",
    "sized",
    "study_name",
]
