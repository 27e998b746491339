"""Transformers: fresh Trainers, its own checkpoints, its own arguments; random tiny models, no hub."""

import copy
import importlib
import os
import signal
import threading

import pytest
import torch
import transformers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    EarlyStoppingCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

import greyhound as gh
from greyhound.errors import EvaluationError
from greyhound.integrations.torch import distributed
from greyhound.integrations.transformers import (
    GreyhoundCallback,
    checkpoint_folder,
    hyperparameter_search,
    preset,
)
from greyhound.trial import TrialState

torch.set_num_threads(1)


class Words(torch.utils.data.Dataset):
    """Sequences of eight tokens; the label says whether the first is in the upper half."""

    def __init__(self, count=48, seed=0):
        self.tokens = torch.randint(0, 20, (count, 8), generator=torch.Generator().manual_seed(seed))

    def __len__(self):
        return len(self.tokens)

    def __getitem__(self, at):
        return {"input_ids": self.tokens[at], "labels": int(self.tokens[at, 0] >= 10)}


def tiny(trial=None):
    width = 16 if trial is None else trial.params.get("width", 16)
    config = BertConfig(
        vocab_size=20, hidden_size=width, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=8,
    )  # fmt: skip
    return BertForSequenceClassification(config)


def accuracy(prediction):
    return {"accuracy": float((prediction.predictions.argmax(1) == prediction.label_ids).mean())}


def arguments(folder, **options):
    usual = {"num_train_epochs": 3, "eval_strategy": "epoch", "learning_rate": 3e-3, "warmup_steps": 0.1}
    more = {"per_device_train_batch_size": 16, "report_to": "none", "use_cpu": True, "logging_strategy": "no"}
    return TrainingArguments(output_dir=str(folder), **{**usual, **more, "disable_tqdm": True, **options})


def make_trainer(folder, model_init=tiny, compute_metrics=accuracy, callbacks=None, **options):
    return Trainer(
        model_init=model_init, args=arguments(folder, **options), train_dataset=Words(), eval_dataset=Words(24, 1),
        compute_metrics=compute_metrics, callbacks=callbacks,
    )  # fmt: skip


QUIET = {"workers": "serial", "progress": False, "sampler": "random"}


def train(trial):
    args = arguments(trial.directory / "out", save_strategy="no", seed=trial.seed)
    trainer = Trainer(model_init=tiny, args=args, train_dataset=Words(), eval_dataset=Words(24, 1))
    callback = GreyhoundCallback(trial, trainer, lambda metrics: {"score": metrics["eval_loss"]})
    trainer.train(resume_from_checkpoint=callback.resume_from_checkpoint)


def test_a_paused_training_ends_bit_for_bit_as_an_unbroken_one(train_in_parts):
    unbroken, _ = train_in_parts(train, {}, max_steps=3)
    broken, outcome = train_in_parts(train, {}, pauses=[1, 2], max_steps=3)
    assert outcome.state is TrialState.COMPLETED
    assert broken == unbroken
    assert [(step, sorted(metrics)) for step, metrics in broken] == [
        (step, ["eval_loss", "score"]) for step in (1, 2, 3)
    ]


def test_an_evaluation_at_the_start_is_of_no_step_and_takes_place_once(train_in_parts):
    def evaluated_first(trial):
        args = arguments(trial.directory / "out", save_strategy="no", seed=trial.seed, eval_on_start=True)
        trainer = Trainer(model_init=tiny, args=args, train_dataset=Words(), eval_dataset=Words(24, 1))
        callback = GreyhoundCallback(trial, trainer, lambda metrics: {"score": metrics["eval_loss"]})
        trainer.train(resume_from_checkpoint=callback.resume_from_checkpoint)

    unbroken, _ = train_in_parts(evaluated_first, {}, max_steps=3)
    assert [step for step, _ in unbroken] == [0, 1, 2, 3]
    broken, _ = train_in_parts(evaluated_first, {}, pauses=[1, 2], max_steps=3)
    assert broken == unbroken


@pytest.mark.parametrize("added", ["before", "after"])
def test_patience_best_metric_and_a_schedule_that_waits_for_it_go_on_as_they_would_have(added, train_in_parts):
    def patient(trial):
        options = {"metric_for_best_model": "loss", "num_train_epochs": 9, "seed": trial.seed}
        options |= {"lr_scheduler_type": "reduce_lr_on_plateau", "lr_scheduler_kwargs": {"patience": 0}}
        args = arguments(trial.directory / "out", save_strategy="no", **options)
        trainer = Trainer(model_init=tiny, args=args, train_dataset=Words(), eval_dataset=Words(24, 1))
        if added == "before":
            trainer.add_callback(EarlyStoppingCallback(3, 1.0))
        callback = GreyhoundCallback(trial, trainer, lambda metrics: {"score": metrics["eval_loss"]})
        if added == "after":
            trainer.add_callback(EarlyStoppingCallback(3, 1.0))
        trainer.train(resume_from_checkpoint=callback.resume_from_checkpoint)

    unbroken, _ = train_in_parts(patient, {}, max_steps=9)
    assert [step for step, _ in unbroken] == [1, 2, 3, 4], "it has stopped itself"
    broken, outcome = train_in_parts(patient, {}, pauses=[1, 2, 3, 4], max_steps=9)
    assert outcome.state is TrialState.COMPLETED, outcome.error
    assert broken == unbroken


@pytest.mark.parametrize("strategy", ["epoch", "best"])
def test_the_checkpoints_that_the_trainer_saves_and_its_best_model_are_there_after_pauses(strategy, train_in_parts):
    ends = []

    def saving(trial):
        args = arguments(
            trial.directory / "out", save_strategy=strategy, load_best_model_at_end=True, metric_for_best_model="loss",
            seed=trial.seed, learning_rate=0.1, num_train_epochs=5,
        )  # fmt: skip
        trainer = Trainer(model_init=tiny, args=args, train_dataset=Words(), eval_dataset=Words(24, 1))
        callback = GreyhoundCallback(trial, trainer, lambda metrics: {"score": metrics["eval_loss"]})
        trainer.train(resume_from_checkpoint=callback.resume_from_checkpoint)
        saved = sorted(folder.name for folder in (trial.directory / "out").iterdir())
        ends.append((saved, trainer.state.best_global_step, trainer.evaluate()["eval_loss"]))

    unbroken, _ = train_in_parts(saving, {}, max_steps=5)
    broken, outcome = train_in_parts(saving, {}, pauses=[1, 2, 3, 4], max_steps=5)
    assert outcome.state is TrialState.COMPLETED, outcome.error
    assert broken == unbroken
    assert ends[0] == ends[1]
    losses = [metrics["eval_loss"] for _, metrics in unbroken]
    assert min(losses) == ends[1][2] != losses[-1]


class StopAfterTwoEpochs(TrainerCallback):
    def on_epoch_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.epoch >= 2


@pytest.mark.parametrize(
    ("options", "callback", "steps"),
    [
        ({"eval_strategy": "steps", "eval_steps": 3, "save_strategy": "epoch"}, None, [3, 6, 9]),
        ({"eval_strategy": "steps", "eval_steps": 3}, StopAfterTwoEpochs(), [3, 6]),
        ({"save_strategy": "epoch", "load_best_model_at_end": True}, EarlyStoppingCallback(1, 1.0), [1, 2]),
        ({"eval_strategy": "steps", "eval_steps": 1}, EarlyStoppingCallback(1, 1.0), [1, 2]),
        ({"eval_on_start": True, "save_strategy": "best"}, None, [0, 1, 2, 3]),
    ],
)
def test_a_training_ends_where_and_as_it_would_have_without_its_pauses(options, callback, steps, train_in_parts):
    ends = []

    def train(trial):
        options_ = {"save_strategy": "no", "metric_for_best_model": "loss", "seed": trial.seed, **options}
        options_ |= {"lr_scheduler_type": "reduce_lr_on_plateau", "lr_scheduler_kwargs": {"patience": 0}}
        args = arguments(trial.directory / "out", **options_)
        trainer = Trainer(model_init=tiny, args=args, train_dataset=Words(), eval_dataset=Words(24, 1))
        trainer.add_callback(copy.deepcopy(callback) or TrainerCallback())
        greyhound = GreyhoundCallback(trial, trainer, lambda metrics: {"score": metrics["eval_loss"]})
        trainer.train(resume_from_checkpoint=greyhound.resume_from_checkpoint)
        folder = trial.directory / "out"
        saved = sorted(each.name for each in folder.iterdir()) if folder.exists() else []
        rates = [group["lr"] for group in trainer.lr_scheduler.optimizer.param_groups]
        ends.append(
            (saved, trainer.state.global_step, trainer.state.best_metric, rates, trainer.evaluate()["eval_loss"])
        )

    unbroken, _ = train_in_parts(train, {}, max_steps=9)
    assert [step for step, _ in unbroken] == steps
    broken, outcome = train_in_parts(train, {}, pauses=steps if callback else steps[:-1], max_steps=9)
    assert outcome.state is TrialState.COMPLETED, outcome.error
    assert broken == unbroken
    assert ends[0] == ends[1]


def test_a_population_of_patient_trainings_copies_its_best(tmp_path):
    trainer = make_trainer(
        tmp_path, num_train_epochs=4, metric_for_best_model="loss", lr_scheduler_type="reduce_lr_on_plateau",
        callbacks=[EarlyStoppingCallback(9)],
    )  # fmt: skip
    scheduler = {"name": "pbt", "population": 2, "share": 0.5}
    space = {"learning_rate": gh.Float(1e-5, 1e-2, log=True)}
    study = hyperparameter_search(trainer, space, 4, scheduler=scheduler, **QUIET).run_summary
    assert any(trial.parent is not None for trial in study.trials)
    assert not [trial.error for trial in study.trials if trial.error]


class Rates(TrainerCallback):
    def on_evaluate(self, args, state, control, metrics, lr_scheduler, **kwargs):
        (group, *_) = lr_scheduler.optimizer.param_groups
        metrics["eval_rate"] = group["lr"] / (1 - state.global_step / (state.max_steps + 1e-9))  # as it decays to 0
        metrics["eval_decay"] = group["weight_decay"]


def test_copies_in_a_population_train_at_their_own_rates(tmp_path):
    trainer = make_trainer(tmp_path, num_train_epochs=4, warmup_steps=0, callbacks=[Rates()])
    scheduler = {"name": "pbt", "population": 2, "share": 0.5, "resample": 0.0}
    space = {"learning_rate": gh.Float(1e-5, 1e-2, log=True), "weight_decay": gh.Float(0.01, 0.1)}
    study = hyperparameter_search(
        trainer, space, 6, compute_objective=lambda metrics: metrics["eval_loss"], scheduler=scheduler, **QUIET
    ).run_summary
    assert any(trial.parent is not None and trial.reports for trial in study.trials)
    for trial in study.trials:
        assert trial.error is None
        for report in [each for each in trial.reports if each.step < 4]:
            assert report.metrics["eval_rate"] == pytest.approx(trial.params["learning_rate"])
            assert report.metrics["eval_decay"] == pytest.approx(trial.params["weight_decay"])


def on_two_ranks(trial):
    torch.set_num_threads(1)
    train(trial)


@pytest.mark.filterwarnings("ignore:OMP_NUM_THREADS:UserWarning")
def test_one_trial_trains_on_several_ranks(train_in_parts):
    reports, outcome = train_in_parts(distributed(on_two_ranks, 2), {}, pauses=[1], max_steps=3)
    assert outcome.state is TrialState.COMPLETED, outcome.error
    assert [step for step, _ in reports] == [1, 2, 3]


def test_search_returns_the_best_run_with_fields_and_model_parameters(tmp_path):
    space = gh.Space(
        learning_rate=gh.Float(1e-5, 1e-2, log=True, default=1e-4),
        width=gh.Ordinal([8, 16], default=8),
        per_device_train_batch_size=gh.Ordinal([8, 16], default=16),
    )
    best = hyperparameter_search(
        make_trainer(tmp_path), space, 4, "maximize", storage=tmp_path / "s.db", seed=1, **QUIET
    )
    study = best.run_summary
    assert isinstance(best, transformers.trainer_utils.BestRun)
    assert len(study.trials) == 4
    assert best.objective == max(trial.metrics["objective"] for trial in study.trials)
    assert best.objective == study.best.metrics["eval_accuracy"], "the default objective is the sum of metrics"
    assert best.hyperparameters == study.trials[int(best.run_id)].params
    assert study.settings.max_steps == 3
    assert not study.history.numbers(TrialState.FAILED)
    model = BertForSequenceClassification.from_pretrained(checkpoint_folder(study.best))
    assert model.config.hidden_size == best.hyperparameters["width"]


def test_a_function_names_the_space_and_several_directions_give_a_front(tmp_path):
    def hp_space(trial):
        return {"learning_rate": trial.suggest_float("learning_rate", 1e-5, 1e-2, log=True)}

    runs = hyperparameter_search(
        make_trainer(tmp_path, num_train_epochs=1), hp_space, 3, ["minimize", "maximize"],
        compute_objective=lambda metrics: [metrics["eval_loss"], metrics["eval_accuracy"]], **QUIET,
    )  # fmt: skip
    assert 1 <= len(runs) <= 3
    assert all(set(run.hyperparameters) == {"learning_rate"} and len(run.objective) == 2 for run in runs)


@pytest.mark.parametrize("eval_strategy", ["epoch", "no"])
def test_an_objective_is_made_of_all_that_an_evaluation_tells(eval_strategy, tmp_path):
    trainer = make_trainer(tmp_path, num_train_epochs=1, eval_strategy=eval_strategy)
    runs = hyperparameter_search(
        trainer, {"learning_rate": gh.Float(1e-4, 1e-2)}, 1, ["minimize", "maximize"],
        lambda metrics: [metrics["eval_runtime"], metrics["epoch"]], **QUIET,
    )  # fmt: skip
    assert runs[0].objective[0] > 0
    assert runs[0].objective[1] == 1.0
    (trial,) = runs[0].run_summary.trials
    assert trial.metrics.keys() == {"eval_loss", "eval_accuracy", "objective_0", "objective_1"}


def test_lora_is_part_of_the_space(tmp_path):
    trainer = make_trainer(tmp_path, num_train_epochs=1, compute_metrics=None)
    best = hyperparameter_search(trainer, preset(lora=True), 2, lora={"task_type": "SEQ_CLS"}, **QUIET)
    study = best.run_summary
    assert {trial.state for trial in study.trials} == {TrialState.COMPLETED}, [trial.error for trial in study.trials]
    folder = checkpoint_folder(study.best)
    import peft

    config = peft.LoraConfig.from_pretrained(folder)
    assert config.r == best.hyperparameters["lora_r"]
    assert config.lora_dropout == best.hyperparameters["lora_dropout"]


def test_evaluation_at_the_end_does_and_callbacks_come_along(tmp_path):
    class Told(TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            (tmp_path / f"told-{os.path.basename(os.path.dirname(args.output_dir))}").touch()

    trainer = make_trainer(tmp_path, num_train_epochs=1, eval_strategy="no", compute_metrics=None, callbacks=[Told()])
    best = hyperparameter_search(trainer, {"learning_rate": gh.Float(1e-4, 1e-3)}, 2, **QUIET)
    assert best.objective > 0
    assert len(list(tmp_path.glob("told-trial-*"))) == 2


class Weighted(Trainer):
    """A Trainer with a required argument, a method of its own that it holds on to, and a callback of its own."""

    def __init__(self, *args, weight, **options):
        super().__init__(*args, **options)
        self.weight, self.loss_of = weight, self.weighted
        self.model_accepts_loss_kwargs = False
        self.add_callback(Once(self))

    def weighted(self, loss):
        return self.weight * loss

    def compute_loss(self, model, inputs, return_outputs=False, **options):
        outputs = model(**inputs)
        assert not self.model_accepts_loss_kwargs
        loss = self.loss_of(outputs.loss)
        return (loss, outputs) if return_outputs else loss


class Once(TrainerCallback):
    """Holds on to the trainer whose training it is called in, and is called but once."""

    def __init__(self, trainer):
        self.trainer = trainer

    def on_train_begin(self, args, state, control, **kwargs):
        assert self.trainer.state is state
        assert not hasattr(self.trainer, "begun")
        self.trainer.begun = True


@pytest.mark.parametrize("workers", ["serial", 1])
def test_what_a_class_and_its_user_added_to_the_trainer_comes_along(tmp_path, workers):
    def loss(weight):
        trainer = Weighted(
            weight=-1.0, model_init=tiny, args=arguments(tmp_path, num_train_epochs=1), train_dataset=Words(),
            eval_dataset=Words(24, 1),
        )  # fmt: skip
        trainer.weight = weight
        space = {"learning_rate": gh.Categorical([1e-9])}
        return hyperparameter_search(trainer, space, 1, **{**QUIET, "workers": workers}).objective

    assert loss(100.0) == pytest.approx(100 * loss(1.0), rel=1e-3)


def test_a_trainer_for_sequences_is_made_as_such(tmp_path):
    args = transformers.Seq2SeqTrainingArguments(**arguments(tmp_path, num_train_epochs=1).to_dict())
    trainer = transformers.Seq2SeqTrainer(
        model_init=tiny, args=args, train_dataset=Words(), eval_dataset=Words(24, 1), compute_metrics=accuracy
    )
    assert hyperparameter_search(trainer, {"learning_rate": gh.Float(1e-4, 1e-3)}, 1, **QUIET).objective > 0


def test_what_cannot_be_copied_for_each_trial_is_refused_at_once(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.lock = threading.Lock()
    with pytest.raises(
        EvaluationError, match=r"Trainer.lock cannot be copied for each trial \(TypeError: .*on_train_b"
    ):
        hyperparameter_search(trainer, {"learning_rate": gh.Float(1e-4, 1e-3)}, 1)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"learning": gh.Float(0, 1)}, "learning: TrainingArguments has no such field"),
        ({"lora_rank": gh.Int(1, 4)}, "LoraConfig has neither 'lora_rank' nor 'rank'"),
        ({"save_strategy": gh.Categorical(["no", "epoch"])}, "save_strategy: the study sets it"),
    ],
)
def test_a_parameter_that_nobody_takes_is_refused_at_once(space, message, tmp_path):
    with pytest.raises(EvaluationError, match=message):
        hyperparameter_search(make_trainer(tmp_path, model_init=lambda: tiny()), space, 1)


@pytest.mark.parametrize(
    ("arguments", "named", "message"),
    [
        ((None, lambda metrics: 0.0), {}, "n_trials is a function; give arguments behind hp_space by name"),
        ((), {"backend": "optuna"}, "backend= is not taken; write nothing for the search of Greyhound"),
        ((), {"timeout": 600}, "timeout= is not taken; write budget='10 min'"),
    ],
)
def test_what_the_built_in_search_has_in_other_words_is_told(arguments, named, message, tmp_path):
    with pytest.raises(EvaluationError, match=message):
        hyperparameter_search(make_trainer(tmp_path), *arguments, **named)


def test_no_backend_is_what_there_is(tmp_path):
    options = {"n_trials": 1, "backend": None, "hp_name": None, "direction": "minimize", **QUIET}
    assert hyperparameter_search(make_trainer(tmp_path, num_train_epochs=1), **options).run_id == "0"


def test_a_trainer_without_model_init_is_refused(tmp_path):
    trainer = Trainer(model=tiny(), args=arguments(tmp_path), train_dataset=Words(), eval_dataset=Words(8))
    with pytest.raises(EvaluationError, match="model_init"):
        hyperparameter_search(trainer)


def test_where_every_trial_fails_the_error_is_told(tmp_path):
    def broken(trial):
        raise ValueError("no such layer")

    trainer = make_trainer(tmp_path)
    trainer.model_init = broken
    with pytest.raises(EvaluationError, match="no such layer"):
        hyperparameter_search(trainer, {"learning_rate": gh.Float(1e-4, 1e-3)}, 2, **QUIET)


def test_a_worker_that_is_killed_loses_nothing(tmp_path):
    class Kill(TrainerCallback):
        def on_epoch_begin(self, args, state, control, **kwargs):
            if state.epoch and state.epoch >= 1 and not (tmp_path / "killed").exists():
                (tmp_path / "killed").touch()
                os.kill(os.getpid(), signal.SIGKILL)

    def losses(workers, **options):
        best = hyperparameter_search(
            make_trainer(tmp_path, compute_metrics=None, **options),
            {"learning_rate": gh.Float(1e-3, 1e-2, default=3e-3)}, 1, workers=workers, progress=False,
        )  # fmt: skip
        trial = best.run_summary.trials[0]
        return trial.restarts, [report.metrics["eval_loss"] for report in trial.reports]

    assert losses(1, callbacks=[Kill()]) == (1, losses("serial")[1])


def test_the_built_in_search_takes_our_sampler(tmp_path):
    samplers = importlib.import_module("greyhound.integrations.optuna")
    best = make_trainer(tmp_path, num_train_epochs=1, save_strategy="no").hyperparameter_search(
        lambda trial: {"learning_rate": trial.suggest_float("learning_rate", 1e-5, 1e-2, log=True)},
        n_trials=3, direction="maximize", backend="optuna", sampler=samplers.GreyhoundSampler(seed=1),
    )  # fmt: skip
    assert 1e-5 <= best.hyperparameters["learning_rate"] <= 1e-2


def test_a_search_tells_that_the_best_epoch_does_not_count(tmp_path):
    trainer = make_trainer(tmp_path, save_strategy="epoch", load_best_model_at_end=True)
    with pytest.warns(UserWarning, match="counts by its last evaluation and keeps its last weights"):
        best = hyperparameter_search(trainer, {"learning_rate": gh.Float(1e-3, 1e-2)}, 1, **QUIET)
    assert best.objective == best.run_summary.best.reports[-1].metrics["objective"]
