"""The examples for people who come with a program of their own, in a small setting."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

from greyhound.study import Study

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


def example(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short(path):
    assert len(path.read_text().splitlines()) < 80


def test_optuna_unchanged(capsys):
    theirs, ours = example("optuna_unchanged").main(trials=6, workers="serial")
    assert len(theirs.trials) == len(ours.trials) == 6
    assert min(theirs.best_value, ours.best.metrics["value"]) > 0.85
    assert "in Greyhound's" in capsys.readouterr().out


def test_hyperopt_unchanged():
    best, trials = example("hyperopt_unchanged").main(max_evals=12)
    assert len(trials) == 12
    assert set(best) == {"scaler", "model"}
    assert -min(trials.losses()) > 0.9


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_sklearn_pipeline_goes_on_where_it_was(tmp_path, capsys):
    example("sklearn_pipeline").main(n_trials=4, n_jobs=1, folder=tmp_path)
    search = example("sklearn_pipeline").main(n_trials=6, n_jobs=1, folder=tmp_path)
    assert len(search.cv_results_["params"]) == 6
    assert search.best_score_ > 0.9
    assert "on data it never saw 0.9" in capsys.readouterr().out
    assert (tmp_path / "pipeline.html").stat().st_size > 10_000


def test_script_unchanged(tmp_path):
    folder = EXAMPLES / "script_unchanged"
    command = [sys.executable, "-m", "greyhound", "run", folder / "train.py", "--space", folder / "space.yaml"]
    options = [
        "--maximize",
        "accuracy",
        "--budget",
        "2 trials",
        "--max-steps",
        "9",
        "--workers",
        "1",
        "--storage",
        "s.db",
    ]
    done = subprocess.run(
        [*map(str, command), *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    study = Study.load(tmp_path / "s.db")
    assert len(study.trials) == 2
    assert study.best.metrics["accuracy"] > 0.9
