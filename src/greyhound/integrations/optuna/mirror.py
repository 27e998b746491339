"""An Optuna study as a history of ours, kept up as its trials come in.

It is a study whose trainings name their parameters themselves: its space is the union of what the trials
asked for, and a trial has the parameters that it asked for.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable, Set
from dataclasses import replace
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as TheirState

from greyhound import events as ev
from greyhound.history import History
from greyhound.integrations.optuna.distributions import inward, parameter_of
from greyhound.settings import Settings
from greyhound.trial import Objective, TrialState

OWNER = "optuna"
FINISHED = {
    TheirState.COMPLETE: TrialState.COMPLETED,
    TheirState.PRUNED: TrialState.STOPPED,
    TheirState.FAIL: TrialState.FAILED,
}


class Mirror:
    """The history of an Optuna study. only: the parameters that count, None for all.

    distributions: the last one that was seen of each parameter. Reports of step s, which Optuna's users count
    from 0, are reports after s + 1 steps.
    """

    def __init__(
        self,
        directions: Iterable[StudyDirection],
        seed: int = 0,
        only: Set[str] | None = None,
        max_steps: int | None = None,
    ) -> None:
        ups = [direction is StudyDirection.MAXIMIZE for direction in directions]
        self.objectives = objectives(ups)
        self.only = only
        self.history = History()
        self.distributions: dict[str, BaseDistribution] = {}
        self.rows: dict[int, int] = {}
        self._ended: set[int] = set()
        self._fixed_length = max_steps is not None
        self._settings = Settings(tuple(self.objectives), seed=seed, max_steps=max_steps)
        self.history.apply(ev.Declared(0.0, self._settings.to_json()))

    def update(self, trials: Iterable[FrozenTrial], without: int | None = None) -> History:
        """The history with what is new of these trials; the trial of number `without` is left out."""
        for trial in trials:
            if trial.number not in self._ended and trial.number != without:
                self._take(trial)
        return self.history

    def start(self, number: int) -> int:
        """The row of a trial, which runs from now on if it is new."""
        if number not in self.rows:
            self.rows[number] = row = len(self.history)
            self.history.apply(ev.Started(0.0, row, {}, number, OWNER, OWNER))
        return self.rows[number]

    def _take(self, trial: FrozenTrial) -> None:
        finished = FINISHED.get(trial.state)
        if not trial.distributions and not trial.intermediate_values and trial.number not in self.rows:
            if finished is not None:
                self._ended.add(trial.number)  # it has no parameters and says nothing of any
            return
        row = self.start(trial.number)
        known = self.history.trial(row)
        for name, distribution in trial.distributions.items():
            if name not in known.params and (self.only is None or name in self.only):
                value = inward(distribution, trial.params[name])
                self.distributions[name] = distribution
                self.history.apply(ev.Suggested(0.0, row, name, value, parameter_of(distribution).to_dict()))
        last = known.reports[-1].step if known.reports else 0
        for step, value in sorted(trial.intermediate_values.items()):
            if step + 1 > last and len(self.objectives) == 1:
                self.history.apply(ev.Reported(0.0, row, step + 1, {self.objectives[0].metric: value}))
        if finished is not None:
            self._ended.add(trial.number)
            self._end(row, trial, finished)

    def _end(self, row: int, trial: FrozenTrial, state: TrialState) -> None:
        metrics = dict(zip((each.metric for each in self.objectives), trial.values or (), strict=False))
        if state is TrialState.COMPLETED and not all(math.isfinite(value) for value in metrics.values()):
            state = TrialState.DIVERGED
        for key, value in trial.constraints.items():
            self.history.apply(ev.Constrained(0.0, row, key, value))
        self._learn_length(trial)
        seconds = trial.duration.total_seconds() if trial.duration is not None else 0.0
        self.history.apply(ev.Ended(0.0, row, state, metrics, OWNER, None, seconds))

    def _learn_length(self, trial: FrozenTrial) -> None:
        """How long a training is, which only trials tell."""
        if trial.state is not TheirState.COMPLETE or not trial.intermediate_values or self._fixed_length:
            return
        steps = trial.last_step + 1
        if steps > (self._settings.max_steps or 0):
            self._settings = replace(self._settings, max_steps=steps)
            self.history.apply(ev.Declared(0.0, self._settings.to_json()))


def identity(study: Study) -> tuple[Any, int]:
    """What tells a study from others, of its name too: its storage, and its number there."""
    return weakref.ref(study._storage), study._study_id


def objectives(maximised: list[bool]) -> list[Objective]:
    """Our objectives for Optuna's unnamed ones: "value", or "value_0", "value_1"…"""
    if len(maximised) == 1:
        return [Objective("value", maximised[0])]
    return [Objective(f"value_{at}", up) for at, up in enumerate(maximised)]
