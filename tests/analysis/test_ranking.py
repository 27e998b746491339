"""Winner, front, baseline and what early stopping saved, from literal histories."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import greyhound as gh
from greyhound import events as ev
from greyhound.analysis import ranking, summary
from greyhound.analysis.notebook import study_html
from greyhound.errors import StudyError
from greyhound.history import History
from greyhound.settings import Settings
from greyhound.space import Float, Space
from greyhound.trial import Limit, Objective, TrialState

SPACE = Space(x=Float(0.0, 1.0))


HIGH_SCORE = (Objective("score", True),)


def history_of(*trials, objectives=HIGH_SCORE, limits=(), max_steps=None, target=()):
    """trials: (state, step, metrics), in order."""
    settings = Settings(objectives=objectives, limits=limits, space=SPACE, max_steps=max_steps, target=dict(target))
    events = [ev.Declared(1.0, settings.to_json()), ev.Joined(1.0, "a", "host", 1, 1.0)]
    for number, (state, step, metrics) in enumerate(trials):
        events.append(ev.Started(2.0, number, {"x": 0.5}, 1, "default" if number == 0 else "random", "a"))
        if step:
            events.append(ev.Reported(3.0, number, step, metrics))
        if state is not TrialState.RUNNING:
            events.append(ev.Ended(4.0, number, state, metrics, "a"))
    return History.of(events)


DONE, PAUSED, STOPPED, FAILED = TrialState.COMPLETED, TrialState.PAUSED, TrialState.STOPPED, TrialState.FAILED


def test_the_best_value_wins_whether_trained_to_the_end_or_not():
    history = history_of((DONE, 9, {"score": 0.8}), (PAUSED, 3, {"score": 0.9}), (FAILED, 3, {"score": 0.99}))
    assert ranking.best(history).number == 1


def test_of_equal_values_the_longer_trained_wins_then_the_older():
    history = history_of((PAUSED, 3, {"score": 0.8}), (DONE, 9, {"score": 0.8}), (DONE, 9, {"score": 0.8}))
    assert ranking.best(history).number == 1


def test_nothing_usable_means_no_winner():
    assert ranking.best(history_of()) is None
    assert ranking.best(history_of((DONE, 1, {"score": math.inf}), (FAILED, 0, {}))) is None


def test_limits_rule_out():
    history = history_of(
        (DONE, 1, {"score": 0.9, "ms": 7.0}), (DONE, 1, {"score": 0.5, "ms": 5.0}), limits=(Limit("ms", 5.0),)
    )
    assert ranking.best(history).number == 1


FOLDS = {"max_steps": 5, "target": {"replicates": {"folds": 5, "repeats": 1, "steps": None}}}


def test_a_mean_over_few_folds_is_not_held_against_one_over_all():
    few, all_five = (PAUSED, 1, {"score": 0.9}), (DONE, 5, {"score": 0.7})
    assert ranking.best(history_of(few, all_five, (DONE, 5, {"score": 0.8}), **FOLDS)).number == 2
    assert ranking.best(history_of(few, all_five, max_steps=5)).number == 0, "steps that are no folds"
    assert ranking.best(history_of(few, (PAUSED, 2, {"score": 0.8}), **FOLDS)).number == 0, "none has seen all"
    assert ranking.best(history_of(few, (FAILED, 5, {"score": 0.7}), **FOLDS)).number == 0, "none that counts has"
    both = (Objective("score", True), Objective("ms", False))
    told = (PAUSED, 1, {"score": 0.9, "ms": 1.0}), (DONE, 5, {"score": 0.7, "ms": 2.0})
    assert [trial.number for trial in ranking.front(history_of(*told, objectives=both, **FOLDS))] == [1]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=12))
def test_front_is_what_no_other_beats(points):
    goals = (Objective("up", True), Objective("down", False))
    history = history_of(*((DONE, 1, {"up": up, "down": down}) for up, down in points), objectives=goals)

    def beats(mine, theirs):
        return mine != theirs and mine[0] >= theirs[0] and mine[1] <= theirs[1]

    expected = [at for at, point in enumerate(points) if not any(beats(other, point) for other in points)]
    assert [trial.number for trial in ranking.front(history)] == expected


def test_leaders_are_the_front_and_what_it_would_be_without_those_that_may_train_on():
    told = (DONE, 9, {"score": 0.7}), (PAUSED, 3, {"score": 0.9}), (TrialState.RUNNING, 4, {"score": 0.8})
    assert ranking.leaders(history_of(*told)) == {0, 1}
    assert ranking.leaders(history_of(*told, (DONE, 9, {"score": 1.0}))) == {3}
    assert ranking.leaders(history_of(told[1])) == {0}
    assert ranking.leaders(history_of()) == set()


def test_steps_saved_are_those_that_paused_and_stopped_trials_did_not_train():
    history = history_of(
        (DONE, 9, {"score": 1}), (PAUSED, 3, {"score": 1}), (STOPPED, 1, {"score": 1}), (FAILED, 2, {"score": 1}),
        (TrialState.RUNNING, 4, {"score": 1}), max_steps=9,
    )  # fmt: skip
    assert ranking.steps_saved(history) == 6 + 8
    assert "early stopping: 19 steps trained, 14 saved (42% of training all in full)" in summary.lines(history)


def test_steps_of_trials_that_were_interrupted_or_put_back_are_not_saved():
    history = history_of((PAUSED, 3, {"score": 1}), (PAUSED, 4, {"score": 1}), (FAILED, 2, {"score": 1}), max_steps=9)
    history.apply(ev.Requeued(5.0, 1, "interrupted", "a"))
    history.apply(ev.Requeued(5.0, 2, "retried", "a"))
    assert ranking.steps_saved(history) == 6


def test_summary_sets_the_winner_beside_the_default():
    history = history_of((DONE, 9, {"score": 0.8}), (DONE, 9, {"score": 0.9}), max_steps=9)
    assert summary.lines(history) == [
        "2 trials: 2 completed",
        "best: trial 1, score 0.9 after 9 steps",
        "  x = 0.5",
        "default configuration: trial 0, score 0.8 after 9 steps",
    ]


def test_summary_of_nothing_says_so():
    assert summary.lines(history_of()) == ["0 trials: no trials", "no trial has a usable value yet"]


def test_where_a_limit_leaves_no_trial_it_is_told_which_and_how_near_one_came():
    def study(subject_to):
        space, options = gh.Space(x=gh.Float(1, 2)), {"budget": "5 trials", "workers": "serial", "progress": False}
        return gh.tune(lambda trial: {"loss": 1.0, "size": trial.params["x"]}, space, minimize="loss",
                       subject_to=subject_to, **options)  # fmt: skip

    found = study(["size <= 0.5", "loss <= 2"])
    least = min(found.trials, key=lambda trial: trial.params["x"])
    told = f"size <= 0.5 and loss <= 2; nearest is trial {least.number} with size {least.params['x']:.6g}, loss 1"
    assert summary.lines(found.history)[1] == f"no trial has a usable value yet: none keeps to {told}"
    with pytest.raises(StudyError, match="none has reported width, and width <= 3 is to hold"):
        _ = study("width <= 3").best


def test_a_front_is_read_from_its_best_in_the_first_objective_with_the_metrics_that_have_limits():
    told = [{"score": s, "cost": c, "size": 1.0} for s, c in [(0.5, 1.0), (0.9, 3.0), (0.7, 2.0), (0.6, 4.0)]]
    history = history_of(
        *((DONE, 1, metrics) for metrics in told),
        objectives=(Objective("score", True), Objective("cost", False)),
        limits=(Limit("size", 2.0),),
    )
    front = ranking.front(history)
    assert [trial.number for trial in front] == [0, 1, 2]
    assert [trial.number for trial in ranking.ordered(history, front)] == [1, 2, 0]
    lines = summary.lines(history)
    assert lines[1] == "3 trials on the Pareto front, by score:"
    assert lines[2].startswith("  trial 1: score 0.9, cost 3, size 1 after 1 step")


def test_of_a_long_front_some_are_told_from_end_to_end():
    trials = [(DONE, 1, {"score": float(at), "size": float(at)}) for at in range(100)]
    history = history_of(*trials, objectives=(Objective("score", True), Objective("size", False)))
    told = summary.lines(history)
    assert told[1] == "100 trials on the Pareto front, 20 of them by score:"
    assert [line.partition(":")[0] for line in (told[2], told[3], told[-1])] == [
        "  trial 99",
        "  trial 94",
        "  trial 0",
    ]
    assert len(told) == 22
    table = study_html(history, "mine")
    assert "mine: 10 of the Pareto front of 100" in table
    assert [int(number) for number in re.findall(r"<tr><td[^>]*>(\d+)</td>", table)] == list(range(99, -1, -11))
