"""Samplers for several objectives find better fronts than chance, spread over them, in mixed spaces and in parallel."""

import numpy as np
import pytest

import greyhound as gh
from greyhound.errors import StudyError
from greyhound.numeric import gp, pareto
from greyhound.numeric.acquisition import log_expected_improvement
from greyhound.samplers.cube import cube_of
from greyhound.samplers.ehvi import EHVI, Model
from greyhound.samplers.gp import TRANSFORMS
from greyhound.samplers.nsga2 import NSGA2, survivors
from greyhound.samplers.random import Random
from greyhound.samplers.results import results
from greyhound.samplers.tpe import TPE

from .histories import SQUARE, add, begun, loss_of

MIXED = gh.Space(
    lr=gh.Float(1e-4, 1e-1, log=True),
    width=gh.Ordinal([16, 32, 64, 128, 256]),
    layers=gh.Int(1, 6),
    kind=gh.Categorical(["cnn", "mlp", "vit"]),
    heads=gh.Int(1, 8, when={"kind": "vit"}),
)


def train(params):
    """Error falls and time grows with size; the best learning rate is 1e-2, the best kind a vit of four heads."""
    size = params["width"] * params["layers"]
    error = 0.05 + 3.0 / size**0.7 + 0.1 * (np.log10(params["lr"]) + 2) ** 2
    error += 0.02 * abs(params["heads"] - 4) if params["kind"] == "vit" else {"cnn": 0.1, "mlp": 0.2}[params["kind"]]
    return {"error": error, "seconds": 0.01 * size * (1.5 if params["kind"] == "vit" else 1.0)}


def searched(sampler, seed, trials=40, workers=1):
    study = gh.Study(MIXED, minimize=["error", "seconds"], sampler=sampler, scheduler="none", seed=seed, budget=trials)
    waiting = []
    while True:
        trial = study.ask() if len(waiting) < workers else None
        if trial is not None:
            waiting.append(trial)
        elif waiting:
            trial = waiting.pop(0)
            study.tell(trial, **train(trial.params))
        else:
            return study


def volume(study):
    return pareto.hypervolume(np.array(study.history.losses), np.array([0.6, 8.0]))


@pytest.mark.parametrize(
    ("sampler", "trials"), [(EHVI(), 30), (NSGA2(), 80), (TPE(), 50)], ids=["ehvi", "nsga2", "tpe"]
)
def test_fronts_are_better_than_those_of_random_search(sampler, trials):
    found = [volume(searched(sampler, seed, trials)) for seed in range(3)]
    by_chance = [volume(searched(Random(), seed, trials)) for seed in range(5)]
    assert np.median(found) > np.median(by_chance)


def test_eight_at_a_time_cost_the_model_little():
    found = [volume(searched(EHVI(), seed, 32, workers=8)) for seed in range(3)]
    assert np.median(found) > np.median([volume(searched(Random(), seed, 32)) for seed in range(5)])


def test_a_model_asks_for_different_places_on_the_front_at_a_time():
    study = searched(Random(), 0, 30)
    found = EHVI().suggest(study.history, 6, np.random.default_rng(0))
    assert np.ptp([train(params)["seconds"] for params in found]) > 0.5


@pytest.mark.parametrize("behind", [-0.25, 0.0, 1.0])
@pytest.mark.parametrize("shift", [0.0, -10.0])
def test_one_objective_is_searched_by_its_expected_improvement_around_the_best(behind, shift):
    history = begun(SQUARE)
    for params in map(SQUARE.sample, np.random.default_rng(0).spawn(40)):
        add(history, params, loss_of(params) + shift)
    told, cube = results(history), cube_of(SQUARE)
    model = Model(history, cube, told, "standard", behind)
    assert model.anchors.tolist() == history.X[told.ranking[:12]].tolist()
    Z = cube.layout(history.active).embed(history.X, history.active)
    layout, targets = cube.layout(history.active), TRANSFORMS["standard"](told.losses)[:, None]
    process = gp.condition(Z, layout, targets, gp.fit(Z, layout, targets, gp.prior_mode(2)))
    rows = cube.random(np.random.default_rng(1), 50)
    means, stds = process.predict(layout.embed(rows, cube.activity(rows)))
    best = process.at_data().min()
    assert model.score(rows) == pytest.approx(log_expected_improvement(means, stds, best)[:, 0], abs=1e-6)


def test_parents_keep_to_the_limits_first_then_come_fronts_then_the_lonely():
    study = gh.Study(gh.Space(x=gh.Float(0, 1)), minimize=["a", "b"], subject_to="c <= 1", scheduler="none")
    for a, b, c in [(0, 0, 3), (0, 9, 0), (1, 1, 0), (1.5, 0.9, 0), (9, 0, 0), (9, 9, 0), (0, 0, 2)]:
        study.tell(study.ask(), a=a, b=b, c=c)
    told = results(study.history)
    assert survivors(told, 4)[:2].tolist() == [1, 4], "the ends of the first front"
    assert set(survivors(told, 3).tolist()) < {1, 2, 3, 4}
    assert survivors(told, 7).tolist()[4:] == [5, 6, 0], "the second front, then what breaks the limit, by how much"


def test_parents_are_as_many_as_are_wanted_and_of_the_best_fronts():
    study = gh.Study(gh.Space(x=gh.Float(0, 1)), minimize=["a", "b"], sampler="random", scheduler="none")
    for a, b in np.random.default_rng(0).random((40, 2)):
        study.tell(study.ask(), a=a, b=b)
    told = results(study.history)
    fronts = pareto.ranks(told.values)
    for most in (2, 7, 15, 30, 40):
        parents = survivors(told, most)
        assert len(set(parents.tolist())) == most
        assert fronts[parents].tolist() == sorted(fronts)[:most]


def test_where_all_break_a_limit_those_are_parents_that_break_it_least():
    study = gh.Study(gh.Space(x=gh.Float(0, 1)), minimize=["a", "b"], subject_to="c <= 1", scheduler="none")
    for c in (5, 2, 9, 3):
        study.tell(study.ask(), a=c, b=-c, c=c)
    assert survivors(results(study.history), 3).tolist() == [1, 3, 0]


def test_of_thousands_on_one_front_few_are_parents_among_them_its_ends():
    study = gh.Study(gh.Space(x=gh.Float(0, 1)), minimize=["a", "b"], sampler="random", scheduler="none")
    for a in np.random.default_rng(0).permutation(1000):
        study.tell(study.ask(), a=a, b=1000 - a)
    told = results(study.history)
    parents = survivors(told, 5)
    places = np.sort(told.values[np.searchsorted(told.known, parents), 0])
    assert places[0] == 0
    assert places[-1] == 999
    assert np.diff(places).max() < 2 * np.diff(places).min() + 200


@pytest.mark.parametrize(
    "wrong", [lambda: NSGA2(parents=1), lambda: NSGA2(spread=0.0), lambda: EHVI(transforms=("logarithm",))]
)
def test_wrong_options_are_refused(wrong):
    with pytest.raises(StudyError, match="must be"):
        wrong()
