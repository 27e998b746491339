"""The median stopping rule: best so far against the median of the finished trials' means."""

import pytest
from tests.schedulers.histories import add, add_replicates, begun

from greyhound.budget import Budget
from greyhound.errors import StudyError
from greyhound.schedulers import Resume, Start, Wait
from greyhound.schedulers.median import Median
from greyhound.trial import Limit, TrialState, Verdict

COMPLETED, PAUSED = TrialState.COMPLETED, TrialState.PAUSED


def judged(curve, rule, done=((4.0, 2.0), (6.0, 4.0), (9.0, 5.0)), **settings):
    """The verdict on a trial beside three that finished, whose means over two steps are 3, 5 and 7."""
    history = begun(max_steps=2, **settings)
    for each in done:
        add(history, list(each), COMPLETED)
    number = add(history, curve)
    return rule.judge(history, history.trial(number))


def test_the_best_so_far_is_held_against_the_median_of_the_means():
    rule = Median(min_trials=3)
    assert judged([9.0, 5.1], rule) is Verdict.STOP
    assert judged([9.0, 5.0], rule) is Verdict.CONTINUE, "strictly worse"
    assert judged([4.9, 9.0], rule) is Verdict.CONTINUE, "its best value counts, not its last"


def test_replicates_of_the_finals_are_none_of_those_that_finished():
    history = begun(max_steps=2)
    for each in ((4.0, 2.0), (6.0, 4.0), (9.0, 5.0)):
        add(history, list(each), COMPLETED)
    add_replicates(history, 0, 5, [4.0, 2.0])
    number = add(history, [4.5, 4.5])
    assert Median(min_trials=3).judge(history, history.trial(number)) is Verdict.CONTINUE, "the median's mean is 5"
    assert Median(min_trials=4).judge(history, history.trial(number)) is Verdict.CONTINUE, "three have finished"


def test_losses_near_the_largest_float_are_borne():
    done = ((1.0e308, 1.2e308), (1.3e308, 1.5e308), (1.6e308, 1.7e308))
    assert judged([1.7e308, 1.5e308], Median(min_trials=3), done) is Verdict.STOP
    assert judged([1.7e308, 1.3e308], Median(min_trials=3), done) is Verdict.CONTINUE


def test_only_as_many_steps_as_it_has_are_compared():
    rule = Median(min_trials=3)
    assert judged([6.1], rule) is Verdict.STOP, "the first values were 4, 6 and 9"
    assert judged([5.9], rule) is Verdict.CONTINUE


def test_nobody_is_stopped_before_enough_have_finished():
    assert judged([99.0, 99.0], Median()) is Verdict.CONTINUE
    assert judged([99.0, 99.0], Median(min_trials=4)) is Verdict.CONTINUE


def test_with_several_objectives_it_has_to_be_in_the_better_half():
    done = (((1.0, 3.0),), ((2.0, 2.0),), ((3.0, 1.0),))
    rule = Median(min_trials=3)
    options = {"done": done, "losses": ("loss", "size")}
    assert judged([(4.0, 4.0)], rule, **options) is Verdict.STOP
    assert judged([(1.0, 1.0)], rule, **options) is Verdict.CONTINUE


def test_limits_come_before_losses():
    """Of three that finished two kept to the limit at both steps; one broke it at the first."""
    rule = Median(min_trials=3)
    done = [[{"loss": loss, "ms": ms}] * 2 for loss, ms in ((4.0, 1.0), (6.0, 5.0), (0.0, 9.0))]
    options = {"done": done, "limits": (Limit("ms", 5.0),)}
    assert judged([{"loss": 0.1, "ms": 6.0}], rule, **options) is Verdict.STOP
    assert judged([{"loss": 4.9, "ms": 5.0}], rule, **options) is Verdict.CONTINUE, "the median of those that kept is 5"
    assert judged([{"loss": 5.1, "ms": 5.0}], rule, **options) is Verdict.STOP
    done = [[{"loss": 1.0, "ms": ms}, {"loss": 1.0, "ms": 1.0}] for ms in (6.0, 7.0, 8.0)]
    options = {"done": done, "limits": (Limit("ms", 5.0),)}
    assert judged([{"loss": 9.0, "ms": 6.5}], rule, **options) is Verdict.CONTINUE, "those broke it at that step too"
    assert judged([{"loss": 0.0, "ms": 7.5}], rule, **options) is Verdict.STOP


def test_it_judges_at_every_interval_from_the_first_on():
    history = begun(max_steps=50)
    assert Median().until(history, None) == 5, "a tenth of max_steps"
    rule = Median(min_steps=8, interval=4)
    assert rule.until(history, None) == 8
    number = add(history, [1.0] * 9)
    assert rule.until(history, history.trial(number)) == 12
    number = add(history, [1.0] * 49)
    assert rule.until(history, history.trial(number)) == 50, "never behind the end"
    assert Median().until(begun(max_steps=None), None) == 1


def test_with_a_risk_who_may_still_win_is_paused_and_goes_on_at_the_end():
    near = ((4.0, 2.0), (6.0, 4.0), (9.0, 5.0))  # gains of 2, 2 and 4
    rule = Median(min_trials=3, risk=0.05)
    assert judged([6.1], rule, near) is Verdict.PAUSE
    assert judged([60.0], rule, near) is Verdict.STOP
    history = begun(max_steps=2, budget=Budget(trials=5))
    for each in near:
        add(history, list(each), COMPLETED)
    number = add(history, [6.1], PAUSED)
    assert rule.next(history) == Start(), "new configurations first"
    add(history, [60.0], PAUSED)
    assert rule.next(history) == Resume(number)
    assert Median().next(history) == Wait()


@pytest.mark.parametrize("options", [{"min_trials": 0}, {"interval": 0}, {"min_steps": 1.5}, {"risk": 2}])
def test_wrong_options_are_told(options):
    with pytest.raises(StudyError, match=f"median: {next(iter(options))} must"):
        Median(**options)
