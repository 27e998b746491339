"""Trials at the same step have a value in every objective that they have told, however often each is told."""

import math

import pytest
from tests.schedulers.histories import add, begun

from greyhound.rungs import losses_at
from greyhound.samplers.bohb import seen_at
from greyhound.schedulers import Resume
from greyhound.schedulers.asha import Asha
from greyhound.schedulers.chance import chance_to_win
from greyhound.schedulers.median import Median
from greyhound.trial import TrialState

PAUSED, COMPLETED = TrialState.PAUSED, TrialState.COMPLETED


def sized(*trials, state=PAUSED, losses=("size", "loss")):
    """Trials of two objectives that tell their size with the first step alone. trials: of each its size and losses."""
    history = begun(losses=losses)
    for size, *curve in trials:
        add(history, [{"size": size, "loss": curve[0]}, *({"loss": loss} for loss in curve[1:])], state)
    return history


def same(found, expected):
    return [list(map(str, column)) for column in found] == [list(map(str, column)) for column in expected]


def test_of_what_was_not_told_since_the_newest_value_counts():
    history = sized((3.0, 0.5, 0.4), (2.0, 0.6))
    add(history, [{"loss": 0.9}, {"loss": 0.8}])
    assert same(losses_at(history, 1), [[3.0, 2.0, math.nan], [0.5, 0.6, 0.9]])
    assert same(losses_at(history, 2), [[3.0, math.nan, math.nan], [0.4, math.nan, 0.8]])
    assert same(losses_at(begun(losses=("size", "loss")), 1), [[], []])


@pytest.mark.parametrize("losses", [("size", "loss"), ("loss", "size")])
def test_an_objective_that_is_told_once_counts_at_every_rung(losses):
    trials = [(3.0, 0.5, 0.5, 0.5), (2.0, 0.4, 0.4, 0.4), (4.0, 0.9, 0.9, 0.9)]
    history = sized(*trials, losses=losses)
    assert Asha(eta=3, min_steps=1).next(history) == Resume(1), "it is the smallest and has the lowest loss"


@pytest.mark.parametrize("losses", [("size", "loss"), ("loss", "size")])
def test_the_median_rule_stops_what_is_behind_in_an_objective_that_is_told_once(losses):
    history = sized(*((1.0, 0.5, 0.5) for _ in range(5)), state=COMPLETED, losses=losses)
    number = add(history, [{"size": 2.0, "loss": 0.5}, {"loss": 0.5}])
    assert Median().judge(history, history.trial(number)).value == "stop"


def test_the_chance_to_win_is_known_though_an_objective_is_told_once():
    history = sized(*((5.0, 0.9, loss) for loss in (0.0, 0.1, 0.2)), state=COMPLETED)
    number = add(history, [{"size": 9.0, "loss": 9.0}, {"loss": 9.0}])
    assert chance_to_win(history, number) == pytest.approx(1 / 5)


def test_a_model_sees_the_trials_of_a_rung_though_an_objective_is_told_once():
    view = seen_at(sized((3.0, 0.5, 0.4), (2.0, 0.6, 0.3)), 2)
    assert view.losses.tolist() == [[3.0, 0.4], [2.0, 0.3]]
