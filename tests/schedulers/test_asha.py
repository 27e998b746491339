"""Rungs keep the best share; nobody is stopped for good who may still win."""

import pytest
from tests.schedulers.histories import add, begun, go_on

from greyhound.budget import Budget
from greyhound.errors import StudyError
from greyhound.schedulers import Resume, Start, Wait
from greyhound.schedulers.asha import Asha
from greyhound.schedulers.halving import last_resort, promotable
from greyhound.trial import Limit, TrialState, Verdict

ASHA = Asha(eta=3, min_steps=1)
PAUSED, COMPLETED, STOPPED = TrialState.PAUSED, TrialState.COMPLETED, TrialState.STOPPED


def test_a_rung_keeps_the_best_third():
    history = begun()
    for loss in (3.0, 1.0, 2.0, 5.0, 4.0, 6.0):
        add(history, [loss], PAUSED)
    assert promotable(history, 1, eta=3) == [1, 2]
    assert ASHA.next(history) == Resume(1)


def test_the_highest_rung_goes_first_and_a_new_one_starts_where_none_is_due():
    history = begun()
    assert ASHA.next(history) == Start()
    for loss in (3.0, 1.0, 2.0):
        add(history, [loss], PAUSED)
    go_on(history, 1, [1.0, 1.0], PAUSED)
    assert ASHA.next(history) == Start(), "one of three was promoted, and one at the second rung is no third"
    for loss in (0.5, 0.6, 0.7):
        add(history, [loss], PAUSED)
    for number in (3, 4):
        go_on(history, number, [0.5, 0.5], PAUSED)
    for loss in (0.1, 0.2, 0.3):
        add(history, [loss], PAUSED)
    assert ASHA.next(history) == Resume(3), "of three at the second rung the best, before those of the first"


@pytest.mark.parametrize(
    ("eta", "end", "rungs"),
    [
        (3, 9, [1, 3]),
        (3, 27, [1, 3, 9]),
        (3, 28, [1, 3, 9]),
        (3, 30, [1, 3, 9]),
        (3, 52, [2, 6, 18]),
        (3, 200, [7, 21, 63]),
        (2, 100, [12, 24, 48]),
    ],
)
def test_by_default_three_rungs_lie_below_the_end_and_none_right_before_it(eta, end, rungs):
    history, found = begun(max_steps=end), []
    number = add(history, [])
    while len(found) < 5 and (step := Asha(eta).until(history, history.trial(number))) < end:
        go_on(history, number, [1.0] * (step - history.trial(number).step))
        found.append(step)
    assert found == rungs


def test_of_trials_that_went_the_same_way_one_is_promoted():
    history = begun()
    for curve in ([3.0, 1.0], [3.0, 1.0], [4.0, 1.0], [3.0, 1.0], [5.0, 2.0], [5.0, 3.0]):
        add(history, curve, PAUSED)
    assert promotable(history, 2, 2) == [0, 2]
    assert promotable(history, 2, 1) == [0, 2, 4, 5]


def test_curves_that_stand_still_are_not_taken_for_the_same():
    history = begun()
    for _ in range(4):
        add(history, [1.0, 1.0], PAUSED)
    assert promotable(history, 2, 2) == [0, 1]


def test_an_objective_that_stands_still_does_not_hide_those_that_went_the_same_way():
    history = begun(losses=("loss", "size"))
    for losses in ((3.0, 1.0), (3.0, 1.0), (4.0, 2.0), (5.0, 3.0)):
        add(history, [(loss, 8.0) for loss in losses], PAUSED)
    assert promotable(history, 2, 1) == [0, 2, 3]


def test_with_two_objectives_the_front_is_promoted():
    history = begun(losses=("loss", "size"))
    for row in ((0.9, 0.9), (0.1, 0.9), (0.9, 0.1), (0.8, 0.8), (0.95, 0.95), (0.99, 0.99)):
        add(history, [row], PAUSED)
    assert set(promotable(history, 1, eta=3)) == {1, 2}


def limited(*trials):
    """A study whose `ms` may be 5 at most. trials: loss, ms, steps and state."""
    history = begun(limits=(Limit("ms", 5.0),), budget=Budget(trials=len(trials)))
    for loss, ms, steps, state in trials:
        add(history, [{"loss": loss, "ms": ms}] * steps, state)
    return history


def test_what_breaks_a_limit_is_not_promoted_before_what_keeps_to_it():
    history = limited(*((loss, ms, 1, PAUSED) for loss, ms in ((0.1, 9.0), (0.5, 5.0), (0.2, 7.0), (0.4, 1.0))))
    assert promotable(history, 1, 2) == [3, 1]
    assert promotable(history, 1, 1) == [3, 1, 2, 0]


def test_a_study_without_a_winner_that_keeps_to_the_limits_trains_one_to_its_end():
    broken, kept = (0.1, 9.0, 9, COMPLETED), (0.5, 5.0, 1, PAUSED)
    assert last_resort(limited(broken, (0.2, 8.0, 3, PAUSED), kept), [1, 3]) == 2
    assert last_resort(limited(broken, (0.2, 8.0, 3, PAUSED)), [1, 3]) is None, "another that breaks it is no winner"
    assert last_resort(limited((0.2, 8.0, 3, PAUSED)), [1, 3]) == 0, "better than none"
    assert last_resort(limited(broken, (0.9, 5.0, 9, COMPLETED), kept), [1, 3]) is None


def test_who_got_furthest_is_trained_to_its_end_where_nobody_was_and_nobody_trains():
    history = begun(budget=Budget(trials=3))
    add(history, [1.0], PAUSED)
    add(history, [3.0, 3.0, 3.0], PAUSED)
    running = add(history, [2.0])
    assert Asha(eta=9, min_steps=1).next(history) == Wait(), "one that trains may yet be promoted"
    go_on(history, running, [2.0, 2.0], PAUSED)
    assert last_resort(history, [1, 3]) == 2, "the best of the highest rung, not of the first"


def finished(*finals):
    """A study whose budget of trials is spent but one, with trials that gained 1.0, more or less, from step 1 on."""
    history = begun(max_steps=2, budget=Budget(trials=len(finals) + 1))
    for final in finals:
        add(history, [final + 1.0 + 0.01 * (final % 0.3), final], COMPLETED)
    return history


def test_with_a_risk_who_cannot_win_any_more_is_stopped_and_others_are_paused():
    history = finished(1.0, 1.1, 1.2, 1.3)
    hopeless = add(history, [4.0])
    asha = Asha(risk=0.05)
    assert asha.judge(history, history.trial(hopeless)) is Verdict.STOP
    assert Asha().judge(history, history.trial(hopeless)) is Verdict.PAUSE, "without a risk nobody is stopped"
    history = finished(1.0, 1.1, 1.2, 1.3)
    hopeful = add(history, [2.0])
    assert asha.judge(history, history.trial(hopeful)) is Verdict.PAUSE


def test_with_a_risk_who_may_still_win_goes_on_before_the_study_ends():
    history = finished(1.0, 1.1, 1.2, 1.3)
    hopeful = add(history, [2.0], PAUSED)
    assert Asha(eta=9, risk=0.05).next(history) == Resume(hopeful)
    assert Asha(eta=9).next(history) == Wait()
    history = finished(1.0, 1.1, 1.2, 1.3)
    add(history, [4.0], PAUSED)
    assert Asha(eta=9, risk=0.05).next(history) == Wait()


@pytest.mark.parametrize("risk", [0, 1, -0.1, "low", True])
def test_a_risk_is_a_share(risk):
    with pytest.raises(StudyError, match="asha: risk must lie between 0 and 1"):
        Asha(risk=risk)
