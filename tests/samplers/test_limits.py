"""Limits steer: every sampler that learns goes where they hold, with one objective and with several."""

import numpy as np
import pytest

import greyhound as gh

SPACE = gh.Space(x=gh.Float(0.0, 1.0), y=gh.Float(0.0, 1.0))
LEARNING = [
    {"name": "boosting", "trees": 10},
    "cmaes",
    "ehvi",
    "genetic",
    "gp",
    "grey",
    "nsga2",
    "tpe",
    "gp+genetic",
    "auto",
]
TRIALS, STARTED = 32, 16


@pytest.fixture(scope="module", params=["one", "several"])
def goals(request):
    return {"one": {"maximize": "score"}, "several": {"maximize": ["x", "y"]}}[request.param]


def tried(sampler, goals):
    """x + y of trials: the objectives pull it upwards, the limit is 0.5, which an eighth of the space keeps to."""
    study = gh.Study(SPACE, **goals, subject_to="size <= 0.5", sampler=sampler, scheduler="none", seed=1, budget=TRIALS)
    sizes = []
    while (trial := study.ask()) is not None:
        x, y = trial.params["x"], trial.params["y"]
        study.tell(trial, x=x, y=y, score=x + y, size=x + y)
        sizes.append(x + y)
    return np.array(sizes[STARTED:])


@pytest.mark.parametrize("sampler", LEARNING, ids=str)
def test_trials_keep_to_a_limit_that_the_objectives_pull_away_from(sampler, goals):
    sizes = tried(sampler, goals)
    assert np.mean(sizes <= 0.55) >= 0.4, "by chance it is a sixth; who knows the edge tries both of its sides"
    assert sizes[sizes <= 0.5].max() > 0.35, "and go on to its edge"
