"""The search of an acquisition goes as far as the constraints let it, and no further."""

import numpy as np
import pytest

from greyhound.samplers import REGISTRY
from greyhound.samplers.cube import cube_of
from greyhound.samplers.search import maximise
from greyhound.space import Categorical, Float, Int, Space

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


def test_the_best_of_a_mixed_space_is_climbed_to_from_what_was_drawn_and_comes_first():
    space = Space(
        {name: Float(0.0, 1.0) for name in "abcd"},
        n=Int(1, 1000),
        kind=Categorical(["x", "y", "z"]),
        e=Float(0.0, 1.0, when={"kind": "y"}),
        constraint={"it fits": "a + b < 1.5"},
    )
    cube = cube_of(space)
    (best,) = cube.rows([{"a": 0.9, "b": 0.3, "c": 0.0, "d": 0.35, "n": 700, "kind": "y", "e": 0.8}])

    def score(rows):
        return -np.where(cube.activity(rows), (rows - best) ** 2, 0.25).sum(axis=1)

    for seed in range(3):
        rng = np.random.default_rng(seed)
        drawn = cube.random(rng, 500)
        found = maximise(score, cube, drawn[:3], rng, 300)
        scores = score(found)
        assert (np.diff(scores) <= 0.0).all()
        assert -scores[0] < 0.1 * -score(drawn).max()
        assert cube.allowed(found).all()
        assert found == pytest.approx(cube.snap(found))
