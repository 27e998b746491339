"""Hydra: a multirun is a study; jobs are trials that can be paused; Hydra's folders and files are where they belong."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

import greyhound as gh
from greyhound.integrations.hydra import parameter, written
from greyhound.study import Study
from greyhound.trial import TrialState

APP = Path(__file__).parents[1] / "programs" / "hydra_project" / "app.py"


def launch(folder, *arguments):
    options = ["maximize=score", "max_steps=9", "workers=1", "sampler=random", "progress=false"]
    command = [
        sys.executable, str(APP), "-m", "hydra/sweeper=greyhound", *(f"hydra.sweeper.{each}" for each in options),
        f"hydra.sweep.dir={folder}/sweep", f"notes={folder}", *arguments,
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return Study.load(folder / "sweep" / "greyhound.db")


@pytest.mark.slow
def test_a_multirun_is_a_study_whose_jobs_pause_survive_kills_and_fail_alone(tmp_path):
    study = launch(
        tmp_path, "hydra.sweeper.budget=7 trials", "x=interval(0.0, 1.0)", "net=glob(*)",
        "text=choice(plain, 'a b', \"it's\")", "fail=true", "kill=true",
    )  # fmt: skip
    default = {"x": 0.5, "net": "small", "text": "plain"}
    assert (study.trials[0].source, study.trials[0].params) == ("default", default)
    assert study.trials[0].restarts == 1
    starts = [line.split()[0] for line in (tmp_path / "0.txt").read_text().splitlines()]
    assert starts[0] == "0"
    assert "a mistake of mine" in study.trials[1].error
    assert study.trials[1].state is TrialState.FAILED
    assert study.history.count(TrialState.PAUSED), "the side channel stops jobs early"
    for trial in study.trials:
        value, width = 0.0, {"small": 1, "large": 2}[trial.params["net"]]
        for report in trial.reports:
            value = 0.5 * value + trial.params["x"] * width
            assert report.metrics["score"] == pytest.approx(value, rel=1e-12), "it went on from its state"
        config = OmegaConf.load(tmp_path / "sweep" / str(trial.number) / ".hydra" / "config.yaml")
        assert (config.x, config.net.width, config.text) == (trial.params["x"], width, trial.params["text"])
    results = OmegaConf.load(tmp_path / "sweep" / "optimization_results.yaml")
    assert results.best_value == study.best.metrics["score"]
    assert dict(results.best_params) == study.best.params
    assert (tmp_path / "sweep" / "multirun.yaml").exists()


@pytest.mark.slow
@pytest.mark.parametrize("chosen", ["basic", "joblib"])
def test_a_launcher_is_not_used_and_a_warning_says_what_to_write(tmp_path, chosen):
    launchers = tmp_path / "more" / "hydra" / "launcher"
    launchers.mkdir(parents=True)
    (launchers / "joblib.yaml").write_text("_target_: hydra_plugins.joblib.JoblibLauncher\nn_jobs: 4\n")
    (tmp_path / "app.py").write_text(
        "import hydra\n\n@hydra.main(config_path='more', config_name=None, version_base='1.3')\n"
        "def main(cfg):\n    return cfg.x\n\nmain()\n"
    )
    options = ["workers=1", "sampler=random", "progress=false", "budget=1 trials"]
    done = subprocess.run(
        [sys.executable, "app.py", "-m", "hydra/sweeper=greyhound", f"hydra/launcher={chosen}", "+x=interval(0, 1)",
         *(f"hydra.sweeper.{each}" for each in options), "hydra.sweep.dir=sweep"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    warned = "hydra/launcher=joblib is not used" in done.stderr and "hydra.sweeper.workers" in done.stderr
    assert warned == (chosen == "joblib")
    assert len(Study.load(tmp_path / "sweep" / "greyhound.db").trials) == 1


def tiny(folder, *arguments, body="return cfg.x"):
    (folder / "app.py").write_text(
        f"import hydra\n\n@hydra.main(config_path=None, version_base='1.3')\ndef main(cfg):\n    {body}\n\nmain()\n"
    )
    options = ["workers=1", "sampler=random"]
    return subprocess.run(
        [sys.executable, "app.py", "-m", "hydra/sweeper=greyhound", *(f"hydra.sweeper.{each}" for each in options),
         *arguments],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_a_group_is_swept_for_each_of_its_packages_and_what_is_written_last_holds(tmp_path):
    files = {
        "config": "defaults: [{db@source: a}, {db@target: b}, {override hydra/sweeper: greyhound}]\nx: 0\n"
        "hydra: {sweeper: {workers: 1, progress: false, budget: 6, params: {x: 'interval(0, 1)'}}}",
        "db/a": "host: 1",
        "db/b": "host: 2",
    }
    for name, text in files.items():
        (tmp_path / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "conf" / f"{name}.yaml").write_text(text)
    (tmp_path / "app.py").write_text(
        "import hydra\n\n@hydra.main(config_path='conf', config_name='config', version_base='1.3')\n"
        "def main(cfg):\n    return 100 * cfg.x + 10 * cfg.source.host + cfg.target.host\n\nmain()\n"
    )
    sweeps = ["db@source=choice(a,b)", "db@target=choice(a,b)", "x=3", "hydra.sweep.dir=sweep"]
    subprocess.run([sys.executable, "app.py", "-m", *sweeps], cwd=tmp_path, capture_output=True, check=True)
    trials = Study.load(tmp_path / "sweep" / "greyhound.db").trials
    assert trials[0].params == {"db@source": "a", "db@target": "b"}, "the application's own choices are the default"
    assert sorted(trial.metrics["value"] for trial in trials) == [311, 312, 321, 322]


@pytest.mark.slow
@pytest.mark.parametrize("given", [(), ("hydra.sweep.dir=a b/c",), ("hydra.sweeper.storage=tune.db",)])
def test_the_last_line_goes_on_with_the_study(tmp_path, given):
    done = tiny(tmp_path, "hydra.sweeper.budget=1 trials", "+x=interval(0, 1)", *given)
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout.splitlines()[-1]
    assert told.startswith("continue: run the program again with a larger budget: ")
    again = shlex.split(told.partition("budget: ")[2].replace("1 trials", "2 trials"))
    subprocess.run(again, cwd=tmp_path, capture_output=True, check=True)
    (file,) = tmp_path.glob("**/*.db")
    assert len(Study.load(file).trials) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("+x=1", "there is nothing to sweep: write for example"),
        ("+x=tag(log, interval(0, 1))", "x: low must be above 0 with log=True; got low=0.0."),
        ("+x=choice({a: 1}, {b: 2})", "x: a choice must be text, a number"),
    ],
)
def test_what_cannot_be_swept_is_told_in_a_sentence(tmp_path, argument, message):
    done = tiny(tmp_path, "hydra.sweeper.budget=1 trials", argument)
    assert done.returncode == 1
    assert done.stderr.startswith(message)
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_sweep_whose_jobs_all_fail_has_failed(tmp_path):
    done = tiny(tmp_path, "hydra.sweeper.budget=2 trials", "+x=interval(0, 1)", body="raise ValueError('a mistake')")
    assert done.returncode == 1
    assert done.stderr.startswith("every job failed; the last error: ValueError: a mistake\n")
    assert len(Study.load(next(tmp_path.glob("**/greyhound.db"))).trials) == 2


def sweep_of(text):
    return OverridesParser.create().parse_override(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x=interval(0.0, 1.0)", gh.Float(0.0, 1.0)),
        ("x=tag(log, interval(1e-5, 1e-1))", gh.Float(1e-5, 1e-1, log=True)),
        ("x=int(interval(1, 9))", gh.Int(1, 9)),
        ("x=tag(log, int(interval(1, 512)))", gh.Int(1, 512, log=True)),
        ("x=range(1, 10, 3)", gh.Ordinal([1, 4, 7])),
        ("x=tag(ordinal, choice(16, 32, 64))", gh.Ordinal([16, 32, 64])),
        ("x=choice(a, 'b c', true, 2.5)", gh.Categorical(["a", "b c", True, 2.5])),
        ("x=a,b", gh.Categorical(["a", "b"])),
        ("x=choice([1,2],[3])", gh.Categorical([(1, 2), (3,)])),
    ],
)
def test_each_sweep_is_a_parameter(text, expected):
    assert parameter(sweep_of(text)) == expected


def test_the_applications_own_value_is_the_default():
    assert parameter(sweep_of("x=interval(0.0, 1.0)"), 0.25) == gh.Float(0.0, 1.0, default=0.25)
    assert parameter(sweep_of("x=interval(0.0, 1.0)"), 2.0) == gh.Float(0.0, 1.0), "not where it is outside"


@pytest.mark.parametrize(
    "value",
    [0.1, 1e-7, 3, -2, True, None, "adamw", "a b", "/a/b-c", "it's", 'say "hi"', "true", "1e3", "a,b=[c]", (1, "x y")],
)
def test_a_value_comes_back_from_an_override(value):
    found = sweep_of(f"x={written(value)}").value()
    found = [getattr(each, "text", each) for each in found] if isinstance(found, list) else found
    assert found == (list(value) if isinstance(value, tuple) else value)
    assert type(found) is (list if isinstance(value, tuple) else type(value))
