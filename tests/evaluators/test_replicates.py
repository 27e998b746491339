"""Trials of several folds and repeats: means, racing, pausing in between."""

import random
import signal
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
from tests.programs import folds
from tests.schedulers.histories import add, begun

import greyhound as gh
from greyhound.budget import Budget
from greyhound.errors import StudyError
from greyhound.evaluators import checkpoint
from greyhound.evaluators.function import Function
from greyhound.evaluators.replicates import Replicated
from greyhound.evaluators.script import Script
from greyhound.schedulers import Resume, Wait
from greyhound.schedulers.racing import Racing
from greyhound.study import Study
from greyhound.trial import Limit, TrialState, Verdict

PROGRAM = Path(__file__).parents[1] / "programs" / "folds.py"
SPACE = gh.Space(x=gh.Float(0.0, 1.0))
QUIET = {"progress": False, "sampler": "random", "workers": "serial"}


def test_a_trial_is_the_mean_of_its_folds_and_repeats():
    seen = []

    def train(trial):
        seen.append((trial.fold, trial.folds, trial.repeat, trial.seed))
        for step in range(1, trial.max_steps + 1):
            trial.report(step, score=trial.fold + 10 * trial.repeat, other=1.0)

    study = gh.tune(train, SPACE, maximize="score", folds=3, repeats=2, max_steps=4, budget=1, **QUIET)
    (trial,) = study.trials
    values = [0, 1, 2, 10, 11, 12]
    assert [(fold, folds, repeat) for fold, folds, repeat, _ in seen] == [(i % 3, 3, i // 3) for i in range(6)]
    assert len({seed for *_, seed in seen}) == 6
    assert [report.metrics["score"] for report in trial.reports] == [
        statistics.fmean(values[: n + 1]) for n in range(6)
    ]
    assert trial.metrics["score"] == 6
    assert trial.metrics["score_std_error"] == pytest.approx(statistics.stdev(values) / 6**0.5)
    assert trial.state is TrialState.COMPLETED


def test_hopeless_configurations_stop_after_the_first_folds_and_the_best_is_kept():
    def train(trial):
        luck = random.Random(f"{trial.fold} {trial.seed}").gauss(0, 0.02)
        return trial.params["x"] + 0.3 * trial.fold + luck

    study = gh.tune(train, SPACE, maximize="score", folds=5, budget=25, **QUIET)
    counts = [trial.step for trial in study.trials]
    assert sum(counts) < 0.6 * 5 * len(counts)
    best = max(study.trials, key=lambda trial: trial.params["x"])
    assert best.step == 5


def test_the_best_and_the_finalists_are_chosen_among_those_that_saw_every_fold():
    def train(trial):
        return 1.0 - abs(trial.params["x"] - 0.3) - [0.0, 0.1, 0.2, 0.1, 0.1][trial.fold]

    study = gh.tune(train, SPACE, maximize="score", folds=5, budget=40, finals=False, **QUIET)
    whole = [trial for trial in study.trials if trial.step == 5]
    assert 2 <= len(whole) < 40
    leaders = sorted(whole, key=lambda trial: abs(trial.params["x"] - 0.3))
    assert study.best.number == leaders[0].number
    assert max(trial.metrics["score"] for trial in study.trials) > study.best.metrics["score"], "on the easy fold"
    study.finals(top=2, seeds=2)
    assert {trial.replicates for trial in study.history.replicates} == {trial.number for trial in leaders[:2]}


def test_racing_keeps_equals_and_lets_go_of_what_is_plainly_worse():
    study = Study(SPACE, minimize="error", max_steps=4, budget=4, sampler="random", scheduler="racing")

    def race(*values):
        trial, told = study.ask(), []
        verdict = Verdict.CONTINUE
        for step in range(1, 5):
            if verdict is Verdict.CONTINUE:
                told.append(values[step - 1])
                verdict = study.report(trial, step, error=statistics.fmean(told))
        return len(told)

    assert race(1.0, 2.0, 3.0, 4.0) == 4
    assert race(1.2, 1.9, 3.1, 3.9) == 4, "nothing is paused before two trials have seen all"
    assert race(5.0, 6.0, 7.0, 8.0) == 1
    assert race(1.1, 2.1, 2.9, 3.8) == 4


def test_a_trial_that_was_completed_without_all_replicates_does_not_hold_up_the_race():
    study = Study(SPACE, minimize="error", max_steps=2, budget=5, sampler="random", scheduler="racing")
    for means in ([1.0, 1.5], [1.1, 1.6], [0.9]):
        trial = study.ask()
        for step, mean in enumerate(means, 1):
            study.report(trial, step, error=mean)
        if len(means) < 2:
            study.tell(trial, 0.1)
    assert study.history.count(TrialState.COMPLETED) == 3
    assert study.report(study.ask(), 1, error=9.0) is Verdict.PAUSE
    assert study.report(study.ask(), 1, error=1.0) is Verdict.CONTINUE, "it leads, as what was told is no mean of all"


def test_what_breaks_a_limit_does_not_lead_the_race():
    options = {"minimize": "error", "subject_to": "ms <= 5", "max_steps": 2, "sampler": "random"}
    study = Study(SPACE, budget=3, scheduler="racing", **options)
    for error, ms in ((1.0, 9.0), (2.0, 5.0)):
        trial = study.ask()
        for step, noise in enumerate((0.0, 0.01 * error), 1):
            study.report(trial, step, error=error + noise, ms=ms)
    assert study.report(study.ask(), 1, error=1.99, ms=5.0) is Verdict.CONTINUE


def test_at_the_end_of_a_race_one_that_keeps_to_the_limits_is_trained_on_all_folds():
    def left(*trials):
        history = begun(max_steps=4, limits=(Limit("ms", 5.0),), budget=Budget(trials=len(trials)))
        for steps, ms, state in trials:
            add(history, [{"loss": 1.0, "ms": ms}] * steps, state)
        return Racing().next(history)

    done, paused = TrialState.COMPLETED, TrialState.PAUSED
    assert left((4, 9.0, done), (3, 9.0, paused), (1, 5.0, paused), (2, 5.0, paused)) == Resume(3)
    assert left((4, 9.0, done), (3, 9.0, paused)) == Wait()
    assert left((3, 9.0, paused), (1, 9.0, paused)) == Resume(0)
    assert left((4, 5.0, done), (3, 5.0, paused)) == Wait()


def test_an_interrupted_trial_goes_on_with_its_next_fold(tmp_path):
    seen = []

    def train(trial):
        seen.append(trial.fold)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return float(trial.fold)

    options = {"maximize": "score", "folds": 4, "budget": 1, "storage": tmp_path / "s.db", **QUIET}
    with pytest.raises(KeyboardInterrupt):
        gh.tune(train, SPACE, **options)
    study = gh.tune(train, SPACE, **options)
    assert seen == [0, 1, 2, 2, 3]
    assert study.trials[0].metrics["score"] == 1.5


def count(trial):
    counter = folds.Counter()
    for step in range(trial.checkpoint(counter=counter), trial.max_steps):
        counter.steps += 1
        trial.report(step + 1, score=10.0 * trial.fold + counter.steps)


def checkpoints(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("checkpoint.*"))


def test_a_finished_replicate_leaves_no_checkpoint(tmp_path):
    study = gh.tune(count, SPACE, maximize="score", folds=3, max_steps=4, budget=5, storage=tmp_path / "s.db", **QUIET)
    assert study.best.metrics["score"] == 14.0
    assert checkpoints(tmp_path) == []


def test_a_checkpoint_that_a_kill_left_behind_its_finished_replicate_is_removed(line, job):
    trainer = Replicated(Function(count), folds=2, max_steps=4)
    folder = job().directory
    (folder / "replicate-0").mkdir(parents=True)
    (folder / "replicate-0" / checkpoint.PLAIN_NAME).touch()
    (folder / "replicates.json").write_text('[{"score": 4.0}]')
    assert trainer(job(step=1), line).metrics["score"] == 9.0
    assert checkpoints(folder) == []


def test_a_killed_trial_goes_on_within_its_replicate(tmp_path):
    def run():
        return subprocess.run([sys.executable, str(PROGRAM)], cwd=tmp_path, timeout=120).returncode

    assert run() == -signal.SIGKILL
    assert checkpoints(tmp_path) == [f"s.files/study/trial-00000/replicate-1/{checkpoint.PLAIN_NAME}"]
    assert run() == 0
    trained = [tuple(map(int, row.split())) for row in (tmp_path / "trained.txt").read_text().splitlines()]
    assert all(step == steps for _, step, steps in trained), "the state is that of its step"
    assert [step for fold, step, _ in trained if fold == 0] == [1, 2, 3, 4]
    assert [step for fold, step, _ in trained if fold == 1][:4] == [1, 2, 3, 2], "on from its first checkpoint"
    with Study.load(tmp_path / "s.db") as study:
        assert study.trials[0].metrics["score"] == statistics.fmean([4.0, 14.0, 24.0])
    assert checkpoints(tmp_path) == []


def test_a_failing_fold_fails_the_trial():
    def train(trial):
        return 1.0 if trial.fold < 2 else float("nan")

    study = gh.tune(train, SPACE, maximize="score", folds=3, budget=1, **QUIET)
    assert study.trials[0].state is TrialState.DIVERGED
    assert study.trials[0].step == 2


def test_a_script_sees_its_fold(tmp_path):
    (tmp_path / "train.py").write_text("import sys, json; print(json.dumps({'score': float(sys.argv[1])}))")
    script = Script((sys.executable, str(tmp_path / "train.py"), "{fold}{repeat}", "{x}"))
    study = gh.tune(script, SPACE, maximize="score", folds=2, repeats=2, budget=1, **QUIET)
    assert study.trials[0].metrics["score"] == statistics.fmean([0, 10, 1, 11])


def test_wrong_counts_are_told():
    with pytest.raises(StudyError, match="folds must be a whole number"):
        gh.tune(lambda trial: 1.0, SPACE, maximize="score", folds=0, **QUIET)
    for risk in (0.0, "a", None):
        with pytest.raises(StudyError, match="racing: risk must be above 0"):
            Racing(risk=risk)
