"""Random draws try a finite space whole, and then end; so do the samplers that fall back on them."""

import numpy as np
import pytest

import greyhound as gh
from greyhound.samplers.random import draw_new
from greyhound.testing.samplers import history_of


@pytest.mark.parametrize("sampler", ["random", "sobol", "tpe", "genetic"])
def test_the_few_configurations_that_a_constraint_leaves_are_tried_once(sampler):
    space = gh.Space(a=gh.Int(1, 100), b=gh.Int(1, 100), constraint={"small": "a + b <= 14"})
    study = gh.Study(space, minimize="loss", sampler=sampler, scheduler="none")
    tried = set()
    for _ in range(91):
        trial = study.ask()
        tried.add(space.key(trial.params))
        study.tell(trial, loss=float(trial.params["a"]))
    assert len(tried) == 91
    assert study.ask() is None


@pytest.mark.parametrize("sampler", ["random", "sobol", "tpe", "genetic", "grey", "cmaes", "ehvi", "gp+genetic"])
def test_a_choice_without_a_continuous_parameter_is_tried_once_in_an_infinite_space(sampler):
    space = gh.Space(
        model=gh.Categorical(["mean", "ridge"]), alpha=gh.Float(1e-3, 10, log=True, when={"model": "ridge"})
    )
    study = gh.Study(space, minimize="loss", sampler=sampler, scheduler="none", seed=1)
    tried = []
    for _ in range(14):
        trial = study.ask()
        tried.append(trial.params["model"])
        study.tell(trial, loss=1.0 + trial.params["alpha"] if "alpha" in trial.params else 0.0)
    assert tried.count("mean") == 1


def test_a_space_of_thousands_comes_to_its_end():
    space = gh.Space(a=gh.Int(1, 50), b=gh.Int(1, 150))
    everything, rng = {space.key(params) for params in space.grid(150)}, np.random.default_rng(0)
    seen = set(list(everything)[10:])
    found = [draw_new(history_of(space, 0), rng, seen) for _ in range(11)]
    assert {space.key(params) for params in found[:-1]} <= everything
    assert seen == everything
    assert found[-1] is None
