"""How far off forecasts are, beside errors whose law is known."""

import numpy as np
import pytest
from scipy.stats import t as student

from greyhound.curves import forecast
from greyhound.curves.doubt import DEGREES, SCALE, _fitted, doubt, moved

LEAST = 1e-6


def resting_and_moving(random: np.random.Generator, count: int) -> np.ndarray:
    """Curves of 9 steps; every second one moves a hundred times as much as the others."""
    slopes = np.where(np.arange(count) % 2, 0.1, 0.001)[:, None]
    return random.random((count, 1)) + slopes * random.random((count, 9)).cumsum(axis=1)


def test_the_scale_and_its_likelihood_are_scipys():
    errors = student.rvs(2.0, scale=0.3, size=400, random_state=0)
    scales, likelihoods = _fitted(errors, LEAST)
    for at, degrees in enumerate((4.0, 2.0, 1.0, 0.5)):
        _, _, scale = student.fit(errors, fix_df=degrees, floc=0.0)
        assert scales[at] == pytest.approx(scale, rel=1e-3)
        assert likelihoods[at] == pytest.approx(student.logpdf(errors, degrees, scale=scale).sum(), abs=1e-3)
    assert likelihoods.argmax() == 1


@pytest.mark.parametrize(("curve", "newest"), [([9, 7, 0, 1, 3], 3), ([9, 7, 1, 3], 6), ([4, 9], 5), ([4], 0)])
def test_a_curve_moved_over_the_range_of_its_newest_half(curve, newest):
    assert moved(np.array([curve], float)).tolist() == [newest]


def test_usual_errors_change_nothing():
    random = np.random.default_rng(1)
    told = []
    for seed in range(20):
        known = resting_and_moving(random, 20)
        errors = SCALE * student.rvs(DEGREES, size=20, random_state=seed)
        wider, degrees = doubt(known, known, errors, LEAST)
        told.append(degrees == DEGREES and (wider == 1.0).all())
    assert sum(told) >= 18


def test_of_four_errors_no_law_is_read():
    known = resting_and_moving(np.random.default_rng(2), 4)
    wider, degrees = doubt(known, known, np.array([0.0, 1.0, 0.0, 9.0]), LEAST)
    assert wider.tolist() == [1.0] * 4
    assert degrees == DEGREES


def test_where_moving_curves_err_more_they_are_doubted_more():
    random = np.random.default_rng(3)
    known, curves = resting_and_moving(random, 30), resting_and_moving(random, 1000)
    laws = moved(known), moved(curves)
    errors, others = (law * random.standard_t(DEGREES, len(law)) for law in laws)
    wider, degrees = doubt(curves, known, errors, LEAST)
    assert degrees >= 2.0
    assert 50.0 < np.median(wider[1::2] / wider[::2]) < 150.0
    told = 1.4826 * np.median(np.abs(errors - np.median(errors)))
    inside = np.abs(others) <= SCALE * told * wider * student.ppf(0.975, degrees)
    for group in (inside[::2], inside[1::2]):
        assert 0.9 <= group.mean() <= 0.99


def test_five_errors_are_enough_to_tell_heavy_tails():
    known = np.random.default_rng(2).random((5, 9))
    assert doubt(known, known, np.array([0.0, 1e-3, -1e-3, 5e-4, 9.0]), LEAST)[1] == 0.5


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_doubts_grow_with_the_power_of_the_movement_that_errors_grow_with(power):
    random = np.random.default_rng(6)
    known, curves = resting_and_moving(random, 60), resting_and_moving(random, 8)
    curves[0] = curves[0, 0]  # what stands still moves by three thousandths of the spread of all
    resting = 0.003 * np.concatenate([curves[:, -1], known[:, -1]]).std()
    laws = [np.hypot(moved(each), resting) ** power for each in (known, curves)]
    errors = laws[0] * SCALE * student.ppf((random.permutation(60) + 0.5) / 60, DEGREES)
    wider, degrees = doubt(curves, known, errors, LEAST)
    assert degrees == DEGREES
    assert wider / wider[0] == pytest.approx(laws[1] / laws[1][0])


def test_jumps_of_a_few_make_tails_heavy():
    random = np.random.default_rng(4)
    known = random.random((40, 9))
    errors = 0.001 * random.standard_normal(40)
    errors[::8] = 0.3
    assert doubt(known, known, errors, LEAST)[1] < 2.0


def test_errors_that_are_all_equal_are_doubted_as_little_as_is_allowed():
    known = np.ones((10, 5))
    wider, degrees = doubt(known, known, np.zeros(10), LEAST)
    assert np.isfinite(wider).all()
    assert (wider > 0).all()
    assert degrees > 0


def test_intervals_hold_where_few_leave_a_plateau():
    """Three in four curves stand still to the end; of the others each ends somewhere on its way down."""
    random = np.random.default_rng(5)
    curves = np.ones((400, 20)) + 1e-4 * random.random((400, 20))
    leaving = np.arange(400) % 4 == 0
    slopes = random.random((100, 1)) * np.arange(20.0) / 40.0
    curves[leaving] -= slopes * (1.0 + random.standard_normal((100, 1)) * (np.arange(20) > 9) * 0.5)
    told = forecast(curves[40:, :10], 20, known=curves[:40])
    inside = (told.quantiles[:, 0] <= curves[40:, -1]) & (curves[40:, -1] <= told.quantiles[:, -1])
    assert inside[leaving[40:]].mean() > 0.75
    assert inside.mean() > 0.9
