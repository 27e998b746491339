"""Finals: is the winner real? The best few and the default, trained again on fresh seeds, compared in pairs.

The value by which the search chose its winner is the best of many noisy ones and so flatters it. The finals see only
trainings on seeds of their own, the same for every configuration, and correct for choosing once more among the
finalists (see `numeric.comparison`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from greyhound.analysis import ranking
from greyhound.errors import StudyError
from greyhound.trial import Trial, TrialState, derive_seed

if TYPE_CHECKING:
    import numpy as np

    from greyhound.history import History
    from greyhound.numeric.comparison import Interval

LEVEL = 0.95
"""How often the intervals hold."""


@dataclass(frozen=True, slots=True)
class Finalist:
    """A configuration of the finals.

    trial: the search's trial; its number, parameters and the value that the search saw. values: the metric on each
    fresh seed, in the order of the finals' seeds. mean: with the interval that holds for all finalists at
    once. gain: over the default, positive where it is better, such intervals too; None for the default itself, or
    where there is none. chance: that it is the best of all, the default among them. failures: seeds on which its
    training failed. test: the held-out metric's mean with such an interval, where the study names one.
    """

    trial: Trial
    values: tuple[float, ...]
    searched: float
    mean: Interval
    gain: Interval | None
    chance: float
    default: bool = False
    failures: int = 0
    test: Interval | None = None


@dataclass(frozen=True, slots=True)
class Finals:
    """What the finals found.

    finalists: the best mean first, those that failed on a seed last. winner: the best of them, the default left out;
    None where all of them failed. gain: of the winner over the default, the interval corrected for having been
    picked, the estimate taken on seeds that did not pick it; None without a default. verdict: in a sentence. complete:
    whether all replicates have ended. seeds: how many were compared.
    """

    metric: str
    finalists: tuple[Finalist, ...]
    winner: Finalist | None
    gain: Interval | None
    verdict: str
    complete: bool
    seeds: int

    @property
    def default(self) -> Finalist | None:
        """The default configuration, where it took part."""
        return next((each for each in self.finalists if each.default), None)


def candidates(history: History, top: int) -> list[Trial]:
    """The `top` best different configurations of the search, then the default if it has been tried."""
    default = ranking.baseline(history)
    kept: list[Trial] = []
    seen = {_key(default.params)} if default is not None else set()
    for number in ranking.ranked(history):
        trial = history.trial(number)
        if len(kept) == top:
            break
        if (key := _key(trial.params)) not in seen:
            seen.add(key)
            kept.append(trial)
    return [*kept, default] if default is not None else kept


def missing(history: History, top: int, seeds: int) -> list[tuple[Trial, int]]:
    """The replicates that finals of `top` configurations on `seeds` seeds lack: of which trial, on which seed.

    Seed by seed. StudyError where there are several objectives, or no trial has a usable value.
    """
    if len(history.objectives) != 1:
        raise StudyError(f"finals compare one objective; the study has {len(history.objectives)}.")
    for name, given in (("top", top), ("seeds", seeds)):
        if isinstance(given, bool) or not isinstance(given, int) or given < 1:
            raise StudyError(f"finals: {name} must be a whole number of at least 1; got {given!r}.")
    chosen = candidates(history, top)
    if not chosen or ranking.best(history) is None:
        raise StudyError(f"{ranking.why_none(history)}.")
    known: set[tuple[int | None, int | None]] = {(trial.replicates, trial.seed) for trial in history.replicates}
    known |= {(event.replicates, event.seed) for _, event in history.replicates_due}
    wanted = [(trial, derive_seed(history.seed, -1 - at)) for at in range(seeds) for trial in chosen]
    return [(trial, seed) for trial, seed in wanted if (trial.number, seed) not in known]


def finals(history: History) -> Finals | None:
    """What is known of the finals; None where none were begun, or no seed has been trained by all that have not failed.

    Where all have failed on a seed that is what is known, of 0 seeds.
    """
    import numpy as np

    if len(history.objectives) != 1 or not (runs := _runs(history)):
        return None
    objective = history.objectives[0]
    failed = {number: sum(_failed(run) for run in row.values()) for number, row in runs.items()}
    whole = [number for number in runs if not failed[number]]
    seeds = _shared_seeds({number: runs[number] for number in whole}, objective.metric)
    baseline = ranking.baseline(history)
    default = baseline.number if baseline is not None and baseline.number in runs else None
    if whole and not seeds:
        return None
    sign = -1.0 if objective.maximize else 1.0
    values = {number: np.array([runs[number][s].metrics[objective.metric] for s in seeds]) for number in whole}
    made = _compared(history, values, sign, default) if whole else []
    if history.settings is not None and history.settings.test is not None:
        made = _tested(made, runs, seeds, history.settings.test, default)
    made.sort(key=lambda each: sign * each.mean.estimate)
    lost = [_lost(history, number, failed[number], default) for number in runs if failed[number]]
    winner = next((each for each in made if not each.default), None)
    gain = _gain(values, sign, default, winner)
    complete = not history.replicates_open
    verdict = _verdict(objective.metric, made, winner, gain, default is not None)
    return Finals(objective.metric, (*made, *lost), winner, gain, verdict, complete, len(seeds))


def describe(found: Finals) -> list[str]:
    """The finals in lines of plain text."""
    told = [f"finals: {found.verdict}"]
    for each in found.finalists:
        name = "default" if each.default else f"trial {each.trial.number}"
        if each.failures:
            told.append(f"  {name}: failed on {counted(each.failures)}")
            continue
        held_out = f"; {_bracket(each.test)} on the held-out test" if each.test is not None else ""
        told.append(
            f"  {name}: {found.metric} {_bracket(each.mean)} on {counted(found.seeds)} (the search saw "
            f"{each.searched:.6g}); best of these with a chance of {each.chance:.0%}{held_out}"
        )
    return told


def counted(seeds: int) -> str:
    """So many fresh seeds, in words."""
    return f"{seeds} fresh seed{'s' if seeds != 1 else ''}"


def _runs(history: History) -> dict[int, dict[int, Trial]]:
    """For each candidate its replicates by seed."""
    runs: dict[int, dict[int, Trial]] = {}
    for trial in history.replicates:
        if trial.replicates is not None:
            runs.setdefault(trial.replicates, {})[trial.seed] = trial
    return runs


def _failed(trial: Trial) -> bool:
    return trial.state.failed and trial.state is not TrialState.LOST


def _shared_seeds(runs: Mapping[int, Mapping[int, Trial]], metric: str) -> list[int]:
    """Seeds on which all of them were trained to the end, in the order in which the first was."""
    done = [
        [seed for seed, run in row.items() if run.state is TrialState.COMPLETED and math.isfinite(run.metrics[metric])]
        for row in runs.values()
    ]
    return [seed for seed in done[0] if all(seed in row for row in done)] if done else []


def _compared(history: History, values: Mapping[int, np.ndarray], sign: float, default: int | None) -> list[Finalist]:
    import numpy as np

    from greyhound.numeric.comparison import chances

    means = _means(values, default)
    others = {number: row for number, row in values.items() if number != default}
    gains: dict[int, Interval] = {}
    if default is not None and default in values:
        gains = _means({number: sign * (values[default] - row) for number, row in others.items()}, None)
    order = [*others, *(number for number in values if number == default)]
    shares = chances(sign * np.array([values[n] for n in order]), np.random.default_rng(history.seed))
    return [
        Finalist(
            trial=history.trial(number),
            values=tuple(values[number].tolist()),
            searched=_searched(history, number),
            mean=means[number],
            gain=gains.get(number),
            chance=float(share),
            default=number == default,
        )
        for number, share in zip(order, shares, strict=True)
    ]


def _means(values: Mapping[int, np.ndarray], default: int | None) -> dict[int, Interval]:
    """The mean of each, with intervals that hold for all finalists at once, and for the default by itself."""
    import numpy as np

    from greyhound.numeric.comparison import intervals

    found: dict[int, Interval] = {}
    for numbers in ([n for n in values if n != default], [n for n in values if n == default]):
        if numbers:
            rows = np.array([values[number] for number in numbers])
            found |= dict(zip(numbers, intervals(rows, LEVEL), strict=True))
    return found


def _tested(
    finalists: list[Finalist],
    runs: Mapping[int, Mapping[int, Trial]],
    seeds: list[int],
    metric: str,
    default: int | None,
) -> list[Finalist]:
    """With the held-out metric's means, of those that told it on every seed."""
    import numpy as np

    numbers = [each.trial.number for each in finalists]
    values = {
        number: np.array([runs[number][seed].metrics.get(metric, math.nan) for seed in seeds]) for number in numbers
    }
    means = _means({number: row for number, row in values.items() if np.isfinite(row).all()}, default)
    return [replace(each, test=means.get(each.trial.number)) for each in finalists]


def _lost(history: History, number: int, failures: int, default: int | None) -> Finalist:
    from greyhound.numeric.comparison import Interval

    unknown = Interval(math.nan, math.nan, math.nan)
    return Finalist(
        history.trial(number), (), _searched(history, number), unknown, None, 0.0, number == default, failures
    )


def _searched(history: History, number: int) -> float:
    return history.trial(number).metrics.get(history.objectives[0].metric, math.nan)


def _gain(
    values: Mapping[int, np.ndarray], sign: float, default: int | None, winner: Finalist | None
) -> Interval | None:
    """The winner's over the default: its simultaneous interval, and the estimate by the other seeds."""
    import numpy as np

    from greyhound.numeric.comparison import intervals, picked_by_others

    if default is None or default not in values or winner is None or winner.gain is None:
        return None
    rows = np.array([sign * row for number, row in values.items() if number != default])
    picked = picked_by_others(rows)
    return replace(winner.gain, estimate=intervals((sign * values[default] - picked)[None])[0].estimate)


def _verdict(
    metric: str, compared: list[Finalist], winner: Finalist | None, gain: Interval | None, default: bool
) -> str:
    """In a sentence. compared: those that failed on no seed. default: whether it took part, failed or not."""
    if winner is None:
        if not compared:
            return "no configuration could be trained on every fresh seed."
        return "only the default configuration could be trained on every fresh seed."
    name, seeds = f"trial {winner.trial.number}", len(winner.values)
    same = seeds > 1 and all(len(set(each.values)) == 1 for each in compared)
    unknown = f"; each gave the same on all {seeds} seeds, so nothing is known of the noise" if same else ""
    if gain is None:
        why = "the default failed on a fresh seed" if default else "there is no default configuration to compare with"
        return f"{name} is the best of these, with a chance of {winner.chance:.0%}; {why}{unknown}."
    if seeds == 1:
        return f"one seed tells nothing of the noise; {name} differs from the default by {gain.estimate:+.3g}."
    if gain.low == gain.high == 0:
        return f"{name} and the default give the same {metric} on each of {seeds} seeds."
    if gain.low > 0:
        return f"{name} is better than the default by {gain.low:.3g} to {gain.high:.3g} in {metric}{unknown}."
    if gain.high < 0:
        return f"{name} is worse than the default by {-gain.high:.3g} to {-gain.low:.3g} in {metric}{unknown}."
    return (
        f"no evidence of a difference between {name} and the default: from {-gain.low:.3g} worse "
        f"to {gain.high:.3g} better in {metric}."
    )


def ends(interval: Interval) -> str:
    """The interval's ends in brackets; what stands for them where it is of one seed and has none."""
    return f"[{interval.low:.4g}, {interval.high:.4g}]" if math.isfinite(interval.low) else "(no interval)"


def _bracket(interval: Interval) -> str:
    return f"{interval.estimate:.4g} {ends(interval)}"


def _key(params: Mapping[str, Any]) -> Any:
    return tuple(sorted((name, repr(value)) for name, value in params.items()))
