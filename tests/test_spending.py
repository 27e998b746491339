"""What a study has spent of its budget, whoever looks."""

import pytest

from greyhound import events as ev
from greyhound.budget import Budget
from greyhound.finals import begin, reserve
from greyhound.history import History
from greyhound.settings import Settings
from greyhound.space import Float, Space
from greyhound.spending import spent, steps_in_all, time_left, used_up
from greyhound.study import Study
from greyhound.trial import Objective, TrialState


def a_history(budget=""):
    """Trial 0 took 30 s for 9 steps; trial 1 runs since second 131, and has 3."""
    settings = Settings(
        objectives=(Objective("accuracy", True),), space=Space(x=Float(0, 1)), budget=Budget.parse(budget or None)
    )
    return History.of(
        [
            ev.Declared(100.0, settings.to_json()),
            ev.Joined(100.0, "a", "host", 1, 100.0),
            ev.Started(100.0, 0, {"x": 0.5}, 1, "sobol", "a"),
            ev.Reported(130.0, 0, 9, {"accuracy": 0.5}),
            ev.Ended(130.0, 0, TrialState.COMPLETED, {"accuracy": 0.5}, "a", seconds=30.0),
            ev.Started(131.0, 1, {"x": 0.5}, 2, "sobol", "a"),
            ev.Reported(140.0, 1, 3, {"accuracy": 0.25}),
        ]
    )


def test_trials_that_run_have_spent_too():
    assert spent(a_history(), 151.0) == {"seconds": 51.0, "trials": 2, "steps": 12, "device_seconds": 50.0}


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        ("", None),
        ("2 trials", None),
        ("13 steps", None),
        ("12 steps, 1 h", "the budget of 1 h, 12 steps is used up"),
        ("50 gpu-seconds, 2 trials", "the budget of 50 s of device time is used up"),
    ],
)
def test_what_is_used_up_is_told_and_a_budget_of_trials_is_not_among_it(budget, told):
    assert used_up(a_history(budget), 151.0, driven=True) == told


def test_time_passes_only_for_who_drives_the_study():
    history = a_history("50 s")
    assert used_up(history, 151.0, driven=True) == "the budget of 50 s is used up"
    assert used_up(history, 151.0, driven=False) is None
    assert used_up(a_history("45 gpu-seconds"), 151.0, driven=True) == "the budget of 45 s of device time is used up"
    assert used_up(a_history("45 gpu-seconds"), 151.0, driven=False) is None


def test_every_budget_says_what_is_left():
    history = a_history("5 trials, 100 steps, 1 gpu-hours")
    assert time_left(history, 151.0) == "2 of 5 trials, 12 of 100 steps, 59 min 10 s of device time left"
    assert time_left(a_history(), 151.0) == ""
    assert time_left(a_history("50 s, 45 gpu-seconds"), 151.0) == "0 s left, 0 s of device time left"
    assert time_left(a_history("53 s"), 151.0) == "2 s left"


@pytest.mark.parametrize(
    ("budget", "expected"),
    [("", None), ("5 trials", None), ("100 steps", 100), ("100 s", 30), ("78 gpu-seconds", 24), ("99 s, 9 steps", 9)],
)
def test_how_many_steps_the_budget_has_room_for_at_the_pace_so_far(budget, expected):
    assert steps_in_all(a_history(budget)) == expected


def test_before_any_step_the_pace_is_not_known():
    settings = Settings(objectives=(Objective("accuracy", True),), budget=Budget.parse("100 s"))
    assert steps_in_all(History.of([ev.Declared(100.0, settings.to_json())])) is None
    assert steps_in_all(History()) is None
    assert used_up(History(), 151.0, driven=True) is None
    at_once = [ev.Started(100.0, 0, {}, 1, "sobol", "a"), ev.Reported(100.0, 0, 9, {"accuracy": 0.5})]
    assert steps_in_all(History.of([ev.Declared(100.0, settings.to_json()), *at_once])) is None


def test_once_finals_have_begun_the_whole_budget_counts():
    options = {"maximize": "value", "max_steps": 1, "scheduler": "none", "sampler": "random"}
    study = Study({"x": Float(0, 1, default=0.5)}, budget="30 trials, 30 steps", **options)
    plan = reserve(study, {"top": 1, "seeds": 3}, "30 trials, 30 steps")

    def train(most):
        while len(study.trials) < most and (trial := study.ask()) is not None:
            study.report(trial, 1, value=trial.params["x"])

    train(24)
    assert time_left(study.history, 0.0) == "24 of 24 trials, 24 of 24 steps"
    assert begin(study, plan, 1)
    train(26)
    assert time_left(study.history, 0.0) == "26 of 30 trials, 26 of 30 steps"
