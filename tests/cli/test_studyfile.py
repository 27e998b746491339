"""A study file does what the flags do, and what it says wrong is told with its line."""

import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greyhound.cli.studyfile import read_study_file
from greyhound.errors import GreyhoundError
from greyhound.space import Categorical, Float, Space
from greyhound.study import Study

STUDY = """
    space:
      x: {type: float, low: 0, high: 1e-0, default: 0.5}
      kind: {type: categorical, choices: [a, b], default: a}
    command: python3 train.py --x {x} --kind {kind}
    maximize: score
    budget: 5 trials
    workers: 2
    sampler: {name: grid, levels: 3}
    seed: 4
    storage: mine.db
    enqueue:
      - {x: 0.25, kind: b}
"""


def written(folder, text):
    path = folder / "study.yaml"
    path.write_text(textwrap.dedent(text))
    return path


def test_a_study_file_does_what_the_flags_do(folder, greyhound):
    written(folder, STUDY)
    result = greyhound("run", "study.yaml", "--no-report")
    assert result.returncode == 0, result.stderr
    study = Study.load(folder / "mine.db")
    assert len(study.trials) == 5
    assert study.trials[1].params == {"x": 0.25, "kind": "b"}
    assert study.settings.seed == 4
    assert study.sampler_name == "grid"
    assert greyhound("status", "study.yaml").stdout == greyhound("status", "mine.db").stdout


def test_flags_win_over_the_file(folder, greyhound):
    written(folder, STUDY)
    result = greyhound("run", "study.yaml", "--budget", "3 trials", "--no-report")
    assert "3 trials: 3 completed" in result.stdout


def test_paths_are_relative_to_the_file(folder):
    inner = folder / "inner"
    inner.mkdir()
    (inner / "train.py").write_text("")
    (inner / "space.yaml").write_text("x: {type: float, low: 0, high: 1}")
    path = written(inner, "space: space.yaml\ncommand: python3 train.py {x}\nmaximize: s\nstorage: t.db")
    settings = read_study_file(path)
    assert settings["space"] == Space(x=Float(0, 1))
    assert settings["command"] == ["python3", str(inner / "train.py"), "{x}"]
    assert settings["storage"] == str(inner / "t.db")


@pytest.mark.parametrize("name", ["study.yaml", "my.study.yml"])
def test_the_study_is_kept_beside_its_file_under_the_same_name(name, folder, greyhound):
    inner = folder / "inner"
    inner.mkdir()
    path = inner / name
    path.write_text("space: ../space.yaml\ncommand: python train.py\nmaximize: score\nbudget: 1 trial\nworkers: 1")
    run = greyhound("run", path, "--no-report")
    assert run.returncode == 0, run.stderr
    assert len(Study.load(path.with_suffix(".db")).trials) == 1
    assert "1 trial: 1 completed" in greyhound("status", path).stdout
    again = greyhound("resume", path, "--add", "1 trial", "--no-report")
    assert "2 trials: 2 completed" in again.stdout, again.stderr


def test_the_space_may_be_inline(tmp_path):
    assert read_study_file(written(tmp_path, STUDY))["space"] == Space(
        x=Float(0, 1, default=0.5), kind=Categorical(["a", "b"], default="a")
    )


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("command: a\nbudgt: 2h\n", 2, "unknown key 'budgt'; did you mean 'budget'?"),
        ("command: a\n\nmax_steps: many\n", 3, "max_steps must be a whole number; got 'many'"),
        ("command: a\nbudget: 2 parsecs\n", 2, "unknown amount '2 parsecs'"),
        ("command: a\ntrial_timeout: 3 trials\n", 2, "trial_timeout: cannot read '3 trials'"),
        ("command: a\nbudget: 2h\ntrial_timeout: soon\n", 3, "trial_timeout: cannot read 'soon'"),
        ("command: a\nspace:\n  lr: {type: float, low: 0, hihg: 1}\n", 3, "hihg"),
        ("command: a\nspace:\n  lr: {type: float, low: 2, high: 1}\n", 3, "low must be below high"),
        ("maximize: x\ncommand: python a.py 'b\n", 2, "command cannot be split into words: no closing quotation in"),
        ("maximize: x\n", 1, "give either command (a script) or function"),
        ("command: a\nfunction: b:c\n", 1, "give either command (a script) or function"),
        ("- a\n- b\n", 1, "a study file is a table"),
        ("command: a\nenqueue: 3\n", 2, "enqueue must be a list of configurations"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text, line, told, tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(GreyhoundError) as error:
        read_study_file(path)
    assert told in str(error.value)
    assert f"study.yaml, line {line}:" in str(error.value)
    assert "\n" not in str(error.value)


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_random_bytes_give_one_clear_error(tmp_path_factory, content):
    path = Path(tmp_path_factory.mktemp("garbage")) / "study.yaml"
    path.write_bytes(content)
    with pytest.raises(GreyhoundError):
        read_study_file(path)
