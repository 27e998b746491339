"""A training that starts from another's checkpoint takes its states, and keeps hyperparameters of its own."""

import errno
import os
import shutil
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from greyhound.errors import CheckpointError, StudyError, TrialStopped
from greyhound.evaluators import checkpoint
from greyhound.evaluators.inheritance import PARENT, adopt, inherit
from greyhound.evaluators.live import LiveTrial
from greyhound.jobs import Job


class Counter:
    """A state that tells who wrote it."""

    def __init__(self, value=0):
        self.value = value

    def state_dict(self):
        return {"value": self.value}

    def load_state_dict(self, state):
        self.value = state["value"]


def held(folder):
    """What the checkpoint in a folder says, None without one."""
    counter = Counter()
    return counter.value if checkpoint.load(folder, {"counter": counter}) is not None else None


@pytest.fixture(params=["hard links", "copies"])
def folders(request, tmp_path, monkeypatch):
    if request.param == "copies":

        def refused(*_):
            raise PermissionError("this file system has no hard links")

        monkeypatch.setattr(os, "link", refused)
    checkpoint.save(tmp_path / "mother", 4, {"counter": Counter(4)})
    return tmp_path / "mother", tmp_path / "child"


def test_what_is_held_stays_though_the_parent_goes_on_or_is_gone(folders):
    mother, child = folders
    place = inherit(mother, child)
    assert place == child / PARENT
    checkpoint.save(mother, 5, {"counter": Counter(5)})
    assert held(place) == 4
    assert held(inherit(mother, child)) == 4, "after a kill it is what it was"
    checkpoint.remove(mother)
    assert held(place) == 4


class Written:
    """A state in a file of its own."""

    text = ""

    def save_to(self, folder):
        (folder / "state.txt").write_text(self.text)

    def load_from(self, folder):
        self.text = (folder / "state.txt").read_text()


def test_what_wrote_files_of_its_own_is_held_too(folders):
    mother, child = folders
    checkpoint.remove(mother)
    wrote = Written()
    wrote.text = "of four"
    checkpoint.save(mother, 4, {"trainer": wrote})
    place = inherit(mother, child)
    checkpoint.remove(mother)
    found = Written()
    assert adopt(place, {"trainer": found}).step == 4
    assert found.text == "of four"


class Large(Written):
    """A state in several files."""

    def save_to(self, folder):
        for part in range(50):
            (folder / f"{part}.txt").write_text(self.text)

    def load_from(self, folder):
        self.text = "".join(sorted({path.read_text() for path in folder.iterdir()}))
        self.parts = len(list(folder.iterdir()))


def test_a_copy_that_was_killed_is_made_anew_from_its_first_file(folders):
    mother, child = folders
    wrote = Large()
    wrote.text = "of four"
    checkpoint.save(mother, 4, {"trainer": wrote})
    copier = os.fork()
    if not copier:
        copyfile = shutil.copyfile

        def until_killed(source, target, **options):
            if len(list(Path(target).parent.iterdir())) == 7:
                os.kill(os.getpid(), signal.SIGKILL)
            return copyfile(source, target, **options)

        shutil.copyfile = until_killed
        inherit(mother, child)
        os._exit(0)
    assert os.waitpid(copier, 0)[1] == signal.SIGKILL
    assert checkpoint.latest(child / PARENT) is None
    found = Large()
    assert adopt(inherit(mother, child), {"trainer": found}).step == 4
    assert (found.text, found.parts) == ("of four", 50)


def test_files_that_the_parent_is_just_writing_are_not_taken_for_whole(folders):
    mother, child = folders

    class Slow(Large):
        def save_to(self, folder):
            (folder / "0.txt").write_text(self.text)
            inherit(mother, child)
            super().save_to(folder)

    first, second, found = Large(), Slow(), Large()
    first.text, second.text = "of four", "of five"
    checkpoint.save(mother, 4, {"trainer": first})
    checkpoint.save(mother, 5, {"trainer": second})
    assert adopt(child / PARENT, {"trainer": found}).step == 4
    assert (found.text, found.parts) == ("of four", 50)


def test_of_a_parent_that_replaces_its_checkpoint_while_it_is_copied_one_is_held_whole(folders):
    mother, child = folders
    wrote, found, over = Large(), Large(), threading.Event()

    def train():
        for step in range(4, 10_000):
            wrote.text = f"of {step}"
            checkpoint.save(mother, step, {"trainer": wrote})
            time.sleep(0.1)
            if over.is_set():
                return

    checkpoint.save(mother, 4, {"trainer": wrote})
    training = threading.Thread(target=train)
    training.start()
    try:
        for number in range(8):
            loaded = adopt(inherit(mother, child / str(number)), {"trainer": found})
            assert (found.text, found.parts) == (f"of {loaded.step}", 50) or loaded.step == 4
    finally:
        over.set()
        training.join()


def test_a_disk_without_room_for_the_copy_is_told(folders, monkeypatch):
    mother, child = folders
    checkpoint.save(mother, 4, {"trainer": Large()})

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(CheckpointError, match=r"the checkpoint cannot be copied into .*No space left on device"):
        inherit(mother, child)
    assert list(child.iterdir()) == []


def test_a_trial_with_a_checkpoint_of_its_own_holds_no_other(folders):
    mother, child = folders
    checkpoint.save(child, 6, {"counter": Counter(6)})
    assert held(inherit(mother, child)) is None


def test_the_parents_checkpoint_is_let_go_once_the_trial_has_its_own(folders):
    mother, child = folders
    job = Job(1, {}, 0, step=4, max_steps=9, objectives=("score",), directory=child, parent=inherit(mother, child))
    counter = Counter()
    trial = LiveTrial(job, Silent())
    assert trial.checkpoint(counter=counter) == 4
    assert counter.value == 4
    counter.value = 5
    trial.report(5, score=1.0)
    assert held(child) == 5
    assert held(child / PARENT) is None
    assert LiveTrial(job, Silent()).checkpoint(counter=counter) == 5


def test_a_training_without_checkpoints_is_told_that_it_needs_them(folders):
    mother, child = folders
    job = Job(1, {}, 0, step=4, max_steps=9, objectives=("score",), directory=child, parent=inherit(mother, child))
    with pytest.raises(StudyError, match=r"call trial\.checkpoint\(model="):
        LiveTrial(job, Silent()).report(1, score=1.0)


def test_nothing_is_left_to_train_where_the_parent_came_to_its_end_first(folders):
    mother, child = folders
    checkpoint.save(mother, 9, {"counter": Counter(9)})
    job = Job(1, {}, 0, step=4, max_steps=9, objectives=("score",), directory=child, parent=inherit(mother, child))
    with pytest.raises(TrialStopped):
        LiveTrial(job, Silent()).checkpoint(counter=Counter())


class Silent:
    """A channel on which nobody answers."""

    def send(self, message):
        pass

    def answer(self, wait):
        return None


def training(rate, momentum=0.9):
    weight = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(weight.parameters(), lr=rate, momentum=momentum)
    return {"weight": weight, "optimizer": optimizer}


def step(objects, count=1):
    for _ in range(count):
        objects["weight"](torch.ones(2)).sum().backward()
        objects["optimizer"].step()
        if "schedule" in objects:
            objects["schedule"].step()


def test_weights_and_momenta_are_the_parents_and_rates_its_own(tmp_path):
    mother = training(0.1)
    step(mother, 3)
    checkpoint.save(tmp_path, 3, mother)
    child = training(0.12, momentum=0.5)
    assert adopt(tmp_path, child).step == 3
    assert torch.equal(child["weight"].weight, mother["weight"].weight)
    assert child["optimizer"].state_dict()["state"].keys() == mother["optimizer"].state_dict()["state"].keys()
    group = child["optimizer"].param_groups[0]
    assert (group["lr"], group["momentum"]) == (pytest.approx(0.12), 0.5)


@pytest.mark.parametrize(
    "make",
    [
        lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.1),
        lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10),
        lambda optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, lambda at: (at + 1) / 10),
        lambda optimizer: torch.optim.lr_scheduler.SequentialLR(
            optimizer,
            [
                torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=2),
                torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9),
            ],
            [2],
        ),
    ],
    ids=["steps", "cosine", "warm-up", "sequence"],
)
def test_a_schedule_goes_on_where_the_parent_was_at_the_new_rate(make, tmp_path):
    mother, alike, child = training(0.1), training(0.2), training(0.2)
    for each in (mother, alike, child):
        each["schedule"] = make(each["optimizer"])
    step(mother, 4)
    checkpoint.save(tmp_path, 4, mother)
    adopt(tmp_path, child)
    step(alike, 4)
    for _ in range(4):  # as if it had been trained at that rate from the start
        assert child["optimizer"].param_groups[0]["lr"] == pytest.approx(alike["optimizer"].param_groups[0]["lr"])
        assert child["schedule"].get_last_lr() == pytest.approx(alike["schedule"].get_last_lr())
        step(alike)
        step(child)


def test_a_rate_that_was_brought_down_is_so_at_the_new_one(tmp_path):
    """By ReduceLROnPlateau or by hand, neither of which says where it began."""
    mother, child = training(0.1), training(0.2)
    job = Job(0, {}, 0, max_steps=9, objectives=("score",), directory=tmp_path / "mother")
    trial = LiveTrial(job, Silent())
    trial.checkpoint(**mother)
    mother["optimizer"].param_groups[0]["lr"] *= 0.25
    trial.report(9, score=1.0)
    LiveTrial(replace(job, directory=tmp_path / "child", parent=job.directory, max_steps=12), Silent()).checkpoint(
        **child
    )
    assert child["optimizer"].param_groups[0]["lr"] == pytest.approx(0.05)


@pytest.mark.parametrize(
    "make",
    [
        lambda optimizer, gamma: torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma),
        lambda optimizer, gamma: torch.optim.lr_scheduler.SequentialLR(
            optimizer,
            [
                torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0, 1),
                torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma),
            ],
            [1],
        ),
    ],
)
def test_the_options_of_a_schedule_are_its_own_and_its_place_the_parents(make, tmp_path):
    mother, child = training(0.1), training(0.1)
    mother["schedule"], child["schedule"] = make(mother["optimizer"], 0.5), make(child["optimizer"], 0.9)
    step(mother, 3)
    checkpoint.save(tmp_path, 3, mother)
    adopt(tmp_path, child)
    rate = mother["optimizer"].param_groups[0]["lr"]
    assert child["schedule"].last_epoch == 3
    assert child["optimizer"].param_groups[0]["lr"] == rate
    step(child)
    assert child["optimizer"].param_groups[0]["lr"] == pytest.approx(0.9 * rate)
