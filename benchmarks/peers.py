"""Other tuners at their defaults, driven by ask and tell where they have it.

Each takes a task, a seed and a budget and returns the losses in order and the CPU seconds spent outside of the task.
Parameters with a condition are given as each tuner has it: asked for where they exist (Optuna), nested in the choice
that they hang on (Hyperopt), under conditions of the space (SMAC3), else always. Ordinals are given as whole numbers
from 0, as these tuners' users do it; log ranges as log ranges.
"""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import tasks
from greyhound.kinds import Bool, Categorical, Float, Int, Ordinal

Run = Callable[[tasks.Task, int, int], tuple[list[float], float]]


@dataclass(frozen=True)
class Peer:
    """module: what has to be installed."""

    module: str
    run: Run


class Meter:
    """CPU time outside of the task's own look-ups."""

    def __init__(self, task: tasks.Task) -> None:
        self._task = task
        self.losses: list[float] = []
        self._begin = time.process_time()
        self._outside = 0.0

    def __call__(self, params: dict[str, Any]) -> float:
        begin = time.process_time()
        loss = self._task.loss(self._plain(params))
        self.losses.append(loss)
        self._outside += time.process_time() - begin
        return loss

    def done(self) -> tuple[list[float], float]:
        """Losses in order, CPU seconds of the tuner."""
        return self.losses, time.process_time() - self._begin - self._outside

    def _plain(self, params: dict[str, Any]) -> dict[str, Any]:
        def value(name: str, parameter: Any) -> Any:
            if isinstance(parameter, Ordinal):
                return parameter.choices[int(params[name])]
            if isinstance(parameter, Int):
                return int(params[name])
            if isinstance(parameter, Float):
                return float(np.clip(params[name], parameter.low, parameter.high))
            return params[name]

        return task_params(self._task, value)


def with_optuna(make: Callable[[Any, int], Any]) -> Run:
    def run(task: tasks.Task, seed: int, budget: int) -> tuple[list[float], float]:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.simplefilter("ignore")

        def objective(trial: optuna.Trial) -> float:
            return meter(task_params(task, lambda name, parameter: _optuna(trial, name, parameter)))

        meter = Meter(task)
        study = optuna.create_study(sampler=make(optuna.samplers, seed))
        study.optimize(objective, n_trials=budget)
        return meter.done()

    return run


def task_params(task: tasks.Task, suggest: Callable[[str, Any], Any]) -> dict[str, Any]:
    """Parameters asked for one by one, those alone that exist."""
    params: dict[str, Any] = {}
    for name, parameter in task.space.parameters.items():
        when = parameter.when or {}
        if all(parent in params and params[parent] in values for parent, values in when.items()):
            params[name] = suggest(name, parameter)
    return params


def _optuna(trial: Any, name: str, parameter: Any) -> Any:
    if isinstance(parameter, Categorical | Bool):
        return trial.suggest_categorical(name, list(parameter.choices))
    if isinstance(parameter, Ordinal):
        return trial.suggest_int(name, 0, len(parameter.choices) - 1)
    if isinstance(parameter, Int):
        return trial.suggest_int(name, parameter.low, parameter.high, log=parameter.log)
    return trial.suggest_float(name, parameter.low, parameter.high, log=parameter.log)


def hyperopt_tpe(task: tasks.Task, seed: int, budget: int) -> tuple[list[float], float]:
    import hyperopt
    from hyperopt import hp

    def dimension(name: str, parameter: Any) -> Any:
        if isinstance(parameter, Categorical | Bool):
            return hp.choice(name, list(parameter.choices))
        if isinstance(parameter, Ordinal):
            return hp.quniform(name, 0, len(parameter.choices) - 1, 1)
        low, high = parameter.low, parameter.high
        if isinstance(parameter, Int):
            return (
                hp.qloguniform(name, np.log(low), np.log(high), 1) if parameter.log else hp.quniform(name, low, high, 1)
            )
        return hp.loguniform(name, np.log(low), np.log(high)) if parameter.log else hp.uniform(name, low, high)

    def inside(name: str, value: Any) -> dict[str, Any]:
        each = task.space.parameters.items()
        return {child: node(child) for child, parameter in each if value in (parameter.when or {}).get(name, ())}

    @functools.cache
    def node(name: str) -> Any:
        parameter = task.space[name]
        if not any(name in (each.when or {}) for each in task.space.parameters.values()):
            return dimension(name, parameter)
        return hp.choice(name, [{name: value, **inside(name, value)} for value in parameter.choices])

    meter = Meter(task)
    space = {name: node(name) for name, parameter in task.space.parameters.items() if not parameter.when}
    hyperopt.fmin(lambda tree: meter(_flat(tree)), space, algo=hyperopt.tpe.suggest, max_evals=budget,
                  rstate=np.random.default_rng(seed), show_progressbar=False, verbose=False)  # fmt: skip
    return meter.done()


def _flat(tree: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a choice that others are nested in, side by side with these."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= _flat(value) if isinstance(value, dict) else {name: value}
    return found


def smac3(task: tasks.Task, seed: int, budget: int) -> tuple[list[float], float]:
    import logging
    import tempfile

    from ConfigSpace import AndConjunction, ConfigurationSpace, InCondition
    from ConfigSpace import hyperparameters as hp
    from smac import HyperparameterOptimizationFacade, Scenario

    def dimension(name: str, parameter: Any) -> Any:
        if isinstance(parameter, Categorical | Bool):
            return hp.CategoricalHyperparameter(name, list(parameter.choices))
        if isinstance(parameter, Ordinal):
            return hp.UniformIntegerHyperparameter(name, 0, len(parameter.choices) - 1)
        kind = hp.UniformIntegerHyperparameter if isinstance(parameter, Int) else hp.UniformFloatHyperparameter
        return kind(name, parameter.low, parameter.high, log=parameter.log)

    logging.disable(logging.CRITICAL)
    space = ConfigurationSpace(seed=seed)
    for name, parameter in task.space.parameters.items():
        space.add(dimension(name, parameter))
    for name, parameter in task.space.parameters.items():
        when = (parameter.when or {}).items()
        conditions = [InCondition(space[name], space[parent], list(values)) for parent, values in when]
        if conditions:
            space.add(AndConjunction(*conditions) if len(conditions) > 1 else conditions[0])
    meter = Meter(task)
    with tempfile.TemporaryDirectory() as folder:
        scenario = Scenario(space, deterministic=True, n_trials=budget, seed=seed, output_directory=folder)
        facade = HyperparameterOptimizationFacade(
            scenario, lambda config, seed=0: meter(dict(config)), overwrite=True, logging_level=False
        )
        facade.optimize()
    return meter.done()


def nevergrad_ngopt(task: tasks.Task, seed: int, budget: int) -> tuple[list[float], float]:
    import nevergrad as ng

    warnings.simplefilter("ignore")

    def dimension(parameter: Any) -> Any:
        if isinstance(parameter, Categorical | Bool):
            return ng.p.Choice(list(parameter.choices))
        if isinstance(parameter, Ordinal):
            return ng.p.Scalar(lower=0, upper=len(parameter.choices) - 1).set_integer_casting()
        scalar = (ng.p.Log if parameter.log else ng.p.Scalar)(lower=parameter.low, upper=parameter.high)
        return scalar.set_integer_casting() if isinstance(parameter, Int) else scalar

    meter = Meter(task)
    space = ng.p.Dict(**{name: dimension(parameter) for name, parameter in task.space.parameters.items()})
    space.random_state.seed(seed)
    optimizer = ng.optimizers.NGOpt(parametrization=space, budget=budget)
    for _ in range(budget):
        asked = optimizer.ask()
        optimizer.tell(asked, meter(asked.value))
    return meter.done()


def skopt_gp(task: tasks.Task, seed: int, budget: int) -> tuple[list[float], float]:
    import skopt
    from skopt import space as sk

    warnings.simplefilter("ignore")

    def dimension(parameter: Any) -> Any:
        if isinstance(parameter, Categorical | Bool):
            return sk.Categorical(list(parameter.choices))
        if isinstance(parameter, Ordinal):
            return sk.Integer(0, len(parameter.choices) - 1)
        kind = sk.Integer if isinstance(parameter, Int) else sk.Real
        return kind(parameter.low, parameter.high, prior="log-uniform" if parameter.log else "uniform")

    meter = Meter(task)
    names = list(task.space)
    optimizer = skopt.Optimizer(
        [dimension(parameter) for parameter in task.space.parameters.values()], random_state=seed
    )
    for _ in range(budget):
        point = optimizer.ask()
        optimizer.tell(point, meter(dict(zip(names, point, strict=True))))
    return meter.done()


def ax(task: tasks.Task, seed: int, budget: int) -> tuple[list[float], float]:
    import logging

    import torch
    from ax import ChoiceParameterConfig, Client, RangeParameterConfig

    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)

    def dimension(name: str, parameter: Any) -> Any:
        if isinstance(parameter, Categorical | Bool):
            choices = list(parameter.choices)
            return ChoiceParameterConfig(name, choices, type(choices[0]).__name__)
        if isinstance(parameter, Ordinal):
            return RangeParameterConfig(name, (0, len(parameter.choices) - 1), "int")
        kind = "int" if isinstance(parameter, Int) else "float"
        return RangeParameterConfig(
            name, (parameter.low, parameter.high), kind, scaling="log" if parameter.log else None
        )

    meter = Meter(task)
    client = Client(random_seed=seed)
    client.configure_experiment([dimension(name, parameter) for name, parameter in task.space.parameters.items()])
    client.configure_optimization("-loss")
    for _ in range(budget):
        ((index, params),) = client.get_next_trials(max_trials=1).items()
        client.complete_trial(index, {"loss": meter(dict(params))})
    return meter.done()


PEERS: dict[str, Peer] = {
    "optuna_tpe": Peer("optuna", with_optuna(lambda samplers, seed: samplers.TPESampler(seed=seed))),
    "optuna_gp": Peer("optuna", with_optuna(lambda samplers, seed: samplers.GPSampler(seed=seed))),
    "smac3": Peer("smac", smac3),
    "hyperopt_tpe": Peer("hyperopt", hyperopt_tpe),
    "nevergrad": Peer("nevergrad", nevergrad_ngopt),
    "skopt_gp": Peer("skopt", skopt_gp),
    "ax": Peer("ax", ax),
}
