"""The chance to win is what finished trials' gains say, and 1 where they say too little."""

import numpy as np
import pytest
from tests.schedulers.histories import add, add_replicates, begun

from greyhound.schedulers.chance import another_chance, chance_to_win
from greyhound.trial import Limit, TrialState

COMPLETED, PAUSED = TrialState.COMPLETED, TrialState.PAUSED


def test_the_chance_is_students_t_of_the_room_to_the_best():
    history = begun(max_steps=2)
    for final, gain in ((0.0, 1.0), (0.5, 2.0), (0.7, 3.0)):  # gains −1, −2, −3: mean −2, deviation 1
        add(history, [final + gain, final], COMPLETED)
    even = add(history, [2.0], PAUSED)  # expected to end at 0, which is the best
    assert chance_to_win(history, even) == pytest.approx(0.5)
    behind = add(history, [2.0 + 2.0 * (4 / 3) ** 0.5], PAUSED)  # t = −2 with 2 degrees of freedom
    assert chance_to_win(history, behind) == pytest.approx(0.0918, abs=1e-4)
    assert another_chance(history, 0.05) == even
    assert another_chance(history, 0.6) is None


def test_replicates_of_the_finals_are_neither_to_be_beaten_nor_asked():
    history = begun(max_steps=2)
    for final in (0.0, 0.2):
        add(history, [final + 1.0, final], COMPLETED)
    add_replicates(history, 0, 5, [1.0, -0.5])
    assert chance_to_win(history, add(history, [100.0])) == 1.0, "two have finished"
    add(history, [1.4, 0.4], COMPLETED)
    assert chance_to_win(history, add(history, [0.9], PAUSED)) == 1.0, "it ends at -0.1, the best at 0"


def test_two_finished_trials_say_nothing():
    history = begun(max_steps=2)
    for final in (0.0, 0.1):
        add(history, [final + 1.0, final], COMPLETED)
    assert chance_to_win(history, add(history, [100.0])) == 1.0


def test_equal_gains_leave_no_doubt():
    history = begun(max_steps=2)
    for final in (0.0, 1.0, 2.0):
        add(history, [final + 1.0, final], COMPLETED)
    assert chance_to_win(history, add(history, [1.5])) == 0.0
    assert chance_to_win(history, add(history, [0.5])) == 1.0


@pytest.mark.parametrize("exploded", [1e4, 1e200])
def test_one_training_that_exploded_late_does_not_make_everything_possible(exploded):
    history = begun(max_steps=2)
    for final in (0.0, 0.1, 0.2, 0.3, 0.4, exploded):
        add(history, [1.0 + min(final, 0.5) / 2, final], COMPLETED)
    assert chance_to_win(history, add(history, [9.0], PAUSED)) < 0.01
    assert chance_to_win(history, add(history, [0.5], PAUSED)) > 0.9


def test_what_breaks_a_limit_is_not_to_be_beaten_and_goes_on_after_what_does_not():
    def study(ms):
        history = begun(max_steps=2, limits=(Limit("ms", 5.0),))
        for final, each in zip((0.0, 2.0, 3.0), ms, strict=True):
            add(history, [{"loss": final + 1.0}, {"loss": final, "ms": each}], COMPLETED)
        return history

    history = study((9.0, 5.0, 5.0))
    behind = add(history, [{"loss": 3.5, "ms": 5.0}], PAUSED)
    kept = add(history, [{"loss": 2.5, "ms": 5.0}], PAUSED)
    add(history, [{"loss": 0.5, "ms": 6.0}], PAUSED)
    assert chance_to_win(history, behind) == 0.0
    assert chance_to_win(history, kept) == 1.0
    assert another_chance(history, 0.05) == kept
    nothing = study((9.0, 9.0, 9.0))
    assert chance_to_win(nothing, add(nothing, [{"loss": 50.0, "ms": 5.0}])) == 1.0


def test_with_several_objectives_it_is_the_chance_not_to_be_dominated():
    history = begun(max_steps=2, losses=("loss", "size"))
    for final in (0.0, 0.1, 0.2):
        add(history, [(final + 1.0, 5.0), (final, 5.0)], COMPLETED)
    assert chance_to_win(history, add(history, [(9.0, 1.0)])) == pytest.approx(4 / 5), "smaller than all"
    assert chance_to_win(history, add(history, [(9.0, 9.0)])) == pytest.approx(1 / 5)


def test_trials_are_stopped_wrongly_about_as_often_as_the_risk_says():
    """Gains as assumed, normal: of trials whose chance is told, as many win as was told."""
    rng, told, won = np.random.default_rng(0), [], []
    for _ in range(300):
        history = begun(max_steps=2)
        finals, gains = rng.normal(size=6), 1.0 + 0.5 * rng.normal(size=6)
        for final, gain in zip(finals, gains, strict=True):
            add(history, [final + gain, final], COMPLETED)
        early = finals.min() + 1.0 + rng.normal()
        told.append(chance_to_win(history, add(history, [early])))
        won.append(early - 1.0 - 0.5 * rng.normal() < finals.min())
    assert np.mean(told) == pytest.approx(np.mean(won), abs=0.05)
    doubtful = np.asarray(told) < 0.1
    assert np.asarray(won)[doubtful].mean() < 0.1
