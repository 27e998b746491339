"""An objective written for Optuna runs unchanged: its constraints count, and it may look at the study."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import optuna
import pytest
from tests.programs import optuna_objective
from tests.programs.optuna_objective import objective

import greyhound as gh
from greyhound.cli import show
from greyhound.errors import StudyError
from greyhound.integrations.optuna import export_study, import_study
from greyhound.trial import Limit

optuna.logging.set_verbosity(optuna.logging.WARNING)
QUIET = {"name": "given", "progress": False, "finals": False}


def check(study, count):
    """Every trial went well, and the best of them keeps to the constraint, though smaller values break it."""
    assert [trial.error for trial in study.trials] == [None] * count
    assert study.history.limits == (Limit("constraint enough", 0.0),)
    assert study.best.params["x"] >= 0.5
    assert study.best.metrics["constraint enough"] == 0.5 - study.best.params["x"]
    kept = [trial.metrics["value"] for trial in study.trials if trial.params["x"] >= 0.5]
    assert study.best.metrics["value"] == min(kept)
    assert min(trial.params["x"] for trial in study.trials) < 0.5
    for trial in study.trials[1:]:
        assert trial.attrs["seen"][0] > trial.number


def test_an_objective_runs_in_optuna_and_then_here(tmp_path):
    theirs = optuna.create_study(study_name="given", sampler=optuna.samplers.RandomSampler(seed=0))
    theirs.optimize(objective, n_trials=8)
    study = gh.tune(objective, storage=tmp_path / "s.db", budget="16 trials", workers="serial", **QUIET)
    check(study, 16)
    for best in (theirs.best_trial, export_study(study).best_trial):
        assert best.constraints["enough"] <= 0
    assert export_study(study).best_value == study.best.metrics["value"]
    late = [trial for trial in study.trials if trial.number >= 8]
    assert sum(trial.params["x"] >= 0.5 for trial in late) > len(late) / 2, "the sampler learns the limit"


def test_worker_processes_read_the_study_from_its_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = gh.tune(objective, storage="a%20study?.db", budget="8 trials", workers=2, sampler="random", **QUIET)
    check(study, 8)
    assert any(trial.attrs["seen"][1] is not None for trial in study.trials)


def test_worker_processes_read_a_study_in_memory_as_it_was_when_a_trial_was_last_handed_out(monkeypatch):
    monkeypatch.setattr(gh.Study, "name", "given")
    study = gh.tune(objective, budget="8 trials", workers=1, sampler="random", **QUIET)
    check(study, 8)
    for trial in study.trials:
        kept = [other.metrics["value"] for other in study.trials[: trial.number] if other.params["x"] >= 0.5]
        assert trial.attrs["seen"] == [trial.number + 1, min(kept, default=None)]


def test_constraints_survive_a_kill(tmp_path):
    command = [sys.executable, str(Path(optuna_objective.__file__))]
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == -9
    left = gh.Study.load(tmp_path / "s.db")
    assert len(left.trials) == 5
    assert left.history.limits == (Limit("constraint enough", 0.0),)
    left.close()
    subprocess.run(command, cwd=tmp_path, check=True)
    study = gh.Study.load(tmp_path / "s.db")
    assert study.trials[4].restarts == 1
    check(study, 8)


def test_a_constraint_that_only_some_trials_set_binds_only_those():
    def only_sometimes(trial):
        x = trial.suggest_float("x", 0.0, 1.0)
        if x > 0.5:
            trial.set_constraint("small", x)
            trial.set_constraint("small", -1.0)  # as in Optuna, the first value counts
        return -x

    study = gh.tune(only_sometimes, budget="8 trials", workers="serial", sampler="random", **QUIET)
    assert max(trial.params["x"] for trial in study.trials) > 0.5
    assert study.best.params["x"] == max(trial.params["x"] for trial in study.trials if trial.params["x"] <= 0.5)


def test_what_cannot_be_had_is_told_in_a_sentence():
    study = gh.Study(storage=None)
    trial = study.ask()
    with pytest.raises(StudyError, match="constraint c must be a number; got 'much'"):
        trial.set_constraint("c", "much")
    with pytest.raises(StudyError, match="c is NaN"):
        trial.set_constraint("c", float("nan"))
    with pytest.raises(AttributeError, match=r"trial\.study\.enqueue_trial is not there: an objective may read"):
        trial.study.enqueue_trial({})
    with pytest.raises(ValueError, match="no trial is completed"):
        _ = trial.study.best_value
    with pytest.raises(RuntimeError, match="several objectives"):
        _ = gh.Study(minimize=["a", "b"]).ask().study.best_value


def test_older_names_of_suggestions():
    trial = gh.Study().ask()
    assert 1.0 <= trial.suggest_uniform("a", 1.0, 2.0) <= 2.0
    assert 1e-3 <= trial.suggest_loguniform("b", 1e-3, 1.0) <= 1.0
    assert trial.suggest_discrete_uniform("c", 0.0, 1.0, 0.25) % 0.25 == 0
    assert trial.distributions["b"] == optuna.distributions.FloatDistribution(1e-3, 1.0, log=True)
    assert trial.distributions["c"] == optuna.distributions.FloatDistribution(0.0, 1.0, step=0.25)


def noted(trial):
    """What Optuna keeps of a trial beside numbers: numpy's and none that are finite."""
    trial.set_user_attr("epoch", np.int64(3))
    trial.set_user_attr("auc", float("nan"))
    return {"b": 2.0, "a": 1.0}[trial.suggest_categorical("which", {"b": 2.0, "a": 1.0}.keys())]


def test_attributes_of_numpy_or_not_finite_go_there_and_back(tmp_path):
    file = tmp_path / "s.db"
    study = gh.tune(noted, storage=file, budget="3 trials", workers="serial", **QUIET)
    assert study.best.params == {"which": "a"}
    study.close()
    kept = gh.Study.load(file)
    record = show.record(kept.trials[0], None, full=True)
    assert json.loads(json.dumps(record["attrs"], allow_nan=False)) == {"epoch": 3, "auc": None}
    theirs = optuna.create_study()
    theirs.optimize(noted, n_trials=2)
    for trials in (kept.trials, import_study(export_study(kept)).trials, import_study(theirs).trials):
        assert trials[0].attrs["epoch"] == 3
        assert math.isnan(trials[0].attrs["auc"])
