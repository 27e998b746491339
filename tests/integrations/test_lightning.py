"""Lightning: what is logged is reported, its own checkpoint is what a trial goes on from."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import BatchSizeFinder, EarlyStopping, LearningRateFinder, ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import CatMetric, MaxMetric, MeanMetric

import greyhound as gh
from greyhound.errors import EvaluationError
from greyhound.integrations.lightning import GreyhoundCallback, checkpoint_file, narrow, tune_lightning
from greyhound.integrations.torch import distributed
from greyhound.trial import TrialState

PROJECT = Path(__file__).parents[1] / "programs" / "lightning_project" / "main.py"
torch.set_num_threads(1)


class Net(LightningModule):
    def __init__(self, lr=0.05, dropout=0.3, plateau=False):
        super().__init__()
        self.lr, self.plateau = lr, plateau
        self.layers = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(dropout), torch.nn.Linear(8, 1))

    def training_step(self, batch, index):
        loss = (self.layers(batch[0]).squeeze(1) - batch[1]).square().mean()
        self.log("train_loss", loss, on_epoch=True, on_step=False, sync_dist=True)
        return loss

    def validation_step(self, batch, index):
        self.log("val_loss", (self.layers(batch[0]).squeeze(1) - batch[1]).square().mean(), sync_dist=True)

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.lr)
        if self.plateau:
            scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=10.0)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "val_loss"}}
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)]


class Data(LightningDataModule):
    def __init__(self, batch_size=8):
        super().__init__()
        self.batch_size = batch_size
        inputs = torch.linspace(-1, 1, 128).reshape(32, 4).sin()
        self.examples = TensorDataset(inputs, inputs.sum(1))

    def train_dataloader(self):
        return DataLoader(self.examples, self.batch_size, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.examples, 32)


QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}


def train(trial, **options):
    seed_everything(trial.seed, verbose=False)
    callback = GreyhoundCallback(trial, monitor="val_loss")
    trainer = Trainer(max_epochs=trial.max_steps, callbacks=[callback], **QUIET, **options)
    trainer.fit(Net(**trial.params), Data(), ckpt_path=callback.ckpt_path)


@pytest.mark.parametrize("plateau", [False, True])
def test_a_paused_training_ends_bit_for_bit_as_an_unbroken_one(train_in_parts, plateau):
    params = {"lr": 0.05, "plateau": plateau}
    unbroken, _ = train_in_parts(train, params, max_steps=5)
    broken, outcome = train_in_parts(train, params, pauses=[1, 2, 4], max_steps=5)
    assert outcome.state is TrialState.COMPLETED
    assert broken == unbroken
    assert [step for step, _ in broken] == [1, 2, 3, 4, 5]
    assert broken[0][1].keys() == {"train_loss", "val_loss", "score"}


def test_a_training_in_double_precision_is_loaded_in_it(train_in_parts):
    def double(trial):
        train(trial, precision="64-true")

    unbroken, _ = train_in_parts(double, {}, max_steps=3)
    broken, outcome = train_in_parts(double, {}, pauses=[1, 2], max_steps=3)
    assert outcome.state is TrialState.COMPLETED, outcome.error
    assert broken == unbroken


def test_a_training_that_decided_to_stop_and_data_that_are_reloaded_go_on_as_they_would_have(train_in_parts):
    def train(trial):
        seed_everything(trial.seed, verbose=False)
        callback = GreyhoundCallback(trial, monitor="val_loss")
        stop = EarlyStopping("val_loss", stopping_threshold=1e9)  # from the first epoch on
        options = {"max_epochs": 5, "min_epochs": 3, "reload_dataloaders_every_n_epochs": 1, **QUIET}
        Trainer(callbacks=[stop, callback], **options).fit(Net(), Data(), ckpt_path=callback.ckpt_path)

    unbroken, _ = train_in_parts(train, {}, max_steps=5)
    broken, outcome = train_in_parts(train, {}, pauses=[1, 2, 3], max_steps=5)
    assert outcome.state is TrialState.COMPLETED, outcome.error
    assert broken == unbroken
    assert [step for step, _ in broken] == [1, 2, 3]


@pytest.mark.parametrize(
    ("options", "callbacks"),
    [
        ({"max_steps": 12}, list),
        ({"enable_checkpointing": True}, lambda: [LearningRateFinder(num_training_steps=9)]),
        ({"enable_checkpointing": True}, lambda: [BatchSizeFinder(max_trials=1)]),
    ],
)
def test_steps_of_the_trainer_and_what_it_looks_for_are_the_same_after_a_pause(options, callbacks, train_in_parts):
    def train(trial):
        seed_everything(trial.seed, verbose=False)
        callback = GreyhoundCallback(trial, monitor="val_loss")
        options_ = {**QUIET, **options, "max_epochs": trial.max_steps, "default_root_dir": trial.directory}
        Trainer(callbacks=[*callbacks(), callback], **options_).fit(Net(), Data(), ckpt_path=callback.ckpt_path)

    unbroken, _ = train_in_parts(train, {}, max_steps=3)
    broken, outcome = train_in_parts(train, {}, pauses=[1, 2], max_steps=3)
    assert outcome.state is TrialState.COMPLETED, outcome.error
    assert broken == unbroken
    assert [step for step, _ in broken] == [1, 2, 3]


class LooksTwice(LearningRateFinder):
    """Looks at the start and before the third epoch, as Lightning's own example does."""

    def __init__(self, looked):
        super().__init__(num_training_steps=50)
        self.looked = looked

    def on_fit_start(self, trainer, pl_module):
        pass

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch in (0, 2):
            self.lr_find(trainer, pl_module)
            self.looked.append((trainer.current_epoch, pl_module.lr))


def test_a_module_has_the_learning_rate_that_was_found_after_a_pause(train_in_parts):
    def train(trial):
        seed_everything(trial.seed, verbose=False)
        callback = GreyhoundCallback(trial, monitor="val_loss")
        options = {**QUIET, "max_epochs": trial.max_steps, "default_root_dir": trial.directory}
        trainer = Trainer(callbacks=[LearningRateFinder(num_training_steps=50), callback], **options)
        trainer.fit(Telling(), Data(), ckpt_path=callback.ckpt_path)

    unbroken, _ = train_in_parts(train, {}, max_steps=4)
    broken, outcome = train_in_parts(train, {}, pauses=[1, 3], max_steps=4)
    assert outcome.state is TrialState.COMPLETED, outcome.error
    assert broken == unbroken
    assert unbroken[0][1]["module_rate"] != pytest.approx(Net().lr), "it was found"


class Telling(Net):
    def on_train_epoch_end(self):
        self.log("module_rate", self.lr)


class Measured(Net):
    """Tells the best so far, as many projects do, and a metric that Lightning itself resets after each epoch."""

    def __init__(self):
        super().__init__()
        self.highest, self.mean, self.all = MaxMetric(), MeanMetric(), CatMetric()

    def training_step(self, batch, index):
        self.mean(batch[1].mean())
        self.log("mean", self.mean, on_step=False, on_epoch=True)
        return super().training_step(batch, index)

    def on_train_start(self):
        self.highest.reset()  # what the sanity check left in it

    def on_validation_epoch_end(self):
        self.highest(self.trainer.callback_metrics["val_loss"])
        self.log("highest", self.highest.compute())
        self.all(self.trainer.callback_metrics["val_loss"])
        self.log("count", float(len(self.all.compute().reshape(-1))))


def test_the_metrics_that_a_module_keeps_over_epochs_are_kept_over_a_pause(train_in_parts):
    def train(trial):
        seed_everything(trial.seed, verbose=False)
        callback = GreyhoundCallback(trial, monitor="highest")
        trainer = Trainer(max_epochs=trial.max_steps, callbacks=[callback], **QUIET)
        trainer.fit(Measured(), Data(), ckpt_path=callback.ckpt_path)

    unbroken, _ = train_in_parts(train, {}, max_steps=4)
    broken, outcome = train_in_parts(train, {}, pauses=[1, 2, 3], max_steps=4)
    assert outcome.state is TrialState.COMPLETED, outcome.error
    assert broken == unbroken
    losses = [metrics["val_loss"] for _, metrics in unbroken]
    assert [metrics["highest"] for _, metrics in unbroken] == [max(losses[: at + 1]) for at in range(4)]
    assert losses[3] < max(losses)


def test_a_finder_that_looks_at_other_times_does_so_after_a_pause(train_in_parts):
    looked = []

    def train(trial):
        seed_everything(trial.seed, verbose=False)
        callback = GreyhoundCallback(trial, monitor="val_loss")
        options = {**QUIET, "max_epochs": trial.max_steps, "default_root_dir": trial.directory}
        trainer = Trainer(callbacks=[LooksTwice(looked), callback], **options)
        trainer.fit(Telling(), Data(), ckpt_path=callback.ckpt_path)

    reports, outcome = train_in_parts(train, {}, pauses=[1, 2, 3], max_steps=4)
    assert outcome.state is TrialState.COMPLETED, outcome.error
    assert [epoch for epoch, _ in looked] == [0, 2]
    told = [metrics["module_rate"] for _, metrics in reports]
    assert told == pytest.approx([rate for _, rate in looked for _ in range(2)])


@pytest.mark.filterwarnings("ignore:Checkpoint directory")
def test_a_checkpoint_callback_has_every_epoch_wherever_it_stands_among_the_callbacks(train_in_parts):
    ends = []

    def keeping(trial):
        seed_everything(trial.seed, verbose=False)
        callback = GreyhoundCallback(trial, monitor="val_loss")
        keep = ModelCheckpoint(trial.directory / "best", monitor="val_loss", save_top_k=2, save_on_train_epoch_end=True)
        trainer = Trainer(max_epochs=trial.max_steps, callbacks=[callback, keep], **QUIET)
        trainer.fit(Net(), Data(), ckpt_path=callback.ckpt_path)
        files = sorted(file.name for file in (trial.directory / "best").iterdir())
        ends.append((files, Path(keep.best_model_path).name, float(keep.best_model_score)))

    unbroken, _ = train_in_parts(keeping, {}, max_steps=4)
    broken, outcome = train_in_parts(keeping, {}, pauses=[1, 2, 3], max_steps=4)
    assert outcome.state is TrialState.COMPLETED, outcome.error
    assert broken == unbroken
    assert ends[0] == ends[1]
    assert len(ends[1][0]) == 2


class Rated(Net):
    def on_validation_epoch_end(self):
        self.log("rate", self.optimizers().param_groups[0]["lr"])


def test_copies_in_a_population_train_at_their_own_rates():
    study = tune_lightning(
        Rated, Data, {"lr": gh.Float(1e-3, 0.3, log=True)}, minimize="val_loss", max_steps=4, budget=6,
        scheduler={"name": "pbt", "population": 2, "share": 0.5, "resample": 0.0}, sampler="random", workers="serial",
        progress=False, trainer={**QUIET, "enable_checkpointing": False, "num_sanity_val_steps": 0},
    )  # fmt: skip
    assert any(trial.parent is not None and trial.reports for trial in study.trials)
    for trial in study.trials:
        assert trial.error is None
        for report in trial.reports:
            assert report.metrics["rate"] == pytest.approx(trial.params["lr"] * 0.5 ** (report.step // 2))


def test_a_metric_that_is_not_logged_lists_those_that_are(train_in_parts):
    def wrong(trial):
        callback = GreyhoundCallback(trial, monitor="val_acc")
        Trainer(max_epochs=1, callbacks=[callback], **QUIET).fit(Net(), Data())

    _, outcome = train_in_parts_failing(train_in_parts, wrong)
    assert outcome.state is TrialState.FAILED
    assert "'val_acc' is not logged after an epoch; what is: train_loss, val_loss." in outcome.error


def train_in_parts_failing(train_in_parts, wrong):
    def reporting_first(trial):
        trial.report(0, score=0.0)
        wrong(trial)

    return train_in_parts(reporting_first, {}, max_steps=1)


def test_only_fresh_validations_are_reported(train_in_parts):
    def every_other(trial):
        callback = GreyhoundCallback(trial, monitor="val_loss")
        options = {"max_epochs": 4, "check_val_every_n_epoch": 2, "callbacks": [callback]}
        Trainer(**options, **QUIET).fit(Net(), Data(), ckpt_path=callback.ckpt_path)

    reports, _ = train_in_parts(every_other, {}, pauses=[2], max_steps=4)
    assert [step for step, _ in reports] == [2, 4]


SPACE = gh.Space(
    {
        "lr": gh.Float(1e-4, 0.3, log=True, default=0.01),
        "batch_size": gh.Ordinal([8, 16], default=16),
        "trainer.gradient_clip_val": gh.Float(0.1, 2.0, default=1.0),
    }
)


def test_tune_lightning_tunes_module_data_and_trainer(tmp_path):
    options = {"minimize": "val_loss", "max_steps": 4, "progress": False, "sampler": "random", "trainer": QUIET}
    study = tune_lightning(Net, Data, SPACE, budget=4, workers="serial", storage=tmp_path / "s.db", **options)
    assert {trial.state for trial in study.trials} <= {TrialState.COMPLETED, TrialState.PAUSED}
    assert study.best.metrics["val_loss"] < study.baseline.metrics["val_loss"] * 1.0001
    net = Net.load_from_checkpoint(checkpoint_file(study.best), weights_only=True)
    inputs, targets = Data().examples.tensors
    net.eval()
    loss = (net.layers(inputs).squeeze(1) - targets).square().mean().item()
    assert loss == pytest.approx(study.best.metrics["val_loss"], rel=1e-5), "the file is the winner's"
    for trial in study.trials:
        if trial.state is TrialState.COMPLETED and trial.number not in (study.best.number, study.baseline.number):
            assert not (study.folder / f"trial-{trial.number:05d}" / "files").exists(), "losers leave no files"


class StopAfter(Callback):
    """Stops when it has seen two epochs, and the data have been asked for but once."""

    seen = 0

    def on_train_epoch_end(self, trainer, module):
        self.seen += 1
        assert trainer.datamodule.asked == 1, "the data are this trial's own"
        trainer.should_stop = self.seen >= 2


class Counted(Data):
    asked = 0

    def train_dataloader(self):
        self.asked += 1
        return super().train_dataloader()


@pytest.mark.parametrize("make", [lambda it: [it], lambda it: it])
def test_each_trial_has_callbacks_and_data_of_its_own(make):
    callback, data = StopAfter(), Counted()
    study = tune_lightning(
        Net, data, {"lr": gh.Float(1e-3, 0.1)}, minimize="val_loss", max_steps=4, budget=3, scheduler="none",
        workers="serial", progress=False, trainer={**QUIET, "callbacks": make(callback)},
    )  # fmt: skip
    assert [(trial.error, trial.step) for trial in study.trials] == [(None, 2)] * 3
    assert (callback.seen, data.asked) == (0, 0), "the caller's objects are left alone"


@pytest.mark.parametrize(
    ("space", "trainer", "message"),
    [
        ({"lr": gh.Float(0, 1)}, {"max_epochs": 3}, "trainer: max_epochs is not taken here: the study's max_steps="),
        ({"max_epochs": gh.Int(1, 3)}, {}, "max_epochs: take it out of the space: the study's max_steps="),
        ({"trainer.callbacks": gh.Bool()}, {}, r"trainer.callbacks: take it out .* trainer=\{'callbacks': \[...\]\}"),
    ],
)
def test_what_the_study_sets_is_refused_at_once(space, trainer, message):
    with pytest.raises(EvaluationError, match=message):
        tune_lightning(Net, Data, space, max_steps=1, minimize="val_loss", trainer=trainer)


def test_a_module_that_is_made_already_is_refused_at_once():
    with pytest.raises(EvaluationError, match="the module is made already; give its class, Net, of which each trial"):
        tune_lightning(Net(), Data, {"lr": gh.Float(0, 1)}, max_steps=1, minimize="val_loss")


SEVERAL = """
import sys
sys.path.insert(0, {tests!r})
from test_lightning import QUIET, Data, Net, gh, tune_lightning

with open("starts", "a") as file:
    file.write("started ")
study = tune_lightning(
    Net, Data, {{"lr": gh.Float(0.001, 0.1)}}, minimize="val_loss", max_steps=1, budget=1, workers="serial",
    progress=False, trainer={{**QUIET, "devices": 2}},
)
print(study.trials[0].error)
"""


def test_a_program_is_not_started_again_for_processes_that_a_trial_does_not_have(tmp_path):
    (tmp_path / "several.py").write_text(SEVERAL.format(tests=str(Path(__file__).parent)))
    done = subprocess.run(
        [sys.executable, "several.py"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=100
    )
    assert "the Trainer has 2 processes and the trial 1: give Trainer devices=1" in done.stdout
    assert (tmp_path / "starts").read_text() == "started "


def test_a_parameter_that_nobody_takes_is_refused_at_once():
    with pytest.raises(EvaluationError, match=r"width: no argument.*module takes lr, dropout, plateau, the datamodule"):
        tune_lightning(Net, Data, {"width": gh.Int(1, 4)}, max_steps=1, minimize="val_loss")


def test_a_worker_that_is_killed_loses_nothing(tmp_path, train_in_parts):
    def killed_once(trial):
        class Kill(GreyhoundCallback):
            def on_train_epoch_start(self, trainer, module):
                super().on_train_epoch_start(trainer, module)
                if trainer.current_epoch == 2 and not (tmp_path / "killed").exists():
                    (tmp_path / "killed").touch()
                    os.kill(os.getpid(), signal.SIGKILL)

        torch.set_num_threads(1)
        seed_everything(7, verbose=False)
        callback = Kill(trial, monitor="val_loss")
        starts = tmp_path / "starts"
        starts.write_text((starts.read_text() if starts.exists() else "") + f"{trial.step} ")
        trainer = Trainer(max_epochs=trial.max_steps, callbacks=[callback], **QUIET)
        trainer.fit(Net(**trial.params), Data(), ckpt_path=callback.ckpt_path)

    study = gh.tune(
        killed_once, {"lr": gh.Float(0.01, 0.1, default=0.05)}, minimize="score", max_steps=4, budget=1,
        workers=1, progress=False,
    )  # fmt: skip
    assert study.trials[0].restarts == 1
    assert (tmp_path / "starts").read_text().split()[0] == "0"
    unbroken, _ = train_in_parts(train, {"lr": 0.05}, max_steps=4)
    told = [report.metrics["val_loss"] for report in study.trials[0].reports]
    assert told == [each["val_loss"] for _, each in unbroken]


def test_the_tuner_narrows_a_space(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    space = gh.Space(lr=gh.Float(1e-7, 10.0, log=True), dropout=gh.Float(0.0, 0.5))
    seed_everything(0, verbose=False)
    narrowed = narrow(space, Net(dropout=0.0), Data(32), lr="lr", accelerator="cpu", max_epochs=100)
    found = narrowed["lr"].default
    assert narrowed["lr"].high == pytest.approx(min(10.0, found * 10))
    assert narrowed["lr"].low == pytest.approx(max(1e-7, found / 10))
    assert 1e-4 < found < 1.0
    assert narrowed["dropout"] == space["dropout"]
    with pytest.raises(EvaluationError, match="needs a Float named 'rate'"):
        narrow(space, Net(), Data(), lr="rate")


def on_two_ranks(trial):
    torch.set_num_threads(1)
    seed_everything(trial.seed, verbose=False)
    callback = GreyhoundCallback(trial, monitor="val_loss")
    options = {**QUIET, "strategy": "ddp", "devices": trial.ranks, "num_sanity_val_steps": 0}
    trainer = Trainer(max_epochs=trial.max_steps, callbacks=[callback], **options)
    trainer.fit(Net(dropout=0.0), Data(), ckpt_path=callback.ckpt_path)


def test_lightning_trains_one_trial_on_several_ranks(train_in_parts):
    reports, outcome = train_in_parts(distributed(on_two_ranks, 2), {}, pauses=[1], max_steps=2)
    assert outcome.state is TrialState.COMPLETED, outcome.error
    assert [step for step, _ in reports] == [1, 2]
    assert reports[1][1]["score"] < reports[0][1]["score"], "it went on learning"


@pytest.mark.slow
def test_a_lightning_cli_project_is_tuned_by_greyhound_run(tmp_path):
    (tmp_path / "space.yaml").write_text("lr: {type: float, low: 0.001, high: 0.3, log: true}\n")
    command = [
        sys.executable, "-m", "greyhound", "run", str(PROJECT), "--space", "space.yaml", "--minimize", "val_loss",
        "--max-steps", "3", "--budget", "2 trials", "--workers", "1", "--storage", "study.db", "--no-report",
        "--", "fit", "--model.lr={lr}", "--trainer.max_epochs={max_steps}",
        "--trainer.default_root_dir={directory}",
        "--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.dirpath={directory}",
        "--trainer.callbacks.save_last=true", "--trainer.callbacks.save_on_train_epoch_end=true",
        "--trainer.callbacks+=greyhound.integrations.lightning.GreyhoundCallback",
        "--trainer.callbacks.monitor=val_loss", "--ckpt_path=last",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    study = gh.Study.load(tmp_path / "study.db")
    assert [trial.error for trial in study.trials] == [None] * 2
    assert study.history.completed
    assert all(trial.metrics["val_loss"] > 0 for trial in study.trials)
