"""Optima over sizes and learning curves: known truths are found, intervals hold, wrong questions are refused."""

import importlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greyhound import grey
from greyhound.grey.student import half_width

WIDTHS = 64 * 2.0 ** np.arange(5)


class TestExtrapolate:
    @given(st.floats(-1.5, 1.5), st.floats(1e-4, 10), st.integers(3, 8))
    def test_a_power_law_goes_on_by_every_candidate(self, power, level, count):
        sizes = 64 * 2.0 ** np.arange(count)
        found = grey.extrapolate(sizes, level * sizes**power, at=[2 * sizes[-1], 5 * sizes[-1]])
        expected = level * np.array([2 * sizes[-1], 5 * sizes[-1]]) ** power
        assert found.mean == pytest.approx(expected, rel=1e-5)
        for one in found.candidates:
            assert one.mean == pytest.approx(expected, rel=1e-4)

    def test_uneven_sizes(self):
        sizes = np.array([50.0, 120, 200, 900, 1500])
        found = grey.extrapolate(sizes, 3 * sizes**-0.5, at=10_000)
        assert found.mean == pytest.approx([0.03], rel=1e-6)
        assert found.candidates[1].mean == pytest.approx([0.03], rel=1e-4)

    def test_a_grey_model_is_chosen_where_the_first_size_is_not_typical(self):
        optima = 0.01 * 0.6 ** np.arange(7.0)
        optima[0] *= 4
        sizes = 64 * 2.0 ** np.arange(7)
        found = grey.extrapolate(sizes[:6], optima[:6])
        assert found.chosen == "GM11"
        assert found.mean == pytest.approx(optima[6:], rel=0.02)
        line = found.candidates[0]
        assert abs(math.log(line.mean[0] / optima[6])) > 0.3
        assert found.low[0] < line.low[0] or found.high[0] > line.mean[0]

    def test_the_next_size_is_the_default(self):
        assert grey.extrapolate(WIDTHS, 1 / WIDTHS).at == pytest.approx([2048])

    def test_three_sizes_choose_the_power_law(self):
        found = grey.extrapolate([64, 128, 256], [3e-3, 2e-3, 1.1e-3], at=1024)
        assert found.chosen == "power law"
        assert found.candidates[1].error == math.inf
        assert math.isfinite(found.candidates[0].error)

    def test_errors_are_those_of_leaving_the_last_out(self):
        optima = np.array([3e-3, 2.1e-3, 1.6e-3, 0.9e-3])
        found = grey.extrapolate(WIDTHS[:4], optima)
        slope, level = np.polyfit(np.log(WIDTHS[:3]), np.log(optima[:3]), 1)
        assert found.candidates[0].error == pytest.approx(abs(level + slope * np.log(512) - np.log(optima[3])))
        following = grey.GM11(background="optimal").fit(optima[:3]).predict(1)[0]
        assert found.candidates[1].error == pytest.approx(abs(np.log(following / optima[3])))

    def test_interval_of_the_power_law_is_that_of_a_regression(self):
        scipy_stats = importlib.import_module("scipy.stats")
        optima = np.array([3e-3, 2.1e-3, 1.6e-3, 0.9e-3, 0.8e-3])
        line = grey.extrapolate(WIDTHS, optima, at=4096, level=0.8).candidates[0]
        u, v = np.log(WIDTHS), np.log(optima)
        fit = scipy_stats.linregress(u, v)
        scatter = np.sqrt(((v - fit.intercept - fit.slope * u) ** 2).sum() / 3)
        width = scatter * np.sqrt(1 + 1 / 5 + (np.log(4096) - u.mean()) ** 2 / ((u - u.mean()) ** 2).sum())
        assert np.log(line.high / line.mean) == pytest.approx([width * scipy_stats.t.ppf(0.9, 3)])

    def test_a_grey_model_has_the_width_of_the_power_law_about_its_own_forecast(self):
        line, bent = grey.extrapolate(WIDTHS, [3e-3, 2.1e-3, 1.6e-3, 0.9e-3, 0.8e-3], at=[2048, 4096]).candidates
        assert bent.mean != pytest.approx(line.mean, rel=1e-2)
        assert bent.high / bent.mean == pytest.approx(line.high / line.mean)
        assert bent.mean / bent.low == pytest.approx(line.mean / line.low)

    def test_intervals_hold_about_as_often_as_they_say(self):
        rng = np.random.default_rng(3)
        held = []
        for _ in range(200):
            optima = np.exp(-0.4 * np.arange(7) + 0.2 * rng.standard_normal(7))
            found = grey.extrapolate(WIDTHS, optima[:5], at=64 * 2.0**6)
            held.append(found.low[0] <= optima[6] <= found.high[0])
        assert 0.8 <= np.mean(held) <= 0.97

    def test_it_says_what_it_chose_and_why(self):
        said = str(grey.extrapolate(WIDTHS, [3e-3, 2.1e-3, 1.6e-3, 0.9e-3, 0.8e-3], at=4096))
        assert "at 4096" in said
        assert "power law" in said
        assert "GM11" in said

    @given(
        st.lists(st.floats(1e-90, 1e90), min_size=3, max_size=6), st.lists(st.floats(0.01, 9), min_size=6, max_size=6)
    )
    def test_wild_optima_give_ordered_numbers(self, optima, growth):
        sizes = np.exp(np.cumsum(growth))[: len(optima)]
        found = grey.extrapolate(sizes, optima)
        for curve in (found.low, found.mean, found.high):
            assert np.isfinite(curve).all()
        assert (found.low <= found.mean * (1 + 1e-9)).all()
        assert (found.mean <= found.high * (1 + 1e-9)).all()
        assert str(found)

    @pytest.mark.parametrize(
        ("sizes", "optima", "at", "message"),
        [
            ([64, 128], [1, 2], None, "at least 3"),
            ([64, 128, 256], [1, 2], None, "at least 3"),
            ([64, 128, 256], [1, 2, 3, 4], None, "one for each size"),
            ([64, 128, 128], [1, 2, 3], None, "each larger"),
            ([0, 128, 256], [1, 2, 3], None, "above zero"),
            ([64, 128, 256], [1, 0, 3], None, "above zero"),
            ([64, 128, 256], [1, 2, math.nan], None, "value number 3"),
            ([64, 128, 256], [1, 2, 3], 256, "beyond the last"),
            ([64, 128, 256], [1, 2, 3], [512, 100], "beyond the last"),
        ],
    )
    def test_refusals(self, sizes, optima, at, message):
        with pytest.raises(grey.GreyError, match=message):
            grey.extrapolate(sizes, optima, at=at)

    @pytest.mark.parametrize("level", [0, 1, 1.5, -0.1])
    def test_level_is_a_probability(self, level):
        with pytest.raises(grey.GreyError, match="level"):
            grey.extrapolate(WIDTHS, 1 / WIDTHS, level=level)


def test_quantiles_of_student():
    """The usual table, 90 % two-sided."""
    table = {1: 6.314, 2: 2.920, 3: 2.353, 4: 2.132, 5: 2.015, 10: 1.812, 30: 1.697}
    for freedom, expected in table.items():
        assert half_width(0.9, freedom) == pytest.approx(expected, abs=6e-4)


families = pytest.mark.parametrize("family", grey.FAMILIES)


class TestCurves:
    @pytest.mark.parametrize("family", ["gm11", "ndgm", "verhulst"])
    @pytest.mark.parametrize("rising", [True, False])
    def test_an_exponential_approach_is_followed(self, family, rising):
        gap = 0.5 * 0.9 ** np.arange(60.0)
        curve = 0.9 - gap if rising else 0.9 + gap
        found = grey.forecast_curve(curve[:20], 40, family=family)
        tolerance = {"gm11": 1e-4, "ndgm": 1e-6, "verhulst": 0.02}[family]
        assert found.mean[-1] == pytest.approx(curve[-1], abs=tolerance)
        assert abs(curve[19] - curve[-1]) > 0.06

    @pytest.mark.parametrize("rising", [True, False])
    def test_a_power_law_is_followed_by_fgm_better_than_by_the_last_value(self, rising):
        gap = 0.5 * np.arange(1, 61.0) ** -0.5
        curve = 0.9 - gap if rising else 0.9 + gap
        found = grey.forecast_curve(curve[:15], 45, family="fgm")
        assert abs(found.mean[-1] - curve[-1]) < 0.5 * abs(curve[14] - curve[-1])

    @families
    def test_a_loss_is_an_accuracy_upside_down(self, family):
        rng = np.random.default_rng(0)
        curve = 1 - 0.6 * 0.8 ** np.arange(12.0) + 0.01 * rng.standard_normal(12)
        up = grey.forecast_curve(curve, 5, family=family)
        down = grey.forecast_curve(-curve, 5, family=family)
        assert down.mean == pytest.approx(-up.mean)
        assert down.low == pytest.approx(-up.high)

    @families
    @given(st.lists(st.floats(0, 1), min_size=4, max_size=15), st.integers(1, 30))
    def test_forecasts_stay_in_a_sensible_range(self, family, values, steps):
        values = [round(value, 4) for value in values]
        found = grey.forecast_curve(values, steps, family=family, limits=(0, 1))
        way = max(values) - min(values)
        for curve in (found.low, found.mean, found.high):
            assert curve.shape == (steps,)
            assert ((curve >= 0) & (curve <= 1)).all()
        assert (found.low <= found.mean).all()
        assert (found.mean <= found.high).all()
        assert found.mean.max() <= max(values) + way + 1e-9
        assert found.mean.min() >= min(values) - way - 1e-9

    @families
    def test_a_constant_stays(self, family):
        found = grey.forecast_curve([0.3] * 5, 3, family=family)
        for curve in (found.low, found.mean, found.high):
            assert curve.tolist() == [0.3] * 3

    @families
    def test_intervals_grow_with_the_steps_and_the_level(self, family):
        rng = np.random.default_rng(1)
        values = 1 - 0.6 * 0.8 ** np.arange(12.0) + 0.01 * rng.standard_normal(12)
        narrow = grey.forecast_curve(values, 6, family=family, level=0.5)
        wide = grey.forecast_curve(values, 6, family=family, level=0.95)
        assert (np.diff(wide.high - wide.low) > 0).all()
        assert (wide.high - wide.low > narrow.high - narrow.low).all()

    @families
    def test_intervals_hold_and_the_last_value_is_beaten_on_short_curves(self, family):
        rng = np.random.default_rng(5)
        held, errors, last = [], [], []
        for _ in range(150):
            level, way = rng.uniform(0.6, 0.95), rng.uniform(0.2, 0.5)
            steps = np.arange(1, 41.0)
            gap = steps ** -rng.uniform(0.3, 1.2) if rng.random() < 0.5 else np.exp(-steps / rng.uniform(3, 15))
            curve = level - way * gap + 0.005 * rng.standard_normal(40)
            found = grey.forecast_curve(curve[:10], 30, family=family, limits=(0, 1))
            held.append(found.low[-1] <= curve[-1] <= found.high[-1])
            errors.append(abs(found.mean[-1] - curve[-1]))
            last.append(abs(curve[9] - curve[-1]))
        assert np.mean(held) >= 0.8
        assert np.median(errors) < np.median(last)

    def test_refusals(self):
        with pytest.raises(grey.GreyError, match="at least 4"):
            grey.forecast_curve([0.1, 0.2, 0.3], 2)
        with pytest.raises(grey.GreyError, match="value number 2 is nan"):
            grey.forecast_curve([0.1, math.nan, 0.3, 0.4], 2)
        with pytest.raises(grey.GreyError, match="expected one of gm11, ndgm, verhulst, fgm"):
            grey.forecast_curve([0.1, 0.2, 0.3, 0.4], 2, family="gm12")
        with pytest.raises(grey.GreyError, match="steps"):
            grey.forecast_curve([0.1, 0.2, 0.3, 0.4], 0)
        with pytest.raises(grey.GreyError, match="level"):
            grey.forecast_curve([0.1, 0.2, 0.3, 0.4], 2, level=90)
        with pytest.raises(grey.GreyError, match="limits"):
            grey.forecast_curve([0.1, 0.2, 0.3, 0.4], 2, limits=(1, 0))
        with pytest.raises(grey.GreyError, match="limits: expected two numbers"):
            grey.forecast_curve([0.1, 0.2, 0.3, 0.4], 2, limits=1)
        with pytest.raises(grey.GreyError, match="level: expected a probability"):
            grey.forecast_curve([0.1, 0.2, 0.3, 0.4], 2, level="0.9")


def test_numpy_is_all_that_it_needs():
    import subprocess
    import sys

    program = "import sys, greyhound.grey; print({'scipy', 'pandas', 'sklearn', 'torch'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "set()"


def test_every_public_name_is_there():
    for name in grey.__all__:
        assert getattr(grey, name) is not None


SERIES = [1.0, 2, 3, 4.5, 7, 9]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: grey.weaken(SERIES, 1.5), "times: expected a whole number"),
        (lambda: grey.leave_last_out(grey.GM11(), SERIES, 0), "last: expected a whole number"),
        (lambda: grey.Rolling(grey.GM11(), "4"), "window: expected a whole number"),
        (lambda: grey.Rolling(grey.GM11, 4), r"model: expected a grey model, like GM11\(\)"),
        (lambda: grey.leave_last_out(grey.GM11, SERIES), "model: expected a grey model"),
        (lambda: grey.best_model(SERIES, ["GM11"]), "candidates: expected models by name"),
        (lambda: grey.best_model(SERIES, {"mine": grey.GM11}), "candidates, mine: expected a grey model"),
        (lambda: grey.deng_grade(SERIES, [SERIES], "x"), "distinguishing: expected a number"),
        (lambda: grey.synthetic_degree(SERIES, SERIES, None), "theta: expected a number"),
        (lambda: grey.rank([[1, 2], [2, 1]], 5), "goals: expected"),
        (lambda: grey.rank([[1, 2], [2, 1]], "larger"), "goals: expected"),
        (lambda: grey.forecast_curve(SERIES, 3, family=["gm11"]), "family: expected one of"),
        (lambda: grey.accumulate(SERIES, "x"), "order: expected a number"),
        (lambda: grey.accumulate(SERIES, None), "order: expected a number"),
        (lambda: grey.accumulate(SERIES, math.nan), "order: expected a finite number"),
        (lambda: grey.accumulate("abc"), "series: expected a sequence of numbers"),
    ],
)
def test_an_argument_of_a_wrong_type_is_refused_by_its_name(ask, message):
    with pytest.raises(grey.GreyError, match=message):
        ask()
