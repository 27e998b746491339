"""Who measures has the device alone; who trains there stands still at a report meanwhile."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import greyhound as gh
from greyhound import leases
from greyhound.evaluators.script import Script

WAIT_S = 30.0


def until(holds):
    give_up = time.monotonic() + WAIT_S
    while not holds() and time.monotonic() < give_up:
        time.sleep(0.01)
    assert holds()


@pytest.fixture
def place(tmp_path):
    made = []

    def make(*devices):
        made.append(leases.Place(tmp_path, devices))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_those_that_train_share_and_one_that_measures_waits_for_them(place):
    one, two, measurer = place("cpu"), place("cpu"), place("cpu")
    one.enter()
    two.enter()
    assert not one.wanted
    order = []

    def measure():
        with measurer.alone():
            order.append("measured")

    thread = threading.Thread(target=measure)
    thread.start()
    until(lambda: one.wanted)
    one.leave()
    time.sleep(0.05)
    assert order == []
    order.append("left")
    two.leave()
    one.enter()  # only when the measurer is done
    thread.join(WAIT_S)
    assert order == ["left", "measured"]


def test_devices_are_told_apart(place):
    one, other = place("gpu-0"), place("gpu-1")
    one.enter()
    with other.alone():
        assert not one.wanted


def test_two_that_measure_several_devices_take_turns(place):
    alone = []

    def measure(mine):
        for _ in range(30):
            with mine.alone():
                alone.append(1)
                assert sum(alone) == 1
                alone.pop()

    threads = [threading.Thread(target=measure, args=(place(*names),)) for names in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert not any(thread.is_alive() for thread in threads)


def test_a_process_that_dies_while_it_measures_leaves_the_device(tmp_path, place):
    code = f"""
    import pathlib, time
    from greyhound.leases import Place
    with Place(pathlib.Path({str(tmp_path)!r}), ["cpu"]).alone():
        print("in", flush=True)
        time.sleep(600)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    mine = place("cpu")
    assert mine.wanted
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    mine.enter()
    assert not mine.wanted


def test_the_devices_of_a_worker_are_its_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-ab/1")
    assert leases.devices() == ["gpu-2", "gpu-GPU-ab-1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert leases.devices() == ["cpu"]


@pytest.mark.parametrize(
    ("allowed", "devices"),
    [
        ("0,0", ["gpu-0"]),
        ("0,-1,1", ["gpu-0"]),
        ("-1,0", ["cpu"]),
        ("NoDevFiles", ["cpu"]),
        (" 1 , 0", ["gpu-1", "gpu-0"]),
    ],
)
def test_a_device_is_had_to_oneself_as_cuda_reads_its_name(monkeypatch, allowed, devices):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    assert leases.devices() == devices


def test_no_trial_trains_while_another_measures(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    log = tmp_path / "log.txt"

    def train(trial):
        def note(what):
            with log.open("a") as file:
                file.write(f"{what} {trial.number}\n")

        for step in range(1, 6):
            note("begin")
            time.sleep(0.01)
            note("end")
            trial.report(step, score=1.0)
            if step == 3:
                with trial.exclusive():
                    note("measure")
                    time.sleep(0.05)
                    note("measured")

    gh.tune(train, {"x": gh.Float(0, 1)}, maximize="score", budget=6, workers=2, max_steps=5, scheduler="none",
            sampler="random", progress=False)  # fmt: skip
    training, measuring = set(), None
    for line in log.read_text().splitlines():
        what, _, number = line.partition(" ")
        if what == "measure":
            assert not training
            measuring = number
        elif what == "measured":
            measuring = None
        else:
            assert measuring is None
            (training.add if what == "begin" else training.discard)(number)
    assert log.read_text().count("measured") == 6


def test_a_script_stands_still_while_another_measures(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "train.py").write_text(
        textwrap.dedent(
            f"""
            import json, time
            for step in range(1, 200):
                with open({str(tmp_path / "beats.txt")!r}, "a") as file:
                    file.write("x")
                time.sleep(0.02)
            print(json.dumps({{"score": 1.0}}))
            """
        )
    )
    beats = tmp_path / "beats.txt"
    seen = []

    def measure():
        until(beats.exists)
        with leases.Place(leases.folder(), ["cpu"]).alone():
            before = beats.stat().st_size
            time.sleep(0.3)
            seen.append(beats.stat().st_size - before)

    thread = threading.Thread(target=measure)
    thread.start()
    script = Script((str(tmp_path / "train.py"),))
    study = gh.tune(script, {"x": gh.Float(0, 1)}, maximize="score", budget=1, workers=1, progress=False)
    thread.join(WAIT_S)
    assert seen == [0]
    assert study.best.metrics["score"] == 1.0
    assert beats.stat().st_size == 199


@pytest.mark.parametrize("hold", [leases.present, leases.exclusive])
def test_where_no_locks_can_be_written_training_and_measuring_go_on(hold, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    with hold():
        leases.give_way()
