"""Points that are uniform over what is allowed of the unit cube, where hardly any point is: a random walk.

Hit-and-run: Smith 1984, "Efficient Monte Carlo procedures for generating points uniformly distributed over bounded
regions"; along the line, slice sampling: Neal 2003, "Slice sampling", fig. 5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

_STEPS = 10
"""Steps for each coordinate, by which the walk has nearly forgotten where it began."""
_MOST_SHORTENED = 50


class Uniform(Protocol):
    """What `random.Random` and `numpy.random.Generator` have in common."""

    def random(self) -> float:
        """A number in [0, 1)."""


def walk(begin: Sequence[float], allowed: Callable[[Sequence[float]], bool], rng: Uniform) -> list[float]:
    """Where a walk that begins at an allowed point of the unit cube, (d,), ends."""
    units = list(begin)
    for _ in range(_STEPS * len(units)):
        units = _step(units, allowed, rng)
    return units


def _step(units: list[float], allowed: Callable[[Sequence[float]], bool], rng: Uniform) -> list[float]:
    """An allowed point on a random line through an allowed one, every second time along an axis.

    Points are drawn from ever shorter parts of the line; the same point where none of them is allowed.
    """
    way = [rng.random() - 0.5 for _ in units]
    if rng.random() < 0.5:
        axis = int(rng.random() * len(way))
        way = [1.0 if at == axis else 0.0 for at in range(len(way))]
    ends = [sorted((-unit / speed, (1.0 - unit) / speed)) for unit, speed in zip(units, way, strict=True) if speed]
    low, high = max((low for low, _ in ends), default=0.0), min((high for _, high in ends), default=0.0)
    for _ in range(_MOST_SHORTENED):
        shift = low + rng.random() * (high - low)
        moved = [unit + shift * speed for unit, speed in zip(units, way, strict=True)]
        if allowed(moved):
            return moved
        low, high = (shift, high) if shift < 0.0 else (low, shift)
    return units
