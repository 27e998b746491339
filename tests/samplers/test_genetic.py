"""The genetic algorithm keeps the promises of samplers; its operators follow their formulas."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest
from tests.samplers.histories import MIXED, add, begun, lowest

from greyhound.errors import StudyError
from greyhound.samplers.cube import cube_of
from greyhound.samplers.genetic import Genetic, couples, crossover, mutation, polynomial_step, sbx_spread
from greyhound.samplers.nsga2 import NSGA2
from greyhound.samplers.random import Random
from greyhound.space import Categorical, Float, Ordinal, Space
from greyhound.testing.samplers import CHECKS

LINE = Space(x=Float(0.0, 1.0))
NESTED = Space(
    kind=Categorical(["a", "b"]),
    deep=Float(0.0, 1.0, when={"kind": "b"}),
    opt=Categorical(["x", "y", "z"], when={"kind": "b"}),
)


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_conformance(check):
    check(Genetic)


def test_it_is_better_than_random_after_40_trials():
    found = [lowest(Genetic(), MIXED, seed) for seed in range(40)]
    by_chance = [lowest(Random(), MIXED, seed) for seed in range(40)]
    assert np.mean(found) < 0.8 * np.mean(by_chance)


def test_sbx_spreads_by_its_formula():
    assert sbx_spread(np.array([0.5, 0.25, 0.75]), 1.0) == pytest.approx([1.0, 0.5**0.5, 2.0**0.5])


def test_children_of_the_same_parents_are_the_parent():
    point = np.array([0.25, 0.75])
    child = crossover(point, point, np.array([False, True]), 15.0, np.random.default_rng(0))
    assert child == pytest.approx(point)


def test_unordered_columns_come_from_a_parent():
    rng, unordered = np.random.default_rng(0), np.ones(4, dtype=bool)
    for _ in range(20):
        child = crossover(np.full(4, 0.125), np.full(4, 0.875), unordered, 15.0, rng)
        assert set(child.tolist()) <= {0.125, 0.875}


def test_a_couple_shares_what_only_one_of_it_has():
    history = begun(NESTED)
    add(history, {"kind": "b", "deep": 0.9, "opt": "z"}, 0.0)
    add(history, {"kind": "a"}, 1.0)
    pairs = list(islice(couples(history, np.arange(2), 2, np.random.default_rng(0)), 40))
    assert all(one[1] == other[1] for one, other in pairs)
    assert 20 < sum(one[1] == 0.9 for one, _ in pairs) < 40, "neither has it where both are the second"


@pytest.mark.parametrize("sampler", [Genetic(), NSGA2()], ids=["genetic", "nsga2"])
def test_a_child_that_gains_a_parameter_gets_any_value_of_it(sampler):
    history = begun(NESTED)
    for _ in range(12):
        add(history, {"kind": "a"}, 0.0)
    add(history, {"kind": "b", "deep": 0.1, "opt": "x"}, 1.0)
    drawn = (sampler.suggest(history, 1, np.random.default_rng(seed))[0] for seed in range(300))
    gained = [params for params in drawn if params["kind"] == "b"]
    assert max(Counter(params["opt"] for params in gained).values()) < 0.5 * len(gained)
    assert Counter(params["deep"] for params in gained).most_common(1)[0][1] < 0.1 * len(gained)


def test_sbx_keeps_the_mean_of_its_parents():
    rng, ordered = np.random.default_rng(0), np.zeros(1, dtype=bool)
    children = [crossover(np.array([0.4]), np.array([0.6]), ordered, 15.0, rng)[0] for _ in range(2000)]
    assert np.mean(children) == pytest.approx(0.5, abs=0.01)


def test_polynomial_steps_follow_their_formula_and_stay_inside():
    assert polynomial_step(np.array([0.5]), np.array([0.5]), 20.0) == pytest.approx([0.0])
    ends = polynomial_step(np.array([0.3, 0.3]), np.array([0.0, 1.0 - 1e-16]), 20.0)
    assert ends == pytest.approx([-0.3, 0.7], abs=0.2)
    assert polynomial_step(np.array([0.5]), np.array([0.25]), 1.0) == pytest.approx([(0.5 + 0.5 * 0.25) ** 0.5 - 1.0])
    assert polynomial_step(np.array([0.5]), np.array([0.75]), 1.0) == pytest.approx([1.0 - (0.5 + 0.5 * 0.25) ** 0.5])
    rng = np.random.default_rng(0)
    points, units = rng.random(500), rng.random(500)
    moved = points + polynomial_step(points, units, 20.0)
    assert moved.min() >= -1e-12
    assert moved.max() <= 1.0 + 1e-12


def test_each_type_mutates_in_its_own_way():
    space = Space(x=Float(0.0, 1.0), n=Ordinal([1, 2, 3, 4, 5]), kind=Categorical(["a", "b", "c", "d"]))
    rng = np.random.default_rng(0)
    point = np.array(space.encode({"x": 0.5, "n": 3, "kind": "b"})[0])
    children = [space.decode(mutation(point, cube_of(space), 20.0, rng).tolist()) for _ in range(200)]
    assert {child["kind"] for child in children} == {"a", "c", "d"}, "another category, any of them"
    assert {child["n"] for child in children} == {2, 4}, "a step to a neighbour"
    assert 0.0 < np.std([child["x"] for child in children]) < 0.1, "a number moves a little"


def test_an_end_of_an_ordinal_steps_inwards():
    cube = cube_of(Space(n=Ordinal([1, 2, 3, 4, 5])))
    for seed in range(10):
        assert mutation(np.array([0.1]), cube, 20.0, np.random.default_rng(seed)) == pytest.approx([0.3])


@pytest.mark.parametrize(
    "options", [{"parents": 1}, {"tournament": 0}, {"spread": 0.0}, {"spread_of_mutation": -1.0}, {"parents": 2.5}]
)
def test_wrong_options_are_told(options):
    with pytest.raises(StudyError, match=f"genetic: {next(iter(options))} must"):
        Genetic(**options)
