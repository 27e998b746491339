"""The model sees the trials that reached one step, with their values there, and knows nothing of the others."""

import numpy as np
import pytest
from tests.schedulers.histories import SPACE, add, begun

import greyhound as gh
from greyhound import events as ev
from greyhound.errors import StudyError
from greyhound.samplers.bohb import BOHB, informative_step, seen_at
from greyhound.samplers.results import results
from greyhound.samplers.tpe import TPE
from greyhound.space import Int, Space
from greyhound.trial import TrialState

PAUSED, COMPLETED, FAILED = TrialState.PAUSED, TrialState.COMPLETED, TrialState.FAILED


def rungs():
    """Six trials at step 1, three of which reached step 3 and one the end; one failed, one runs."""
    history = begun(max_steps=9)
    for curve in ([6.0], [5.0], [4.0]):
        add(history, curve, PAUSED)
    for last in (2.0, 1.0):
        add(history, [3.0, 2.5, last], PAUSED)
    add(history, [3.0, 2.0, 1.5, 1.0, 0.8, 0.6, 0.5, 0.4, 0.3], COMPLETED)
    add(history, [9.0, 9.0, 9.0], FAILED)
    add(history, [7.0])
    return history


def test_the_highest_step_that_enough_have_reached_is_informative():
    history = rungs()
    assert informative_step(history, 1) == 9
    assert informative_step(history, 2) == 3
    assert informative_step(history, 3) == 3, "what failed does not count"
    assert informative_step(history, 4) == 1
    assert informative_step(history, 8) is None


def test_a_step_at_which_trials_only_pass_is_none():
    history = begun(max_steps=9)
    for _ in range(3):
        add(history, [1.0], PAUSED)
    for _ in range(3):
        add(history, [1.0, 1.0])
    assert informative_step(history, 3) == 1


def test_the_view_holds_values_of_that_step():
    told = results(seen_at(rungs(), 3))
    assert told.losses.tolist() == [2.0, 1.0, 1.5]
    assert len(told.failed) == 1
    assert len(told.pending) == 1, "who runs and has not come so far"


def test_a_constraint_that_trainings_set_holds_in_the_view():
    history = begun(max_steps=9)
    for value in (1.0, -1.0):
        trial = add(history, [2.0, 1.0])
        history.apply(ev.Constrained(0.0, trial, "size", value))
        history.apply(ev.Ended(0.0, trial, PAUSED, {}, "test"))
    told = results(seen_at(history, 2))
    assert told.known.tolist() == [0, 1]
    assert told.feasible.tolist() == [1]


def test_what_is_to_be_maximised_is_so_in_the_view():
    history = begun(max_steps=9, maximize=True)
    add(history, [0.2, 0.7], COMPLETED)
    assert results(seen_at(history, 1)).losses.tolist() == [-0.2]


def test_the_model_decides_once_it_may():
    history, rng = begun(max_steps=9), np.random.default_rng
    for number in range(12):
        add(history, [abs(number / 12 - 0.7)] * 3, PAUSED, {"x": number / 12})
        add(history, [-number / 12], PAUSED, {"x": number / 12})  # at step 1 everything looks better, on the left
    found = BOHB(model=TPE(startup=5)).suggest(history, 1, rng(0))
    after_the_coin = rng(0)
    after_the_coin.random(1)
    assert found == TPE(startup=5).suggest(seen_at(history, 3), 1, after_the_coin)
    assert abs(np.mean([BOHB().suggest(history, 1, rng(seed))[0]["x"] for seed in range(20)]) - 0.7) < 0.2


def test_with_a_share_of_random_ones_the_model_is_not_asked_for_them():
    history = begun(max_steps=9)
    for number in range(12):
        add(history, [abs(number / 12 - 0.7)] * 3, PAUSED, {"x": number / 12})
    drawn = [BOHB(random=1.0).suggest(history, 1, np.random.default_rng(seed))[0]["x"] for seed in range(40)]
    assert np.std(drawn) > 0.2


def test_the_model_learns_several_objectives_at_the_step():
    space = gh.Space({name: gh.Float(0.0, 1.0) for name in "xyz"})

    def train(trial):
        x, y, z = trial.params.values()
        for step in range(1, 10):
            away = y**2 + z**2 + 1 / step
            trial.report(step, a=(x - 0.3) ** 2 + away, b=(x - 0.6) ** 2 + away)

    study = gh.tune(
        train, space, minimize=["a", "b"], sampler="bohb", scheduler="hyperband", max_steps=9, budget="40 trials",
        workers="serial",
    )  # fmt: skip
    assert study.sampler.traits.objectives > 1
    late = [trial.params for trial in study.trials[30:]]
    assert np.median([params["y"] ** 2 + params["z"] ** 2 for params in late]) < 0.1, "2/3 at random"
    assert 0.25 < np.median([params["x"] for params in late]) < 0.65


def test_a_finite_space_is_tried_whole_and_nothing_twice():
    space = Space(n=Int(1, 30))
    history = begun(max_steps=9, space=space)
    for number in range(1, 26):
        add(history, [float(number)] * (3 if number % 2 else 1), PAUSED, {"n": number})
    found = BOHB().suggest(history, 9, np.random.default_rng(0))
    assert sorted(each["n"] for each in found) == [26, 27, 28, 29, 30]


def test_nothing_is_repeated_while_the_view_stands_still():
    history = begun(max_steps=9)
    for number in range(3):
        add(history, [1.0, 0.5], PAUSED, {"x": 0.1 + 0.2 * number})
    for number in range(5):  # each stays at step 1, and the view is of step 2
        add(history, [1.0], PAUSED, BOHB(fewest=2).suggest(history, 1, np.random.default_rng(number))[0])
    assert len({trial.params["x"] for trial in history.trials}) == 8


@pytest.mark.parametrize("options", [{"fewest": 1}, {"random": 2.0}])
def test_wrong_options_are_told(options):
    with pytest.raises(StudyError, match=f"bohb: {next(iter(options))} must"):
        BOHB(**options)


def test_the_space_of_the_view_is_the_studys():
    assert seen_at(rungs(), 3).space == SPACE


def test_a_suggestion_is_held_by_key_against_the_trials_that_look_like_it_alone(monkeypatch):
    space, keys = gh.Space(x=gh.Float(0.0, 1.0), n=gh.Int(1, 3)), []
    made = gh.Study(space, minimize="loss", sampler="random", scheduler="none")
    for _ in range(60):
        trial = made.ask()
        made.tell(trial, loss=trial.params["x"])
    true_key = gh.Space.key

    def key(self, params):
        keys.append(params)
        return true_key(self, params)

    monkeypatch.setattr(gh.Space, "key", key)
    (found,) = BOHB(model="tpe").suggest(made.history, 1, np.random.default_rng(0))
    assert found not in [trial.params for trial in made.trials]
    assert len(keys) < 60
