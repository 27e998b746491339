"""Early stopping in real worker processes: steps are saved, hardly any quality lost, and copies are exact."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import greyhound as gh
from greyhound.schedulers import REGISTRY
from greyhound.study import Study
from greyhound.trial import TrialState

SPACE = gh.Space(rate=gh.Float(0.01, 0.3, log=True), floor=gh.Float(0.0, 1.0))
STEPS = 27
PROGRAM = Path(__file__).parent / "programs" / "population.py"


class Curve:
    """A loss that decays to its floor: who decays fast looks better than it is."""

    def __init__(self):
        self.loss = 2.0

    def state_dict(self):
        return {"loss": self.loss}

    def load_state_dict(self, state):
        self.loss = state["loss"]


def after(loss, params, steps):
    for _ in range(steps):
        loss += params["rate"] * (params["floor"] - loss)
    return loss


def train(trial):
    curve = Curve()
    for step in range(trial.checkpoint(curve=curve), trial.max_steps):
        curve.loss = after(curve.loss, trial.params, 1)
        trial.report(step + 1, loss=curve.loss)


def tuned(scheduler, trials=40, **options):
    return gh.tune(
        train, SPACE, minimize="loss", max_steps=STEPS, budget=trials, workers=2, seed=3, sampler="random",
        scheduler=scheduler, progress=False, **options,
    )  # fmt: skip


def test_hyperband_with_a_model_on_its_rungs_finds_the_best_in_fewer_steps():
    study = gh.tune(
        train, SPACE, minimize="loss", max_steps=STEPS, budget=60, workers=2, seed=3, progress=False,
        scheduler="hyperband", sampler="bohb",
    )  # fmt: skip
    ends = sorted(after(2.0, trial.params, STEPS) for trial in tuned("none").trials)
    assert study.history.total_steps < 0.5 * 60 * STEPS
    assert study.best.metrics["loss"] <= ends[3]


@pytest.mark.parametrize("scheduler", ["asha", "hyperband", "median", "pbt", "freeze_thaw"])
def test_what_breaks_a_limit_does_not_take_the_budget(scheduler):
    """The lower the loss the more the limit is broken; most of what is finished keeps to it nevertheless."""
    space = gh.Space(x=gh.Float(0.0, 1.0), y=gh.Float(0.0, 1.0))
    study = Study(
        space, minimize="loss", subject_to="ms <= 5", max_steps=STEPS, budget=40, sampler="random", scheduler=scheduler
    )
    while (trial := study.ask()) is not None:
        x, y = trial.params["x"], trial.params["y"]
        for step in range(trial.step + 1, STEPS + 1):
            told = {"loss": x + 0.3 * y + 1.0 / step, "ms": 10.0 * (1.0 - x)}
            if study.report(trial.number, step, **told) is not gh.Verdict.CONTINUE:
                break
    kept = [trial.params["x"] >= 0.5 for trial in study.history.completed]
    assert sum(kept) > len(kept) / 2
    assert study.best.state is TrialState.COMPLETED
    assert study.best.params["x"] < 0.7


@pytest.mark.parametrize(
    "scheduler",
    ["asha", "hyperband", "median", {"name": "median", "risk": 0.05}, {"name": "asha", "risk": 0.05}, "pbt"],
    ids=str,
)
def test_steps_are_saved_and_the_winner_is_nearly_as_good(scheduler):
    study = tuned(scheduler)
    ends = sorted(after(2.0, trial.params, STEPS) for trial in tuned("none").trials)
    assert len(study.trials) == 40
    assert study.history.total_steps < 0.8 * 40 * STEPS
    assert study.best.step == STEPS
    assert study.best.metrics["loss"] <= ends[3], "among the best tenth of what was to be had"
    for trial in study.trials:
        assert_exact(study.history, trial, after, 2.0)


def test_every_scheduler_is_among_these():
    assert {"asha", "hyperband", "median", "none", "pbt"} <= set(REGISTRY.names())


def test_population_based_training_goes_beyond_any_single_configuration():
    """The floor may be lowered on the way, so that copies end below where their parents would have."""
    study = tuned("pbt", trials=30)
    children = [trial for trial in study.trials if trial.parent is not None]
    assert len(children) > 10
    assert all(trial.source == "pbt" for trial in children)
    assert study.best.parent in range(study.best.number)
    kept = {path.parent.name for path in study.folder.rglob("checkpoint.*")}
    assert kept == {f"trial-{study.best.number:05d}"}, "of all checkpoints the winner's is left"


def train_with_torch(trial):
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(trial.seed)
    weight = torch.nn.Parameter(torch.tensor([2.0, -1.0]))
    optimizer = torch.optim.SGD([weight], lr=trial.params["rate"], momentum=0.5)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 8, gamma=0.5)
    for step in range(trial.checkpoint(model=Weight(weight), optimizer=optimizer, schedule=schedule), trial.max_steps):
        rate = optimizer.param_groups[0]["lr"]
        optimizer.zero_grad()
        (weight**2 * torch.tensor([1.0, 0.1])).sum().backward()
        optimizer.step()
        schedule.step()
        trial.report(step + 1, loss=float((weight.detach() ** 2).sum()), rate=rate)


class Weight:
    """A tensor with state."""

    def __init__(self, weight):
        self.weight = weight

    def state_dict(self):
        return {"weight": self.weight.detach().clone()}

    def load_state_dict(self, state):
        self.weight.data.copy_(state["weight"])


def test_copies_of_a_torch_training_go_on_at_rates_of_their_own():
    study = gh.tune(
        train_with_torch, {"rate": gh.Float(1e-3, 0.5, log=True)}, minimize="loss", max_steps=20, budget=16, seed=1,
        sampler="random", scheduler={"name": "pbt", "population": 6}, workers="serial", progress=False,
    )  # fmt: skip
    children = [trial for trial in study.trials if trial.parent is not None]
    assert len(children) > 5
    for trial in study.trials:
        for report in trial.reports:
            scheduled = trial.params["rate"] * 0.5 ** ((report.step - 1) // 8)
            assert report.metrics["rate"] == pytest.approx(scheduled), "the schedule goes on at the trial's own rate"
    assert study.history.count(TrialState.FAILED) == 0
    for child in (each for each in children if each.reports):
        told = {report.step: report.metrics["loss"] for report in study.trials[child.parent].reports}
        assert child.reports[0].metrics["loss"] <= 1.5 * told.get(child.begin, 9.0), "from where its parent was"


def assert_exact(history, trial, advance, start):
    """The values of a trial are those of an unbroken training, that of its parent up to where it took over."""
    if not trial.reports:
        return
    first = trial.reports[0].step - 1
    assert [report.step for report in trial.reports] == list(range(first + 1, trial.step + 1))
    value = start if trial.parent is None else value_at(history, trial.parent, first, advance, start)
    assert first >= trial.begin
    for report in trial.reports:
        value = advance(value, trial.params, 1)
        assert report.metrics["loss"] == pytest.approx(value, rel=1e-12)


def value_at(history, number, step, advance, start):
    """What the line of a trial had after `step` steps."""
    trial = history.trial(number)
    told = {report.step: report.metrics["loss"] for report in trial.reports}
    if step in told:
        return told[step]
    return start if trial.parent is None else value_at(history, trial.parent, step, advance, start)


def reported(folder):
    log = folder / "reports.txt"
    return len(log.read_text().splitlines()) if log.exists() else 0


def train_and_kill(folder, steps):
    """Run the program in a process group of its own until it trained so many steps more."""
    wanted = reported(folder) + steps
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM)], start_new_session=True, env={**os.environ, "POPULATION_FOLDER": str(folder)}
    )
    deadline = time.monotonic() + 120
    while reported(folder) < wanted and time.monotonic() < deadline:
        assert process.poll() is None, "the study goes on after a kill"
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_a_population_survives_kills_with_every_copy_exact(tmp_path):
    for steps in (90, 101, 113, 127):
        train_and_kill(tmp_path, steps)
    study = Study.load(tmp_path / "study.db")
    assert study.history.total_steps > 300
    children = [trial for trial in study.trials if trial.parent is not None and trial.reports]
    assert len(children) >= 3
    assert study.history.count(TrialState.FAILED) == 0
    for trial in study.trials:
        assert_exact(study.history, trial, after, 2.0)
    study.close()
