"""The average of the families, worked out from what each of them expects."""

import numpy as np
import pytest

from greyhound.curves import FAMILIES
from greyhound.curves.ensemble import average, expected

PRIOR = {"last": 3.0, "gm11": 3.0, "ndgm": 1.0, "exponential": 1.0}
SOME = ("last", "power", "gm11")


def falling(count: int, length: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    k = np.arange(1.0, length + 1.0)
    return (
        rng.random((count, 1)) + k ** -rng.uniform(0.3, 1.5, (count, 1)) + 0.02 * rng.standard_normal((count, length))
    )


def shares(evidence: np.ndarray) -> np.ndarray:
    return evidence / evidence.sum(axis=0)


def prior(families) -> np.ndarray:
    return np.array([PRIOR.get(family, 0.3) for family in families])[:, None]


def test_of_curves_too_short_to_be_tested_the_prior_decides():
    curves, steps = falling(4, 3), np.array([9.0])
    by_family = expected(curves, steps, FAMILIES)[:, :, 0]
    found = average(curves, steps, curves[:0]).mean[:, 0]
    assert found == pytest.approx(shares(prior(FAMILIES)).T[0] @ by_family)


def test_families_count_by_how_they_forecast_the_newest_third():
    curves, steps = falling(4, 9), np.array([20.0])
    tested = np.abs(expected(curves[:, :6], np.array([7.0, 8.0, 9.0]), SOME) - curves[:, 6:]).mean(axis=2)
    floor = 0.02 * np.maximum(np.ptp(curves, axis=1), curves[:, -1].std())
    weight = shares(prior(SOME) * (tested + floor) ** -2.0)
    by_family = expected(curves, steps, SOME)[:, :, 0]
    found = average(curves, steps, curves[:0], SOME)
    assert found.mean[:, 0] == pytest.approx((weight * by_family).sum(axis=0))
    between = (weight * (by_family - found.mean[:, 0]) ** 2).sum(axis=0)
    alone = (np.abs(np.diff(curves, axis=1))[:, -4:].mean(axis=1) + floor) * np.sqrt(np.log(12.0) / np.log(2.0))
    assert found.std[:, 0] == pytest.approx(np.sqrt(between + alone**2))


def test_families_count_by_how_they_would_have_forecast_each_known_curve():
    curves, known, steps = falling(4, 3), falling(2, 8, seed=1), np.array([6.0, 8.0])
    theirs = expected(known[:, :3], steps, SOME)
    errors = np.abs(theirs - known[:, [5, 7]]).mean(axis=1)
    weight = shares(prior(SOME) * (errors + 1e-3 * errors.mean()) ** -2.0)
    found = average(curves, steps, known, SOME)
    assert found.mean == pytest.approx((weight[:, None] * expected(curves, steps, SOME)).sum(axis=0), rel=1e-3)
    assert found.known == pytest.approx((weight[:, None] * theirs).sum(axis=0), rel=1e-3)


def test_a_curve_alone_is_doubted_like_a_random_walk_over_log_steps():
    curve = np.arange(8.0)[None]  # by 1 a step; 0.02 of its range of 7 besides
    std = average(curve, np.array([9.0, 11.0, 15.0]), curve[:0], ["last"]).std[0]
    assert std == pytest.approx(1.14 * np.sqrt([1.0, 2.0, 3.0]))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("unit", [1e-3, -50.0])
def test_a_forecast_turns_back_by_a_tenth_and_goes_on_by_the_whole_of_the_newest_range_at_most(family, unit):
    rng = np.random.default_rng(3)
    turning = np.array([[0.0, 6.0, 8.0, 9.0, 9.5, 9.7, 9.9, 10.0, 4.0], [0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 4.0, 7.0, 12.0]])
    rising = np.concatenate([turning, rng.random((50, 9)).cumsum(axis=1) + rng.standard_normal((50, 9))])
    found = expected(unit * rising, np.array([10.0, 400.0]), [family])[0] / unit
    newest = rising[:, -5:]
    upwards = rising[:, -3:].mean(axis=1) > rising[:, :3].mean(axis=1)
    side = np.where(upwards, 1.0, -1.0)[:, None]
    best, way = (side * newest).max(axis=1)[:, None], np.ptp(newest, axis=1)[:, None]
    assert (side * found >= side * rising[:, -1:] - 0.1 * way - 1e-9).all()
    assert (side * found <= best + way + 1e-9).all()
