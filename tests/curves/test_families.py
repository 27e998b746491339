"""Parametric families beside the Bayesian linear model that they are, one shape and one curve at a time."""

import numpy as np
import pytest

from greyhound.curves.families import PARAMETRIC, fitted

TAUS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
SHAPES = {
    "power": [lambda k, c=c: k**-c for c in (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)],
    "logarithmic": [lambda k: np.log(2) / np.log(k + 1)],
    "exponential": [lambda k, tau=tau: np.exp(-(k - 1) / tau) for tau in TAUS],
    "janoschek": [lambda k, t=t, b=b: np.exp(-(((k - 1) / t) ** b)) for t in TAUS for b in (0.5, 1.5)],
}


def by_the_book(shape, curve, weights, steps):
    """Bishop 2006, eq. 3.53 to 3.58 with the noise integrated out: forecasts and log evidence but for a constant."""
    scale = np.ptp(curve)
    y = (curve - curve[-1]) / scale
    design = np.stack([np.ones(len(curve)), shape(np.arange(1.0, len(curve) + 1))], axis=1)
    precision = design.T @ np.diag(weights) @ design + np.eye(2) / 4.0**2
    mean = np.linalg.solve(precision, design.T @ (weights * y))
    degrees = 2.0 + weights.sum()
    left = 2.0 * 0.03**2 + weights @ y**2 - mean @ precision @ mean
    evidence = -0.5 * np.linalg.slogdet(precision)[1] - 0.5 * degrees * np.log(left)
    return curve[-1] + scale * (mean[0] + mean[1] * shape(steps)), evidence


@pytest.mark.parametrize("family", PARAMETRIC)
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_shapes_are_averaged_by_their_evidence(family, noise):
    rng = np.random.default_rng(0)
    k, steps = np.arange(1.0, 13.0), np.array([13.0, 40.0])
    curves = 5.0 - np.array([[3.0], [0.3]]) * (k**-0.6 + np.exp(-k / 5.0)) + noise * rng.standard_normal((2, 12))
    weights = np.arange(12.0) / 12.0
    found = fitted(family, curves, weights, steps)
    for curve, ours in zip(curves, found, strict=True):
        forecasts, evidence = zip(*(by_the_book(shape, curve, weights, steps) for shape in SHAPES[family]), strict=True)
        share = np.exp(np.array(evidence) - max(evidence))
        assert ours == pytest.approx(share @ np.array(forecasts) / share.sum(), abs=1e-7)
