"""Scouting: new configurations near what fared best, where hardly any training learns."""

import numpy as np
import pytest
from tests.schedulers.histories import add, begun

import greyhound as gh
from greyhound.schedulers.scouting import scouted
from greyhound.trial import Limit, TrialState

PAUSED = TrialState.PAUSED


def drawn(history, count=400):
    return [scouted(history, np.random.default_rng([7, at])) for at in range(count)]


def test_half_of_the_draws_lie_near_the_trial_that_fared_best_and_the_others_anywhere():
    history = begun()
    for x in np.linspace(0.05, 0.95, 10):
        add(history, [0.7 if abs(x - 0.35) > 0.01 else 0.2], PAUSED, {"x": float(x)})
    near = np.array([abs(params["x"] - 0.35) <= 0.05 for params in drawn(history)])
    assert 0.2 < near.mean() < 0.3  # in a third of the resamples the best is missing
    assert np.ptp([params["x"] for params in drawn(history)]) > 0.9


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        (([0.1], PAUSED), ([0.5, 0.5, 0.4], PAUSED)),  # promoted, so among the best where both were compared
        (([0.9], PAUSED), ([0.5], PAUSED)),
        (([0.5, float("nan")], TrialState.DIVERGED), ([0.5], PAUSED)),
        (([0.1, 0.1], TrialState.FAILED), ([0.5], PAUSED)),
    ],
)
def test_who_fared_better_is_who_went_further_then_who_has_less_loss_and_last_who_failed(worse, better):
    for first, second in ((0.2, 0.8), (0.8, 0.2)):
        history = begun()
        add(history, *worse, {"x": first})
        add(history, *better, {"x": second})
        nearer = np.mean([abs(params["x"] - second) < abs(params["x"] - first) for params in drawn(history)])
        assert nearer > 0.57


def test_what_breaks_a_limit_fared_worse_than_what_keeps_to_it():
    history = begun(limits=(Limit("ms", 5.0),))
    add(history, [{"loss": 0.1, "ms": 9.0}], PAUSED, {"x": 0.2})
    add(history, [{"loss": 0.5, "ms": 1.0}], PAUSED, {"x": 0.8})
    assert np.mean([params["x"] > 0.5 for params in drawn(history)]) > 0.57


def test_categories_and_conditions_count_as_near_only_where_they_are_the_same():
    space = gh.Space(
        kind=gh.Categorical(["a", "b", "c"]), depth=gh.Int(1, 9, when={"kind": "a"}), rate=gh.Float(0.0, 1.0)
    )
    history = begun(space=space)
    add(history, [0.7], PAUSED, {"kind": "b", "rate": 0.5})
    add(history, [0.7], PAUSED, {"kind": "c", "rate": 0.5})
    add(history, [0.1], PAUSED, {"kind": "a", "depth": 2, "rate": 0.5})
    draws = drawn(history)
    assert all(space.allows(params) for params in draws)
    assert np.mean([params["kind"] == "a" for params in draws]) > 0.45


def test_without_a_result_and_with_a_constraint_draws_are_allowed():
    space = gh.Space(x=gh.Float(0.0, 1.0), y=gh.Float(0.0, 1.0), constraint={"order": "x < y"})
    history = begun(space=space)
    assert all(params["x"] < params["y"] for params in drawn(history, 20))
    add(history, [0.5], PAUSED, {"x": 0.1, "y": 0.9})
    assert all(params["x"] < params["y"] for params in drawn(history, 20))
