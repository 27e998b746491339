"""Grey prediction evolution keeps the promises of samplers, follows its equations, and finds more than chance does."""

import numpy as np
import pytest

from greyhound import events as ev
from greyhound import grey
from greyhound.errors import StudyError
from greyhound.history import History
from greyhound.samplers.cube import cube_of
from greyhound.samplers.grey import Grey, ended, forecast, generations, grey_next
from greyhound.samplers.random import Random
from greyhound.samplers.results import results
from greyhound.samplers.sobol import Sobol
from greyhound.settings import Settings
from greyhound.space import Bool, Categorical, Float, Int, Space
from greyhound.testing.samplers import CHECKS
from greyhound.trial import Objective, TrialState, derive_seed

FIVE = Space({f"x{at}": Float(0.0, 1.0) for at in range(5)})
MIXED = Space(
    x=Float(0.0, 1.0),
    y=Float(0.0, 1.0),
    n=Int(1, 20),
    kind=Categorical(["a", "b", "c"]),
    deep=Float(0.0, 1.0, when={"kind": "b"}),
    flag=Bool(),
)


def sphere(params):
    return sum((value - 0.3) ** 2 for value in params.values())


def rastrigin(params):
    scaled = (np.array(list(params.values())) - 0.37) * 10.24
    return float((scaled**2 - 10 * np.cos(2 * np.pi * scaled) + 10).sum())


def mixed(params):
    numbers = (params["x"] - 0.7) ** 2 + (params["y"] - 0.2) ** 2 + ((params["n"] - 6) / 20) ** 2
    deep = 0.3 * (params["deep"] - 0.8) ** 2 if params["kind"] == "b" else 0.3
    return numbers + deep + 0.1 * params["flag"]


def declared(space, seed=0):
    settings = Settings(objectives=(Objective("loss", False),), space=space, seed=seed)
    return History.of([ev.Declared(1.0, settings.to_json()), ev.Joined(1.0, "a", "host", 1, 1.0)])


def add(history, params, loss, state=TrialState.COMPLETED):
    number = len(history)
    seed = derive_seed(history.seed, number)
    history.apply(ev.Started(2.0 + number, number, params, seed, "x", "a"))
    told = {} if loss is None else {"loss": loss}
    history.apply(ev.Ended(2.5 + number, number, state, told, "a"))


def lowest(sampler, space, function, seed, trials=60):
    history = declared(space, seed)
    for number in range(trials):
        (params,) = sampler.suggest(history, 1, np.random.default_rng([seed, number]))
        add(history, params, function(params))
    return float(np.nanmin(history.losses))


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_conformance(check):
    check(Grey)


@pytest.mark.parametrize(
    ("space", "function", "share"), [(FIVE, sphere, 0.8), (FIVE, rastrigin, 0.8), (MIXED, mixed, 0.4)]
)
def test_it_is_better_than_random_after_60_trials(space, function, share):
    found = [lowest(Grey(), space, function, seed) for seed in range(11)]
    by_chance = [lowest(Random(), space, function, seed) for seed in range(11)]
    assert np.median(found) < share * np.median(by_chance)


def test_the_forecast_of_three_points_is_that_of_the_even_grey_model():
    for series in ([0.2, 0.5, 0.6], [0.9, 0.3, 0.2], [0.1, 0.8, 0.4]):
        expected = grey.GM11().fit(series).predict(1)[0]
        assert grey_next(*np.array(series)[:, None])[0] == pytest.approx(expected)


def test_series_of_a_trial_are_translated_until_the_grey_model_may_be_used():
    rng = np.random.default_rng(0)
    members = np.array([[0.0, 1.0, 0.3], [1.0, 0.0, 0.5], [0.5, 0.5, 0.6]])
    assert all(grey.admissible(column + 1.55) for column in members.T)
    expected = [grey.GM11().fit(column + 1.55).predict(1)[0] - 1.55 for column in members.T]
    assert forecast(members, 0.01, 2.0, rng) == pytest.approx(expected)


def test_a_pair_of_equal_values_is_continued_by_its_line():
    members = np.array([[0.2, 0.5], [0.2, 0.3], [0.5, 0.5]])
    moved = forecast(members, 0.01, 2.0, np.random.default_rng(0))
    lines = [np.polyval(np.polyfit([1, 2, 3], column, 1), 4) for column in members.T]
    assert moved == pytest.approx(lines)


def test_what_stands_still_is_disturbed_within_its_spread():
    members = np.tile(np.array([[0.500], [0.504], [0.502]]), 1000)
    moved = forecast(members, 0.01, 3.0, np.random.default_rng(0))
    assert np.abs(moved - 0.5).max() == pytest.approx(1.5 * 0.004, rel=0.02)


def test_populations_are_the_best_of_what_had_ended_by_then():
    losses = np.array([5.0, 4.0, 9.0, 8.0, 1.0, 7.0])
    oldest, middle, newest = generations(losses, 2)
    assert (oldest.tolist(), middle.tolist(), newest.tolist()) == ([1, 0], [1, 0], [4, 1])


def test_without_three_rounds_there_is_only_the_population_of_now():
    assert [each.tolist() for each in generations(np.array([3.0, 1.0, 2.0, 4.0, 0.0]), 2)] == [[4, 1]]
    assert [each.tolist() for each in generations(np.array([np.inf, 1.0, 2.0, 4.0, 0.0, 7.0]), 2)] == [[4, 1]]


def test_failed_trials_take_their_place_in_time_but_are_no_members():
    history = declared(FIVE)
    for at in range(20):
        params = FIVE.sample(np.random.default_rng(at))
        add(
            history,
            params,
            None if at % 3 == 0 else 1.0 + at,
            TrialState.FAILED if at % 3 == 0 else TrialState.COMPLETED,
        )
    numbers, losses = ended(results(history))
    assert numbers.tolist() == list(range(20))
    assert not any(at % 3 == 0 for each in generations(losses, 4) for at in each.tolist())


def test_the_first_trials_are_a_sobol_sequence():
    history = declared(FIVE)
    for at in range(9):
        add(history, FIVE.sample(np.random.default_rng(at)), float(at))
    assert Grey().suggest(history, 1, np.random.default_rng(0)) == Sobol().suggest(history, 1, np.random.default_rng(0))
    add(history, FIVE.sample(np.random.default_rng(9)), 9.0)
    assert Grey().suggest(history, 1, np.random.default_rng(0)) != Sobol().suggest(history, 1, np.random.default_rng(0))


def test_without_mutation_categories_are_those_of_the_members():
    history = declared(MIXED)
    rng = np.random.default_rng(1)
    for _ in range(40):
        params = MIXED.sample(rng)
        add(history, params, mixed(params) + 10.0 * (params["kind"] == "c"))
    kept = Grey(mutation=0.0).suggest(history, 30, np.random.default_rng(0))
    drawn = Grey(mutation=1.0, crossover=1.0).suggest(history, 30, np.random.default_rng(0))
    assert {params["kind"] for params in kept} <= {"a", "b"}
    assert {params["kind"] for params in drawn} == {"a", "b", "c"}


def test_children_stay_in_the_cube_and_on_the_places_of_its_values():
    history = declared(MIXED)
    for at in range(40):
        params = MIXED.sample(np.random.default_rng(at))
        add(history, params, mixed(params))
    cube = cube_of(MIXED)
    rows = np.array([MIXED.encode(params)[0] for params in Grey().suggest(history, 20, np.random.default_rng(0))])
    assert cube.snap(rows) == pytest.approx(rows)


@pytest.mark.parametrize(
    "options",
    [
        {"population": 3}, {"population": 6.0}, {"startup": 3}, {"crossover": 0.0}, {"crossover": 1.5},
        {"threshold": 0.0}, {"mutation": -0.1}, {"mutation": float("nan")},
    ],
)  # fmt: skip
def test_wrong_options_are_told(options):
    (name,) = options
    with pytest.raises(StudyError, match=f"grey: {name} must be"):
        Grey(**options)
