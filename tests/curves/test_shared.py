"""Corrections of forecasts, beside the same models written out: one dense covariance each."""

import numpy as np
import pytest

from greyhound.curves.shared import corrections
from greyhound.numeric.gp import matern52

RNG = np.random.default_rng(0)
CURVES, KNOWN = RNG.random((4, 9)).cumsum(axis=1), RNG.random((12, 9)).cumsum(axis=1)
CURVES[3] *= 9.0
X, KNOWN_X = RNG.random((4, 2)), RNG.random((12, 2))
ERRORS = RNG.standard_normal(12)


def seen(curves: np.ndarray) -> np.ndarray:
    """The last value and the changes over the newest half and quarter of nine steps."""
    return curves[:, -1:] - np.stack([np.zeros(len(curves)), curves[:, -5], curves[:, -3]], axis=1)


def looks(curves: np.ndarray, known: np.ndarray) -> np.ndarray:
    both = seen(np.concatenate([curves, known]))
    away = both - np.median(both, axis=0)
    spread = np.maximum(1.4826 * np.median(np.abs(away), axis=0), both.std(axis=0) / 4.0)
    return np.clip(away / spread, -3.0, 3.0) / 4.0


def by_the_book(curves, X, known, known_X, errors, spread, scale):
    """Rasmussen & Williams 2006, eq. 2.25 and 2.40, with a variance of four degrees of freedom integrated out."""
    count, m = len(errors), len(curves)
    prior = 4.0 * ((3.0 * scale + count * spread) / (3.0 + count)) ** 2
    shape, all_X = looks(curves, known), np.concatenate([X, known_X])
    models = [(np.zeros((m + count, m + count)), 1.0, 0.0), (np.zeros((m + count, m + count)), 1.0, 1.0 / 3.0)]
    for weight in (0.0, 0.25, 0.5, 1.0):
        at = np.hstack([shape, weight * all_X])
        models += [
            (matern52(at / length, at / length), noise, 1.0 / 3.0)
            for length in (0.5, 1.0, 2.0)
            for noise in (0.01, 0.1, 0.5)
        ]
    told = []
    for near, noise, shared in models:
        covariance = near + shared
        inverse = np.linalg.inv(covariance[m:, m:] + noise * np.eye(count))
        cross, squares = covariance[:m, m:], errors @ inverse @ errors + prior
        evidence = 0.5 * np.linalg.slogdet(inverse)[1] - 0.5 * (count + 4.0) * np.log(squares)
        left = np.diag(covariance)[:m] + noise - np.einsum("ij,jk,ik->i", cross, inverse, cross)
        told.append((evidence, cross @ inverse @ errors, squares / (count + 4.0) * np.maximum(left, noise)))
    evidence, means, variances = map(np.array, zip(*told, strict=True))
    share = np.exp(evidence - evidence.max()) / np.exp(evidence - evidence.max()).sum()
    mean = share @ means
    return mean, np.sqrt(share @ (variances + (means - mean) ** 2))


def robust(errors: np.ndarray) -> float:
    return 1.4826 * float(np.median(np.abs(errors - np.median(errors))))


@pytest.mark.parametrize("scale", [0.01, 0.5, 20.0])
@pytest.mark.parametrize("related", [False, True])
def test_models_are_averaged_by_their_evidence(scale, related):
    errors = KNOWN_X[:, 0] - KNOWN[:, -1] if related else ERRORS
    mean, std = corrections(CURVES, X, KNOWN, KNOWN_X, errors, scale)
    told = by_the_book(CURVES, X, KNOWN, KNOWN_X, errors, robust(errors), scale)
    assert mean == pytest.approx(told[0])
    assert std == pytest.approx(told[1])


def test_errors_far_from_the_others_are_drawn_in_to_five_of_their_standard_deviations():
    errors = ERRORS.copy()
    errors[[3, 7]] = 50.0, -80.0
    middle, spread = np.median(errors), robust(errors)
    drawn = np.clip(errors, middle - 5.0 * spread, middle + 5.0 * spread)
    mean, std = corrections(CURVES, X, KNOWN, KNOWN_X, errors, 0.5)
    told = by_the_book(CURVES, X, KNOWN, KNOWN_X, drawn, spread, 0.5)
    assert mean == pytest.approx(told[0])
    assert std == pytest.approx(told[1])


@pytest.mark.parametrize("count", [1, 3])
def test_few_errors_are_drawn_in_to_three_of_what_is_expected(count):
    errors = np.array([0.2, 9.0, -9.0])[:count] if count > 1 else np.array([9.0])
    mean, std = corrections(CURVES, X, KNOWN[:count], KNOWN_X[:count], errors, 0.5)
    drawn = np.clip(errors, -1.5, 1.5)
    told = by_the_book(CURVES, X, KNOWN[:count], KNOWN_X[:count], drawn, 0.5, 0.5)
    assert mean == pytest.approx(told[0])
    assert std == pytest.approx(told[1])


def test_the_newest_sixty_known_curves_teach():
    known, known_X, errors = RNG.random((70, 9)), RNG.random((70, 2)), RNG.standard_normal(70)
    newest = corrections(CURVES, X, known[-60:], known_X[-60:], errors[-60:], 0.5)
    assert np.array_equal(corrections(CURVES, X, known, known_X, errors, 0.5), newest)


def test_without_known_curves_nothing_is_added():
    mean, std = corrections(CURVES, X, KNOWN[:0], KNOWN_X[:0], ERRORS[:0], 0.5)
    assert mean.tolist() == [0.0] * 4
    assert std.tolist() == [0.5] * 4
