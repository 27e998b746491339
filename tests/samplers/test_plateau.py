"""Plateaus: where results tie with the best, samplers with a model try elsewhere as often."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.schedulers.histories import add, begun

import greyhound as gh
from greyhound.samplers import REGISTRY
from greyhound.samplers.plateau import tied
from greyhound.samplers.random import draw_new
from greyhound.trial import TrialState


@pytest.mark.parametrize(
    ("losses", "share"),
    [
        ([0.5, 0.5, 0.5, 0.9], 0.5),
        ([0.5, 0.50001, 0.49999, 0.9], 0.5),
        ([0.3, 0.5, 0.5, 0.9], 0.0),
        ([0.5, 0.51, 0.52, 0.53], 0.0),
        ([0.1, 0.11, 0.12, 1e12], 0.0),  # what explodes does not make the rest alike
        ([0.0, 0.0, 1e-9, 1.0], 0.25),
        ([2.0, 2.0], 0.5),
        ([2.0], 0.0),
        ([], 0.0),
    ],
)
def test_what_ties_with_the_best_is_counted_but_for_the_best_itself(losses, share):
    assert tied(np.array(losses)) == pytest.approx(share)


MILLIONTHS = st.integers(-(10**9), 10**9).map(lambda number: number / 1e6)


@given(st.lists(MILLIONTHS, min_size=2, max_size=30), st.sampled_from([0.125, 1.0, 64.0]))
def test_units_do_not_matter(losses, unit):
    assert tied(np.array(losses) * unit) == tied(np.array(losses))


SPACE = gh.Space({f"x{number}": gh.Float(0.0, 1.0) for number in range(6)})


def plain(params):
    """Nearly level, but for a part where the loss explodes and one in twenty configurations, which learn."""
    x = [params[name] for name in SPACE.names]
    if 0.5 < x[0] < 0.62 and x[1] > 0.55:
        return 0.4 - 0.2 * x[1]
    return 2.0 if x[0] > 0.8 else 0.6931 + 2e-4 * x[2] * x[3] + 0.05 * max(0.0, x[4] - 0.7)


@pytest.mark.parametrize("sampler", ["tpe"])
def test_a_level_plain_is_left_for_what_lies_in_it(sampler):
    found = []
    for seed in (3, 4, 5):
        study = gh.Study(SPACE, minimize="loss", sampler=sampler, seed=seed)
        while len(study.trials) < 50:
            trial = study.ask()
            study.tell(trial, loss=plain(trial.params))
        found.append(study.best.metrics["loss"])
    assert sum(loss < 0.6 for loss in found) >= 2


@pytest.mark.parametrize("sampler", ["gp", "tpe", "boosting", "gp+genetic"])
def test_as_often_as_results_tie_a_configuration_is_random(sampler):
    def randoms(tie):
        history = begun(max_steps=1, space=SPACE)
        for number in range(20):
            params = SPACE.sample(np.random.default_rng(number))
            add(history, [0.5 if number < tie else 0.6 + 0.01 * number], TrialState.COMPLETED, params)
        made = REGISTRY.make(sampler)
        drawn = 0
        for seed in range(12):
            rng = np.random.default_rng(seed)
            rng.random()
            expected = draw_new(history, rng, None)
            drawn += made.suggest(history, 1, np.random.default_rng(seed)) == [expected]
        return drawn

    assert randoms(1) == 0
    assert 8 <= randoms(19) <= 12
