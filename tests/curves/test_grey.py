"""The grey models of many curves are those of `greyhound.grey`, one by one."""

import numpy as np
import pytest

from greyhound.curves import grey
from greyhound.grey import FAMILIES as ONE_BY_ONE
from greyhound.grey import FGM11

AHEAD = 7


def saturating(length):
    k = np.arange(1.0, length + 1.0)
    curves = ((0.9, 0.5, 0.8), (2.0, 1.0, 0.9), (5, 4, 0.6))
    return np.stack([level - height * rate**k for level, height, rate in curves])


@pytest.mark.parametrize("family", ["gm11", "ndgm"])
@pytest.mark.parametrize("length", [6, 10, 30])
def test_many_curves_at_once_are_forecast_as_each_by_itself(family, length):
    curves = saturating(length)
    together = grey.GREY[family](curves, AHEAD)
    for row, curve in zip(together, curves, strict=True):
        assert row == pytest.approx(ONE_BY_ONE[family](curve, AHEAD), rel=1e-3)


@pytest.mark.parametrize("length", [6, 10, 30])
def test_logistic_curves_are_those_of_curves_that_begin_a_range_above_zero(length):
    curves = saturating(length)
    newest = grey.newest(curves)
    moved = 2 * newest.min(axis=1) - newest.max(axis=1)
    for row, curve, by in zip(grey.verhulst(curves, AHEAD), curves, moved, strict=True):
        assert row - by == pytest.approx(ONE_BY_ONE["verhulst"](curve - by, AHEAD), rel=1e-3)


def test_a_curve_that_runs_to_infinity_stays_at_its_last_value():
    assert grey.verhulst(np.array([[1.0, 1.1, 1.3, 2.0, 9.0]]), AHEAD) == pytest.approx(np.full((1, AHEAD), 9.0))


@pytest.mark.parametrize("length", [6, 10, 30])
def test_fractional_models_have_the_best_of_a_few_orders(length):
    curves = saturating(length)
    for row, curve in zip(grey.fgm(curves, AHEAD), curves, strict=True):
        distance = curve.max() + 0.3 * np.ptp(curve) - curve
        models = [FGM11(order).fit(distance) for order in grey.ORDERS]
        best = min(models, key=lambda model: np.abs(model.residuals).mean())
        left = np.minimum.accumulate(np.clip(best.predict(AHEAD), 0, distance[-1]))
        assert row == pytest.approx(curve[-1] + np.maximum(best.fitted[-1] - left, 0), rel=1e-6)


@pytest.mark.parametrize("family", grey.GREY)
def test_constant_curves_stay_and_far_steps_are_finite(family):
    curves = np.array([[0.7] * 8, [0.0] * 8, [0.0, 0.5, 0.7, 0.8, 0.85, 0.87, 0.88, 0.885]])
    found = grey.GREY[family](curves, 500)
    assert found[:2] == pytest.approx(curves[:2, -1:] * np.ones((1, 500)))
    assert np.isfinite(found).all()
