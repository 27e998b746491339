"""How far off forecasts of a study's curves are: not all equally, and some of them far more than the others.

Where many trainings stand still and some leave the plateau, forecasts of those that move go wrong by far more than the
rest, and a few of the rest jump. So the errors of the finished curves are looked at twice: whether they grow with how
much a curve moved lately, by a power of it, and how heavy their tails are, as the degrees of freedom of a Student
distribution. Of some powers and degrees those are taken that make the known errors likeliest, and equal doubts with
the usual tails unless the evidence speaks clearly against them.

Sources: the scale of a Student distribution, by expectation maximisation: Liu & Rubin 1995, "ML estimation of the t
distribution using EM and its extensions, ECM and ECME", section 2; a variance that is a power of a covariate: Harvey
1976, "Estimating regression models with multiplicative heteroscedasticity".
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

Floats: TypeAlias = NDArray[np.float64]

DEGREES = 4.0
"""Usual degrees of freedom of the Student distribution that errors follow."""
SCALE = 0.84
"""Its scale, in standard deviations of the forecast: more errors go far astray than a normal distribution has."""
_TAILS = np.array([DEGREES, 2.0, 1.0, 0.5])
_POWERS = np.array([0.0, 0.5, 1.0])
_AGAINST_POWER = 3.0
"""By how much the log likelihood must rise before doubts are in proportion to the movement."""
_AGAINST_TAILS = 1.5
_RESTING = 0.003
"""The movement of a curve that stands still, in standard deviations of all curves."""
_FEWEST = 5
_NEWEST = 60
_ROUNDS = 40


def moved(curves: Floats) -> Floats:
    """The range of the newest half of each curve, (m,). curves: (m, n)."""
    return np.asarray(np.ptp(curves[:, -(curves.shape[1] // 2 + 1) :], axis=1))


def doubt(curves: Floats, known: Floats, errors: Floats, least: float) -> tuple[Floats, float]:
    """By which factor each curve's standard deviation is wider than told, (m,), > 0, and the degrees of freedom, > 0.

    curves: (m, n), known: (k, n), up to the same step, finite. errors: (k,), of the known. least: the smallest scale
    that errors are taken to have, > 0, in their units. With fewer than five known curves factors are 1.
    """
    if len(errors) < _FEWEST:
        return np.ones(len(curves)), DEGREES
    known, errors = known[-_NEWEST:], errors[-_NEWEST:] - np.median(errors[-_NEWEST:])
    resting = _RESTING * float(np.concatenate([curves[:, -1], known[:, -1]]).std()) + np.finfo(float).tiny
    movement, known_movement = np.hypot(moved(curves), resting), np.hypot(moved(known), resting)
    usual = float(np.exp(np.log(known_movement).mean()))  # geometric: the likelihoods of all powers need no Jacobian
    width, known_width = (each / usual for each in (movement, known_movement))
    found = (0.0, DEGREES, 1.0)
    highest = -np.inf
    for power in _POWERS.tolist():
        scales, likelihoods = _fitted(errors / known_width**power, least)
        likelihoods -= power * _AGAINST_POWER + _AGAINST_TAILS * (_TAILS != DEGREES)
        at = int(likelihoods.argmax())
        if likelihoods[at] > highest:
            highest, found = float(likelihoods[at]), (power, float(_TAILS[at]), float(scales[at]))
    power, degrees, scale = found
    if power == 0.0 and degrees == DEGREES:
        return np.ones(len(curves)), DEGREES
    told = SCALE * max(1.4826 * float(np.median(np.abs(errors))), least)
    return width**power * scale / told, degrees


def _fitted(errors: Floats, least: float) -> tuple[Floats, Floats]:
    """For each of _TAILS the likeliest scale, at least `least`, and its log likelihood. errors: (k,), centred."""
    degrees, squares = _TAILS[:, None], errors * errors
    variance = np.full(degrees.shape, max(float(np.median(squares)), least**2))
    for _ in range(_ROUNDS):
        weights = (degrees + 1.0) / (degrees + squares / variance)
        variance = np.maximum((weights * squares).mean(axis=1, keepdims=True), least**2)
    log_density = -0.5 * (degrees + 1.0) * np.log1p(squares / (degrees * variance)) - 0.5 * np.log(variance)
    constant = gammaln((_TAILS + 1.0) / 2.0) - gammaln(_TAILS / 2.0) - 0.5 * np.log(np.pi * _TAILS)
    return np.sqrt(variance[:, 0]), log_density.sum(axis=1) + len(errors) * constant
