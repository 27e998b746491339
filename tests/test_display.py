"""What a running study shows: the table's content, and the lines where there is no terminal."""

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

import greyhound as gh
from greyhound import display
from greyhound import events as ev
from greyhound.analysis import summary
from greyhound.budget import Budget
from greyhound.errors import StudyError
from greyhound.executors import WorkerInfo
from greyhound.history import History
from greyhound.settings import Settings
from greyhound.trial import Objective, TrialState

SPACE = gh.Space({f"a_parameter_with_a_long_name_{at}": gh.Float(0, 1) for at in range(6)})
PARAMS = dict.fromkeys(SPACE, 0.25)


def a_history(**settings):
    """Trial 0 ended with 0.5 after 9 steps; trial 1 runs, and has 0.25 after 3."""
    settings = Settings(
        objectives=(Objective("accuracy", True),), space=SPACE, max_steps=9, **{"budget": Budget(), **settings}
    )
    return History.of(
        [
            ev.Declared(100.0, settings.to_json()),
            ev.Joined(100.0, "a", "host", 1, 100.0),
            ev.Started(100.0, 0, PARAMS, 1, "sobol", "a", until=9),
            ev.Reported(130.0, 0, 9, {"accuracy": 0.5}),
            ev.Ended(130.0, 0, TrialState.COMPLETED, {"accuracy": 0.5}, "a"),
            ev.Started(131.0, 1, PARAMS, 2, "sobol", "a", until=9),
            ev.Reported(140.0, 1, 3, {"accuracy": 0.25}),
        ]
    )


def drawn(history, workers, width=80, now=150.0):
    console = Console(width=width, file=io.StringIO())
    console.print(display.picture(history, workers, now))
    return console.file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_table_shows_what_each_worker_does_however_narrow_it_is(width):
    table = drawn(a_history(), [WorkerInfo("w0", "cuda:0", 1), WorkerInfo("w1", "cuda:1", None)], width)
    busy = next(line for line in table.splitlines() if "w0" in line)
    assert busy.split()[:5] == ["w0", "cuda:0", "1", "3/9", "0.25"]
    assert any(line.split()[:3] == ["w1", "cuda:1", "-"] for line in table.splitlines())


def test_the_table_shows_counts_the_best_and_the_time_left():
    table = drawn(a_history(budget=Budget.parse("2m")), [])
    assert "2: 1 running, 1 completed" in table
    assert "accuracy 0.5 after 9 steps (trial 0)" in table
    assert "1 min 10 s left" in table


def test_without_a_budget_the_table_shows_the_time_so_far():
    assert "50 s so far" in drawn(a_history(), [])


def test_the_table_shows_values_as_they_are():
    params = {"act": "[relu]-[/relu]", "kind": ":key:"}
    space = gh.Space({name: gh.Categorical([value, "other"]) for name, value in params.items()})
    settings = Settings((Objective("loss", False),), space)
    history = History.of(
        [
            ev.Declared(100.0, settings.to_json()),
            ev.Joined(100.0, "a", "host", 1, 100.0),
            ev.Started(100.0, 0, params, 1, "sobol", "a"),
        ]
    )
    assert "act=[relu]-[/relu], kind=:key:" in drawn(history, [WorkerInfo("w0", "cuda:0", 0)])


def test_lines_tell_each_new_best_value_once(capsys):
    lines = display.Lines()
    history = a_history()
    lines.update(history, None)
    lines.update(history, None)
    assert capsys.readouterr().out == "best so far: trial 0, accuracy 0.5 after 9 steps\n"


def test_one_trial_is_told_as_one(capsys, monkeypatch):
    monkeypatch.setattr(display, "_LINE_EVERY_S", 0.0)
    declared = ev.Declared(100.0, a_history(budget=Budget.parse("1 trial")).settings.to_json())
    history = History.of([declared, ev.Started(100.0, 0, PARAMS, 1, "sobol", "a")])
    display.Lines().update(history, None)
    assert capsys.readouterr().out == "1 trial: 1 running; 1 of 1 trial\n"
    assert summary.lines(history)[0] == "1 trial: 1 running"
    assert str(history.settings.budget) == "1 trial"
    assert summary.lines(a_history())[0] == "2 trials: 1 running, 1 completed"


def test_lines_tell_the_first_failure_of_each_kind(capsys):
    lines = display.Lines()
    for number in range(3):
        lines.failed(number, TrialState.FAILED, "Traceback…\nValueError: no such layer")
    lines.failed(3, TrialState.OUT_OF_MEMORY, "CUDA out of memory")
    assert capsys.readouterr().out.splitlines() == [
        "trial 0 failed: ValueError: no such layer",
        "trial 3 out of memory: CUDA out of memory",
    ]


def test_of_an_endless_line_of_an_error_the_beginning_is_told(capsys):
    display.Lines().failed(0, TrialState.FAILED, "ValueError: " + "y" * 1_000_000)
    told = capsys.readouterr().out
    assert told.startswith("trial 0 failed: ValueError: yyy")
    assert len(told) < 500


def test_a_pipe_gets_lines_and_nothing_more_where_progress_is_off(capsys):
    assert type(display.make_display("auto")) is display.Lines
    assert type(display.make_display(True)) is display.Live
    with display.make_display(False) as quiet:
        quiet.warn("a warning")
    assert capsys.readouterr().out == ""
    with pytest.raises(StudyError, match=r"progress must be .*; got 'loud'"):
        display.make_display("loud")


@pytest.mark.parametrize(
    ("encoding", "term", "kind"),
    [("utf-8", "xterm", "Live"), ("utf-8", "dumb", "Lines"), ("latin-1", "xterm", "Lines")],
)
def test_a_table_is_drawn_where_the_terminal_can_redraw_it(encoding, term, kind):
    code = "from greyhound.display import make_display; print(type(make_display('auto')).__name__)"
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "TERM": term}
    subprocess.run([sys.executable, "-c", code], stdout=theirs, env=environment, check=True)
    assert os.read(ours, 100).decode().split() == [kind]
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize("progress", ["live", "lines"])
def test_a_study_goes_on_when_its_terminal_is_closed(progress, tmp_path):
    code = f"""
import sys
import greyhound as gh
def train(trial):
    if trial.number == 0:
        print("begun", flush=True)
        sys.stdin.readline()
    return trial.params["x"]
space = gh.Space(x=gh.Float(0, 1))
gh.tune(train, space, budget="3 trials", workers="serial", storage="tune.db", progress={progress!r})
"""
    ours, theirs = pty.openpty()
    program = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=theirs, cwd=tmp_path)
    os.close(theirs)
    seen = b""
    while b"begun\r\n" not in seen:  # all of it, or the training would fail to print the rest
        seen += os.read(ours, 1000)
    os.close(ours)
    program.communicate(b"\n")
    assert program.returncode == 0
    assert gh.Study.load(tmp_path / "tune.db").history.count(TrialState.COMPLETED) == 3


def test_lines_escape_what_the_output_cannot_hold(monkeypatch):
    output = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", output)
    display.Lines().warn("größe=→")
    assert output.buffer.getvalue().decode("latin-1") == "größe=\\u2192\n"


def test_the_command_that_continues_fits_how_the_study_was_made(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["python", "my tune.py"])
    space = gh.Space(x=gh.Float(0, 1))
    assert display.how_to_continue(gh.Study(space, minimize="loss")) is None
    study = gh.Study(space, minimize="loss", storage=tmp_path / "a.db", budget="1 trial")
    assert display.how_to_continue(study) == "run the program again: python 'my tune.py'"
    study.tell(study.ask(), loss=1.0)
    token = display.AGAIN.set(["folder=a b"])
    assert display.how_to_continue(study).endswith("with a larger budget: python 'my tune.py' 'folder=a b'")
    display.AGAIN.reset(token)


def test_outside_of_an_activated_environment_the_command_names_the_interpreter(tmp_path, monkeypatch):
    study = gh.Study(
        gh.Space(x=gh.Float(0, 1)), minimize="loss", storage=tmp_path / "a.db", target={"function": "train:train"}
    )
    monkeypatch.setenv("PATH", "")
    command = display.how_to_continue(study)
    assert command.endswith(f" -m greyhound resume {tmp_path / 'a.db'}")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert display.how_to_continue(study) == f"greyhound resume {tmp_path / 'a.db'}"
