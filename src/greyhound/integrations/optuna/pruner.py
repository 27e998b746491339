"""Any of our schedulers as a pruner of Optuna's."""

from __future__ import annotations

import threading
from typing import Any

from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.trial import FrozenTrial

from greyhound import events as ev
from greyhound import schedulers
from greyhound.errors import StudyError
from greyhound.history import History
from greyhound.integrations.optuna.mirror import OWNER, Mirror, identity
from greyhound.schedulers import Resume
from greyhound.trial import TrialState, Verdict


class GreyhoundPruner(BasePruner):  # type: ignore[misc]
    """Decides which trials of a study of Optuna's go on.

    rule: one of our schedulers: a name ("asha"), {"name": ..., option: ...} or an instance. max_steps: how many
    steps a full training reports; None where it may be any number, as far as the rule can do without.

    A trial is judged at the rule's own steps only (the report of step s counts as s + 1 steps trained). Where the rule
    pauses trials to resume the better ones later, which Optuna cannot, a trial goes on that would be resumed at
    once, or that is the best so far at its step; the others are pruned.
    """

    def __init__(self, rule: Any = "asha", *, max_steps: int | None = None) -> None:
        self._rule = schedulers.REGISTRY.make(rule)
        self._max_steps = max_steps
        if max_steps is None and not self._rule.traits.unbounded:
            raise StudyError(f"GreyhoundPruner: rule {rule!r} needs max_steps, the length of a full training.")
        self._lock = threading.RLock()
        self._study: tuple[Any, int] | None = None
        self._until: dict[int, int | None] = {}

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the trial should be given up after what it reported last."""
        with self._lock:
            if self._study != (now := identity(study)):
                self._study, self._until = now, {}
                self._mirror = Mirror(study.directions, max_steps=self._max_steps)
            history = self._mirror.update(study.get_trials(deepcopy=False))
            row = self._mirror.rows.get(trial.number)
            if row is None or not trial.intermediate_values:
                return False
            until = self._until.get(row, self._rule.until(history, None))
            record = history.trial(row)
            end = history.max_steps
            if until is None or record.step < until or (end is not None and record.step >= end):
                return False
            if not self._goes_on(history, row, until):
                return True
            self._until[row] = self._rule.until(history, history.trial(row))
            return False

    def _goes_on(self, history: History, row: int, step: int) -> bool:
        verdict = self._rule.judge(history, history.trial(row))
        if verdict is not Verdict.PAUSE:
            return verdict is Verdict.CONTINUE
        history.apply(ev.Ended(0.0, row, TrialState.PAUSED, {}, OWNER))
        chosen = self._rule.next(history)
        history.apply(ev.Resumed(0.0, row, OWNER))
        losses = history.losses_at(step)
        return chosen == Resume(row) or losses[row] <= min(loss for loss in losses if loss == loss)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None, "_study": None, "_until": {}, "_mirror": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()
