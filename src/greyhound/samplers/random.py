"""Random search: every configuration independently, uniform in the unit cube.

Source: Bergstra & Bengio 2012, "Random search for hyper-parameter optimization".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from greyhound.samplers.base import Traits, tried_keys
from greyhound.samplers.priors import guided, has_priors

if TYPE_CHECKING:
    import numpy as np

    from greyhound.history import History

_TRIES = 100
_ENUMERATED = 4096
"""Finite spaces up to this size are enumerated once random draws keep hitting what was tried."""


@dataclass(frozen=True)
class Random:
    """Uniform random configurations; in a finite space none twice, and an end when all were tried."""

    traits: ClassVar[Traits] = Traits()

    def suggest(self, history: History, count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
        """`count` configurations, fewer where the finite space has no more."""
        seen = tried_keys(history)
        found: list[dict[str, Any]] = []
        for _ in range(count):
            params = draw_new(history, rng, seen)
            if params is None:
                break
            found.append(params)
        return found


def draw_new(history: History, rng: np.random.Generator, seen: set[Any] | None) -> dict[str, Any] | None:
    """A random configuration that is not among `seen`, to which it is added; None where all are.

    seen: keys of what was tried in a finite space, None in an infinite one.
    """
    space = history.space
    if seen is None:
        return _draw(history, rng)
    for _ in range(_TRIES):
        params = _draw(history, rng)
        if (key := space.key(params)) not in seen:
            seen.add(key)
            return params
    if (space.size or 0) > _ENUMERATED:
        return space.sample(rng)  # a hundred repeats in a large space: constraints leave next to nothing
    left = [params for params in space.grid(_ENUMERATED) if space.key(params) not in seen]
    if not left:
        return None
    params = left[int(rng.integers(len(left)))]
    seen.add(space.key(params))
    return params


def _draw(history: History, rng: np.random.Generator) -> dict[str, Any]:
    """Uniform, or after the guesses of the user where there are any and as far as they still count."""
    space = history.space
    if has_priors(space):
        for _ in range(_TRIES):
            units = guided(history, rng.random(len(space)), len(history), rng.random())
            if space.allows(params := space.decode(units.tolist())):
                return params
    return space.sample(rng)
