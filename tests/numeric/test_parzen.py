"""Parzen estimators: bandwidths, weights, kernels, and densities that integrate to one."""

import numpy as np
import pytest
from scipy.stats import truncnorm

from greyhound.numeric.parzen import (
    Parzen,
    bandwidths,
    category_kernel,
    cell_kernel,
    cells_of,
    fit,
    improvement_weights,
)

NOTHING = np.zeros(1, dtype=np.int64)
ORDERED = np.zeros(1, dtype=bool)


def column(*units):
    return np.array(units, dtype=float)[:, None]


def estimator(points, sizes=(0,), unordered=(False,), weights=None, active=None):
    points = np.asarray(points, dtype=float).reshape(-1, len(sizes))
    active = np.ones(points.shape, dtype=bool) if active is None else np.asarray(active)
    weights = np.ones(len(points)) if weights is None else np.asarray(weights, dtype=float)
    return fit(points, active, weights, 1.0, 0.1, np.array(sizes, dtype=np.int64), np.array(unordered))


def everywhere(points):
    return np.ones(points.shape, dtype=bool)


def test_bandwidths_shrink_with_the_trials_that_have_the_column():
    active = np.array([[True, True], [True, False], [True, False], [True, False]])
    assert bandwidths(active, 0.2) == pytest.approx([0.2 * 4.0 ** (-1 / 6), 0.2])
    assert bandwidths(active, 0.01).tolist() == [0.03, 0.03]
    assert bandwidths(active[:0], 5.0).tolist() == [1.0, 1.0]


def test_better_trials_weigh_by_how_far_they_are_below_the_threshold():
    assert improvement_weights(np.array([1.0, 2.0, 4.0]), 4.0).tolist() == pytest.approx([9 / 5, 6 / 5, 0.0])


def test_ties_weigh_the_same():
    assert improvement_weights(np.array([3.0, 3.0]), 3.0).tolist() == [1.0, 1.0]


def test_weights_bear_losses_whose_difference_overflows():
    assert np.isfinite(improvement_weights(np.array([-1.7e308, 0.0]), 1.7e308)).all()


def test_a_category_keeps_its_own_mass_and_shares_the_rest():
    own = np.array([True, False, False])
    assert category_kernel(own, 3, 0.5).tolist() == pytest.approx([1.5 / 2.5, 0.5 / 2.5, 0.5 / 2.5])


def test_the_mass_of_a_cell_is_that_of_the_truncated_gaussian_in_it():
    mass = cell_kernel(np.arange(4), 4, np.array([0.4]), np.array([0.3]))
    bell = truncnorm(-0.4 / 0.3, 0.6 / 0.3, loc=0.4, scale=0.3)
    assert mass[:, 0] == pytest.approx(np.diff(bell.cdf([0.0, 0.25, 0.5, 0.75, 1.0])))


def test_the_last_cell_holds_one():
    assert cells_of(np.array([0.0, 0.49, 0.5, 1.0]), 2).tolist() == [0, 0, 1, 1]


def test_a_continuous_density_is_a_mixture_of_truncated_gaussians():
    model = Parzen(
        centres=column(0.2, 0.5),
        active=everywhere(column(0.2, 0.5)),
        widths=column(0.1, 1.0),
        smoothing=np.zeros(1),
        weights=np.array([0.75, 0.25]),
        sizes=NOTHING,
        unordered=ORDERED,
    )
    at = 0.3
    expected = 0.75 * truncnorm(-2.0, 8.0, loc=0.2, scale=0.1).pdf(at) + 0.25 * truncnorm(-0.5, 0.5, loc=0.5).pdf(at)
    points = column(at)
    assert np.exp(model.log_density(points, everywhere(points))) == pytest.approx([expected])


def test_a_density_integrates_to_one():
    model = estimator([[0.1, 0.25, 0.5 / 3], [0.9, 0.75, 2.5 / 3]], (0, 2, 3), (False, False, True))
    fine = (np.arange(400) + 0.5) / 400
    points = np.array([[x, a, b] for x in fine for a in (0.25, 0.75) for b in (0.5 / 3, 1.5 / 3, 2.5 / 3)])
    assert np.exp(model.log_density(points, everywhere(points))).sum() / 400 == pytest.approx(1.0, abs=1e-4)


def test_a_column_that_a_point_lacks_counts_for_nothing():
    model = estimator([[0.2, 0.3], [0.2, 0.9]], (0, 0), (False, False))
    points = np.array([[0.2, 0.1], [0.2, 0.9]])
    scores = model.log_density(points, np.array([[True, False], [True, False]]))
    assert scores[0] == scores[1]


def test_points_score_together_as_they_do_alone_whatever_columns_they_have():
    model = estimator([[0.2, 0.125], [0.4, 0.875]], (0, 4), (False, True), active=[[True, True], [True, False]])
    points = np.array([[0.2, 0.125], [0.9, 0.625], [0.3, 0.125], [0.3, 0.375]])
    active = np.array([[True, True], [True, False], [False, True], [True, True]])
    alone = [model.log_density(points[at : at + 1], active[at : at + 1])[0] for at in range(4)]
    assert model.log_density(points, active) == pytest.approx(alone)


def test_a_component_is_uniform_in_a_column_that_its_point_lacks():
    model = estimator([[0.2, 0.5]], (0, 4), (False, True), active=[[True, False]])
    points = np.array([[0.2, 0.125], [0.2, 0.875]])
    assert np.ptp(model.log_density(points, everywhere(points))) == pytest.approx(0.0)


@pytest.mark.parametrize("weights", [[1.0, 1.0, 1.0], [0.2, 0.3, 9.0]])
def test_samples_follow_the_density(weights):
    model = estimator([[0.1, 0.5 / 3], [0.2, 0.5 / 3], [0.35, 2.5 / 3]], (0, 3), (False, True), weights)
    points = model.sample(4000, np.random.default_rng(0))
    assert points.min() >= 0.0
    assert points.max() <= 1.0
    cells = cells_of(points[:, 1], 3)
    grid = np.array([[x, (cell + 0.5) / 3] for cell in range(3) for x in (np.arange(200) + 0.5) / 200])
    mass = np.exp(model.log_density(grid, everywhere(grid))).reshape(3, 200) / 200
    assert np.bincount(cells, minlength=3) / 4000 == pytest.approx(mass.sum(axis=1), abs=0.03)
    assert (points[:, 0] < 0.3).mean() == pytest.approx(mass[:, :60].sum(), abs=0.03)


def test_without_points_there_is_the_prior_alone():
    model = estimator(np.empty((0, 1)))
    points = column(0.5, 0.1)
    scores = model.log_density(points, everywhere(points))
    assert scores[0] > scores[1] > scores[0] - 0.2, "wide, with its mode in the middle"


@pytest.mark.parametrize("size", [2, 5])
def test_the_prior_favours_no_category(size):
    prior = estimator([], sizes=(size,), unordered=(True,))
    cells = column(*((at + 0.5) / size for at in range(size)))
    assert np.exp(prior.log_density(cells, everywhere(cells))) == pytest.approx(1 / size)
    drawn = cells_of(prior.sample(5000, np.random.default_rng(0))[:, 0], size)
    assert np.bincount(drawn) / 5000 == pytest.approx(1 / size, abs=0.03)


def test_categories_that_no_point_has_share_what_one_point_more_would_have():
    model = estimator([[0.1], [0.1], [0.5]], sizes=(3,), unordered=(True,))  # smoothing 1 / 4
    cells = column(0.1, 0.5, 0.9)
    own, other = 1.25 / 1.75, 0.25 / 1.75
    masses = [2 * own + other, own + 2 * other, 3 * other]
    found = np.exp(model.log_density(cells, everywhere(cells)))
    assert found == pytest.approx([(mass + 1 / 3) / 4 for mass in masses])


def test_weights_of_nought_are_borne():
    model = estimator([[0.1], [0.9]], weights=[1.0, 0.0])
    points = column(0.9)
    assert np.isfinite(model.log_density(points, everywhere(points))).all()
