"""Trials are compared at the same step; with several objectives front after front, spread out from its start."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.schedulers.histories import add, begun

from greyhound.schedulers.ranking import order, ranked

losses = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=20)


def test_trials_are_ranked_by_what_they_had_at_the_step():
    history = begun()
    for curve in ([3.0, 1.0], [2.0, 9.0], [1.0], [math.nan, 0.0]):
        add(history, curve)
    assert ranked(history, 1) == [2, 1, 0, 3], "what is no number comes last"
    assert ranked(history, 2) == [3, 0, 1], "who has not come so far is not ranked"
    assert ranked(history, 1, among=[3, 0]) == [0, 3]


def test_ties_go_to_the_older():
    history = begun()
    for curve in ([1.0], [0.0], [1.0]):
        add(history, curve)
    assert ranked(history, 1) == [1, 0, 2]


def test_fronts_come_one_after_the_other_and_their_ends_first():
    points = [(0.0, 1.0), (0.5, 0.5), (1.0, 0.0), (0.6, 0.6), (2.0, 2.0), (0.9, 0.05)]
    assert order(points) == [0, 2, 1, 5, 3, 4]


def test_with_two_objectives_a_history_is_ranked_by_fronts():
    history = begun(losses=("loss", "size"))
    for row in ((0.5, 0.9), (0.5, 0.5), (0.9, 0.1), (0.1, 0.9)):
        add(history, [row])
    assert ranked(history, 1) == [3, 2, 1, 0]


def test_a_loss_that_is_missing_everywhere_decides_nothing():
    assert order([(2.0, math.inf), (1.0, math.inf)]) == [1, 0]
    assert order([]) == []


@given(losses)
def test_whoever_is_dominated_comes_behind(points):
    placed = order(points)
    assert sorted(placed) == list(range(len(points)))
    for at, better in enumerate(placed):
        for worse in placed[:at]:
            dominated = all(a <= b for a, b in zip(points[better], points[worse], strict=True))
            assert not (dominated and points[better] != points[worse])


@pytest.mark.parametrize("shift", [0.0, 100.0])
def test_units_do_not_matter(shift):
    points = [(0.0, 1.0), (0.3, 0.5), (1.0, 0.0), (0.5, 0.4)]
    assert order([(a * 1000 + shift, b) for a, b in points]) == order(points)
