"""Ensembles of trees: moments, calibration, transforms, and missing scikit-learn."""

import sys

import numpy as np
import pytest

from greyhound.errors import MissingExtraError
from greyhound.numeric.trees import (
    fit_boosters,
    fit_forest,
    log_apart,
    log_shift,
    stretch_of,
    success_rate,
    total_moments,
)

LINE = np.linspace(0.0, 1.0, 40)[:, None]


def test_the_total_variance_is_that_of_the_mixture_of_leaves():
    means, variances = np.array([[1.0], [3.0]]), np.array([[0.5], [1.5]])
    mean, std = total_moments(means, variances, 1e-3)
    assert mean.tolist() == [2.0]
    assert std**2 == pytest.approx([(0.5 + 1.0 + 1.5 + 9.0) / 2 - 4.0])


def test_the_standard_deviation_has_a_floor():
    assert total_moments(np.ones((3, 2)), np.zeros((3, 2)), 0.01)[1].tolist() == [0.01, 0.01]


def test_the_spread_is_stretched_to_the_errors_out_of_bag():
    guesses = np.array([[0.0, 0.0], [2.0, 2.0]])  # mean 1, standard deviation 1
    assert stretch_of(guesses, np.array([4.0, -2.0]), 0.01) == pytest.approx(3.0)
    assert stretch_of(guesses, np.array([1.0, 1.0]), 0.01) == 1.0
    assert stretch_of(np.full((2, 2), np.nan), np.zeros(2), 0.01) == 10.0
    agreeing = np.array([[0.0, 1.0, 5.0], [2.0, 1.0, np.nan]])  # the third was guessed once
    assert stretch_of(agreeing, np.array([4.0, 2.0, 0.0]), 0.1) == pytest.approx(np.sqrt((9.0 + 1.0) / (1.0 + 0.01)))


def test_the_spread_of_boosters_holds_about_as_often_as_it_says():
    inside = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        points = rng.random((130, 3))
        truth = np.sin(4.0 * points).sum(axis=1) + 0.1 * rng.standard_normal(130)
        mean, std = fit_boosters(points[:30], truth[:30], seed).predict(points[30:])
        inside.append(np.mean(np.abs(truth[30:] - mean) < std))
    assert 0.55 < np.mean(inside) < 0.85


def test_losses_are_log_shifted_and_standardised():
    losses = np.array([1.0, 2.0, 11.0])
    logs = np.log(losses - 1.0 + 0.05 * (2.0 - 1.0))
    assert log_shift(losses) == pytest.approx((logs - logs.mean()) / logs.std())


def test_losses_far_above_the_median_leave_the_others_apart():
    far, near = log_shift(np.array([1.0, 2.0, 3.0, 1e9])), log_shift(np.array([1.0, 2.0, 3.0, 16.0]))
    assert far == pytest.approx(near)


@pytest.mark.parametrize(
    "losses", [[2.0, 2.0], [0.0], [0.0, 0.0, 0.0, 1.0], [-1.7e308, 0.0, 1.7e308], [0.0, 5e-324], [1.0, 1.0 + 2e-16]]
)
def test_transformed_losses_are_finite_and_keep_the_order(losses):
    found = log_shift(np.array(losses))
    assert np.isfinite(found).all()
    assert (np.diff(found) >= 0.0).all()


@pytest.mark.parametrize("fit", [fit_forest, fit_boosters])
def test_models_follow_the_targets_and_are_unsure_in_gaps(fit):
    near = LINE[(LINE[:, 0] < 0.3) | (LINE[:, 0] > 0.7)]
    mean, std = fit(near, 5.0 * near[:, 0], 0).predict(np.array([[0.1], [0.9], [0.5]]))
    assert mean[0] < mean[1]
    assert std[2] > max(std[0], std[1])


@pytest.mark.parametrize("fit", [fit_forest, fit_boosters])
def test_nothing_is_surer_than_a_thousandth_of_the_targets_spread(fit):
    targets = np.where(LINE[:, 0] < 0.5, 0.0, 50.0)
    assert fit(LINE, targets, 0).floor == pytest.approx(0.025)
    assert fit(LINE, targets, 0).predict(LINE)[1].min() >= 0.025
    assert fit(LINE, np.ones(40), 0).floor == 1e-3


@pytest.mark.parametrize("fit", [fit_forest, fit_boosters])
def test_models_are_the_same_for_the_same_seed(fit):
    first, second, other = (fit(LINE, np.sin(9.0 * LINE[:, 0]), seed).predict(LINE + 0.01) for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("fit", [fit_forest, fit_boosters])
def test_models_bear_a_single_point_and_equal_targets(fit):
    for count in (1, 5):
        mean, std = fit(LINE[:count], np.full(count, 2.0), 0).predict(LINE)
        assert mean == pytest.approx(np.full(40, 2.0))
        assert (std > 0.0).all()


def test_the_chance_of_success_falls_beside_failures():
    points, failed = np.array([[0.0], [1.0]]), np.array([True, False])
    at = np.array([[0.0], [1.0], [100.0]])
    chance = success_rate(points, failed, at, 0.1)
    assert chance == pytest.approx([0.5 / 2.0, 1.5 / 2.0, 0.5])


def test_every_trial_nearby_counts_for_the_chance_of_success():
    points, failed = np.array([[0.0], [0.0], [0.0], [0.1]]), np.array([True, False, False, False])
    near = np.exp(-0.5)
    assert success_rate(points, failed, np.zeros((1, 1)), 0.1) == pytest.approx([(2.5 + near) / (4.0 + near)])


def test_what_lies_beside_a_point_counts_less():
    points = np.array([[0.5, 0.5], [0.9, 0.9]])
    there, beside, away = log_apart(points, np.array([[0.5, 0.5], [0.5, 0.51], [0.1, 0.9]]), 0.02)
    assert there == -np.inf
    assert beside == pytest.approx(np.log(1 - np.exp(-0.5 * 0.5**2)))
    assert away == pytest.approx(0.0)


@pytest.mark.parametrize("fit", [fit_forest, fit_boosters])
def test_missing_scikit_learn_is_told_in_a_sentence(fit, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'greyhound-tune\[boosting\]'"):
        fit(LINE, LINE[:, 0], 0)
