"""Curves beneath their noise: nothing is changed where they are smooth, noise is taken off the rest."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import greyhound as gh
from greyhound.curves import forecast
from greyhound.curves.forecasting import at_step
from greyhound.curves.smoothing import STEADY, Jitter, by_length, jitter, smoothed
from greyhound.curves.study import finals
from greyhound.samplers.results import results

STEPS = np.arange(1, 51)


def improving(count: int) -> np.ndarray:
    ends = np.linspace(0.1, 0.3, count)
    return ends[:, None] + STEPS**-0.7


def shaken(truth: np.ndarray, noise: float, seed: int = 0) -> np.ndarray:
    return truth + noise * np.random.default_rng(seed).standard_normal(truth.shape)


def beneath(curves: np.ndarray) -> np.ndarray:
    return smoothed(curves, jitter([curves]))


def by_the_book(curve: np.ndarray, size: float) -> tuple[float, np.ndarray]:
    """Rasmussen & Williams 2006, eq. 2.25 and 2.30 with 4.17: the likelihood of a size of noise, and what is beneath.

    A Matérn process of degree 5/2 or 3/2 in log steps, its mean that of the curve, of five heights; all as likely.
    """
    n = len(curve)
    at = np.log(np.arange(1.0, n + 1.0)) / 2.8
    apart = np.abs(at[:, None] - at)
    five, three = np.sqrt(5.0) * apart, np.sqrt(3.0) * apart
    basis = np.linalg.svd(np.eye(n) - 1.0 / n)[0][:, :-1]  # of what has the mean 0
    seen = basis.T @ curve
    told = []
    for process in ((1.0 + five + five**2 / 3.0) * np.exp(-five), (1.0 + three) * np.exp(-three)):
        for height in (0.01, 0.05, 0.2, 0.7, 2.0):
            movement = (height * np.ptp(curve)) ** 2 * basis.T @ process @ basis
            covariance = movement + size**2 * np.eye(n - 1)
            solved = np.linalg.solve(covariance, seen)
            density = np.exp(-0.5 * (seen @ solved + np.linalg.slogdet(covariance)[1]))
            told.append((density, curve.mean() + basis @ movement @ solved))
    densities, below = map(np.array, zip(*told, strict=True))
    return float(densities.sum()), densities @ below / densities.sum()


def test_what_is_beneath_is_the_mean_over_all_sizes_heights_and_kinds():
    curves = shaken(improving(5), 0.05)[:, :9]
    noise = Jitter(np.array([0.0, 0.02, 0.1]), np.array([0.2, 0.5, 0.3]))
    expected = []
    for curve in curves:
        likelihoods, below = map(np.array, zip(*(by_the_book(curve, size) for size in noise.sizes), strict=True))
        weight = noise.shares * likelihoods
        expected.append(weight @ below / weight.sum())
    reach = 3.0 * np.median(np.abs(np.array(expected) - curves))
    expected = np.clip(expected, curves - reach, curves + reach)
    assert smoothed(curves, noise) == pytest.approx(expected, rel=1e-4)


def test_of_the_shares_that_sizes_may_have_those_are_taken_that_make_all_curves_likeliest():
    curves = shaken(improving(12), 0.05)[:, :8]
    sizes = np.append(0.0, 2.0 ** np.arange(-7.0, 0.0)) * np.ptp(curves, axis=1).mean()
    likelihoods = np.array([[by_the_book(curve, size)[0] for size in sizes] for curve in curves])
    best, steady = (-np.inf, sizes), np.log(likelihoods[:, 0]).sum()
    for middle in range(1, 8):
        for width in (0.5, 1.5):
            for none in (0.02, 0.2, 0.5):
                some = np.exp(-0.5 * ((np.arange(1, 8) - middle) / width) ** 2)
                shares = np.append(none, (1.0 - none) * some / some.sum())
                best = max(best, (float(np.log(likelihoods @ shares).sum()), shares), key=lambda pair: pair[0])
    assert best[0] > steady + 5.0
    counts = best[1] > 1e-3
    found = jitter([curves[:7], curves[7:]])
    assert found.sizes == pytest.approx(sizes[counts])
    assert found.shares == pytest.approx(best[1][counts] / best[1][counts].sum())


@pytest.mark.parametrize("steps", [3, 6, 50])
def test_without_noise_nothing_changes(steps):
    curves = improving(10)[:, :steps]
    assert (beneath(curves) == curves).all()


@pytest.mark.parametrize("noise", [0.01, 0.03, 0.1])
def test_the_size_of_the_noise_is_found(noise):
    found = jitter([shaken(improving(20), noise)[:, :12], shaken(improving(20), noise, seed=1)])
    assert found.shares.sum() == pytest.approx(1.0)
    assert noise / 2.0 < found.sizes[found.shares.argmax()] < 2.0 * noise


@pytest.mark.parametrize(("noise", "part"), [(0.01, 0.8), (0.05, 0.6)])
def test_of_noisy_curves_the_level_is_nearer_to_the_truth_than_the_last_value(noise, part):
    truth = improving(30)
    seen = shaken(truth, noise)
    error = np.abs(beneath(seen) - truth)[:, -1].mean()
    assert error < part * np.abs(seen - truth)[:, -1].mean()


@pytest.mark.parametrize("steps", [6, 12])
def test_forecasts_of_noisy_beginnings_err_less(steps):
    rng = np.random.default_rng(2)
    ends, heights, speeds = (rng.uniform(low, high, (120, 1)) for low, high in ((0.1, 0.5), (0.2, 0.5), (0.3, 1.0)))
    truth = ends + heights * STEPS**-speeds
    seen, known = shaken(truth, 0.01)[:, :steps], shaken(truth[:8], 0.01, seed=1)
    told = [
        at_step(seen[8:], np.zeros((112, 0)), 50, known, np.zeros((8, 0)), shaking=shaking).mean
        for shaking in (STEADY, jitter([seen]))
    ]
    as_it_is, calmed = (np.abs(mean - truth[8:, -1]).mean() for mean in told)
    assert calmed < 0.9 * as_it_is
    assert np.abs(forecast(seen[8:], 50, known=known).mean - truth[8:, -1]).mean() < 0.9 * as_it_is


def test_a_late_drop_of_the_learning_rate_is_not_smoothed_away():
    curves = improving(10) - 0.2 * (STEPS > 40)
    assert np.abs(beneath(shaken(curves, 0.005)) - curves)[:, -1].max() < 0.025


def test_what_never_moves_among_noisy_curves_stays():
    curves = np.vstack([shaken(improving(10), 0.02), np.full((1, 50), 0.7)])
    assert (beneath(curves)[10] == 0.7).all()


def test_a_few_values_are_too_few_to_tell_noise_by():
    curves = np.array([[0.5, 0.1, 0.4, 0.2]])
    assert (beneath(curves) == curves).all()


def test_curves_come_in_groups_of_one_length():
    curves = np.arange(12.0).reshape(3, 4)
    groups = by_length(curves, np.array([2, 0, 2]))
    assert [group.tolist() for group in groups] == [[[0.0, 1.0], [8.0, 9.0]]]


@given(st.floats(1e-3, 1e3), st.floats(-1e3, 1e3), st.integers(0, 99))
def test_units_do_not_matter(scale, shift, seed):
    curves = shaken(improving(5), 0.02, seed)
    assert beneath(shift + scale * curves) == pytest.approx(shift + scale * beneath(curves), abs=1e-6 * scale + 1e-9)


def test_means_over_replicates_are_not_smoothed():
    losses = np.random.default_rng(0).random((12, 10))
    for target in ({"replicates": {}}, {}):
        options = {"minimize": "loss", "max_steps": 10, "scheduler": "none", "target": target}
        made = gh.Study({"x": gh.Float(0.0, 1.0)}, **options)
        for row in losses:
            trial = made.ask()
            for step, loss in enumerate(row, 1):
                made.report(trial, step, loss=float(loss), loss_std_error=0.1)  # which says nothing by itself
        assert (results(made.history).losses == pytest.approx(losses[:, -1])) is bool(target)
    assert beneath(losses)[:, -1] != pytest.approx(losses[:, -1])


def test_samplers_learn_what_is_beneath_the_noise_and_keep_what_ended_early_as_it_is():
    made = gh.Study({"x": gh.Float(0.0, 1.0)}, minimize="loss", max_steps=50, scheduler="none", seed=0)
    truth = improving(12)
    noise = 0.05 * np.random.default_rng(1).standard_normal(truth.shape)
    for curve in truth + noise:
        trial = made.ask()
        for step, loss in enumerate(curve, 1):
            made.report(trial, step, loss=float(loss))
    stopped = made.ask()
    made.report(stopped, 3, loss=0.9)
    made.tell(stopped, loss=0.9)
    told = results(made.history)
    assert np.abs(told.losses[:12] - truth[:, -1]).mean() < 0.6 * np.abs(noise[:, -1]).mean()
    assert told.losses[12] == 0.9
    assert told.losses[:12] == pytest.approx(finals(made.history).mean[:12, 0])
    assert not told.doubts.any()
