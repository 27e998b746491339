"""Trials as rows, CSV and JSON."""

import csv
import io
import json

from greyhound.analysis.table import rows, to_csv, to_json
from greyhound.space import Categorical, Float, Space
from greyhound.study import Study


def study():
    space = Space(kind=Categorical(["a", ("b", 1)]), x=Float(0, 1, when={"kind": "a"}))
    study = Study(space, maximize="score", sampler="grid", budget=4, clock=lambda: 5.0)
    while (trial := study.ask()) is not None:
        study.report(trial, 1, score=0.5)
        study.tell(trial, score=1.0, other=float("nan"))
    return study


def test_every_row_has_the_same_columns():
    table = rows(study().history)
    assert len({tuple(row) for row in table}) == 1
    assert {row["params.x"] for row in table if row["params.kind"] != "a"} == {None}


def test_csv_can_be_read_back():
    read = list(csv.DictReader(io.StringIO(to_csv(study().history))))
    assert len(read) == 4
    assert {row["metrics.score"] for row in read} == {"1.0"}
    assert '["b", 1]' in {row["params.kind"] for row in read}


def test_csv_tells_a_parameter_that_is_none_from_one_that_a_trial_does_not_have():
    kinds = Space(kind=Categorical(["a", "b"]), clip=Categorical([None, 1.0], when={"kind": "a"}))
    study = Study(kinds, minimize="loss", sampler="grid", budget=3)
    while (trial := study.ask()) is not None:
        study.tell(trial, loss=1.0)
    read = [(row["params.kind"], row["params.clip"]) for row in csv.DictReader(io.StringIO(to_csv(study.history)))]
    assert sorted(read) == [("a", "1.0"), ("a", "null"), ("b", "")]


def test_json_holds_curves_and_settings_and_is_strict():
    data = json.loads(to_json(study().history), parse_constant=lambda name: pytest_fail(name))
    assert data["trials"][0]["reports"] == [{"step": 1, "score": 0.5}]
    assert data["study"]["objectives"] == [["score", True]]


def test_json_leaves_out_a_parameter_that_a_trial_does_not_have():
    kinds = Space(kind=Categorical(["a", "b"]), clip=Categorical([None, 1.0], when={"kind": "a"}))
    study = Study(kinds, minimize="loss", sampler="grid", budget=3)
    while (trial := study.ask()) is not None:
        study.tell(trial, loss=1.0)
    told = [
        {k: v for k, v in row.items() if k.startswith("params.")}
        for row in json.loads(to_json(study.history))["trials"]
    ]
    assert sorted(told, key=str) == [
        {"params.kind": "a", "params.clip": 1.0},
        {"params.kind": "a", "params.clip": None},
        {"params.kind": "b"},
    ]


def pytest_fail(name):
    raise AssertionError(f"{name} is no JSON")
