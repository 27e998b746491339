"""The commands that tell what came of a study: trials, the best of them, reports, and what can be learnt."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from greyhound import cli
from greyhound.analysis import importance as hyperparameters
from greyhound.analysis import ranking, recommend, summary, table
from greyhound.cli import show
from greyhound.cli.arguments import JsonOption, NameOption, StudyArgument, locate, read_history, read_journal
from greyhound.display import how_to_continue
from greyhound.errors import StudyError
from greyhound.files import folder_of
from greyhound.history import History
from greyhound.outputs import write
from greyhound.storage import Journal, folder_beside, study_names
from greyhound.study import Study
from greyhound.values import listed


def best(study: StudyArgument, name: NameOption = None, as_json: JsonOption = False) -> None:
    """Print the best configuration, or the Pareto front where there are several objectives.

    Example: greyhound best train.db --json
    """
    journal, history = read_journal(study, name)
    winners = ranking.ordered(history, ranking.front(history))
    if not winners:
        typer.echo(f"error: {ranking.why_none(history)}.", err=True)
        raise typer.Exit(cli.NO_VALUE)
    if len(history.objectives) == 1:
        found = ranking.best(history)
        winners = [found] if found is not None else []
    records = [show.record(trial, _folder(journal, history)) for trial in winners]
    if as_json:
        typer.echo(json.dumps(records[0] if len(history.objectives) == 1 else records, indent=1))
        return
    for at, trial in enumerate(winners):
        if at:
            typer.echo()
        for key, value in trial.params.items():
            typer.echo(f"{key}: {value}")
        typer.echo(f"# trial {trial.number}: {summary.score(history, trial)}")
        if records[at]["checkpoint"]:
            typer.echo(f"# checkpoint: {records[at]['checkpoint']}")


def trials(
    study: StudyArgument,
    number: Annotated[int | None, typer.Argument(help="One trial, in full.")] = None,
    state: Annotated[str | None, typer.Option(help="Only those in this state, such as failed.")] = None,
    sort: Annotated[str | None, typer.Option(help="By this metric, the best first.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    name: NameOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the trials, or show one with its learning curve, error and files.

    Example: greyhound trials train.db --sort accuracy --limit 10
    """
    journal, history = read_journal(study, name)
    folder = _folder(journal, history)
    if number is not None:
        if not 0 <= number < len(history):
            raise StudyError(f"there is no trial {number}; the study has {len(history)}.")
        record = show.record(history.trial(number), folder, full=True)
        typer.echo(json.dumps(record, indent=1) if as_json else show.in_full(history, history.trial(number), folder))
        return
    chosen = show.select(history, state, sort)[:limit]
    if as_json:
        typer.echo(json.dumps([show.record(trial, folder) for trial in chosen], indent=1))
    else:
        show.print_table(history, chosen)


def export(
    study: StudyArgument,
    output: Annotated[Path | None, typer.Option(help="File to write; standard output if not given.")] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="csv or json; by the file's ending if not given.")
    ] = None,
    name: NameOption = None,
) -> None:
    """Write all trials as CSV, or with their learning curves as JSON.

    Example: greyhound export train.db --output trials.csv
    """
    form = form or (output.suffix.removeprefix(".").lower() if output is not None else "csv")
    writers = {"csv": table.to_csv, "json": table.to_json}
    if form not in writers:
        raise StudyError(f"export: --format must be csv or json; got {form!r}.")
    text = writers[form](read_history(study, name))
    if output is None:
        typer.echo(text, nl=False)
    else:
        write(output, text)
        typer.echo(f"wrote {output}")


def report(
    study: StudyArgument,
    output: Annotated[Path | None, typer.Option(help="File to write; beside the study file if not given.")] = None,
    name: NameOption = None,
) -> None:
    """Write one HTML file that tells all of the study and opens without a network.

    Example: greyhound report train.db --output report.html
    """
    storage, name = locate(study, name)
    with Study.load(storage, name) as opened:
        typer.echo(f"wrote {write_report(opened, output)}")


def importance(
    study: StudyArgument,
    method: Annotated[
        str,
        typer.Option(help="ped-anova (what makes the best tenth), fanova (variance) or grey (for few trials)."),
    ] = "ped-anova",
    metric: Annotated[str | None, typer.Option(help="Which metric, where there are several objectives.")] = None,
    name: NameOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell how much each hyperparameter matters, as shares of one.

    Example: greyhound importance train.db --method fanova
    """
    shares = hyperparameters.importance(read_history(study, name), method, metric)
    if as_json:
        typer.echo(json.dumps(shares, indent=1))
        return
    wide = max(map(len, shares), default=0)
    for parameter, share in shares.items():
        typer.echo(f"{parameter:{wide}}  {share:6.1%}  {'█' * round(40 * share)}".rstrip())
    if not any(shares.values()):
        typer.echo("nothing is known yet: too few trials, or no hyperparameter moves the metric beyond chance.")


def audit(study: StudyArgument, name: NameOption = None, as_json: JsonOption = False) -> None:
    """Tell how often early stopping was wrong, and what it cost, by trials that were trained to their end to check it.

    Example: greyhound audit train.db
    """
    storage, name = locate(study, name)
    with Study.load(storage, name) as opened:
        found = opened.audit()
    if as_json:
        low, high = found.interval
        shown = {"wrong": found.wrong, "interval": [low, high], "cost": found.cost}
        typer.echo(json.dumps(asdict(found) | shown, indent=1))
    else:
        typer.echo(str(found))


def rank(
    study: StudyArgument,
    weight: Annotated[list[str] | None, typer.Option(help="Weight of an objective: accuracy=2; repeated.")] = None,
    name: NameOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rank the Pareto front of several objectives, and recommend one trial.

    Example: greyhound rank train.db --weight accuracy=2
    """
    history = read_history(study, name)
    weights = dict(_weight(text) for text in weight or [])
    ranked = recommend.rank(history, weights)
    found = recommend.recommend(history, weights)
    if found is None:
        typer.echo(f"error: {ranking.why_none(history)}.", err=True)
        raise typer.Exit(cli.NO_VALUE)
    if as_json:
        rows = [{"grade": round(grade, 6), **show.record(trial, None)} for trial, grade in ranked]
        typer.echo(json.dumps({"reason": found.reason, "trials": rows}, indent=1))
        return
    for trial, grade in ranked:
        typer.echo(f"{grade:.3f}  trial {trial.number}: {summary.score(history, trial)}; {listed(trial.params)}")
    typer.echo(found.reason)


def studies(storage: Annotated[str, typer.Argument(metavar="FILE", help="Study file or database URL.")]) -> None:
    """List the names of the studies in a file.

    Example: greyhound studies train.db
    """
    for found in study_names(storage):
        typer.echo(found)


def _folder(journal: Journal, history: History) -> Path | None:
    """Where the study's files are; None where it has none beside it."""
    wanted = folder_beside(journal)
    return None if wanted is None else folder_of(history, wanted)


def _weight(text: str) -> tuple[str, float]:
    """The name and number of "accuracy=2"."""
    name, _, number = text.rpartition("=")
    try:
        return name, float(number)
    except ValueError:
        raise StudyError(f"--weight must be written as accuracy=2; got {text!r}.") from None


def write_report(study: Study, path: Path | None = None) -> Path:
    """Write the report, with the command that goes on; its path, beside the study file if not told where.

    StudyError where it cannot be written.
    """
    path = path or _report_path(study)
    command = how_to_continue(study)
    return study.write_report(path, [command] if command is not None and study.settings.resumable else [])


def _report_path(study: Study) -> Path:
    """train.html for train.db; studies that share a file have reports of their own."""
    name = study.name.replace("/", "_")
    if study.storage is None or "://" in study.storage:
        return Path(f"{name}.html")
    file = Path(study.storage)
    return file.with_name(f"{file.stem}.html" if study.only_one else f"{file.stem}-{name}.html")
