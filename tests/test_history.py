"""The fold: incremental as from the start, first claims hold, nothing is counted twice."""

import math
import pickle
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greyhound import events as ev
from greyhound.events import dump, load
from greyhound.history import History
from greyhound.settings import Settings
from greyhound.space import Categorical, Float, Int, Space
from greyhound.trial import Limit, Objective, TrialState

SPACE = Space(
    lr=Float(1e-5, 1e-1, log=True),
    optimizer=Categorical(["sgd", "adam"]),
    momentum=Float(0.0, 0.9, when={"optimizer": "sgd"}),
)
SETTINGS = Settings(
    objectives=(Objective("accuracy", True),),
    space=SPACE,
    limits=(Limit("latency", 5.0),),
    max_steps=9,
)
SGD = {"lr": 1e-3, "optimizer": "sgd", "momentum": 0.45}
ADAM = {"lr": 1e-1, "optimizer": "adam"}
BEGIN = [
    ev.Declared(1.0, SETTINGS.to_json()),
    ev.Joined(1.0, "a", "host", 1, 0.0),
    ev.Joined(1.0, "b", "host", 2, 0.0),
]
NAMED = [ev.Declared(1.0, replace(SETTINGS, space=None).to_json()), *BEGIN[1:]]
"""The same where the trainings name their parameters themselves."""


def started(number, params=ADAM, owner="a", time=2.0, **more):
    return ev.Started(time, number, params, 7, "random", owner, **more)


def ended(number, state=TrialState.COMPLETED, owner="a", time=3.0, **metrics):
    return ev.Ended(time, number, state, metrics, owner, None, 1.0)


numbers = st.integers(0, 3)
owners = st.sampled_from(["a", "b"])
metrics = st.dictionaries(st.sampled_from(["accuracy", "latency"]), st.floats(width=16), max_size=2)
anything = st.one_of(
    st.builds(
        started,
        numbers,
        st.sampled_from([SGD, ADAM]),
        owners,
        until=st.integers(1, 9),
        ticket=st.none() | st.integers(0, 1),
    ),
    st.builds(started, numbers, st.just(ADAM), owners, parent=st.integers(0, 2), step=st.integers(1, 4)),
    st.builds(ev.Resumed, st.just(2.0), numbers, owners, st.integers(1, 9)),
    st.builds(ev.Continued, st.just(2.0), numbers, st.integers(1, 9)),
    st.builds(ev.Reported, st.floats(2.0, 5.0), numbers, st.integers(0, 9), metrics),
    st.builds(ev.Ended, st.just(3.0), numbers, st.sampled_from(TrialState), metrics, owners),
    st.builds(ev.Requeued, st.just(3.0), numbers, st.just("why")),
    st.builds(ev.Noted, st.just(3.0), numbers, st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)),
    st.builds(ev.Constrained, st.just(3.0), numbers, st.sampled_from(["a", "b"]), st.floats(-1.0, 1.0, width=16)),
    st.builds(ev.Enqueued, st.just(2.0), st.sampled_from([SGD, ADAM])),
    st.builds(ev.Left, st.just(4.0), owners),
    st.builds(ev.Beat, st.just(4.0), owners),
)


def state_of(history):
    return repr(
        (
            [asdict(trial) for trial in history.trials],
            history.total_steps,
            history.total_seconds,
            history.active_seconds,
            list(history.queue),
            history.first_queued,
            {state: history.numbers(state) for state in TrialState},
            [
                np.asarray(getattr(history, name)).tolist()
                for name in ("X", "active", "losses", "violations", "steps", "seconds", "failed")
            ],
            [list(history.losses_at(step)) for step in (1, 3, 9)],
        )
    )


named = st.sampled_from(
    [("x", 0.5, Float(0.0, 1.0)), ("x", 3.0, Float(0.0, 4.0)), ("x", 1, Int(1, 2)), ("y", 2, Int(1, 2))]
)
suggested = st.builds(
    lambda number, told, again: ev.Suggested(3.0, number, *told[:2], {} if again else told[2].to_dict()),
    numbers,
    named,
    st.booleans(),
)
widened = ev.Declared(3.0, replace(SETTINGS, space=Space({**SPACE.parameters, "n": Int(1, 8, default=3)})).to_json())


@pytest.mark.parametrize(("begin", "more"), [(BEGIN, st.just(widened)), (NAMED, suggested)], ids=["declared", "named"])
@given(data=st.data())
def test_folding_in_pieces_equals_folding_from_the_start(begin, more, data):
    begin = [*begin, started(0, SGD), started(1, ADAM)]
    events = data.draw(st.lists(anything | more, max_size=40))
    whole = History.of([*begin, *events])
    pieces = History.of(begin)
    for event in events:
        pieces.apply(event)
        if data.draw(st.booleans()):
            state_of(pieces)  # what is read on the way must not change what comes
    assert state_of(pieces) == state_of(whole)


@given(st.lists(anything, max_size=30))
def test_folding_what_was_written_equals_folding_what_happened(events):
    events = [*BEGIN, *events]
    assert state_of(History.of([load(event.kind, dump(event)) for event in events])) == state_of(History.of(events))


@given(st.lists(anything, max_size=40))
def test_every_interleaving_keeps_the_books_right(events):
    history = History.of([*BEGIN, *events])
    assert [trial.number for trial in history.trials] == list(range(len(history)))
    assert sum(history.count(state) for state in TrialState) == len(history)
    assert history.total_steps == sum(trial.step - trial.begin for trial in history.trials)
    for trial in history.trials:
        steps = [report.step for report in trial.reports]
        assert steps == sorted(set(steps)), "no step is counted twice"


def test_first_claim_of_a_number_holds():
    history = History.of([*BEGIN, started(0, SGD, "a"), started(0, ADAM, "b")])
    assert [(trial.params, trial.owner) for trial in history.trials] == [(SGD, "a")]


def test_first_claim_of_a_paused_trial_and_of_a_ticket_holds():
    pause = ended(0, TrialState.PAUSED)
    history = History.of([*BEGIN, started(0), pause, ev.Resumed(4.0, 0, "b", 9), ev.Resumed(4.0, 0, "a", 9)])
    assert history.trial(0).owner == "b"
    history = History.of(
        [*BEGIN, ev.Enqueued(1.5, SGD), started(0, SGD, "a", ticket=0), started(1, SGD, "b", ticket=0)]
    )
    assert len(history) == 1
    assert not history.queue


@given(st.lists(anything, max_size=40))
def test_the_queue_is_what_was_asked_for_and_nobody_took(events):
    history, asked, taken = History.of(BEGIN), [], set()
    for event in events:
        first = isinstance(event, ev.Started) and event.trial == len(history)
        if first and event.ticket is not None and event.ticket not in taken:
            taken.add(event.ticket)
        if isinstance(event, ev.Enqueued):
            asked.append(event.params)
        history.apply(event)
        waiting = [(at, params) for at, params in enumerate(asked) if at not in taken]
        assert list(history.queue) == waiting
        assert history.first_queued == next(iter(waiting), None)


def test_what_is_asked_for_is_held_against_what_has_the_same_place_alone():
    class Place(int):
        compared = 0

        def __eq__(self, other):
            Place.compared += 1
            return int(self) == other

        __hash__ = int.__hash__

    asked = [ev.Enqueued(1.0, {**ADAM, "lr": 1e-5 * at}, place=Place(at)) for at in range(1, 301)]
    again = [replace(event, place=Place(event.place)) for event in asked]
    history = History.of([*BEGIN, *asked, *again])
    assert [params for _, params in history.queue] == [event.params for event in asked]
    assert Place.compared <= 8 * len(asked), "not with each before it"


def test_who_starts_from_a_parent_counts_only_what_it_trained_itself():
    reports = [ev.Reported(2.5, 0, step, {"accuracy": 0.1 * step}) for step in (1, 2, 3)]
    history = History.of([*BEGIN, started(0), *reports, started(1, SGD, parent=0, step=3)])
    child = history.trial(1)
    assert (child.parent, child.begin, child.step, child.metrics, history.total_steps) == (0, 3, 3, {}, 3)
    assert math.isnan(history.losses_at(3)[1]), "what its parent had is not its own"
    history.apply(ev.Reported(3.0, 1, 3, {"accuracy": 0.9}))
    history.apply(ev.Reported(3.0, 1, 4, {"accuracy": 0.5}))
    assert history.total_steps == 4
    assert [history.losses_at(step)[1] for step in (4,)] == [-0.5]
    assert math.isnan(history.losses_at(2)[1])
    assert math.isnan(History.of([*BEGIN, started(0), *reports, started(1, SGD, parent=0, step=3)]).losses_at(1)[1])


def test_a_step_is_counted_the_first_time():
    reports = [
        ev.Reported(3.0, 0, 2, {"accuracy": 0.5}),
        ev.Reported(4.0, 0, 2, {"accuracy": 0.9}),
        ev.Reported(5.0, 0, 1, {}),
    ]
    trial = History.of([*BEGIN, started(0), *reports]).trial(0)
    assert (trial.step, trial.metrics, len(trial.reports)) == (2, {"accuracy": 0.5}, 1)


def test_a_step_zero_counts_as_a_report_but_not_as_training():
    history = History.of([*BEGIN, started(0), ev.Reported(3.0, 0, 0, {"accuracy": 0.1})])
    assert history.curve(0, "accuracy") == ([0], [0.1])
    assert history.total_steps == 0


def test_the_end_of_a_run_by_a_process_that_lost_the_trial_is_void():
    events = [
        started(0),
        ev.Requeued(3.0, 0, "its process died"),
        ev.Resumed(4.0, 0, "b", 9),
        ended(0, owner="a", accuracy=0.9),
    ]
    assert History.of([*BEGIN, *events]).trial(0).state is TrialState.RUNNING


@pytest.mark.parametrize(
    "late",
    [
        ev.Reported(9.0, 0, 5, {"accuracy": 0.9}),
        ended(0, TrialState.FAILED, time=9.0, accuracy=0.9),
        ended(0, TrialState.PAUSED, time=9.0, accuracy=0.9),
        ended(0, owner="b", time=9.0, accuracy=0.9),
        ev.Resumed(9.0, 0, "b", 9),
        ev.Requeued(9.0, 0, "its process died", "a"),
        ev.Requeued(9.0, 0, "retried"),
    ],
)
def test_what_was_completed_stays_so_whatever_is_written_of_it_late(late):
    events = [*BEGIN, started(0), ev.Reported(2.5, 0, 3, {"accuracy": 0.5}), ended(0, accuracy=0.5)]
    assert state_of(History.of([*events, late])) == state_of(History.of([*events, ev.Beat(9.0, "a")]))


def test_columns_hold_encodings_losses_and_violations():
    events = [
        started(0, SGD), ended(0, accuracy=0.8, latency=4.0),
        started(1, ADAM), ended(1, accuracy=0.6, latency=7.5),
        started(2, ADAM), ended(2, TrialState.FAILED, accuracy=0.7),
        started(3, ADAM),
    ]  # fmt: skip
    history = History.of([*BEGIN, *events])
    assert history.X.shape == (4, 3)
    np.testing.assert_allclose(history.X[0], [0.5, 0.25, 0.5])
    np.testing.assert_allclose(history.X[1], [1.0, 0.75, 0.5])
    assert history.active.tolist() == [[True, True, True], *[[True, True, False]] * 3]
    np.testing.assert_array_equal(history.losses[:, 0], [-0.8, -0.6, math.nan, math.nan])
    np.testing.assert_array_equal(history.violations[:, 0], [0.0, 2.5, math.nan, math.nan])
    assert history.failed.tolist() == [False, False, True, False]


def test_columns_that_were_read_take_in_what_is_told_later():
    x = Float(0.0, 1.0).to_dict()
    first = [ev.Suggested(2.0, 0, "x", 0.5, x), ev.Constrained(2.0, 0, "size", 3.0)]
    history = History.of([*NAMED, started(0), started(1), *first])
    assert (history.X[:, 0].tolist(), history.violations[0].tolist()) == ([0.5, 0.5], [_NaN(), 3.0])
    for event in (ev.Suggested(3.0, 1, "x", 1.0, x), ev.Constrained(3.0, 0, "size", -1.0)):
        history.apply(event)
    assert (history.X[:, 0].tolist(), history.violations[0].tolist()) == ([0.5, 1.0], [_NaN(), 0.0])


def test_losses_at_a_step_are_those_first_reported_there_or_later():
    reports = [ev.Reported(3.0, 0, step, {"accuracy": value}) for step, value in ((1, 0.1), (4, 0.4), (5, math.nan))]
    history = History.of([*BEGIN, started(0), started(1)])
    history.losses_at(3)
    for report in reports:
        history.apply(report)
    assert [list(history.losses_at(step)) for step in (1, 3, 5)] == [
        [-0.1, _NaN()], [-0.4, _NaN()], [math.inf, _NaN()],
    ]  # fmt: skip


def watched(step, reports):
    """The history of a trial whose losses at `step` were looked at before it reported."""
    history = History.of([*BEGIN, started(0)])
    history.losses_at(step)
    for report in reports:
        history.apply(report)
    return history


def test_an_objective_counts_where_it_is_first_told():
    reports = [
        ev.Reported(3.0, 0, 3, {"loss": 5.0}),
        ev.Reported(3.0, 0, 4, {"loss": 4.0, "accuracy": 0.4}),
        ev.Reported(3.0, 0, 5, {"accuracy": 0.5}),
    ]
    history = watched(3, reports)
    assert [history.losses_at(step)[0] for step in (3, 5, 6)] == [-0.4, -0.5, _NaN()]
    assert list(History.of([*BEGIN, started(0), *reports]).losses_at(3)) == [-0.4]


def test_a_step_may_be_told_in_parts():
    reports = [
        ev.Reported(3.0, 0, 2, {"loss": 1.0}),
        ev.Reported(4.0, 0, 2, {"loss": 9.0, "accuracy": 0.9}),
        ev.Reported(5.0, 0, 2, {"accuracy": 0.1}),
    ]
    history = watched(2, reports)
    trial = history.trial(0)
    assert trial.metrics == {"loss": 1.0, "accuracy": 0.9}, "what was told first holds"
    assert (trial.step, len(trial.reports), history.total_steps) == (2, 1, 2)
    assert list(history.losses_at(2)) == [-0.9]


def test_a_record_keeps_the_reports_that_it_was_made_with():
    first, part, rest, second = (
        ev.Reported(2.0, 0, 1, {"accuracy": 0.5}),
        ev.Reported(2.5, 0, 2, {"accuracy": 0.6}),
        ev.Reported(2.6, 0, 2, {"latency": 4.0}),
        ev.Reported(3.0, 0, 3, {"accuracy": 0.7}),
    )
    history = History.of([*BEGIN, started(0), first, part])
    early = history.trial(0)
    history.apply(rest)
    history.apply(second)
    assert early.reports == (first, part)
    assert [list(early.reports), early.reports[1:], early.reports[-1]] == [[first, part], (part,), part]
    assert list(reversed(early.reports)) == [part, first]
    assert pickle.loads(pickle.dumps(early)) == early
    with pytest.raises(IndexError):
        early.reports[2]
    assert [report.metrics for report in history.trial(0).reports] == [
        {"accuracy": 0.5},
        {"accuracy": 0.6, "latency": 4.0},
        {"accuracy": 0.7},
    ]


def test_a_record_takes_no_more_room_after_many_steps_than_after_few():
    history = History.of([*BEGIN, started(0)])
    taken = []
    for step in range(1, 2001):
        history.apply(ev.Reported(2.0, 0, step, {"accuracy": 0.5}))
        taken.append(sys.getsizeof(history.trial(0).reports))
    assert taken[-1] == taken[0]


def test_silence_between_sessions_is_not_study_time():
    events = [
        ev.Declared(100.0, SETTINGS.to_json()), ev.Joined(100.0, "a", "host", 1, 0.0), started(0, time=110.0),
        ended(0, time=400.0), ev.Joined(9000.0, "b", "host", 2, 0.0), started(1, owner="b", time=9001.0),
        ev.Left(9010.0, "b"),
    ]  # fmt: skip
    history = History.of(events)
    assert history.active_seconds == 300.0 + 10.0
    assert history.elapsed_seconds(9500.0) == 310.0 + 490.0, "the first process was never heard to leave"


def test_the_clock_runs_as_long_as_anybody_drives_the_study():
    history = History.of(
        [
            ev.Declared(100.0, SETTINGS.to_json()),
            ev.Joined(100.0, "a", "host", 1, 0.0),
            ev.Joined(130.0, "b", "host", 2, 0.0),
            ev.Left(200.0, "a"),
            ev.Beat(300.0, "b"),
            ev.Left(310.0, "b"),
            ev.Joined(340.0, "c", "host", 3, 0.0),
        ]
    )
    assert history.active_seconds == 210.0
    assert history.elapsed_seconds(350.0) == 220.0


def test_what_a_killed_process_had_trained_counts_up_to_its_last_report():
    killed = [started(0, time=10.0), ev.Reported(40.0, 0, 3, {}), ev.Requeued(900.0, 0, "its process died", "a")]
    history = History.of([*BEGIN, *killed])
    assert (history.total_seconds, history.trial(0).seconds) == (30.0, 30.0)
    for event in (ev.Resumed(910.0, 0, "b", 9), ev.Requeued(950.0, 0, "its process died", "b")):
        history.apply(event)
    assert history.total_seconds == 30.0, "it reported nothing more"
    for event in (ev.Resumed(960.0, 0, "b", 9), ev.Reported(965.0, 0, 4, {}), ended(0, TrialState.FAILED, "b", 966.0)):
        history.apply(event)
    history.apply(ev.Requeued(990.0, 0, "retried", "b"))
    assert (history.total_seconds, history.trial(0).seconds) == (31.0, 31.0), (
        "a run that has ended is not counted again"
    )


@pytest.mark.parametrize(
    "event",
    [
        started(1, time=300.0),
        ev.Resumed(300.0, 0, "a", 9),
        ev.Reported(300.0, 2, 1, {}),
        ended(2, time=300.0),
        ev.Beat(300.0, "a"),
    ],
)
def test_whatever_a_process_writes_tells_that_it_lives(event):
    history = History.of([*BEGIN, started(0), ended(0, TrialState.PAUSED), started(1), started(2), event])
    assert (history.owners["a"].last, history.owners["b"].last) == (300.0, 1.0)


def test_trials_of_a_space_that_gained_a_parameter_are_mapped():
    wider = Space({**SPACE.parameters, "layers": Int(1, 8, default=3)})
    declared = ev.Declared(5.0, replace(SETTINGS, space=wider).to_json())
    history = History.of([*BEGIN, started(0, SGD), ended(0, accuracy=0.5), declared])
    assert history.trial(0).params == {**SGD, "layers": 3}
    assert history.X.shape == (1, 4)
    assert history.losses[0, 0] == -0.5


def test_parameters_named_by_the_training_make_the_space():
    settings = Settings(objectives=(Objective("value", False),))
    events = [
        ev.Declared(1.0, settings.to_json()), started(0, {}), started(1, {}),
        ev.Suggested(2.0, 0, "x", 0.5, Float(0.0, 1.0).to_dict()),
        ev.Suggested(2.0, 1, "x", 3.0, Float(0.0, 4.0).to_dict()),
        ev.Suggested(2.0, 1, "kind", "b", Categorical(["a", "b"]).to_dict()),
        ev.Suggested(2.0, 0, "kind", 3, Int(1, 9).to_dict()),  # of another kind than where it was named first
    ]  # fmt: skip
    history = History.of(events)
    assert history.trial(0).params == {"x": 0.5}
    assert history.space == Space(x=Float(0.0, 4.0), kind=Categorical(["a", "b"]))
    assert history.X.tolist() == [[0.125, 0.5], [0.75, 0.75]]
    assert history.active.tolist() == [[True, False], [True, True]]


def test_a_parameter_that_is_as_the_space_has_it_need_not_be_told_again():
    settings = Settings(objectives=(Objective("value", False),))
    events = [
        ev.Declared(1.0, settings.to_json()), started(0, {}), started(1, {}),
        ev.Suggested(2.0, 0, "kind", "a", {}),  # none by that name is known
        ev.Suggested(2.0, 0, "x", 0.5, Float(0.0, 4.0).to_dict()),
        ev.Suggested(2.0, 1, "x", 3.0, {}),
    ]  # fmt: skip
    history = History.of(events)
    assert [trial.params for trial in history.trials] == [{"x": 0.5}, {"x": 3.0}]
    assert history.space == Space(x=Float(0.0, 4.0))
    assert history.X.tolist() == [[0.125], [0.75]]


class _NaN:
    """Equals NaN."""

    def __eq__(self, other):
        return isinstance(other, float) and math.isnan(other)

    __hash__ = None
