"""Guesses of the user: a density, points that follow it, and its weight against evidence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import greyhound as gh
from greyhound.errors import SpaceError
from greyhound.samplers.cube import cube_of
from greyhound.samplers.gp import GP
from greyhound.samplers.priors import believed, log_density
from greyhound.samplers.random import Random
from greyhound.samplers.sobol import Sobol
from greyhound.testing.samplers import history_of

PARAMETERS = [
    gh.Float(1e-5, 1e-1, log=True, prior=(3e-4, 0.7)),
    gh.Float(0.0, 1.0, prior=(1.0, 0.95)),
    gh.Int(1, 64, prior=(16, 0.2)),
    gh.Ordinal([8, 16, 32, 64], prior=8),
    gh.Categorical(["sgd", "adamw", "lion"], prior=("lion", 0.6)),
    gh.Bool(prior=(True, 0.8)),
]
WEIGHTED = gh.Categorical(["sgd", "adamw", "lion", "lbfgs"], weights=[1, 6, 3, 0])
MIDDLES = (np.arange(24_000) + 0.5) / 24_000


@pytest.mark.parametrize("parameter", [*PARAMETERS, WEIGHTED], ids=repr)
def test_the_density_integrates_to_one(parameter):
    assert np.exp(log_density(parameter, MIDDLES)).mean() == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("parameter", PARAMETERS, ids=repr)
def test_the_density_is_highest_at_the_guess(parameter):
    at_guess = log_density(parameter, np.array([parameter.encode(parameter.prior[0])]))[0]
    assert at_guess >= log_density(parameter, MIDDLES).max() - 1e-9
    assert at_guess > log_density(parameter, MIDDLES).min() + 0.1


@pytest.mark.parametrize("parameter", [*PARAMETERS, WEIGHTED], ids=repr)
def test_believed_points_follow_the_density(parameter):
    units = np.array([believed(parameter, unit) for unit in MIDDLES])
    cells = parameter.size if parameter.size is not None and parameter.size <= 4 else 60
    found = np.histogram(units, cells, (0.0, 1.0))[0] / len(units)
    wanted = np.exp(log_density(parameter, MIDDLES)).reshape(cells, -1).mean(axis=1) / cells
    np.testing.assert_allclose(found, wanted, atol=2e-3)


def test_weights_are_chances_and_rule_nothing_out():
    chances = np.exp(log_density(WEIGHTED, np.array([0.1, 0.3, 0.6, 0.9]))) / 4
    np.testing.assert_allclose(chances, [0.103, 0.593, 0.299, 0.005], atol=1e-12)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([1], "weights must be a list with a number for each of the 2 choices, in their order; got \\[1\\]"),
        ({32: 3, 16: 1}, "weights must be a list .*, in their order; got \\{32: 3, 16: 1\\}"),
        ({1, 2}, "weights must be a list"),
        ([1, -1], "weights must be at least 0, one of them above"),
        ([0, 0], "weights must be at least 0, one of them above"),
        (["a", 1], "a weight"),
        (3, "weights must be a list with a number for each of the 2 choices"),
    ],
)
def test_wrong_weights_are_told(weights, said):
    with pytest.raises(SpaceError, match=said):
        gh.Categorical(["a", "b"], weights=weights)


def test_weights_and_a_prior_together_are_refused_and_weights_are_written_down():
    with pytest.raises(SpaceError, match="weights and prior say the same"):
        gh.Categorical(["a", "b"], weights=[1, 2], prior="a")
    space = gh.Space(kind=gh.Categorical(["a", "b"], weights=[1, 2]))
    assert gh.Space.from_dict(space.to_dict()) == space
    assert space != gh.Space(kind=gh.Categorical(["a", "b"], weights=[2, 1]))
    assert space == gh.Space(kind=gh.Categorical(["a", "b"], weights=np.array([1.0, 2.0])))


def test_a_guess_alone_is_held_by_half():
    assert gh.Float(0.0, 1.0, prior=0.3).prior == (0.3, 0.5)
    assert gh.Categorical([(1, 2), (3, 4)], prior=(1, 2)).prior == ((1, 2), 0.5)
    assert gh.Categorical([(1, 2), (3, 4)], prior=((3, 4), 0.9)).prior == ((3, 4), 0.9)
    assert gh.Float(0.0, 1.0, prior=(np.float32(0.5), np.float32(0.75))).prior == (0.5, 0.75)


@pytest.mark.parametrize(
    ("prior", "said"),
    [
        (2.0, "prior: 2.0 is outside 0.0 to 1.0"),
        ((0.5, 1.0), "prior: how sure must lie between 0 and 1, as in prior=\\(0.5, 0.7\\); got 1.0"),
        ((0.5, "very"), "how sure must lie between 0 and 1"),
        ("low", "prior: "),
    ],
)
def test_what_is_no_prior_is_refused(prior, said):
    with pytest.raises(SpaceError, match=said):
        gh.Float(0.0, 1.0, prior=prior)


def test_priors_survive_files():
    space = gh.Space({f"p{at}": parameter for at, parameter in enumerate(PARAMETERS)})
    assert gh.Space.from_yaml(space.to_yaml()) == space
    assert gh.Space.from_yaml("lr: {type: float, low: 0, high: 1, prior: [0.2, 0.7]}")["lr"].prior == (0.2, 0.7)


@given(st.integers(0, 1000))
def test_the_first_point_is_the_guess(seed):
    space = gh.Space(x=gh.Float(0.0, 1.0, prior=0.25), kind=gh.Categorical(["a", "b"], prior="b"), y=gh.Float(0.0, 1.0))
    (first,) = Sobol().suggest(history_of(space, 0), 1, np.random.default_rng(seed))
    assert (first["x"], first["kind"]) == (0.25, "b")


@pytest.mark.parametrize("sampler", ["auto", "random", "tpe"])
def test_the_guesses_come_once_after_the_default_and_what_is_enqueued(sampler):
    space = gh.Space(x=gh.Float(0.0, 1.0, default=0.9, prior=(0.2, 0.9)), n=gh.Int(1, 9, default=1, prior=3))
    study = gh.Study(space, minimize="loss", sampler=sampler, scheduler="none")
    study.enqueue({"x": 0.4, "n": 5})
    trials = [study.ask() for _ in range(5)]
    assert [tuple(trial.params.values()) for trial in trials[:3]] == [(0.9, 1), (0.4, 5), (0.2, 3)]
    assert all(trial.params["x"] != 0.2 for trial in trials[3:])


def test_a_default_that_is_the_guess_is_not_tried_again():
    space = gh.Space(x=gh.Float(1e-5, 1e-1, log=True, default=3e-4, prior=(3e-4, 0.8)))
    study = gh.Study(space, minimize="loss", sampler="random", scheduler="none")
    assert study.ask().params == {"x": 3e-4}
    assert study.ask().params["x"] != pytest.approx(3e-4)


@pytest.mark.parametrize("sampler", ["random", "sobol"])
def test_a_default_without_the_parameter_that_is_guessed_at_does_not_have_the_guess(sampler):
    space = gh.Space(
        kind=gh.Categorical(["sgd", "adamw"], default="adamw", weights=[1, 0]),
        momentum=gh.Float(0.0, 0.99, default=0.0, prior=0.9, when={"kind": "sgd"}),
    )
    study = gh.Study(space, minimize="loss", sampler=sampler, scheduler="none")
    assert study.ask().params == {"kind": "adamw"}
    assert study.ask().params == {"kind": "sgd", "momentum": 0.9}


@pytest.mark.parametrize("sampler", [Random(), Sobol()])
def test_points_without_a_model_gather_around_a_guess_and_then_less(sampler):
    space = gh.Space(x=gh.Float(0.0, 1.0, prior=(0.1, 0.9)))
    rng = np.random.default_rng(0)
    early = [sampler.suggest(history_of(space, n), 1, rng)[0]["x"] for n in range(12)]
    late = [sampler.suggest(history_of(space, n), 1, rng)[0]["x"] for n in range(200, 240)]
    assert np.mean(np.abs(np.array(early) - 0.1) < 0.2) > 0.5
    assert np.mean(np.abs(np.array(late) - 0.1) < 0.2) < 0.5


def test_parameters_that_are_absent_do_not_count():
    space = gh.Space(kind=gh.Categorical(["a", "b"]), m=gh.Float(0.0, 1.0, prior=(0.5, 0.9), when={"kind": "a"}))
    cube = cube_of(space)
    there, absent = cube.rows([{"kind": "a", "m": 0.5}, {"kind": "b"}])
    assert cube.log_prior(np.array([there, absent]))[0] > 1.0
    assert cube.log_prior(np.array([there, absent]))[1] == 0.0


def lowest(prior, trials, seed):
    space = gh.Space(x=gh.Float(0.0, 1.0, prior=prior), y=gh.Float(0.0, 1.0), z=gh.Float(0.0, 1.0))
    study = gh.Study(space, minimize="loss", sampler=GP(), scheduler="none", seed=seed, budget=f"{trials} trials")
    while (trial := study.ask()) is not None:
        params = trial.params
        loss = (params["x"] - 0.8) ** 2 + 0.3 * (params["y"] - 0.3) ** 2 + 0.3 * (params["z"] - 0.6) ** 2
        study.tell(trial, loss=loss)
    return np.minimum.accumulate([trial.metrics["loss"] for trial in study.trials])


def test_a_right_guess_helps_and_a_wrong_one_does_not_hurt_for_long():
    plain, right, wrong = (
        np.mean([lowest(prior, 30, seed) for seed in range(3)], axis=0) for prior in (None, (0.8, 0.8), (0.1, 0.8))
    )
    assert right[5] < plain[5]
    assert wrong[29] < 0.002 < plain[5]
