"""Trials are compared at the same step; with several objectives front after front, spread out from its start."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.schedulers.histories import add, add_replicates, begun

from greyhound.schedulers.ranking import breaches, finished, order, ranked
from greyhound.trial import Limit, TrialState

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


def test_replicates_of_the_finals_do_not_compete_in_a_search_that_goes_on():
    history = begun(max_steps=2)
    best = add(history, [0.1, 0.1], TrialState.COMPLETED)
    add_replicates(history, best, 5, [0.2, 0.2])
    new = add(history, [0.5])
    assert len(history.replicates) == 5
    assert ranked(history, 1) == [best, new]
    assert ranked(history, 1, among=range(1, len(history))) == [new]
    assert finished(history) == [best]


def test_fronts_come_one_after_the_other_and_their_ends_first():
    points = [(0.0, 1.0), (0.5, 0.5), (1.0, 0.0), (0.6, 0.6), (2.0, 2.0), (0.9, 0.05)]
    assert order(points) == [0, 2, 1, 5, 3, 4]


def test_with_two_objectives_a_history_is_ranked_by_fronts():
    history = begun(losses=("loss", "size"))
    for row in ((0.5, 0.9), (0.5, 0.5), (0.9, 0.1), (0.1, 0.9)):
        add(history, [row])
    assert ranked(history, 1) == [3, 2, 1, 0]


def limited(*curves, losses=("loss",), state=None):
    """A study whose `ms` may be 5 at most. curves: of each trial, rows of (loss, ms), None for what is not told."""
    history = begun(losses=losses, limits=(Limit("ms", 5.0),))
    for curve in curves:
        rows = [dict(zip((*losses, "ms"), row, strict=True)) for row in curve]
        add(history, [{name: value for name, value in row.items() if value is not None} for row in rows], state)
    return history


def test_what_breaks_a_limit_comes_behind_all_that_keeps_to_it_by_how_much():
    history = limited([(0.1, 9.0)], [(0.9, 5.0)], [(0.2, 7.0)], [(0.8, 1.0)], [(0.5, None)], [(0.3, 7.0)])
    assert ranked(history, 1) == [4, 3, 1, 2, 5, 0]
    assert ranked(history, 1, among=[0, 1, 2]) == [1, 2, 0]


def test_limits_are_compared_at_the_same_step_too():
    rising = limited([(0.5, 8.0), (0.4, 4.0)], [(0.3, 6.0)], [(0.2, 9.0)])
    assert ranked(rising, 1) == [1, 0, 2], "what keeps to it by now did not then"
    assert breaches(rising) == pytest.approx([0.0, 0.25, 1.0])
    once = limited([(0.5, 8.0), (0.4, None)], [(0.3, None), (0.2, 9.0)], [(0.9, None), (0.9, None)])
    assert ranked(once, 2) == [2, 0, 1]
    assert ranked(once, 1) == [2, 0, 1], "told behind the step is better than not told"


def test_fronts_are_of_what_keeps_to_the_limits():
    rows = [(0.5, 0.9, 1.0), (0.5, 0.5, 1.0), (0.0, 0.0, 9.0), (0.9, 0.1, 1.0), (0.1, 0.1, 6.0)]
    history = limited(*([row] for row in rows), losses=("loss", "size"))
    assert ranked(history, 1) == [1, 3, 0, 4, 2]


def test_what_is_finished_keeps_to_the_limits_as_far_as_is_known():
    history = limited([(0.1, 9.0)], [(0.2, 5.0)], [(0.3, None)], state=TrialState.COMPLETED)
    add(history, [0.0], TrialState.PAUSED)
    assert finished(history) == [1, 2]


def test_a_loss_that_is_missing_everywhere_decides_nothing():
    assert order([(2.0, math.inf), (1.0, math.inf)]) == [1, 0]
    assert order([]) == []


def test_an_infinite_loss_is_the_worst_below_zero_too():
    assert order([(math.inf, 0.0), (-5.0, 0.0)]) == [1, 0]


@given(losses)
def test_whoever_is_dominated_comes_behind(points):
    placed = order(points)
    assert sorted(placed) == list(range(len(points)))
    for at, better in enumerate(placed):
        for worse in placed[:at]:
            dominated = all(a <= b for a, b in zip(points[better], points[worse], strict=True))
            assert not (dominated and points[better] != points[worse])


@pytest.mark.parametrize("shift", [0.0, 100.0])
@pytest.mark.parametrize(
    ("points", "placed"),
    [
        ([(0.0, 1.0), (0.3, 0.5), (1.0, 0.0), (0.5, 0.4)], [0, 2, 3, 1]),
        ([(0.0, 1.0), (1.0, 0.0), (0.88, 0.47), (0.08, 0.5)], [0, 1, 3, 2]),
    ],
)
def test_units_do_not_matter(points, placed, shift):
    assert order(points) == placed
    assert order([(a * 1000 + shift, b) for a, b in points]) == placed
