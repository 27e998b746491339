"""What schedulers with rungs share: who of those that reached a rung is promoted, and from where to where.

Source: Li et al. 2020, "A system for massively parallel hyperparameter tuning", algorithm 2 (get_job).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from greyhound.rungs import losses_at
from greyhound.schedulers.ranking import breaches, finished, ranked
from greyhound.trial import TrialState

if TYPE_CHECKING:
    from greyhound.history import History


def promotable(history: History, rung: int, eta: int, among: Collection[int] | None = None) -> list[int]:
    """Trials among the best ⌊n/eta⌋ of the n that reached the rung, the best first, whatever they do now.

    Of trials that are twins the first counts alone.
    """
    best_first = _without_twins(history, ranked(history, rung, among), rung)
    return best_first[: len(best_first) // eta]


def promotion(history: History, rungs: Sequence[int], eta: int, among: Collection[int] | None = None) -> int | None:
    """The paused trial to be promoted next, from the highest rung on which one is due; None where none is.

    rungs: steps, rising. among: only these trials compete; None for all.
    """
    paused = set(history.numbers(TrialState.PAUSED))
    for rung, above in reversed(list(zip_longest(rungs, rungs[1:]))):
        if not paused:
            break
        for number in promotable(history, rung, eta, among):
            if number in paused and (above is None or history.trial(number).step < above):
                return number
    return None


def last_resort(history: History, rungs: Sequence[int]) -> int | None:
    """The best paused trial of the highest rung where nothing runs and nothing was trained in full; else None.

    So that a study has a winner that was trained to its end. Nothing that breaks a limit is one, nor is brought to its
    end unless there is nothing else.
    """
    if history.running or finished(history):
        return None
    over, paused = breaches(history), set(history.numbers(TrialState.PAUSED))
    kept = {number for number in paused if not over[number]}
    among = kept if kept or history.completed else paused
    for rung in reversed(rungs) if among else ():
        for number in ranked(history, rung):
            if number in among:
                return number
    return None


def _without_twins(history: History, best_first: Sequence[int], rung: int) -> list[int]:
    """The trials less those that went the way of one before them, to the last digit, and so should end as it does.

    As where a hyperparameter has no effect. Curves that stand still are no twins: much that has not begun to learn
    looks the same.
    """
    losses = losses_at(history, rung)[0]
    ties = Counter(losses[number] for number in best_first)
    found, gone = [], set()
    for number in best_first:
        if ties[losses[number]] > 1:
            way = _way(history, number, rung)
            if way in gone:
                continue
            if any(len(set(values)) > 1 for values in way):
                gone.add(way)
        found.append(number)
    return found


def _way(history: History, number: int, rung: int) -> tuple[tuple[float, ...], ...]:
    """The values of each objective that the trial reported up to the rung."""
    curves = (history.curve(number, objective.metric) for objective in history.objectives)
    return tuple(
        tuple(value for step, value in zip(steps, values, strict=True) if step <= rung) for steps, values in curves
    )
