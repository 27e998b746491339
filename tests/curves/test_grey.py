"""The grey models of many curves are those of `greyhound.grey`, one by one."""

import numpy as np
import pytest

from greyhound.curves import grey
from greyhound.grey import FAMILIES as ONE_BY_ONE


@pytest.mark.parametrize("family", grey.GREY)
@pytest.mark.parametrize("length", [6, 10, 30])
def test_many_curves_at_once_are_forecast_as_each_by_itself(family, length):
    k = np.arange(1.0, length + 1.0)
    curves = np.stack(
        [level - height * rate**k for level, height, rate in ((0.9, 0.5, 0.8), (2.0, 1.0, 0.9), (5, 4, 0.6))]
    )
    together = grey.GREY[family](curves, 7)
    for row, curve in zip(together, curves, strict=True):
        assert row == pytest.approx(ONE_BY_ONE[family](curve, 7), rel=1e-3)
