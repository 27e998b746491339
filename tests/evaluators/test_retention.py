"""Which checkpoints stay: those that are needed, and as many more as the quota allows."""

import fcntl
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import greyhound as gh
from greyhound import events as ev
from greyhound.evaluators import checkpoint
from greyhound.evaluators.retention import Retention, trial_folder
from greyhound.files import Files
from greyhound.history import History
from greyhound.jobs import LOCK
from greyhound.settings import Settings
from greyhound.trial import Objective, TrialState

DISPOSABLE = {TrialState.COMPLETED, TrialState.STOPPED, TrialState.DIVERGED}
RETRYABLE = {TrialState.FAILED, TrialState.OUT_OF_MEMORY, TrialState.TIMED_OUT, TrialState.LOST}


def history_of(*trials, target=()):
    """Trials in order of number, each (state, step, score) or (state, step, score, parent); a large score is good."""
    settings = Settings((Objective("score", True),), gh.Space(x=gh.Float(0, 1)), max_steps=9, target=dict(target))
    history = History.of([ev.Declared(1.0, settings.to_json()), ev.Joined(1.0, "me", "host", 1, 0.0)])
    for number, (state, step, score, *parent) in enumerate(trials):
        history.apply(ev.Started(2.0, number, {"x": 0.5}, 7, "random", "me", parent=parent[0] if parent else None))
        if step:
            history.apply(ev.Reported(2.0, number, step, {"score": score}))
        if state is not TrialState.RUNNING:
            history.apply(ev.Ended(3.0, number, state, {}, "me"))
    return history


def put(folder, number, size=10):
    trial_folder(folder, number).mkdir(exist_ok=True)
    (trial_folder(folder, number) / checkpoint.TORCH_NAME).write_bytes(b"x" * size)


def kept(folder):
    return {int(path.name[6:]) for path in folder.iterdir() if checkpoint.latest(path)}


def collected(folder, history, winners=(), quota=None, sizes=None):
    """What stays where every trial has a checkpoint, of 10 bytes unless `sizes` says otherwise."""
    folder.mkdir(exist_ok=True)
    for number in range(len(history)):
        put(folder, number, sizes[number] if sizes else 10)
    Retention(folder, quota).collect(history, range(len(history)), set(winners))
    return kept(folder)


@pytest.mark.parametrize("state", TrialState)
def test_what_may_be_trained_on_is_kept_and_what_is_over_is_not(state, tmp_path):
    assert collected(tmp_path, history_of((state, 3, 0.5))) == (set() if state in DISPOSABLE else {0})


def test_winners_are_kept_until_they_win_no_more(tmp_path):
    history = history_of((TrialState.COMPLETED, 9, 0.5), (TrialState.COMPLETED, 9, 0.6), (TrialState.COMPLETED, 9, 0.7))
    retention = Retention(tmp_path, None)
    for number, winners, expected in ((0, {0}, {0}), (1, {0, 1}, {0, 1}), (2, {0, 2}, {0, 2})):
        put(tmp_path, number)
        retention.collect(history, [number], winners)
        assert kept(tmp_path) == expected


@pytest.mark.parametrize("state", [TrialState.RUNNING, TrialState.PAUSED])
def test_the_best_that_ended_is_kept_while_one_that_trains_on_is_ahead_and_may_fall_back(state, tmp_path):
    history = history_of((TrialState.COMPLETED, 9, 0.7), (state, 6, 0.8), (TrialState.COMPLETED, 9, 0.6))
    for number in range(3):
        put(tmp_path, number)
        Files(tmp_path, None).collect(history, number)
    assert kept(tmp_path) == {0, 1}


def test_what_a_report_has_ended_is_kept_until_its_training_returns(tmp_path):
    history = history_of((TrialState.COMPLETED, 9, 0.5))
    put(tmp_path, 0)
    retention = Retention(tmp_path, None)
    with open(trial_folder(tmp_path, 0) / LOCK, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        retention.collect(history, [0], set())
        assert kept(tmp_path) == {0}
    retention.collect(history, [], set())
    assert kept(tmp_path) == set()


def test_what_a_worker_has_not_returned_yet_is_kept_whatever_its_last_report(tmp_path):
    history = history_of((TrialState.COMPLETED, 9, 0.5), (TrialState.COMPLETED, 9, 0.7), (TrialState.STOPPED, 3, 0.1))
    files = Files(tmp_path, None)
    for number in range(3):
        put(tmp_path, number)
    for trained, expected in (({0, 2}, {0, 1, 2}), ({2}, {1, 2}), ((), {1})):
        files.collect(history, 2, trained)
        assert kept(tmp_path) == expected


def test_a_parent_is_kept_until_its_child_has_a_step_of_its_own(tmp_path):
    parent, child = (TrialState.STOPPED, 3, 0.5), (TrialState.RUNNING, 0, 0.0, 0)
    assert collected(tmp_path, history_of(parent, child)) == {0, 1}
    Retention(tmp_path, None).collect(history_of(parent, (TrialState.RUNNING, 4, 0.5, 0)), [], set())
    assert kept(tmp_path) == {1}


def test_a_parent_is_kept_for_a_child_that_was_lost_before_its_first_step(tmp_path):
    history = history_of((TrialState.STOPPED, 3, 0.5), (TrialState.LOST, 0, 0.0, 0))
    history.apply(ev.Requeued(4.0, 1, "its worker died"))
    assert 0 in collected(tmp_path, history)


def test_only_the_checkpoint_goes(tmp_path):
    put(tmp_path, 0)
    (trial_folder(tmp_path, 0) / "log.txt").write_text("epoch 1")
    collected(tmp_path, history_of((TrialState.COMPLETED, 9, 0.5)))
    assert [path.name for path in trial_folder(tmp_path, 0).iterdir()] == ["log.txt"]


def test_checkpoints_of_an_earlier_run_of_the_study_are_found(tmp_path):
    history = history_of((TrialState.COMPLETED, 9, 0.5), (TrialState.PAUSED, 3, 0.5), (TrialState.COMPLETED, 9, 0.6))
    put(tmp_path, 0)
    put(tmp_path, 1)
    Retention(tmp_path, None).collect(history, [2], {2})
    assert kept(tmp_path) == {1}


def test_a_folder_that_is_none_of_the_study_s_trials_is_left_alone(tmp_path):
    names = ("trial-best", "trial-00001", "trial-00009", "other")
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / checkpoint.TORCH_NAME).write_bytes(b"x")
    Retention(tmp_path, 0).collect(history_of((TrialState.COMPLETED, 9, 0.5)), [0], set())
    assert all((tmp_path / name / checkpoint.TORCH_NAME).exists() for name in names)


def test_a_study_that_has_no_folder_yet_has_nothing_to_remove(tmp_path):
    Retention(tmp_path / "none", 0).collect(history_of((TrialState.COMPLETED, 9, 0.5)), [0], {0})
    assert not (tmp_path / "none").exists()


def test_above_the_quota_failed_trials_go_first_then_the_least_trained_then_the_worst(tmp_path):
    history = history_of(
        (TrialState.PAUSED, 3, 0.9),
        (TrialState.PAUSED, 3, 0.2),
        (TrialState.FAILED, 8, 0.9),
        (TrialState.PAUSED, 1, 0.9),
        (TrialState.PAUSED, 3, 0.5),
    )
    order = [2, 3, 1, 4, 0]
    for left in range(6):
        folder = tmp_path / str(left)
        folder.mkdir()
        assert collected(folder, history, quota=10 * left) == set(order[5 - left :])


def test_above_the_quota_a_loss_that_is_not_known_counts_as_the_worst(tmp_path):
    scores = (0.3, math.nan, 0.1, math.nan, 0.9, 0.5, math.nan, 0.2)
    history = history_of(*((TrialState.PAUSED, 3, score) for score in scores))
    assert collected(tmp_path, history, quota=50) == {0, 2, 4, 5, 7}


def in_replicates(folder, number, size=10):
    """Put a checkpoint into the second replicate of a trial."""
    place = trial_folder(folder, number) / "replicate-1"
    place.mkdir(parents=True)
    (place / checkpoint.TORCH_NAME).write_bytes(b"x" * size)
    return place / checkpoint.TORCH_NAME


def test_checkpoints_of_replicates_go_and_count_as_those_of_the_trial(tmp_path):
    states = (TrialState.DIVERGED, TrialState.PAUSED, TrialState.PAUSED, TrialState.FAILED, TrialState.RUNNING)
    history = history_of(*((state, 1, 0.1 * at) for at, state in enumerate(states)), target={"replicates": {}})
    paths = [in_replicates(tmp_path, number) for number in range(5)]
    Retention(tmp_path, None).collect(history, [0], set())
    assert [path.exists() for path in paths] == [False, True, True, True, True]
    Retention(tmp_path, 25).collect(history, [], set())
    assert [path.exists() for path in paths] == [False, False, True, False, True]


def test_in_a_study_without_replicates_a_folder_called_so_is_the_training_s_own(tmp_path):
    path = in_replicates(tmp_path, 0)
    Retention(tmp_path, 0).collect(history_of((TrialState.COMPLETED, 9, 0.5)), [0], set())
    assert path.exists()


def test_a_quota_that_is_kept_to_removes_nothing(tmp_path):
    history = history_of((TrialState.FAILED, 1, 0.1), (TrialState.PAUSED, 1, 0.1))
    assert collected(tmp_path, history, quota=20) == {0, 1}


def test_above_the_quota_trials_that_wrote_no_checkpoint_are_passed_over(tmp_path):
    history = history_of((TrialState.FAILED, 1, 0.1), (TrialState.PAUSED, 1, 0.1), (TrialState.PAUSED, 3, 0.5))
    put(tmp_path, 2)
    Retention(tmp_path, 5).collect(history, [2], set())
    assert kept(tmp_path) == set()


def test_checkpoints_of_running_trials_count_towards_the_quota(tmp_path):
    history = history_of((TrialState.PAUSED, 3, 0.5), (TrialState.RUNNING, 3, 0.5))
    retention = Retention(tmp_path, 15)
    retention.collect(history, [], set())
    put(tmp_path, 0)
    put(tmp_path, 1)
    retention.collect(history, [0], set())
    assert kept(tmp_path) == {1}


def test_the_worst_of_the_paused_goes_first_though_another_would_have_been_enough(tmp_path):
    trials = [(TrialState.RUNNING, 0, 0.0), (TrialState.PAUSED, 1, 0.0), (TrialState.PAUSED, 1, 1.0)]
    assert collected(tmp_path / "two", history_of(*trials), quota=9, sizes=[7, 1, 2]) == {0, 2}
    assert collected(tmp_path / "one", history_of(*trials), quota=8, sizes=[7, 1, 2]) == {0}


@given(data=st.data())
def test_the_quota_is_kept_and_what_is_needed_stays(data, tmp_path_factory):
    trials = data.draw(
        st.lists(st.tuples(st.sampled_from(TrialState), st.integers(0, 4), st.floats(0, 1)), min_size=1, max_size=12)
    )
    numbers = range(len(trials))
    winners = data.draw(st.sets(st.sampled_from(numbers), max_size=2))
    parents = {at: data.draw(st.integers(0, at - 1)) for at in numbers if at and data.draw(st.booleans())}
    trials = [(*trial, parents[at]) if at in parents else trial for at, trial in enumerate(trials)]
    sizes = data.draw(st.lists(st.integers(1, 50), min_size=len(trials), max_size=len(trials)))
    quota = data.draw(st.none() | st.integers(0, 200))
    there = collected(tmp_path_factory.mktemp("study"), history_of(*trials), winners, quota, sizes)

    states = [trial[0] for trial in trials]
    running = {at for at in numbers if states[at] is TrialState.RUNNING}
    going_on = {at for at in numbers if states[at] in (TrialState.RUNNING, TrialState.PAUSED)}
    needed = winners | running | {parents[at] for at in going_on & set(parents) if trials[at][1] == 0}
    spare = {at for at in numbers if states[at] not in DISPOSABLE} - needed
    assert needed <= there <= needed | spare
    if quota is None or sum(sizes[at] for at in needed | spare) <= quota:
        assert there == needed | spare
        return
    assert there == needed or sum(sizes[at] for at in there) <= quota
    gone = spare - there
    if any(states[at] is TrialState.PAUSED for at in gone):
        assert not any(states[at] in RETRYABLE for at in there - needed), "failed trials go first"
    # The last that went had to go: those without a step went first, by number, then the worst at the lowest step.
    rank = sorted(
        gone, key=lambda at: (states[at] is TrialState.PAUSED, trials[at][1], trials[at][2] * trials[at][1], at)
    )
    paused = [at for at in rank if states[at] is TrialState.PAUSED]
    if paused:
        assert sum(sizes[at] for at in {*there, paused[-1]}) > quota
