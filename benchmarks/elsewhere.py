"""Tuners that stop early, run by a Python of their own, since their pins conflict: lines of JSON in, lines out.

Run by `early_stopping.py --elsewhere`, not by hand. Needs of that Python only the tuner's package. Lines in, each with
an answer:

- {"do": "start", "tuner": …, "space": {name: {"kind": "int" or "float", "low", "high", "log"}}, "max_steps", "seed"}
- {"do": "ask"}: {"number", "params", "step"}: train this one, which has trained `step` steps; {} to wait
- {"do": "report", "number", "step", "accuracy"}: {"on": whether it trains on}

Answers tell the CPU seconds that they took too. Each tuner is at its defaults, but for the first rung where it has
none of its own: max_steps / 27, so that there are three below the end, as in Greyhound.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import tempfile
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime
from types import SimpleNamespace
from typing import Any

Space = Mapping[str, Mapping[str, Any]]
RUNGS = 27


class Jobs(ABC):
    """For tuners that ask for a configuration trained so far: one that was trained before goes on where it was."""

    def __init__(self, max_steps: int) -> None:
        self._max_steps = max_steps
        self._numbers: dict[str, int] = {}
        self._curves: dict[int, list[float]] = {}
        self._open: dict[int, tuple[int, Any]] = {}

    @abstractmethod
    def job(self) -> tuple[dict[str, Any], float, Any]:
        """Configuration, steps, and what `done` is given back."""

    @abstractmethod
    def done(self, job: Any, accuracy: float, steps: int) -> None:
        """The accuracy after so many steps."""

    def ask(self) -> dict[str, Any]:
        while True:
            params, steps, job = self.job()
            until = min(self._max_steps, max(1, round(steps)))
            number = self._numbers.setdefault(json.dumps(params, sort_keys=True), len(self._numbers))
            curve = self._curves.setdefault(number, [])
            if len(curve) < until:
                break
            self.done(job, curve[until - 1], until)  # known already
        self._open[number] = until, job
        return {"number": number, "params": params, "step": len(curve)}

    def report(self, number: int, step: int, accuracy: float) -> bool:
        self._curves[number].append(accuracy)
        until, job = self._open[number]
        if step < until:
            return True
        self.done(job, accuracy, until)
        return False


def config_space(space: Space, seed: int) -> Any:
    from ConfigSpace import ConfigurationSpace, UniformFloatHyperparameter, UniformIntegerHyperparameter

    kinds = {"int": UniformIntegerHyperparameter, "float": UniformFloatHyperparameter}
    parameters = {
        name: kinds[each["kind"]](name, each["low"], each["high"], log=each["log"]) for name, each in space.items()
    }
    return ConfigurationSpace(space=parameters, seed=seed)


def plain(config: Mapping[str, Any], space: Space) -> dict[str, Any]:
    return {name: int(config[name]) if each["kind"] == "int" else float(config[name]) for name, each in space.items()}


class DEHB(Jobs):
    """Differential evolution with Hyperband's brackets."""

    def __init__(self, space: Space, max_steps: int, seed: int) -> None:
        import dehb

        super().__init__(max_steps)
        self._space = space
        self._tuner = dehb.DEHB(
            f=None, cs=config_space(space, seed), min_fidelity=max_steps / RUNGS, max_fidelity=max_steps, n_workers=1,
            seed=seed, output_path=tempfile.mkdtemp(), save_freq=None, log_level="ERROR",
        )  # fmt: skip

    def job(self) -> tuple[dict[str, Any], float, Any]:
        job = self._tuner.ask()
        return plain(job["config"], self._space), job["fidelity"], job

    def done(self, job: Any, accuracy: float, steps: int) -> None:
        self._tuner.tell(job, {"fitness": -accuracy, "cost": steps})


class SMAC(Jobs):
    """SMAC3's multi-fidelity facade, after ten random configurations instead of seventy: the budget is small."""

    def __init__(self, space: Space, max_steps: int, seed: int) -> None:
        from smac import MultiFidelityFacade, Scenario

        super().__init__(max_steps)
        self._space = space
        scenario = Scenario(
            config_space(space, seed), deterministic=True, n_trials=10_000, min_budget=max_steps / RUNGS,
            max_budget=max_steps, seed=seed, output_directory=tempfile.mkdtemp(),
        )  # fmt: skip
        design = MultiFidelityFacade.get_initial_design(scenario, n_configs=10)
        self._tuner = MultiFidelityFacade(
            scenario, lambda config, seed=0, budget=0: 0.0, initial_design=design, overwrite=True, logging_level=False
        )

    def job(self) -> tuple[dict[str, Any], float, Any]:
        job = self._tuner.ask()
        return plain(job.config, self._space), job.budget, job

    def done(self, job: Any, accuracy: float, steps: int) -> None:
        from smac.runhistory.dataclasses import TrialValue

        self._tuner.tell(job, TrialValue(cost=1 - accuracy, time=steps))


class HpBandSter(Jobs):
    """BOHB by its authors. Its own loop waits for workers on a network, so its brackets are asked here instead."""

    def __init__(self, space: Space, max_steps: int, seed: int) -> None:
        import numpy as np
        from hpbandster.core.dispatcher import Job
        from hpbandster.optimizers.bohb import BOHB
        from hpbandster.optimizers.config_generators import bohb

        super().__init__(max_steps)
        np.random.seed(seed)
        self._space, self._job = space, Job
        self._densities = bohb.BOHB(config_space(space, seed))
        budgets = max_steps / 3.0 ** np.arange(3, -1, -1)
        made = SimpleNamespace(max_SH_iter=len(budgets), eta=3, budgets=budgets, config_generator=self._densities)
        self._bracket = functools.partial(BOHB.get_next_iteration, made)
        self._brackets: list[Any] = []

    def job(self) -> tuple[dict[str, Any], float, Any]:
        due = next((run for bracket in self._brackets if (run := bracket.get_next_run()) is not None), None)
        if due is None:
            self._brackets.append(self._bracket(len(self._brackets)))
            due = self._brackets[-1].get_next_run()
        number, config, steps = due
        return plain(config, self._space), steps, self._job(number, config=config, budget=steps)

    def done(self, job: Any, accuracy: float, steps: int) -> None:
        job.result = {"loss": 1 - accuracy, "info": None}
        self._brackets[job.id[0]].register_result(job)
        self._densities.new_result(job)


class NePS(Jobs):
    """PriorBand, without a prior."""

    def __init__(self, space: Space, max_steps: int, seed: int) -> None:
        import random

        import neps
        import numpy as np
        import torch

        super().__init__(max_steps)
        for fix in (random.seed, np.random.seed, torch.manual_seed):
            fix(seed)
        torch.set_num_threads(1)
        parameters = {
            name: (neps.Integer if each["kind"] == "int" else neps.Float)(each["low"], each["high"], log=each["log"])
            for name, each in space.items()
        }
        fidelity = neps.IntegerFidelity(max(1, max_steps // RUNGS), max_steps)
        made = type("Made", (neps.PipelineSpace,), {**parameters, "epoch": fidelity})
        self._space, self._tuner = space, neps.AskAndTell(neps.algorithms.priorband(made()))

    def job(self) -> tuple[dict[str, Any], float, Any]:
        trial = self._tuner.ask()
        return plain(trial.config, self._space), trial.config["epoch"], trial.metadata.id

    def done(self, job: Any, accuracy: float, steps: int) -> None:
        self._tuner.tell(job, 1 - accuracy)


class SyneTune:
    """Its ask and report are the study's; trials stop and are not taken up again."""

    def __init__(self, kind: str, space: Space, max_steps: int, seed: int) -> None:
        import numpy as np
        from syne_tune import config_space as cs
        from syne_tune.optimizer import baselines
        from syne_tune.optimizer.schedulers.median_stopping_rule import MedianStoppingRule

        np.random.seed(seed)
        made = {
            name: getattr(cs, ("logrand" if each["log"] else "rand") + "int")(each["low"], each["high"])
            if each["kind"] == "int"
            else getattr(cs, "loguniform" if each["log"] else "uniform")(each["low"], each["high"])
            for name, each in space.items()
        }
        common = {"do_minimize": False, "random_seed": seed}
        if kind == "median":
            inner = baselines.RandomSearch(made, metrics=["accuracy"], **common)
            self._tuner = MedianStoppingRule(inner, time_attr="epoch", metric="accuracy", **common)
        else:
            grace = {"grace_period": max(1, round(max_steps / RUNGS))}
            kinds = {"asha": baselines.ASHA, "bohb": baselines.BOHB}
            self._tuner = kinds[kind](made, "accuracy", time_attr="epoch", max_t=max_steps, **grace, **common)
        self._max_steps, self._space = max_steps, space
        self._trials: list[Any] = []

    def ask(self) -> dict[str, Any]:
        from syne_tune.backend.trial_status import Trial

        config = self._tuner.suggest().config
        self._trials.append(Trial(len(self._trials), config, datetime.now()))
        self._tuner.on_trial_add(self._trials[-1])
        return {"number": len(self._trials) - 1, "params": plain(config, self._space), "step": 0}

    def report(self, number: int, step: int, accuracy: float) -> bool:
        result = {"accuracy": accuracy, "epoch": step}
        if step < self._max_steps:
            return bool(self._tuner.on_trial_result(self._trials[number], result) == "CONTINUE")
        self._tuner.on_trial_complete(self._trials[number], result)
        return False


def make(tuner: str, space: Space, max_steps: int, seed: int) -> Any:
    package, _, kind = tuner.partition("_")
    if package == "syne":
        return SyneTune(kind, space, max_steps, seed)
    if package == "ray":
        from raytune import RayTune

        return RayTune(kind, space, max_steps, seed, max(1, round(max_steps / RUNGS)))
    return {"dehb": DEHB, "hpbandster": HpBandSter, "neps": NePS, "smac": SMAC}[package](space, max_steps, seed)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what packages print goes elsewhere
    warnings.simplefilter("ignore")
    tuner: Any = None
    for line in sys.stdin:
        asked = json.loads(line)
        begin = time.process_time()
        what = asked.pop("do")
        if what == "start":
            tuner, answer = make(**asked), {}
        elif what == "ask":
            answer = tuner.ask()
        else:
            answer = {"on": tuner.report(**asked)}
        answers.write(json.dumps({**answer, "cpu_s": time.process_time() - begin}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
