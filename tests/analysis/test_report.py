"""The report: whole, honest, and safe from what users name things."""

import json
import re

import pytest

import greyhound as gh
from greyhound.analysis.report import write_report
from greyhound.study import Study

EVIL = "</script><b>bad</b>"


def study_of(space, count=6, **options):
    study = Study(space, sampler="random", budget=count, **{"maximize": "score", **options})
    while (trial := study.ask()) is not None:
        study.report(trial, 1, score=trial.number / 10)
        study.tell(trial, score=trial.number / 5)
    return study


def body_of(study, tmp_path):
    """The report without plotly's own code."""
    text = study.write_report(tmp_path / "report.html").read_text()
    return text[: text.index("<script>")] + text[text.index("</head>") :]


def test_winner_and_default_stand_side_by_side_with_an_honest_remark(tmp_path):
    study = study_of(gh.Space(x=gh.Float(0, 1, default=0.5)))
    body = body_of(study, tmp_path)
    assert "score 1 after 1 step<" in body
    assert "score 0 after 1 step<" in body
    assert "Difference of the winner: <strong>+1</strong>" in body
    assert "so it is optimistic" in body
    assert "Best so far" in body


def test_no_difference_is_told_from_a_default_that_diverged(tmp_path):
    study = Study(gh.Space(x=gh.Float(0, 1, default=0.5)), minimize="loss")
    for loss in (float("nan"), 2.0, 1.0):
        study.tell(study.ask(), loss=loss)
    body = body_of(study, tmp_path)
    assert "the default configuration, trial 0, diverged" in body
    assert "Difference of the winner" not in body


def test_the_winner_comes_first_among_equals(tmp_path):
    study = Study({"x": gh.Float(0, 1)}, minimize="loss")
    for steps in (1, 3, 2):
        study.report(trial := study.ask(), steps, loss=0.5)
        study.tell(trial, loss=0.5)
    best = body_of(study, tmp_path).partition("The best trials")[2]
    assert re.findall(r"<tr><td>(\d+)</td>", best)[:3] == ["1", "2", "0"]
    assert re.findall(r"<tr><td[^>]*>(\d+)</td>", study._repr_html_()) == ["1", "2", "0"]


def test_the_file_needs_no_network(tmp_path):
    text = study_of(gh.Space(x=gh.Float(0, 1))).write_report(tmp_path / "report.html").read_text()
    body = text[text.index("</head>") :]
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', body)
    assert "<link" not in text
    assert "Plotly.newPlot" in body


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_trials_claim_nothing(count, tmp_path):
    study = Study({"x": gh.Float(0, 1)}, maximize="score")
    for _ in range(count):
        study.tell(study.ask(), score=1.0)
    body = body_of(study, tmp_path)
    assert ("No trial has a usable value yet" in body) == (count == 0)
    assert ("Only one trial has a usable value" in body) == (count == 1)
    assert "so it is optimistic" not in body
    assert "Best so far" not in body


def test_names_choices_and_errors_are_escaped_everywhere(tmp_path):
    space = gh.Space({EVIL: gh.Categorical([EVIL, "other"]), "x": gh.Float(0, 1)})
    study = study_of(space, 8)
    study.extend("1 trial")
    study.tell(study.ask(), failed=f"Traceback\nValueError: {EVIL}")
    text = study.write_report(tmp_path / "report.html").read_text()
    body = text[text.index("</head>") :]
    assert "<b>bad</b>" not in body
    assert "&lt;b&gt;bad" in body


def test_of_many_failures_the_most_frequent_are_told_and_the_rest_counted(tmp_path):
    study = Study({"x": gh.Float(0, 1)}, minimize="loss", sampler="random")
    for at in range(30):
        study.tell(study.ask(), failed="ValueError: often" if at < 3 else f"ValueError: number {at} " + "y" * 10_000)
    body = body_of(study, tmp_path)
    assert body.index("ValueError: often") < body.index("ValueError: number 3 ")
    assert body.count("ValueError: number") == 19
    assert "8 other lines" in body
    assert "y" * 400 not in body


def test_values_that_json_lacks_do_not_break_the_plots(tmp_path):
    study = Study({"x": gh.Float(0, 1)}, maximize="score", max_steps=5, scheduler="none")
    for value in (0.5, float("inf"), float("nan"), 0.7):
        trial = study.ask()
        study.report(trial, 1, score=0.1)
        study.report(trial, 2, score=value)
    body = body_of(study, tmp_path)
    for data in re.findall(r"Plotly\.newPlot\(\s*\"[^\"]+\",\s*(\[.*?\]),\s*\{\"template", body, re.DOTALL):
        json.loads(data, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert "Learning curves" in body


def test_several_objectives_show_the_front(tmp_path):
    study = Study({"x": gh.Float(0, 1)}, maximize="score", minimize="size")
    for score, size in [(0.9, 10.0), (0.5, 5.0), (0.4, 6.0)]:
        study.tell(study.ask(), score=score, size=size)
    body = body_of(study, tmp_path)
    assert "The Pareto front" in body
    assert body.count("<figcaption>Pareto front") == 1


def test_three_objectives_show_every_pair_and_what_breaks_a_limit(tmp_path):
    study = Study({"x": gh.Float(0, 1)}, minimize=["error", "bytes", "seconds"], subject_to="bytes <= 7")
    for error, size, seconds in [(0.9, 10.0, 1.0), (0.5, 5.0, 2.0), (0.4, 6.0, 3.0)]:
        study.tell(study.ask(), error=error, bytes=size, seconds=seconds)
    body = body_of(study, tmp_path)
    for pair in ("error and bytes", "error and seconds", "bytes and seconds"):
        assert f"<figcaption>Pareto front: {pair}" in body
    assert "breaks a limit" in body


def test_commands_and_checkpoint_are_told(tmp_path):
    history = study_of(gh.Space(x=gh.Float(0, 1))).history
    path = write_report(
        history, tmp_path / "r.html", title="mine", commands=["greyhound resume a.db"], checkpoint=tmp_path
    )
    text = path.read_text()
    assert "<title>mine</title>" in text
    assert "greyhound resume a.db" in text
    assert str(tmp_path) in text


def test_the_scheduler_that_auto_took_is_named(tmp_path):
    study = Study({"x": gh.Float(0, 1)}, minimize="loss", max_steps=9)
    study.report(study.ask(), 1, loss=1.0)
    assert "auto: freeze_thaw" in body_of(study, tmp_path)


def test_every_kind_of_parameter_is_plotted(tmp_path):
    space = gh.Space(
        lr=gh.Float(1e-4, 1, log=True),
        n=gh.Int(1, 4),
        batch=gh.Ordinal([1, 2]),
        kind=gh.Categorical(["a", None, ("b", 1)]),
        flag=gh.Bool(),
        only=gh.Float(0, 1, when={"flag": True}),
        fixed=gh.Int(3, 3),
    )
    body = body_of(study_of(space, 20), tmp_path)
    for name in ("lr", "n", "batch", "kind", "flag", "only"):
        assert f"<figcaption>score by {name}" in body
    assert "score by fixed" not in body


def test_the_budget_is_told_with_what_is_kept_for_the_finals(tmp_path):
    space = gh.Space(x=gh.Float(0, 1, default=0.5))
    options = {"minimize": "loss", "budget": "40 trials", "workers": "serial", "progress": False, "sampler": "random"}
    study = gh.tune(lambda trial: trial.params["x"], space, **options)
    assert "32 trials for the search, 40 trials with the finals" in body_of(study, tmp_path)
