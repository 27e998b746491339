"""Where each method says what is true, and where it does not, on functions whose truth is known."""

import importlib
import itertools
import re

import numpy as np
import pytest

import greyhound as gh
from greyhound import events as ev
from greyhound.analysis.importance import (
    category_density,
    importance,
    kernel_density,
    main_effects,
    relational_grades,
)
from greyhound.analysis.report import write_report
from greyhound.errors import StudyError
from greyhound.history import History
from greyhound.settings import Settings
from greyhound.space import Bool, Categorical, Float, Int, Space
from greyhound.study import Study
from greyhound.trial import Objective, TrialState

METHODS = ["ped-anova", "fanova", "grey"]
SPACE = Space(lr=Float(1e-5, 1e-1, log=True), b=Float(0.0, 1.0), c=Float(0.0, 1.0), kind=Categorical(["x", "y", "z"]))
LOSS = (Objective("loss", False),)


def decades(params):
    return np.log10(params["lr"])


def history_of(space, function, count, seed=0, objectives=LOSS):
    """`count` random trials of a function that gives a loss, a table of metrics, or a state in which it failed."""
    settings = Settings(objectives=objectives, space=space, seed=seed)
    history = History.of([ev.Declared(1.0, settings.to_json()), ev.Joined(1.0, "a", "host", 1, 1.0)])
    rng = np.random.default_rng(seed)
    for number in range(count):
        params = space.sample(rng)
        told = function(params)
        state = told if isinstance(told, TrialState) else TrialState.COMPLETED
        metrics = {} if isinstance(told, TrialState) else told if isinstance(told, dict) else {"loss": float(told)}
        history.apply(ev.Started(2.0, number, params, 1, "random", "a"))
        history.apply(ev.Ended(3.0, number, state, metrics, "a"))
    return history


def mean_shares(space, function, method, count=60):
    found = [importance(history_of(space, function, count, seed), method) for seed in range(4)]
    return {name: float(np.mean([shares[name] for shares in found])) for name in space}


@pytest.mark.parametrize("method", METHODS)
def test_shares_add_up_to_one_the_largest_first(method):
    shares = importance(history_of(SPACE, lambda p: decades(p) + p["b"], 40), method)
    assert set(shares) == set(SPACE)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert min(shares.values()) >= 0.0


@pytest.mark.parametrize("method", METHODS)
def test_all_find_what_dominates_and_goes_one_way(method):
    shares = mean_shares(SPACE, lambda p: 3 * decades(p) + 0.3 * p["b"], method)
    assert shares["lr"] > 0.8


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", [1e-300, 1e300, -1.7e308])
def test_values_may_be_as_large_or_small_as_numbers_go(scale, method):
    line = importance(history_of(SPACE, lambda p: scale * (2 * p["b"] - 1), 40), method)
    assert next(iter(line)) == "b"
    assert line["b"] > 0.5


@pytest.mark.parametrize("method", METHODS)
def test_the_direction_of_the_objective_does_not_matter_to_a_line(method):
    up = (Objective("loss", True),)
    rising = importance(history_of(SPACE, lambda p: 3 * decades(p) + 0.3 * p["b"], 60, objectives=up), method)
    assert next(iter(rising)) == "lr"


def test_grey_needs_a_dozen_trials_of_a_line():
    assert mean_shares(SPACE, decades, "grey", count=12)["lr"] > 0.8


def valley(params):
    return (decades(params) + 3.0) ** 2 + 0.3 * params["b"]


@pytest.mark.parametrize("method", ["ped-anova", "fanova"])
def test_these_see_a_valley(method):
    shares = mean_shares(SPACE, valley, method)
    assert next(iter(sorted(shares, key=shares.get, reverse=True))) == "lr"
    assert shares["lr"] > 0.5


def test_a_valley_fools_grey():
    assert mean_shares(SPACE, valley, "grey", count=100)["lr"] < 0.3


def cliff(params):
    return 1000.0 * (params["c"] > 0.9) + valley(params)


def test_a_bad_corner_is_all_the_variance_but_not_what_makes_the_best():
    assert mean_shares(SPACE, cliff, "fanova")["c"] > 0.8
    shares = mean_shares(SPACE, cliff, "ped-anova")
    assert shares["lr"] > 0.5 > shares["c"]


def test_categories_count_by_their_mean_whatever_their_order():
    def by_kind(params):
        return {"x": 1.0, "y": 0.0, "z": 2.0}[params["kind"]]

    for method in METHODS:
        assert mean_shares(SPACE, by_kind, method)["kind"] > 0.7, method


def test_what_matters_among_the_good_alone_shows_in_ped_anova_alone():
    def kind_then_b(params):
        return {"x": 1.0, "y": 0.0, "z": 2.0}[params["kind"]] + 0.1 * params["b"]

    by_variance = mean_shares(SPACE, kind_then_b, "fanova", count=200)
    by_the_best = mean_shares(SPACE, kind_then_b, "ped-anova", count=200)
    assert by_variance["kind"] > 0.95
    assert by_the_best["b"] > 0.4


def test_only_trials_that_have_a_conditional_parameter_count_for_it():
    space = Space(opt=Categorical(["sgd", "adam"]), m=Float(0.0, 1.0, when={"opt": "sgd"}), z=Float(0.0, 1.0))
    truths = {"m matters": lambda p: 2 * p.get("m", 0.5), "z matters": lambda p: 2 * p["z"]}
    for method in METHODS:
        assert mean_shares(space, truths["m matters"], method)["m"] > 0.6, method
        assert mean_shares(space, truths["z matters"], method)["z"] > 0.6, method


def test_together_alone_is_told_by_none():
    def either(params):
        return float((params["b"] > 0.5) != (params["c"] > 0.5))

    shares = mean_shares(SPACE, either, "ped-anova", count=200)
    assert max(shares.values()) < 0.6


def test_failures_count_as_the_worst():
    def breaks(params):
        return TrialState.DIVERGED if params["c"] > 0.5 else 1.0 * (params["b"] > 0.9)

    assert mean_shares(SPACE, breaks, "fanova")["c"] > 0.8
    lost = history_of(SPACE, lambda p: TrialState.LOST if p["c"] > 0.5 else p["b"], 40)
    assert importance(lost, "fanova")["b"] > 0.8


@pytest.mark.parametrize("method", METHODS)
def test_nothing_known_is_nothing_claimed(method):
    for function, count in ((decades, 0), (decades, 3), (lambda p: 1.0, 30), (lambda p: TrialState.FAILED, 30)):
        assert set(importance(history_of(SPACE, function, count), method).values()) == {0.0}


@pytest.mark.parametrize("method", METHODS)
def test_every_kind_of_parameter_is_borne(method):
    space = Space(
        one=Int(3, 3),
        flag=Bool(),
        n=Int(1, 10**9),
        log=Int(1, 1000, log=True),
        few=Int(0, 3),
        step=Float(0, 1, step=0.1),
    )
    shares = mean_shares(space, lambda p: 2.0 * p["flag"], method)
    assert next(iter(sorted(shares, key=shares.get, reverse=True))) == "flag"
    assert shares["one"] == 0.0


def test_of_several_objectives_one_has_to_be_named():
    both = (Objective("loss", False), Objective("size", False))
    history = history_of(SPACE, lambda p: {"loss": decades(p), "size": p["b"], "other": p["c"]}, 60, objectives=both)
    with pytest.raises(StudyError, match="give metric=, one of loss, size"):
        importance(history)
    for metric, name in (("loss", "lr"), ("size", "b"), ("other", "c")):
        assert next(iter(importance(history, metric=metric))) == name
    with pytest.raises(StudyError, match="no metric 'speed'; there are loss, other, size"):
        importance(history, metric="speed")
    with pytest.raises(StudyError, match="no method 'shap'; there are ped-anova, fanova, grey"):
        importance(history, "shap", "loss")


def test_a_study_tells_it():
    study = Study({"x": Float(0, 1), "y": Float(0, 1)}, minimize="loss", sampler="random", budget="30 trials")
    while (trial := study.ask()) is not None:
        study.tell(trial, trial.params["x"])
    assert next(iter(study.importance())) == "x"
    assert next(iter(study.importance("grey"))) == "x"


@pytest.mark.parametrize("method", METHODS)
def test_finals_change_nothing(method):
    space = {"x": Float(0, 1, default=0.5), "y": Float(0, 1, default=0.5)}
    study = Study(space, minimize="loss", sampler="random", budget="20 trials")

    def train():
        while (trial := study.ask()) is not None:
            study.tell(trial, 2 * trial.params["x"] + trial.params["y"] + trial.seed % 7 / 10)

    train()
    before = study.importance(method)
    study.finals(top=3, seeds=4)
    train()
    assert len(study.trials) == 20 + 16
    assert study.importance(method) == before


def test_the_report_shows_it_as_bars(tmp_path):
    page = write_report(history_of(SPACE, lambda p: 3 * decades(p) + p["b"], 40), tmp_path / "a.html").read_text()
    section = page.partition("<h2>What matters</h2>")[2].partition("</table>")[0]
    assert re.findall(r"<tr><td>(\w+)</td>", section)[0] == "lr"
    assert len(re.findall(r'class="bar" style="width: [\d.]+%"', section)) == 4
    few = write_report(history_of(SPACE, decades, 5), tmp_path / "b.html").read_text()
    assert "What matters" not in few


# The parts


def test_densities_sum_to_one_and_lie_where_the_trials_are():
    density = kernel_density(np.array([10, 11, 12, 12, 13]), 50)
    assert density.sum() == pytest.approx(1.0)
    assert density.min() > 0.0
    assert density.argmax() in (11, 12)
    assert kernel_density(np.array([0]), 50).argmax() == 0
    assert category_density(np.array([0, 0, 2]), 4) == pytest.approx([2.25 / 4, 0.25 / 4, 1.25 / 4, 0.25 / 4])


def test_main_effects_are_those_of_a_fine_grid():
    tree_module = importlib.import_module("sklearn.tree")
    rng = np.random.default_rng(0)
    features = rng.random((40, 3))
    targets = np.sin(6 * features[:, 0]) + features[:, 1] * features[:, 2]
    tree = tree_module.DecisionTreeRegressor(random_state=0, max_leaf_nodes=12).fit(features, targets)
    side = (np.arange(80) + 0.5) / 80
    grid = tree.predict(np.array(list(itertools.product(side, side, side)))).reshape(80, 80, 80)
    others = [(1, 2), (0, 2), (0, 1)]
    expected = [grid.mean(axis=axes).var() / grid.var() for axes in others]
    assert main_effects(tree.tree_, 3) == pytest.approx(expected, abs=0.03)


def test_main_effects_of_an_additive_step_are_exact():
    tree_module = importlib.import_module("sklearn.tree")
    corners = np.array(list(itertools.product([0.25, 0.75], [0.1, 0.3])))  # cuts at 0.5 and 0.2
    targets = 2.0 * (corners[:, 0] > 0.5) + 1.0 * (corners[:, 1] > 0.2)
    tree = tree_module.DecisionTreeRegressor(random_state=0).fit(corners, targets)
    first, second = 4.0 * 0.5 * 0.5, 1.0 * 0.2 * 0.8
    assert main_effects(tree.tree_, 2) == pytest.approx(np.array([first, second]) / (first + second))


def test_grades_take_the_better_direction():
    units = np.linspace(0, 1, 20)
    up, chance = relational_grades(units, units, None)
    down, _ = relational_grades(units, -units, None)
    assert up == down == pytest.approx(1.0)
    assert chance < 0.75


def test_a_search_that_has_gathered_at_its_optimum_still_tells_what_led_there():
    study = gh.Study({"x": gh.Float(0, 1), "y": gh.Float(0, 1)}, minimize="loss", sampler="random", budget="40 trials")
    for _ in range(30):  # where x is best, y was the same for most
        study.enqueue({"x": 0.001, "y": 0.002})
    while (trial := study.ask()) is not None:
        study.tell(trial, loss=trial.params["x"] ** 2)
    assert list(study.importance()) == ["x", "y"]
