"""What schedulers with rungs share: who of those that reached a rung is promoted, and from where to where.

Source: Li et al. 2020, "A system for massively parallel hyperparameter tuning", algorithm 2 (get_job).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from greyhound.schedulers.ranking import ranked
from greyhound.trial import TrialState

if TYPE_CHECKING:
    from greyhound.history import History


def promotable(history: History, rung: int, eta: int, among: Collection[int] | None = None) -> list[int]:
    """Trials among the best ⌊n/eta⌋ of the n that reached the rung, the best first, whatever they do now."""
    best_first = ranked(history, rung, among)
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

    So that a study has a winner that was trained to its end.
    """
    if history.running or history.completed:
        return None
    paused = set(history.numbers(TrialState.PAUSED))
    for rung in reversed(rungs) if paused else ():
        for number in ranked(history, rung):
            if number in paused:
                return number
    return None
