"""TPE keeps the promises of samplers, learns, and leaves what fails or is being tried."""

import numpy as np
import pytest
from tests.samplers.histories import MIXED, SQUARE, add, begun, corner, in_corner, lowest

from greyhound import events as ev
from greyhound.errors import StudyError
from greyhound.history import History
from greyhound.samplers.random import Random
from greyhound.samplers.tpe import TPE, log_success
from greyhound.settings import Settings
from greyhound.testing.samplers import CHECKS
from greyhound.trial import Limit, Objective


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_conformance(check):
    check(TPE)


@pytest.mark.parametrize("space", [SQUARE, MIXED], ids=["numbers", "mixed and conditional"])
def test_it_is_better_than_random_after_40_trials(space):
    found = [lowest(TPE(), space, seed) for seed in range(5)]
    by_chance = [lowest(Random(), space, seed) for seed in range(5)]
    assert np.median(found) < 0.5 * np.median(by_chance)


def test_a_corner_is_left_after_ten_failures():
    for seed in range(3):
        assert in_corner(TPE(), seed, 20) <= 2


def test_nothing_but_failures_drives_it_away_from_them():
    history = begun(SQUARE)
    for params in corner(np.random.default_rng(0)):
        add(history, params, None)
    found = [TPE().suggest(history, 1, np.random.default_rng(seed))[0] for seed in range(20)]
    assert not any(params["x"] < 0.25 and params["y"] < 0.25 for params in found)


def test_what_breaks_a_limit_is_left_though_its_losses_are_the_best():
    limits = (Limit("size", 0.5, upper=True),)
    settings = Settings(objectives=(Objective("loss", False),), limits=limits, space=SQUARE, seed=0)
    history = History.of([ev.Declared(1.0, settings.to_json()), ev.Joined(1.0, "test", "host", 1, 1.0)])
    for params in SQUARE.grid(6):
        add(history, params, -params["x"], size=params["x"])
    found = [TPE().suggest(history, 1, np.random.default_rng(seed))[0]["x"] for seed in range(20)]
    assert 0.3 < np.median(found) < 0.6


def test_what_others_try_is_left_to_them():
    history = begun(SQUARE)
    for params in SQUARE.grid(5):
        add(history, params, (params["x"] - 0.5) ** 2 + (params["y"] - 0.5) ** 2)
    alone = [TPE().suggest(history, 1, np.random.default_rng(seed))[0] for seed in range(10)]
    for params in alone[:8]:
        add(history, params, None, running=True)
    beside = [TPE().suggest(history, 1, np.random.default_rng(seed))[0] for seed in range(10)]
    assert np.mean([gap(params, alone[:8]) for params in beside]) > np.mean(
        [gap(params, alone[:8]) for params in alone]
    )


def test_a_batch_spreads():
    history = begun(SQUARE)
    for params in SQUARE.grid(5):
        add(history, params, (params["x"] - 0.5) ** 2 + (params["y"] - 0.5) ** 2)
    batch = TPE().suggest(history, 6, np.random.default_rng(0))
    assert min(gap(params, batch[:at]) for at, params in enumerate(batch) if at) > 0.01


def test_the_chance_of_success_follows_bayes():
    chances = np.exp(log_success(np.log([0.5, 2.0]), np.log([1.0, 1.0]), failed=1, succeeded=3))
    assert chances == pytest.approx([1 / (1 + 0.5 * 0.5), 1 / (1 + 0.5 * 2.0)])


@pytest.mark.parametrize("options", [{"startup": 0}, {"better": 1.0}, {"better": 0.0}, {"candidates": 2.5}])
def test_wrong_options_are_told(options):
    with pytest.raises(StudyError, match=f"tpe: {next(iter(options))} must"):
        TPE(**options)


def gap(params, others):
    return min(float(np.hypot(params["x"] - other["x"], params["y"] - other["y"])) for other in others)
