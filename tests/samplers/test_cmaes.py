"""CMA-ES keeps the promises of samplers, and is the library's strategy replayed from the history."""

import sys

import cmaes
import numpy as np
import pytest
from tests.samplers.histories import add, begun, lowest, searched

from greyhound.errors import MissingExtraError, StudyError
from greyhound.samplers import cmaes as module
from greyhound.samplers.cmaes import CMAES, comparable, frequencies
from greyhound.samplers.random import Random
from greyhound.space import Bool, Categorical, Float, Int, Space
from greyhound.testing.samplers import CHECKS, history_of

NUMBERS = Space(x=Float(0.0, 1.0), y=Float(0.0, 1.0), n=Int(0, 20))
MIXED = Space(
    x=Float(0.0, 1.0),
    kind=Categorical(["a", "b", "c"]),
    deep=Float(0.0, 1.0, when={"kind": "b"}),
    flag=Bool(),
)


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_conformance(check):
    check(CMAES)


@pytest.mark.parametrize("space", [NUMBERS, MIXED], ids=["numbers", "mixed and conditional"])
def test_it_is_better_than_random_after_60_trials(space):
    found = [lowest(CMAES(), space, seed, 60, loss_of) for seed in range(5)]
    by_chance = [lowest(Random(), space, seed, 60, loss_of) for seed in range(5)]
    assert np.median(found) < 0.5 * np.median(by_chance)


def test_it_is_the_librarys_strategy():
    """A study of numbers is what ask and tell of the library give, from the same seeds."""
    history = searched(CMAES(population=5), NUMBERS, 4, 25, loss_of)
    points, losses = np.array(history.X), history.losses[:, 0]
    strategy = cmaes.CMAwM(
        mean=points[np.argmin(losses[:5])].copy(),
        sigma=0.25,
        bounds=np.array([[0.0, 1.0], [0.0, 1.0], [0.5 / 21, 20.5 / 21]]),
        steps=np.array([0.0, 0.0, 1 / 21]),
        n_max_resampling=5,
        seed=0,
        population_size=5,
    )
    for generation in range(4):
        strategy.reseed_rng(int(np.random.default_rng([4, 0, generation]).integers(2**32)))
        rows = range(5 + 5 * generation, 10 + 5 * generation)
        asked = [strategy.ask() for _ in rows]
        assert np.array([encoded for encoded, _ in asked]) == pytest.approx(points[rows], abs=1e-9)
        strategy.tell([(raw, losses[row]) for row, (_, raw) in zip(rows, asked, strict=True)])


def test_a_cold_cache_gives_the_same(monkeypatch):
    history = searched(CMAES(), MIXED, 1, 40, loss_of)
    rng = np.random.default_rng(0)
    warm = CMAES().suggest(history, 3, rng)
    monkeypatch.setattr(module, "_STATES", type(module._STATES)())
    assert CMAES().suggest(history, 3, np.random.default_rng(0)) == warm


def test_what_runs_is_not_proposed_again_and_a_batch_is_one_generation():
    history = searched(CMAES(), NUMBERS, 0, 20, loss_of)
    batch = CMAES().suggest(history, 4, np.random.default_rng(0))
    add(history, batch[0], None, running=True)
    assert CMAES().suggest(history, 3, np.random.default_rng(1)) == batch[1:]


def test_trials_from_elsewhere_are_told_too():
    history = begun(NUMBERS)
    rng = np.random.default_rng(0)
    for _ in range(60):
        params = {"x": float(0.8 + 0.1 * rng.random()), "y": float(0.1 * rng.random()), "n": int(rng.integers(3))}
        add(history, params, params["n"] + params["y"] - params["x"])
    found = CMAES().suggest(history, 10, rng)
    assert np.median([params["x"] for params in found]) > 0.7
    assert np.median([params["y"] for params in found]) < 0.3


def test_a_run_begins_anew_at_the_best_trial():
    options = CMAES(population=4, generations=3)
    history = searched(options, NUMBERS, 0, 4 + 12, loss_of)
    best = history.X[np.argmin(history.losses[:, 0])]
    found = [NUMBERS.encode(params)[0] for params in options.suggest(history, 60, np.random.default_rng(0))]
    assert np.median(found, axis=0) == pytest.approx(best, abs=0.15)
    assert np.std(found, axis=0)[:2].min() > 0.1, "as wide as at the start"


def test_categories_follow_the_best_trials():
    assert frequencies(np.array([0, 0, 2]), 3).tolist() == pytest.approx(
        [(2 + 1 / 3) / 4, (1 / 3) / 4, (1 + 1 / 3) / 4]
    )
    history = begun(MIXED)
    rng = np.random.default_rng(0)
    for _ in range(50):
        params = MIXED.sample(rng)
        add(history, params, float("abc".index(params["kind"])))
    found = CMAES().suggest(history, 40, rng)
    assert [params["kind"] for params in found].count("a") > 30


def test_failures_are_the_worst_of_their_generation():
    failed = np.array([False, True, False])
    assert comparable(np.array([1.0, 9.0, 3.0]), failed).tolist() == [1.0, 3.0, 3.0]
    assert comparable(np.array([9.0]), np.array([True])).tolist() == [0.0]


@pytest.mark.parametrize("options", [{"population": 3}, {"sigma": 0.0}, {"sigma": 2.0}, {"generations": 0}])
def test_wrong_options_are_told(options):
    with pytest.raises(StudyError, match=f"cmaes: {next(iter(options))} must"):
        CMAES(**options)


def test_a_missing_library_is_told_in_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "cmaes", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'greyhound-tune\[cmaes\]'"):
        CMAES().suggest(history_of(NUMBERS, 0), 1, np.random.default_rng(0))


def loss_of(params):
    """0 at its lowest, of either space."""
    if "kind" not in params:
        return (params["x"] - 0.3) ** 2 + (params["y"] - 0.7) ** 2 + ((params["n"] - 13) / 20) ** 2
    by_kind = {"a": 0.3, "b": (params.get("deep", 0.0) - 0.6) ** 2, "c": 0.2}[params["kind"]]
    return by_kind + (params["x"] - 0.3) ** 2 + 0.1 * params["flag"]
