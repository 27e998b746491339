"""Means of a few seeds compared: intervals, the pick's value without its luck, chances."""

import numpy as np
import pytest
from scipy import stats

from greyhound.numeric.comparison import chances, intervals, picked_by_others


@pytest.mark.parametrize("seeds", [2, 5])
def test_one_row_has_students_interval(seeds):
    values = np.array([0.91, 0.93, 0.95, 0.92, 0.94])[:seeds]
    (found,) = intervals(values[None], 0.95)
    low, high = stats.t.interval(0.95, seeds - 1, values.mean(), stats.sem(values))
    assert (found.estimate, found.low, found.high) == pytest.approx((values.mean(), low, high))


def test_two_rows_of_independent_noise_have_nearly_the_pooled_interval():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, 4000))
    found = intervals(values, 0.95)[0]
    quantile = stats.norm.ppf((1 + 0.95**0.5) / 2)
    assert found.high - found.estimate == pytest.approx(quantile * values.std() / 4000**0.5, rel=0.03)


def test_intervals_know_no_noise_from_one_seed_and_have_no_width_without_noise():
    assert intervals(np.array([[0.5], [0.7]]))[0].low == -np.inf
    assert intervals(np.full((3, 4), 0.5))[2].high == 0.5


def test_intervals_are_the_same_in_every_unit():
    values = np.random.default_rng(4).normal(size=(3, 4))
    for found, other in zip(intervals(values), intervals(1000.0 * values), strict=True):
        assert (other.low, other.high) == pytest.approx((1000.0 * found.low, 1000.0 * found.high))


@pytest.mark.parametrize("shared", [0.0, 3.0])
def test_intervals_hold_for_all_rows_at_once_at_their_stated_rate(shared):
    """shared: how much the seeds' own effect outweighs the noise."""
    rng = np.random.default_rng(1)
    held = []
    for _ in range(1500):
        truth = rng.normal(size=4)
        values = truth[:, None] + shared * rng.normal(size=5) + rng.normal(size=(4, 5))
        held.append(all(each.low <= true <= each.high for each, true in zip(intervals(values), truth, strict=True)))
    assert 0.94 <= np.mean(held) <= 0.995


def test_the_pick_is_worth_what_seeds_say_that_did_not_choose_it():
    rng = np.random.default_rng(2)
    told = [(values.mean(axis=1).min(), picked_by_others(values).mean()) for values in rng.normal(size=(3000, 6, 4))]
    naive, honest = np.mean(told, axis=0)
    assert naive < -0.5  # six equal rows: the best mean flatters
    assert abs(honest) < 0.04


def test_the_others_choose_row_by_row():
    losses = np.array([[0.0, 0.0, 9.0], [1.0, 1.0, 1.0]])
    assert picked_by_others(losses).tolist() == [1.0, 1.0, 9.0]


def test_where_nothing_can_be_chosen_the_pick_is_worth_the_mean_and_one_row_is_surely_the_lowest():
    assert picked_by_others(np.array([[1.0], [3.0]])).tolist() == [2.0]
    assert picked_by_others(np.array([[1.0, 3.0]])).tolist() == [1.0, 3.0]
    assert chances(np.array([[1.0, 3.0]]), np.random.default_rng(0)).tolist() == [1.0]


def test_chances_are_even_among_equals_and_sure_of_what_is_plain():
    rng = np.random.default_rng(3)
    equals = np.mean([chances(rng.normal(size=(4, 5)), rng, 500) for _ in range(400)], axis=0)
    assert equals == pytest.approx([0.25] * 4, abs=0.06)
    plain = chances(np.array([[0.0, 0.1, 0.05], [9.0, 9.1, 9.05]]) + rng.normal(size=(2, 3)) * 0.01, rng)
    assert plain[0] > 0.99
    assert chances(np.zeros((2, 1)), rng).tolist() == [0.5, 0.5]
    assert chances(np.zeros((2, 3)), rng).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("seeds", [2, 4])
@pytest.mark.parametrize("scale", [0.1, 100.0])
def test_the_chances_of_two_are_those_of_a_paired_t_test(seeds, scale):
    rng = np.random.default_rng(5)
    first, second = scale * (3.0 * rng.normal(size=seeds) + rng.normal(size=(2, seeds)))
    expected = 1.0 - stats.ttest_rel(first, second, alternative="less").pvalue
    assert abs(expected - 0.5) > 0.1
    assert chances(np.stack([first, second]), rng, 40_000)[0] == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("scale", [1e155, 8e307, -8e307, 1e-200, -1e-300])
def test_values_whose_squares_are_infinite_or_0_are_compared_like_others(scale):
    values = np.random.default_rng(4).uniform(-1, 1, (3, 4))
    for found, plain in zip(intervals(scale * values), intervals(abs(scale) / scale * values), strict=True):
        told = np.array([found.estimate, found.low, found.high]) / abs(scale)
        assert told == pytest.approx([plain.estimate, plain.low, plain.high])
    huge = chances(scale * values, np.random.default_rng(5))
    assert huge == pytest.approx(chances(abs(scale) / scale * values, np.random.default_rng(5)))
    picked = picked_by_others(scale * values) / abs(scale)
    assert picked == pytest.approx(picked_by_others(abs(scale) / scale * values))


def test_values_that_no_seed_changes_have_intervals_without_any_width():
    values = np.repeat([[0.1], [0.7], [1e9 / 3]], 3, axis=1)
    assert all(each.low == each.estimate == each.high for each in intervals(values))
