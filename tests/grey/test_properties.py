"""What holds for every series: scale, exponentials, constants, and clear refusals; never a warning from numpy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greyhound import grey

MODELS = {
    "GM11": grey.GM11,
    "GM11 optimal": lambda: grey.GM11(background="optimal"),
    "DGM11": grey.DGM11,
    "NDGM": grey.NDGM,
    "NGM": grey.NGM,
    "FGM11": lambda: grey.FGM11(order=0.7),
    "Verhulst": grey.Verhulst,
    "Rolling": lambda: grey.Rolling(grey.DGM11(), window=4),
    "Metabolic": lambda: grey.Metabolic(grey.GM11(), window=4),
}
every_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)

near_one = st.lists(st.floats(0.8, 1.25), min_size=5, max_size=12)
positive = st.lists(st.floats(0.01, 100), min_size=5, max_size=12)
any_numbers = st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=0, max_size=9)
ordinary = st.lists(st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-6), min_size=5, max_size=10)


@every_model
@given(positive)
def test_fitted_has_the_length_of_the_series_and_starts_with_its_first_value(make, series):
    try:
        model = make().fit(series)
    except grey.GreyError:
        return
    assert model.fitted.shape == model.residuals.shape == (len(series),)
    assert model.fitted[0] == series[0]
    assert model.residuals == pytest.approx(np.array(series) - model.fitted)


@every_model
def test_fit_returns_the_model_itself_and_forecasts_go_on_from_one_another(make):
    model = make()
    series = [2.9, 3.3, 3.4, 3.5, 3.7, 3.8]
    assert model.fit(series) is model
    assert model.predict(3).shape == (3,)
    assert model.predict(3)[:2] == pytest.approx(model.predict(2))


@every_model
@given(near_one, st.sampled_from([1e-9, 0.1, 3.0, 1e12]))
def test_scaling_a_series_scales_the_forecast(make, series, factor):
    try:
        forecast = make().fit(series).predict(2)
    except grey.GreyError:
        return
    scaled = make().fit(np.array(series) * factor).predict(2)
    assert scaled == pytest.approx(forecast * factor, rel=1e-5, abs=1e-5 * factor)


@given(st.floats(0.01, 100), st.floats(0.3, 3), st.integers(3, 12))
def test_a_pure_exponential_is_reproduced_by_dgm(first, growth, count):
    exponential = first * growth ** np.arange(count + 2.0)
    model = grey.DGM11().fit(exponential[:count])
    assert model.beta1 == pytest.approx(growth, rel=1e-6)
    assert np.concatenate([model.fitted, model.predict(2)]) == pytest.approx(exponential, rel=1e-5)


@given(st.floats(0.01, 100), st.floats(0.3, 3), st.integers(3, 12))
def test_a_pure_exponential_is_reproduced_by_gm_with_the_optimal_background(first, growth, count):
    exponential = first * growth ** np.arange(count + 2.0)
    model = grey.GM11(background="optimal").fit(exponential[:count])
    assert model.a == pytest.approx(-math.log(growth), abs=1e-6)
    assert np.concatenate([model.fitted, model.predict(2)]) == pytest.approx(exponential, rel=1e-5)


@given(st.floats(-5, 5), st.floats(0.1, 5), st.sampled_from([0.5, 0.7, 0.9, 1.2]))
def test_a_level_plus_an_exponential_is_reproduced_by_ndgm(level, size, growth):
    curve = level + size * growth ** np.arange(10.0)
    model = grey.NDGM().fit(curve[:6])
    assert np.concatenate([model.fitted, model.predict(4)]) == pytest.approx(curve, rel=1e-5, abs=1e-5)


@every_model
@pytest.mark.parametrize("value", [-2.5, 1e-50, 0.1, 3.0, 1e50])
def test_a_constant_goes_on(make, value):
    model = make().fit([value] * 6)
    if isinstance(model, grey.FGM11):  # a constant's running sum is a line for order 1 alone
        model = grey.FGM11().fit([value] * 6)
    assert model.fitted == pytest.approx(np.full(6, value))
    assert model.predict(3) == pytest.approx(np.full(3, value), rel=1e-6)


@every_model
def test_zeros_go_on_except_for_a_logistic_curve(make):
    if isinstance(make(), grey.Verhulst):
        with pytest.raises(grey.GreyError, match="starts at zero"):
            make().fit([0.0] * 6)
    else:
        assert (make().fit([0.0] * 6).predict(3) == 0).all()


@every_model
@given(any_numbers)
def test_whatever_cannot_be_used_is_a_grey_error(make, series):
    try:
        model = make().fit(series)
        forecast = model.predict(5)
    except grey.GreyError as error:
        assert str(error).endswith(".")
    else:
        assert np.isfinite(forecast).all()


@every_model
@given(ordinary)
def test_ordinary_numbers_of_any_sign_give_numbers_or_a_grey_error(make, series):
    try:
        forecast = make().fit(series).predict(50)
    except grey.GreyError:
        return
    assert np.isfinite(forecast).all()


@every_model
def test_errors_say_what_to_give_instead(make):
    with pytest.raises(grey.GreyError, match="give at least"):
        make().fit([1.0, 2.0])
    with pytest.raises(grey.GreyError, match="value number 3 is nan"):
        make().fit([1.0, 2.0, math.nan, 3.0, 4.0])
    with pytest.raises(grey.GreyError, match="one dimension"):
        make().fit([[1.0, 2.0], [3.0, 4.0]])
    with pytest.raises(grey.GreyError, match="sequence of numbers"):
        make().fit(["a", "b"])
    with pytest.raises(grey.GreyError, match="divide the series"):
        make().fit([1.0, 2.0, 3.0, 4.0, 1e200])
    with pytest.raises(grey.GreyError, match="call fit"):
        make().predict(1)
    model = make().fit([1.0, 1.1, 1.2, 1.25, 1.3])
    for steps in (0, -1, 1.5, True, None):
        with pytest.raises(grey.GreyError, match="steps"):
            model.predict(steps)


def test_a_forecast_beyond_floats_is_an_error():
    model = grey.DGM11().fit([1, 10, 100, 1000])
    with pytest.raises(grey.GreyError, match="not finite from its value number 310 on"):
        model.predict(1000)


def test_a_curve_that_runs_to_infinity_is_an_error():
    with pytest.raises(grey.GreyError, match="does not saturate"):
        grey.Verhulst().fit([1, 2, 5, 20, 200]).predict(5)


@every_model
def test_a_fit_that_fails_leaves_nothing_to_forecast_from(make):
    model = make().fit([1.0, 1.1, 1.2, 1.25, 1.3])
    with pytest.raises(grey.GreyError):
        model.fit([1.0, 2.0])
    with pytest.raises(grey.GreyError, match="call fit"):
        model.predict(1)


def test_arguments_of_models():
    for background in (-0.1, 1.1, "best", None):
        with pytest.raises(grey.GreyError, match="background"):
            grey.GM11(background=background)
    for order in (0, -1, 2.5, math.nan, "a", [1.0], 1j):
        with pytest.raises(grey.GreyError, match="order"):
            grey.FGM11(order=order)
    with pytest.raises(grey.GreyError, match="window"):
        grey.Rolling(grey.NDGM(), window=3)


def test_wrappers_leave_the_callers_model_alone():
    inner = grey.GM11().fit([1, 2, 3, 4, 5])
    before = inner.fitted.copy()
    grey.Metabolic(inner, window=4).fit([5, 4, 3, 2.5, 2]).predict(3)
    grey.leave_last_out(inner, [5, 4, 3, 2.5, 2])
    assert inner.fitted == pytest.approx(before)


def test_the_callers_series_is_left_alone():
    series = np.array([1.0, 2, 3, 4, 5])
    model = grey.GM11().fit(series)
    series[:] = 0
    assert model.series.tolist() == [1, 2, 3, 4, 5]


class TestFactors:
    @pytest.mark.parametrize("make", [grey.GM1N, grey.GM0N])
    def test_what_does_not_fit_together_is_refused(self, make):
        with pytest.raises(grey.GreyError, match="expected 5 values"):
            make().fit([1, 2, 3, 4, 5], [1, 2, 3, 4])
        with pytest.raises(grey.GreyError, match="at least 4"):
            make().fit([1, 2, 3], [[1, 2, 3], [3, 2, 1]])
        with pytest.raises(grey.GreyError, match="factor 2: value number 1 is nan"):
            make().fit([1, 2, 3, 4], [[1, 2, 3, 4], [math.nan, 2, 1, 4]])
        with pytest.raises(grey.GreyError, match="call fit"):
            make().predict([1])
        with pytest.raises(grey.GreyError, match="call fit"):
            make().residuals  # noqa: B018
        model = make().fit([1, 2, 3, 4, 5], [1, 2, 3, 4, 6])
        assert model.residuals.shape == (5,)
        with pytest.raises(grey.GreyError, match="fitted to 1 factors"):
            model.predict([[1], [2]])

    @pytest.mark.parametrize("make", [grey.GM1N, grey.GM0N])
    def test_forecasts_go_on_from_the_fit(self, make):
        series, factor = [2.9, 3.3, 3.3, 3.4, 3.7, 3.8], [7.0, 7.6, 8.1, 8.5, 8.8, 9.0]
        model = make().fit(series, factor)
        assert model.predict([9.2, 9.3]).shape == (2,)
        assert model.predict([9.2, 9.3])[:1] == pytest.approx(model.predict([9.2]))


class TestChecks:
    @given(ordinary)
    def test_translation_makes_a_series_admissible(self, series):
        constant = grey.translation(series)
        assert grey.admissible(np.array(series) + constant)
        assert constant == 0 or not grey.admissible(series)

    def test_class_ratios_need_values_above_zero(self):
        with pytest.raises(grey.GreyError, match="translation"):
            grey.class_ratios([1, 0, 2])
        assert not grey.admissible([1, 0, 2])

    def test_constant_data(self):
        assert grey.check(grey.GM11().fit([0.0] * 5)).ratio == 0
        assert grey.variance_ratio([1, 1, 1], [0, 0, 1]) == math.inf
        assert grey.small_error_probability([1, 1, 1], [0, 0, 0]) == 1

    def test_zeros_have_no_relative_error(self):
        found = grey.check(grey.DGM11().fit([1, 0, 0.2, 0.1, 0.05]))
        assert math.isnan(found.mape)
        assert found.mape_grade is grey.Grade.UNFIT
        with pytest.raises(grey.GreyError, match="leave out the zeros"):
            grey.mape([1, 0], [1, 1])

    def test_an_unfitted_model_cannot_be_checked(self):
        with pytest.raises(grey.GreyError, match="call fit"):
            grey.check(grey.GM11())

    @pytest.mark.parametrize(
        ("mape", "ratio", "probability", "grade"),
        [(0.01, 0.35, 0.95, 1), (0.02, 0.35, 0.95, 2), (0.01, 0.6, 0.95, 3), (0.01, 0.3, 0.6, 4), (0.3, 0.3, 1, 5)],
    )
    def test_the_worst_grade_counts(self, mape, ratio, probability, grade):
        assert grey.Check(mape, ratio, probability).grade == grade


class TestRelational:
    tables = st.integers(2, 5).flatmap(
        lambda n: st.lists(
            st.lists(st.floats(-10, 10).map(lambda x: round(x, 3)), min_size=n, max_size=n), min_size=2, max_size=6
        )
    )

    @given(tables)
    def test_grades_lie_between_zero_and_one_and_the_equal_series_has_one(self, table):
        grades = grey.deng_grade(table[0], table)
        assert ((grades > 0) & (grades <= 1)).all()
        assert grades[0] == pytest.approx(1)

    @given(tables)
    def test_incidence_is_symmetric_and_one_with_itself(self, table):
        first, second = table[:2]
        degree = grey.absolute_degree(first, second)
        assert 0 < degree <= 1
        assert degree == pytest.approx(grey.absolute_degree(second, first))
        assert grey.absolute_degree(first, first) == 1

    def test_relative_incidence_does_not_depend_on_units(self):
        first, second = [2, 3, 5, 4], [1, 2, 2, 3]
        assert grey.relative_degree(np.array(first) * 1000, second) == pytest.approx(
            grey.relative_degree(first, second)
        )
        with pytest.raises(grey.GreyError, match="starts at zero"):
            grey.relative_degree([0, 1, 2], [1, 2, 3])

    def test_normalisation(self):
        assert grey.larger_better([1, 3, 2]).tolist() == [0, 1, 0.5]
        assert grey.smaller_better([1, 3, 2]).tolist() == [1, 0, 0.5]
        assert grey.nominal_better([1, 3, 2], 2.5) == pytest.approx([0, 2 / 3, 2 / 3])
        for constant in (grey.larger_better([4, 4]), grey.smaller_better([4, 4]), grey.nominal_better([4, 4], 4)):
            assert constant.tolist() == [1, 1]

    def test_what_is_best_in_all_ranks_first_and_weights_decide_the_rest(self):
        models = [[0.91, 12.0], [0.93, 30.0], [0.94, 11.0]]
        assert grey.rank(models, ["larger", "smaller"]).order[0] == 2
        two = models[:2]
        assert grey.rank(two, ["larger", "smaller"], weights=[3, 1]).order == (1, 0)
        assert grey.rank(two, ["larger", "smaller"], weights=[1, 3]).order == (0, 1)
        assert grey.rank([[1.0], [2.1], [3.0]], [2]).order[0] == 1

    @given(tables)
    def test_nothing_that_another_beats_in_all_ranks_above_it(self, table):
        array = np.array(table)
        found = grey.rank(array, ["larger"] * array.shape[1])
        for i, mine in enumerate(array):
            for j, other in enumerate(array):
                if (other >= mine).all():
                    assert found.grades[j] >= found.grades[i] - 1e-12

    def test_refusals(self):
        with pytest.raises(grey.GreyError, match="distinguishing"):
            grey.deng_grade([1, 2], [[1, 2]], distinguishing=0)
        with pytest.raises(grey.GreyError, match="rows of 2 numbers"):
            grey.deng_grade([1, 2], [[1, 2, 3]])
        with pytest.raises(grey.GreyError, match="goals"):
            grey.rank([[1, 2]], ["larger", "bigger"])
        for weights in ([1], [0, 0], [-1, 2]):
            with pytest.raises(grey.GreyError, match="weights"):
                grey.rank([[1, 2]], ["larger", "larger"], weights=weights)
        with pytest.raises(grey.GreyError, match="theta"):
            grey.synthetic_degree([1, 2], [1, 2], theta=2)
        with pytest.raises(grey.GreyError, match="expected 2 values"):
            grey.absolute_degree([1, 2], [1, 2, 3])


class TestSelection:
    def test_the_model_that_the_series_was_made_from_wins(self):
        logistic = 10 / (1 + 9 * np.exp(-0.8 * np.arange(10.0)))
        level = 1 - 0.5 * 0.7 ** np.arange(8.0)
        assert grey.best_model(level).name == "NDGM"
        assert grey.best_model(3 * 1.8 ** np.arange(8.0)).name in {"GM11 optimal", "DGM11", "NDGM"}
        best = grey.best_model(logistic, {"Verhulst": grey.Verhulst(), "GM11": grey.GM11()})
        assert best.name == "Verhulst"
        assert best.errors["Verhulst"] < best.last_value_error

    def test_errors_are_those_of_leaving_the_last_out(self):
        series = [2.874, 3.278, 3.337, 3.390, 3.679]
        by_hand = abs(grey.GM11().fit(series[:-1]).predict(1)[0] - series[-1])
        assert grey.leave_last_out(grey.GM11(), series) == pytest.approx(by_hand)
        best = grey.best_model(series)
        assert best.errors["GM11"] == pytest.approx(by_hand)
        assert best.errors[best.name] == min(best.errors.values())
        assert best.last_value_error == pytest.approx(3.679 - 3.390)
        assert best.model.series.tolist() == series
        earlier = abs(grey.GM11().fit(series[:-2]).predict(1)[0] - series[-2])
        assert grey.leave_last_out(grey.GM11(), series, last=2) == pytest.approx((by_hand + earlier) / 2)

    def test_candidates_are_left_alone(self):
        grey.best_model([1, 2, 3, 4, 5])
        assert not any(hasattr(model, "fitted") for model in grey.CANDIDATES.values())

    def test_too_short_a_series_is_refused(self):
        with pytest.raises(grey.GreyError, match="longer series"):
            grey.best_model([1, 2, 3])
