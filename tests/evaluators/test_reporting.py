"""`greyhound.report` and `greyhound.params` in a script, with a study behind it and without."""

import json
import os
import socket
import subprocess
import sys
import textwrap
import threading

import pytest
import torch

import greyhound
from greyhound.evaluators.reporting import LINE, PARAMS


def run(program, environment=None, timeout=30, **options):
    return subprocess.run(
        [sys.executable, "-c", "import greyhound\n" + textwrap.dedent(program)],
        env={**{k: v for k, v in os.environ.items() if k not in (LINE, PARAMS)}, **(environment or {})},
        capture_output=True, text=True, timeout=timeout, **options,
    )  # fmt: skip


@pytest.fixture
def line():
    """Both ends of a line: the test plays the worker at the first."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def run_on(line, program, **options):
    """A script at the far end of the line."""
    _, theirs = line
    return run(program, {LINE: str(theirs.fileno())}, pass_fds=[theirs.fileno()], **options)


def answering(ours, *answers):
    """A worker that gives one answer to each report; what it is told is appended to the list."""
    told = []

    def work():
        with ours.makefile("r") as reports:
            for answer in answers:
                told.append(json.loads(reports.readline()))
                ours.sendall(answer)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return told, thread


def test_run_by_hand_a_report_is_a_line_of_json_and_nothing_else_happens():
    done = run("greyhound.report(3, score=0.5, loss=2)\nprint('on')")
    first, rest = done.stdout.split("\n", 1)
    assert json.loads(first) == {"step": 3, "score": 0.5, "loss": 2.0}
    assert (rest, done.stderr, done.returncode) == ("on\n", "", 0)


def test_run_by_hand_there_are_no_parameters():
    assert run("print(greyhound.params())").stdout == "{}\n"


def test_in_a_study_the_parameters_are_the_trial_s():
    done = run("print(greyhound.params() == {'lr': 0.1, 'layers': [1, 2], 'kind': None})",
               {PARAMS: '{"lr": 0.1, "layers": [1, 2], "kind": null}'})  # fmt: skip
    assert done.stdout == "True\n"


def test_the_parameters_are_the_caller_s_to_change():
    program = "greyhound.params()['lr'] = 9\nprint(greyhound.params())"
    assert run(program, {PARAMS: '{"lr": 0.1}'}).stdout == "{'lr': 0.1}\n"


def test_numbers_of_numpy_are_metrics_and_steps():
    done = run(
        """
        import numpy as np
        greyhound.report(np.int64(3), score=np.float32(0.5), flag=np.bool_(True))
        """
    )
    assert json.loads(done.stdout) == {"step": 3, "score": 0.5, "flag": 1.0}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ("1, score='good'", "greyhound.report: metric 'score' must be a number; got 'good'."),
        ("1, score='0.5'", "greyhound.report: metric 'score' must be a number; got '0.5'."),
        ("1, score=10**400", "greyhound.report: metric 'score' must be a number; got 1000"),
        ("-1, score=0.5", "greyhound.report: the step must be a whole number of at least 0; got -1."),
        ("0.9, score=0.5", "greyhound.report: the step must be a whole number of at least 0; got 0.9."),
        ("True, score=0.5", "greyhound.report: the step must be a whole number of at least 0; got True."),
        ("1", "greyhound.report: there are no metrics; write them by name, as in greyhound.report(3, score=0.9)."),
    ],
)
def test_a_report_that_cannot_be_taken_fails_where_it_is_made(arguments, why):
    done = run(f"greyhound.report({arguments})")
    assert (done.stdout, done.returncode) == ("", 1)
    assert f"StudyError: {why}" in done.stderr.splitlines()[-1]


def test_a_tensor_that_training_goes_on_with_is_a_metric(capsys):
    greyhound.report(torch.tensor(3), score=torch.tensor([0.5], requires_grad=True))
    assert capsys.readouterr().out == '{"step": 3, "score": 0.5}\n'


def test_a_report_goes_out_by_the_line_and_a_go_ahead_comes_back(line):
    ours, _ = line
    told, worker = answering(ours, b"continue\n", b"continue\n")
    done = run_on(line, "greyhound.report(1, score=0.5)\ngreyhound.report(2, score=0.6)\nprint('trained on')")
    worker.join(10)
    assert told == [{"step": 1, "score": 0.5}, {"step": 2, "score": 0.6}]
    assert (done.stdout, done.returncode) == ("trained on\n", 0), "nothing is printed besides"


def test_a_stop_ends_the_script_as_if_it_were_done(line):
    ours, _ = line
    answering(ours, b"continue\n", b"stop\n")
    done = run_on(
        line,
        """
        try:
            for step in range(1, 9):
                try:
                    greyhound.report(step, score=0.5)
                except Exception:
                    pass
        finally:
            print("cleaned up after", step)
        print("trained on")
        """,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("cleaned up after 2\n", "", 0)


def test_a_stop_that_comes_with_an_earlier_answer_is_not_lost(line):
    ours, _ = line
    ours.sendall(b"continue\nstop\n")
    done = run_on(line, "greyhound.report(1, score=0.5)\ngreyhound.report(2, score=0.5)", timeout=2)
    assert (done.stdout, done.returncode) == ("", 0)


def test_a_script_whose_worker_ends_without_an_answer_ends(line):
    ours, _ = line
    ours.shutdown(socket.SHUT_WR)
    done = run_on(line, "greyhound.report(1, score=0.5)\nprint('trained on')")
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_a_script_whose_worker_is_gone_ends(line):
    ours, _ = line
    ours.close()
    done = run_on(line, "greyhound.report(1, score=0.5)\nprint('trained on')")
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_a_process_that_did_not_inherit_the_line_prints_its_reports(line):
    _, theirs = line
    done = run("greyhound.report(1, score=0.5)\nprint('trained on')", {LINE: str(theirs.fileno())})
    assert done.stdout == '{"step": 1, "score": 0.5}\ntrained on\n'


def test_a_line_that_is_some_other_file_is_not_written_to(tmp_path):
    with open(tmp_path / "other", "w") as other:
        done = run("greyhound.report(1, score=0.5)", {LINE: str(other.fileno())}, pass_fds=[other.fileno()])
    assert done.stdout == '{"step": 1, "score": 0.5}\n'
    assert (tmp_path / "other").read_text() == ""


def test_a_script_starts_without_the_rest_of_greyhound():
    done = run("import sys\ngreyhound.report(1, score=0.5)\nprint({'numpy', 'torch', 'sqlalchemy'} & set(sys.modules))")
    assert done.stdout.endswith("set()\n")


def test_inside_of_a_training_they_speak_for_its_trial():
    def deep_inside(step):
        greyhound.report(step, score=greyhound.params()["x"] * step)

    def train(trial):
        for step in range(1, 10):
            deep_inside(step)

    study = greyhound.tune(
        train, {"x": greyhound.Float(0.0, 1.0)}, maximize="score", max_steps=9, budget=3, workers="serial",
        scheduler="asha", progress=False,
    )  # fmt: skip
    for trial in study.trials:
        assert [report.metrics["score"] for report in trial.reports] == [
            trial.params["x"] * step for step in range(1, trial.step + 1)
        ]
    assert min(trial.step for trial in study.trials) < 9, "a report leaves the training where the trial is paused"
    assert greyhound.params() == {}
