"""What trials promise: gains and chances beside those of many drawn endings."""

import numpy as np
import pytest
from tests.schedulers.histories import add, add_replicates, begun

from greyhound.curves.study import finals
from greyhound.numeric import pareto
from greyhound.schedulers.promise import Best, Front, to_beat
from greyhound.trial import Limit, TrialState

DRAWS = 20_000


def test_the_gain_on_a_best_loss_is_the_mean_improvement_of_drawn_endings():
    mean, std = np.array([[1.2], [0.9], [3.0]]), np.array([[0.5], [0.1], [0.5]])
    drawn = mean + std * np.random.default_rng(0).standard_normal((3, DRAWS))
    expected = np.maximum(1.0 - drawn, 0.0).mean(axis=1)
    assert Best(1.0).gain(mean, std) == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize("unit", [1.0, 1e-14])
def test_what_is_certain_gains_what_it_is_better_by_and_wins_for_sure(unit):
    mean, certain = unit * np.array([[0.7], [1.0], [1.2]]), np.zeros((3, 1))
    assert Best(unit).gain(mean, certain) == pytest.approx(unit * np.array([0.3, 0.0, 0.0]), abs=1e-9 * unit)
    assert Best(unit).chance(mean, certain, certain + 4.0) == pytest.approx([1.0, 0.5, 0.0], abs=1e-9)


def test_the_gain_on_a_front_is_the_hypervolume_that_drawn_endings_add():
    front = Front(np.array([[0.0, 2.0], [1.0, 1.0], [2.0, 0.0]]), np.array([3.0, 2.0]))
    reference = np.array([3.3, 2.2])
    mean, std = np.array([[0.5, 0.6], [2.5, 1.8], [0.2, 3.0]]), np.array([[0.3, 0.2], [0.2, 0.3], [0.1, 0.0]])
    random = np.random.default_rng(1)
    before = pareto.hypervolume(front.points, reference)
    for at, gain in enumerate(front.gain(mean, std)):
        drawn = mean[at] + std[at] * random.standard_normal((2000, 2))
        added = [pareto.hypervolume(np.vstack([front.points, point]), reference) - before for point in drawn]
        assert gain == pytest.approx(np.mean(added), abs=4.0 * np.std(added) / 2000**0.5 + 1e-6)


def test_the_chance_to_be_on_the_front_is_the_share_of_drawn_endings_that_nothing_dominates():
    front = Front(np.array([[0.0, 2.0], [1.0, 1.0], [2.0, 0.0]]), np.array([3.0, 3.0]))
    mean, std = np.array([[0.5, 0.6], [2.5, 1.8], [0.2, 2.5], [-1.0, 9.0]]), np.array([[0.3, 0.2]] * 3 + [[0.0, 0.0]])
    degrees = np.array([[4.0, 4.0], [1.0, 2.0], [2.0, 0.5], [4.0, 4.0]])
    for at, chance in enumerate(front.chance(mean, std, degrees)):
        drawn = mean[at] + 0.84 * std[at] * np.random.default_rng(2).standard_t(degrees[at], (DRAWS, 2))
        dominated = (front.points[None] <= drawn[:, None]).all(axis=2).any(axis=1)
        assert chance == pytest.approx(1.0 - dominated.mean(), abs=0.015)


def test_of_what_nothing_is_known_everything_may_come():
    unknown = np.array([[np.nan, 1.0]])
    assert Front(np.array([[0.0, 0.0]]), np.array([1.0, 1.0])).chance(unknown, unknown, unknown) == 1.0
    assert Best(0.0).chance(*[unknown[:, :1]] * 3) == 1.0


def test_what_is_finished_is_to_be_beaten_and_before_that_what_is_expected():
    history = begun(max_steps=3, losses=("error", "bytes"))
    assert to_beat(history, finals(history)) is None
    for error, size in ((0.5, 1.0), (0.2, 3.0), (0.6, 2.0)):
        add(history, [(error, size)], TrialState.PAUSED)
    assert to_beat(history, finals(history)).points == pytest.approx(np.array([[0.5, 1.0], [0.2, 3.0]]))
    add(history, [(0.7, 9.0), (0.6, 9.0), (0.5, 9.0)], TrialState.COMPLETED)
    bar = to_beat(history, finals(history))
    assert bar.points.tolist() == [[0.5, 9.0]]
    assert bar.worst[1] == 9.0


def test_a_loss_that_exploded_does_not_stretch_the_front():
    history = begun(max_steps=2, losses=("error", "bytes"))
    for at in range(9):
        add(history, [(0.5 + 0.01 * at, 9.0 - at)] * 2, TrialState.COMPLETED)
    add(history, [(0.6, 9.0), (1e9, 9.0)], TrialState.COMPLETED)
    worst = to_beat(history, finals(history)).worst
    assert 0.58 <= worst[0] < 1.0
    assert worst[1] == 9.0
    add(history, [(0.65, 9.0)] * 2, TrialState.COMPLETED)
    assert to_beat(history, finals(history)).worst[0] >= 0.65, "bad, but not far out"


def test_what_breaks_a_limit_is_nothing_to_be_beaten():
    history = begun(max_steps=1, losses=("error",), limits=(Limit("error", 0.3, upper=False),))
    add(history, [0.1], TrialState.COMPLETED)
    add(history, [0.4], TrialState.COMPLETED)
    assert to_beat(history, finals(history)) == Best(0.4)


def test_replicates_of_the_finals_are_nothing_to_be_beaten():
    history = begun(max_steps=1, losses=("error",))
    best = add(history, [0.4], TrialState.COMPLETED)
    add_replicates(history, best, 5, [0.3])
    assert to_beat(history, finals(history)) == Best(0.4)


def test_what_is_expected_to_be_beaten_keeps_to_the_limits_if_anything_does():
    history = begun(max_steps=2, losses=("error",), limits=(Limit("bytes", 5.0),))
    add(history, [{"error": 0.1, "bytes": 9.0}] * 2, TrialState.COMPLETED)
    assert to_beat(history, finals(history)) == Best(0.1)
    add(history, [{"error": 0.8, "bytes": 5.0}], TrialState.PAUSED)
    assert to_beat(history, finals(history)).loss > 0.4
