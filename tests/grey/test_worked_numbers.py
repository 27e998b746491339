"""Every model against numbers printed elsewhere, to the digits printed; without any, against first principles."""

import numpy as np
import pytest

from greyhound import grey

DENG = [2.874, 3.278, 3.337, 3.390, 3.679]
NOISE = [71.1, 72.4, 72.4, 72.1, 71.4, 72.0, 71.6]
"""Road-traffic noise levels, a series of Chinese textbooks on mathematical modelling."""
TORPEDO = np.cumsum([496, 779, 1187, 1025, 488, 255, 157, 110, 87, 79])


def near(expected, digits):
    return pytest.approx(expected, abs=0.51 * 10**-digits)


class TestGM11:
    def test_dengs_series(self):
        """Liu & Lin 2006."""
        model = grey.GM11().fit(DENG)
        assert model.a == near(-0.037204, 6)
        assert model.b == near(3.065363, 6)
        assert model.fitted == near([2.874, 3.2320, 3.3545, 3.4817, 3.6137], 4)
        assert model.predict(1) == near([3.7507], 4)

    def test_textbook_series_of_noise_levels(self):
        model = grey.GM11().fit(NOISE)
        assert model.a == near(0.0023438, 7)
        assert model.b == near(72.65727, 5)
        assert model.fitted == near([71.1, 72.4057, 72.2362, 72.0671, 71.8984, 71.7301, 71.5622], 4)

    def test_printed_example_of_the_r_package_mathmodels(self):
        model = grey.GM11().fit([100, 120, 145, 175, 210])
        assert model.fitted == near([100.0000, 119.9184, 144.3784, 173.8275, 209.2834], 4)
        assert model.predict(3) == near([251.9713, 303.3663, 365.2444], 4)

    def test_changge_after_two_weakenings(self):
        """Liu & Lin 2006, who round on the way: five digits agree."""
        weakened = grey.weaken([10155, 12588, 23480, 35388], times=2)
        assert weakened == near([27260.9, 29546.9, 32411, 35388], 1)
        model = grey.GM11().fit(weakened)
        assert model.a == pytest.approx(-0.089995, rel=3e-5)
        assert model.b == pytest.approx(25790.28, rel=3e-5)
        assert model.fitted[1:] == pytest.approx([29553.4, 32336.5, 35381.6], rel=3e-6)
        assert grey.check(model).mape == near(0.00090, 5)

    def test_even_background_is_biased_on_an_exponential_and_the_optimal_one_is_exact(self):
        doubling = [2, 4, 8, 16, 32]
        biased, exact = grey.GM11().fit(doubling), grey.GM11(background="optimal").fit(doubling)
        assert biased.a == pytest.approx(-2 / 3)
        assert biased.fitted[-1] == near(28.01, 2)
        assert exact.weight == near(0.557305, 6)
        assert exact.a == pytest.approx(-np.log(2))
        assert exact.fitted == pytest.approx(doubling)

    def test_background_weight_may_be_given(self):
        model = grey.GM11(background=0.557305).fit([2, 4, 8, 16, 32])
        assert model.weight == 0.557305
        assert model.a == pytest.approx(-np.log(2), abs=1e-6)


class TestDiscrete:
    def test_dgm_on_an_exponential(self):
        model = grey.DGM11().fit([2, 4, 8, 16, 32])
        assert (model.beta1, model.beta2) == (pytest.approx(2), pytest.approx(2))
        assert model.predict(2) == pytest.approx([64, 128])

    def test_dgm_near_gm_on_dengs_series(self):
        """Xie & Liu 2009: for small a, β₁ = (1 − a/2)/(1 + a/2) and β₂ = b/(1 + a/2) of GM(1,1)."""
        gm, dgm = grey.GM11().fit(DENG), grey.DGM11().fit(DENG)
        assert dgm.beta1 == pytest.approx((1 - gm.a / 2) / (1 + gm.a / 2), abs=5e-4)
        assert dgm.beta2 == pytest.approx(gm.b / (1 + gm.a / 2), abs=5e-3)

    SERIES = (5.08, 4.80, 4.67, 4.50, 7.12, 9.67, 12.80, 15.88, 19.49)

    def test_ndgm(self):
        """Mathematical Problems in Engineering 2017, 9728587, table 1."""
        model = grey.NDGM().fit(self.SERIES)
        assert model.beta1 == near(1.282676, 6)
        assert model.beta2 == near(-0.073041, 6)
        assert model.beta3 == near(2.289554, 6)
        assert model.fitted == near([5.08, 3.65, 4.61, 5.84, 7.42, 9.45, 12.04, 15.37, 19.65], 2)
        assert model.predict(2) == near([25.13, 32.16], 2)
        assert grey.check(model).mape == near(0.0893, 4)

    def test_ngm_by_its_time_response(self):
        """Parameters computed from the formulas; the curve from the response as printed."""
        model = grey.NGM().fit(self.SERIES)
        a, b, c = model.a, model.b, model.c
        assert (a, b, c) == (near(-0.25773, 5), near(-0.15672, 5), near(2.17058, 5))
        k = np.arange(1.0, 12)
        X = (5.08 - b / a + b / a**2 - c / a) * np.exp(-a * (k - 1)) + b / a * k - b / a**2 + c / a
        assert np.concatenate([model.fitted, model.predict(2)]) == pytest.approx(np.diff(X, prepend=0))
        assert model.predict(2) == near([24.95, 32.11], 2)


class TestFGM11:
    def test_half_order_on_dengs_series(self):
        """Computed from the formulas."""
        model = grey.FGM11(order=0.5).fit(DENG)
        assert (model.a, model.b) == (near(0.155253, 6), near(2.306762, 6))
        assert model.fitted[1:] == near([3.1603, 3.4149, 3.5455, 3.5910], 4)

    def test_order_one_is_gm11(self):
        model, gm = grey.FGM11(order=1).fit(DENG), grey.GM11().fit(DENG)
        assert (model.a, model.b) == (pytest.approx(gm.a), pytest.approx(gm.b))
        assert model.predict(4) == pytest.approx(gm.predict(4))

    def test_order_found_fits_at_least_as_well_as_any_on_the_grid(self):
        found = np.abs(grey.FGM11().fit(DENG).residuals).mean()
        for order in np.linspace(0.1, 2, 20):
            assert found <= np.abs(grey.FGM11(order=order).fit(DENG).residuals).mean() + 1e-12

    def test_accumulation_of_fractional_order(self):
        """Binomials C(j − 1/2, j) = 1, 1/2, 3/8, 5/16; two halves make one sum; minus r undoes r."""
        assert grey.accumulate(np.array([1.0, 0, 0, 0]), 0.5) == pytest.approx([1, 1 / 2, 3 / 8, 5 / 16])
        x = np.array(DENG)
        assert grey.accumulate(grey.accumulate(x, 0.5), 0.5) == pytest.approx(np.cumsum(x))
        assert grey.accumulate(grey.accumulate(x, 0.7), -0.7) == pytest.approx(x)


class TestVerhulst:
    def test_torpedo(self):
        """Liu & Lin 2006: research costs of a torpedo, summed."""
        model = grey.Verhulst().fit(TORPEDO)
        assert model.a == near(-0.980794, 6)
        assert model.b == near(-0.00021576, 8)
        expected = [1119.1, 2116.0, 3177.5, 3913.7, 4286.2, 4444.8, 4507.4, 4531.3, 4540.3]
        assert model.fitted[1:] == near(expected, 1)
        assert (np.abs(model.residuals) / TORPEDO).mean() == near(0.04335, 5)
        assert model.predict(100)[-1] == pytest.approx(model.a / model.b)

    def test_printed_example_of_the_r_package_mathmodels(self):
        """It sums the series first and prints increments."""
        model = grey.Verhulst().fit(np.cumsum([4.93, 2.33, 3.87, 4.35, 6.63, 7.15, 5.37, 6.39, 7.81, 8.35]))
        expected = [
            *(4.930000, 1.952177, 2.635709, 3.481640, 4.468640, 5.528334, 6.536384, 7.326754, 7.737430, 7.673378)
        ]
        assert np.diff(model.fitted, prepend=0) == near(expected, 6)


class TestFactors:
    SERIES = (2.874, 3.278, 3.307, 3.39, 3.679)
    FACTOR = (7.04, 7.645, 8.075, 8.53, 8.774)

    def test_gm12_fits_poorly_and_says_so(self):
        """Liu & Lin 2006."""
        model = grey.GM1N().fit(self.SERIES, self.FACTOR)
        assert model.a == near(2.2273, 4)
        assert model.b == near([0.90668], 5)
        assert model.fitted[1:] == near([2.769, 3.548, 3.534, 3.582], 3)
        assert grey.check(model).grade is grey.Grade.UNFIT

    def test_gm02_is_the_regression_of_running_sums(self):
        model = grey.GM0N().fit(self.SERIES, self.FACTOR)
        slope, level = np.polyfit(np.cumsum(self.FACTOR)[1:], np.cumsum(self.SERIES)[1:], 1)
        assert (model.b[0], model.a) == (pytest.approx(slope), pytest.approx(level))
        assert model.fitted[2:] == pytest.approx(slope * np.array(self.FACTOR[2:]))

    def test_gm03_finds_the_coefficients_it_was_made_from(self):
        rng = np.random.default_rng(0)
        factors = rng.uniform(1, 2, (2, 8))
        series = 2 * factors[0] + 3 * factors[1]
        series[0] += 5
        model = grey.GM0N().fit(series[:6], factors[:, :6])
        assert (model.a, *model.b) == (pytest.approx(5), pytest.approx(2), pytest.approx(3))
        assert model.predict(factors[:, 6:]) == pytest.approx(series[6:])


class TestRolling:
    def test_metabolic_takes_in_its_forecasts(self):
        """Computed from the formulas."""
        assert grey.Metabolic(grey.GM11(), window=5).fit(DENG).predict(3) == near([3.7507, 3.9381, 4.1352], 4)

    def test_metabolic_by_hand(self):
        first = grey.GM11().fit(DENG).predict(1)
        second = grey.GM11().fit([*DENG[1:], *first]).predict(1)
        assert grey.Metabolic(grey.GM11(), 5).fit(DENG).predict(2) == pytest.approx([*first, *second])

    def test_rolling_over_four(self):
        model = grey.Rolling(grey.GM11(), window=4).fit(DENG)
        assert model.predict(1) == near([3.8282], 4)
        assert model.fitted[:4] == pytest.approx(grey.GM11().fit(DENG[:4]).fitted)
        assert model.fitted[4] == pytest.approx(grey.GM11().fit(DENG[:4]).predict(1)[0])
        assert model.predict(3) == pytest.approx(grey.GM11().fit(DENG[1:]).predict(3))


class TestChecks:
    def test_dengs_series(self):
        """Liu & Lin 2006."""
        found = grey.check(grey.GM11().fit(DENG))
        assert found.mape == near(0.01602, 5)
        assert found.ratio == near(0.2125, 4)
        assert found.probability == 1
        assert (found.mape_grade, found.ratio_grade, found.probability_grade, found.grade) == (2, 1, 1, 2)

    def test_textbook_series_of_noise_levels(self):
        found = grey.check(grey.GM11().fit(NOISE))
        assert found.ratio == near(0.481, 3)
        assert found.probability == near(0.857, 3)
        ratios = grey.class_ratios(NOISE)
        assert ratios == near([0.982, 1, 1.0042, 1.0098, 0.9917, 1.0056], 4)
        assert grey.admissible(NOISE)


class TestRelational:
    def test_dengs_grade(self):
        grades = grey.deng_grade([0.9, 0.8, 0.7], [[0.9, 0.7, 0.8], [0.8, 0.9, 0.7], [0.7, 0.8, 0.9]])
        assert grades == near([0.6667, 0.6667, 0.5556], 4)

    def test_ranking_printed_with_the_julia_package_jmcdm(self):
        """Five candidates, six criteria, from Yıldırım & Önder's textbook, 2015."""
        candidates = [
            [105000, 105, 10, 4, 300, 10],
            [120000, 110, 15, 4, 500, 8],
            [150000, 120, 12, 3, 550, 12],
            [115000, 105, 20, 4, 600, 9],
            [135000, 115, 15, 5, 400, 9],
        ]
        goals = ["smaller", "larger", "smaller", "larger", "larger", "smaller"]
        found = grey.rank(candidates, goals, weights=[0.05, 0.20, 0.10, 0.15, 0.10, 0.40])
        assert found.grades == pytest.approx([0.525, 0.7007142857, 0.5464285714, 0.5762820513, 0.6509523810])
        assert found.order == (1, 4, 3, 2, 0)

    def test_degrees_of_incidence_by_hand(self):
        """Areas under the risen curves: 20 and 176; relative to the first values 2 and 3.826."""
        first, second = [10, 9, 15, 14, 14, 15, 16], [46, 58, 70, 77, 84, 91, 98]
        assert grey.absolute_degree(first, second) == pytest.approx((1 + 20 + 176) / (1 + 20 + 176 + 156))
        relative = (1 + 2 + 176 / 46) / (1 + 2 + 176 / 46 + 176 / 46 - 2)
        assert grey.relative_degree(first, second) == pytest.approx(relative)
        assert grey.synthetic_degree(first, second) == pytest.approx((197 / 353 + relative) / 2)
