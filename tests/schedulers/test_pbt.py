"""Population based training: the worst are replaced by perturbed copies of the best, from their checkpoints."""

import random

import pytest
from tests.schedulers.histories import add, add_replicates, begun, go_on

from greyhound import events as ev
from greyhound.budget import Budget
from greyhound.errors import StudyError
from greyhound.schedulers import Resume, Start, Stop, Wait
from greyhound.schedulers.pbt import PBT, explore
from greyhound.space import Bool, Categorical, Float, Int, Ordinal, Space
from greyhound.study import Study
from greyhound.trial import TrialState, Verdict

PAUSED, STOPPED, COMPLETED = TrialState.PAUSED, TrialState.STOPPED, TrialState.COMPLETED
RULE = PBT(population=5, interval=2, share=0.2, resample=0.0)


def population(losses=(1.0, 2.0, 3.0, 4.0, 5.0), **settings):
    """Five members that paused after two steps, the last the worst."""
    history = begun(max_steps=8, **settings)
    for number, loss in enumerate(losses):
        add(history, [9.0, loss], PAUSED, {"x": 0.1 + 0.1 * number})
    return history


def test_all_pause_and_the_worst_share_is_stopped_when_its_turn_comes():
    history = population()
    for number in range(4):
        assert RULE.next(history) == Resume(number)
        go_on(history, number, [1.0, 1.0], PAUSED)
        assert RULE.judge(history, history.trial(number)) is Verdict.PAUSE
    assert RULE.next(history) == Stop(4), "the only one still at step 2"


def test_a_fifth_of_two_is_nobody():
    history = begun(max_steps=8)
    for loss in (2.0, 1.0):
        add(history, [9.0, loss], PAUSED)
    for _ in range(3):
        add(history, [9.0])
    assert RULE.next(history) == Resume(0)
    go_on(history, 4, [3.0], PAUSED)
    go_on(history, 0, [])
    go_on(history, 1, [])
    assert RULE.next(history) == Stop(4), "the worst of three"


def test_with_two_objectives_the_worst_front_is_replaced():
    history = begun(max_steps=8, losses=("loss", "size"))
    for row in ((3.0, 3.0), (1.0, 2.0), (2.0, 1.0), (1.5, 1.5), (1.2, 1.9)):
        add(history, [row, row], PAUSED)
    assert RULE.next(history) == Stop(0)


def test_what_was_stopped_is_replaced_by_a_copy_of_the_best():
    history = population()
    go_on(history, 4, [], STOPPED)
    start = RULE.next(history)
    assert (start.parent, start.step) == (0, 2)
    assert start.params["x"] in (pytest.approx(0.08), pytest.approx(0.12)), "0.1 times 0.8 or 1.2"
    child = add(history, [], params=start.params, parent=0, step=2)
    assert RULE.until(history, history.trial(child)) == 4
    assert RULE.next(history) == Resume(0), "one stopped, one in its place: the others go on"


def test_a_parent_that_trains_on_is_copied_from_where_it_was_judged_last():
    history = population()
    go_on(history, 0, [0.5, 0.4, 0.3])  # to step 5, of which it was judged at 4
    go_on(history, 4, [], STOPPED)
    assert (RULE.next(history).parent, RULE.next(history).step) == (0, 4)


def test_a_parent_has_something_left_to_train():
    history = population()
    go_on(history, 0, [0.5] * 6, COMPLETED)
    go_on(history, 4, [], STOPPED)
    assert RULE.next(history).parent == 1, "the best that trains on"


def test_a_copy_whose_parent_came_to_its_end_first_is_replaced_by_another():
    history = population()
    go_on(history, 4, [], STOPPED)
    copy = add(history, [], params={"x": 0.1}, parent=0, step=2)
    go_on(history, 0, [0.5] * 6, COMPLETED)
    go_on(history, copy, [], STOPPED)
    assert RULE.next(history).parent == 1


def test_where_nobody_is_left_to_copy_the_study_goes_on():
    history = population()
    go_on(history, 4, [], STOPPED)
    for number in range(4):
        go_on(history, number, [1.0] * 6, COMPLETED)
    assert RULE.next(history) == Start(), "a second population"
    add(history, [1.0, 1.0], PAUSED)
    for _ in range(4):
        add(history, [1.0, 1.0], PAUSED)
    assert RULE.next(history) == Resume(5)


def test_nobody_is_stopped_for_whom_there_is_no_place():
    history = population((5.0, 1.0, 2.0, 3.0, 4.0), budget=Budget(trials=5))
    assert RULE.next(history) == Resume(0)


def test_members_that_are_behind_go_first():
    history = begun(max_steps=8)
    for number in range(5):
        assert RULE.next(history) == Start()
        add(history, [1.0 * number] * 2, PAUSED)
    go_on(history, 0, [1.0] * 2, PAUSED)
    assert RULE.next(history) == Resume(1)


def test_another_population_follows_and_the_first_is_trained_to_its_end():
    history = begun(max_steps=8, budget=Budget(trials=11))
    for _ in range(5):
        add(history, [1.0] * 8, COMPLETED)
    assert RULE.next(history) == Start()
    add(history, [1.0] * 2, PAUSED)
    assert RULE.next(history) == Start(), "the second population is filled first"
    history.apply(ev.Resumed(20.0, 5, "test"))
    for _ in range(5):
        add(history, [1.0] * 8, COMPLETED)
    assert RULE.next(history) == Wait()


def test_replicates_of_the_finals_take_nobodys_place_in_a_population():
    history = begun(max_steps=8, budget=Budget(trials=16))
    for _ in range(5):
        add(history, [1.0] * 8, COMPLETED)
    add_replicates(history, 0, 3, [1.0] * 8)
    for number in range(8, 13):
        assert RULE.next(history) == Start(), "the second population is not yet whole"
        add(history, [9.0, 1.0 * number], PAUSED)
    assert RULE.next(history) == Resume(8)
    go_on(history, 8, [1.0] * 2, PAUSED)
    for number in range(9, 12):
        go_on(history, number, [1.0] * 2, PAUSED)
    assert RULE.next(history) == Stop(12), "the worst of five"
    go_on(history, 12, [], STOPPED)
    assert RULE.next(history).parent == 8


def test_a_replicate_that_waits_is_not_the_populations_to_resume():
    history = population()
    history.apply(ev.Enqueued(20.0, {"x": 0.1}, 7, 0))
    history.apply(ev.Started(20.0, 5, {"x": 0.1}, 7, "finals", "test", ticket=0))
    go_on(history, 5, [1.0], PAUSED)
    assert len(history.replicates) == 1
    assert RULE.next(history) == Resume(0)


def test_more_workers_than_members_begin_another_population_that_competes_for_itself():
    history = begun(max_steps=8)
    for number in range(6):
        assert RULE.next(history) == Start()
        add(history, [9.0, 1.0 + number])
    go_on(history, 5, [], PAUSED)
    assert RULE.next(history) == Start(), "the other is filled first"
    for number in range(6, 10):
        add(history, [9.0, 9.0 + number], PAUSED)
    assert RULE.next(history) == Resume(5)


def test_numbers_are_multiplied_and_move_by_a_step_at_least():
    space = Space(
        rate=Float(1e-4, 1.0, log=True), width=Int(1, 100), layers=Int(1, 5), batch=Ordinal([16, 32, 64]),
        grid=Float(0.0, 1.0, step=0.5), kind=Categorical(["a", "b"]), flag=Bool(),
    )  # fmt: skip
    params = {"rate": 1e-2, "width": 50, "layers": 2, "batch": 32, "grid": 0.5, "kind": "a", "flag": True}
    found = [explore(space, params, random.Random(seed), 0.0) for seed in range(60)]
    for each in found:
        space.validate(each)
        assert each["rate"] == pytest.approx(8e-3) or each["rate"] == pytest.approx(1.2e-2)
    seen = {name: {each[name] for each in found} for name in space.names}
    assert seen["width"] == {40, 60}
    assert seen["layers"] == {1, 3}
    assert seen["batch"] == {16, 64}
    assert seen["grid"] == {0.0, 1.0}
    assert seen["kind"] == {"a"}
    kept = [explore(space, params, random.Random(seed), 0.5, ("width", "kind")) for seed in range(60)]
    assert {(each["width"], each["kind"]) for each in kept} == {(50, "a")}
    drawn = [explore(space, params, random.Random(seed), 1.0) for seed in range(60)]
    assert {each["kind"] for each in drawn} == {"a", "b"}
    assert len({each["rate"] for each in drawn}) == 60


def test_what_is_explored_keeps_to_bounds_conditions_and_constraints():
    space = Space(
        {
            "kind": Categorical(["sgd", "adam"]),
            "momentum": Float(0.5, 0.9, when={"kind": "sgd"}),
            "a": Int(1, 9),
            "b": Int(1, 9),
        },
        constraint={"a below b": "a < b"},
    )
    for seed in range(60):
        found = explore(space, {"kind": "adam", "a": 8, "b": 9}, random.Random(seed), 0.3)
        space.validate(found)
        assert space.allows(found)


def test_names_that_the_space_does_not_have_cannot_be_fixed():
    options = {"max_steps": 9, "scheduler": {"name": "pbt", "fixed": ["x", "widht"]}}
    with pytest.raises(StudyError, match="pbt: fixed names 'widht', which the space does not have; it has x, width"):
        Study({"x": Float(0, 1), "width": Int(1, 9)}, **options)
    Study({"x": Float(0, 1), "widht": Int(1, 9)}, **options)
    Study(**options)  # its training names the parameters


@pytest.mark.parametrize(
    "options",
    [
        {"population": 1},
        {"interval": 0},
        {"share": 0.6},
        {"share": "a"},
        {"share": True},
        {"resample": 1.5},
        {"resample": None},
        {"fixed": "x"},
        {"fixed": None},
        {"fixed": [1]},
    ],
    ids=str,
)
def test_wrong_options_are_told(options):
    with pytest.raises(StudyError, match=f"pbt: {next(iter(options))} must"):
        PBT(**options)
