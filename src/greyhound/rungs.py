"""What trials had come to after the same number of steps, in every objective, however often each is told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from greyhound.history import History


def losses_at(history: History, step: int) -> list[Sequence[float]]:
    """Each objective, to minimise, when a trial first reported it at `step` steps or more, a column (n,) for each.

    Of an objective that it has not told since the newest value counts, as of a size that is told once, or of what is
    measured every few steps; NaN for trials that have told none there, as `History.losses_at`.
    """
    columns = [history.losses_at(step, at) for at in range(max(1, len(history.objectives)))]
    if len(columns) == 1:
        return columns
    rows = [_filled(*each) for each in zip(zip(*columns, strict=True), history.losses.tolist(), strict=True)]
    return [[row[at] for row in rows] for at in range(len(columns))]


def _filled(row: Sequence[float], newest: Sequence[float]) -> Sequence[float]:
    """The row with what was told last in the place of what is NaN; as it is where it has nothing else."""
    if all(map(math.isnan, row)):
        return row
    return [last if math.isnan(value) else value for value, last in zip(row, newest, strict=True)]
