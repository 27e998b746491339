"""`greyhound scale`, and the commands that tell what matters and which trial to take."""

import json
import re
import textwrap

import pytest
from typer.testing import CliRunner

from greyhound.cli.app import app
from greyhound.errors import GreyhoundError, StudyError
from greyhound.space import Float, Space
from greyhound.study import Study

UNIT = Float(0.0, 1.0)

SCRIPT = """
    import argparse, json, math
    parser = argparse.ArgumentParser()
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--offset", type=float, default=0.0)
    options = parser.parse_args()
    best = 0.5 / options.width**0.5
    print(json.dumps({"accuracy": options.offset - abs(math.log(options.lr / best))}))
"""
SCALE = [
    "scale", "train.py", "--sizes", "16,32,64", "--predict", "256", "--parameter", "lr", "--size-parameter", "width",
    "--space", "space.yaml", "--maximize", "accuracy", "--budget", "5 trials", "--workers", "2", "--quiet",
]  # fmt: skip


@pytest.fixture
def scripted(folder):
    (folder / "train.py").write_text(textwrap.dedent(SCRIPT))
    (folder / "space.yaml").write_text("lr: {type: float, low: 1e-3, high: 1, log: true}\n")
    return folder


def test_scale_tunes_each_size_and_forecasts_the_big_one(scripted, greyhound):
    done = greyhound(*SCALE, "--output", "big.yaml", "--", "--offset", "5")
    assert done.returncode == 0, done.stderr
    for size in (16, 32, 64):
        assert re.search(rf"^width {size}: lr 0\.\d+ \(the mean over the best 3", done.stdout, re.MULTILINE)
    assert re.search(r"^power law: 0\.\d+ \(.* to .*\)", done.stdout, re.MULTILINE)
    assert re.search(r"^forecast: lr 0\.\d+ at width 256", done.stdout, re.MULTILINE)
    narrowed = Space.from_yaml((scripted / "big.yaml").absolute())
    assert narrowed["width"].default == 256
    assert narrowed["lr"].low < narrowed["lr"].default < narrowed["lr"].high
    assert Study.load("train-scale.db", "width-16").best.metrics["accuracy"] > 0, "the script's own arguments arrive"

    again = asked(*SCALE, "--", "--offset", "5")
    assert again.strip() == done.stdout.partition("# wrote")[0].strip()
    assert len(Study.load("train-scale.db", "width-16").trials) == 5, "nothing was trained again"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (["--sizes", "16,x"], "--sizes must be numbers with commas between"),
        (["--sizes", "16,32"], "at least 3 sizes"),
        (["--predict", "0"], "give --predict too"),
        (["--parameter", "rate"], "no parameter 'rate'; the space has lr"),
        (["--minimize", "loss"], "one metric is followed"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(scripted, changed, message):
    with pytest.raises(StudyError, match=message):
        asked(*SCALE, *changed)


def asked(*arguments):
    """What a command says, in this process; what it raises is raised."""
    result = CliRunner().invoke(app, [*arguments])
    if isinstance(result.exception, GreyhoundError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_importance_names_what_matters(folder):
    study = Study({"x": UNIT, "y": UNIT}, minimize="loss", sampler="random", storage="a.db", budget="30 trials")
    with study:
        while (trial := study.ask()) is not None:
            study.tell(trial, trial.params["x"])
    assert re.match(r"x +\d+\.\d% +█+\ny ", asked("importance", "a.db"))
    shares = json.loads(asked("importance", "a.db", "--method", "grey", "--json"))
    assert list(shares) == ["x", "y"]
    assert sum(shares.values()) == pytest.approx(1.0)
    with pytest.raises(StudyError, match="there is no method 'luck'"):
        asked("importance", "a.db", "--method", "luck")


def test_importance_claims_nothing_of_three_trials(folder):
    with Study({"x": UNIT}, minimize="loss", sampler="random", storage="a.db", budget="3 trials") as study:
        while (trial := study.ask()) is not None:
            study.tell(trial, trial.params["x"])
    assert "nothing is known yet" in asked("importance", "a.db")


def test_rank_recommends_one_of_the_front(folder):
    goals = {"maximize": "accuracy", "minimize": "megabytes"}
    study = Study({"x": UNIT}, **goals, sampler="random", storage="b.db", budget="12 trials")
    with study:
        while (trial := study.ask()) is not None:
            study.tell(trial, accuracy=trial.params["x"], megabytes=trial.params["x"] ** 4)
    first, *_, reason = asked("rank", "b.db").splitlines()
    number = study.rank()[0][0].number
    assert f"trial {number}:" in first
    assert reason.startswith(f"Trial {number} comes nearest")
    records = json.loads(asked("rank", "b.db", "--weight", "megabytes=0", "--json"))
    assert records["trials"][0]["metrics"]["accuracy"] == max(trial.metrics["accuracy"] for trial in study.trials)
    with pytest.raises(StudyError, match="must be written as accuracy=2"):
        asked("rank", "b.db", "--weight", "accuracy")
