"""A loss that exploded but is finite says nothing of the other trainings, and where none did nothing changes."""

import numpy as np
import pytest

import greyhound as gh
from greyhound.curves import forecast
from greyhound.curves.exploded import tamed
from greyhound.curves.smoothing import jitter, smoothed
from greyhound.curves.study import finals

STEPS = 27
HUGE = (1e2, 1e6, 1e160, 1e308)


def falling(count: int, seed: int = 0) -> np.ndarray:
    """Losses that fall at different speeds to different ends, (count, STEPS)."""
    rng = np.random.default_rng(seed)
    ends, speeds = rng.uniform(0.1, 0.6, (count, 1)), rng.uniform(3.0, 10.0, (count, 1))
    return ends + (1.0 - ends) * np.exp(-np.arange(STEPS) / speeds) + 0.003 * rng.standard_normal((count, STEPS))


def exploding(size: float) -> np.ndarray:
    return size * (1.0 + 0.01 * np.arange(STEPS))[None]


def plateau() -> np.ndarray:
    """One in ten leaves it, one in ten is as bad as can be."""
    curves = np.full((40, STEPS), -0.65) + 1e-5 * np.random.default_rng(0).standard_normal((40, STEPS))
    curves[::10] -= np.linspace(0.0, 0.3, STEPS)
    curves[5::10] = 0.0
    return curves


@pytest.mark.parametrize("curves", [falling(30), -falling(30), plateau(), np.ones((20, STEPS)), falling(1)])
def test_what_is_only_bad_or_good_stays_as_it_is(curves):
    seen, known = tamed(curves[:, :9], curves)
    assert (seen == curves[:, :9]).all()
    assert (known == curves).all()


@pytest.mark.parametrize(
    ("others", "bound"),
    [
        ([-2.0, -1.0, 0.0, 1.0], 10.0),  # three times the way down from the upper quartile, 3
        ([4.0, 5.0, 5.0, 6.0], 24.0),  # three times its size
        ([-7.0, -7.0, -6.0, -6.0], 12.0),  # below zero too
    ],
)
def test_the_furthest_that_has_not_exploded(others, bound):
    losses = np.array([*others, bound])[:, None]
    assert tamed(losses, losses[:0])[0] == pytest.approx(losses, abs=0)
    losses[-1] = 1.001 * bound
    assert tamed(losses, losses[:0])[0][:, 0].tolist() == [*others, others[-1]]


def test_one_that_exploded_at_the_last_step_seen_says_nothing_of_later_bounds():
    known = np.ones((9, 6)) + 0.01 * np.arange(9)[:, None]
    known[0, 2:] = 100.0
    known[1, 4:] = 50.0
    _, calm = tamed(known[2:, :3], known)
    assert calm.max() == known[8, 0]


@pytest.mark.parametrize("size", HUGE)
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_one_loss_that_exploded_moves_no_forecast_of_another(size, side):
    known, curves = side * falling(10), side * falling(30, seed=1)
    plain = forecast(curves[:, :5], STEPS, known=known)
    beside = forecast(np.vstack([curves, side * exploding(size)])[:, :5], STEPS, known=known)
    after = forecast(curves[:, :5], STEPS, known=np.vstack([known, side * exploding(size)]))
    late = known.copy()
    late[0, 20:] = side * size
    behind = forecast(curves[:, :5], STEPS, known=late)
    error = np.abs(plain.mean - curves[:, -1]).mean()
    width = np.median(plain.quantiles[:, -1] - plain.quantiles[:, 0])
    for told in (beside, after, behind):
        assert np.abs(told.mean[:30] - curves[:, -1]).mean() < 1.3 * error
        assert np.median(told.quantiles[:30, -1] - told.quantiles[:30, 0]) < 1.5 * width
    assert beside.mean[-1] == pytest.approx(side * size, rel=0.1)
    assert beside.quantiles[-1, 0] < side * size * 1.1 < beside.quantiles[-1, -1]


def test_where_all_losses_are_huge_forecasts_are_finite():
    told = forecast(1e300 * falling(30)[:, :5], STEPS, known=1e300 * falling(10))
    assert np.isfinite(told.mean).all()


@pytest.mark.parametrize("size", HUGE)
def test_noise_is_smoothed_as_if_none_had_exploded(size):
    curves = falling(12) + 0.05 * np.random.default_rng(1).standard_normal((12, STEPS))
    plain = smoothed(curves, jitter([curves]))
    both = np.vstack([curves, exploding(size)])
    beside = smoothed(both, jitter([both]))
    assert beside[:12] == pytest.approx(plain)
    assert (beside[12] == both[12]).all()
    assert np.abs(plain - curves)[:, -1].max() > 0.01


def test_a_study_tells_trainings_apart_although_one_exploded():
    made = gh.Study({"x": gh.Float(0.0, 1.0)}, minimize="loss", max_steps=STEPS, scheduler="none", seed=0)
    for losses in [*falling(9), exploding(1e6)[0], *falling(9, seed=1)[:, :5]]:
        trial = made.ask()
        for step, loss in enumerate(losses, 1):
            made.report(trial, step, loss=float(loss))
    told = finals(made.history)
    assert np.abs(told.mean[10:, 0] - falling(9, seed=1)[:, -1]).mean() < 0.1
    assert (told.std[10:, 0] < 0.3).all()
