"""How the trials of a study follow when its space is declared anew."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greyhound.errors import SpaceError
from greyhound.migration import migrate
from greyhound.space import Bool, Categorical, Float, Int, Ordinal, Space

from .strategies import configurations, spaces

OLD = Space(
    lr=Float(1e-4, 0.1, log=True),
    depth=Int(2, 8, step=2),
    optimizer=Categorical(["sgd", "adamw"]),
    size=Ordinal(["s", "l"]),
    momentum=Float(0, 1, when={"optimizer": "sgd"}),
)


def changed(**changes):
    return Space({**OLD.parameters, **changes})


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"lr": Float(1e-5, 1.0, log=True)},
        {"lr": Float(0, 0.1)},
        {"depth": Int(0, 10, step=2)},
        {"depth": Int(1, 9)},
        {"depth": Int(1, 8, log=True)},
        {"optimizer": Categorical(["lion", "adamw", "sgd"])},
        {"size": Ordinal(["xs", "s", "m", "l"])},
        {"lr": Float(1e-4, 0.1, log=True, default=0.01)},
        {"new": Bool(default=False)},
        {"optimizer": Categorical(["sgd", "adamw", "lion"]), "beta": Float(0, 1, when={"optimizer": "lion"})},
        {
            "optimizer": Categorical(["sgd", "adamw", "lion"]),
            "momentum": Float(0, 1, when={"optimizer": ["sgd", "lion"]}),
        },
        {"momentum": Float(0, 1, default=0.9)},
        {"momentum": Float(0, 1, default=0.9, when={"optimizer": ["sgd", "adamw"]})},
        {"new": Bool(default=False), "more": Float(0, 1, when={"new": True})},
        {"nesterov": Bool(default=True, when={"optimizer": "sgd"})},
    ],
)
def test_a_larger_space_takes_all_earlier_trials(change):
    new = changed(**change)
    move = migrate(OLD, new)
    rng = random.Random(1)
    for _ in range(50):
        params = OLD.sample(rng)
        before = dict(params)
        moved = move(params)
        assert repr(new.validate(moved)) == repr(moved)
        assert {name: moved[name] for name in before} == before == params
        assert all(moved[name] == new[name].default for name in moved if name not in before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": Float(1e-4, 0.01, log=True)}, "lr: high was 0.1 and may only grow; got high=0.01"),
        ({"lr": Float(1e-3, 0.1, log=True)}, "lr: low was 0.0001 and may only fall; got low=0.001"),
        ({"lr": Float(0, 0.1, step=0.01)}, "lr: earlier trials have values that step=0.01"),
        ({"depth": Int(1, 9, step=2)}, "depth: earlier trials have values that step=2 from low=1 leaves out"),
        ({"depth": Float(2, 8)}, "depth: was int and cannot become float"),
        ({"optimizer": Categorical(["sgd", "lion"])}, "optimizer: choice 'adamw' was there and may not go"),
        ({"size": Ordinal(["l", "s"])}, "size: the order of"),
        ({"new": Bool()}, "new: earlier trials are without it; give it a default"),
        ({"momentum": Float(0, 1)}, "momentum: earlier trials are without it; give it a default"),
        (
            {"lr": Float(1e-4, 0.1, log=True, when={"optimizer": "sgd"})},
            "lr: its condition may only be loosened",
        ),
        (
            {"momentum": Float(0, 1, when={"optimizer": "adamw"})},
            "momentum: its condition may only be loosened",
        ),
        (
            {"new": Bool(default=True), "more": Float(0, 1, when={"new": True})},
            "more: earlier trials are without it",
        ),
    ],
)
def test_a_change_that_loses_a_trial_is_refused(change, message):
    with pytest.raises(SpaceError) as caught:
        migrate(OLD, changed(**change))
    assert str(caught.value).startswith(message)


def test_a_parameter_may_not_go():
    with pytest.raises(SpaceError, match="lr: earlier trials have this parameter; keep it"):
        migrate(OLD, Space({name: p for name, p in OLD.parameters.items() if name != "lr"}))


def test_constraints_may_change():
    new = Space(OLD.parameters, constraint={"x": "lr < 0.01"})
    old = {"lr": 0.1, "depth": 2, "optimizer": "adamw", "size": "s"}
    assert migrate(OLD, new)(old) == old


@given(st.data())
def test_whatever_migration_lets_through_is_valid_in_the_new_space(data):
    old, added = data.draw(spaces(most=3)), data.draw(spaces(most=4))
    kept = {name: p for name, p in added.parameters.items() if name not in old}
    try:
        new = Space({**old.parameters, **kept})
        move = migrate(old, new)
    except SpaceError:
        return
    params = data.draw(configurations(old))
    assert repr(new.validate(move(params))) == repr(move(params))
