"""Forecasts of learning curves: right where the truth is known, wide where it is not, calm with bad data."""

import numpy as np
import pytest
from scipy.stats import t as student

from greyhound.curves import FAMILIES, LEVELS, forecast
from greyhound.curves.doubt import SCALE, doubt
from greyhound.curves.ensemble import average, expected
from greyhound.curves.forecasting import _movement, at_step, chance_below
from greyhound.curves.shared import corrections
from greyhound.errors import CurveError

STEPS = np.arange(1.0, 53.0)


def power_laws(count: int, seed: int = 0, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Accuracies that rise to a level which the configuration decides, and the configurations, (count, 2)."""
    rng = np.random.default_rng(seed)
    X = rng.random((count, 2))
    curves = 0.5 + 0.4 * X[:, :1] - (0.2 + 0.3 * X[:, 1:]) * STEPS**-0.5
    return curves + noise * rng.standard_normal(curves.shape), X


def test_shapes_follow_what_was_asked_for():
    curves, _ = power_laws(3)
    mean, quantiles = forecast(curves[0, :10], 52)
    assert mean.shape == ()
    assert quantiles.shape == (len(LEVELS),)
    mean, quantiles = forecast(curves[:, :10], [20, 52])
    assert mean.shape == (3, 2)
    assert quantiles.shape == (3, 2, len(LEVELS))
    assert np.all(np.diff(quantiles, axis=-1) > 0)


@pytest.mark.parametrize("family", ["exponential", "janoschek", "gm11", "ndgm"])
def test_a_family_forecasts_saturating_curves_better_than_repeating_the_last_value(family):
    level = np.linspace(0.6, 0.9, 7)[:, None]
    curves = level - 0.5 * np.exp(-STEPS / 12.0)
    found = expected(curves[:, :20], np.array([52.0]), [family])[0, :, 0]
    last = np.abs(curves[:, 19] - curves[:, -1])
    assert np.all(np.abs(found - curves[:, -1]) < last)


def test_the_ensemble_of_a_lone_curve_is_nearly_as_good_as_its_best_family():
    curves, _ = power_laws(60, noise=0.002)
    truth = curves[:, -1]
    errors = {
        name: np.abs(expected(curves[:, :13], np.array([52.0]), [name])[0, :, 0] - truth).mean() for name in FAMILIES
    }
    found = average(curves[:, :13], np.array([52.0]), curves[:0]).mean[:, 0]
    assert np.abs(found - truth).mean() < 1.5 * min(errors.values())
    assert np.abs(found - truth).mean() < errors["last"]


def test_curves_of_the_study_teach_what_one_curve_cannot_know():
    curves, X = power_laws(60)
    alone = forecast(curves[20:, :4], 52).mean
    taught = forecast(curves[20:, :4], 52, known=curves[:20]).mean
    told = forecast(curves[20:, :4], 52, known=curves[:20], configurations=X[20:], known_configurations=X[:20]).mean
    truth = curves[20:, -1]
    assert np.abs(taught - truth).mean() < 0.5 * np.abs(alone - truth).mean()
    assert np.abs(told - truth).mean() <= np.abs(taught - truth).mean()


def test_a_drop_of_the_learning_rate_is_foreseen_once_others_had_it():
    curves, _ = power_laws(30, noise=0.003)
    curves[:, 30:] += 0.1
    found = forecast(curves[10:, :20], 52, known=curves[:10]).mean
    assert np.abs(found - curves[10:, -1]).mean() < 0.03


def test_a_warm_up_does_not_mislead():
    curves, _ = power_laws(5)
    curves[:, 0] = 0.01
    assert np.all(np.abs(forecast(curves[:, :20], 52).mean - curves[:, -1]) < 0.06)


def test_intervals_hold_about_as_often_as_they_say():
    inside = []
    for seed in range(5):
        curves, X = power_laws(80, seed, noise=0.01)
        _, quantiles = forecast(
            curves[20:, :8], 52, known=curves[:20], configurations=X[20:], known_configurations=X[:20]
        )
        truth = curves[20:, -1]
        inside.append([np.mean((quantiles[:, a] <= truth) & (truth <= quantiles[:, -1 - a])) for a in (0, 1, 2)])
    assert np.mean(inside, axis=0) == pytest.approx([0.95, 0.8, 0.5], abs=0.12)


def test_one_finished_training_that_collapsed_does_not_drag_the_others_down():
    curves, X = power_laws(9)
    collapsed = curves[:1].copy()
    collapsed[0, 30:] = 0.0
    told = {"configurations": X[1:], "known_configurations": X[:1]}
    mean, _ = forecast(curves[1:, :8], 52, known=collapsed, **told)
    alone, _ = forecast(curves[1:, :8], 52)
    error = abs(alone - curves[1:, -1]).mean()
    assert np.abs(mean - curves[1:, -1]).mean() < error + 0.15  # the one lost 0.7


def test_on_a_plateau_what_stands_still_is_believed_to_and_what_moves_goes_on():
    rng = np.random.default_rng(0)
    levels = 0.5 + 1e-3 * rng.random(60)
    curves = levels[:, None] + 1e-5 * rng.standard_normal((60, 52))
    X = rng.random((60, 3))
    climbs = np.arange(60) % 4 == 0
    curves[climbs] += (0.1 + 0.3 * X[climbs, :1]) * (1.0 - np.exp(-STEPS / 20.0))
    curves[[1, 6, 11], 30:] += 0.3  # three of the finished leave the plateau late, which tells nothing of the others
    told = {"known": curves[:20], "known_configurations": X[:20], "configurations": X[20:]}
    mean, _ = forecast(curves[20:, :13], 52, **told)
    still, climbing = ~climbs[20:], climbs[20:]
    assert np.abs(mean[still] - levels[20:][still]).max() < 5e-5
    assert np.abs(mean[climbing] - curves[20:, -1][climbing]).mean() < 0.1


def test_where_most_stand_still_a_curve_counts_as_moving_by_its_movement_beside_a_hundredth_of_the_spread():
    curves = np.full((5, 9), 3.0)
    curves[1, -1], curves[2, -4], curves[3, 0] = 3.02, 2.96, 9.0
    counts = [0.0, 0.02**2 / (0.02**2 + 0.02**2), 0.04**2 / (0.04**2 + 0.02**2), 0.0, 0.0]
    assert _movement(curves, curves[:1], 2.0) == pytest.approx(counts)
    assert _movement(curves, curves[1:3], 0.5).tolist() == [1.0] * 5
    assert _movement(curves[:, :1], curves[1:3, :1], 2.0).tolist() == [1.0] * 5


def test_a_forecast_is_the_corrected_average_with_the_doubts_that_known_errors_teach():
    curves, X = power_laws(20, noise=0.02)
    seen, known, X, known_X = -curves[8:, :9], -curves[:8], X[8:], X[:8]
    found = average(seen, np.array([40.0]), known)
    errors = known[:, 39] - found.known[:, 0]
    here = -curves[:, 8]
    scale = 0.7 * here.std() * np.sqrt(np.log(40.0 / 9.0) / np.log(40.0))
    added, std = corrections(seen, X, known[:, :9], known_X, errors, scale)
    wider, degrees = doubt(seen, known[:, :9], errors, 1e-4 * scale)
    told = at_step(seen, X, 40, known, known_X)
    assert told.mean == pytest.approx(found.mean[:, 0] + added, rel=1e-6)
    assert told.std == pytest.approx(wider * std, rel=1e-6)
    assert told.degrees.tolist() == [degrees] * 12


def test_before_any_curve_is_known_a_forecast_is_the_average_and_doubted_as_a_curve_alone_or_more():
    curves, X = power_laws(3)
    seen, nothing = -curves[:, :9], -curves[:0]
    seen[2] = seen[2, 0]  # the doubt of one that stands still is that of the others' spread
    found = average(seen, np.array([40.0]), nothing)
    told = at_step(seen, X, 40, nothing, X[:0])
    assert told.mean == pytest.approx(found.mean[:, 0])
    expected = 0.7 * seen[:, -1].std() * np.sqrt(np.log(40.0 / 9.0) / np.log(40.0))
    assert told.std == pytest.approx(np.maximum(found.std[:, 0], expected))
    assert told.std[2] == pytest.approx(expected)


def test_the_chance_to_end_below_a_value_is_that_of_the_errors_law():
    mean, std, degrees = np.array([0.3, 0.3, 0.3]), np.array([0.1, 0.0, 0.0]), np.array([4.0, 4.0, 1.0])
    assert chance_below(0.4, mean, std, degrees) == pytest.approx([student.cdf(1.0 / SCALE, 4.0), 1.0, 1.0])
    below = chance_below(np.array([0.2, 0.3, 0.29]), mean, std, degrees)
    assert below == pytest.approx([student.cdf(-1.0 / SCALE, 4.0), 0.5, 0.0], abs=1e-9)
    assert np.isnan(chance_below(0.4, mean * np.nan, std, degrees)).all()


def test_which_side_is_worse_all_curves_tell_together():
    known, _ = power_laws(8)
    curves = 0.5 - 0.01 * STEPS[None, :9]  # the only one to forecast falls
    exploded = np.vstack([known, -1e6 * STEPS[None]])
    assert forecast(curves, 52, known=exploded).mean == pytest.approx(forecast(curves, 52, known=known).mean, abs=0.1)


def test_one_point_is_enough():
    mean, quantiles = forecast([0.4], 52)
    assert mean == pytest.approx(0.4)
    assert quantiles[0] < 0.4 < quantiles[-1]


def test_gaps_are_bridged_and_the_end_is_still_to_come():
    full = 0.9 - 0.5 * STEPS**-0.7
    gappy = full.copy()
    gappy[[0, 5, 6]] = np.nan
    gappy[20:] = np.nan
    assert forecast(gappy, 52).mean == pytest.approx(forecast(full[:20], 52).mean, abs=0.01)


@pytest.mark.parametrize("known", [[], np.empty(0), np.empty((0, 8)), [[0.4, 0.5]], [[0.4] * 30, [np.nan] * 30]])
def test_nothing_is_learned_from_known_curves_that_did_not_reach_the_step(known):
    told = forecast([0.4, 0.6, 0.7], 52, known=known)
    assert told.mean == forecast([0.4, 0.6, 0.7], 52).mean


def test_known_curves_teach_as_far_as_they_go():
    curves, _ = power_laws(30)
    told = forecast(curves[20:, :4], [30, 52], known=curves[:20, :30])
    assert told.mean[:, 0].tolist() == forecast(curves[20:, :4], 30, known=curves[:20]).mean.tolist()
    assert told.mean[:, 1].tolist() == forecast(curves[20:, :4], 52).mean.tolist()


def test_before_any_curve_is_known_there_are_no_configurations_of_such():
    told = forecast([0.4, 0.6], 52, known=[], configurations=[[0.1, 0.2]], known_configurations=[])
    assert np.isfinite(told.mean)


def test_a_step_that_the_curve_has_is_returned():
    mean, quantiles = forecast([0.1, 0.2, 0.3], [2, 3])
    assert mean.tolist() == [0.2, 0.3]
    assert np.all(quantiles == mean[:, None])


def test_a_curve_that_diverged_or_has_no_value_is_not_forecast_and_spoils_no_other():
    curves, _ = power_laws(6)
    seen = curves[:, :10].copy()
    seen[1, 6:] = np.inf
    seen[2] = np.nan
    known = curves.copy()
    known[3, 20:] = -np.inf
    mean = forecast(seen, 52, known=known).mean
    assert np.isnan(mean).tolist() == [False, True, True, False, False, False]


def test_the_order_and_the_company_of_curves_do_not_matter_without_known_ones():
    curves, _ = power_laws(5)
    together = forecast(curves[:, :12], 52).mean
    backwards = forecast(curves[::-1, :12], 52).mean[::-1]
    assert together == pytest.approx(backwards)


def test_units_do_not_matter():
    curves, X = power_laws(30, noise=0.01)
    both = {"configurations": X[10:], "known_configurations": X[:10]}
    plain = forecast(curves[10:, :9], 52, known=curves[:10], **both)
    large = forecast(100.0 - 50.0 * curves[10:, :9], 52, known=100.0 - 50.0 * curves[:10], **both)
    assert (100.0 - large.mean) / 50.0 == pytest.approx(plain.mean, abs=2e-3)


@pytest.mark.parametrize("known", [0, 10])
@pytest.mark.parametrize("unit", [2.0**-40, 2.0**40])
def test_forecasts_of_tiny_and_of_huge_losses_are_those_of_others_in_other_units(known, unit):
    curves = 1.0 - power_laws(30, noise=0.01)[0]
    plain = forecast(curves[10:, :9], [20, 52], known=curves[:known])
    other = forecast(unit * curves[10:, :9], [20, 52], known=unit * curves[:known])
    assert (other.mean / unit == plain.mean).all()
    assert (other.quantiles / unit == plain.quantiles).all()


def test_limits_hold():
    _, quantiles = forecast([0.5, 0.8, 0.97], 52, limits=(0.0, 1.0))
    assert quantiles.max() <= 1.0


def test_steps_may_be_any_of_numpys_whole_numbers():
    plain = forecast([0.5, 0.4, 0.3], [5, 20])
    assert (forecast([0.5, 0.4, 0.3], np.array([5, 20], np.uint8)).mean == plain.mean).all()


def test_a_constant_curve_stays():
    assert forecast([0.7] * 10, 52).mean == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"curve": [], "steps": 5}, "curve: expected the shape"),
        ({"curve": ["a"], "steps": 5}, "curve: expected numbers"),
        ({"curve": [1.0], "steps": 5, "known": [[1.0], [1.0, 2.0]]}, "known: expected numbers"),
        ({"curve": [1.0], "steps": 5, "known": [[]]}, "known: expected the shape"),
        ({"curve": [1.0], "steps": 0}, "steps: expected whole numbers"),
        ({"curve": [1.0], "steps": 2.5}, "steps: expected whole numbers"),
        ({"curve": [1.0], "steps": 10**9}, "steps: forecasts reach up to step 10000000; got 1000000000"),
        ({"curve": [1.0], "steps": 5, "families": ("cubic",)}, "cubic"),
        ({"curve": [1.0], "steps": 5, "levels": (1.5,)}, "levels"),
        ({"curve": [1.0], "steps": 5, "levels": "most"}, "levels: expected numbers between"),
        ({"curve": [1.0], "steps": 5, "limits": (1, 0)}, "limits: expected two numbers, the lower one first"),
        ({"curve": [1.0], "steps": 5, "limits": 1}, "limits: expected two numbers"),
        ({"curve": [1.0], "steps": 5, "limits": (0, None)}, "limits: expected two numbers"),
        ({"curve": [1.0], "steps": 5, "configurations": [["a"]], "known_configurations": []}, "rows of numbers"),
        ({"curve": [1.0], "steps": 5, "configurations": [[np.nan]], "known_configurations": []}, "one of them is NaN"),
        ({"curve": [1.0], "steps": 5, "configurations": [[0.1]]}, "or neither"),
        ({"curve": [1.0], "steps": 5, "configurations": [[0.1]], "known_configurations": [[0.1]]}, "shapes"),
    ],
)
def test_what_is_wrong_is_said(arguments, says):
    with pytest.raises(CurveError, match=says):
        forecast(**arguments)
