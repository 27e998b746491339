"""What a study's curves are taken to come to: trainings that end by themselves stay at what they reached."""

import numpy as np
import pytest

import greyhound as gh
from greyhound.curves.study import finals
from greyhound.samplers.results import results

STEPS = 50


def study(max_steps: int = STEPS) -> gh.Study:
    return gh.Study({"x": gh.Float(0.0, 1.0)}, minimize="loss", max_steps=max_steps, scheduler="none", seed=0)


def report(made: gh.Study, losses, first: int = 1):
    trial = made.ask()
    for step, loss in enumerate(losses, first):
        made.report(trial, step, loss=float(loss))
    return trial


def falling(count: int) -> np.ndarray:
    """Curves that fall together, to ends which differ, (count, STEPS)."""
    return np.linspace(0.1, 0.3, count)[:, None] + np.exp(-np.arange(STEPS) / 8.0)


@pytest.mark.parametrize("first", [0, 1])
def test_trainings_that_end_themselves_teach_how_curves_end(first):
    made = study()
    for losses in falling(8):
        made.tell(report(made, losses[: STEPS - 8], first))
    begun = [report(made, losses[:9], first) for losses in falling(5)]
    told = finals(made.history)
    assert (told.lengths[:8] == STEPS).all()
    assert (told.std[:8] == 0.0).all()
    assert told.mean[[trial.number for trial in begun], 0] == pytest.approx(falling(5)[:, -1], abs=0.02)


def test_of_a_training_that_ended_itself_the_noise_is_smoothed_over_what_it_reported():
    made = study()
    truth = falling(12)[:, : STEPS - 10]
    noise = 0.05 * np.random.default_rng(1).standard_normal(truth.shape)
    for losses in truth + noise:
        made.tell(report(made, losses))
    losses = results(made.history).losses
    assert np.abs(losses - truth[:, -1]).mean() < 0.6 * np.abs(noise[:, -1]).mean()
    assert losses == pytest.approx(finals(made.history).mean[:, 0])


def test_a_loss_that_was_told_in_place_of_the_last_report_counts_as_it_is():
    made = study()
    noisy = falling(12) + 0.05 * np.random.default_rng(1).standard_normal((12, STEPS))
    for losses in noisy[:, : STEPS - 10]:
        made.tell(report(made, losses), loss=float(losses.min()) - 0.01)
    told = finals(made.history)
    assert told.mean[:, 0].tolist() == (noisy[:, : STEPS - 10].min(axis=1) - 0.01).tolist()
    assert not told.noise.any()
