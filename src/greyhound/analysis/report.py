"""A study as one HTML file that opens without a network: what was tried, what won, and by how much.

It claims nothing beyond the data: the winner's value is the one that it was chosen by, and the report
says so.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greyhound._version import __version__
from greyhound.analysis import ranking, summary
from greyhound.analysis.figures import figures
from greyhound.analysis.finals import Finalist, counted, ends, finals
from greyhound.analysis.importance import importance
from greyhound.budget import duration
from greyhound.outputs import write
from greyhound.registry import named
from greyhound.settings import goals
from greyhound.trial import FAILED_STATES, Trial, TrialState
from greyhound.values import cut, listed, short

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from greyhound.history import History

_TOP = 20
_LONGEST_LINE = 400
"""Letters that are told of an error."""
_FEWEST_TO_WEIGH = 10
"""Trials with a usable value before the report says what matters."""


def write_report(
    history: History,
    path: Path,
    *,
    title: str | None = None,
    commands: Sequence[str] = (),
    checkpoint: Path | None = None,
    strategy: str | None = None,
    scheduler: str | None = None,
    audit: str | None = None,
) -> Path:
    """Write the report to `path`, and return that.

    title: what the study is called. commands: how to go on with it. checkpoint: the winner's file. strategy: the
    sampler in a line. scheduler: the name of the one that "auto" took. audit: what an audit of early stopping found.
    StudyError where it cannot be written, or where there is a database.
    """
    import jinja2
    from plotly.offline import get_plotlyjs

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    text = environment.get_template("report.html.j2").render(
        title=title or "A study",
        goal=goals(history.objectives),
        version=__version__,
        written=time.strftime("%Y-%m-%d %H:%M"),
        plotly=get_plotlyjs(),
        commands=commands,
        checkpoint=str(checkpoint) if checkpoint is not None else None,
        **_content(history, strategy, scheduler, audit),
    )
    write(path, text)
    return path


def _content(history: History, strategy: str | None, scheduler: str | None, audit: str | None) -> dict[str, Any]:
    usable = ranking.usable(history)
    single = len(history.objectives) == 1
    winner = ranking.best(history) if single else None
    return {
        "facts": [*_facts(history, strategy, scheduler), *([("audit of early stopping", audit)] if audit else [])],
        "usable": len(usable),
        "why_none": ranking.why_none(history),
        "winner": _shown(history, winner) if winner is not None else None,
        "gain": _gain(history, winner) if winner is not None else None,
        "finals": _finals(history),
        "held_out": summary.held_out(history),
        "front": []
        if single
        else [_shown(history, trial) for trial in ranking.ordered(history, ranking.front(history))],
        "figures": [
            {"id": f"figure-{at}", "title": title, "html": _html(figure, f"figure-{at}")}
            for at, (title, figure) in enumerate(figures(history))
        ],
        "importance": _importance(history) if single and len(usable) >= _FEWEST_TO_WEIGH else [],
        "top": [_shown(history, trial) for trial in _top(history)] if single else [],
        "metrics": summary.metrics(history),
        "endings": [(state.value, count) for state in TrialState if (count := history.count(state))],
        "errors": _errors(history),
        "space": [
            {
                "name": name,
                "kind": repr(parameter),
                "default": str(parameter.default) if parameter.has_default else "",
                "when": "; ".join(
                    f"{parent} is {' or '.join(map(str, values))}" for parent, values in (parameter.when or {}).items()
                ),
            }
            for name, parameter in history.space.parameters.items()
        ],
    }


def _importance(history: History) -> list[tuple[str, str]]:
    """Names and shares in percent; empty where there is nothing to compare."""
    shares = importance(history)
    if sum(share > 0 for share in shares.values()) < 2:
        return []
    return [(name, f"{100 * share:.1f}") for name, share in shares.items()]


def _facts(history: History, strategy: str | None, scheduler: str | None) -> list[tuple[str, str]]:
    settings = history.settings
    facts = [
        ("trials", f"{len(history)}: {summary.counts(history)}"),
        ("time", duration(history.elapsed_seconds(history.last_time))),
        ("training time of all workers", duration(history.total_seconds)),
    ]
    if history.max_steps is not None:
        saved, total = ranking.steps_saved(history), history.total_steps
        share = f" ({saved / (saved + total):.0%} of training all in full)" if saved else ""
        facts += [("steps of a full training", str(history.max_steps)), ("steps trained", str(total))]
        facts.append(("steps saved by early stopping", f"{saved}{share}"))
    elif history.total_steps:
        facts.append(("steps trained", str(history.total_steps)))
    if settings is not None:
        facts += [
            ("budget", settings.budget_in_words),
            ("sampler", strategy or _name(settings.sampler)),
            (
                "scheduler",
                f"auto: {scheduler}" if scheduler and settings.scheduler == "auto" else _name(settings.scheduler),
            ),
            ("seed", str(settings.seed)),
        ]
        facts += [("limit", str(limit)) for limit in history.limits]
    return facts


def _gain(history: History, winner: Trial) -> dict[str, Any] | None:
    """The winner's value less the default's, None where that diverged; no more where it was not trained, or won."""
    default = ranking.baseline(history)
    objective = history.objectives[0]
    if default is None or default.number == winner.number or objective.metric not in default.metrics:
        return None
    mine, theirs = winner.metrics[objective.metric], default.metrics[objective.metric]
    return {
        "default": _shown(history, default),
        "difference": f"{mine - theirs:+.4g}" if math.isfinite(theirs) else None,
        "uneven": winner.step != default.step,
    }


def _finals(history: History) -> dict[str, Any] | None:
    found = finals(history)
    if found is None:
        return None
    test = history.settings.test if history.settings is not None else None

    def row(each: Finalist) -> list[str]:
        name = "the default" if each.default else f"trial {each.trial.number}"
        if each.failures:
            return [name, f"{each.searched:.6g}", f"failed on {counted(each.failures)}", "", "", "", ""]
        gain = (f"{each.gain.estimate:+.4g}", ends(each.gain)) if each.gain is not None else ("", "")
        held_out = [f"{each.test.estimate:.4g} {ends(each.test)}" if each.test is not None else ""] if test else []
        mean = f"{each.mean.estimate:.4g}"
        return [name, f"{each.searched:.6g}", mean, ends(each.mean), *gain, f"{each.chance:.0%}", *held_out]

    return {
        "verdict": found.verdict[0].upper() + found.verdict[1:],
        "seeds": found.seeds,
        "rows": [row(each) for each in found.finalists],
        "gain": f"{found.gain.estimate:+.4g} {ends(found.gain)}" if found.gain is not None else None,
        "test": test,
    }


def _top(history: History) -> list[Trial]:
    return [history.trial(number) for number in ranking.ranked(history)[:_TOP]]


def _shown(history: History, trial: Trial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state.value,
        "step": trial.step,
        "score": summary.score(history, trial),
        "values": [
            summary.value(trial.metrics[name]) if name in trial.metrics else "" for name in summary.metrics(history)
        ],
        "params": [(name, short(item)) for name, item in trial.params.items()],
        "line": listed(trial.params),
        "seed": trial.seed,
    }


def _errors(history: History) -> list[tuple[str, str, int]]:
    """State, last line and number of each distinct failure, the most frequent first; of many the rest as one."""
    found: dict[tuple[str, str], int] = {}
    for trial in history.select(*FAILED_STATES):
        lines = (trial.error or "").strip().splitlines()
        key = (trial.state.value, cut(lines[-1], _LONGEST_LINE) if lines else "")
        found[key] = found.get(key, 0) + 1
    told = sorted(((*key, count) for key, count in found.items()), key=lambda row: -row[2])
    rest = told[_TOP:]
    return told[:_TOP] + ([("", f"{len(rest)} other lines", sum(row[2] for row in rest))] if rest else [])


def _html(figure: Figure, identifier: str) -> str:
    figure.update_layout(
        template="plotly_white",
        margin={"l": 55, "r": 15, "t": 15, "b": 45},
        height=340,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": "#7a8594"},
        legend={"orientation": "h", "y": 1.08},
    )
    figure.update_xaxes(gridcolor="rgba(128,128,128,0.2)", zeroline=False)
    figure.update_yaxes(gridcolor="rgba(128,128,128,0.2)", zeroline=False)
    html: str = figure.to_html(
        full_html=False, include_plotlyjs=False, div_id=identifier, config={"displayModeBar": False, "responsive": True}
    )
    return html


def _name(wanted: Any) -> str:
    options = ""
    if isinstance(wanted, dict):
        options = ", ".join(f"{key}={value}" for key, value in wanted.items() if key not in ("name", "class"))
    return f"{named(wanted)} ({options})" if options else named(wanted)
