"""What is believed of limits and failures, from trials along a line whose metric is the place itself."""

import numpy as np
import pytest

from greyhound import events as ev
from greyhound.history import History
from greyhound.samplers.cube import cube_of
from greyhound.samplers.feasibility import Feasibility
from greyhound.samplers.results import results
from greyhound.settings import Settings
from greyhound.space import Float, Space
from greyhound.trial import Limit, Objective, TrialState

LINE = Space(x=Float(0.0, 1.0))
PLACES = np.linspace(0.05, 0.95, 12)
AT = np.array([[0.1], [0.9]])
THERE = np.ones((2, 1), bool)


def believed(metrics, limits=()):
    """metrics: of the trial at each of the places; None where it failed."""
    settings = Settings(objectives=(Objective("loss", False),), limits=limits, space=LINE, seed=0)
    history = History.of([ev.Declared(1.0, settings.to_json()), ev.Joined(1.0, "test", "host", 1, 1.0)])
    for number, (place, told) in enumerate(zip(PLACES, metrics, strict=True)):
        history.apply(ev.Started(2.0, number, {"x": float(place)}, 1, "test", "test"))
        state = TrialState.FAILED if told is None else TrialState.COMPLETED
        history.apply(ev.Ended(3.0, number, state, {} if told is None else {"loss": 1.0, **told}, "test"))
    cube = cube_of(LINE)
    return Feasibility(history, results(history), cube.layout(history.active))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e9])
@pytest.mark.parametrize("upper", [True, False])
def test_limits_hold_on_their_side_of_the_bound_in_every_unit(upper, scale):
    limit = Limit("size", 0.5 * scale, upper)
    feasibility = believed([{"size": scale * place} for place in PLACES], (limit,))
    chances = np.exp(feasibility.log_within(AT, THERE))
    assert chances[:: 1 if upper else -1] == pytest.approx([1.0, 0.0], abs=1e-3)
    (border,) = np.exp(feasibility.log_within(np.array([[0.5]]), THERE[:1]))
    assert border == pytest.approx(0.5, abs=0.25)


def test_what_is_believed_of_a_limit_does_not_depend_on_its_unit():
    rows = np.linspace(0.3, 0.8, 6)[:, None]
    told = [
        believed(
            [{"size": scale * np.expm1(6 * place)} for place in PLACES], (Limit("size", 20.0 * scale),)
        ).log_within(rows, np.ones((6, 1), bool))
        for scale in (1e-6, 1.0, 1e9)
    ]
    assert told[0] == pytest.approx(told[1], rel=1e-3, abs=1e-6)
    assert told[2] == pytest.approx(told[1], rel=1e-3, abs=1e-6)


def test_a_limit_that_no_trial_has_broken_is_still_seen_ahead():
    feasibility = believed([{"size": 0.5 * place} for place in PLACES], (Limit("size", 0.4),))
    low, high = np.exp(feasibility.log_within(np.array([[0.1], [1.0]]), THERE))
    assert low > 0.999 > high


def test_several_limits_have_to_hold_together_and_what_was_not_measured_tells_nothing():
    measured = [{"a": place, "b": place} for place in PLACES[:8]] + [{"a": place} for place in PLACES[8:]]
    feasibility = believed(measured, (Limit("a", 0.7), Limit("b", 0.3, upper=False), Limit("c", 0.0)))
    chances = np.exp(feasibility.log_within(np.array([[0.1], [0.5], [0.9]]), np.ones((3, 1), bool)))
    assert chances == pytest.approx([0.0, 1.0, 0.0], abs=1e-3)


def test_where_trials_fail_all_goes_well_is_not_believed():
    feasibility = believed([{} if place < 0.5 else None for place in PLACES])
    assert feasibility.log_within(AT, THERE).tolist() == [0.0, 0.0], "there are no limits"
    well, ill = np.exp(feasibility.log_chance(AT, THERE))
    assert well > 0.9
    assert ill < 0.01
