"""Hugging Face Transformers: trials that its Trainer trains.

    best = hyperparameter_search(trainer, preset(), n_trials=30, direction="minimize")

stands where `trainer.hyperparameter_search(hp_space, n_trials=30)` would: each trial gets a model from
`model_init` and a Trainer of its own, in a worker process, reports at each evaluation, and pauses and goes on
by the Trainer's own checkpoints.
"""

from __future__ import annotations

import ast
import copy
import inspect
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greyhound._lazy import require
from greyhound.errors import EvaluationError
from greyhound.evaluators.inheritance import keeping_options, note_rates
from greyhound.evaluators.live import LiveTrial
from greyhound.space import Categorical, Float, Ordinal, Space
from greyhound.tuning import tune

if TYPE_CHECKING:
    from greyhound.study import Study

torch = require("torch", "transformers")
transformers = require("transformers", "transformers")

_SPEED = ("_runtime", "_per_second", "_compilation_time")
_OURS = {"save_strategy": "no", "load_best_model_at_end": False, "push_to_hub": False, "disable_tqdm": True}
"""Arguments that the study sets: it keeps checkpoints itself, and keeps the best."""
_AS_IT_IS = ("optimizer_cls_and_kwargs", "model_accepts_loss_kwargs", "label_names", "can_return_loss")
"""Attributes that Trainer sets, and that stay as the class or the user of the one that is given has them."""

_ELSEWHERE = {
    "backend": "nothing for the search of Greyhound, or sampler='tpe' or another for its method",
    "timeout": "budget='10 min'",
    "n_jobs": "workers=4",
    "study_name": "name='...'",
    "pruner": "scheduler='median' or another",
}
"""Arguments of the search that this one stands for, and what to write in their place."""
_WITHIN_EPOCH = "within_epoch"
"""An empty file beside a checkpoint of an evaluation after a step, at which the Trainer had yet to end the epoch."""
_WAITING = (torch.optim.lr_scheduler.ReduceLROnPlateau, getattr(transformers.optimization, "GreedyLR", ()))
"""Schedules that the Trainer steps by a metric, once it has been evaluated."""


class GreyhoundCallback(transformers.TrainerCallback):  # type: ignore[misc, name-defined]
    """Reports every evaluation while a Trainer trains, and leaves the training when told to.

        callback = GreyhoundCallback(trial, trainer)
        trainer.train(resume_from_checkpoint=callback.resume_from_checkpoint)

    trial, trainer: who trains what; the callback adds itself to the trainer. objective: makes the study's
    objectives, by name, from the evaluation's metrics; without, they have the metrics' own names. A step
    is an epoch where the trainer evaluates after each, else an optimisation step.
    resume_from_checkpoint: the Trainer's checkpoint to go on from, None at the start.
    """

    def __init__(
        self,
        trial: LiveTrial,
        trainer: Any,
        objective: Callable[[Mapping[str, Any]], Mapping[str, float]] | None = None,
    ) -> None:
        if trainer.args.save_only_model:
            raise EvaluationError(
                "save_only_model=True leaves out what a paused training needs to go on; set it False."
            )
        ranks = getattr(trial, "ranks", 1)
        if trainer.args.world_size != ranks:
            raise EvaluationError(
                f"the Trainer has {trainer.args.world_size} processes and the trial {ranks}: run the program without a "
                f"launcher, and tune greyhound.integrations.torch.distributed(train, processes=...)."
            )
        self.trial = trial
        self.trainer = trainer
        self.objective = objective
        self.resume_from_checkpoint: str | None = None
        self._metrics: dict[str, Any] = {}
        self._seen = 0
        self._stopping = False
        self._within_epoch = False
        trainer.args.restore_callback_states_from_checkpoint = True  # such as how long EarlyStopping has been patient
        trainer.add_callback(self)
        trial.checkpoint(trainer=self)

    def save_to(self, folder: Path) -> None:
        """The Trainer's checkpoint, into the folder, and whether the epoch has still to be ended."""
        if self._within_epoch:
            (folder / _WITHIN_EPOCH).touch()
        args = self.trainer.args
        usual, args.output_dir = args.output_dir, str(folder)
        try:
            self.trainer._save_checkpoint(self.trainer.model, trial=None)
        finally:
            args.output_dir = usual

    def load_from(self, folder: Path) -> None:
        """Take note of where it is; Trainer.train loads it."""
        self.resume_from_checkpoint = transformers.trainer_utils.get_last_checkpoint(str(folder))
        self._within_epoch = (folder / _WITHIN_EPOCH).exists()
        if self.trial.job.parent in folder.parents:
            self.trainer._load_optimizer_and_scheduler = self._adopting(self.trainer._load_optimizer_and_scheduler)

    def _adopting(self, load: Callable[[Any], Any]) -> Callable[[Any], None]:
        """The Trainer's loading of another trial's optimiser, which keeps the options that it was made with."""

        def loading(folder: Any) -> None:
            schedule = self.trainer.lr_scheduler
            keep = keeping_options({"optimizer": schedule.optimizer, "schedule": schedule})
            load(folder)
            keep()

        return loading

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Go last, so that a checkpoint has what others made of its evaluation; do what the Trainer does after it."""
        handler = self.trainer.callback_handler
        if handler.callbacks[-1] is not self:
            handler.callbacks.append(self)  # so that this is called again, once all others have begun
            return
        handler.callbacks = [*(each for each in handler.callbacks if each is not self), self]
        if self.resume_from_checkpoint is None:
            note_rates([self.trainer.optimizer])
            return
        args.eval_on_start = False  # it was done before the pause
        kept = state.stateful_callbacks.get("TrainerControl", {}).get("args", {})
        control.should_save = kept.get("should_save", False)
        control.should_training_stop = kept.get("should_training_stop", False)
        self.trainer._load_rng_state(self.resume_from_checkpoint)
        if state.global_step:  # an evaluation at the start is none to go by
            self._judge(args, state, control)
        self._save_and_evaluate(state)
        if self._within_epoch and (control.should_training_stop or float(state.epoch).is_integer()):
            handler.on_epoch_end(args, state, control)
            self._save_and_evaluate(state)
        self._stopping = control.should_training_stop
        if self._stopping:  # the Trainer looks only after a step, which would be one too many
            self.trainer._run_epoch = lambda **kwargs: None

    def _judge(self, args: Any, state: Any, control: Any) -> None:
        """What the last evaluation means: a new best that may have to be saved, a step of a schedule that waits."""
        name = f"eval_{(args.metric_for_best_model or '').removeprefix('eval_')}"
        evaluated = next((each for each in reversed(state.log_history) if name in each), None)
        if evaluated is None:
            return
        best = self.trainer._determine_best_metric(evaluated, None)
        if args.save_strategy == "best":
            control.should_save = best
        if isinstance(self.trainer.lr_scheduler, _WAITING):
            self.trainer.lr_scheduler.step(evaluated[name])

    def _save_and_evaluate(self, state: Any) -> None:
        """What the Trainer does after a step and after an epoch; it saves in its own folder, for its best model."""
        no_loss = torch.tensor(0.0)  # what it was before the pause is not known, and nothing is logged of it
        self.trainer._maybe_log_save_evaluate(no_loss, None, self.trainer.model, None, state.epoch, None, 0.0)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """From here on an evaluation is one of a step."""
        self._within_epoch = True

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """From here on an evaluation is that of the epoch."""
        self._within_epoch = False

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Let the Trainer train again, as it may be told to."""
        vars(self.trainer).pop("_run_epoch", None)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Report; leaves the training by TrialPaused or TrialStopped where told to."""
        if not self.trainer.is_in_train or self._stopping:  # then the last evaluation was reported before the pause
            return
        self._metrics |= kwargs.get("metrics") or {}
        self._seen += 1
        sets = self.trainer.eval_dataset
        if isinstance(sets, dict) and self._seen < len(sets):
            return  # each of several evaluation sets comes by itself
        metrics, self._metrics, self._seen = self._metrics, {}, 0
        by_epoch = str(args.eval_strategy.value) == "epoch"
        step = max(1, round(state.epoch)) if by_epoch and state.global_step else state.global_step
        self.trial.report_metrics(step, _told(metrics) | dict(self.objective(metrics) if self.objective else {}))


def checkpoint_folder(trial: Any) -> Path | None:
    """The Trainer's checkpoint of a trial such as `study.best`, for `from_pretrained`; None where none is kept."""
    from greyhound.evaluators import checkpoint

    folder = checkpoint.files(trial.checkpoint.parent, "trainer") if trial.checkpoint is not None else None
    return None if folder is None else next(folder.glob("checkpoint-*"), None)


def preset(*, lora: bool = False) -> Space:
    """A space for fine-tuning by AdamW with linear warm-up and decay, which are the Trainer's own.

    lora: of low-rank adapters, whose learning rates are larger, with their rank, alpha, dropout and target
    modules. The defaults are in common use, so that the first trial is a fair baseline. Ranges after Hu et
    al. 2021 (LoRA), tables 9 to 15, and Mosbach et al. 2021 (On the stability of fine-tuning BERT).
    """
    low, high, usual = (5e-5, 2e-3, 2e-4) if lora else (5e-6, 1e-4, 2e-5)
    parameters: dict[str, Any] = {
        "learning_rate": Float(low, high, log=True, default=usual),
        "warmup_steps": Float(0.0, 0.2, default=0.1),  # below 1: a share of all steps
        "weight_decay": Float(1e-4, 0.1, log=True, default=0.01),
        "per_device_train_batch_size": Ordinal([8, 16, 32], default=16),
    }
    if lora:
        parameters |= {
            "lora_r": Ordinal([4, 8, 16, 32], default=8),
            "lora_alpha": Ordinal([8, 16, 32, 64], default=16),
            "lora_dropout": Float(0.0, 0.2, default=0.05),
            "lora_target_modules": Categorical(["attention", "all-linear"], default="attention"),
        }
    return Space(parameters)


def hyperparameter_search(
    trainer: Any,
    hp_space: Space | Mapping[str, Any] | Callable[[LiveTrial], Mapping[str, Any]] | None = None,
    n_trials: int = 20,
    direction: str | Sequence[str] = "minimize",
    compute_objective: Callable[[dict[str, float]], Any] | None = None,
    hp_name: Callable[[LiveTrial], str] | None = None,
    *,
    lora: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """What `Trainer.hyperparameter_search` does, on all devices, with pauses, early stopping and a study file.

    trainer: made with model_init, a function of nothing or of the trial. It may be of a class of its own, whose
    attributes each trial's Trainer gets a copy of; its __init__ is not called again. hp_space: a space, or a function
    that asks the trial (`trial.suggest_float` and so on) and returns the values by name; `preset()` by
    default. Names are fields of TrainingArguments; those that begin with lora_ (lora_r, lora_alpha,
    lora_dropout, lora_target_modules, ...) are fields of peft's LoraConfig, by which the model is then
    wrapped; any other is for model_init, which finds it in `trial.params`. The target modules may be
    "attention", short for the query and value projections that peft knows of the architecture.
    n_trials: in all. direction: "minimize", "maximize", or a list of these for a compute_objective
    that returns a list. compute_objective: as in Transformers; by default the evaluation loss, or the sum of the
    metrics where there are any. hp_name: names the run of a trial. lora: fields of LoraConfig that are the
    same for all trials, such as task_type. options: those of `tune`: workers, storage, scheduler, budget...

    A trial counts by its last evaluation; a warning says so where the trainer is to load its best model at the end.
    Trials stop early where the trainer evaluates after each epoch, or for max_steps > 0 after some steps,
    and that length is not in the space; by max_steps= of `tune` in other cases.
    Returns a transformers.trainer_utils.BestRun, or a list of those on the front for several directions;
    its run_summary is the study. EvaluationError where something cannot work.
    """
    _check_words(n_trials, options)
    if trainer.model_init is None:
        raise EvaluationError("hyperparameter_search needs a Trainer with model_init=: each trial has its own model.")
    directions = [direction] if isinstance(direction, str) else list(direction)
    if not directions or any(each not in ("minimize", "maximize") for each in directions):
        raise EvaluationError(f"direction must be 'minimize', 'maximize' or a list of these; got {direction!r}.")
    if trainer.args.load_best_model_at_end:
        warnings.warn(
            "hyperparameter_search: a trial counts by its last evaluation and keeps its last weights, whatever "
            "load_best_model_at_end=True says; for those of the best one tune a function with GreyhoundCallback.",
            stacklevel=2,
        )
    names = ["objective"] if isinstance(direction, str) else [f"objective_{at}" for at in range(len(directions))]
    space = preset() if hp_space is None else hp_space
    declared = None if callable(space) else space if isinstance(space, Space) else Space(space)
    training = _Training(
        made_from=_parts(trainer),
        arguments={each.name: getattr(trainer.args, each.name) for each in fields(trainer.args) if each.init},
        suggest=space if callable(space) else None,
        objectives=tuple(names),
        compute_objective=compute_objective or _usual_objective,
        hp_name=hp_name,
        lora=lora,
    )
    if declared is not None:
        training.split(dict.fromkeys(declared.names))
    budget = options.pop("budget", None)
    options.setdefault("max_steps", _length(trainer.args, () if declared is None else declared.names))
    study = tune(
        training,
        declared,
        maximize=[name for name, each in zip(names, directions, strict=True) if each == "maximize"],
        minimize=[name for name, each in zip(names, directions, strict=True) if each == "minimize"],
        budget=f"{budget}, {n_trials} trials" if budget else f"{n_trials} trials",
        **options,
    )
    if not study.front:
        errors = [trial.error.splitlines()[-1] for trial in study.trials if trial.error]
        raise EvaluationError(f"no trial reached a value; the last error: {errors[-1] if errors else 'none'}")
    runs = [_run(study, trial, names) for trial in (study.front if len(names) > 1 else [study.best])]
    return runs[0] if isinstance(direction, str) else runs


def _check_words(n_trials: Any, options: dict[str, Any]) -> None:
    """EvaluationError for arguments as Transformers and Optuna have them that mean something else here."""
    if callable(n_trials):
        raise EvaluationError(
            "hyperparameter_search: n_trials is a function; give arguments behind hp_space by name, "
            "as in compute_objective=..., n_trials=20."
        )
    if options.get("backend") is None:
        options.pop("backend", None)
    for name, here in _ELSEWHERE.items():
        if name in options:
            raise EvaluationError(f"hyperparameter_search: {name}= is not taken; write {here}.")


@dataclass(frozen=True)
class _Training:
    """The training function of hyperparameter_search. made_from: a Trainer as it is before its __init__, with what
    its class or its user added, and the arguments of __init__."""

    made_from: tuple[Any, Mapping[str, Any]]
    arguments: Mapping[str, Any]
    suggest: Callable[[LiveTrial], Mapping[str, Any]] | None
    objectives: tuple[str, ...]
    compute_objective: Callable[[dict[str, float]], Any]
    hp_name: Callable[[LiveTrial], str] | None
    lora: Mapping[str, Any] | None

    def __call__(self, trial: LiveTrial) -> dict[str, float] | None:
        params = dict(trial.params if self.suggest is None else self.suggest(trial))
        chosen, lora, _ = self.split(params)
        folder = str(trial.directory / "trainer")
        own = {**_OURS, "output_dir": folder, "seed": trial.seed}
        if self.hp_name is not None:
            own["run_name"] = self.hp_name(trial)
        bare, parts = self.made_from
        args = parts["args"](**{**self.arguments, **own, **chosen})
        transformers.set_seed(args.seed)
        model = self._model(trial, lora)
        trainer, callbacks = copy.deepcopy((bare, parts["callbacks"]))
        added = dict(vars(trainer))
        rest = {name: each for name, each in parts.items() if name not in ("args", "model_init", "callbacks")}
        _ready_made(type(trainer)).__init__(trainer, model=model, args=args, callbacks=callbacks, **rest)
        vars(trainer).update(added)
        callback = GreyhoundCallback(trial, trainer, self._objective)
        trainer.train(resume_from_checkpoint=callback.resume_from_checkpoint)
        if trial.last_metrics:
            return None
        metrics = trainer.evaluate()  # it never did on the way
        return {**_told(metrics), **self._objective(metrics)}

    def split(self, params: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """The parameters of TrainingArguments, of LoraConfig, and of model_init."""
        chosen: dict[str, Any] = {}
        lora: dict[str, Any] = {}
        rest: dict[str, Any] = {}
        lora_fields = _lora_fields() if any(name.startswith("lora_") for name in params) else ()
        for name, value in params.items():
            if name.startswith("lora_"):
                field = name if name in lora_fields else name.removeprefix("lora_")
                if field not in lora_fields:
                    raise EvaluationError(f"{name}: peft's LoraConfig has neither {name!r} nor {field!r}.")
                lora[field] = value
            elif name in _OURS or name == "output_dir":
                raise EvaluationError(f"{name}: the study sets it; take it out of the space.")
            elif name in self.arguments:
                chosen[name] = value
            elif _takes_trial(self.made_from[1]["model_init"]):
                rest[name] = value
            else:
                raise EvaluationError(
                    f"{name}: TrainingArguments has no such field, and model_init takes no trial to find it in; "
                    f"write model_init(trial) and read trial.params[{name!r}] there."
                )
        return chosen, lora, rest

    def _model(self, trial: LiveTrial, lora: Mapping[str, Any]) -> Any:
        make = self.made_from[1]["model_init"]
        model = make(trial) if _takes_trial(make) else make()
        if not lora and self.lora is None:
            return model
        peft = require("peft", "transformers")
        options = {**(self.lora or {}), **lora}
        modules = options.get("target_modules")
        if modules == "attention":
            del options["target_modules"]  # what peft takes for the architecture by itself
        elif isinstance(modules, tuple):
            options["target_modules"] = list(modules)
        return peft.get_peft_model(model, peft.LoraConfig(**options))

    def _objective(self, metrics: Mapping[str, Any]) -> dict[str, float]:
        value = self.compute_objective(dict(metrics))
        values = list(value) if isinstance(value, Sequence) else [value]
        if len(values) != len(self.objectives):
            raise EvaluationError(
                f"compute_objective returned {len(values)} values for {len(self.objectives)} directions; "
                f"return one for each."
            )
        return dict(zip(self.objectives, values, strict=True))


def _parts(trainer: Any) -> tuple[Any, dict[str, Any]]:
    """A bare Trainer with what the class or the user of this one added to it, and the arguments to make it whole.

    EvaluationError where something of it cannot be copied.
    """
    ready = transformers.trainer
    usual = [*ready.DEFAULT_CALLBACKS, *ready.get_reporting_integration_callbacks(trainer.args.report_to)]
    usual += [ready.DEFAULT_PROGRESS_CALLBACK, transformers.PrinterCallback]
    bare = object.__new__(type(trainer))
    copied = {id(trainer): bare}  # so that what holds on to the trainer will hold on to the trial's
    own = {name for each in type(trainer).__mro__ if _is_ready_made(each) for name in _assigned(each)}
    for name, value in vars(trainer).items():
        if name not in own or name in _AS_IT_IS:
            vars(bare)[name] = _copy(value, copied, f"{type(trainer).__name__}.{name}")
    callbacks = [each for each in trainer.callback_handler.callbacks if type(each) not in usual]
    return bare, {
        "args": type(trainer.args),
        "model_init": trainer.model_init,
        "data_collator": trainer.data_collator,
        "train_dataset": trainer.train_dataset,
        "eval_dataset": trainer.eval_dataset,
        "processing_class": trainer.processing_class,
        "compute_loss_func": trainer.compute_loss_func,
        "compute_metrics": trainer.compute_metrics,
        "preprocess_logits_for_metrics": trainer.preprocess_logits_for_metrics,
        "callbacks": [_copy(each, copied, type(each).__name__) for each in callbacks],
    }


def _copy(value: Any, copied: dict[int, Any], what: str) -> Any:
    try:
        return copy.deepcopy(value, copied)
    except Exception as error:
        raise EvaluationError(
            f"{what} cannot be copied for each trial ({type(error).__name__}: {error}); "
            f"make it when the training begins, in a callback's on_train_begin."
        ) from error


def _is_ready_made(trainer_class: type) -> bool:
    return trainer_class.__module__.partition(".")[0] == "transformers"


def _ready_made(trainer_class: type) -> Any:
    """The class of Transformers that a Trainer's class is, or is made from."""
    return next(each for each in trainer_class.__mro__ if _is_ready_made(each))


def _assigned(trainer_class: type) -> set[str]:
    """The attributes that a class sets on itself anywhere in its code, not in __init__ alone."""
    nodes = ast.walk(ast.parse(inspect.getsource(trainer_class)))
    written = (each for each in nodes if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store))
    return {each.attr for each in written if isinstance(each.value, ast.Name) and each.value.id == "self"}


def _length(args: Any, names: Sequence[str]) -> int | None:
    """Steps of a full training, as the callback counts them; None where that differs from trial to trial."""
    strategy = str(args.eval_strategy.value)
    if strategy == "epoch" and args.max_steps <= 0 and not {"num_train_epochs", "max_steps"} & set(names):
        return int(max(1, math.ceil(args.num_train_epochs)))
    if strategy == "steps" and args.max_steps > 0 and "max_steps" not in names:
        return int(args.max_steps)
    return None


def _told(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of an evaluation without how long it took."""
    return {
        name: float(value)
        for name, value in metrics.items()
        if name != "epoch" and not name.endswith(_SPEED) and isinstance(value, int | float)
    }


def _usual_objective(metrics: Mapping[str, Any]) -> float:
    """That of Transformers: the sum of the metrics where there are any, else the loss."""
    return float(transformers.trainer_utils.default_compute_objective(_told(metrics)))


def _run(study: Study, trial: Any, names: Sequence[str]) -> Any:
    values = [trial.metrics[name] for name in names]
    best: Any = transformers.trainer_utils.BestRun
    return best(str(trial.number), values[0] if len(values) == 1 else values, dict(trial.params), study)


def _lora_fields() -> set[str]:
    return {each.name for each in fields(require("peft", "transformers").LoraConfig)}


def _takes_trial(model_init: Callable[..., Any]) -> bool:
    return len(inspect.signature(model_init).parameters) == 1
