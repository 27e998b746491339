"""The rows of a cube are the configurations of its space."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greyhound.samplers.cube import cube_of
from greyhound.space import Bool, Categorical, Float, Int, Ordinal, Space

from ..strategies import configurations, spaces

SEEDS = st.integers(0, 2**32 - 1).map(np.random.default_rng)
TREE = Space(
    x=Float(0.0, 1.0),
    n=Int(1, 20),
    kind=Categorical(["a", "b", "c"]),
    deep=Float(0.0, 1.0, when={"kind": "b"}),
    deeper=Bool(when={"deep": 0.25}),
)


@given(spaces(), SEEDS)
def test_snapped_rows_are_what_their_configurations_encode_to(space, rng):
    cube = cube_of(space)
    rows = cube.random(rng, 8)
    active = cube.activity(rows)
    encoded = [space.encode(cube.params(row)) for row in rows]
    assert active.tolist() == [mask for _, mask in encoded]
    counted = active & np.array([space[name].size is not None for name in space], bool)
    units = np.array([units for units, _ in encoded]).reshape(rows.shape)
    assert units[counted].tolist() == rows[counted].tolist()


@given(spaces(), SEEDS)
def test_snapping_changes_no_configuration(space, rng):
    cube = cube_of(space)
    points = rng.random((8, len(space)))
    assert [cube.params(row) for row in cube.snap(points)] == [cube.params(row) for row in points]


@given(st.data())
def test_the_rows_of_configurations_lead_back_to_them(data):
    space = data.draw(spaces())
    cube, params = cube_of(space), data.draw(st.lists(configurations(space), max_size=4))
    rows = cube.rows(params)
    assert [space.key(cube.params(row)) for row in rows] == [space.key(each) for each in params]
    assert cube.keys(cube.snap(rows)) == cube.keys(rows)
    assert [tuple(np.array(space.names)[mask]) for mask in cube.activity(rows)] == [space.active(p) for p in params]


@given(st.data())
def test_keys_are_equal_where_configurations_are(data):
    space = data.draw(spaces(finite=True))
    cube = cube_of(space)
    rows = cube.random(data.draw(SEEDS), 20)
    by_key = dict(zip(cube.keys(rows), (space.key(cube.params(row)) for row in rows), strict=True))
    assert len(set(by_key)) == len(set(by_key.values())) == len({space.key(cube.params(row)) for row in rows})


@given(spaces(finite=True), SEEDS)
def test_neighbours_differ_in_one_parameter_that_exists(space, rng):
    cube = cube_of(space)
    row = cube.random(rng, 1)[0]
    here = cube.params(row)
    for params in map(cube.params, cube.neighbours(row, rng)):
        both = [name for name in here if name in params]
        changed = [name for name in both if space.key({name: here[name]}) != space.key({name: params[name]})]
        assert len(changed) == 1
        if not any(space[name].when for name in space):
            assert params.keys() == here.keys()


def test_neighbours_reach_each_other_value_and_move_numbers_near_and_far():
    here = {"x": 0.5, "n": 10, "kind": "a"}
    cube = cube_of(TREE)
    near = [cube.params(row) for row in cube.neighbours(cube.rows([here])[0], np.random.default_rng(0))]
    assert {params["kind"] for params in near} == {"a", "b", "c"}
    assert {7, 8, 9, 11, 12, 13} <= {params["n"] for params in near}
    steps = sorted(abs(params["x"] - 0.5) for params in near if params["x"] != 0.5)
    assert steps[0] < 0.01
    assert steps[-1] > 0.1
    assert len({params["deep"] for params in near if "deep" in params}) == 1, "one enters, at some value"


def test_neighbours_take_each_of_a_hundred_choices_in_turns_but_not_all_at_once():
    cube, rng = cube_of(Space(model=Categorical(range(100)), x=Float(0, 1))), np.random.default_rng(0)
    row = cube.rows([{"model": 7, "x": 0.5}])[0]
    looks = [[params["model"] for params in map(cube.params, cube.neighbours(row, rng))] for _ in range(20)]
    others = [[model for model in look if model != 7] for look in looks]
    assert all(len(look) == len(set(look)) == 64 for look in others)
    assert set().union(*others) == set(range(100)) - {7}


def test_parameters_of_very_many_values_are_held_at_their_places_too():
    space = Space(n=Int(0, 10**5), width=Int(1, 10**5, log=True))
    rows = cube_of(space).random(np.random.default_rng(0), 50)
    assert rows.tolist() == cube_of(space).rows(map(cube_of(space).params, rows)).tolist()


def test_a_condition_on_a_number_holds_at_its_value_alone():
    cube = cube_of(TREE)
    rows = np.array([[0.5, 0.5, 0.5, deep, 0.25] for deep in (0.25, 0.3)])
    assert cube.activity(rows)[:, 4].tolist() == [True, False]


def test_everything_is_every_allowed_configuration_once():
    space = Space(
        a=Int(0, 5), b=Categorical(["x", "y"]), c=Bool(when={"b": "x"}), d=Int(1, 5), constraint={"below": "a < d"}
    )
    cube = cube_of(space)
    assert space.size == 90
    assert {space.key(cube.params(row)) for row in cube.everything(90)} == set(map(space.key, space.grid(9)))
    assert cube.everything(89) is None
    assert cube_of(TREE).everything(10**6) is None


def test_everything_of_a_long_parameter_is_whole():
    assert len(cube_of(Space(n=Int(1, 10_000))).everything(20_000)) == 10_000


def test_random_rows_keep_to_constraints_however_rare():
    space = Space(a=Int(0, 999), b=Int(0, 999), constraint={"equal": "a == b"})
    rows = cube_of(space).random(np.random.default_rng(1), 2)
    assert len(rows)
    assert cube_of(space).allowed(rows).all()


def test_neighbours_keep_to_constraints():
    space = Space(x=Float(0.0, 1.0), y=Float(0.0, 1.0), kind=Bool(), constraint={"less": "x + y < 0.5 or kind"})
    cube, rng = cube_of(space), np.random.default_rng(2)
    at_the_border = cube.rows([{"x": 0.25, "y": 0.24, "kind": False}])[0]
    near = [cube.params(row) for _ in range(20) for row in cube.neighbours(at_the_border, rng)]
    assert all(map(space.allows, near))
    assert {params["kind"] for params in near} == {False, True}


def test_mutants_stay_on_the_places_of_values():
    cube, rng = cube_of(TREE), np.random.default_rng(0)
    rows = cube.random(rng, 5)
    mutants = cube.mutants(rows, rng, 200)
    assert mutants.tolist() == cube.snap(mutants).tolist()
    kept = (mutants[:, None] == rows).mean(axis=2).max(axis=1)
    assert 0.3 < kept.mean() < 0.9, "some coordinates move, others stay"


def test_cells_are_of_parameters_with_equal_ones():
    space = Space(
        f=Float(0.0, 1.0), s=Float(0.0, 1.0, step=0.25), n=Int(1, 9), w=Int(1, 9, log=True),
        o=Ordinal([1, 2, 3]), c=Categorical(["a", "b", "c", "d"]), b=Bool(),
    )  # fmt: skip
    cube = cube_of(space)
    assert cube.cells.tolist() == [0, 5, 9, 0, 3, 4, 2]
    assert cube.categories == (0, 0, 0, 0, 0, 4, 2)
    assert cube.unordered.tolist() == [False] * 5 + [True] * 2


@pytest.mark.parametrize("space", [Space(), Space(n=Int(3, 3))])
def test_where_nothing_varies_there_are_no_neighbours(space):
    cube, rng = cube_of(space), np.random.default_rng(0)
    assert cube.neighbours(cube.random(rng, 1)[0], rng).shape == (0, len(space))


def test_numbers_of_many_values_may_be_warped_and_nothing_else():
    space = Space(
        lr=Float(1e-5, 1.0, log=True),
        layers=Int(1, 5),
        width=Int(8, 4096),
        size=Ordinal(["s", "m", "l"]),
        letter=Categorical(list("abcdefghijklmnopqrstuvwxyz")),
    )
    assert cube_of(space).layout(np.ones((1, 5), bool)).warped == (True, False, True, False, False)


def test_parameters_without_an_order_are_alike_that_have_the_same_values_and_names_but_for_numbers():
    space = Space(
        kind_1=Categorical(["a", "b"], default="b"),
        skip1=Bool(),
        units_1=Int(16, 512, log=True),
        kind_2=Categorical(["a", "b"], when={"skip1": True}),
        units_2=Int(16, 512, log=True),
        kind_10=Categorical(["a", "b"], prior="a"),
        skip2=Bool(),
        kind_3=Categorical(["a", "b", "c"]),
        kind_a=Categorical(["a", "b"]),
        kind2=Categorical(["a", "b"]),
    )
    named = [[space.names[at] for at in group] for group in cube_of(space).layout(np.ones((0, 10), bool)).alike]
    assert named == [["kind_1", "kind_2", "kind_10"], ["skip1", "skip2"]]
