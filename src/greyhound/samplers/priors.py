"""Guesses of the user (`prior=` on a parameter): where samplers look first, and ever less with every trial.

A guess g held with s (0 to 1) is a density on the unit interval: with weight s a normal one around g, cut off at the
ends and of standard deviation (1 − s)/2, with weight 1 − s uniform; for choices without an order, weight s on g. No
value is ruled out, so a wrong guess costs trials but not the optimum. Where each choice has a weight they have those
chances, but for a small share that all have alike.

Models multiply their acquisition with the density to the power β/n after n trials; β is a tenth of the budget's
trials, at least 5, or 10 where trials are not limited. Samplers without a model draw β/(β + n) of their points from
it. Source: Hvarfner et al. 2022, "πBO: Augmenting acquisition functions with user beliefs for Bayesian
optimization", eq. 6. What that paper has not: the exponent falls further where results contradict the guesses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata

from greyhound.kinds import Bool, Categorical
from greyhound.parameters import Parameter

if TYPE_CHECKING:
    from greyhound.history import History
    from greyhound.numeric.gp import Floats
    from greyhound.space import Space

_FADING = 10.0
_OPEN = 0.02
"""The share of trials for which weights do not count."""
_SHRUNK = 5.0
_GIVEN = ("default", "enqueued")
"""What trials that no sampler drew are marked as proposed by."""


def fading(history: History) -> float:
    """β: after so many trials a guess counts as much as evidence."""
    trials = history.settings.budget.trials if history.settings else None
    return _FADING if trials is None else max(5.0, trials / 10.0)


def trust(history: History, densities: Floats, losses: Floats) -> float:
    """The exponent β/n, times how well the guesses have done: 1 at first, 0 where they point away from what is good.

    densities, losses: (k,), of the trials with a result: the log density there, and the loss. Their rank correlation
    counts as if five trials before had spoken for the guesses.
    """
    done = (_SHRUNK - len(losses) * rank_correlation(densities, losses)) / (_SHRUNK + len(losses))
    return fading(history) / max(1, len(history)) * max(0.0, done)


def rank_correlation(first: Floats, second: Floats) -> float:
    """Spearman's, in [-1, 1]; 0 where it isn't defined."""
    a, b = rankdata(first), rankdata(second)
    if len(a) < 2 or not a.std() or not b.std():
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def log_density(parameter: Parameter, units: Floats) -> Floats:
    """log of the density at places in [0, 1], (n,); 0 for a parameter without a prior."""
    if parameter.size == 1 or not has_prior(parameter):
        return np.zeros(len(units))
    if (chances := _chances(parameter)) is not None:
        count = len(chances)
        cells = np.floor(units * count).clip(0, count - 1).astype(int)
        return np.asarray(np.log(count * chances[cells]))
    guess, sure = parameter.prior
    middle = parameter.encode(guess)
    if isinstance(parameter, Categorical | Bool):
        count = len(parameter.choices)
        same = np.floor(units * count).clip(0, count - 1) == np.floor(middle * count)
        return np.asarray(np.log((1.0 - sure) + sure * count * same))
    width = 0.5 * (1.0 - sure)
    inside = ndtr((1.0 - middle) / width) - ndtr(-middle / width)
    normal = np.exp(-0.5 * ((units - middle) / width) ** 2) / (width * np.sqrt(2.0 * np.pi) * inside)
    return np.asarray(np.log((1.0 - sure) + sure * normal))


def believed(parameter: Parameter, unit: float) -> float:
    """A place in [0, 1] that follows the prior where `unit` is uniform; the unit itself where there is none."""
    if not has_prior(parameter):
        return unit
    if isinstance(parameter, Categorical) and (chances := _chances(parameter)) is not None:
        cell = int(np.searchsorted(np.cumsum(chances)[:-1], unit, side="right"))
        return parameter.encode(parameter.choices[cell])
    guess, sure = parameter.prior
    middle = parameter.encode(guess)
    if unit >= sure:
        return float((unit - sure) / (1.0 - sure))
    if isinstance(parameter, Categorical | Bool):
        return float(middle)
    width = 0.5 * (1.0 - sure)
    low, high = ndtr(-middle / width), ndtr((1.0 - middle) / width)
    return float(np.clip(middle + width * ndtri(low + unit / sure * (high - low)), 0.0, 1.0))


def guided(history: History, units: Floats, at: int, chance: float) -> Floats:
    """A point of the unit cube, (d,): as it is, or after the priors with the probability that is left to them.

    at: the number of the trial; the first that is drawn has the guesses themselves, unless a trial has them already.
    chance: uniform, in [0, 1).
    """
    parameters = list(history.space.parameters.values())
    if not has_priors(history.space):
        return units
    pairs = list(zip(parameters, units.tolist(), strict=True))
    if at == len(history) and all(trial.source in _GIVEN for trial in history.trials):
        guesses = np.array([believed(p, unit) if p.prior is None else p.encode(p.prior[0]) for p, unit in pairs])
        space = history.space
        _, there = space.encode(space.decode(guesses.tolist()))
        guessed = np.array([parameter.prior is not None for parameter in parameters]) & there
        if not (~guessed | (history.active & np.isclose(history.X, guesses))).all(axis=1).any():
            return guesses
    beta = fading(history)
    if chance >= beta / (beta + at):
        return units
    return np.array([believed(parameter, unit) for parameter, unit in pairs])


def has_priors(space: Space) -> bool:
    """Whether the user guessed at any parameter."""
    return any(has_prior(parameter) for parameter in space.parameters.values())


def has_prior(parameter: Parameter) -> bool:
    """Whether the user guessed at this one, by a prior or by weights."""
    return parameter.prior is not None or getattr(parameter, "weights", None) is not None


def _chances(parameter: Parameter) -> Floats | None:
    """How likely each choice is held to be, (k,), above 0, in all 1; None where there are no weights."""
    if not isinstance(parameter, Categorical) or parameter.weights is None:
        return None
    weights = np.array(parameter.weights)
    return np.asarray((1.0 - _OPEN) * weights / weights.sum() + _OPEN / len(weights))
