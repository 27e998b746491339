"""The loop: workers train what the study asks for, whatever becomes of them."""

import functools
import math
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy
import psutil
import pytest

import greyhound as gh
from greyhound import events as ev
from greyhound.errors import EvaluationError, SpaceError, StorageError, StudyError
from greyhound.evaluators.script import Script
from greyhound.storage import Memory, presence
from greyhound.study import Study
from greyhound.trial import TrialState
from greyhound.tuning import enqueue_first

SPACE = gh.Space(x=gh.Float(0.0, 1.0), n=gh.Int(1, 9))
QUIET = {"progress": False, "sampler": "random"}


def climb(trial):
    """Saturates at x; each step is reported."""
    for step in range(trial.step + 1, trial.max_steps + 1):
        trial.report(step, score=trial.params["x"] * (1 - 0.7**step))


class Walk:
    """State that depends on every step taken."""

    def __init__(self):
        self.value = 0.0

    def state_dict(self):
        return {"value": self.value}

    def load_state_dict(self, state):
        self.value = state["value"]


def walk(trial):
    state = Walk()
    for step in range(trial.checkpoint(state=state), trial.max_steps):
        state.value = 0.5 * state.value + trial.params["x"] * (step + 1)
        trial.report(step + 1, score=state.value)


def walked(x, steps):
    value = 0.0
    for step in range(steps):
        value = 0.5 * value + x * (step + 1)
    return value


def decisions(study):
    return [
        (trial.params, trial.seed, trial.state, trial.step, [(report.step, report.metrics) for report in trial.reports])
        for trial in study.trials
    ]


@pytest.mark.parametrize("workers", [1, "serial"])
def test_the_same_seed_gives_the_same_study_to_the_last_bit(workers):
    def study(seed):
        return gh.tune(walk, SPACE, maximize="score", max_steps=9, budget=8, workers=workers, seed=seed, **QUIET)

    assert decisions(study(5)) == decisions(study(5))
    assert decisions(study(5)) != decisions(study(6))


def test_one_worker_and_this_process_make_the_same_study():
    options = {"maximize": "score", "max_steps": 9, "budget": 8, **QUIET}
    assert decisions(gh.tune(walk, SPACE, workers=1, **options)) == decisions(
        gh.tune(walk, SPACE, workers="serial", **options)
    )


@pytest.mark.parametrize("workers", [2, "serial"])
def test_paused_trainings_go_on_from_their_checkpoints(workers):
    study = gh.tune(walk, SPACE, maximize="score", max_steps=27, budget=12, workers=workers, **QUIET)
    resumed = [trial for trial in study.trials if trial.step > 3]  # the first rung
    assert study.history.completed
    assert len(resumed) < 12
    for trial in study.trials:
        assert [report.step for report in trial.reports] == list(range(1, trial.step + 1))
        for report in trial.reports:
            assert report.metrics["score"] == pytest.approx(walked(trial.params["x"], report.step), rel=1e-12)
    assert study.best.checkpoint.exists()


def test_what_a_training_puts_back_and_returns_counts_though_its_last_report_had_ended_the_trial(tmp_path):
    reported, others_ended = tmp_path / "reported", tmp_path / "others ended"

    class Weights:
        """Written while the first trial returns, which takes until others ended, and what they outdo was removed."""

        def __init__(self):
            self.best = "the last ones"

        def save_to(self, folder):
            if self.best == "the best ones of 0":
                wait_for(others_ended)
            (folder / "weights.txt").write_text(self.best)

        def load_from(self, folder):
            self.best = (folder / "weights.txt").read_text()

    def train(trial):
        weights = Weights()
        trial.checkpoint(weights=weights)
        if trial.number:
            wait_for(reported)
        trial.report(1, loss=3.0 if trial.number == 0 else 2.0)
        reported.touch()
        weights.best = f"the best ones of {trial.number}"
        return {"loss": 1.0 if trial.number == 0 else 1.5}

    def watch(history, event):
        if event.kind == "started" and event.trial == 2:
            others_ended.touch()

    options = {"minimize": "loss", "max_steps": 1, "scheduler": "none", "storage": tmp_path / "tune.db", **QUIET}
    study = gh.tune(train, SPACE, budget=3, workers=2, callbacks=[watch], **options)
    assert [trial.metrics["loss"] for trial in study.trials] == [1.0, 1.5, 1.5]
    assert study.best.number == 0
    assert [path.read_text() for path in study.folder.rglob("weights.txt")] == ["the best ones of 0"]


def wait_for(path):
    while not path.exists():
        time.sleep(0.01)


def test_early_stopping_trains_few_configurations_in_full():
    study = gh.tune(climb, SPACE, maximize="score", max_steps=27, budget=30, workers=2, **QUIET)
    assert 1 <= study.history.count(TrialState.COMPLETED) < 10
    assert study.best.params["x"] > 0.8


def test_endings_are_told_apart_and_none_ends_the_study():
    def train(trial):
        match trial.number:
            case 0:
                raise ValueError("a mistake of mine")
            case 1:
                raise MemoryError
            case 2:
                return {"score": math.nan}
            case 3:
                os.kill(os.getpid(), signal.SIGKILL)
            case 4:
                time.sleep(60)
            case 5:
                raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
            case 6:
                return {"loss": 1.0}
        return {"score": trial.params["x"]}

    study = gh.tune(train, SPACE, maximize="score", budget=9, workers=2, trial_timeout=2, **QUIET)
    states = [trial.state for trial in study.trials]
    assert states == [
        TrialState.FAILED, TrialState.OUT_OF_MEMORY, TrialState.DIVERGED, TrialState.LOST, TrialState.TIMED_OUT,
        TrialState.OUT_OF_MEMORY, TrialState.FAILED, TrialState.COMPLETED, TrialState.COMPLETED,
    ]  # fmt: skip
    assert "a mistake of mine" in study.trials[0].error
    assert "in train" in study.trials[0].error, "the traceback is kept"
    assert study.trials[3].restarts == 3, "a lost trial is put back three times"
    assert "without score" in study.trials[6].error


def test_a_training_that_fails_on_every_worker_ends_with_what_was_wrong():
    def train(trial):
        raise ValueError("always the same mistake")

    with pytest.raises(EvaluationError, match="always the same mistake"):
        gh.tune(train, SPACE, maximize="score", budget=40, workers=2, **QUIET)


def test_a_time_budget_pauses_what_runs(tmp_path):
    def train(trial):
        state = Walk()
        for step in range(trial.checkpoint(state=state), 1000):
            time.sleep(0.02)
            state.value += 1
            trial.report(step + 1, score=state.value)

    begin = time.monotonic()
    options = {"maximize": "score", "workers": 2, "storage": tmp_path / "study.db", **QUIET}
    study = gh.tune(train, SPACE, budget="1s", **options)
    assert time.monotonic() - begin < 20
    assert {trial.state for trial in study.trials} == {TrialState.PAUSED}
    study.close()
    steps = [trial.step for trial in study.trials]
    study = gh.tune(train, SPACE, budget="+1s", **options)
    for before, trial in zip(steps, study.trials, strict=True):
        assert trial.step > before
        assert trial.metrics["score"] == trial.step, "it went on from its state"


@pytest.mark.parametrize("workers", [2, "serial"])
def test_a_callback_ends_the_search_and_the_same_program_goes_on(workers, tmp_path):
    def reaches(score):
        return lambda history, event: numpy.bool_(event.kind == "reported" and event.metrics["score"] >= score)

    def train(trial):
        for step in range(trial.step, trial.max_steps):
            time.sleep(0.01)
            trial.report(step + 1, score=step + 1)

    options = {"maximize": "score", "max_steps": 100_000, "scheduler": "none", "storage": tmp_path / "tune.db", **QUIET}
    study = gh.tune(train, SPACE, budget=3, workers=workers, callbacks=[reaches(3)], **options)
    assert study.why_finished == "a callback ended the search"
    assert {trial.state for trial in study.trials} == {TrialState.PAUSED}
    study.close()
    farther = max(trial.step for trial in study.trials) + 1
    study = gh.tune(train, SPACE, budget=3, workers=workers, callbacks=[reaches(farther)], **options)
    assert max(trial.step for trial in study.trials) >= farther


def test_objectives_written_for_optuna_run_unchanged():
    import optuna

    def objective(trial):
        x = trial.suggest_float("x", -10, 10)
        kind = trial.suggest_categorical("kind", ["square", "shifted"])
        shift = trial.suggest_int("shift", 0, int(abs(x)) + 1) if kind == "shifted" else 0
        trial.set_user_attr("kind", kind)
        for step in range(5):
            trial.report((x - shift) ** 2 + 5 - step, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return (x - shift) ** 2

    study = gh.tune(objective, minimize="value", budget=25, workers=2, progress=False)
    assert len(study.trials) == 25
    assert {trial.state for trial in study.trials} == {TrialState.COMPLETED}
    for trial in study.trials:
        assert trial.attrs["kind"] == trial.params["kind"]
        assert ("shift" in trial.params) == (trial.params["kind"] == "shifted")
        assert trial.metrics["value"] == (trial.params["x"] - trial.params.get("shift", 0)) ** 2
        assert [report.step for report in trial.reports] == [0, 1, 2, 3, 4]
    assert set(study.history.space.names) == {"x", "kind", "shift"}


def test_an_optuna_objective_is_pruned_by_a_scheduler():
    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        for step in range(1, 10):
            trial.report(x, step)
            if trial.should_prune():
                raise gh.TrialPruned
        return x

    study = gh.tune(objective, minimize="value", budget=9, max_steps=9, scheduler="asha", workers=1, progress=False)
    assert study.history.count(TrialState.COMPLETED) < 9
    assert study.history.count(TrialState.FAILED) == 0


@pytest.mark.parametrize("workers", [2, "serial"])
def test_a_trial_fails_that_names_a_parameter_of_another_kind_than_others(workers, tmp_path):
    def objective(trial):
        return trial.suggest_float("depth", 1, 8) if trial.number == 2 else trial.suggest_int("depth", 1, 8)

    path = tmp_path / "study.db"
    gh.tune(objective, minimize="value", budget=6, workers=workers, storage=path, progress=False).close()
    with gh.Study.load(path) as study:
        (failed,) = study.history.select(TrialState.FAILED)
        assert study.history.count(TrialState.COMPLETED) == 5
    assert failed.error.startswith("depth: was int and cannot become float; give the new one a new name")


def test_an_existing_study_is_continued(tmp_path):
    options = {"maximize": "score", "max_steps": 3, "workers": 2, "storage": tmp_path / "study.db", **QUIET}
    gh.tune(climb, SPACE, budget=4, scheduler="none", **options).close()
    study = gh.tune(climb, SPACE, budget=7, scheduler="none", **options)
    assert len(study.trials) == 7
    assert len({trial.params["x"] for trial in study.trials}) == 7


def test_checkpoints_of_ended_trials_are_collected_and_the_best_stays(tmp_path):
    space = gh.Space(x=gh.Float(0.0, 1.0, default=0.1), n=gh.Int(1, 9, default=1))
    study = gh.tune(walk, space, maximize="score", max_steps=3, budget=8, scheduler="none", workers=2,
                    storage=tmp_path / "study.db", **QUIET)  # fmt: skip
    kept = {path.parent.name for path in study.folder.glob("trial-*/checkpoint.*")}
    assert kept == {f"trial-{study.best.number:05d}", "trial-00000"}
    assert study.best.checkpoint.exists()
    assert study.baseline.checkpoint.exists()


def test_several_objectives_and_final_metrics_of_any_name(tmp_path):
    def train(trial):
        return {"score": trial.params["x"], "size": trial.params["n"], "state": 1.0, "failed": 0.0}

    study = gh.tune(train, SPACE, maximize="score", minimize="size", budget=10, workers=2, **QUIET)
    assert study.history.count(TrialState.COMPLETED) == 10
    assert study.trials[0].metrics["state"] == 1.0
    assert study.front


def test_a_program_without_a_main_guard_tunes_its_own_functions(tmp_path):
    (tmp_path / "program.py").write_text(
        textwrap.dedent(
            """
            import functools
            import greyhound as gh

            @functools.cache
            def data():
                return [1.0, 2.0]

            class Model:
                def score(self, x):
                    return x + sum(data())

            def train(trial):
                print("training")
                return {"score": Model().score(trial.params["x"])}

            study = gh.tune(train, {"x": gh.Float(0, 1)}, maximize="score", budget=4, workers=2, progress=False)
            print(len(study.trials), study.best.metrics["score"] >= 3.0)
            """
        )
    )
    told = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert told.stdout == "4 True\n"


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_program_hands_its_functions_and_classes_to_pools_of_processes(method, tmp_path):
    (tmp_path / "program.py").write_text(
        textwrap.dedent(
            f"""
            import functools
            import multiprocessing
            import greyhound as gh

            class Item:
                def __init__(self, value):
                    self.value = value

            @functools.cache
            def doubled(item):
                return Item(2 * item.value)

            def train(trial):
                with multiprocessing.get_context("{method}").Pool(2) as pool:
                    made = pool.map(doubled, [Item(1.0), Item(2.0)])
                assert all(isinstance(each, Item) for each in made)
                return sum(each.value for each in made)

            if __name__ == "__main__":
                study = gh.tune(train, {{"x": gh.Float(0, 1)}}, maximize="score", budget=1, workers=1, progress=False)
                print(study.trials[0].error or study.best.metrics["score"])
            """
        )
    )
    told = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert told.stdout == "6.0\n"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signals_pause_and_a_second_leaves_at_once(signum, tmp_path):
    (tmp_path / "program.py").write_text(
        textwrap.dedent(
            """
            import time
            import greyhound as gh

            def train(trial):
                trial.report(1, score=1.0)
                print("up", flush=True)
                open(f"running-{trial.number}.txt", "w").close()
                time.sleep(600)

            if __name__ == "__main__":
                gh.tune(train, {"x": gh.Float(0, 1)}, maximize="score", workers=2, storage="study.db", progress="lines")
            """
        )
    )
    process = subprocess.Popen([sys.executable, "program.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("running-*.txt"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signum)
    time.sleep(1.0)
    assert process.poll() is None, "the first waits for the trials to pause"
    process.send_signal(signum)
    told, _ = process.communicate(timeout=20)
    assert "pausing the running trials at their next report; once more to leave at once" in told
    assert process.returncode != 0
    study = Study.load(tmp_path / "study.db")
    assert len(study.history.requeued) == 2, "what ran is put back"


@pytest.mark.parametrize("workers", [1, "serial"])
def test_a_signal_pauses_at_the_next_report_also_what_trains_in_the_own_process(workers):
    tuner = os.getpid()

    def train(trial):
        for step in range(1, 10_001):
            if step == 3:
                os.kill(tuner, signal.SIGINT)
            time.sleep(0.001)
            trial.report(step, score=1.0)

    study = gh.tune(train, SPACE, maximize="score", workers=workers, scheduler="none", budget="2 trials", **QUIET)
    assert study.history.requeued == [0]
    assert 3 <= study.trials[0].step < 10_000


def test_a_training_in_the_own_process_that_reports_nothing_for_long_is_heard_of(monkeypatch):
    monkeypatch.setattr(presence, "BEAT_S", 0.05)
    journal, deadline = Memory(), time.monotonic() + 60.0

    def train(trial):
        while not any(isinstance(event, ev.Beat) for event in journal.read(0)):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return trial.params["x"]

    study = gh.tune(train, SPACE, maximize="score", budget=1, workers="serial", storage=journal, **QUIET)
    assert study.history.count(TrialState.COMPLETED) == 1


def test_beats_outlast_an_error_of_the_storage_and_end_with_the_study(monkeypatch):
    class Busy(Memory):
        refused = 0

        def append(self, events):
            if isinstance(events[0], ev.Beat) and self.refused < 2:
                self.refused += 1
                raise StorageError("busy")
            return super().append(events)

    monkeypatch.setattr(presence, "BEAT_S", 0.02)
    journal, deadline = Busy(), time.monotonic() + 60.0
    study = gh.Study(SPACE, maximize="score", storage=journal)
    with study.beating():
        study.ask()
        while not any(isinstance(event, ev.Beat) for event in journal.read(0)):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        study.close()
        time.sleep(0.2)
    assert journal.refused == 2
    assert isinstance(journal.read(0)[-1], ev.Left)


def test_a_trial_that_fails_once_a_signal_came_is_put_back(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, signal, time
            tuner = int(open("tuner.txt").read())
            os.kill(tuner, signal.SIGTERM)  # as Slurm does: to all processes of a job
            time.sleep(1.0)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(600)
            """
        )
    )
    (tmp_path / "program.py").write_text(
        textwrap.dedent(
            """
            import os
            import greyhound as gh

            if __name__ == "__main__":
                with open("tuner.txt", "w") as file:
                    file.write(str(os.getpid()))
                train = gh.Script(("train.py",))
                gh.tune(train, {"x": gh.Float(0, 1)}, maximize="score", workers=1, storage="study.db", progress=False)
            """
        )
    )
    subprocess.run([sys.executable, "program.py"], cwd=tmp_path, timeout=60, check=True)
    history = Study.load(tmp_path / "study.db").history
    assert (history.requeued, history.count(TrialState.FAILED)) == ([0], 0)
    assert "killed by signal 15" in history.trial(0).error


@pytest.mark.parametrize("workers", ["1", "'serial'"])
def test_a_script_that_takes_the_signal_for_its_end_is_put_back(workers, tmp_path):
    (tmp_path / "train.py").write_text(
        textwrap.dedent(
            """
            import os, signal, sys, time
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
            print('{"step": 1, "score": 0.5}', flush=True)
            time.sleep(1.0)
            for process in *{os.getppid(), int(open("tuner.txt").read())}, os.getpid():  # as Slurm does
                os.kill(process, signal.SIGTERM)
            time.sleep(600)
            """
        )
    )
    (tmp_path / "program.py").write_text(
        textwrap.dedent(
            f"""
            import os
            import greyhound as gh

            if __name__ == "__main__":
                with open("tuner.txt", "w") as file:
                    file.write(str(os.getpid()))
                space = {{"x": gh.Float(0, 1)}}
                gh.tune(
                    gh.Script(("train.py",)), space, maximize="score", max_steps=5, workers={workers},
                    scheduler="none", storage="study.db", progress=False,
                )
            """
        )
    )
    subprocess.run([sys.executable, "program.py"], cwd=tmp_path, timeout=60, check=True)
    history = Study.load(tmp_path / "study.db").history
    assert (history.requeued, len(history), history.trial(0).step) == ([0], 1, 1)


def test_a_time_out_that_nothing_keeps_is_warned_of():
    options = {"maximize": "score", "max_steps": 2, "budget": 1, **QUIET}
    with pytest.warns(UserWarning, match="trial_timeout does nothing with workers='serial'"):
        gh.tune(climb, SPACE, workers="serial", trial_timeout="30m", **options)
    gh.tune(climb, SPACE, workers="serial", **options)


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"train": 3}, EvaluationError, "train must be a function"),
        ({"train": lambda: 0.5}, EvaluationError, r"<lambda> must take one argument, the trial; it is written \(\)"),
        ({"train": lambda model, data: 0.5}, EvaluationError, r"it is written \(model, data\)"),
        (
            {"train": lambda trial, lr=SPACE["x"]: 0.5},
            EvaluationError,
            r"called with the trial alone: write lr=Float\(0.0, 1.0\) in the space, .* read trial\.params\['lr'\]",
        ),
        ({"train": "nowhere:train"}, EvaluationError, "there is no module 'nowhere'"),
        ({"train": "math:sine"}, EvaluationError, "has no function 'sine'"),
        ({"trial_timeout": "soon"}, StudyError, "cannot read 'soon'"),
        ({"workers": 0}, StudyError, "workers"),
        ({"progress": "loud"}, StudyError, "progress must be"),
        ({"cores_per_trial": 0}, StudyError, "cores_per_trial"),
        ({"train": functools.partial(print, threading.Lock())}, EvaluationError, "cannot be sent"),
        ({"train": Script((sys.executable, "{y}"))}, EvaluationError, r"unknown placeholder \{y\}"),
        ({"enqueue": {"x": 0.5, "n": 3}}, StudyError, "enqueue: write a list of configurations"),
        ({"enqueue": ["x=1"]}, StudyError, "enqueue: write a configuration such as"),
        ({"enqueue": [{"x": 0.5, "n": 3}, {"x": 2.0, "n": 3}]}, SpaceError, "enqueue: x: 2.0 is outside"),
        ({"enqueue": iter([{"x": 0.5, "n": 3}])}, StudyError, "enqueue: write a list of configurations"),
        ({"workers": None}, StudyError, "workers: write 'auto' or a whole number from 1; got None"),
        ({"workers": 2.0}, StudyError, "workers: write 'auto' or a whole number from 1; got 2.0"),
        ({"gpus_per_trial": "1"}, StudyError, "gpus_per_trial: write a whole number, .*; got '1'"),
    ],
)
def test_wrong_arguments_are_told_before_there_is_a_study(arguments, error, told, tmp_path):
    arguments = {"train": climb, "maximize": "score", "max_steps": 3, "budget": 1, "workers": 1, **arguments}
    with pytest.raises(error, match=told):
        gh.tune(space=SPACE, storage=tmp_path / "study.db", **arguments)
    assert not (tmp_path / "study.db").exists()


def test_what_is_to_be_tried_first_is_asked_for_once_however_often_the_study_is_started(tmp_path):
    half, whole = {"x": 0.5, "n": 3}, {"x": 1.0, "n": 9}
    options = {
        "maximize": "score",
        "max_steps": 3,
        "scheduler": "none",
        "budget": "6 trials",
        "storage": tmp_path / "s.db",
    }
    killed = Study(SPACE, **options)
    killed.enqueue(half)  # by another process, or by this one before it was killed
    study = gh.tune(climb, enqueue=[half, half, whole], space=SPACE, workers="serial", progress=False, **options)
    assert [trial.params for trial in study.trials if trial.source == "enqueued"] == [half, half, whole]


def test_what_two_programs_ask_for_first_at_once_is_tried_once(tmp_path):
    half, whole = {"x": 0.5, "n": 3}, {"x": 1.0, "n": 9}
    space = gh.Space({**SPACE.parameters, "new": gh.Int(1, 5, default=2)})
    with Study(space, storage=tmp_path / "s.db") as study, Study.load(tmp_path / "s.db") as faster:
        refresh = study.refresh

        def late():
            refresh()
            enqueue_first(faster, [half, half, whole])

        study.refresh = late
        enqueue_first(study, [half, half, whole])
        refresh()
        assert [params for _, params in study.history.queue] == [{**each, "new": 2} for each in (half, half, whole)]


def test_workers_of_a_study_that_is_refused_are_ended():
    before = psutil.Process().children()
    with pytest.raises(StudyError, match="there is no sampler"):
        gh.tune(climb, SPACE, maximize="score", max_steps=3, workers=2, progress=False, sampler="luck")
    assert psutil.Process().children() == before
