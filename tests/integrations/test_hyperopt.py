"""Programs written for Hyperopt, unchanged but for `algo=greyhound.suggest`."""

import functools
import math

import hyperopt
import numpy as np
import pytest
from hyperopt import STATUS_FAIL, STATUS_OK, Trials, fmin, hp, space_eval
from hyperopt.pyll import as_apply
from hyperopt.pyll.stochastic import sample

import greyhound
import greyhound as gh
from greyhound.errors import SpaceError
from greyhound.integrations.hyperopt import convert

SPACE = {
    "lr": hp.loguniform("lr", math.log(1e-5), math.log(1)),
    "units": hp.quniform("units", 8, 64, 8),
    "model": hp.choice(
        "model",
        [
            {"kind": "svm", "c": hp.lognormal("c", 0, 1)},
            {
                "kind": "forest",
                "depth": hp.choice("depth", [None, hp.uniformint("levels", 2, 9)]),
                "leaf": 1 + hp.randint("leaf", 5),
            },
        ],
    ),
    "noise": hp.pchoice("noise", [(0.2, 0.0), (0.8, hp.uniform("sd", 0.1, 0.5))]),
    "shift": hp.qnormal("shift", 5, 2, 0.5),
}


def search(objective, space, max_evals, seed=0, **options):
    options = {"algo": greyhound.suggest, "trials": Trials(), "show_progressbar": False, **options}
    return fmin(objective, space, max_evals=max_evals, rstate=np.random.default_rng(seed), **options)


def test_what_the_objective_gets_is_what_space_eval_gives():
    seen = []

    def objective(config):
        seen.append(config)
        return {"loss": abs(math.log(config["lr"]) - math.log(1e-3)), "status": STATUS_OK}

    trials = Trials()
    best = search(objective, SPACE, 25, trials=trials)
    assert len(trials) == len(seen) == 25
    assert space_eval(SPACE, best) == seen[int(np.argmin(trials.losses()))]
    assert [space_eval(SPACE, {k: v[0] for k, v in t["misc"]["vals"].items() if v}) for t in trials.trials] == seen
    for config in seen:
        model = config["model"]
        assert 1e-5 <= config["lr"] <= 1
        assert config["units"] in range(8, 65, 8)
        assert set(model) == ({"kind", "c"} if model["kind"] == "svm" else {"kind", "depth", "leaf"})
        assert model["kind"] == "svm" or (model["depth"] in (None, *range(2, 10)) and model["leaf"] in range(1, 6))
        assert config["shift"] % 0.5 == 0
    assert {config["model"]["kind"] for config in seen} == {"svm", "forest"}
    chosen = [trial["misc"]["vals"]["levels"] for trial in trials.trials if trial["misc"]["vals"]["levels"]]
    assert len(chosen) == sum(isinstance(config["model"].get("depth"), int) for config in seen)


@pytest.mark.parametrize("sampler", ["auto", "tpe"])
def test_the_search_learns(sampler):
    space = [hp.uniform("x", -5, 5), hp.uniform("y", -5, 5)]

    def bowl(point):
        x, y = point
        return (x - 1) ** 2 + (y + 2) ** 2

    def lowest(**options):
        trials = Trials()
        search(bowl, space, 40, trials=trials, **options)
        return min(trials.losses())

    ours = lowest(algo=functools.partial(greyhound.suggest, sampler=sampler))
    assert ours < 0.3 * lowest(algo=hyperopt.rand.suggest)


def test_the_same_rstate_gives_the_same_search_and_one_goes_on_with_earlier_trials():
    def objective(config):
        return config["lr"] + config["shift"]

    assert search(objective, SPACE, 12, seed=1) == search(objective, SPACE, 12, seed=1)
    trials = Trials()
    search(objective, SPACE, 8, trials=trials, algo=hyperopt.tpe.suggest)
    search(objective, SPACE, 14, trials=trials)
    assert len(trials) == 14


def test_failures_and_queues_and_finite_spaces():
    def objective(x):
        if x == 2:
            return {"status": STATUS_FAIL}
        return float("nan") if x == 3 else float(x)

    trials = Trials()
    best = search(objective, hp.choice("x", [1, 2, 3, 4]), 10, trials=trials, max_queue_len=3)
    assert best == {"x": 0}
    assert len(trials) == 10
    assert {trial["misc"]["vals"]["x"][0] for trial in trials.trials[:4]} == {0, 1, 2, 3}


def test_a_configuration_that_raises_is_not_tried_again():
    tried = []

    def fragile(x):
        tried.append(x)
        if x > 0:
            raise ValueError("too large")
        return (x + 3) ** 2

    trials = Trials()
    options = {"trials": trials, "catch_eval_exceptions": True, "show_progressbar": False}
    space = hp.uniform("x", -5, 5)
    fmin(fragile, space, algo=greyhound.suggest, max_evals=20, rstate=np.random.default_rng(0), **options)
    assert len(set(tried)) == len(tried) == 20
    assert len(trials) > 10, "most of what is tried keeps away from what raises"


def test_a_space_converts_and_is_tuned_by_our_own_loop():
    converted = convert(SPACE)
    assert converted.space["lr"].log
    assert converted.space["c"].when == {"model": (0,)}
    assert converted.space["levels"].when == {"depth": (1,), "model": (1,)}

    def train(trial):
        return converted.arguments(trial.params)["lr"]

    study = gh.tune(train, converted.space, budget="6 trials", workers="serial", progress=False)
    assert converted.arguments(study.best.params)["lr"] == study.best.metrics["value"]


PROBABLE = {
    "model": hp.pchoice("model", [(0.1, "linear"), (0.7, {"depth": hp.uniform("depth", 0, 1)}), (0.2, "trees")]),
    "lr": hp.uniform("lr", 0, 1),
}


def test_the_probabilities_of_pchoice_are_those_of_the_first_draws():
    converted = convert(PROBABLE)
    assert converted.space["model"] == gh.Categorical([0, 1, 2], weights=[0.1, 0.7, 0.2])
    assert converted.space["depth"].when == {"model": (1,)}
    drawn = []
    for seed in range(100):
        trials = Trials()
        search(
            lambda _: 0.0, PROBABLE, 3, seed, algo=functools.partial(greyhound.suggest, sampler="random"), trials=trials
        )
        drawn += [trial["misc"]["vals"]["model"][0] for trial in trials.trials]
    shares = np.bincount(drawn, minlength=3) / len(drawn)
    np.testing.assert_allclose(shares, [0.1, 0.7, 0.2], atol=0.12)


def test_an_option_of_probability_zero_is_never_chosen_nor_what_hangs_on_it():
    nested = hp.choice("inner", [hp.uniform("a", 0, 1), hp.uniform("b", 0, 1)])
    space = {"model": hp.pchoice("model", [(0.5, "linear"), (0.0, nested), (0.5, {"c": hp.uniform("c", 0, 1)})])}
    assert list(convert(space).space) == ["model", "c"]
    trials = Trials()
    search(lambda config: len(str(config)), space, 30, trials=trials)
    assert {trial["misc"]["vals"]["model"][0] for trial in trials.trials} == {0, 2}
    assert not any(trial["misc"]["vals"]["a"] for trial in trials.trials)
    assert space_eval(space, trials.argmin) == {"model": "linear"}


@pytest.mark.parametrize("sampler", ["random", "tpe", "gp"])
def test_an_option_that_is_held_improbable_is_found_where_it_is_better(sampler):
    def objective(config):
        return config["lr"] + (config["model"] != "linear")

    best = search(objective, PROBABLE, 30, algo=functools.partial(greyhound.suggest, sampler=sampler))
    assert best["model"] == 0


@pytest.mark.parametrize("label", ["lr", "units", "c", "levels", "leaf", "sd", "shift"])
def test_values_go_there_and_back(label):
    converted = convert(SPACE)
    rng = np.random.default_rng(0)
    for _ in range(20):
        params = converted.space.sample(rng)
        values = converted.values(params)
        back = converted.values(converted.params(values))
        assert back == pytest.approx(values, rel=1e-9)
        assert (label in values) == (label in params)


def test_ranges_are_those_that_hyperopt_draws_from():
    nodes = {
        "a": hp.quniform("a", 0.3, 2.7, 0.5),
        "b": hp.qloguniform("b", 0, 3, 2),
        "c": hp.randint("c", 3, 7),
        "d": hp.uniformint("d", 1, 4),
        "e": hp.randint("e", 2, np.int64(10)),
        "f": hp.randint("f", np.int32(3)),
        "g": hp.randint("g", -2, 3.0),
    }
    converted = convert(nodes)
    rng = np.random.default_rng(0)
    theirs = [sample(as_apply(nodes), rng) for _ in range(400)]
    ours = [converted.arguments(converted.space.sample(rng)) for _ in range(400)]
    for name in nodes:
        assert {config[name] for config in ours} == {config[name] for config in theirs}


@pytest.mark.parametrize(
    ("node", "multiples"),
    [
        (hp.quniform("n", 50, 500, 100), range(1, 6)),
        (hp.quniform("n", 150, 350, 100), (2, 3)),
        (hp.quniform("n", 0.05, 0.55, 0.1), range(1, 6)),
        (hp.quniform("n", 0.15, 0.45, 0.1), range(2, 5)),
        (hp.quniform("n", -2.5, 2.5, 1), range(-2, 3)),
        (hp.qloguniform("n", math.log(50), math.log(450), 100), range(1, 5)),
    ],
)
def test_bounds_half_way_between_two_multiples_are_rounded_inwards(node, multiples):
    kind = convert(node)
    q = as_apply(node).inputs()[0].arg["obj"].arg["q"].obj
    ends = [kind.arguments(kind.space.decode([unit])) for unit in np.linspace(0, 1, 101)]
    assert sorted({value / q for value in ends}) == pytest.approx(multiples)
    drawn = {sample(as_apply(node), np.random.default_rng(seed)) / q for seed in range(100)}
    assert sorted(drawn) == pytest.approx(multiples)


def test_a_parameter_that_several_branches_share():
    x = hp.uniform("x", 0, 1)
    converted = convert(hp.choice("which", [x, {"x": x}, "none"]))
    assert converted.space["x"].when == {"which": (0, 1)}
    assert converted.arguments({"which": 1, "x": 0.25}) == {"x": 0.25}


def test_bounds_that_are_expressions_are_refused_in_a_sentence():
    with pytest.raises(SpaceError, match="y: its high is an expression; write a number"):
        convert(hp.uniform("y", 0, hp.uniform("x", 1, 2)))


@pytest.mark.parametrize(
    "space", [hp.normal("a", 2, 0), hp.lognormal("a", 0, 0), hp.qnormal("a", 2, 0, 1), hp.normal("a", 2, -1)]
)
def test_a_normal_distribution_without_a_width_is_refused(space):
    with pytest.raises(SpaceError, match="a: sigma must be above 0"):
        convert(space)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (hp.quniform("a", 0, 1, 0), r"a: q must be above 0; got 0\."),
        (hp.qnormal("a", 0, 1, -1), r"a: q must be above 0; got -1\."),
        (hp.loguniform("a", 1, 1000), r"a: exp\(1000\) is too large a number; .* natural logarithms"),
        (hp.lognormal("a", 1000, 1), r"a: exp\(1003\.72\) is too large a number"),
    ],
)
def test_a_bound_that_is_no_logarithm_and_a_step_of_none_are_refused_in_a_sentence(space, message):
    with pytest.raises(SpaceError, match=message):
        convert(space)
