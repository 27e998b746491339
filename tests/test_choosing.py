"""What is trained next, from histories written by hand: who comes first, and until when."""

import numpy as np
import pytest
from tests.schedulers.histories import add, begun
from threadpoolctl import threadpool_info, threadpool_limits

from greyhound import events as ev
from greyhound.budget import Budget
from greyhound.choosing import New, Suggestions, choose, claim, why_finished
from greyhound.samplers.grid import Grid
from greyhound.samplers.random import Random
from greyhound.schedulers import Resume, Start, Stop, Wait
from greyhound.schedulers.full import Full
from greyhound.space import Bool, Float, Space
from greyhound.study import Study
from greyhound.trial import TrialState

DEFAULTS = Space(x=Float(0.0, 1.0, default=0.25))


class Wanting:
    """A scheduler that wants these actions, one after another, and judges at step 3."""

    def __init__(self, *actions):
        self.actions = list(actions)

    def next(self, history):
        return self.actions.pop(0)

    def until(self, history, trial):
        return 3


def chosen(history, *actions, suggested=None, spent=False):
    return choose(history, history.settings, Wanting(*actions), lambda: suggested, spent)


def test_finals_then_trials_put_back_then_the_default_then_the_queue_then_the_scheduler():
    history = begun(space=DEFAULTS)
    order = []
    history.apply(ev.Enqueued(1.5, {"x": 0.5}))
    order.append(chosen(history, Start(), suggested={"x": 0.9}))
    first = add(history, [0.5], TrialState.COMPLETED, params={"x": 0.25})
    order.append(chosen(history, Start(), suggested={"x": 0.9}))
    history.apply(ev.Started(3.0, 1, {"x": 0.5}, 1, "enqueued", "test", ticket=0))
    order.append(chosen(history, Start(), suggested={"x": 0.9}))
    history.apply(ev.Requeued(4.0, 1, "interrupted"))
    history.apply(ev.Enqueued(4.0, {"x": 0.6}))
    order.append(chosen(history))
    history.apply(ev.Enqueued(5.0, {"x": 0.25}, 77, first))
    order.append(chosen(history))
    assert order == [
        New({"x": 0.25}, "default"),
        New({"x": 0.5}, "enqueued", ticket=0),
        New({"x": 0.9}, "auto"),
        Resume(1),
        New({"x": 0.25}, "finals", ticket=2, seed=77),
    ]


def test_a_spent_budget_leaves_only_finals():
    history = begun()
    first = add(history, [0.5], TrialState.COMPLETED)
    history.apply(ev.Enqueued(4.0, {"x": 0.6}))
    assert chosen(history, spent=True) is None
    history.apply(ev.Enqueued(5.0, {"x": 0.5}, 77, first))
    assert chosen(history, spent=True) == New({"x": 0.5}, "finals", ticket=1, seed=77)


def test_what_was_put_back_goes_on_where_the_budget_has_no_room_for_another_trial():
    history = begun(budget=Budget(trials=1))
    number = add(history, [0.5], TrialState.PAUSED)
    history.apply(ev.Requeued(4.0, number, "interrupted"))
    assert not history.can_start
    assert why_finished(history, history.settings, Wanting(), None) is None
    assert chosen(history) == Resume(number)


def test_of_what_was_put_back_the_oldest_goes_first():
    history = begun()
    first, second = (add(history, [0.5], TrialState.PAUSED) for _ in range(2))
    for number in (second, first):
        history.apply(ev.Requeued(5.0, number, "interrupted"))
    assert chosen(history) == Resume(first)


def test_a_study_is_not_finished_while_finals_are_open_though_its_budget_is_spent():
    history = begun()
    first = add(history, [0.5], TrialState.COMPLETED)
    history.apply(ev.Enqueued(4.0, {"x": 0.5}, 77, first))
    assert why_finished(history, history.settings, Wanting(), "it is late") is None
    history.apply(ev.Started(5.0, 1, {"x": 0.5}, 77, "finals", "test", ticket=0))
    assert why_finished(history, history.settings, Wanting(), "it is late") is None
    history.apply(ev.Ended(6.0, 1, TrialState.COMPLETED, {"loss": 0.5}, "test"))
    assert why_finished(history, history.settings, Wanting(), "it is late") == "it is late"


def test_the_schedulers_own_configuration_needs_no_sampler():
    own = Start({"x": 0.1}, parent=0, step=4)
    assert chosen(begun(), own) == New({"x": 0.1}, "freeze_thaw", parent=0, step=4)


def test_where_the_sampler_has_no_more_the_scheduler_is_asked_for_what_it_would_resume():
    history = begun()
    paused = add(history, [0.5], TrialState.PAUSED)
    assert chosen(history, Start(), Resume(paused)) == Resume(paused)
    assert history.exhausted
    assert chosen(history, Wait()) is None
    assert chosen(history, Stop(paused)) == Stop(paused)


def test_a_space_that_was_tried_whole_and_a_budget_of_trials_end_a_study_each_in_its_words():
    history = begun(space=Space(on=Bool()), sampler="grid", scheduler="none")
    suggestions = Suggestions()
    for _ in range(2):
        add(history, [0.5], TrialState.COMPLETED, params=suggestions.take(history, Grid()))
    assert why_finished(history, history.settings, Full(), None) is None
    assert chosen(history, Start(), Wait(), suggested=suggestions.take(history, Grid())) is None
    assert why_finished(history, history.settings, Full(), None) == "every configuration that grid has was tried"
    assert why_finished(history, history.settings, Full(), "it is late") == "it is late"


def test_a_study_ends_though_more_was_enqueued_than_the_budget_has_room_for():
    study = Study(Space(x=Float(0.0, 1.0)), minimize="loss", scheduler="none", budget=2)
    for place in (0.1, 0.2, 0.3):
        study.enqueue({"x": place})
    for place in (0.1, 0.2):
        trial = study.ask()
        assert trial.params == {"x": place}
        study.tell(trial, loss=1.0)
    assert study.ask() is None
    assert study.why_finished == "the budget of 2 trials is used up"
    study.extend("1 trial")
    assert study.ask().params == {"x": 0.3}


def test_what_is_enqueued_after_a_space_was_tried_whole_is_tried_again():
    study = Study(Space(on=Bool()), minimize="loss", sampler="random", scheduler="none", budget=10)
    while (trial := study.ask()) is not None:
        study.tell(trial, loss=1.0)
    assert study.finished
    study.enqueue({"on": True})
    assert not study.finished
    study.tell(study.ask(), loss=1.0)
    assert study.ask() is None
    assert [trial.params["on"] for trial in study.trials[2:]] == [True]
    assert study.why_finished == "every configuration that random has was tried"


class Counting(Random):
    """Random, and how often it was asked."""

    asked = 0

    def suggest(self, history, count, rng):
        Counting.asked += 1
        return super().suggest(history, count, rng)


def test_what_was_computed_ahead_is_taken_once():
    history, suggestions, sampler = begun(), Suggestions(), Counting()
    before = Counting.asked
    suggestions.prepare(history, sampler)
    suggestions.prepare(history, sampler)
    assert Counting.asked == before + 1
    ahead = suggestions.take(history, sampler)
    assert Counting.asked == before + 1
    assert suggestions.take(history, sampler) == ahead, "it is a function of the history"
    assert Counting.asked == before + 2


def test_what_was_computed_ahead_of_another_trial_is_not_taken_after_it():
    history, suggestions, sampler = begun(), Suggestions(), Random()
    suggestions.prepare(history, sampler)
    ahead = Suggestions().take(history, sampler)
    add(history, [0.5])
    assert suggestions.take(history, sampler) == Suggestions().take(history, sampler) != ahead


def test_nothing_is_computed_ahead_of_what_waits():
    history = begun()
    history.apply(ev.Enqueued(4.0, {"x": 0.6}))
    before = Counting.asked
    Suggestions().prepare(history, Counting())
    assert Counting.asked == before


@pytest.mark.parametrize(("source", "until"), [("default", 9), ("finals", 9), ("audit", 9), ("enqueued", 3)])
def test_some_are_trained_in_full_whatever_the_scheduler_says(source, until):
    history = begun()
    assert claim(history, Wanting(), New({"x": 0.5}, source), "me", 2.0).until == until
    history.apply(ev.Started(2.0, 0, {"x": 0.5}, 1, source, "me", until=until))
    assert claim(history, Wanting(), Resume(0), "me", 3.0) == ev.Resumed(3.0, 0, "me", until)


def test_an_interrupted_trial_goes_on_to_where_it_was_to_be_judged():
    history = begun()
    history.apply(ev.Started(2.0, 0, {"x": 0.5}, 1, "test", "test", until=7))
    history.apply(ev.Reported(3.0, 0, 5, {"loss": 0.5}))
    assert claim(history, Wanting(), Resume(0), "me", 4.0).until == 7


def test_a_grid_that_waits_for_results_is_not_at_its_end():
    grid = Grid(levels=3, refine=True)
    study = Study(Space(x=Float(0.0, 1.0)), minimize="loss", sampler=grid, scheduler="none", budget=20)
    first = [study.ask() for _ in range(3)]
    study.prepare()
    assert study.ask() is None
    assert not study.finished, "it waits for the trials that run"
    study.prepare()
    study.tell(first[0], loss=0.5)
    finer = study.ask()
    assert finer.params["x"] not in [trial.params["x"] for trial in first]
    for trial in (*first[1:], finer):
        study.tell(trial, loss=1.0)
    while (trial := study.ask()) is not None:
        study.tell(trial, loss=(trial.params["x"] - 0.3) ** 2)
    assert study.why_finished == "the budget of 20 trials is used up"


def test_that_a_sampler_had_none_ahead_of_a_result_does_not_end_the_study_after_it():
    study = Study(Space(x=Float(0.0, 1.0)), minimize="loss", sampler=Grid(levels=3, refine=True), scheduler="none")
    first = [study.ask() for _ in range(3)]
    study.prepare()
    for trial in first:
        study.tell(trial, loss=trial.params["x"])
    assert study.ask().params["x"] not in {trial.params["x"] for trial in first}


class Threaded(Random):
    """Draws at random, and notes how many threads linear algebra has meanwhile."""

    threads = None

    def suggest(self, history, count, rng):
        np.linalg.eigh(np.eye(2))
        Threaded.threads = max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
        return super().suggest(history, count, rng)


def test_a_sampler_leaves_the_other_cores_to_the_trainings():
    with threadpool_limits(2):
        Suggestions().take(begun(space=DEFAULTS), Threaded())
    assert Threaded.threads == 1
