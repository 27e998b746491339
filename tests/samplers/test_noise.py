"""Samplers know how noisy a mean over few replicates is."""

import numpy as np

import greyhound as gh
from greyhound.numeric import gp
from greyhound.samplers.noise import loudness
from greyhound.study import Study


def played(**declared):
    options = {"max_steps": 4, "budget": 2, "sampler": "random", "scheduler": "none", **declared}
    study = Study({"x": gh.Float(0, 1)}, maximize="score", **options)
    for steps in (4, 1):
        trial = study.ask()
        for step in range(1, steps + 1):
            study.report(trial, step, score=1.0)
    return study.history


def test_fewer_replicates_are_louder_and_plain_steps_are_not():
    numbers = np.array([0, 1])
    assert loudness(played(target={"replicates": {}}), numbers).tolist() == [1.0, 4.0]
    assert loudness(played(), numbers).tolist() == [1.0, 1.0]


def test_a_process_follows_loud_data_less():
    Z, layout = np.array([[0.0], [1.0]]), gp.Layout((0,), (False,))
    targets, theta = np.array([[0.0], [1.0]]), gp.Hyperparameters(np.array([0.0]), np.log(0.1))
    plain = gp.condition(Z, layout, targets, theta).at_data()[:, 0]
    loud = gp.condition(Z, layout, targets, theta, np.array([1.0, 50.0])).at_data()[:, 0]
    assert loud[1] < plain[1] - 0.1
