"""A study's folder is its own: what other studies left is neither trained on nor removed."""

import contextlib
import os

import pytest
from tests.schedulers.histories import add, begun

import greyhound as gh
from greyhound.files import Files
from greyhound.history import History
from greyhound.study import Study

SPACE = gh.Space(x=gh.Float(0.0, 1.0))


class State:
    """Remembers what it was trained with."""

    def __init__(self, x):
        self.x = x

    def state_dict(self):
        return {"x": self.x}

    def load_state_dict(self, state):
        self.x = state["x"]


def train(trial):
    state = State(trial.params["x"])
    for step in range(trial.checkpoint(state=state), trial.max_steps):
        trial.report(step + 1, loss=state.x)


def tuned(seed, scheduler="asha", **where):
    study = gh.tune(
        train, SPACE, minimize="loss", max_steps=9, budget="9 trials", workers="serial", sampler="random",
        scheduler=scheduler, seed=seed, progress=False, finals=False, **where,
    )  # fmt: skip
    assert all(trial.metrics["loss"] == trial.params["x"] for trial in study.trials)
    return study


def remove(path):
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()


@pytest.mark.parametrize("workers", [1, "serial"])
def test_a_training_that_changes_the_current_folder_keeps_its_checkpoints(tmp_path, monkeypatch, workers):
    monkeypatch.chdir(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def wander(trial):
        os.chdir(elsewhere)
        train(trial)

    study = gh.tune(
        wander,
        SPACE,
        minimize="loss",
        max_steps=2,
        budget="2 trials",
        workers=workers,
        storage="tune.db",
        progress=False,
    )
    assert study.best.checkpoint.is_relative_to(tmp_path / "tune.files")
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("scheduler", ["asha", "none"])
def test_a_study_whose_file_was_removed_starts_over(tmp_path, scheduler):
    first = tuned(0, scheduler, storage=tmp_path / "tune.db")
    kept = first.best.checkpoint
    first.close()
    remove(tmp_path / "tune.db")
    with tuned(1, scheduler, storage=tmp_path / "tune.db") as second:
        assert second.folder != first.folder
        checkpoint = second.best.checkpoint
    assert kept.is_file(), "what the first left stays"
    with Study.load(tmp_path / "tune.db") as again:
        assert (again.folder, again.best.checkpoint) == (second.folder, checkpoint)


def test_studies_in_memory_may_be_given_one_folder(tmp_path):
    folders = [tuned(seed, checkpoints=tmp_path / "ck").folder for seed in range(3)]
    assert folders == [tmp_path / "ck", tmp_path / "ck-2", tmp_path / "ck-3"]


@pytest.mark.parametrize(
    "places",
    [
        [{"storage": "t.db"}, {"storage": "t.sqlite"}],
        [{"storage": "exp.v1"}, {"storage": "exp.v2"}],
        [{"storage": "n.db", "name": name} for name in ("a/b", "a_b", "a%2Fb")],
    ],
)
def test_studies_of_other_names_have_folders_of_other_names(tmp_path, places):
    folders = set()
    for place in places:
        with Study(SPACE, **{**place, "storage": tmp_path / place["storage"]}) as study:
            folders.add(study.folder)
    assert len(folders) == len(places)


def test_two_studies_that_begin_at_once_part(tmp_path):
    with contextlib.ExitStack() as stack:
        studies = [stack.enter_context(Study(SPACE, checkpoints=tmp_path / "ck")) for _ in range(2)]
        directories = [study.ask().job.directory.parent for study in studies]
        assert directories == [tmp_path / "ck", tmp_path / "ck-2"]
        assert [study.folder for study in studies] == directories


def test_processes_of_one_study_share_its_folder(tmp_path):
    with (
        Study(SPACE, storage=tmp_path / "s.db", checkpoints=tmp_path / "ck") as one,
        Study(SPACE, storage=tmp_path / "s.db", checkpoints=tmp_path / "ck") as other,
    ):
        assert {study.ask().job.directory.parent for study in (one, other, one)} == {tmp_path / "ck"}


def test_a_begun_study_keeps_a_folder_without_a_mark(tmp_path):
    (tmp_path / "ck" / "trial-00000").mkdir(parents=True)
    files, history = Files(tmp_path / "ck", None), begun()
    files.settle(History())
    assert files.folder == tmp_path / "ck-2"
    files = Files(tmp_path / "ck", None)
    add(history, [1.0])
    files.settle(history)
    assert files.folder == tmp_path / "ck"
