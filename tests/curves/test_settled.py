"""The level that finished curves have come to: nothing that still moves is smoothed, noise is taken off the rest."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import greyhound as gh
from greyhound.curves.settled import settled
from greyhound.curves.study import finals
from greyhound.samplers.results import results

STEPS = np.arange(1, 51)


def improving(count: int) -> np.ndarray:
    ends = np.linspace(0.1, 0.3, count)
    return ends[:, None] + STEPS**-0.7


def test_without_noise_the_last_value_counts_as_it_is():
    curves = improving(10)
    assert (settled(curves) == curves[:, -1]).all()


@pytest.mark.parametrize(("noise", "part"), [(0.01, 0.8), (0.05, 0.6)])
def test_of_noisy_curves_the_level_is_nearer_to_the_truth_than_the_last_value(noise, part):
    truth = improving(30)
    seen = truth + noise * np.random.default_rng(0).standard_normal(truth.shape)
    error = np.abs(settled(seen) - truth[:, -1]).mean()
    assert error < part * np.abs(seen[:, -1] - truth[:, -1]).mean()


def test_a_late_drop_of_the_learning_rate_is_not_smoothed_away():
    curves = improving(10) - 0.2 * (STEPS > 40)
    seen = curves + 0.005 * np.random.default_rng(0).standard_normal(curves.shape)
    assert np.abs(settled(seen) - curves[:, -1]).max() < 0.02


def test_a_few_values_are_too_few_to_tell_noise_by():
    curves = np.array([[0.5, 0.1, 0.4, 0.2]])
    assert settled(curves).tolist() == [0.2]


@given(st.floats(1e-3, 1e3), st.floats(-1e3, 1e3), st.integers(0, 99))
def test_units_do_not_matter(scale, shift, seed):
    curves = improving(5) + 0.02 * np.random.default_rng(seed).standard_normal((5, 50))
    assert settled(shift + scale * curves) == pytest.approx(shift + scale * settled(curves), abs=1e-6 * scale + 1e-9)


def test_means_over_replicates_are_not_smoothed():
    losses = np.random.default_rng(0).random((12, 10))
    for target in ({"replicates": {}}, {}):
        options = {"minimize": "loss", "max_steps": 10, "scheduler": "none", "target": target}
        made = gh.Study({"x": gh.Float(0.0, 1.0)}, **options)
        for row in losses:
            trial = made.ask()
            for step, loss in enumerate(row, 1):
                made.report(trial, step, loss=float(loss), loss_std_error=0.1)  # which says nothing by itself
        assert (results(made.history).losses == pytest.approx(losses[:, -1])) is bool(target)
    assert settled(losses) != pytest.approx(losses[:, -1])


def test_samplers_learn_what_is_beneath_the_noise_and_keep_what_ended_early_as_it_is():
    made = gh.Study({"x": gh.Float(0.0, 1.0)}, minimize="loss", max_steps=50, scheduler="none", seed=0)
    truth = improving(12)
    noise = 0.05 * np.random.default_rng(1).standard_normal(truth.shape)
    for curve in truth + noise:
        trial = made.ask()
        for step, loss in enumerate(curve, 1):
            made.report(trial, step, loss=float(loss))
    stopped = made.ask()
    made.report(stopped, 3, loss=0.9)
    made.tell(stopped, loss=0.9)
    told = results(made.history)
    assert np.abs(told.losses[:12] - truth[:, -1]).mean() < 0.6 * np.abs(noise[:, -1]).mean()
    assert told.losses[12] == 0.9
    assert told.losses[:12] == pytest.approx(finals(made.history).mean[:12, 0])
    assert not told.doubts.any()
