"""Grid search tries every combination once, spread over the space from the start."""

import numpy as np
import pytest

from greyhound.errors import StudyError
from greyhound.samplers.grid import Grid
from greyhound.space import Categorical, Float, Int, Ordinal, Space
from greyhound.study import Study
from greyhound.testing.samplers import history_of

RNG = np.random.default_rng(0)


def test_all_combinations_are_tried_once_and_then_it_ends():
    space = Space(a=Int(1, 3), kind=Categorical(["x", "y"]), only_x=Float(0, 1, when={"kind": "x"}))
    study = Study(space, minimize="loss", sampler={"name": "grid", "levels": 4})
    seen = []
    while (trial := study.ask()) is not None:
        seen.append(space.key(trial.params))
        study.tell(trial, loss=0.0)
    assert len(seen) == len(set(seen)) == 3 * (4 + 1)
    assert study.why_finished == "every configuration that grid has was tried"


def test_continuous_parameters_take_evenly_spread_values_with_both_ends():
    found = Grid(levels=3).suggest(history_of(Space(x=Float(1e-4, 1e-2, log=True)), 0), 9, RNG)
    assert sorted(point["x"] for point in found) == pytest.approx([1e-4, 1e-3, 1e-2])


def test_early_points_are_spread_over_all_parameters():
    space = Space(a=Int(0, 7), b=Int(0, 7), c=Int(0, 7))
    found = Grid(levels=8).suggest(history_of(space, 0), 16, RNG)
    for name in space:
        assert len({point[name] for point in found}) >= 7, "16 of 512 points show nearly all values of each parameter"
    octants = {tuple(point[name] // 4 for name in space) for point in found}
    assert len(octants) == 8


def test_values_that_are_listed_are_tried_however_many_there_are():
    listed = Space(
        name=Categorical(list("abcdefghij")), width=Ordinal([8, 16, 24, 32, 48, 64, 96]), rate=Float(0.0, 1.0)
    )
    found = Grid(levels=2).suggest(history_of(listed, 0), 200, RNG)
    assert len(found) == 10 * 7 * 2 == len({listed.key(params) for params in found})
    assert {params["rate"] for params in found} == {0.0, 1.0}


def test_too_large_a_grid_is_refused_before_it_starts():
    space = Space({f"x{at}": Float(0, 1) for at in range(12)})
    with pytest.raises(StudyError, match=r"grid: 5 levels give over 200000 combinations of 12 parameters"):
        Grid().suggest(history_of(space, 0), 1, RNG)


def test_a_grid_between_whose_lines_all_that_is_allowed_lies_is_told():
    space = Space(x=Float(0, 1), constraint={"narrow": "0.3 < x < 0.4"})
    with pytest.raises(StudyError, match="grid: no combination of 5 levels keeps to the constraints; take more levels"):
        Grid().suggest(history_of(space, 0), 1, RNG)
    assert Grid(levels=4).suggest(history_of(space, 0), 1, RNG) == [{"x": pytest.approx(1 / 3)}]


@pytest.mark.parametrize("levels", [1, 0, 2.5, "3"])
def test_wrong_levels_are_told(levels):
    with pytest.raises(StudyError, match="grid: levels must be a whole number of at least 2"):
        Grid(levels=levels)


def test_coarse_to_fine_goes_on_around_the_best():
    space = Space(x=Float(0, 1), y=Float(0, 1), kind=Categorical(["a", "b"]))
    study = Study(space, minimize="loss", sampler=Grid(levels=3, refine=True), budget="60 trials")
    while (trial := study.ask()) is not None:
        far = (trial.params["x"] - 0.62) ** 2 + (trial.params["y"] - 0.31) ** 2
        study.tell(trial, loss=far + (trial.params["kind"] == "a"))
    coarse, fine = study.trials[:18], study.trials[18:]
    assert len({space.key(trial.params) for trial in coarse}) == 18 == len(list(space.grid(3)))
    assert len(fine) == 42
    assert all(trial.params["kind"] == "b" for trial in fine)
    assert min(trial.metrics["loss"] for trial in coarse) > 0.01
    assert study.best.metrics["loss"] < 1e-4


def test_coarse_to_fine_ends_where_no_finer_neighbour_is_left():
    space = Space(n=Int(0, 64))
    study = Study(space, minimize="loss", sampler={"name": "grid", "levels": 5, "refine": True})
    while (trial := study.ask()) is not None:
        study.tell(trial, loss=abs(trial.params["n"] - 23))
    assert study.best.params["n"] == 23
    assert len(study.trials) < 25


def test_the_first_points_for_a_model_are_the_middles_of_the_grids_cells():
    space = Space(
        a=Int(0, 7), b=Float(0, 1), c=Float(1e-4, 1.0, log=True), kind=Categorical(["x", "y"]),
        only_x=Float(0, 1, when={"kind": "x"}),
    )  # fmt: skip
    found = Grid(levels=3).first(history_of(space, 0), 30)
    assert len({space.key(params) for params in found}) == 30
    assert {params["a"] for params in found} == {1, 4, 6}
    assert {round(params["b"], 6) for params in found} == {round(1 / 6, 6), 0.5, round(5 / 6, 6)}
    assert {round(space["c"].encode(params["c"]), 6) for params in found} == {round(1 / 6, 6), 0.5, round(5 / 6, 6)}
    assert {params["kind"] for params in found} == {"x", "y"}
    huge = Space({f"x{at}": Float(0, 1) for at in range(60)})
    assert len(Grid().first(history_of(huge, 0), 10)) == 10


def test_none_of_the_first_points_is_one_that_was_tried():
    space = Space(kind=Categorical(["x", "y", "z"]), flag=Categorical([1, 2]))
    history = history_of(space, 4)
    found = Grid().first(history, 10)
    assert len(found) == 2
    assert not {space.key(params) for params in found} & {space.key(trial.params) for trial in history.trials}
