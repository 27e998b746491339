"""A picker takes what is allowed and new, and random configurations where nothing else is left."""

import numpy as np

from greyhound.samplers.cube import cube_of
from greyhound.samplers.picking import Picker
from greyhound.space import Bool, Categorical, Float, Int, Space
from greyhound.testing.samplers import history_of

LINE = Space(x=Float(0.0, 1.0))


def test_nothing_is_taken_twice_nor_what_a_trial_has():
    history, rng = history_of(LINE, 1), np.random.default_rng(0)
    tried, new = history.X[0], np.array([0.25])
    picker = Picker(history)
    assert picker.possible(np.array([tried, new])).tolist() == [False, True]
    picker.take([tried, new], 2, rng)
    assert picker.found == [{"x": 0.25}]
    assert not picker.possible(new[None])[0]
    picker.take([tried, new, np.array([0.75])], 3, rng)
    assert picker.found[1] == {"x": 0.75}


def test_beyond_the_most_a_random_one_is_taken():
    history = history_of(LINE, 1)
    picker = Picker(history)
    assert picker.take([history.X[0], np.array([0.25])], 1, np.random.default_rng(0))
    assert picker.found != [{"x": 0.25}]


def test_what_breaks_a_constraint_is_passed_over():
    space = Space(a=Int(0, 9), b=Int(0, 9), constraint={"a below b": "a < b"})
    picker = Picker(history_of(space, 0))
    picker.take(cube_of(space).rows([{"a": 5, "b": 2}, {"a": 2, "b": 5}]), 2, np.random.default_rng(0))
    assert picker.found == [{"a": 2, "b": 5}]


def test_a_finite_space_comes_to_an_end():
    space = Space(a=Categorical(["a", "b", "c"]), b=Bool())
    picker, rng = Picker(history_of(space, 2)), np.random.default_rng(0)
    assert [picker.take([], 1, rng) for _ in range(5)] == [True] * 4 + [False]
    assert len(set(map(space.key, picker.found))) == 4
