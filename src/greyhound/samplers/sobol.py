"""A scrambled Sobol sequence: random search that leaves no large part of the space unvisited.

Source: Sobol' 1967; scrambling: Owen 1998; both through scipy's `qmc.Sobol`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from greyhound.samplers.base import Traits, key_of, tried_keys
from greyhound.samplers.priors import guided
from greyhound.samplers.random import draw_new

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from greyhound.history import History

_MOST_DIMENSIONS = 21201
_STREAMS = 16
"""How many scramblings are asked for an admissible new point before a random one is taken."""
_BLOCK = 256
_GOLDEN = 0.6180339887498949
"""Multiples of the golden ratio, less their whole part, are spread evenly: they tell which points follow a guess."""


@dataclass(frozen=True)
class Sobol:
    """The points of one scrambled Sobol sequence in turn; the study's seed scrambles it.

    The position in the sequence is the number of trials so far. A point that breaks a constraint or
    repeats a configuration is replaced by that of another scrambling, in the end by a random one.
    """

    traits: ClassVar[Traits] = Traits()

    def suggest(self, history: History, count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
        """`count` configurations, fewer where the finite space has no more."""
        seen = tried_keys(history)
        found: list[dict[str, Any]] = []
        for at in range(len(history), len(history) + count):
            params = self._point(history, at, seen)
            if params is None:
                params = draw_new(history, rng, seen)
            if params is None:
                break
            found.append(params)
        return found

    def _point(self, history: History, at: int, seen: set[Any] | None) -> dict[str, Any] | None:
        space = history.space
        if not 0 < len(space) <= _MOST_DIMENSIONS:
            return None
        key_in = key_of(history)
        for stream in range(_STREAMS):
            units = unit_point(len(space), history.seed, at, stream)
            params = space.decode(guided(history, units, at, at * _GOLDEN % 1.0).tolist())
            if not space.allows(params):
                continue
            if seen is None:
                return params
            if (key := key_in(params)) not in seen:
                seen.add(key)
                return params
        return None


def unit_point(dimension: int, seed: int, at: int, stream: int = 0) -> NDArray[np.float64]:
    """Point number `at` of the sequence under scrambling (seed, stream), (dimension,), in [0, 1)."""
    block, offset = divmod(at, _BLOCK)
    return _blocks(dimension, seed, stream, block)[offset]  # type: ignore[no-any-return]


@functools.lru_cache(maxsize=128)
def _blocks(dimension: int, seed: int, stream: int, block: int) -> Any:
    import numpy as np
    from scipy.stats import qmc

    rng = np.random.default_rng([seed, stream])
    engine = qmc.Sobol(dimension, rng=rng) if _takes_rng() else qmc.Sobol(dimension, seed=rng)
    if block:
        engine.fast_forward(block * _BLOCK)
    return engine.random(_BLOCK)


@functools.cache
def _takes_rng() -> bool:
    import inspect

    from scipy.stats import qmc

    return "rng" in inspect.signature(qmc.Sobol).parameters
