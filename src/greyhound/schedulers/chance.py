"""The chance that a trial which was not trained to its end would finish best, and what follows from it.

A trial's final value is its last one moved by what finished trials gained from that step to their end, of which
the mean and spread are known from few; one that exploded counts as the worst that did not. Nothing but finished trials
is asked, so before three have finished nobody can be told to be beaten.

Source: the predictive distribution of a normal sample with unknown mean and variance, Student's t with n − 1
degrees of freedom (Gelman et al., "Bayesian data analysis", 3rd ed., section 3.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from greyhound.errors import StudyError
from greyhound.rungs import losses_at
from greyhound.schedulers.base import is_number
from greyhound.schedulers.ranking import breaches, trained
from greyhound.trial import TrialState

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from greyhound.history import History

    Floats = NDArray[np.float64]

_FEWEST = 3
"""Finished trials that told a value at the step in question, before anything is said."""


def check_risk(scheduler: str, risk: float | None) -> None:
    """StudyError where it is no risk."""
    if risk is not None and not (is_number(risk) and 0.0 < risk < 1.0):
        raise StudyError(f"{scheduler}: risk must lie between 0 and 1, or be None; got {risk!r}.")


def chance_to_win(history: History, number: int) -> float:
    """The chance, in [0, 1], that the trial would end better than every trial that was trained to its end.

    With several objectives: that none of those would dominate it. 1 where too little is known to say. Trials that
    break a limit are not to be beaten.
    """
    import numpy as np

    trial = history.trial(number)
    done = sorted(trained(history))
    here = np.asarray(losses_at(history, trial.step)).T
    finals = history.losses
    told = np.asarray([at for at in done if at != number and np.isfinite([here[at], finals[at]]).all()], int)
    mine = finals[number]
    if len(told) < _FEWEST or not np.isfinite(mine).all() or trial.step == 0:
        return 1.0
    over = breaches(history)
    best = finals[[at for at in told if not over[at]]]
    if not len(best):
        return 1.0
    if len(mine) == 1:
        return _below(float(best.min()), float(mine[0]), _gains(here[told, 0], finals[told, 0]))
    return _undominated(best, mine + finals[told] - here[told])


def another_chance(history: History, risk: float) -> int | None:
    """The paused trial that may win with the largest chance, at least `risk`; one that breaks a limit after others."""
    over = breaches(history)
    chances = {number: chance_to_win(history, number) for number in history.numbers(TrialState.PAUSED)}
    able = [number for number, chance in chances.items() if chance >= risk]
    return max(able, key=lambda number: (-over[number], chances[number], -number), default=None)


def _gains(here: Floats, finals: Floats) -> Floats:
    """By how much losses, (n,), n >= 1, moved to their ends; one that exploded counts as the worst that did not."""
    import numpy as np

    from greyhound.curves.exploded import tamed

    _, calm = tamed(here[:, None], np.stack([here, finals], axis=1))
    return np.asarray(calm[:, 1] - calm[:, 0])


def _below(bound: float, value: float, gains: Floats) -> float:
    """P(value + gain < bound) for another draw from what the gains, (n,), n >= 2, were drawn from."""
    import numpy as np
    from scipy.special import stdtr

    spread = float(gains.std(ddof=1)) * float(np.sqrt(1.0 + 1.0 / len(gains)))
    room = bound - value - float(gains.mean())
    return float(stdtr(len(gains) - 1, room / spread)) if spread > 0 else float(room > 0)


def _undominated(front: Floats, ends: Floats) -> float:
    """The share of ends, (n, m), that nothing of the front, (k, m), dominates, as if one more were and one were not."""
    import numpy as np

    no_worse = (front[None] <= ends[:, None]).all(axis=2)
    better = (front[None] < ends[:, None]).any(axis=2)
    beaten = np.any(no_worse & better, axis=1).sum()
    return float((len(ends) - beaten + 1) / (len(ends) + 2))
