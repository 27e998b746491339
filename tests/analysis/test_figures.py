"""What the report's plots show: every value under its own name, and trials where they lie."""

import math

import greyhound as gh
from greyhound import events as ev
from greyhound.analysis import figures
from greyhound.history import History
from greyhound.settings import Settings
from greyhound.study import Study
from greyhound.trial import Objective, TrialState

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


def many(count):
    """A history of so many completed trials of a parameter x, whose losses are 0 to count - 1."""
    declared = Settings((Objective("loss", False),), gh.Space(x=gh.Float(0, 1), k=gh.Bool()))
    events = [ev.Declared(1.0, declared.to_json()), ev.Joined(1.0, "me", "host", 1, 1.0)]
    for at in range(count):
        events.append(ev.Started(2.0 + at, at, {"x": at / count, "k": True}, 1, "random", "me"))
        events.append(ev.Ended(2.0 + at, at, TrialState.COMPLETED, {"loss": float((count - 1 - at * 7) % count)}, "me"))
    return History.of(events)


def test_of_very_many_trials_plots_have_as_many_points_as_a_browser_draws():
    history = many(5001)
    drawn = {title: list(figure.data) for title, figure in figures.figures(history)}
    assert list(drawn) == [
        "Best so far (1667 of 5001 trials, of every rank)",
        "loss by x (1667 of 5001 trials, of every rank)",
        "loss by k (1667 of 5001 trials, of every rank)",
        "All parameters",
    ]
    for plots in drawn.values():
        assert all(len(plot.y or ()) <= 2000 for plot in plots if plot.type == "scatter")
    by_x = drawn["loss by x (1667 of 5001 trials, of every rank)"][0]
    assert sorted(by_x.y) == [float(rank) for rank in range(0, 5001, 3)]
    assert list(by_x.x) == sorted(by_x.x), "in the order of their numbers"


def test_the_line_of_the_best_is_whole_however_few_trials_are_drawn():
    history = many(5001)
    line = figures.best_so_far(history).data[1]
    drawn = dict(zip(line.x, line.y, strict=True))
    lowest, whole = math.inf, {}
    for at in range(5001):
        loss = history.trial(at).metrics["loss"]
        if loss < lowest or at == 5000:
            lowest = min(loss, lowest)
            whole[(1.0 + at) / 60] = lowest
    assert drawn == whole


def test_long_curves_keep_their_ends_and_some_steps_between():
    declared = Settings((Objective("loss", False),), gh.Space(x=gh.Float(0, 1)), max_steps=30_000)
    events = [ev.Declared(1.0, declared.to_json()), ev.Joined(1.0, "me", "host", 1, 1.0)]
    for at in range(3):
        events.append(ev.Started(2.0, at, {"x": 0.5}, 1, "random", "me"))
        events += [ev.Reported(3.0, at, step, {"loss": 1.0 / step + at}) for step in range(1, 30_001)]
    others, winner = figures.curves(History.of(events)).data
    assert winner.name == "winner"
    assert (len(winner.x), winner.x[0], winner.x[-1]) == (2000, 1, 30_000)
    assert len(others.x) == 2 * 10_000 + 2, "a gap behind each"
    assert (others.x[0], others.x[9_999], others.x[10_000]) == (1, 30_000, None)


def test_of_very_many_parameters_those_that_matter_most_are_drawn():
    space = gh.Space({f"p{at}": gh.Float(0, 1) for at in range(60)})
    study = Study(space, minimize="loss", sampler="random")
    for _ in range(60):
        trial = study.ask()
        study.tell(trial, loss=trial.params["p59"])
    titles = [title for title, _ in figures.figures(study.history)]
    assert len(titles) == 1 + 40 + 1
    assert "loss by p59" in titles
    assert titles[-1] == "The 40 parameters that matter most"
    assert len(figures.parallel(study.history).data[0].dimensions) == 40 + 1


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
