"""Racing: who leads, and by how much a trial must be behind on the same replicates to be paused."""

import pytest
from tests.schedulers.histories import add, add_replicates, begun

from greyhound.schedulers.racing import Racing
from greyhound.trial import TrialState, Verdict

COMPLETED = TrialState.COMPLETED


def judged(mean, finished, risk=0.05, **options):
    """The verdict on a trial that told this mean after one replicate of two, beside these finished ones."""
    history = begun(max_steps=2, **options)
    for curve in finished:
        add(history, list(curve), COMPLETED)
    return Racing(risk=risk).judge(history, history.trial(add(history, [mean])))


def test_the_bound_is_students_t_of_the_noise_that_is_left_when_trials_and_folds_are_taken_out():
    # Folds of (0, 2), (1, 5): after each trial's and each fold's mean are taken out ±0.5 stays, on one degree of
    # freedom. So the variance is 1, and t(0.95) of one degree is 6.3138: the bound is that times the root of 2.
    finished = ((0.0, 1.0), (1.0, 3.0))
    assert judged(8.92, finished) is Verdict.CONTINUE
    assert judged(8.94, finished) is Verdict.PAUSE
    assert judged(1.42, finished, risk=0.25) is Verdict.PAUSE, "t(0.75) of one degree is 1"
    assert judged(1.41, finished, risk=0.25) is Verdict.CONTINUE


def test_the_leader_is_the_best_over_all_replicates_and_a_trial_is_held_against_what_it_was_at_the_same():
    finished = ((5.0, 1.0), (1.0, 3.0))  # folds of (5, -3), (1, 5): ±3 stays, so the variance is 36
    bound = 6.0 * 2**0.5
    assert judged(5.0 + bound - 0.01, finished, risk=0.25) is Verdict.CONTINUE
    assert judged(5.0 + bound + 0.01, finished, risk=0.25) is Verdict.PAUSE


def test_replicates_of_the_finals_neither_lead_nor_tell_the_noise():
    history = begun(max_steps=2)
    best = add(history, [0.0, 1.0], COMPLETED)
    add_replicates(history, best, 4, [-9.0, -9.0])
    assert Racing().judge(history, history.trial(add(history, [99.0]))) is Verdict.CONTINUE, "one has seen all"
    add(history, [1.0, 3.0], COMPLETED)
    assert Racing(risk=0.25).judge(history, history.trial(add(history, [1.41]))) is Verdict.CONTINUE
    assert Racing(risk=0.25).judge(history, history.trial(add(history, [1.42]))) is Verdict.PAUSE


@pytest.mark.parametrize(("fewest", "step"), [(1, 1), (3, 3), (9, 4)])
def test_the_first_look_is_after_the_fewest_replicates_and_the_last_at_the_end(fewest, step):
    assert Racing(fewest=fewest).until(begun(max_steps=4), None) == step
