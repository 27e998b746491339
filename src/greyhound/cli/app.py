"""The commands: they read arguments, call the library, and print."""

from __future__ import annotations

import json
import os
import shlex
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from greyhound import cli, samplers, strategy
from greyhound._version import __version__
from greyhound.analysis import importance as hyperparameters
from greyhound.analysis import ranking, recommend, summary, table
from greyhound.budget import Budget, duration, parse_seconds
from greyhound.cli import show
from greyhound.cli.compress import compress
from greyhound.cli.scale import scale
from greyhound.cli.studyfile import read_space_file, read_study_file
from greyhound.display import how_to_continue, make_display
from greyhound.errors import EvaluationError, StudyError
from greyhound.evaluators.function import from_target
from greyhound.evaluators.script import Script
from greyhound.finals import SEEDS, TOP, Plan, reserve
from greyhound.history import History
from greyhound.jobs import Evaluator
from greyhound.registry import named
from greyhound.settings import read_objectives
from greyhound.spending import time_left
from greyhound.storage import folder_beside, open_journal, presence, study_names
from greyhound.study import Study
from greyhound.trial import TrialState
from greyhound.tuning import as_evaluator, check_placeholders, drive, evaluator_again, make_executor, replicated

app = typer.Typer(
    name="greyhound",
    help="Hyperparameter tuning for deep learning: all devices busy, nothing lost, an honest report.",
    epilog="Exit codes: 0 done; 1 no trial has a usable value; 2 wrong usage or input; 3 the study file cannot "
    "be used; 4 the training cannot be run or failed on every worker; 130 interrupted, to be continued.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

StudyArgument = Annotated[str, typer.Argument(metavar="STUDY", help="Study file, database URL, or study.yaml.")]
NameOption = Annotated[str | None, typer.Option(help="The study within its file, where there are several.")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON, for programs.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"greyhound {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    target: Annotated[
        str,
        typer.Argument(help="train.py (a script), module:function, file.py:function, or study.yaml."),
    ],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="Passed on to the script as they are; write -- before them.")
    ] = None,
    space: Annotated[Path | None, typer.Option(help="YAML or JSON file with the space.")] = None,
    maximize: Annotated[list[str] | None, typer.Option(help="Metric to make large; may be repeated.")] = None,
    minimize: Annotated[list[str] | None, typer.Option(help="Metric to make small; may be repeated.")] = None,
    subject_to: Annotated[list[str] | None, typer.Option(help="Limit, such as 'latency_ms <= 5'.")] = None,
    budget: Annotated[str | None, typer.Option(help="'2h', '100 trials', '500 epochs', '8 gpu-hours'…")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Steps (epochs) of a full training.")] = None,
    workers: Annotated[str | None, typer.Option(help="How many at once, 'auto' or 'serial'.")] = None,
    gpus_per_trial: Annotated[float | None, typer.Option(help="GPUs of each worker; 0.5 shares one.")] = None,
    cores_per_trial: Annotated[int | None, typer.Option(help="CPU cores of each worker.")] = None,
    trial_timeout: Annotated[str | None, typer.Option(help="Longest run of a trial, such as '30m'.")] = None,
    sampler: Annotated[str | None, typer.Option(help="Where to look: auto, gp, tpe, random, grid, gp+genetic…")] = None,
    scheduler: Annotated[str | None, typer.Option(help="Early stopping: auto, none, asha…")] = None,
    audit: Annotated[
        float | None, typer.Option(help="Share of the steps for trials that check early stopping, such as 0.1.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the study.")] = None,
    warm_start: Annotated[list[str] | None, typer.Option(help="Earlier study to learn from; repeated.")] = None,
    storage: Annotated[str | None, typer.Option(help="Study file or database URL.")] = None,
    name: NameOption = None,
    command: Annotated[
        str | None, typer.Option(help="Template instead of flags: 'python train.py lr={lr} out={directory}'.")
    ] = None,
    tensorboard: Annotated[str | None, typer.Option(help="Folder of the script's TensorBoard logs.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing while the study runs.")] = False,
    report: Annotated[bool, typer.Option(help="Write an HTML report at the end.")] = True,
    folds: Annotated[int | None, typer.Option(help="Train each configuration on so many folds: {fold}.")] = None,
    repeats: Annotated[int | None, typer.Option(help="Train each configuration so often: {repeat}.")] = None,
    finals: Annotated[
        bool | None,
        typer.Option(help="Train the best and the default again on fresh seeds; see docs/generalisation.md."),
    ] = None,
    test: Annotated[str | None, typer.Option(help="Held-out metric: told at the end, never searched on.")] = None,
) -> None:
    """Tune a script or a function, or go on where an earlier run was.

    Example: greyhound run train.py --space space.yaml --maximize accuracy --budget 2h
    """
    given = {
        "space": read_space_file(space) if space is not None else None,
        "maximize": maximize, "minimize": minimize, "subject_to": subject_to, "budget": budget,
        "max_steps": max_steps, "workers": _workers(workers), "gpus_per_trial": gpus_per_trial,
        "cores_per_trial": cores_per_trial, "trial_timeout": trial_timeout, "sampler": sampler,
        "scheduler": scheduler, "audit": audit, "seed": seed, "warm_start": warm_start, "storage": storage,
        "name": name,
        "command": shlex.split(command) if command else None, "tensorboard": tensorboard,
        "finals": finals, "test": test, "folds": folds, "repeats": repeats,
    }  # fmt: skip
    settings = read_study_file(Path(target)) if target.endswith((".yaml", ".yml")) else {}
    settings |= {key: value for key, value in given.items() if value is not None}
    evaluator = _evaluator(target, settings, arguments or [])
    options = {
        "workers": settings.pop("workers", "auto"),
        "gpus_per_trial": settings.pop("gpus_per_trial", 1),
        "cores_per_trial": settings.pop("cores_per_trial", None),
        "trial_timeout_s": parse_seconds(settings.pop("trial_timeout", None), "trial_timeout"),
    }
    enqueue, wanted = settings.pop("enqueue", []), settings.pop("finals", "auto")
    folds, repeats = settings.pop("folds", 1), settings.pop("repeats", 1)
    source = {**as_evaluator(evaluator)[1], **_function(evaluator)}
    if folds != 1 or repeats != 1:
        steps = settings.get("max_steps")
        evaluator, source, settings["max_steps"] = replicated(evaluator, source, folds, repeats, steps)
        if settings.get("scheduler", "auto") == "auto":
            one = len(read_objectives(settings.get("maximize", ()), settings.get("minimize", ()))) == 1
            settings["scheduler"] = "racing" if one else "none"
    settings.setdefault("storage", f"{Path(target.partition(':')[0]).stem.rpartition('.')[2]}.db")
    study = Study(**settings, target={**source, **options})
    check_placeholders(evaluator, study)
    if not len(study.history):
        for params in enqueue:
            study.enqueue(params)
    _drive(study, evaluator, options, quiet, report, reserve(study, wanted, settings.get("budget")))


app.command()(scale)
app.command()(compress)


@app.command()
def resume(
    study: StudyArgument,
    add: Annotated[str | None, typer.Option(help="More budget, such as '1h' or '50 trials'.")] = None,
    workers: Annotated[str | None, typer.Option(help="How many at once, 'auto' or 'serial'.")] = None,
    name: NameOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing while the study runs.")] = False,
    report: Annotated[bool, typer.Option(help="Write an HTML report at the end.")] = True,
) -> None:
    """Go on with a study after Ctrl-C, a crash, a reboot, or when its budget was spent.

    Example: greyhound resume train.db --add 1h
    """
    opened, evaluator, options = _again(study, name, workers)
    if add is not None:
        opened.extend(add)
    if opened.finished:
        typer.echo(f"{opened.why_finished}; give it more: greyhound resume {shlex.quote(study)} --add 1h")
    _drive(opened, evaluator, options, quiet, report)


@app.command()
def finals(
    study: StudyArgument,
    top: Annotated[int, typer.Option(help="How many of the best configurations.")] = TOP,
    seeds: Annotated[int, typer.Option(help="On how many fresh seeds each.")] = SEEDS,
    workers: Annotated[str | None, typer.Option(help="How many at once, 'auto' or 'serial'.")] = None,
    name: NameOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing while the study runs.")] = False,
    report: Annotated[bool, typer.Option(help="Write an HTML report at the end.")] = True,
) -> None:
    """Train the best configurations and the default again on fresh seeds, and say whether the winner is real.

    Example: greyhound finals train.db --top 5 --seeds 5
    """
    opened, evaluator, options = _again(study, name, workers)
    opened.enqueue_finals(top, seeds)
    _drive(opened, evaluator, options, quiet, report)


@app.command()
def status(
    study: StudyArgument,
    name: NameOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew every two seconds.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what goes on in a study; reads only.

    Example: greyhound status train.db
    """
    while True:
        history = _read(study, name)
        if as_json:
            typer.echo(json.dumps(_status(history), indent=1))
        else:
            if watch:
                typer.echo("\033[2J\033[H", nl=False)  # clear the screen
            for line in [*summary.lines(history), f"sampler: {_strategy(history)}", *_activity(history)]:
                typer.echo(line)
        if not watch:
            return
        time.sleep(2.0)


@app.command()
def best(study: StudyArgument, name: NameOption = None, as_json: JsonOption = False) -> None:
    """Print the best configuration, or the Pareto front where there are several objectives.

    Example: greyhound best train.db --json
    """
    storage, name = _found(study, name)
    journal = open_journal(storage, name, create=False)
    history = History.of(journal.read(0))
    winners = ranking.ordered(history, ranking.front(history))
    if not winners:
        typer.echo("error: no trial has a usable value yet.", err=True)
        raise typer.Exit(cli.NO_VALUE)
    if len(history.objectives) == 1:
        found = ranking.best(history)
        winners = [found] if found is not None else []
    records = [show.record(trial, folder_beside(journal)) for trial in winners]
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


@app.command()
def trials(
    study: StudyArgument,
    number: Annotated[int | None, typer.Argument(help="One trial, in full.")] = None,
    state: Annotated[str | None, typer.Option(help="Only those in this state, such as failed.")] = None,
    sort: Annotated[str | None, typer.Option(help="By this metric, the best first.")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many.")] = None,
    name: NameOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the trials, or show one with its learning curve, error and files.

    Example: greyhound trials train.db --sort accuracy --limit 10
    """
    storage, name = _found(study, name)
    journal = open_journal(storage, name, create=False)
    history = History.of(journal.read(0))
    folder = folder_beside(journal)
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


@app.command()
def retry(
    study: StudyArgument,
    numbers: Annotated[list[int] | None, typer.Argument(help="These trials; all that failed if none is given.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All that failed (the default).")] = False,
    name: NameOption = None,
) -> None:
    """Put failed trials back, to go on from their checkpoints when the study is resumed.

    Example: greyhound retry train.db --failed
    """
    if numbers and failed:
        raise StudyError("retry: give trial numbers or --failed, not both.")
    storage, name = _found(study, name)
    with Study.load(storage, name) as opened:
        back = opened.retry(numbers or None)
        typer.echo(f"{len(back)} trials put back" if len(back) != 1 else "1 trial put back")
        if back:
            typer.echo(f"continue: {how_to_continue(opened)}")


@app.command()
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
    form = form or (output.suffix.removeprefix(".") if output is not None else "csv")
    writers = {"csv": table.to_csv, "json": table.to_json}
    if form not in writers:
        raise StudyError(f"export: --format must be csv or json; got {form!r}.")
    text = writers[form](_read(study, name))
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
        typer.echo(f"wrote {output}")


@app.command()
def report(
    study: StudyArgument,
    output: Annotated[Path | None, typer.Option(help="File to write; beside the study file if not given.")] = None,
    name: NameOption = None,
) -> None:
    """Write one HTML file that tells all of the study and opens without a network.

    Example: greyhound report train.db --output report.html
    """
    storage, name = _found(study, name)
    with Study.load(storage, name) as opened:
        typer.echo(f"wrote {opened.write_report(output or _report_path(opened), _commands(opened))}")


@app.command()
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
    shares = hyperparameters.importance(_read(study, name), method, metric)
    if as_json:
        typer.echo(json.dumps(shares, indent=1))
        return
    wide = max(map(len, shares), default=0)
    for parameter, share in shares.items():
        typer.echo(f"{parameter:{wide}}  {share:6.1%}  {'█' * round(40 * share)}".rstrip())
    if not any(shares.values()):
        typer.echo("nothing is known yet: too few trials, or no hyperparameter moves the metric beyond chance.")


@app.command("audit")
def audit_stops(study: StudyArgument, name: NameOption = None, as_json: JsonOption = False) -> None:
    """Tell how often early stopping was wrong, and what it cost, by trials that were trained to their end to check it.

    Example: greyhound audit train.db
    """
    storage, name = _found(study, name)
    with Study.load(storage, name) as opened:
        found = opened.audit()
    if as_json:
        low, high = found.interval
        shown = {"wrong": found.wrong, "interval": [low, high], "cost": found.cost}
        typer.echo(json.dumps(asdict(found) | shown, indent=1))
    else:
        typer.echo(str(found))


@app.command()
def rank(
    study: StudyArgument,
    weight: Annotated[list[str] | None, typer.Option(help="Weight of an objective: accuracy=2; repeated.")] = None,
    name: NameOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rank the Pareto front of several objectives, and recommend one trial.

    Example: greyhound rank train.db --weight accuracy=2
    """
    history = _read(study, name)
    weights = dict(_weight(text) for text in weight or [])
    ranked = recommend.rank(history, weights)
    found = recommend.recommend(history, weights)
    if found is None:
        typer.echo("error: no trial has a usable value yet.", err=True)
        raise typer.Exit(cli.NO_VALUE)
    if as_json:
        rows = [{"grade": round(grade, 6), **show.record(trial, None)} for trial, grade in ranked]
        typer.echo(json.dumps({"reason": found.reason, "trials": rows}, indent=1))
        return
    for trial, grade in ranked:
        typer.echo(
            f"{grade:.3f}  trial {trial.number}: {summary.score(history, trial)}; {summary.params(trial.params)}"
        )
    typer.echo(found.reason)


@app.command()
def studies(storage: Annotated[str, typer.Argument(metavar="FILE", help="Study file or database URL.")]) -> None:
    """List the names of the studies in a file.

    Example: greyhound studies train.db
    """
    for found in study_names(storage):
        typer.echo(found)


def _drive(
    study: Study, evaluator: Evaluator, options: dict[str, Any], quiet: bool, report: bool, plan: Plan | None = None
) -> None:
    """Run the study, tell what came of it, and end with the exit code that says so."""
    with study:
        display = make_display(False if quiet else "auto")
        interrupted = drive(study, make_executor(evaluator, **options), display, plan)
        if report and len(study.history):
            path = study.write_report(_report_path(study), _commands(study))
            if not quiet:
                typer.echo(f"report: {path}")
        if interrupted:
            raise typer.Exit(cli.INTERRUPTED)
        if len(ranking.usable(study.history)) == 0:
            raise typer.Exit(cli.NO_VALUE)


def _evaluator(target: str, settings: dict[str, Any], arguments: list[str]) -> Evaluator:
    """What is tuned; the keys of `settings` that say so are taken out of it."""
    command, function = settings.pop("command", None), settings.pop("function", None)
    tensorboard = settings.pop("tensorboard", None)
    if command is not None:
        return Script((*command, *arguments), tensorboard)
    if function is None and target.endswith(".py"):
        return Script((target, *arguments), tensorboard)
    function = function or target
    if ":" not in function:
        raise EvaluationError(
            f"{target!r} is neither a script (train.py), a function (module:function) nor a study file (study.yaml)."
        )
    if arguments:
        raise StudyError(f"{arguments[0]!r}: only scripts take arguments, not functions.")
    return from_target(function)


def _function(evaluator: Evaluator) -> dict[str, Any]:
    """The import path that the user gave, rather than one that is guessed from the function."""
    target = getattr(evaluator, "target", None)
    return {"function": target, "folder": os.getcwd()} if target else {}


def _workers(text: str | None) -> int | str | None:
    if text is None or text in ("auto", "serial"):
        return text
    if not text.isdecimal() or int(text) < 1:
        raise StudyError(f"--workers must be a whole number of at least 1, auto or serial; got {text!r}.")
    return int(text)


def _weight(text: str) -> tuple[str, float]:
    """The name and number of "accuracy=2"."""
    name, _, number = text.rpartition("=")
    try:
        return name, float(number)
    except ValueError:
        raise StudyError(f"--weight must be written as accuracy=2; got {text!r}.") from None


def _again(study: str, name: str | None, workers: str | None) -> tuple[Study, Evaluator, dict[str, Any]]:
    """A study to go on with, what it tunes and how, in the folder that it was run in."""
    storage, name = _found(study, name)
    storage = storage if "://" in storage else str(Path(storage).resolve())
    opened = Study.load(storage, name)
    target = opened.settings.target
    folder = target.get("folder")
    if folder and Path(folder).is_dir():
        os.chdir(folder)
    evaluator, options = evaluator_again(target)
    if workers is not None:
        options["workers"] = _workers(workers)
    return opened, evaluator, options


def _found(study: str, name: str | None) -> tuple[str, str | None]:
    """Storage and name of what the user calls a study."""
    if not study.endswith((".yaml", ".yml")):
        return study, name
    settings = read_study_file(Path(study))
    return settings.get("storage", f"{Path(study).stem}.db"), name or settings.get("name")


def _read(study: str, name: str | None) -> History:
    storage, name = _found(study, name)
    return History.of(open_journal(storage, name, create=False).read(0))


def _report_path(study: Study) -> Path:
    stem = Path(study.storage) if study.storage and "://" not in study.storage else Path(study.name)
    return stem.with_suffix(".html")


def _commands(study: Study) -> list[str]:
    command = how_to_continue(study)
    return [command] if command is not None and study.settings.target else []


def _activity(history: History) -> list[str]:
    """What runs, and what is left of the budget."""
    lines = []
    if history.settings is not None and not history.settings.budget.unlimited:
        lines.append(f"budget: {history.settings.budget}; {time_left(history, time.time())}")
    now = time.time()
    for trial in history.running:
        owner = history.owners.get(trial.owner)
        lives = owner is not None and presence.alive(owner, now)
        whose = f"{owner.host}, process {owner.pid}" if owner is not None else "unknown"
        lines.append(
            f"running: trial {trial.number}, step {trial.step}, for {duration(history.run_seconds(trial.number, now))} "
            f"({whose}{'' if lives else ', which is gone: resume takes it up again'})"
        )
    return lines


def _strategy(history: History) -> str:
    """The sampler in a line, with what it chose where it can be made again here."""
    wanted = history.settings.sampler if history.settings is not None else "auto"
    try:
        return samplers.explain(strategy.make_sampler(wanted), named(wanted), history)
    except StudyError:
        return named(wanted)


def _status(history: History) -> dict[str, Any]:
    winner = ranking.best(history) if len(history.objectives) == 1 else None
    budget = history.settings.budget if history.settings is not None else Budget()
    return {
        "trials": len(history),
        "states": {state.value: history.count(state) for state in TrialState},
        "best": show.record(winner, None) if winner is not None else None,
        "sampler": _strategy(history),
        "steps": history.total_steps,
        "steps_saved": ranking.steps_saved(history),
        "seconds": history.elapsed_seconds(time.time()),
        "budget": budget.to_json(),
    }
