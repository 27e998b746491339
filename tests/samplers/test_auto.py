"""The default sampler: what it chooses, and that it says so."""

import numpy as np
import pytest

import greyhound as gh
from greyhound.samplers.auto import Auto, choose
from greyhound.testing.samplers import history_of


def chosen(study):
    sampler, why = choose(study.history)
    return type(sampler).__name__, why


def test_a_space_that_the_budget_covers_is_tried_whole():
    space = gh.Space(a=gh.Int(1, 5), b=gh.Categorical(["x", "y"]))
    name, why = chosen(gh.Study(space, minimize="loss", budget=10))
    assert (name, why) == ("Grid", "grid: all 10 configurations can be tried")
    study = gh.Study(space, minimize="loss", budget=100)
    tried = set()
    while (trial := study.ask()) is not None:
        tried.add(tuple(trial.params.values()))
        study.tell(trial, loss=1.0)
    assert len(tried) == 10


def test_a_space_too_large_for_a_grid_gets_a_model_whatever_the_budget():
    space = gh.Space(a=gh.Int(1, 500), b=gh.Int(1, 500))
    study = gh.Study(space, minimize="loss", budget=1_000_000, scheduler="none")
    assert chosen(study)[0] == "GP"
    params = study.ask().params
    assert space.validate(params) == params


def test_else_a_model_learns():
    study = gh.Study(gh.Space(a=gh.Int(1, 5), b=gh.Float(0, 1)), minimize="loss", budget=10)
    name, why = chosen(study)
    assert name == "GP"
    assert why.startswith("gp: a Gaussian process after 2 points of a Sobol sequence, for 2 parameters and infinitely")


@pytest.mark.parametrize("scheduler", ["asha", {"name": "hyperband", "eta": 4}], ids=["name", "table"])
def test_under_successive_halving_the_model_learns_at_rungs(scheduler):
    study = gh.Study(gh.Space(x=gh.Float(0, 1)), minimize="loss", max_steps=27, scheduler=scheduler)
    name, why = chosen(study)
    assert name == "BOHB"
    assert why.startswith("bohb: a Gaussian process of the values at one step, for 1 parameter and infinitely many")


def test_several_objectives_get_a_model_each_and_many_evolution():
    study = gh.Study(gh.Space(a=gh.Float(0, 1)), maximize="accuracy", minimize="bytes")
    assert chosen(study)[0] == "EHVI"
    study = gh.Study(gh.Space(a=gh.Float(0, 1)), minimize=["a", "b", "c", "d", "e"])
    assert chosen(study)[0] == "NSGA2"


def test_it_is_what_it_chose():
    history = history_of(gh.Space(x=gh.Float(0, 1), y=gh.Float(0, 1)), 12)
    sampler, _ = choose(history)
    expected = sampler.suggest(history, 2, np.random.default_rng(0))
    assert Auto().suggest(history, 2, np.random.default_rng(0)) == expected
