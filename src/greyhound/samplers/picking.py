"""From the rows that a model prefers to a batch of configurations: allowed, none twice, none that a trial has."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from greyhound.errors import StudyError
from greyhound.samplers.base import key_of, tried_keys
from greyhound.samplers.cube import cube_of
from greyhound.samplers.random import draw_new

if TYPE_CHECKING:
    from greyhound.history import History
    from greyhound.numeric.gp import Bools, Floats


class Picker:
    """A batch that grows. found: its configurations so far."""

    def __init__(self, history: History) -> None:
        self.found: list[dict[str, Any]] = []
        self._history = history
        self._cube = cube_of(history.space)
        self._taken = set(self._cube.keys(history.X))
        self._key = key_of(history)
        self._tried = tried_keys(history) if history.define_by_run else None  # rows lack what other branches ask for

    def take(self, rows: Iterable[Floats], most: int, rng: np.random.Generator) -> bool:
        """Take the first of at most `most` rows that is possible, else a random configuration.

        False where the finite space has no more.
        """
        for row in itertools.islice(rows, most):
            params = self._cube.params(row)
            if self.possible(self._cube.rows([params]))[0]:
                return self._add(params)
        seen = tried_keys(self._history)
        if seen is not None:
            seen.update(map(self._key, self.found))
        drawn = draw_new(self._history, rng, seen)
        return drawn is not None and self._add(drawn)

    def possible(self, rows: Floats) -> Bools:
        """Which snapped rows are allowed, and neither a trial's nor of the batch, (n,)."""
        possible = np.array([key not in self._taken for key in self._cube.keys(rows)], bool)
        possible[possible] = self._cube.allowed(rows[possible])
        if self._tried is not None:
            possible[possible] = [self._key(self._cube.params(row)) not in self._tried for row in rows[possible]]
        return possible

    def _add(self, params: dict[str, Any]) -> bool:
        self._taken.update(self._cube.keys(self._cube.rows([params])))
        self.found.append(params)
        return True


def at_least(sampler: str, name: str, value: object, least: int) -> None:
    """StudyError where an option is no whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise StudyError(f"{sampler}: {name} must be a whole number of at least {least}; got {value!r}.")
