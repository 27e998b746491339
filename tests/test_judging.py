"""What becomes of a trial, judged from histories written by hand."""

import math

import pytest
from tests.schedulers.histories import add, begun

from greyhound import events as ev
from greyhound.errors import StudyError
from greyhound.judging import Judgement, completion, ending, judge, told_later
from greyhound.trial import TrialState, Verdict


class Saying:
    """A scheduler with this verdict, which judges again three steps later."""

    def __init__(self, verdict):
        self.verdict = verdict

    def judge(self, history, trial):
        return self.verdict

    def until(self, history, trial):
        return trial.step + 3


def judged(losses, verdict=Verdict.CONTINUE, until=3, source="test", spent=False):
    history = begun(max_steps=9)
    history.apply(ev.Started(2.0, 0, {"x": 0.5}, 1, source, "test", until=until))
    for step, loss in enumerate(losses, 1):
        history.apply(ev.Reported(3.0, 0, step, {"loss": loss} if loss is not None else {}))
    return judge(history, Saying(verdict), history.trial(0), spent)


@pytest.mark.parametrize("losses", [[1.0, 1.0, None], [None] * 5], ids=["not at this step", "never"])
def test_the_scheduler_waits_for_the_objective(losses):
    assert judged(losses, Verdict.STOP) == Judgement(Verdict.CONTINUE, until=3)
    assert judged([*losses, 1.0], Verdict.STOP) == Judgement(Verdict.STOP, TrialState.STOPPED)


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (Verdict.CONTINUE, Judgement(Verdict.CONTINUE, until=6)),
        (Verdict.PAUSE, Judgement(Verdict.PAUSE, TrialState.PAUSED)),
        (Verdict.STOP, Judgement(Verdict.STOP, TrialState.STOPPED)),
    ],
)
def test_the_scheduler_is_asked_at_the_step_up_to_which_the_trial_was_to_train(verdict, expected):
    assert judged([0.5] * 2, verdict) == Judgement(Verdict.CONTINUE, until=3)
    assert judged([0.5] * 3, verdict) == expected
    assert judged([0.5] * 3, verdict, until=None) == Judgement(Verdict.CONTINUE)
    assert judged([0.5] * 3, verdict, source="audit").verdict is Verdict.CONTINUE


def test_divergence_goes_before_the_end_and_the_end_before_a_spent_budget():
    assert judged([*[0.5] * 8, math.nan], spent=True) == Judgement(Verdict.STOP, TrialState.DIVERGED)
    assert judged([0.5] * 9, spent=True) == Judgement(Verdict.STOP, TrialState.COMPLETED)
    paused = Judgement(Verdict.PAUSE, TrialState.PAUSED, requeue="the budget was spent")
    assert judged([0.5], spent=True) == paused
    assert judged([None] * 9, until=9).end is None, "an objective is missing yet"


def test_a_lost_trial_is_put_back_up_to_three_times():
    history = begun()
    number = add(history, [0.5])
    for restart in range(4):
        ends = ending(history, 10.0 + restart, number, TrialState.LOST, {}, "killed")
        assert [event.kind for event in ends] == (["ended", "requeued"] if restart < 3 else ["ended"])
        for event in ends:
            history.apply(event)
        if restart < 3:
            history.apply(ev.Resumed(10.5 + restart, number, "test"))
    assert history.trial(number).state is TrialState.LOST


def test_a_trial_is_completed_with_what_it_is_told_besides_what_it_has():
    history = begun(losses=("loss", "size"))
    trial = history.trial(add(history, [(0.5, 3.0)]))
    assert completion(history, trial, {}) is TrialState.COMPLETED
    assert completion(history, trial, {"size": math.inf}) is TrialState.DIVERGED
    fresh = history.trial(add(history, []))
    with pytest.raises(StudyError, match="trial 1 ends without loss, an objective of the study; it has size"):
        completion(history, fresh, {"size": 2.0})


@pytest.mark.parametrize(
    ("state", "added"), [(TrialState.COMPLETED, {"size": 7.0}), (TrialState.STOPPED, {}), (TrialState.FAILED, None)]
)
def test_only_a_completed_trial_is_told_more(state, added):
    history = begun()
    trial = history.trial(add(history, [0.5], state))
    told = {"loss": 0.5, "size": 7.0}
    assert told_later(trial, TrialState.LOST, told) == {}
    if added is not None:
        assert told_later(trial, TrialState.COMPLETED, told) == added
        return
    with pytest.raises(StudyError, match="trial 0 has ended already: failed"):
        told_later(trial, TrialState.COMPLETED, told)
