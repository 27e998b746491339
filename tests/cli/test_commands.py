"""The command line as its user meets it: real processes, real files, exit codes."""

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from greyhound.cli.app import app
from greyhound.cli.arguments import Watched, default_stem
from greyhound.errors import StorageError, StudyError
from greyhound.space import Float
from greyhound.storage import open_journal
from greyhound.study import Study
from greyhound.trial import TrialState

RUN = ["run", "train.py", "--space", "space.yaml", "--maximize", "score", "--workers", "2"]


def ok(result):
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture
def tuned(folder, greyhound):
    """A study of six trials of the script, in train.db."""
    ok(greyhound(*RUN, "--budget", "6 trials", "--no-report"))
    return folder


def test_run_tunes_a_script_and_tells_what_came_of_it(folder, greyhound):
    told = ok(greyhound(*RUN, "--budget", "6 trials"))
    assert "6 trials: 6 completed" in told
    assert re.search(r"best: trial \d, score \d(\.\d+)? after 4 steps", told)
    assert "default configuration: trial 0, score 2 after 4 steps" in told
    assert "continue: greyhound resume train.db" in told
    assert "report: train.html" in told
    assert "<html" in (folder / "train.html").read_text()
    assert "some text that is no metric" not in told, "what trials print goes to their logs"
    assert "some text that is no metric" in (folder / "train.files/study/trial-00000/log.txt").read_text()


def test_best_prints_the_parameters(tuned, greyhound):
    told = ok(greyhound("best", "train.db"))
    record = json.loads(ok(greyhound("best", "train.db", "--json")))
    assert f"x: {record['params']['x']}" in told.splitlines()
    assert record["metrics"]["score"] == pytest.approx(4 * record["params"]["x"])
    assert record["number"] == Study.load("train.db").best.number


def test_who_watches_a_study_reads_what_came_since(folder):
    def begin():
        with Study({"x": Float(0.0, 1.0)}, budget="9 trials", storage="train.db") as study:
            study.tell(study.ask(), 0.5)

    begin()
    watched = Watched("train.db", None)
    first = watched.read()
    with Study.load("train.db") as study:
        study.tell(study.ask(), 0.25)
    again = watched.read()
    assert again is first
    assert [trial.metrics["value"] for trial in again.trials] == [0.5, 0.25]
    (folder / "train.db").unlink()
    begin()
    assert len(watched.read()) == 1, "it was begun anew"


def test_status_reads_only(tuned, greyhound):
    before = (tuned / "train.db").read_bytes()
    told = ok(greyhound("status", "train.db"))
    assert "6 trials: 6 completed" in told
    assert "budget: 6 trials; 6 of 6 trials" in told
    as_json = json.loads(ok(greyhound("status", "train.db", "--json")))
    assert as_json["states"]["completed"] == 6
    assert f"\nscheduler: {as_json['scheduler']}\n" in told
    assert as_json["scheduler"] in ("none", "freeze_thaw"), "what auto took"
    assert (tuned / "train.db").read_bytes() == before


def test_trials_are_listed_sorted_and_shown_in_full(tuned, greyhound):
    rows = json.loads(ok(greyhound("trials", "train.db", "--sort", "score", "--limit", "3", "--json")))
    scores = [row["metrics"]["score"] for row in rows]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    assert "completed" in ok(greyhound("trials", "train.db"))
    told = ok(greyhound("trials", "train.db", 0))
    assert "trial 0: completed, score 2 after 4 steps" in told
    assert "step 3: score 1.5" in told
    assert "log.txt" in told


def test_a_trial_that_was_told_has_no_log(greyhound, folder):
    with Study({"x": Float(0, 1)}, minimize="loss", storage=folder / "told.db") as study:
        study.tell(study.ask(), loss=1.0)
    assert "log" not in ok(greyhound("trials", "told.db", 0))


@pytest.mark.parametrize(("goal", "order"), [("maximize", [4, 1, 0, 2, 3]), ("minimize", [1, 4, 0, 2, 3])])
def test_trials_that_diverged_are_listed_behind_all_others(goal, order, folder):
    with Study({"x": Float(0, 1)}, **{goal: "score"}, storage="train.db") as study:
        for value in (float("inf"), 1.0, float("nan"), -float("inf"), 2.0):
            study.report(study.ask(), 1, score=value)
    told = CliRunner().invoke(app, ["trials", "train.db", "--sort", "score", "--json"]).output
    assert [row["number"] for row in json.loads(told)] == order


def test_export_writes_csv_and_json(tuned, greyhound):
    csv = ok(greyhound("export", "train.db")).splitlines()
    assert csv[0].startswith("number,state,source,step,params.x,params.kind,metrics.score")
    assert len(csv) == 7
    ok(greyhound("export", "train.db", "--output", "trials.json"))
    data = json.loads((tuned / "trials.json").read_text())
    assert [report["step"] for report in data["trials"][0]["reports"]] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("given", "code", "told"),
    [
        (("train.py", "--command", ""), 4, "error: the command is empty; write the script to run, such as train.py.\n"),
        (
            ("train.py:main", "--tensorboard", "logs"), 2,
            "error: tensorboard: only a script's metrics are read from there; a function reports its own.\n",
        ),
        (
            ("train.py:main", "--line", "loss {loss}"), 2,
            "error: line: only a script's metrics are read from what it prints; a function reports its own.\n",
        ),
    ],
)  # fmt: skip
def test_an_option_that_would_do_nothing_is_refused(given, code, told, folder, greyhound):
    done = greyhound("run", *given, "--space", "space.yaml", "--budget", "1 trials")
    assert (done.returncode, done.stderr) == (code, told)


def test_an_ending_in_capitals_is_one_too(tuned, greyhound):
    assert greyhound("export", "train.db", "--output", "TRIALS.CSV").returncode == 0
    assert (tuned / "TRIALS.CSV").read_text() == greyhound("export", "train.db").stdout


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--workers", "9" * 5000), "--workers must be a whole number of at least 1 and at most 6 digits, "),
        (("--workers", "serial", "--cores-per-trial", "0"), "cores_per_trial: write a whole number from 1; got 0.\n"),
        (("--scheduler", "foo"), "there is no scheduler 'foo'; there are asha, auto, freeze_thaw, "),
    ],
)  # fmt: skip
def test_an_option_out_of_range_is_told_in_a_sentence(given, told, folder, greyhound):
    done = greyhound("run", "train.py", *given, "--space", "space.yaml", "--maximize", "score", "--budget", "1 trials")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {told}")


@pytest.mark.parametrize("command", [("export", "--format", "csv"), ("report",)])
def test_no_output_is_written_over_a_study(command, tuned, greyhound):
    before = (tuned / "train.db").read_bytes()
    done = greyhound(command[0], "train.db", *command[1:], "--output", "train.db")
    assert done.returncode == 2
    assert done.stderr == (
        "error: train.db: cannot be written: it is a database, maybe a study's; give another name.\n"
    )
    assert (tuned / "train.db").read_bytes() == before


@pytest.mark.parametrize("command", ["export", "report"])
@pytest.mark.parametrize(
    ("output", "told"), [("none/x.csv", "No such file or directory"), ("made.csv", "Is a directory")]
)
def test_an_output_that_cannot_be_written_is_told_in_a_sentence(command, output, told, folder):
    (folder / "made.csv").mkdir()
    Study({"x": Float(0, 1)}, minimize="loss", storage="train.db").close()
    with pytest.raises(StudyError, match=f"{output}: cannot be written: {told}"):
        CliRunner().invoke(app, [command, "train.db", "--output", output], catch_exceptions=False)


@pytest.mark.parametrize("command", ["status", "best", "trials", "export", "importance", "rank"])
def test_a_study_that_is_not_declared_yet_is_told_in_a_sentence(command, folder):
    open_journal("train.db").close()
    with pytest.raises(StudyError, match=r"train\.db: the study was created but never declared"):
        CliRunner().invoke(app, [command, "train.db"], catch_exceptions=False)


def test_a_study_whose_report_cannot_be_written_ends_as_it_did(folder, greyhound):
    (folder / "train.html").mkdir()
    done = greyhound(*RUN, "--budget", "1 trial", "--quiet")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "warning: there is no report: train.html: cannot be written: Is a directory.\n"


def test_resume_goes_on_where_the_study_was(tuned, greyhound):
    assert "give it more" in ok(greyhound("resume", "train.db", "--no-report"))
    told = ok(greyhound("resume", "train.db", "--add", "3 trials", "--no-report"))
    assert "9 trials: 9 completed" in told


FOR_PEOPLE = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
lr = parser.parse_args().lr
for epoch in range(1, 4):
    print(f"Train Epoch: {epoch} [0/60]")
    print(f"Test set: Average loss: {lr / epoch:.6f}, Accuracy: 9/10 (90%)", flush=True)
"""


@pytest.mark.parametrize("given", ["flag", "study file"])
def test_a_script_that_prints_for_people_is_tuned_as_it_is_and_resumed(given, folder, greyhound):
    (folder / "people.py").write_text(FOR_PEOPLE)
    line, space = "Average loss: {loss},", "lr: {type: float, low: 0.1, high: 1.0, default: 0.5}"
    (folder / "lr.yaml").write_text(space)
    (folder / "people.yaml").write_text(
        f"space: {{{space}}}\ncommand: {sys.executable} people.py --lr {{lr}}\nline: ['{line}', 'Epoch: {{epoch}}']\n"
        "minimize: loss\n"
    )
    flags = ("people.py", "--space", "lr.yaml", "--minimize", "loss", "--line", line, "--line", "Epoch: {epoch}")
    started = flags if given == "flag" else ("people.yaml",)
    told = ok(greyhound("run", *started, "--budget", "2 trials", "--no-report"))
    assert "2 trials: 2 completed" in told
    told = ok(greyhound("resume", "people.db", "--add", "1 trials", "--no-report"))
    assert "3 trials: 3 completed" in told
    rows = json.loads(ok(greyhound("trials", "people.db", "--json")))
    assert [row["metrics"]["loss"] for row in rows] == [
        pytest.approx(row["params"]["lr"] / 3, abs=1e-6) for row in rows
    ]
    assert [row["step"] for row in rows] == [3, 3, 3]


def test_steps_that_the_study_does_not_have_are_refused_before_there_is_a_study(folder, greyhound):
    done = greyhound("run", "train.py", "--space", "space.yaml", "--maximize", "score", "--", "--epochs", "{max_steps}")
    assert done.returncode == 4
    assert done.stderr.startswith("error: command: {max_steps} is the length of a full training")
    assert not (folder / "train.db").exists()


def test_a_study_of_which_every_trial_failed_tells_how_to_take_them_up_again(folder, greyhound):
    (folder / "lr.yaml").write_text("learning_rate: {type: float, low: 0.1, high: 1.0, default: 0.5}")
    (folder / "people.py").write_text(FOR_PEOPLE)
    run = ("run", "people.py", "--space", "lr.yaml", "--minimize", "loss", "--line", "loss: {loss}", "--workers", "1")
    run += ("--budget", "2 trials", "--no-report")
    failed = greyhound(*run)
    assert failed.returncode == 1
    assert "name learning_rate as the script's flag is" in failed.stdout
    assert failed.stdout.endswith(
        "what failed: greyhound trials people.db 0\n"
        "once that is mended: greyhound retry people.db, then run the program again\n"
    )
    assert "2 trials put back" in ok(greyhound("retry", "people.db"))
    assert "2 trials: 2 completed" in ok(greyhound(*run, "--", "--lr", "{learning_rate}"))


def test_resume_works_from_another_folder(tuned, greyhound, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    told = ok(greyhound("resume", tuned / "train.db", "--add", "+2 trials", "--no-report"))
    assert "8 trials: 8 completed" in told


def test_run_again_continues_the_study(tuned, greyhound):
    told = ok(greyhound(*RUN, "--budget", "8 trials", "--no-report"))
    assert "8 trials: 8 completed" in told


def test_early_stopping_of_a_script_saves_steps(folder, greyhound):
    told = ok(greyhound(*RUN, "--budget", "9 trials", "--max-steps", "4", "--no-report"))
    assert "early stopping:" in told
    assert "saved" in told


def test_failures_are_told_kept_and_retried(folder, greyhound):
    space = (folder / "space.yaml").read_text().replace("[a, b]", "[a, broken]")
    (folder / "space.yaml").write_text(space)
    told = ok(greyhound(*RUN, "--budget", "8 trials", "--no-report", "--sampler", "grid"))
    assert "this kind does not work" in told
    failed = json.loads(ok(greyhound("trials", "train.db", "--state", "failed", "--json")))
    assert failed
    assert {row["params"]["kind"] for row in failed} == {"broken"}
    assert "exit code 1" in ok(greyhound("trials", "train.db", failed[0]["number"]))
    told = ok(greyhound("retry", "train.db", "--failed"))
    assert f"{len(failed)} trials put back" in told
    assert "continue: greyhound resume train.db" in told
    (folder / "train.py").write_text((folder / "train.py").read_text().replace('"broken"', '"other"'))
    assert "8 trials: 8 completed" in ok(greyhound("resume", "train.db", "--no-report"))


def test_arguments_and_templates_reach_the_script(folder, greyhound):
    script = "import json, sys; print(json.dumps({'score': float(len(sys.argv))})); print(sys.argv[1:])"
    (folder / "plain.py").write_text(script)
    plain = ("run", "plain.py", "--space", "space.yaml", "--maximize", "score", "--budget", "1 trial", "--no-report")
    ok(greyhound(*plain, "--", "--data", "my data"))
    log = (folder / "plain.files/study/trial-00000/log.txt").read_text()
    assert "['--data', 'my data', '--x', '0.5', '--kind', 'a']" in log
    template = f"{sys.executable} plain.py x={{x}} seed={{seed}}"
    ok(greyhound(*plain, "--storage", "template.db", "--command", template))
    log = (folder / "template.files/study/trial-00000/log.txt").read_text()
    assert re.search(r"\['x=0.5', 'seed=\d+'\]", log)


def test_parameters_reach_the_script_beside_what_is_the_trial_s(folder, greyhound):
    script = (folder / "train.py").read_text().replace('"--pace"', '"--out")\nparser.add_argument("--pace"')
    (folder / "train.py").write_text(script)
    ok(greyhound(*RUN, "--budget", "4 trials", "--no-report", "--", "--out", "{directory}"))
    trials = Study.load("train.db").trials
    assert [trial.metrics["score"] for trial in trials] == [pytest.approx(4 * trial.params["x"]) for trial in trials]


def test_parameters_that_a_template_leaves_out_are_told_in_a_sentence(folder, greyhound):
    told = greyhound(*RUN, "--budget", "1 trial", "--no-report", "--command", "python train.py --x {x} --kind a")
    ok(told)
    assert told.stderr.startswith("warning: command: no word of it holds {kind}, so")
    assert len(told.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("target", "stem"),
    [("train.py", "train"), ("a.b/train.v2.py", "train.v2"), ("a/train.v2.py:main", "train.v2"),
     ("package.train:main", "train"), ("train:main", "train")],
)  # fmt: skip
def test_a_study_file_is_named_after_what_is_tuned(target, stem):
    assert default_stem(target) == stem


def test_a_function_is_tuned_by_its_import_path(folder, greyhound):
    (folder / "work.py").write_text("def train(trial):\n    return {'score': trial.params['x']}\n")
    told = ok(greyhound("run", "work:train", "--space", "space.yaml", "--maximize", "score", "--budget", "4 trials"))
    assert "study file: work.db" in told
    told = ok(greyhound("resume", "work.db", "--add", "2 trials", "--workers", "serial"))
    assert "6 trials: 6 completed" in told


def test_resume_goes_on_with_a_program_that_has_no_main_guard(folder, greyhound):
    (folder / "program.py").write_text(
        "import greyhound as gh\n"
        "def train(trial):\n"
        "    return trial.params['x']\n"
        "print('read')\n"
        "study = gh.tune(train, {'x': gh.Float(0, 1)}, budget='2 trials', workers=1, storage='work.db')\n"
        "print(study.best.number)\n"
    )
    told = ok(subprocess.run([sys.executable, "program.py"], capture_output=True, text=True, timeout=60, check=False))
    assert "continue: greyhound resume work.db" in told
    told = ok(greyhound("resume", "work.db", "--add", "2 trials", "--no-report"))
    assert told.startswith("read\n")
    assert "4 trials: 4 completed" in told


def test_resume_after_a_kill_spends_all_of_the_budget_finals_among_it(folder, greyhound):
    (folder / "work.py").write_text(
        "import os, signal\n"
        "def train(trial):\n"
        "    if trial.number == 5 and not os.path.exists('killed'):\n"
        "        open('killed', 'w').close()\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return {'score': trial.params['x']}\n"
    )
    run = ("run", "work:train", "--space", "space.yaml", "--maximize", "score", "--budget", "40 trials", "--no-report")
    assert greyhound(*run, "--workers", "serial").returncode == -signal.SIGKILL
    assert "budget: 32 trials for the search, 40 trials with the finals; 6 of 32 trials" in ok(
        greyhound("status", "work.db")
    )
    told = ok(greyhound("resume", "work.db", "--no-report"))
    assert "finals: " in told
    assert json.loads(ok(greyhound("status", "work.db", "--json")))["trials"] == 40
    assert "give it more" in ok(greyhound("resume", "work.db", "--no-report"))
    ok(greyhound("resume", "work.db", "--no-report", "--add", "5 trials"))
    with Study.load("work.db") as study:
        assert study.history.searched > 32
        assert len(study.trials) >= 44


def test_several_studies_in_a_file_are_listed_and_named(tuned, greyhound):
    ok(greyhound("report", "train.db"))
    assert "report: train-second.html" in ok(greyhound(*RUN, "--budget", "1 trial", "--name", "second"))
    assert "6 completed" in (tuned / "train.html").read_text()
    assert ok(greyhound("studies", "train.db")).split() == ["study", "second"]
    refused = greyhound("status", "train.db")
    assert refused.returncode == 3
    assert "several studies: 'study', 'second'; give a name" in refused.stderr
    assert "1 trial: 1 completed" in ok(greyhound("status", "train.db", "--name", "second"))
    spent = ok(greyhound("resume", "train.db", "--name", "second", "--no-report")).splitlines()[0]
    assert spent.endswith(f'give it more: greyhound resume {tuned / "train.db"} --name second --add "1h"')


def test_interrupt_pauses_and_resume_goes_on(folder, greyhound):
    process = subprocess.Popen(
        [sys.executable, "-m", "greyhound", *RUN, "--no-report", "--", "--pace", "0.2"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        time.sleep(0.2)
        with contextlib.suppress(StorageError, StudyError):  # it is being made
            if Study.load("train.db").history.total_steps > 2:
                break
    process.send_signal(signal.SIGINT)
    told, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert "pausing the running trials" in told
    assert "continue: greyhound resume train.db" in told
    study = Study.load("train.db")
    assert study.history.requeued
    assert not study.history.count(TrialState.FAILED)
    told = ok(greyhound("resume", "train.db", "--add", "1 trial", "--no-report"))
    assert "paused" not in told.partition("trials: ")[2].partition("\n")[0]


def unread(*arguments, timeout=60):
    """Run the command line with nobody to read what it prints; its exit code and what it complains of."""
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run(
        [sys.executable, "-m", "greyhound", *arguments],
        stdout=theirs, stderr=subprocess.PIPE, text=True, timeout=timeout, check=False,
    )  # fmt: skip
    os.close(theirs)
    return done.returncode, done.stderr


def test_a_study_whose_output_nobody_reads_any_more_goes_on_to_its_end(folder):
    assert unread(*RUN, "--budget", "6 trials") == (0, "")
    assert Study.load("train.db").history.count(TrialState.COMPLETED) == 6
    assert (folder / "train.html").is_file()


@pytest.mark.parametrize("command", [["trials"], ["export"], ["status"], ["trials", "--json"]])
def test_a_reader_who_has_seen_enough_is_no_error(command, tuned):
    name, *options = command
    assert unread(name, "train.db", *options) == (0, "")


def shell(redirected, *arguments):
    """Run the command line by a shell that redirects its streams."""
    command = shlex.join([sys.executable, "-m", "greyhound", *arguments])
    return subprocess.run(f"{command} {redirected}", shell=True, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("workers", ["1", "serial"])
@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", "<&- 2>&-", ">&-"])
def test_a_study_that_is_started_without_streams_runs_to_its_end(closed, workers, folder):
    (folder / "train.py").write_text("import greyhound\ngreyhound.report(1, score=0.5)\n")
    assert shell(closed, *RUN, "--budget", "2 trials", "--workers", workers).returncode == 0
    assert Study.load("train.db").history.count(TrialState.COMPLETED) == 2
    assert (folder / "train.html").is_file()


def test_what_is_wrong_is_not_told_in_place_of_the_output(folder):
    assert shell("2>&-", "best", "none.db").stdout == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk to be had")
def test_a_study_whose_output_fills_the_disk_goes_on_to_its_end(folder):
    done = shell("> /dev/full", *RUN, "--budget", "2 trials")
    assert done.returncode == 0
    assert done.stderr.endswith("warning: nothing more is printed: No space left on device; the study goes on.\n")
    assert Study.load("train.db").history.count(TrialState.COMPLETED) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk to be had")
@pytest.mark.parametrize("command", ["best", "trials", "export", "status"])
def test_output_for_which_there_is_no_room_is_told_in_a_sentence(command, tuned):
    done = shell("> /dev/full", command, "train.db")
    assert (done.returncode, done.stderr) == (2, "error: the output cannot be written: No space left on device.\n")


def test_what_the_encoding_of_the_output_lacks_is_escaped(folder, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    (folder / "space.yaml").write_text("x: {type: float, low: 0, high: 1}\nkind: {type: ordinal, values: [ü→]}\n")
    for command in ([*RUN, "--budget", "1 trial"], *([name, "train.db"] for name in ("best", "trials", "export"))):
        told = subprocess.run([sys.executable, "-m", "greyhound", *command], capture_output=True, check=True).stdout
        assert rb"\u2192" in told, command


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["run", "nothing.py", "--maximize", "score"], 4, "nothing.py: there is no such script"),
        (["run", "nothing:train", "--maximize", "score"], 4, "there is no module 'nothing'"),
        (["run", "nothing", "--maximize", "score"], 4, "neither a script"),
        (["run", "train.sh", "--maximize", "score"], 4, "write the command line of any other program after --command"),
        (["run", "train.py", "--maximize", "score"], 4, "give them as space=gh.Space(...), on the command line as"),
        (["trials", "train.db", "--limit", "-1"], 2, "'--limit': "),
        ([*RUN, "--space", "none.yaml"], 2, "none.yaml: there is no such file"),
        ([*RUN, "--budget", "two hours"], 2, "budget: cannot read 'two hours'"),
        ([*RUN, "--sampler", "sobbol"], 2, "Did you mean 'sobol'?"),
        ([*RUN, "--workers", "many"], 2, "--workers must be a whole number"),
        ([*RUN, "--command", "python3 train.py {y}"], 4, "unknown placeholder {y}"),
        ([*RUN, "--command", "python3 train.py 'x"], 2, "--command cannot be split into words: no closing quotation"),
        ([*RUN, "--wrong"], 2, "No such option"),
        (["status", "none.db"], 3, "none.db: there is no such study file"),
        (["status", "space.yaml"], 2, "unknown key 'x'"),
        (["resume", "train.py"], 3, "is not a study file"),
        (["export", "train.db", "--format", "xls"], 2, "--format must be csv or json"),
        ([], 2, "Usage"),
    ],
)
def test_what_is_wrong_is_told_in_one_sentence(arguments, code, told, folder, greyhound):
    result = greyhound(*arguments)
    assert result.returncode == code, result.stderr
    assert told in result.stderr + result.stdout
    assert "Traceback" not in result.stderr


def test_a_command_that_was_refused_fixes_nothing(folder, greyhound):
    for wrong in (["--command", "python3 train.py {y}"], ["--cores-per-trial", "0"]):
        refused = greyhound(*RUN, "--max-steps", "3", *wrong)
        assert refused.returncode != 0
        assert not (folder / "train.db").exists()
    assert "1 trial: 1 completed" in ok(greyhound(*RUN, "--max-steps", "4", "--budget", "1 trial", "--no-report"))


def test_a_study_without_a_usable_value_ends_with_its_own_code(folder, greyhound):
    (folder / "space.yaml").write_text(
        "x: {type: float, low: 0, high: 1}\nkind: {type: categorical, choices: [broken]}\n"
    )
    result = greyhound(*RUN, "--budget", "2 trials", "--no-report")
    assert result.returncode == 1
    assert greyhound("best", "train.db").returncode == 1


def test_a_training_that_fails_everywhere_takes_the_workers_out(folder, greyhound):
    (folder / "space.yaml").write_text(
        "x: {type: float, low: 0, high: 1}\nkind: {type: categorical, choices: [broken]}\n"
    )
    result = greyhound(*RUN, "--budget", "50 trials", "--no-report")
    assert result.returncode == 4
    assert "every worker was taken out" in result.stderr
    assert "this kind does not work" in result.stderr


@pytest.mark.parametrize("command", [command.name or command.callback.__name__ for command in app.registered_commands])
def test_every_command_has_help_with_an_example(command):
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    text = " ".join(result.output.split())
    assert f"Example: greyhound {command}" in text
    for option in re.findall(r"--[a-z-]+", text):
        assert option == option.lower()


def test_help_names_the_exit_codes_and_version_is_told():
    text = " ".join(CliRunner().invoke(app, ["--help"]).output.split())
    assert "130 interrupted" in text
    assert re.match(r"greyhound \d+\.\d+", CliRunner().invoke(app, ["--version"]).output)


def test_finals_train_the_best_and_the_default_again(tuned, greyhound):
    told = ok(greyhound("finals", "train.db", "--top", 1, "--seeds", 2, "--no-report"))
    study = Study.load("train.db")
    assert len(study.history.replicates) == 4
    assert f"finals: trial {study.best.number} and the default" in told or "is better than the default by" in told
    assert study.history.searched == 6


def test_a_script_is_trained_on_folds_and_goes_on_with_them(folder, greyhound):
    template = f"{sys.executable} train.py --x {{x}}{{fold}} --kind {{kind}}"
    run = ["run", "train.py", "--space", "space.yaml", "--maximize", "score", "--workers", "1", "--command", template]
    ok(greyhound(*run, "--folds", 2, "--budget", "1 trials", "--no-report"))
    ok(greyhound("resume", "train.db", "--add", "1 trials", "--no-report"))
    trials = Study.load("train.db").trials
    assert (len(trials), trials[0].step) == (2, 2)
    assert trials[0].metrics["score"] == pytest.approx(4 * (0.50 + 0.51) / 2)
