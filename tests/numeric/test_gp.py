"""Gaussian-process regression: the kernel, the evidence's slope, and what is believed after data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_t

from greyhound.numeric import gp

RNG = np.random.default_rng(0)


def embedded(X, categories=None, active=None, optional=None, warped=(), alike=()):
    d = X.shape[1]
    layout = gp.Layout(tuple(categories or (0,) * d), tuple(optional or (False,) * d), tuple(warped), alike)
    return layout.embed(X, np.ones(X.shape, bool) if active is None else active), layout


def test_matern_has_its_closed_form():
    A, B = RNG.random((3, 2)), RNG.random((4, 2))
    distance = np.linalg.norm(A[:, None] - B[None], axis=2)
    expected = (1 + 5**0.5 * distance + 5 / 3 * distance**2) * np.exp(-(5**0.5) * distance)
    assert gp.matern52(A, B) == pytest.approx(expected)


def test_two_different_categories_are_at_distance_one_whichever_they_are():
    Z, layout = embedded(np.array([[0.1], [0.5], [0.9]]), categories=[3])
    squared = ((Z[:, None] - Z[None]) ** 2).sum(axis=2)
    assert squared == pytest.approx(1.0 - np.eye(3))
    assert layout.owners.tolist() == [0, 0, 0]


def test_the_value_of_an_absent_coordinate_does_not_matter_but_its_absence_does():
    X = np.array([[0.1], [0.9], [0.5]])
    active = np.array([[False], [False], [True]])
    Z, _ = embedded(X, active=active, optional=[True])
    assert Z[0].tolist() == Z[1].tolist()
    assert np.linalg.norm(Z[0] - Z[2]) == pytest.approx(0.5)


@pytest.mark.parametrize("optional", [False, True])
def test_a_shared_trend_sees_how_many_coordinates_have_each_category(optional):
    X, active = np.array([[0.1, 0.1], [0.1, 0.9], [0.1, 0.9]]), np.array([[True] * 2, [True] * 2, [True, not optional]])
    Z, layout = embedded(X, categories=[3, 3], active=active, optional=[False, optional], alike=((0, 1),))
    absent = [2 / 3, -1 / 3, -1 / 3] if optional else [1 / 3, -2 / 3, 1 / 3]
    shares = np.array([[4 / 3, -2 / 3, -2 / 3], [1 / 3, -2 / 3, 1 / 3], absent])
    assert layout.trends(Z) == pytest.approx(shares / 2**0.5)


def test_a_posterior_with_a_shared_trend_is_that_of_the_sum_of_both_covariances():
    Z, layout = embedded(RNG.random((12, 4)), categories=[0, 3, 0, 3], alike=((1, 3),))
    data, new = Z[:8], Z[8:]
    y = RNG.standard_normal((8, 1))
    found = gp.condition(data, layout, y, gp.Hyperparameters(np.zeros(4), np.log(0.1), None, np.log(0.5)))
    means, stds = found.predict(new)

    def covariance(A, B):
        return gp.matern52(A, B) + 0.5 * layout.trends(A) @ layout.trends(B).T

    inverse = np.linalg.inv(covariance(data, data) + (0.1 + 1e-8) * np.eye(8))
    mean = (inverse.sum(axis=0) @ y) / inverse.sum()
    cross = covariance(new, data)
    variance = ((y - mean).T @ inverse @ (y - mean) + 2.0) / (8 + 2.0)
    assert means == pytest.approx(mean + cross @ inverse @ (y - mean))
    assert stds**2 == pytest.approx(variance * np.diag(covariance(new, new) - cross @ inverse @ cross.T)[:, None])
    assert found.at_data() == pytest.approx(mean + covariance(data, data) @ inverse @ (y - mean))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.integers(1, 3), st.booleans(), st.booleans())
def test_the_slope_of_the_evidence_is_that_of_finite_differences(seed, targets, warped, alike):
    rng = np.random.default_rng(seed)
    Z, layout = embedded(
        rng.random((12, 5)),
        categories=[0, 0, 3, 0, 3],
        optional=[False, True, False, False, False],
        warped=[False, True, False, True, False],
        alike=((2, 4),) if alike else (),
    )
    Y = rng.standard_normal((12, targets))
    flat = np.append(rng.normal(0.0, 0.7, 5), rng.uniform(-6.0, -1.0))
    flat = np.append(flat, rng.normal(0.0, 0.7, 4)) if warped else flat
    flat = np.append(flat, rng.normal(-1.0, 0.7)) if alike else flat

    def evidence(flat):
        return gp._evidence(Z, layout, Y, gp._unflattened(flat, layout))

    _, slope = evidence(flat)
    for at, step in enumerate(1e-6 * np.eye(len(flat))):
        numeric = (evidence(flat + step)[0] - evidence(flat - step)[0]) / 2e-6
        assert slope[at] == pytest.approx(numeric, rel=1e-3, abs=1e-4)


def test_a_fit_ends_where_evidence_and_priors_balance():
    rng = np.random.default_rng(5)
    X = rng.random((25, 4))
    Z, layout = embedded(X, categories=[0, 3, 0, 3], warped=[True, False, False, False], alike=((1, 3),))
    y = X[:, :1] ** 3 + 0.2 * np.sin(5.0 * X[:, 2:3]) + 0.3 * (X[:, 1:2] > 0.6) + 0.05 * rng.standard_normal((25, 1))
    found = gp.fit(Z, layout, gp.standardise(y[:, 0])[:, None], gp.prior_mode(4, 1), evaluations=500)

    def log_posterior(flat):
        """The priors as told: normal in the logarithms, but lengths by their own density."""
        centre = 0.7 + 0.5 * np.log(4.0)
        normal = [
            (flat[:4], centre, 1.2),
            (flat[4], np.log(1e-4), 2.0),
            (flat[5:7], 0.0, 1.0),
            (flat[7], np.log(0.05), 2.0),
        ]
        prior = -sum(np.sum((value - mean) ** 2) / (2.0 * width**2) for value, mean, width in normal) - flat[:4].sum()
        return prior - gp._evidence(Z, layout, gp.standardise(y[:, 0])[:, None], gp._unflattened(flat, layout))[0]

    flat = np.concatenate([found.log_lengths, [found.log_noise], found.log_warps.ravel(), [found.log_trend]])
    for step in 1e-5 * np.eye(8):
        assert (log_posterior(flat + step) - log_posterior(flat - step)) / 2e-5 == pytest.approx(0.0, abs=0.01)


def test_a_trend_is_believed_as_far_as_the_data_show_one():
    rng = np.random.default_rng(3)
    X = rng.random((40, 6))
    Z, layout = embedded(X, categories=[2] * 6, alike=(tuple(range(6)),))
    ones = X > 0.5
    shared = gp.standardise(ones.sum(axis=1))[:, None]
    none = gp.standardise((ones[:, :-1] == ones[:, 1:]).sum(axis=1))[:, None]
    start = gp.prior_mode(6)
    assert gp.fit(Z, layout, none, start).log_trend < start.log_trend
    assert gp.fit(Z, layout, shared, start).log_trend > start.log_trend + 1.0


@pytest.mark.parametrize("warps", [0, 1])
@pytest.mark.parametrize("alike", [(), ((1, 2),)])
def test_where_no_covariance_can_be_factored_the_fit_stays_where_it_began(monkeypatch, warps, alike):
    Z, layout = embedded(RNG.random((8, 3)), categories=[0, 2, 2], warped=[warps > 0, False, False], alike=alike)
    start = gp.prior_mode(3, warps)

    def fails(*arguments, **options):
        raise np.linalg.LinAlgError

    monkeypatch.setattr(gp, "cholesky", fails)
    theta = gp.fit(Z, layout, RNG.standard_normal((8, 1)), start)
    assert theta.log_lengths == pytest.approx(start.log_lengths)
    assert (theta.log_warps is None) is (warps == 0)


def test_differences_of_the_evidence_are_those_of_a_student_t():
    Z, layout = embedded(RNG.random((8, 2)))
    y = RNG.standard_normal((8, 1))
    places = [(-1.0, -3.0), (0.5, -1.0)]
    ours = [
        gp._evidence(Z, layout, y, gp.Hyperparameters(np.full(2, log_length), log_noise))[0]
        for log_length, log_noise in places
    ]
    theirs = [student_t(y[:, 0], Z, log_length, log_noise) for log_length, log_noise in places]
    assert ours[1] - ours[0] == pytest.approx(theirs[1] - theirs[0], rel=1e-6)


def student_t(y, Z, log_length, log_noise):
    """Negative log density of y when a variance ~ inverse-gamma(ν/2, ½) is integrated out."""
    A = gp.matern52(Z * np.exp(-log_length), Z * np.exp(-log_length)) + (np.exp(log_noise) + 1e-8) * np.eye(len(y))
    inverse = np.linalg.inv(A)
    mean = inverse.sum(axis=0) @ y / inverse.sum()
    nu = gp._PRIOR_DEGREES
    return -multivariate_t.logpdf(y, np.full(len(y), mean), A, df=nu)


def test_without_noise_the_posterior_goes_through_the_data():
    X = RNG.random((15, 2))
    y = np.sin(4 * X[:, 0]) + X[:, 1]
    Z, layout = embedded(X)
    posterior = gp.condition(Z, layout, y[:, None], gp.Hyperparameters(np.full(2, -0.5), np.log(1e-6)))
    mean, std = posterior.predict(Z)
    assert mean[:, 0] == pytest.approx(y, abs=1e-3)
    assert (std < 0.01).all()
    assert posterior.at_data()[:, 0] == pytest.approx(mean[:, 0])


def test_uncertainty_grows_away_from_the_data():
    Z, layout = embedded(np.array([[0.1], [0.2], [0.3]]))
    posterior = gp.condition(Z, layout, np.array([[0.0], [1.0], [0.0]]), gp.Hyperparameters(np.array([-1.5]), -9.0))
    _, std = posterior.predict(np.array([[0.25], [0.4], [0.6], [0.9]]))
    assert (np.diff(std[:, 0]) > 0).all()


def test_a_fit_finds_out_which_coordinates_matter():
    X = RNG.random((40, 4))
    y = gp.standardise(np.sin(6 * X[:, 1]))[:, None]
    Z, layout = embedded(X)
    theta = gp.fit(Z, layout, y, gp.prior_mode(4))
    others = np.delete(theta.log_lengths, 1)
    assert theta.log_lengths[1] < others.min() - 0.7


def test_a_warp_is_the_identity_at_one_and_rises_from_0_to_1():
    X = np.linspace(0.0, 1.0, 50)[:, None]
    assert gp.warp(X, np.zeros(1), np.zeros(1)) == pytest.approx(X, abs=1e-8)
    warped = gp.warp(X, np.array([0.7]), np.array([-1.2]))
    assert warped[0] == pytest.approx(0.0, abs=1e-3)
    assert warped[-1] == pytest.approx(1.0, abs=3e-3)
    assert (np.diff(warped[:, 0]) > 0).all()
    assert warped[25, 0] == pytest.approx(1 - (1 - X[25, 0] ** np.exp(0.7)) ** np.exp(-1.2))


def test_only_the_columns_of_numbers_are_warped_and_no_flags():
    X, optional = np.array([[0.3, 0.9, 0.5]]), [True, True, False]
    Z, layout = embedded(X, categories=[0, 2, 0], optional=optional, warped=[True, False, True])
    assert layout.to_warp.tolist() == [True, False, False, False, False, True]
    theta = gp.Hyperparameters(np.zeros(3), 0.0, np.full((2, 2), 0.5))
    assert (theta.place(Z, layout) != Z).tolist() == [layout.to_warp.tolist()]


def test_a_warp_learns_where_a_function_changes():
    X = np.linspace(0.0, 1.0, 40)[:, None]
    Z, layout = embedded(X, warped=[True])
    y = gp.standardise(np.sin(20 * X[:, 0] ** 6))[:, None]  # flat below a half, steep near 1
    theta = gp.fit(Z, layout, y, gp.prior_mode(1, warps=1), evaluations=60)
    low, middle, high = gp.warp(np.array([[0.0], [0.5], [1.0]]), *theta.log_warps)[:, 0]
    assert middle - low < 0.3 < high - middle
    beyond = np.array([[0.55], [0.995]])
    plain = gp.condition(Z, layout, y, gp.fit(Z, layout, y, gp.prior_mode(1))).predict(beyond)[1][:, 0]
    warped = gp.condition(Z, layout, y, theta).predict(beyond)[1][:, 0]
    assert warped[0] / warped[1] < plain[0] / plain[1]


def test_a_fit_tells_noise_from_signal():
    X = RNG.random((60, 1))
    signal = np.sin(5 * X[:, 0])
    Z, layout = embedded(X)
    quiet = gp.fit(Z, layout, gp.standardise(signal)[:, None], gp.prior_mode(1))
    noisy = gp.fit(Z, layout, gp.standardise(signal + 0.7 * RNG.standard_normal(60))[:, None], gp.prior_mode(1))
    assert noisy.log_noise > quiet.log_noise + 2.0


def test_equal_points_with_different_values_are_borne():
    Z, layout = embedded(np.full((10, 2), 0.5))
    y = gp.standardise(np.arange(10.0))[:, None]
    theta = gp.fit(Z, layout, y, gp.prior_mode(2))
    mean, std = gp.condition(Z, layout, y, theta).predict(Z[:1])
    assert mean[0, 0] == pytest.approx(0.0, abs=0.2)
    assert np.isfinite(std).all()


def test_losses_far_above_the_median_are_drawn_in_but_none_where_most_are_the_lowest():
    assert gp.drawn_in(np.array([1.0, 2.0, 3.0, 99.0])).tolist() == [1.0, 2.0, 3.0, 16.0]
    assert gp.drawn_in(np.array([1.0, 1.0, 1.0, 99.0])).tolist() == [1.0, 1.0, 1.0, 99.0]


@pytest.mark.parametrize("values", [[1.0], [2.0, 2.0, 2.0], [1e300, 1e300], [0.0, 0.0]])
def test_what_does_not_vary_is_standardised_to_zero(values):
    assert gp.standardise(values).tolist() == [0.0] * len(values)


def test_what_is_foretold_of_a_datum_without_it_is_what_the_others_say():
    Z, layout = embedded(RNG.random((12, 2)))
    targets = np.sin(5 * Z[:, :1]) + 0.1 * RNG.standard_normal((12, 1))
    process = gp.condition(Z, layout, targets, gp.Hyperparameters(np.log([0.4, 0.9]), np.log(0.01)))
    means, stds = process.without(targets)
    kernel = gp.matern52(process.places, process.places) + (0.01 + 1e-8) * np.eye(12)
    for at in range(12):
        rest = np.delete(np.arange(12), at)
        gain = np.linalg.solve(kernel[np.ix_(rest, rest)], kernel[rest, at])
        mean = process.means[0] + gain @ (targets[rest, 0] - process.means[0])
        assert means[at, 0] == pytest.approx(mean)
        assert stds[at, 0] ** 2 == pytest.approx(process.variances[0] * (kernel[at, at] - gain @ kernel[rest, at]))
