"""Several limits in one number."""

import math

import numpy as np

from greyhound.numeric.limits import breach


def test_each_limit_counts_in_units_of_its_worst_breach():
    violations = np.array([[0.0, 0.0], [2.0, 0.0], [4.0, 300.0], [math.nan, 150.0], [math.nan, math.nan]])
    assert breach(violations).tolist() == [0.0, 0.5, 2.0, 0.5, 0.0]


def test_without_limits_nothing_is_broken_and_an_infinite_breach_is_the_worst():
    assert breach(np.zeros((3, 0))).tolist() == [0.0, 0.0, 0.0]
    assert breach(np.array([[math.inf], [1.0]])).tolist() == [1.0, 1e-300]
