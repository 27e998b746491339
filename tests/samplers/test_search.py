"""The search of an acquisition goes as far as the constraints let it, and no further."""

import numpy as np
import pytest

from greyhound.samplers import REGISTRY
from greyhound.space import Float, Space

from .histories import lowest

TIGHT = Space({name: Float(0.0, 1.0) for name in "abcd"}, constraint={"it fits": "a + b + c + d < 1.6"})
BEST = {"a": 0.9, "b": 0.6, "c": 0.5, "d": 0.4}


def beyond(params):
    """The squared distance from a point that the constraint forbids: 0.16 where it comes nearest, at the border."""
    return sum((params[name] - place) ** 2 for name, place in BEST.items())


@pytest.mark.parametrize("name", ["gp", "ehvi", "bohb"])
def test_an_optimum_beyond_a_constraint_is_approached(name):
    found, random = (
        [lowest(REGISTRY.make(each), TIGHT, seed, 30, beyond) - 0.16 for seed in range(3)] for each in (name, "random")
    )
    assert np.median(found) < 0.1 * np.median(random)
