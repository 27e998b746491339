"""What an objective that was written for Optuna may ask of its trial besides values: distributions, and the study.

Trials and distributions are Optuna's own objects, made of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from datetime import datetime
from typing import TYPE_CHECKING, Any

from greyhound._lazy import require
from greyhound.errors import SpaceError
from greyhound.space import Float, Int, Parameter
from greyhound.trial import Limit, Trial, TrialState, constraint_key

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import StudyDirection
    from optuna.trial import FrozenTrial

    from greyhound.history import History

_SCALARS = (str, int, float, bool, type(None))


class StudyView:
    """A study as `trial.study` shows it to an objective: to be read, as it is at that moment.

    read: gives its name and history. Where Optuna raises ValueError, for there is no best trial yet, so does this.
    """

    def __init__(self, read: Callable[[], tuple[str, History]]) -> None:
        self._read = read
        self.user_attrs: dict[str, Any] = {}
        """Studies of ours have none."""

    @property
    def study_name(self) -> str:
        """The study's name."""
        return self._read()[0]

    @property
    def direction(self) -> StudyDirection:
        """Of the only objective; RuntimeError where there are several."""
        self._one("direction")
        return self.directions[0]

    @property
    def directions(self) -> list[StudyDirection]:
        """Whether each objective is minimised or maximised."""
        theirs = require("optuna.study", "optuna").StudyDirection
        return [theirs.MAXIMIZE if goal.maximize else theirs.MINIMIZE for goal in self._history.objectives]

    @property
    def metric_names(self) -> list[str]:
        """The names of the objectives."""
        return [goal.metric for goal in self._history.objectives]

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials, those that run included; a paused one counts as pruned."""
        return self.get_trials()

    def get_trials(self, deepcopy: bool = True, states: Container[Any] | None = None) -> list[FrozenTrial]:
        """The trials in any of Optuna's states; None for all. They are made anew, whatever deepcopy says."""
        history = self._history
        found = [frozen(history, trial) for trial in history.trials]
        return found if states is None else [trial for trial in found if trial.state in states]

    @property
    def best_trial(self) -> FrozenTrial:
        """The best of the trials that were trained to their end and keep to all limits."""
        self._one("best_trial")
        history = self._history
        complete = [trial for trial in history.completed if trial.replicates is None]
        kept = [trial for trial in complete if all(_over(limit, trial) <= 0 for limit in history.limits)]
        if not kept:
            raise ValueError("no trial is completed yet that keeps to the limits.")
        goal = history.objectives[0]
        return frozen(history, min(kept, key=lambda trial: goal.loss(trial.metrics[goal.metric])))

    @property
    def best_value(self) -> float:
        """The best trial's value."""
        return float(self.best_trial.value)

    @property
    def best_params(self) -> dict[str, Any]:
        """The best trial's parameters."""
        return dict(self.best_trial.params)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"trial.study.{name} is not there: an objective may read study_name, direction, directions, metric_names, "
            f"trials, get_trials, best_trial, best_value, best_params and user_attrs."
        )

    @property
    def _history(self) -> History:
        return self._read()[1]

    def _one(self, what: str) -> None:
        if len(self._history.objectives) != 1:
            raise RuntimeError(f"trial.study.{what}: the study has several objectives; look at trial.study.trials.")


def frozen(history: History, trial: Trial) -> FrozenTrial:
    """A trial as one of Optuna's, its metrics that are no objective as user attributes; a paused one as pruned."""
    optuna = require("optuna", "optuna")
    theirs = optuna.trial.TrialState
    state = theirs.PRUNED
    if trial.state in (TrialState.COMPLETED, TrialState.RUNNING):
        state = theirs.COMPLETE if trial.state is TrialState.COMPLETED else theirs.RUNNING
    elif trial.state.failed:
        state = theirs.FAIL
    names = [goal.metric for goal in history.objectives]
    curve = history.curve(trial.number, names[0]) if len(names) == 1 else ([], [])
    made: FrozenTrial = optuna.create_trial(
        state=state,
        values=[trial.metrics[name] for name in names] if state is theirs.COMPLETE else None,
        params={name: plain(value) for name, value in trial.params.items()},
        distributions={name: distribution_of(history.space[name]) for name in trial.params},
        intermediate_values={step - 1: value for step, value in zip(*curve, strict=True)},
        user_attrs={
            **{name: value for name, value in trial.metrics.items() if name not in names},
            **trial.attrs,
            "greyhound": {"trial": trial.number, "state": trial.state.value, "source": trial.source},
        },
        system_attrs={"fail_reason": trial.error} if trial.error and state is theirs.FAIL else {},
        constraints={
            constraint_key(limit): _over(limit, trial) for limit in history.limits if limit.metric in trial.metrics
        },
    )
    made.number = trial.number
    made.datetime_start = datetime.fromtimestamp(trial.started)
    if trial.state is not TrialState.RUNNING:
        made.datetime_complete = datetime.fromtimestamp(trial.ended or trial.started)
    return made


def distribution_of(parameter: Parameter) -> BaseDistribution:
    """A parameter as a distribution of Optuna's; a choice that is no scalar becomes its text."""
    theirs = require("optuna.distributions", "optuna")
    if isinstance(parameter, Float):
        made: BaseDistribution = theirs.FloatDistribution(
            parameter.low, parameter.high, log=parameter.log, step=parameter.step
        )
    elif isinstance(parameter, Int):
        made = theirs.IntDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step)
    elif (choices := getattr(parameter, "choices", None)) is not None:
        made = theirs.CategoricalDistribution([plain(choice) for choice in choices])
    else:
        raise SpaceError(f"{parameter!r} has no counterpart in Optuna.")
    return made


def plain(value: Any) -> Any:
    """A choice as both sides can keep it: what is no scalar becomes text."""
    return value if isinstance(value, _SCALARS) else repr(value)


def _over(limit: Limit, trial: Trial) -> float:
    """By how much a trial breaks a limit; one that it says nothing of counts as kept, as in Optuna."""
    return limit.over(trial.metrics.get(limit.metric, limit.bound))
