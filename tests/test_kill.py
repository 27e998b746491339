"""Nothing that was acknowledged is lost, and nothing is there twice, whatever is killed and when."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from tests.programs import kill_me

from greyhound import events as ev
from greyhound.storage import open_journal
from greyhound.study import Study
from greyhound.trial import TrialState

PROGRAM = Path(__file__).parent / "programs" / "kill_me.py"
KILLS = 50
rng = random.Random(0)


def launch(folder):
    """The program in a process group of its own, once it trains."""
    before = len(lines(folder, "reports.txt"))
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM)],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "KILL_ME_FOLDER": str(folder)},
    )
    deadline = time.monotonic() + 60
    while len(lines(folder, "reports.txt")) == before and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.poll() is None, "the study goes on after a kill"
    return process


def all_end(processes):
    """Whether the processes end soon; one that only waits for its parent to notice has ended."""
    deadline = time.monotonic() + 10
    left = list(processes)
    while left and time.monotonic() < deadline:
        left = [each for each in left if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
        time.sleep(0.01)
    return not left


def lines(folder, name):
    path = folder / name
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def check(folder):
    """Every acknowledged report is in the journal, none twice, and values are those of an unbroken training."""
    events = open_journal(folder / "study.db", create=False).read(0)
    reported = Counter((event.trial, event.step) for event in events if isinstance(event, ev.Reported))
    acknowledged = {(int(number), int(step)) for number, step in lines(folder, "reports.txt")}
    assert acknowledged <= reported.keys(), "what was acknowledged is there"
    study = Study.load(folder / "study.db")
    for trial in study.trials:
        steps = [report.step for report in trial.reports]
        assert steps == list(range(1, len(steps) + 1)), "no step is there twice, and none is skipped"
        for report in trial.reports:
            expected = kill_me.walk(trial.params["x"], report.step)
            assert report.metrics["score"] == pytest.approx(expected, rel=1e-12), "training went on from its state"
    study.journal.close()
    return study


@pytest.mark.slow
def test_fifty_kills_lose_nothing(tmp_path):
    process, kills = launch(tmp_path), Counter()
    for at in range(KILLS):
        time.sleep(rng.uniform(0.0, 0.5))
        workers = psutil.Process(process.pid).children(recursive=True)
        how = ("group", "worker", "coordinator")[at % 3]
        kills[how] += 1
        if how == "worker":
            if workers:
                rng.choice(workers).send_signal(signal.SIGKILL)
            continue
        if how == "group":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
        assert all_end(workers), "workers end with their coordinator"
        check(tmp_path)
        process = launch(tmp_path)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    study = check(tmp_path)
    starts = lines(tmp_path, "starts.txt")
    assert all(start == steps for _, start, steps, _ in starts), "the step to start from is that of the state"
    resumed = [(int(start), int(known)) for _, start, _, known in starts if int(known)]
    assert sum(start > 0 for start, _ in resumed) > len(resumed) / 2, "trainings go on from their checkpoints"
    assert kills["group"] >= 16
    assert kills["coordinator"] >= 16
    assert kills["worker"] >= 16
    assert study.history.count(TrialState.FAILED) == 0


def test_sigterm_pauses_and_the_study_goes_on(tmp_path):
    process = launch(tmp_path)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=30)
    study = check(tmp_path)
    assert not study.history.running, "running trials are put back"
    waiting = study.history.requeued
    assert waiting
    with Study.load(tmp_path / "study.db") as again:
        first = again.ask()
        assert first.number == waiting[0]
        assert first.step == study.history.trial(waiting[0]).step
