"""Hyperband's brackets are those of the paper; each halves its own trials."""

import pytest
from tests.schedulers.histories import add, begun

from greyhound import events as ev
from greyhound.errors import StudyError
from greyhound.schedulers import Resume, Start
from greyhound.schedulers.hyperband import Hyperband
from greyhound.study import Study
from greyhound.trial import TrialState


def test_brackets_are_those_of_the_algorithm():
    """R = 81, eta = 3: n = ⌈5 · 3ˢ / (s + 1)⌉, r = 81 / 3ˢ."""
    rule = Hyperband(eta=3, min_steps=1)
    assert rule.most(81) == 4
    assert rule.sizes(81)[::-1] == [81, 34, 15, 8, 5]
    assert [rule.rungs(s, 81) for s in range(4, -1, -1)] == [[1, 3, 9, 27], [3, 9, 27], [9, 27], [27], []]


def test_a_round_goes_from_the_most_eager_bracket_to_full_trainings_and_begins_anew():
    rule = Hyperband(min_steps=1)
    brackets = [rule.bracket(number, 9) for number in range(32)]
    assert rule.sizes(9) == [3, 5, 9]
    assert brackets == [2] * 9 + [1] * 5 + [0] * 3 + [2] * 9 + [1] * 5 + [0]


def test_the_first_rung_is_not_below_what_was_asked_for():
    assert Hyperband(min_steps=4).rungs(Hyperband(min_steps=4).most(52), 52) == [6, 17]
    assert Hyperband().most(52) == 3
    assert Hyperband().most(1000) == 3, "three rungs unless more are asked for"
    assert Hyperband().most(2) == 0, "too short to halve"


def test_trials_compete_in_their_own_bracket():
    history = begun(max_steps=9)
    rule = Hyperband(min_steps=1)
    for number in range(9):
        add(history, [9.0 - number], TrialState.PAUSED)
    assert rule.next(history) == Resume(8)
    for number in (8, 7, 6):
        history.apply(resumed(history, number))
    assert rule.next(history) == Start()
    assert rule.until(history, None) == 3, "the tenth trial is of the second bracket, which begins at step 3"
    for _ in range(2):
        add(history, [0.0, 0.0, 0.0], TrialState.PAUSED)
    assert rule.next(history) == Start(), "two of its five do not make a third"
    third = add(history, [0.0, 0.0, -1.0], TrialState.PAUSED)
    assert rule.next(history) == Resume(third)


def resumed(history, number):
    return ev.Resumed(9.0, number, "test")


def test_it_needs_the_length_of_a_training():
    with pytest.raises(StudyError, match="'hyperband' needs the length of a full training"):
        Study({}, scheduler="hyperband")


@pytest.mark.parametrize("options", [{"eta": 1}, {"min_steps": 0}])
def test_wrong_options_are_told(options):
    with pytest.raises(StudyError, match=f"hyperband: {next(iter(options))} must"):
        Hyperband(**options)
