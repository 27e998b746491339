"""Ray Tune's schedulers and searchers, driven by ask and report in place of its own loop.

What its controller does for them is done here as it does it (`ray/tune/execution/tune_controller.py`): random draws are
made ahead, as many as it lets wait, a searcher's one at a time; who is not stopped tells the searcher each result, and
who ends tells both. No cluster is started.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

WAITING = 200
"""How many random configurations may wait."""


@dataclass(eq=False)
class _Trial:
    """What a scheduler of Ray Tune sees of a trial."""

    trial_id: str
    config: Mapping[str, Any]
    status: str = "PENDING"
    last_result: dict[str, Any] = field(default_factory=dict)
    is_saving: bool = False
    step: int = 0


class RayTune:
    """kind: `asha` with random draws, `asha_optuna` with Optuna's TPE, or `hyperband`, synchronous, with random draws.

    space: of each parameter `kind` (int or float), `low`, `high`, `log`. first_rung: in steps, of `asha`, whose own
    would be 1. The rest stands at its defaults.
    """

    def __init__(
        self, kind: str, space: Mapping[str, Mapping[str, Any]], max_steps: int, seed: int, first_rung: int
    ) -> None:
        from ray import tune
        from ray.tune.schedulers import AsyncHyperBandScheduler, HyperBandScheduler

        logging.getLogger("ray.tune").setLevel(logging.ERROR)
        domains = {
            ("int", True): lambda low, high: tune.lograndint(low, high + 1),
            ("int", False): lambda low, high: tune.randint(low, high + 1),
            ("float", True): tune.loguniform,
            ("float", False): tune.uniform,
        }
        self._space = {
            name: domains[each["kind"], each["log"]](each["low"], each["high"]) for name, each in space.items()
        }
        self._random = np.random.RandomState(seed)
        np.random.seed(seed)  # its ASHA draws a bracket from there
        goal = {"metric": "accuracy", "mode": "max", "max_t": max_steps}
        self._scheduler = (
            HyperBandScheduler(**goal)
            if kind == "hyperband"
            else AsyncHyperBandScheduler(**goal, grace_period=first_rung)
        )
        self._searcher = self._optuna(seed) if kind == "asha_optuna" else None
        self._max_steps = max_steps
        self._trials: list[_Trial] = []

    def _optuna(self, seed: int) -> Any:
        import optuna
        from ray.tune.search.optuna import OptunaSearch

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        return OptunaSearch(dict(self._space), metric="accuracy", mode="max", seed=seed)

    def ask(self) -> dict[str, Any]:
        waiting = sum(trial.status == "PENDING" for trial in self._trials)
        for _ in range(waiting, 1 if self._searcher else WAITING):
            self._add()
        trial = self._scheduler.choose_trial_to_run(self)
        trial.status = "RUNNING"
        return {"number": self._trials.index(trial), "params": dict(trial.config), "step": trial.step}

    def _add(self) -> None:
        name = str(len(self._trials))
        if self._searcher:
            config = self._searcher.suggest(name)
        else:
            config = {key: domain.sample(random_state=self._random) for key, domain in self._space.items()}
        trial = _Trial(name, config)
        self._trials.append(trial)
        self._scheduler.on_trial_add(self, trial)

    def report(self, number: int, step: int, accuracy: float) -> bool:
        trial = self._trials[number]
        result = {"accuracy": accuracy, "training_iteration": step, "trial_id": trial.trial_id}
        verdict = self._scheduler.on_trial_result(self, trial, result)
        trial.last_result, trial.step = result, step
        if verdict == "STOP" or step >= self._max_steps:
            self.stop_trial(trial)
            return False
        if self._searcher:
            self._searcher.on_trial_result(trial.trial_id, result)
        if verdict == "PAUSE":
            trial.status = "PAUSED"
        return bool(verdict == "CONTINUE")

    def stop_trial(self, trial: _Trial) -> None:
        """As schedulers ask for it, and as a trial ends."""
        if trial.status == "TERMINATED":
            return
        running = trial.status == "RUNNING"
        if running:
            self._scheduler.on_trial_complete(self, trial, trial.last_result)
        else:
            self._scheduler.on_trial_remove(self, trial)
        if self._searcher:
            self._searcher.on_trial_complete(trial.trial_id, trial.last_result if running else None)
        trial.status = "TERMINATED"

    def get_trials(self) -> list[_Trial]:
        return self._trials

    def get_live_trials(self) -> list[_Trial]:
        return [trial for trial in self._trials if trial.status != "TERMINATED"]
