"""Plateaus: where the first trainings stand still, and where they only seem to."""

import numpy as np
import pytest

import greyhound as gh
from greyhound.schedulers.freeze_thaw import FreezeThaw
from greyhound.schedulers.idle import learners, nothing_learns
from greyhound.trial import TrialState

STEPS, LOOK, FIRST = 54, 6, 8
STILL = 0.69


def stands(x: float, step: int) -> float:
    """One in twenty learns, and late; one in ten is worse than nothing; the others stand still."""
    if x < 0.05:
        return STILL - max(0, step - 4) / 100.0
    return 2.0 if x > 0.9 else STILL + 1e-4 * x


def learns(x: float, step: int) -> float:
    return 0.1 + x + 1.0 / step


def looked_at(curve, first=(0.2, 0.4, 0.95, 0.3, 0.6, 0.7, 0.1, 0.8)) -> gh.Study:
    space = gh.Space(x=gh.Float(0.0, 1.0))
    made = gh.Study(space, minimize="loss", max_steps=STEPS, scheduler=FreezeThaw(), sampler="random", seed=1)
    for x in first:
        made.enqueue({"x": x})
        trial = made.ask()
        for step in range(1, LOOK + 1):
            made.report(trial, step, loss=curve(x, step))
    return made


def drive(made: gh.Study, curve, trainings: int) -> gh.Study:
    while made.history.total_steps < trainings * STEPS and (trial := made.ask()) is not None:
        for step in range(trial.step + 1, STEPS + 1):
            if made.report(trial, step, loss=curve(trial.params["x"], step)) is not gh.Verdict.CONTINUE:
                break
    return made


def test_trainings_that_stand_still_at_the_same_loss_learn_nothing():
    assert nothing_learns(looked_at(stands).history, FIRST, LOOK)


@pytest.mark.parametrize("loss", [STILL, 0.0])
def test_nor_do_trainings_that_are_all_equal(loss):
    assert nothing_learns(looked_at(lambda x, step: loss).history, FIRST, LOOK)


@pytest.mark.parametrize(
    "curve",
    [
        learns,
        lambda x, step: x,  # they stand still, but apart
        lambda x, step: 1.0 / step,  # they are alike, but move
        lambda x, step: 1e6 if x > 0.9 else learns(x, step),  # one that exploded makes the others look alike
        lambda x, step: 1e5 + learns(x, step),  # their size makes them look alike
    ],
)
def test_trainings_that_move_or_differ_do_not(curve):
    assert not nothing_learns(looked_at(curve).history, FIRST, LOOK)


def test_nothing_is_known_before_the_first_were_looked_at():
    space = gh.Space(x=gh.Float(0.0, 1.0))
    made = gh.Study(space, minimize="loss", max_steps=STEPS, sampler="random")
    for _ in range(4):
        trial = made.ask()
        for step in range(1, LOOK + 1):
            made.report(trial, step, loss=STILL)
        assert not nothing_learns(made.history, FIRST, LOOK)


def test_diverged_trainings_are_left_out():
    made = looked_at(lambda x, step: float("nan") if x in (0.2, 0.4) else stands(x, step))
    assert nothing_learns(made.history, FIRST, LOOK)


def test_some_more_trials_may_show_it_that_the_first_did_not():
    moving = [0.91, 0.92, 0.93, 0.94, 0.95]
    still = [0.2, 0.4, 0.3, 0.6, 0.7, 0.1, 0.8, 0.5]

    def curve(x, step):
        return 1.0 + x / step if x > 0.9 else stands(x, step)

    assert not nothing_learns(looked_at(curve, moving + still[:3]).history, FIRST, LOOK)
    assert nothing_learns(looked_at(curve, moving + still).history, FIRST, LOOK)


def test_those_that_learned_are_told_from_the_plateau():
    made = looked_at(stands)
    assert learners(made.history, FIRST, LOOK) == 0
    made.enqueue({"x": 0.01})
    trial = made.ask()
    for step in range(1, 19):
        made.report(trial, step, loss=stands(0.01, step))
    assert learners(made.history, FIRST, LOOK) == 1


def test_on_a_plateau_many_are_looked_at_and_one_that_learns_is_found():
    made = drive(looked_at(stands), stands, 12)
    finished = [trial.params["x"] for trial in made.trials if trial.state is TrialState.COMPLETED]
    assert min(finished) < 0.05
    assert len(made.trials) > 8 * len(finished)
    assert np.median([trial.step for trial in made.trials]) <= LOOK
