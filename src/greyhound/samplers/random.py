"""Random search: every configuration independently, uniform in the unit cube.

Source: Bergstra & Bengio 2012, "Random search for hyper-parameter optimization".
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from greyhound.samplers.base import MOST_LISTED, Traits, key_of, tried_keys
from greyhound.samplers.priors import guided, has_priors

if TYPE_CHECKING:
    import numpy as np

    from greyhound.history import History
    from greyhound.space import Space

_TRIES = 100


@dataclass(frozen=True)
class Random:
    """Uniform random configurations, none twice; in a finite space an end when all were tried.

    A space of more than 200,000 configurations, constraints not counted, is not listed to find the last ones: there
    one that was tried is drawn again once a hundred draws in a row were tried before.
    """

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

    seen: of `tried_keys`. A space too large to be listed gives one of `seen` where many draws give no other.
    """
    space = history.space
    if seen is None:
        return _draw(history, rng)
    key_in = key_of(history)
    for _ in range(_TRIES):
        params = _draw(history, rng)
        if (key := key_in(params)) not in seen:
            seen.add(key)
            return params
    if space.size is None or space.size > MOST_LISTED:
        return params
    left = [params for params in _listed(space) if key_in(params) not in seen]
    if not left:
        return None
    params = dict(left[int(rng.integers(len(left)))])
    seen.add(key_in(params))
    return params


@functools.lru_cache(maxsize=4)
def _listed(space: Space) -> tuple[dict[str, Any], ...]:
    """All configurations of a finite space that its constraints allow."""
    return tuple(space.grid(space.size or 1))


def _draw(history: History, rng: np.random.Generator) -> dict[str, Any]:
    """Uniform, or after the guesses of the user where there are any and as far as they still count."""
    space = history.space
    if has_priors(space):
        for _ in range(_TRIES):
            units = guided(history, rng.random(len(space)), len(history), rng.random())
            if space.allows(params := space.decode(units.tolist())):
                return params
    return space.sample(rng)
