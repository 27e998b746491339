"""Budgets are read as people write them, and are told clearly when they can't be."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greyhound.budget import Budget, duration, parse_seconds
from greyhound.errors import BudgetError


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("2h", Budget(seconds=7200)),
        ("1h 30min", Budget(seconds=5400)),
        ("90 min", Budget(seconds=5400)),
        ("1.5 hours", Budget(seconds=5400)),
        ("45s", Budget(seconds=45)),
        ("1 day", Budget(seconds=86400)),
        ("100 trials", Budget(trials=100)),
        ("1 trial", Budget(trials=1)),
        ("500 epochs", Budget(steps=500)),
        ("500 steps", Budget(steps=500)),
        ("8 gpu-hours", Budget(device_seconds=28800)),
        ("30 device minutes", Budget(device_seconds=1800)),
        ("100 trials, 2h", Budget(seconds=7200, trials=100)),
        (" 2 H , 10 Trials, 300 epochs ", Budget(seconds=7200, trials=10, steps=300)),
        (40, Budget(trials=40)),
        ({"seconds": 5, "steps": 3}, Budget(seconds=5, steps=3)),
        (None, Budget()),
    ],
)
def test_reads_what_people_write(text, budget):
    assert Budget.parse(text) == budget


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2",
        "h",
        "2 parsecs",
        "two hours",
        "-1h",
        "0 trials",
        "1.5 trials",
        "2h 3",
        "500ms",
        "2 hs",
        "9" * 400 + " trials",
        "9" * 400 + " s",
        {"seconds": float("inf")},
        {"trials": 10**400},
        True,
        0,
        -3,
        2.5,
        {"x": 1},
        {"trials": "100"},
        {"trials": 2.5},
        {"steps": True},
        {"seconds": "2h"},
        {"device_seconds": [1]},
        [],
    ],
)
def test_anything_else_is_refused_with_examples(text):
    with pytest.raises(BudgetError, match="budget: "):
        Budget.parse(text)


@given(st.text(max_size=20))
def test_any_text_gives_a_budget_or_one_clear_error(text):
    try:
        budget = Budget.parse(text)
    except BudgetError as error:
        assert "write for example" in str(error)
    else:
        assert not budget.unlimited


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"seconds": "2h"}, "seconds must be a number above 0; got '2h'"),
        ({"trials": "100"}, "trials must be a whole number above 0; got '100'"),
        ({"trials": 2.5}, "trials must be a whole number above 0; got 2.5"),
        ({"steps": True}, "steps must be a whole number above 0; got True"),
    ],
)
def test_a_field_of_a_wrong_type_is_refused_by_its_name(fields, message):
    with pytest.raises(BudgetError, match=message):
        Budget(**fields)
    with pytest.raises(BudgetError, match=message):
        Budget.parse(fields)


def test_scalars_of_numpy_become_plain_numbers_that_json_holds():
    budget = Budget(seconds=np.float32(0.5), trials=np.int64(3), steps=9.0)
    assert json.loads(json.dumps(budget.to_json())) == {"seconds": 0.5, "trials": 3, "steps": 9}


def test_a_budget_is_told_limit_by_limit():
    assert str(Budget()) == "no limit"
    assert str(Budget(seconds=7200)) == "2 h"
    assert str(Budget(seconds=90, trials=3, steps=50, device_seconds=60)) == (
        "1 min 30 s, 3 trials, 50 steps, 1 min of device time"
    )


def test_json_form_gives_the_same_budget():
    budget = Budget(seconds=1.5, trials=3)
    assert Budget(**budget.to_json()) == budget


@pytest.mark.parametrize(
    ("value", "seconds"), [("30m", 1800), (12, 12.0), ("12", 12.0), ("2.5", 2.5), ("1h 1s", 3601), (None, None)]
)
def test_durations_are_read(value, seconds):
    assert parse_seconds(value, "trial_timeout") == seconds


@pytest.mark.parametrize("value", ["10 trials", "soon", 0, "0", -1, True, "", "500ms", 10**400, "9" * 400])
def test_a_wrong_duration_names_the_argument(value):
    with pytest.raises(BudgetError, match="trial_timeout: cannot read"):
        parse_seconds(value, "trial_timeout")


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (3600, "1 h")])
def test_durations_are_written_for_people(seconds, text):
    assert duration(seconds) == text
