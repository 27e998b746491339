"""A study's curves: trainings that end by themselves stay at what they reached, and a million steps are no burden."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import greyhound as gh
from greyhound import events as ev
from greyhound.curves import forecast
from greyhound.curves.study import finals
from greyhound.samplers.results import results

STEPS = 50


def study(max_steps: int = STEPS) -> gh.Study:
    space = gh.Space(x=gh.Float(0.0, 1.0))
    return gh.Study(space, minimize="loss", max_steps=max_steps, scheduler="none", sampler="random", seed=0)


def report(made: gh.Study, losses, first: int = 1, every: int = 1):
    trial = made.ask()
    for step, loss in enumerate(losses, first):
        made.report(trial, step * every, loss=float(loss))
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


def test_of_a_million_steps_forecasts_are_those_of_two_hundred_and_lengths_are_in_steps():
    few, many = study(200), study(1_000_000)
    losses = 0.2 + np.linspace(0.1, 0.3, 12)[:, None] + np.exp(-np.arange(200) / 40.0)
    for curve, length in zip(losses, (200, 199, 30, 1) * 3, strict=True):
        report(few, curve[:length])
        report(many, curve[:length], every=5000)
    plain, thinned = finals(few.history), finals(many.history)
    assert thinned.curves[0].values.shape == (12, 200)
    assert thinned.lengths.tolist() == (5000 * plain.lengths).tolist()
    assert thinned.mean.tolist() == plain.mean.tolist()
    assert thinned.std.tolist() == plain.std.tolist()
    assert thinned.noise.tolist() == plain.noise.tolist()
    seen = np.arange(2)
    assert thinned.told_at(22 * 5000, seen).mean.tolist() == plain.told_at(22, seen).mean.tolist()


def test_of_steps_that_share_a_column_the_newest_counts_and_only_the_end_is_the_end():
    made = study(1000)
    trial = made.ask()
    for step in (1, 2, 13, 14, 999):
        made.report(trial, step, loss=1.0 / step)
    curves = finals(made.history).curves[0]
    assert curves.lengths.tolist() == [999]
    assert curves.values[0, 0] == 1.0 / 2
    assert curves.values[0, 1] == 1.0 / 14
    assert curves.values[0, 198] == 1.0 / 999
    assert np.isnan(curves.values[0, 199])


def test_a_loss_that_was_infinite_on_the_way_is_not_hidden_by_the_next():
    made = study(1000)
    trial = made.ask()
    for step, loss in ((1, 1.0), (2, np.inf), (3, 1.0)):
        made.report(trial, step, loss=loss)
    assert finals(made.history).lengths.tolist() == [0]


def test_curves_are_read_all_at_once_as_they_would_be_one_by_one():
    made, rng = study(max_steps=450), np.random.default_rng(0)
    for length in (0, 1, 450, 300, 7, 450, 120):
        steps = np.unique(rng.integers(0, 451, length)) if length < 450 else np.arange(1, 451)
        losses = rng.choice([0.3, 0.7, np.nan, np.inf], len(steps), p=[0.48, 0.48, 0.02, 0.02]) + 0.01 * rng.random()
        number = len(made.history)
        made.history.apply(ev.Started(1.0, number, {"x": number / 10}, 1, "random", "me"))
        for step, loss in zip(steps.tolist(), losses.tolist(), strict=True):
            made.history.apply(ev.Reported(2.0, number, step, {"loss": loss} if step % 5 else {"other": loss}))
    (read,) = finals(made.history).curves
    for number, trial in enumerate(made.history.trials):
        told = {each.step: each.metrics["loss"] for each in trial.reports if "loss" in each.metrics and each.step}
        told = {step: loss for step, loss in told.items() if not np.isnan(loss)}
        row = np.full(200, np.nan)
        for step, loss in told.items():
            row[max(step * 200 // 450, 1) - 1] = loss
        assert read.lengths[number] == (0 if np.inf in told.values() else max(told, default=0))
        if read.lengths[number] != 450:  # what came to its end is smoothed
            shown = ~np.isnan(row)
            assert np.array_equal(read.values[number][shown], row[shown])


def test_forecasts_leave_the_other_cores_to_the_trainings(monkeypatch):
    decompose, threads = np.linalg.eigh, []

    def counting(matrix):
        threads.append(max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"))
        return decompose(matrix)

    monkeypatch.setattr(np.linalg, "eigh", counting)
    made = study()
    for losses in falling(8):
        report(made, losses)
    begun = report(made, falling(8)[0, :20])
    with threadpool_limits(2):
        told = finals(made.history)
        told.told_at(5, np.array([begun.number]))
        forecast(falling(1)[0, :9], [STEPS], known=falling(8))
        assert max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas") == 2
    assert len(threads) > 24
    assert set(threads) == {1}
