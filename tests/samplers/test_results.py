"""What models learn from: unfinished trainings count as if finished, failures and broken limits behind the others."""

import numpy as np
import pytest

from greyhound import events as ev
from greyhound.history import History
from greyhound.samplers.results import results, thinned
from greyhound.settings import Settings
from greyhound.space import Float, Space
from greyhound.trial import Limit, Objective, TrialState

LINE = Space(x=Float(0.0, 1.0))


def test_unfinished_trials_count_with_the_forecast_of_their_end():
    history = begun(max_steps=3)
    for start in (10.0, 11.0, 9.0, 10.5):  # each gains 2 and then 3
        add(history, [start, start - 2.0, start - 5.0], TrialState.COMPLETED)
    add(history, [9.5], TrialState.STOPPED)
    add(history, [8.5, 6.5], None)
    told = results(history)
    assert told.known.tolist() == [0, 1, 2, 3, 4, 5]
    assert told.losses[:4].tolist() == [5.0, 6.0, 4.0, 5.5]
    assert told.losses[4:] == pytest.approx([4.5, 3.5], abs=0.2)
    assert told.ranking.tolist() == [5, 2, 4, 0, 3, 1]


def test_what_was_infinite_then_gained_nothing_that_counts():
    history = begun(max_steps=2)
    add(history, [float("inf"), 4.0], TrialState.COMPLETED)
    add(history, [3.0, 2.0], TrialState.COMPLETED)
    add(history, [float("inf"), float("inf")], TrialState.COMPLETED)
    add(history, [5.0], TrialState.STOPPED)
    told = results(history)
    assert told.losses[:2].tolist() == [4.0, 2.0]
    assert 2.0 < told.losses[2] <= 5.0


def test_one_value_is_not_moved_while_none_has_finished():
    history = begun(max_steps=3)
    add(history, [9.0], TrialState.STOPPED)
    add(history, [8.0], None)
    assert results(history).losses == pytest.approx([9.0, 8.0])


def test_larger_is_better_is_turned_round_before_it_is_moved():
    history = begun(max_steps=2, maximise=True)
    add(history, [0.5, 0.8], TrialState.COMPLETED)
    add(history, [0.6], TrialState.STOPPED)
    told = results(history)
    assert told.losses[0] == pytest.approx(-0.8)
    assert -1.0 < told.losses[1] < -0.6


def test_failures_come_last_and_count_as_the_worst():
    history = begun()
    add(history, [3.0], TrialState.COMPLETED)
    add(history, [0.5], TrialState.FAILED)
    add(history, [1.0], TrialState.COMPLETED)
    add(history, [float("nan")], TrialState.COMPLETED)
    told = results(history)
    assert told.known.tolist() == told.feasible.tolist() == [0, 2]
    assert told.failed.tolist() == [1, 3]
    assert told.ranking.tolist() == [2, 0, 1, 3]
    assert told.costs.tolist() == [3.0, 3.0, 1.0, 3.0]


def test_where_all_failed_they_cost_the_same():
    history = begun()
    for _ in range(2):
        add(history, [], TrialState.OUT_OF_MEMORY)
    told = results(history)
    assert (told.known.tolist(), told.ranking.tolist(), told.costs.tolist()) == ([], [0, 1], [0.0, 0.0])


def test_what_runs_or_waits_is_pending_until_it_has_a_value():
    history = begun()
    add(history, [], None)
    add(history, [2.0], None)
    add(history, [], TrialState.PAUSED)
    told = results(history)
    assert told.pending.tolist() == [0, 2]
    assert told.known.tolist() == told.ranking.tolist() == [1]
    assert np.isnan(told.costs).tolist() == [True, False, True]


def test_ties_are_in_order_of_age():
    history = begun()
    for loss in (1.0, 0.0, 1.0, 0.0):
        add(history, [loss], TrialState.COMPLETED)
    assert results(history).ranking.tolist() == [1, 3, 0, 2]


def test_what_breaks_a_limit_comes_behind_all_that_keep_to_it_by_how_much():
    history = begun(limits=(Limit("size", 10.0, upper=True),))
    for loss, size in ((5.0, 5.0), (0.0, 20.0), (3.0, 10.0), (1.0, 11.0), (2.0, None)):
        add(history, [loss], TrialState.COMPLETED, **({} if size is None else {"size": size}))
    add(history, [], TrialState.FAILED)
    told = results(history)
    assert told.losses.tolist() == [5.0, 0.0, 3.0, 1.0, 2.0], "losses are left as they are"
    assert told.feasible.tolist() == [0, 2, 4], "a limit on what was not measured is not broken"
    assert told.failed.tolist() == [1, 3, 5]
    assert told.ranking.tolist() == [4, 2, 0, 3, 1, 5]
    assert np.all(np.diff(told.costs[told.ranking][:5]) > 0), "the order of costs is that of the ranking"
    assert told.costs[[3, 1]].tolist() == [6.5, 8.0], "in steps over the span of the others"


def test_without_trials_there_is_nothing():
    told = results(begun())
    assert [len(part) for part in (told.known, told.pending, told.failed, told.ranking, told.costs)] == [0] * 5


def test_many_are_thinned_evenly():
    assert thinned(np.arange(9), 5).tolist() == [0, 2, 4, 6, 8]
    assert thinned(np.arange(3), 5).tolist() == [0, 1, 2]


def begun(limits=(), max_steps=None, maximise=False):
    settings = Settings(
        objectives=(Objective("loss", maximise),), limits=limits, space=LINE, seed=0, max_steps=max_steps
    )
    return History.of([ev.Declared(1.0, settings.to_json()), ev.Joined(1.0, "test", "host", 1, 1.0)])


def add(history, losses, state, **metrics):
    """A trial that reported losses, step by step, and is in the state; None while it runs."""
    number = len(history)
    history.apply(ev.Started(2.0 + number, number, {"x": 0.1 * number}, 1, "test", "test"))
    for at, loss in enumerate(losses):
        history.apply(ev.Reported(2.1 + number, number, at + 1, {"loss": loss}))
    if state is not None:
        history.apply(ev.Ended(2.5 + number, number, state, metrics, "test"))


def test_several_objectives_become_one_number_of_which_the_better_front_has_the_lower():
    settings = Settings(
        objectives=(Objective("a", False), Objective("b", True)), limits=(Limit("c", 1.0),), space=LINE, seed=0
    )
    history = History.of([ev.Declared(1.0, settings.to_json()), ev.Joined(1.0, "test", "host", 1, 1.0)])
    told = [
        (2.0, 5.0, 0.0),
        (1.0, 1.0, 0.0),
        (3.0, 4.0, 0.0),
        (0.0, 9.0, 2.0),
        (0.0, 9.0, 3.0),
        (1.0, float("nan"), 0.0),
    ]
    for number, (a, b, c) in enumerate(told):
        history.apply(ev.Started(2.0, number, {"x": 0.5}, 1, "test", "test"))
        history.apply(ev.Ended(3.0, number, TrialState.COMPLETED, {"a": a, "b": b, "c": c}, "test"))
    found = results(history)
    assert found.values[:2].tolist() == [[2.0, -5.0], [1.0, -1.0]]
    assert found.known.tolist() == [0, 1, 2, 3, 4]
    assert sorted(found.ranking[:2].tolist()) == [0, 1]
    assert found.ranking[2:].tolist() == [2, 3, 4, 5]
    assert (np.diff(found.costs[found.ranking]) >= 0).all()
    assert found.feasible.tolist() == [0, 1, 2]
