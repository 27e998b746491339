"""PyTorch Lightning: trials that its Trainer trains.

    def train(trial):
        callback = GreyhoundCallback(trial, monitor="val_acc")
        trainer = Trainer(max_epochs=trial.max_steps, callbacks=[callback])
        trainer.fit(Classifier(**trial.params), Digits(), ckpt_path=callback.ckpt_path)

A step is an epoch. What is kept is Lightning's own checkpoint, and what is logged is what is reported.
"""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greyhound._lazy import require
from greyhound.errors import EvaluationError
from greyhound.evaluators import checkpoint
from greyhound.evaluators.inheritance import keeping_options, note_rates
from greyhound.evaluators.live import LiveTrial
from greyhound.evaluators.reporting import report
from greyhound.space import Float, Int, Ordinal, Space
from greyhound.tuning import tune

if TYPE_CHECKING:
    from greyhound.study import Study

# Projects are written for either package; a callback has to be of the one whose Trainer runs it.
_OLD_NAME = "pytorch_lightning"
pl = require(
    _OLD_NAME if _OLD_NAME in sys.modules and "lightning" not in sys.modules else "lightning.pytorch", "lightning"
)

CHECKPOINT = "lightning.ckpt"
_QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
_OURS = {
    "max_epochs": "the study's max_steps= is the number of epochs",
    "callbacks": "callbacks are given as trainer={'callbacks': [...]}",
}
"""Arguments of Trainer that are no parameters, and why."""


class GreyhoundCallback(pl.callbacks.Checkpoint):  # type: ignore[misc, name-defined]
    """Reports what is logged after each epoch (after each validation, where there is one), and leaves when told to.

    trial: the trial; None in a script that `greyhound run` runs. monitor: the logged metric that is the
    study's objective, or one for each objective; None where the objectives have the metrics' own names.
    Everything else that is logged is reported too. EvaluationError where a monitored metric is not logged.

    ckpt_path: what to give to `Trainer.fit`: the checkpoint to go on from, None at the start.
    """

    def __init__(self, trial: LiveTrial | None = None, monitor: str | Sequence[str] | None = None) -> None:
        super().__init__()
        self.trial = trial
        self.monitor = [monitor] if isinstance(monitor, str) else list(monitor or ())
        self.ckpt_path: Path | None = None
        self._trainer: Any = None
        self._validated = False
        self._resumed = False
        self._stopping = False
        self._found: dict[str, Any] = {}
        self._metrics: dict[str, Any] = {}
        self._adopted = False
        self._keep_options: Callable[[], None] | None = None
        self._random: Mapping[str, Any] | None = None
        if trial is not None:
            if self.monitor and len(self.monitor) != len(trial.job.objectives):
                raise EvaluationError(
                    f"GreyhoundCallback: monitor names {len(self.monitor)} metrics for the study's "
                    f"{len(trial.job.objectives)} objectives ({', '.join(trial.job.objectives)}); name one for each."
                )
            trial.checkpoint(lightning=self)
            self._random = checkpoint.random_states()

    # What trial.checkpoint keeps

    def save_to(self, folder: Path) -> None:
        """Lightning's checkpoint, into the folder."""
        self._trainer.save_checkpoint(folder / CHECKPOINT)

    def load_from(self, folder: Path) -> None:
        """Take note of where it is; Trainer.fit loads it."""
        self.ckpt_path = folder / CHECKPOINT
        self._resumed = True
        self._adopted = self.trial is not None and self.trial.job.parent in folder.parents

    # What Lightning keeps in its own checkpoint

    def state_dict(self) -> dict[str, Any]:
        """What Lightning forgets: that the training is to stop after this epoch, what finders found, and metrics."""
        kept = {
            "should_stop": self._trainer.should_stop,
            "found": {**self._found, **_what_finders_set(self._trainer)},
            "metrics": {name: _metric_state(metric) for name, metric in _lasting_metrics(self._trainer)},
        }
        return {name: value for name, value in kept.items() if value}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take note of it; it is set when the training starts."""
        self._stopping = state_dict.get("should_stop", False)
        self._found = state_dict.get("found", {})
        self._metrics = state_dict.get("metrics", {})

    # Lightning's hooks

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Remember the trainer and go last in it, so that a pause loses nothing of what others do after an epoch.

        EvaluationError where it has more processes than the trial.
        """
        self._trainer = trainer
        others = [each for each in trainer.callbacks if each is not self]
        if self._resumed:  # found in the run before; Lightning would look again, and forget where the training was
            others = [each for each in others if not _looks_at_the_start(each)]
        trainer.callbacks = [*others, self]
        if isinstance(trainer.precision_plugin, pl.plugins.DoublePrecision):
            pl_module.double()  # before Lightning loads what it otherwise loads in single precision
        if self.trial is not None:
            _check_ranks(trainer, self.trial)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Note the options that optimisers were made with, before Lightning loads those of another trial.

        What the run before found, learning rates and batch sizes, is set again; data are loaded afterwards.
        """
        for name, value in self._found.items() if self._resumed else ():
            pl.utilities.parsing.lightning_setattr(pl_module, name, value)
        note_rates(trainer.optimizers)
        if self._adopted:
            schedules = [config.scheduler for config in trainer.lr_scheduler_configs]
            made = enumerate([*trainer.optimizers, *schedules])
            self._keep_options = keeping_options({str(at): each for at, each in made})

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Stop, or step the schedulers that wait for a metric: Lightning does so after the epoch's checkpoint."""
        trainer.should_stop = trainer.should_stop or self._stopping
        if not self._resumed or self.trial is None:
            return
        if self._keep_options is not None:
            self._keep_options()
        loop = trainer.fit_loop
        if getattr(loop, "restarted_on_epoch_end", False):  # where the Trainer has max_steps: it would end it once more
            loop.epoch_progress.increment_completed()
            loop.reset_restart_stage()
            loop._restarting = loop.epoch_loop.restarting = False
        for config in trainer.lr_scheduler_configs:
            value = self.trial.last_metrics.get(config.monitor) if config.reduce_on_plateau else None
            if value is not None and config.interval == "epoch" and trainer.current_epoch % config.frequency == 0:
                config.scheduler.step(value)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Go on with the random numbers and metrics of the run before, which making the model has changed since."""
        if self._resumed and self._random is not None:
            for name, metric in pl_module.named_modules():
                if name in self._metrics:
                    _restore_metric(metric, self._metrics[name])
            checkpoint.restore_random_states(self._random)
            self._random = None
            if (fetcher := getattr(trainer.fit_loop, "_data_fetcher", None)) is not None:
                again = trainer.reload_dataloaders_every_n_epochs == 1
                for _ in range(2 if again else 1):  # Lightning shuffled this epoch's data before it came here
                    iter(fetcher)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """There is something new to report."""
        self._validated = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Report; leaves the fit by TrialPaused or TrialStopped where told to."""
        if trainer.enable_validation and not self._validated:
            return
        self._validated = False
        logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self._check(logged)
        if self.trial is None:
            report(trainer.current_epoch + 1, **logged)
        else:
            wanted = dict(zip(self.trial.job.objectives, self.monitor, strict=False))
            self.trial.report_metrics(
                trainer.current_epoch + 1, {**logged, **{name: logged[metric] for name, metric in wanted.items()}}
            )

    def _check(self, logged: Mapping[str, float]) -> None:
        monitored = self.monitor or (self.trial.job.objectives if self.trial is not None else ())
        for metric in monitored:
            if metric not in logged:
                raise EvaluationError(
                    f"GreyhoundCallback: {metric!r} is not logged after an epoch; what is: "
                    f"{', '.join(sorted(logged)) or 'nothing'}. Log it with self.log({metric!r}, ...), or "
                    f"monitor one of these."
                )


_FINDERS = (pl.callbacks.LearningRateFinder, pl.callbacks.BatchSizeFinder)


def _looks_at_the_start(callback: Any) -> bool:
    """Whether it is one of Lightning's finders, but none of a class of its own that looks at other times."""
    return any(isinstance(callback, each) and type(callback).on_fit_start is each.on_fit_start for each in _FINDERS)


def _what_finders_set(trainer: Any) -> dict[str, Any]:
    """The attributes of module and data that Lightning's finders have set, by name."""
    names = []
    for each in trainer.callbacks:
        if isinstance(each, pl.callbacks.BatchSizeFinder):
            names.append(each._batch_arg_name)
        elif isinstance(each, pl.callbacks.LearningRateFinder) and each.optimal_lr is not None:
            names += [each._attr_name] if each._attr_name else ["lr", "learning_rate"]
    has, get = pl.utilities.parsing.lightning_hasattr, pl.utilities.parsing.lightning_getattr
    return {name: get(trainer.lightning_module, name) for name in names if has(trainer.lightning_module, name)}


def _check_ranks(trainer: Any, trial: LiveTrial) -> None:
    """EvaluationError where a Trainer has more processes than the trial."""
    ranks = getattr(trial, "ranks", 1)
    if trainer.world_size != ranks:
        raise EvaluationError(
            f"the Trainer has {trainer.world_size} processes and the trial {ranks}: give Trainer devices={ranks}, "
            f"or tune greyhound.integrations.torch.distributed(train, processes={trainer.world_size})."
        )


def _lasting_metrics(trainer: Any) -> Iterable[tuple[str, Any]]:
    """The module's metrics of torchmetrics, by name; of those that are logged as such Lightning makes an end itself."""
    metric: Any = require("torchmetrics", "lightning").Metric
    logged = {id(getattr(each, "value", None)) for each in (trainer._results or {}).values()}
    modules = trainer.lightning_module.named_modules()
    return ((name, each) for name, each in modules if isinstance(each, metric) and id(each) not in logged)


def _metric_state(metric: Any) -> dict[str, Any]:
    return {"updates": metric.update_count, "state": metric.metric_state}


def _restore_metric(metric: Any, kept: Mapping[str, Any]) -> None:
    metric.reset()
    for name, value in kept["state"].items():
        there = [each.to(metric.device) for each in value] if isinstance(value, list) else value.to(metric.device)
        setattr(metric, name, there)
    metric._update_count = kept["updates"]


def checkpoint_file(trial: Any) -> Path | None:
    """Lightning's checkpoint of a trial such as `study.best`, for `load_from_checkpoint`; None where none is kept."""
    return None if trial.checkpoint is None else _existing(checkpoint.files(trial.checkpoint.parent, "lightning"))


def _existing(folder: Path | None) -> Path | None:
    return None if folder is None else folder / CHECKPOINT


def tune_lightning(
    module: Callable[..., Any],
    datamodule: Any,
    space: Space | Mapping[str, Any],
    *,
    max_steps: int,
    monitor: str | Sequence[str] | None = None,
    trainer: Mapping[str, Any] | None = None,
    **options: Any,
) -> Study:
    """Tune a LightningModule as it is; the study.

    module: its class, or a function that makes one. datamodule: the class of a LightningDataModule, or one
    ready made, or anything else that `Trainer.fit` loads from; None where the module has its own loaders.
    space: a parameter goes to the first of module, datamodule and Trainer that takes an argument of its
    name; "model.NAME", "data.NAME" and "trainer.NAME" say to which. max_steps: epochs of a full training.
    monitor: see GreyhoundCallback. trainer: arguments of Trainer that are the same for all trials. Each trial has a
    copy of its own of these, callbacks and loggers among them, and of what is ready made of the data.
    options: those of `tune`: maximize, minimize, budget, workers, storage and so on.

    EvaluationError where nobody takes a parameter, or the study sets an argument itself; otherwise as `tune`.
    """
    if isinstance(module, pl.LightningModule):
        raise EvaluationError(
            f"tune_lightning: the module is made already; give its class, {type(module).__name__}, of which each trial "
            f"makes one of its own."
        )
    space = space if isinstance(space, Space) else Space(space)
    training = _Training(module, datamodule, monitor, dict(trainer or {}))
    if "max_epochs" in training.trainer:
        raise EvaluationError(f"trainer: max_epochs is not taken here: {_OURS['max_epochs']}.")
    training.split(dict.fromkeys(space.names))
    return tune(training, space, max_steps=max_steps, **options)


@dataclass(frozen=True)
class _Training:
    """The training function of tune_lightning."""

    module: Callable[..., Any]
    datamodule: Any
    monitor: str | Sequence[str] | None
    trainer: Mapping[str, Any]

    def __call__(self, trial: LiveTrial) -> None:
        arguments = self.split(trial.params)
        pl.seed_everything(trial.seed, workers=True, verbose=False)
        callback = GreyhoundCallback(trial, self.monitor)
        fixed, data = copy.deepcopy((dict(self.trainer), self.datamodule))  # they keep what a training left in them
        if fixed.get("enable_checkpointing") is False:  # as it is: the callback stands for Lightning's ModelCheckpoint
            del fixed["enable_checkpointing"]
        usual = {**_QUIET, "devices": 1, "default_root_dir": trial.directory}
        callbacks = [*_listed(fixed.pop("callbacks", None)), callback]
        trainer = pl.Trainer(
            **{**usual, **fixed, **arguments["trainer"]}, max_epochs=trial.max_steps, callbacks=callbacks
        )
        _check_ranks(trainer, trial)  # before Lightning starts the program once more for each of its processes
        data = data(**arguments["data"]) if callable(data) else data
        trainer.fit(self.module(**arguments["model"]), data, ckpt_path=callback.ckpt_path)

    def split(self, params: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """The parameters by who takes them."""
        takers = {"model": self.module, "trainer": pl.Trainer}
        if callable(self.datamodule):
            takers = {"model": self.module, "data": self.datamodule, "trainer": pl.Trainer}
        found: dict[str, dict[str, Any]] = {"model": {}, "data": {}, "trainer": {}}
        for name, value in params.items():
            owner, dot, rest = name.partition(".")
            if dot and owner in takers:
                taker, argument = owner, rest
            else:
                taker, argument = next((each for each, made in takers.items() if name in _arguments(made)), ""), name
            if not taker:
                raise EvaluationError(
                    f"{name}: no argument of this name; the module takes {', '.join(_arguments(self.module)) or 'none'}"
                    f"{_of_data(self.datamodule)}, and Trainer takes its own. Name the parameter like the argument."
                )
            if taker == "trainer" and argument in _OURS:
                raise EvaluationError(f"{name}: take it out of the space: {_OURS[argument]}.")
            found[taker][argument] = value
        return found


def narrow(
    space: Space,
    module: Any,
    datamodule: Any = None,
    *,
    lr: str | None = "lr",
    batch_size: str | None = None,
    decades: float = 1.0,
    **trainer: Any,
) -> Space:
    """A space narrowed by Lightning's Tuner, which trains a few batches for it.

    module, datamodule: instances, with the attributes that the Tuner sets. lr: the learning rate's name in
    the space and in the module: it is left `decades` powers of ten around what `Tuner.lr_find` suggests,
    which becomes its default. batch_size: the batch size's name in the space and in the datamodule:
    values above the largest that fits into memory by `Tuner.scale_batch_size` are dropped. None leaves either alone.
    trainer: arguments of the Trainer. EvaluationError where a parameter is missing or nothing is left of it.
    """
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    parameters = dict(space.parameters)
    if lr is not None:
        rate = _parameter(space, lr, Float)
        tuner = pl.tuner.Tuner(pl.Trainer(**{**quiet, **trainer}))
        found = tuner.lr_find(module, datamodule=datamodule, attr_name=lr, update_attr=False)
        suggestion = None if found is None else found.suggestion()
        if suggestion is not None:
            low, high = max(rate.low, suggestion / 10**decades), min(rate.high, suggestion * 10**decades)
            if low >= high:
                raise EvaluationError(
                    f"{lr}: lr_find suggests {suggestion:.3g}, far outside of {rate.low:g} to {rate.high:g}; widen it."
                )
            middle = min(max(suggestion, low), high)
            parameters[lr] = Float(low, high, log=True, default=middle, when=rate.when)
    if batch_size is not None:
        sizes = _parameter(space, batch_size, Int, Ordinal)
        tuner = pl.tuner.Tuner(pl.Trainer(**{**quiet, **trainer}))
        largest = tuner.scale_batch_size(module, datamodule=datamodule, batch_arg_name=batch_size)
        if largest is not None:
            parameters[batch_size] = _up_to(batch_size, sizes, int(largest))
    return Space(parameters, constraint=space.constraints)


def _up_to(name: str, sizes: Int | Ordinal, largest: int) -> Int | Ordinal:
    if isinstance(sizes, Int):
        if sizes.low > largest:
            raise EvaluationError(f"{name}: only {largest} fit into memory; let it begin there.")
        return Int(sizes.low, min(sizes.high, largest), log=sizes.log, step=sizes.step, when=sizes.when)
    fitting = [size for size in sizes.choices if size <= largest]
    if not fitting:
        raise EvaluationError(f"{name}: only {largest} fit into memory; let it begin there.")
    return Ordinal(fitting, when=sizes.when)


def _parameter(space: Space, name: str, *kinds: type) -> Any:
    if name not in space or not isinstance(space[name], kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise EvaluationError(f"narrow: the space needs a {wanted} named {name!r}; it has {', '.join(space.names)}.")
    return space[name]


def _arguments(made: Callable[..., Any]) -> list[str]:
    """Names of the arguments that a class or function takes."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [name for name, each in inspect.signature(made).parameters.items() if each.kind in kinds]


def _listed(callbacks: Any) -> Sequence[Any]:
    """The callbacks that Trainer takes: one, several or None."""
    if callbacks is None:
        return ()
    return [callbacks] if isinstance(callbacks, pl.Callback) else callbacks


def _of_data(datamodule: Any) -> str:
    return f", the datamodule {', '.join(_arguments(datamodule)) or 'none'}" if callable(datamodule) else ""
