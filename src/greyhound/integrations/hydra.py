"""Hydra: the sweeps of a multirun become a space, and each job a trial in a worker process.

    python app.py -m hydra/sweeper=greyhound hydra.sweeper.maximize=accuracy hydra.sweeper.budget="50 trials" \\
        'lr=tag(log, interval(1e-4, 1e-1))' 'optimizer=choice(sgd, adamw)'

A worker that is free gets the next job at once. A job that calls `greyhound.report(step, accuracy=...)` can be stopped
early or paused; with `greyhound.integrations.hydra.current_trial().checkpoint(...)` it goes on from where it was.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greyhound import display
from greyhound._lazy import require
from greyhound.errors import EvaluationError, SpaceError
from greyhound.evaluators.live import LiveTrial
from greyhound.evaluators.reporting import current_trial as current_trial
from greyhound.space import Categorical, Float, Int, Ordinal, Parameter, Space, parameter_from_dict
from greyhound.tuning import tune

if TYPE_CHECKING:
    from greyhound.study import Study

_PLAIN = re.compile(r"[A-Za-z_/][\w./-]*")
_WORDS = ("true", "false", "null", "nan", "inf", "on", "off", "yes", "no")


def sweep(
    hydra_context: Any, task_function: Any, config: Any, arguments: Sequence[str], options: Mapping[str, Any]
) -> Study:
    """Run a sweep; its study. arguments: overrides, sweeps among them. options: those of `tune`.

    The study is kept in greyhound.db in the sweep's folder, unless storage is given; results go to
    optimization_results.yaml there. EvaluationError where there is nothing to sweep, or every job failed; SpaceError
    where a sweep makes no parameter; a warning where a launcher was chosen, which is not used.
    """
    omegaconf = require("omegaconf", "hydra")
    parser = require("hydra.core.override_parser.overrides_parser", "hydra").OverridesParser
    overrides = parser.create(config_loader=hydra_context.config_loader).parse_overrides(list(arguments))
    last = {each.get_key_element().lstrip("+~"): each for each in overrides}  # what is written later holds
    swept = {name: each for name, each in last.items() if each.is_sweep_override()}
    if not swept:
        raise EvaluationError("there is nothing to sweep: write for example 'lr=tag(log, interval(1e-4, 1e-1))'.")
    _check_launcher(config)
    fixed = [each.input_line for each in overrides if not each.is_sweep_override()]
    space = Space({name: parameter(each, _usual(config, name)) for name, each in swept.items()})
    folder = Path(str(config.hydra.sweep.dir))  # read here, so that a time in it is the same in all workers
    folder.mkdir(parents=True, exist_ok=True)
    omegaconf.OmegaConf.save(config, folder / "multirun.yaml")
    state = require("hydra.core.singleton", "hydra").Singleton.get_state()
    keys = {name: each.get_key_element() for name, each in swept.items()}
    task = _Task(hydra_context, task_function, config, tuple(fixed), keys, state)
    known = {name: _plain(value) for name, value in options.items() if value is not None}
    place = f"hydra.sweep.dir={written(str(config.hydra.sweep.dir))}"  # by default a new one each time
    token = display.AGAIN.set(() if "storage" in known or place in sys.argv else (place,))
    try:
        study = tune(task, space, **{"storage": folder / "greyhound.db", **known})
    finally:
        display.AGAIN.reset(token)
    omegaconf.OmegaConf.save(omegaconf.OmegaConf.create(_results(study)), folder / "optimization_results.yaml")
    errors = [trial.error.strip().splitlines()[-1] for trial in study.trials if trial.state.failed and trial.error]
    if errors and len(errors) == len(study.trials):
        raise EvaluationError(f"every job failed; the last error: {errors[-1]}")
    return study


@dataclass(frozen=True)
class _Task:
    """The training function: composes the trial's configuration and runs the application's function with it."""

    hydra_context: Any
    task_function: Any
    config: Any
    fixed: tuple[str, ...]
    keys: Mapping[str, str]
    state: Any

    def __call__(self, trial: LiveTrial) -> Any:
        from hydra.core.singleton import Singleton
        from hydra.core.utils import run_job, setup_globals
        from omegaconf import open_dict

        setup_globals()
        Singleton.set_state(self.state)
        chosen = [f"{self.keys[name]}={written(value)}" for name, value in trial.params.items()]
        config = self.hydra_context.config_loader.load_sweep_config(self.config, [*self.fixed, *chosen])
        with open_dict(config):
            config.hydra.job.id = str(trial.number)
            config.hydra.job.num = trial.number
        ended = run_job(
            task_function=self.task_function,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
            hydra_context=self.hydra_context,
        )
        return ended.return_value  # raises what the application raised


def parameter(override: Any, usual: Any = None) -> Parameter:
    """The parameter that a sweep stands for; its default is `usual`, the application's own value, if it has that.

    choice(...) is a Categorical, or an Ordinal by tag(ordinal, choice(...)); interval(a, b) a Float, and
    int(interval(a, b)) an Int, by magnitude with tag(log, ...); range(a, b, step) its values. SpaceError otherwise.
    """
    try:
        made = _parameter(override)
    except SpaceError as error:
        raise SpaceError(f"{override.key_or_group}: {error}") from None
    if usual is None or not made.contains(usual):
        return made
    return parameter_from_dict(override.key_or_group, {**made.to_dict(), "default": usual})


def _parameter(override: Any) -> Parameter:
    sweep = override.value()
    tags = getattr(sweep, "tags", ())
    if override.is_choice_sweep():
        values = [_plain(value) for value in override.sweep_iterator()]
        return Ordinal(values) if "ordinal" in tags else Categorical(values)
    if override.is_interval_sweep():
        whole = isinstance(sweep.start, int) and isinstance(sweep.end, int)
        return (Int if whole else Float)(sweep.start, sweep.end, log="log" in tags)
    if override.is_range_sweep():
        return Ordinal(list(sweep.range()))
    raise SpaceError("a sweep is written choice(...), interval(...) or range(...).")


def written(value: Any) -> str:
    """A value as an override has it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return f"[{','.join(written(each) for each in value)}]"
    if not isinstance(value, str) or (_PLAIN.fullmatch(value) and value.lower() not in _WORDS):
        return str(value)
    types = require("hydra.core.override_parser.types", "hydra")
    return str(types.QuotedString(value, types.Quote.single).with_quotes())


def _check_launcher(config: Any) -> None:
    """Say so where a launcher was chosen: jobs that pause, and begin as others end, cannot go to one in batches."""
    chosen = config.hydra.runtime.choices.get("hydra/launcher", "basic")
    if chosen not in ("basic", None):
        warnings.warn(
            f"hydra/launcher={chosen} is not used: this sweeper runs jobs in worker processes of its own; "
            f"how many, and on what, say hydra.sweeper.workers, gpus_per_trial and cores_per_trial.",
            stacklevel=2,
        )


def _usual(config: Any, name: str) -> Any:
    """The application's own value of a key, or its choice from a group."""
    from omegaconf import OmegaConf

    choices = config.hydra.runtime.choices
    return choices[name] if name in choices else _plain(OmegaConf.select(config, name, default=None))


def _plain(value: Any) -> Any:
    """A value of OmegaConf or of an override as one of Python."""
    if hasattr(value, "text"):  # a QuotedString
        return value.text
    if isinstance(value, str | int | float) or value is None:
        return value
    from omegaconf import OmegaConf

    plain = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    return tuple(_plain(each) for each in plain) if isinstance(plain, list) else plain


def _results(study: Study) -> dict[str, Any]:
    objectives = [objective.metric for objective in study.history.objectives]
    found: list[dict[str, Any]] = [
        {
            "number": trial.number,
            "params": {name: _listed(value) for name, value in trial.params.items()},
            "values": {name: trial.metrics[name] for name in objectives},
        }
        for trial in study.front
    ]
    if len(objectives) > 1 or not found:
        return {"name": "greyhound", "solutions": found}
    return {"name": "greyhound", "best_params": found[0]["params"], "best_value": found[0]["values"][objectives[0]]}


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
