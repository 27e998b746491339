"""The Sobol sampler follows one scrambled sequence."""

import numpy as np

from greyhound.history import History
from greyhound.samplers.sobol import Sobol, unit_point
from greyhound.space import Float, Int, Space
from greyhound.testing.samplers import history_of

PLANE = Space(x=Float(0.0, 1.0), y=Float(0.0, 1.0))


def test_first_points_fall_into_different_cells():
    history = history_of(PLANE, 0)
    points = Sobol().suggest(history, 64, np.random.default_rng(0))
    cells = {(int(8 * point["x"]), int(8 * point["y"])) for point in points}
    assert len(cells) == 64, "each of 8 x 8 cells has one of the first 64 points"


def test_a_single_parameter_is_covered_as_evenly():
    points = Sobol().suggest(history_of(Space(x=Float(0.0, 1.0)), 0), 16, np.random.default_rng(0))
    assert len({int(16 * point["x"]) for point in points}) == 16


def test_a_batch_is_what_single_suggestions_would_be():
    together = Sobol().suggest(history_of(PLANE, 0), 3, np.random.default_rng(0))
    assert together[2] == Sobol().suggest(history_of(PLANE, 2), 1, np.random.default_rng(5))[0]


def test_another_seed_is_another_scrambling():
    assert unit_point(2, 0, 5).tolist() != unit_point(2, 1, 5).tolist()


def test_points_that_break_a_constraint_are_replaced():
    space = Space(a=Int(0, 99), b=Int(0, 99), constraint={"a far below b": "a + 90 < b"})
    found = Sobol().suggest(history_of(space, 0), 20, np.random.default_rng(0))
    assert all(params["a"] + 90 < params["b"] for params in found)
    assert len({tuple(params.values()) for params in found}) == 20


def test_an_empty_space_gives_its_only_configuration_once():
    history = History.of(history_events(Space()))
    assert Sobol().suggest(history, 2, np.random.default_rng(0)) == [{}]


def history_events(space):
    from greyhound import events as ev
    from greyhound.settings import Settings
    from greyhound.trial import Objective

    return [ev.Declared(1.0, Settings(objectives=(Objective("loss", False),), space=space).to_json())]
