"""The report's plots, as plotly figures: functions of a history."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from greyhound.analysis import ranking
from greyhound.analysis.importance import importance
from greyhound.space import Float, Int, Parameter
from greyhound.trial import Trial
from greyhound.values import counted, cut, listed, short

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from greyhound.history import History

T = TypeVar("T")

_MOST_POINTS = 2000
"""Of a plot: a browser makes each an element of the page."""
_MOST_CURVES = 200
_MOST_STEPS = 20_000
"""Reports that all curves but the winner's and the default's show together."""
_MOST_LINES = 500
_MOST_PAIRS = 6
_MOST_PARAMETERS = 40
_MOST_TICKS = 24
_LARGEST = 1e300
"""Of values that are drawn."""
_LONGEST = 16
"""Letters of a label."""
_LONGEST_TEXT = 400
"""Letters that are told of a point."""
_ABSENT = -0.15
"""Where lines pass the axis of a parameter that a trial does not have; the axis' own values are from 0 to 1."""
_WINNER, _DEFAULT, _OTHERS, _BEST = "#1a7f5a", "#b3541e", "rgba(120,130,145,0.35)", "#2f6fb0"


def figures(history: History) -> Iterator[tuple[str, Figure]]:
    """Titles and figures, as far as the history has something to show."""
    some = _which(history)
    if len(history.objectives) == 1:
        if len(ranking.usable(history)) >= 2:
            yield f"Best so far{some}", best_so_far(history)
        if any(len(trial.reports) > 1 for trial in history.trials):
            yield "Learning curves", curves(history)
    elif len(ranking.usable(history)) >= 2:
        names = [objective.metric for objective in history.objectives]
        for first, second in itertools.islice(itertools.combinations(names, 2), _MOST_PAIRS):
            yield f"Pareto front: {first} and {second}{some}", pareto(history, first, second)
    if len(ranking.usable(history)) >= 2:
        shown = _parameters(history)
        for name in shown:
            parameter = history.space[name]
            if parameter.size != 1:
                yield f"{history.objectives[0].metric} by {name}{some}", by_parameter(history, name, parameter)
        if len(history.space) > 1 and len(history.objectives) == 1:
            whole = len(shown) == len(history.space)
            yield ("All parameters" if whole else f"The {len(shown)} parameters that matter most"), parallel(history)


def best_so_far(history: History) -> Figure:
    """Values of trials in the order in which they ended, and the best until then."""
    import plotly.graph_objects as go

    objective = history.objectives[0]
    ended = sorted(_usable(history), key=lambda trial: trial.ended or trial.started)
    values = [trial.metrics[objective.metric] for trial in ended]
    minutes = [((trial.ended or trial.started) - history.first_time) / 60 for trial in ended]
    best: list[float] = []
    for value in values:
        better = max if objective.maximize else min
        best.append(value if not best else better(best[-1], value))
    numbers = set(_some(history))
    dots = [at for at, trial in enumerate(ended) if trial.number in numbers]
    steps = [at for at, value in enumerate(best) if at in (0, len(best) - 1) or value != best[at - 1]]
    texts = [f"trial {ended[at].number}, {counted(ended[at].step, 'step')}" for at in dots]
    x, y = [minutes[at] for at in dots], [_drawn(values[at]) for at in dots]
    figure = go.Figure()
    figure.add_scatter(x=x, y=y, mode="markers", marker={"color": _OTHERS}, text=texts, name="trials")
    x, y = [minutes[at] for at in steps], [_drawn(best[at]) for at in steps]
    line = {"color": _BEST, "shape": "hv", "width": 3}
    figure.add_scatter(x=x, y=y, mode="lines", line=line, name="best so far")
    figure.update_layout(
        xaxis_title="minutes since the study began, with its breaks", yaxis_title=_escaped(objective.metric)
    )
    return figure


def curves(history: History) -> Figure:
    """The objective along the training; the winner and the default stand out."""
    import plotly.graph_objects as go

    metric = history.objectives[0].metric
    winner, default = ranking.best(history), ranking.baseline(history)
    special = [
        (trial, name, color)
        for trial, name, color in ((default, "default", _DEFAULT), (winner, "winner", _WINNER))
        if trial is not None
    ]
    numbers = {trial.number for trial, _, _ in special}
    others = [trial for trial in history.trials if trial.number not in numbers and trial.reports]
    figure = go.Figure()
    xs: list[float | None] = []
    ys: list[float | None] = []
    drawn = _each_so_many(others, _MOST_CURVES)
    for trial in drawn:
        steps, values = _curve(history, trial, metric, _MOST_STEPS // len(drawn))
        xs += [*steps, None]
        ys += [*map(_drawn, values), None]
    figure.add_scatter(
        x=xs, y=ys, mode="lines+markers", line={"color": _OTHERS, "width": 1}, marker={"size": 3}, name="others"
    )
    for trial, name, color in special:
        steps, values = _curve(history, trial, metric, _MOST_POINTS)
        figure.add_scatter(
            x=steps, y=[*map(_drawn, values)], mode="lines+markers", line={"color": color, "width": 3}, name=name
        )
    figure.update_layout(xaxis_title="step", yaxis_title=_escaped(metric))
    return figure


def by_parameter(history: History, name: str, parameter: Parameter) -> Figure:
    """The first objective against one parameter; the color tells how long a trial was trained."""
    import plotly.graph_objects as go

    metric = history.objectives[0].metric
    trials = [trial for trial in map(history.trial, _some(history)) if name in trial.params]
    numeric = isinstance(parameter, Float | Int)
    figure = go.Figure()
    figure.add_scatter(
        x=[trial.params[name] if numeric else parameter.encode(trial.params[name]) for trial in trials],
        y=[_drawn(trial.metrics[metric]) for trial in trials],
        mode="markers",
        marker={"color": [trial.step for trial in trials], "colorscale": "Viridis", "opacity": 0.75},
        text=[
            _escaped(f"trial {trial.number}, {counted(trial.step, 'step')}, {short(trial.params[name])}")
            for trial in trials
        ],
        showlegend=False,
    )
    figure.update_layout(xaxis_title=_escaped(name), yaxis_title=_escaped(metric))
    if numeric and getattr(parameter, "log", False):
        figure.update_xaxes(type="log")
    elif not numeric:
        choices = parameter.values(parameter.size or 1)
        told = choices[:: math.ceil(len(choices) / _MOST_TICKS)]
        ticks = [_escaped(cut(short(choice), _LONGEST)) for choice in told]
        figure.update_xaxes(tickvals=[*map(parameter.encode, told)], ticktext=ticks, range=[0, 1])
        figure.update_xaxes(automargin=True, ticklabeloverflow="allow")
    return figure


def parallel(history: History) -> Figure:
    """Trials as lines through their parameters' places in the unit cube, to their values; every so many-th by rank."""
    import plotly.graph_objects as go

    objective = history.objectives[0]
    metric = objective.metric
    ranked = [at for at in ranking.ranked(history) if _drawn(history.trial(at).metrics[metric]) is not None]
    numbers = _each_so_many(ranked, _MOST_LINES)
    values = [history.trial(number).metrics[objective.metric] for number in numbers]
    shown = set(_parameters(history))
    dimensions = [_axis(history, at, numbers) for at, name in enumerate(history.space.names) if name in shown]
    dimensions.append({"label": _escaped(cut(objective.metric, _LONGEST)), "values": values})
    line = {"color": values, "colorscale": "Viridis", "reversescale": not objective.maximize}
    room = {"x": [0.05, 0.95], "y": [0.05, 0.85]}  # the labels are around it
    return go.Figure(go.Parcoords(dimensions=dimensions, line=line, domain=room))


def _axis(history: History, at: int, numbers: Sequence[int]) -> dict[str, Any]:
    """The axis of one parameter: its ends where they lie, and a place below for trials that do not have it."""
    name, parameter = list(history.space.parameters.items())[at]
    there = history.active[numbers, at]
    units = history.X[numbers, at]
    ticks = {parameter.encode(value): cut(short(value), _LONGEST) for value in parameter.values(2)}
    if not there.all():
        units = units.copy()
        units[~there] = _ABSENT
        ticks[_ABSENT] = "absent"
    return {
        "label": _escaped(cut(name, _LONGEST)),
        "range": [min(ticks.keys() & {_ABSENT}, default=0.0), 1.0],
        "values": units.tolist(),
        "tickvals": [*ticks],
        "ticktext": [*ticks.values()],  # these alone are no HTML
    }


def pareto(history: History, first: str, second: str) -> Figure:
    """Two of the objectives: the front, the other trials, those that break a limit, and where the limits are.

    Trials of which it is not known whether they keep to the limits are left out.
    """
    import plotly.graph_objects as go

    front = ranking.ordered(history, ranking.front(history))
    kept, numbers = map(history.trial, _some(history)), {trial.number for trial in front}
    broken = (history.violations > 0).any(axis=1) & ~history.failed
    beyond = [history.trial(number) for number in _each_so_many(broken.nonzero()[0].tolist(), _MOST_POINTS)]
    figure = go.Figure()
    for name, color, symbol, chosen in (
        ("breaks a limit", _DEFAULT, "x", beyond),
        ("others", _OTHERS, "circle", [trial for trial in kept if trial.number not in numbers]),
        ("front", _WINNER, "circle", ranking.spread(front, _MOST_POINTS)),
    ):
        told = [trial for trial in chosen if first in trial.metrics and second in trial.metrics]
        if told:
            figure.add_scatter(
                x=[_drawn(trial.metrics[first]) for trial in told],
                y=[_drawn(trial.metrics[second]) for trial in told],
                mode="lines+markers" if name == "front" and len(history.objectives) == 2 else "markers",
                line={"dash": "dot", "width": 1},
                marker={"color": color, "size": 9, "symbol": symbol},
                text=[_escaped(cut(f"trial {trial.number}: {listed(trial.params)}", _LONGEST_TEXT)) for trial in told],
                name=name,
            )
    for limit in history.limits:
        line = {"line_dash": "dash", "line_color": _DEFAULT, "annotation_text": _escaped(str(limit))}
        if limit.metric == first:
            figure.add_vline(x=limit.bound, **line)
        elif limit.metric == second:
            figure.add_hline(y=limit.bound, **line)
    figure.update_layout(xaxis_title=_escaped(first), yaxis_title=_escaped(second))
    return figure


def _some(history: History) -> list[int]:
    """Numbers of the usable trials that are drawn, rising; of very many some of every rank, the best among them."""
    return sorted(_each_so_many(ranking.ranked(history), _MOST_POINTS))


def _which(history: History) -> str:
    """Behind a title, where not all trials are drawn."""
    drawn, count = len(_some(history)), len(ranking.usable(history))
    return f" ({drawn} of {count} trials, of every rank)" if drawn < count else ""


def _parameters(history: History) -> list[str]:
    """Names of the parameters that are drawn, in the space's order: all or, of very many, those that matter most."""
    names = history.space.names
    if len(names) <= _MOST_PARAMETERS:
        return list(names)
    shown = list(importance(history, metric=history.objectives[0].metric))[:_MOST_PARAMETERS]
    return [name for name in names if name in shown]


def _each_so_many(items: Sequence[T], most: int) -> Sequence[T]:
    """At most so many of the items, evenly, the first among them."""
    return items[:: max(1, math.ceil(len(items) / most))]


def _curve(history: History, trial: Trial, metric: str, most: int) -> tuple[list[int], list[float]]:
    """At most so many steps of a curve, the first and the last among them, and the values there."""
    steps, values = history.curve(trial.number, metric)
    told = ranking.spread([*zip(steps, values, strict=True)], most)
    return [step for step, _ in told], [value for _, value in told]


def _usable(history: History) -> Sequence[Trial]:
    return [history.trial(int(number)) for number in ranking.usable(history)]


def _drawn(value: float) -> float | None:
    """None for what plotly cannot draw: one infinite range leaves a plot empty."""
    return value if abs(value) <= _LARGEST else None


def _escaped(text: str) -> str:
    """plotly reads labels as a little HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
