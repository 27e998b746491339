"""What the report's plots show: every value under its own name, and trials where they lie."""

import greyhound as gh
from greyhound.analysis import figures
from greyhound.study import Study

ODD = ("<b>x</b>", 1, "1", None, ("a", 2), "a name that is longer than there is room for")


def study_of(space, params, **options):
    study = Study(space, minimize="loss", **options)
    for at, each in enumerate(params):
        study.enqueue(each)
        study.tell(study.ask(), loss=float(at))
    return study.history


def test_each_choice_has_a_place_and_its_name_there():
    history = study_of({"kind": gh.Categorical(ODD)}, [{"kind": choice} for choice in ODD])
    plot = figures.by_parameter(history, "kind", history.space["kind"])
    assert plot.layout.xaxis.tickvals == plot.data[0].x
    assert len(set(plot.data[0].x)) == len(ODD), "1 and '1' are two"
    names = ("&lt;b&gt;x&lt;/b&gt;", "1", "1", "None", "('a', 2)", "a name that is …")
    assert plot.layout.xaxis.ticktext == names
    assert plot.data[0].text[0] == "trial 0, 0 steps, &lt;b&gt;x&lt;/b&gt;"


def test_of_many_choices_some_are_named():
    history = study_of({"n": gh.Ordinal(range(100))}, [{"n": 3}, {"n": 4}])
    axis = figures.by_parameter(history, "n", history.space["n"]).layout.xaxis
    assert axis.ticktext[:3] == ("0", "5", "10")
    assert len(axis.tickvals) == len(axis.ticktext) == 20


def test_a_trial_passes_an_axis_that_it_does_not_have_below_its_end():
    space = {
        "kind": gh.Categorical(["<a>", "b", "c"]),
        "only": gh.Float(0.0, 1.0, when={"kind": "b"}),
        "fixed": gh.Int(3, 3),
    }
    history = study_of(space, [{"kind": "b", "only": 0.0, "fixed": 3}, {"kind": "<a>", "fixed": 3}])
    kind, only, fixed, loss = figures.parallel(history).data[0].dimensions
    assert kind.ticktext == ("<a>", "c"), "as it is: plotly takes no HTML here"
    assert kind.tickvals[0] == kind.values[1], "named where it lies"
    assert only.values[0] == 0.0
    assert only.values[1] == only.range[0] < 0.0
    assert dict(zip(only.tickvals, only.ticktext, strict=True))[only.range[0]] == "absent"
    assert fixed.tickvals == fixed.values[:1]
    assert fixed.range == (0.0, 1.0)
    assert loss.values == (0.0, 1.0)


def test_of_many_trials_the_parallel_plot_has_the_best_and_others_of_every_rank():
    history = study_of({"x": gh.Float(0.0, 1.0), "y": gh.Bool()}, [{"x": 0.5, "y": True}] * 1100)
    losses = figures.parallel(history).data[0].dimensions[-1]["values"]
    assert losses[0] == 0.0
    assert len(losses) <= 500
    assert losses[-1] > 1090.0


def test_values_too_large_to_draw_leave_the_others_in_the_plots():
    study = Study({"x": gh.Float(0.0, 1.0), "y": gh.Bool()}, minimize="loss")
    losses = [1.7e308, 2.0, -1.7e308, 1.0]
    for loss in losses:
        study.tell(study.ask(), loss=loss)
    history = study.history
    trials, best = figures.best_so_far(history).data
    assert trials.y == (None, 2.0, None, 1.0)
    assert best.y == (None, 2.0, None, None)
    assert figures.by_parameter(history, "x", history.space["x"]).data[0].y == (None, 2.0, None, 1.0)
    assert figures.parallel(history).data[0].dimensions[-1]["values"] == (1.0, 2.0)


def test_only_what_is_known_to_break_a_limit_is_said_to():
    study = Study({"x": gh.Float(0, 1)}, minimize=["a", "b"], subject_to="size <= 1", max_steps=2, budget="4 trials")
    for size in (0.5, 2.0, None):
        trial = study.ask()
        study.report(trial, 1, a=float(trial.number), b=-float(trial.number), **({"size": size} if size else {}))
    drawn = {trace.name: list(trace.x) for trace in figures.pareto(study.history, "a", "b").data}
    assert drawn == {"front": [0.0], "breaks a limit": [1.0]}
