"""Trees as a model keep the promises of samplers, learn, and leave what fails or is being tried."""

import sys

import numpy as np
import pytest
from tests.samplers.histories import SQUARE, add, begun, corner, in_corner, lowest

from greyhound.errors import MissingExtraError, StudyError
from greyhound.samplers.boosting import Boosting, features
from greyhound.samplers.cube import cube_of
from greyhound.samplers.random import Random
from greyhound.space import Categorical, Float, Int, Ordinal, Space
from greyhound.testing.samplers import CHECKS, history_of

MODELS = ["forest", "boosting"]
TABLE = Space(x=Ordinal(list(range(12))), y=Ordinal(list(range(12))), kind=Categorical(["a", "b", "c"]))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_conformance(check, model):
    check(lambda: Boosting(model=model, startup=8))


@pytest.mark.parametrize("space", [SQUARE, TABLE], ids=["numbers", "table"])
def test_the_forest_is_better_than_random_after_40_trials(space):
    found = [lowest(Boosting(trees=30), space, seed, 40, loss_of) for seed in range(5)]
    by_chance = [lowest(Random(), space, seed, 40, loss_of) for seed in range(5)]
    assert np.median(found) <= 0.5 * np.median(by_chance)


def test_large_finite_losses_do_not_blind_the_forest():
    def some_huge(params):
        return loss_of(params) * (1.0 if params["x"] < 0.6 else 1e8)

    found = [lowest(Boosting(trees=30), SQUARE, seed, 30, some_huge) for seed in range(3)]
    by_chance = [lowest(Random(), SQUARE, seed, 30, some_huge) for seed in range(3)]
    assert np.median(found) <= 0.1 * np.median(by_chance)


def test_gradient_boosting_is_better_than_random_after_30_trials():
    found = [lowest(Boosting(model="boosting"), TABLE, seed, 30, loss_of) for seed in range(2)]
    by_chance = [lowest(Random(), TABLE, seed, 30, loss_of) for seed in range(5)]
    assert np.median(found) <= 0.5 * np.median(by_chance)


@pytest.mark.parametrize("model", MODELS)
def test_a_corner_is_left_after_ten_failures(model):
    assert in_corner(Boosting(model=model), 0, 15) <= 2


def test_nothing_but_failures_drives_it_away_from_them():
    history = begun(SQUARE)
    for params in corner(np.random.default_rng(0)):
        add(history, params, None)
    found = [Boosting().suggest(history, 1, np.random.default_rng(seed))[0] for seed in range(10)]
    assert not any(params["x"] < 0.25 and params["y"] < 0.25 for params in found)


def test_a_batch_spreads():
    history = begun(SQUARE)
    for params in SQUARE.grid(5):
        add(history, params, (params["x"] - 0.5) ** 2 + (params["y"] - 0.5) ** 2)
    batch = Boosting().suggest(history, 16, np.random.default_rng(0))
    points = np.array([[params["x"], params["y"]] for params in batch])
    gaps = np.linalg.norm(points[:, None] - points, axis=2)[np.triu_indices(16, 1)]
    assert gaps.min() > 0.01


def test_rare_allowed_configurations_are_found():
    space = Space(a=Int(0, 999), b=Int(0, 999), c=Float(0.0, 1.0), constraint={"a near b": "abs(a - b) < 5"})
    history = history_of(space, 12)
    for params in Boosting().suggest(history, 2, np.random.default_rng(0)):
        assert space.allows(params)


def test_features_have_a_column_a_category_and_tell_absence():
    space = Space(
        kind=Categorical(["a", "b", "c"]),
        either=Categorical(["p", "q"]),
        x=Float(0.0, 1.0, when={"kind": "b"}),
    )
    points = np.array([space.encode(params)[0] for params in ({"kind": "a", "either": "q"},)])
    assert features(points, cube_of(space)).tolist() == [[1.0, 0.0, 0.0, 0.75, -1.0]]
    points = np.array([space.encode({"kind": "b", "either": "p", "x": 0.2})[0]])
    assert features(points, cube_of(space)).tolist() == [[0.0, 1.0, 0.0, 0.25, 0.2]]


@pytest.mark.parametrize("options", [{"model": "oak"}, {"startup": 0}, {"trees": 1}])
def test_wrong_options_are_told(options):
    with pytest.raises(StudyError, match=f"boosting: {next(iter(options))} must"):
        Boosting(**options)


def test_missing_scikit_learn_is_told_in_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'greyhound-tune\[boosting\]'"):
        Boosting().suggest(history_of(SQUARE, 0), 1, np.random.default_rng(0))


def loss_of(params):
    """0 at its lowest, of either space."""
    if "kind" not in params:
        return (params["x"] - 0.3) ** 2 + (params["y"] - 0.7) ** 2
    by_kind = {"a": 0.3, "b": 0.0, "c": 0.2}[params["kind"]]
    return by_kind + ((params["x"] - 4) / 12) ** 2 + ((params["y"] - 9) / 12) ** 2
