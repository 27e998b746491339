"""Acquisition functions against mpmath's figures and plain integration."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from greyhound.numeric.acquisition import log_expected_improvement, log_h, log_probability_below


@pytest.mark.parametrize(
    ("z", "expected"),
    [(-5.0, -16.744301), (-25.0, -319.861464), (-1000.0, -500014.734452), (0.0, -0.918938533), (-1.0, -2.48512103)],
)
def test_log_h_agrees_with_arbitrary_precision(z, expected):
    assert log_h(np.array([z]))[0] == pytest.approx(expected, rel=1e-8)


@given(st.floats(-3e6, 50.0), st.floats(1e-6, 10.0))
def test_log_h_rises_everywhere(z, step):
    low, high = log_h(np.array([z, z + step]))
    assert high > low or high == pytest.approx(low, rel=1e-12)


@given(st.floats(-3.0, 3.0), st.floats(0.1, 3.0), st.floats(-3.0, 3.0))
def test_expected_improvement_is_the_integral_of_the_improvement(mean, std, best):
    expected, _ = quad(lambda y: (best - y) * norm.pdf(y, mean, std), mean - 12 * std, best)
    found = np.exp(log_expected_improvement(np.array([mean]), np.array([std]), best))[0]
    assert found == pytest.approx(max(expected, 0.0), rel=1e-5, abs=1e-9)


def test_probability_below():
    found = log_probability_below(np.array([0.0, 1.0]), np.array([1.0, 0.5]), 0.0)
    assert np.exp(found) == pytest.approx([0.5, norm.cdf(-2.0)])
