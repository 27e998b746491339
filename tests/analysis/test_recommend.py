"""One trial of the front is recommended, and why."""

import re

import pytest

from greyhound import events as ev
from greyhound.analysis.recommend import rank, recommend
from greyhound.errors import StudyError
from greyhound.history import History
from greyhound.settings import Settings
from greyhound.space import Float, Space
from greyhound.study import Study
from greyhound.trial import Objective, TrialState

GOALS = (Objective("accuracy", True), Objective("megabytes", False))


def history_of(*values, objectives=GOALS):
    settings = Settings(objectives=objectives, space=Space(x=Float(0.0, 1.0)))
    history = History.of([ev.Declared(1.0, settings.to_json()), ev.Joined(1.0, "a", "host", 1, 1.0)])
    for number, row in enumerate(values):
        metrics = dict(zip((each.metric for each in objectives), row, strict=True))
        history.apply(ev.Started(2.0, number, {"x": 0.5}, 1, "random", "a"))
        history.apply(ev.Ended(3.0, number, TrialState.COMPLETED, metrics, "a"))
    return history


EXTREMES_AND_KNEE = history_of((0.99, 100.0), (0.70, 1.0), (0.97, 10.0), (0.5, 50.0))


def test_the_knee_comes_before_the_extremes():
    ranked = rank(EXTREMES_AND_KNEE)
    assert ranked[0][0].number == 2
    assert {trial.number for trial, _ in ranked} == {0, 1, 2}, "only the front"
    grades = [grade for _, grade in ranked]
    assert grades == sorted(grades, reverse=True)
    # by hand: normalised 0.2700/0.29 and 90/99; Deng's coefficients 0.5 / (1 - x + 0.5), their mean
    assert grades[0] == pytest.approx((0.5 / (0.02 / 0.29 + 0.5) + 0.5 / (9 / 99 + 0.5)) / 2)


@pytest.mark.parametrize("size", [1e-200, 1e200, 1.5e308])
def test_objectives_of_any_size_are_ranked_alike(size):
    tiny = history_of((0.99, 1.0 * size), (0.70, -1.0 * size), (0.97, -0.8 * size))
    plain = history_of((0.99, 1.0), (0.70, -1.0), (0.97, -0.8))
    assert [(trial.number, grade) for trial, grade in rank(tiny)] == [
        (trial.number, pytest.approx(grade)) for trial, grade in rank(plain)
    ]


def test_weights_move_the_choice():
    assert rank(EXTREMES_AND_KNEE, {"megabytes": 0})[0][0].number == 0
    assert rank(EXTREMES_AND_KNEE, {"accuracy": 0.0})[0][0].number == 1
    assert rank(EXTREMES_AND_KNEE, {"accuracy": 20})[0][0].number == 0


def test_the_reason_says_where_it_stands():
    found = recommend(EXTREMES_AND_KNEE)
    assert found.trial.number == 2
    assert found.grade == rank(EXTREMES_AND_KNEE)[0][1]
    assert found.reason.startswith("Trial 2 comes nearest to being best in everything of 3 on the Pareto front:")
    assert "accuracy 0.97 (7% of the way from the best, 0.99, to the worst)" in found.reason
    assert "megabytes 10 (9% of the way from the best, 1, to the worst)" in found.reason
    weighted = recommend(EXTREMES_AND_KNEE, {"accuracy": 20}).reason
    assert "accuracy 0.99 (the best)" in weighted
    assert "with accuracy weighted 20" in weighted


def test_an_end_of_the_front_is_not_called_a_compromise():
    line = history_of(*((at / 10, 10.0 * at) for at in range(11)))
    reason = recommend(line).reason
    assert reason.startswith("Trial 0 has the highest grade of 11 on the Pareto front: accuracy 0 (100% of the way")
    assert reason.endswith(". No compromise comes near enough to the best in everything.")
    assert "No compromise" not in recommend(EXTREMES_AND_KNEE).reason


def test_a_front_of_one_says_so():
    found = recommend(history_of((0.9, 1.0), (0.8, 2.0)))
    assert found.trial.number == 0
    assert "the whole front" in found.reason


def test_nothing_usable_recommends_nothing():
    assert rank(history_of()) == []
    assert recommend(history_of()) is None


def test_one_objective_is_refused():
    history = history_of((0.9,), objectives=GOALS[:1])
    with pytest.raises(StudyError, match="one objective"):
        rank(history)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"acuracy": 1}, "no objective 'acuracy' to weight; there are accuracy, megabytes"),
        ({"accuracy": -1}, "the weight of accuracy must be a number of at least 0; got -1"),
        ({"accuracy": float("nan")}, "must be a number"),
        ({"accuracy": "2"}, "must be a number"),
        ({"accuracy": 0, "megabytes": 0}, "at least one"),
    ],
)
def test_wrong_weights_are_told(weights, message):
    with pytest.raises(StudyError, match=re.escape(message)):
        rank(EXTREMES_AND_KNEE, weights)


def test_a_study_ranks_its_front():
    study = Study(
        {"w": Float(1, 100, log=True)}, maximize="accuracy", minimize="megabytes", sampler="random", budget="20 trials"
    )
    while (trial := study.ask()) is not None:
        width = trial.params["w"]
        study.tell(trial, accuracy=1 - 1 / width, megabytes=width)
    ranked = study.rank()
    assert {trial.number for trial, _ in ranked} == {trial.number for trial in study.front}
    assert 3 < ranked[0][0].params["w"] < 30, "1 - 1/w gains little beyond"
    assert study.rank(weights={"megabytes": 0})[0][0].metrics["accuracy"] == max(
        t.metrics["accuracy"] for t in study.trials
    )
