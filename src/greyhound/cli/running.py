"""The commands that train: a new study, one that goes on, its finals; and what puts trials back for that."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from greyhound import cli
from greyhound.analysis import ranking
from greyhound.budget import parse_seconds
from greyhound.cli.arguments import NameOption, StudyArgument, default_stem, locate, worker_count
from greyhound.cli.results import write_report
from greyhound.cli.studyfile import read_space_file, read_study_file, split_command
from greyhound.display import how_to_continue, make_display
from greyhound.errors import EvaluationError, StudyError
from greyhound.evaluators.function import from_target
from greyhound.evaluators.script import Script
from greyhound.executors import Executor
from greyhound.finals import SEEDS, TOP, Plan, kept, reserve
from greyhound.jobs import Evaluator
from greyhound.settings import read_objectives
from greyhound.study import Study
from greyhound.tuning import (
    as_evaluator,
    check_space,
    drive,
    enqueue_first,
    evaluator_again,
    make_executor,
    replicated,
)
from greyhound.values import counted


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
    executor: Annotated[str | None, typer.Option(help="Where to train: local, or ray for a Ray cluster.")] = None,
    workers: Annotated[str | None, typer.Option(help="How many at once, 'auto' or 'serial'.")] = None,
    gpus_per_trial: Annotated[float | None, typer.Option(help="GPUs of each worker; 0.5 shares one.")] = None,
    cores_per_trial: Annotated[int | None, typer.Option(help="CPU cores of each worker.")] = None,
    trial_timeout: Annotated[str | None, typer.Option(help="Longest run of a trial: '30m', or seconds.")] = None,
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
    line: Annotated[
        list[str] | None,
        typer.Option(help="Line by which the script tells metrics: 'epoch {epoch}: loss {loss}'; may be repeated."),
    ] = None,
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
        "max_steps": max_steps, "executor": executor, "workers": worker_count(workers),
        "gpus_per_trial": gpus_per_trial, "cores_per_trial": cores_per_trial, "trial_timeout": trial_timeout,
        "sampler": sampler, "scheduler": scheduler, "audit": audit, "seed": seed, "warm_start": warm_start,
        "storage": storage, "name": name,
        "command": split_command(command, "--command") if command is not None else None, "tensorboard": tensorboard,
        "line": line,
        "finals": finals, "test": test, "folds": folds, "repeats": repeats,
    }  # fmt: skip
    settings = read_study_file(Path(target)) if target.endswith((".yaml", ".yml")) else {}
    settings |= {key: value for key, value in given.items() if value is not None}
    evaluator = _evaluator(target, settings, arguments or [])
    options = {
        "executor": settings.pop("executor", "local"),
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
    settings.setdefault("storage", f"{default_stem(target)}.db")
    check_space(evaluator, settings.get("space"), enqueue, settings.get("max_steps"))
    trainer = make_executor(evaluator, **options)
    with contextlib.ExitStack() as last:
        last.callback(trainer.shutdown)
        study = Study(**settings, target={**source, **options}, devices_per_trial=options["gpus_per_trial"] or 1)
        enqueue_first(study, enqueue)
        _train(study, trainer, quiet, report, reserve(study, wanted, settings.get("budget")))


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
    plan = kept(opened, add and add.removeprefix("+"))
    if opened.finished and (plan is None or opened.history.replicates):
        typer.echo(f"{opened.why_finished}; give it more: {how_to_continue(opened)}")
    _drive(opened, evaluator, options, quiet, report, plan)


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
    storage, name = locate(study, name)
    with Study.load(storage, name) as opened:
        back = opened.retry(numbers or None)
        typer.echo(f"{counted(len(back), 'trial')} put back")
        if back:
            typer.echo(f"continue: {how_to_continue(opened)}")


def _drive(
    study: Study, evaluator: Evaluator, options: dict[str, Any], quiet: bool, report: bool, plan: Plan | None = None
) -> None:
    """Run the study with workers of its own."""
    _train(study, make_executor(evaluator, **options), quiet, report, plan)


def _train(study: Study, executor: Executor, quiet: bool, report: bool, plan: Plan | None = None) -> None:
    """Run the study, tell what came of it, and end with the exit code that says so."""
    with study:
        interrupted = drive(study, executor, make_display(False if quiet else "auto"), plan)
        if report and len(study.history):
            _report(study, quiet)
        if interrupted:
            raise typer.Exit(cli.INTERRUPTED)
        if len(ranking.usable(study.history)) == 0:
            raise typer.Exit(cli.NO_VALUE)


def _report(study: Study, quiet: bool) -> None:
    """Write the report; what came of the study does not hang on it."""
    try:
        path = write_report(study)
    except StudyError as error:
        typer.echo(f"warning: there is no report: {error}", err=True)
    else:
        if not quiet:
            typer.echo(f"report: {path}")


def _evaluator(target: str, settings: dict[str, Any], arguments: list[str]) -> Evaluator:
    """What is tuned; the keys of `settings` that say so are taken out of it."""
    command, function = settings.pop("command", None), settings.pop("function", None)
    tensorboard, lines = settings.pop("tensorboard", None), settings.pop("line", ())
    if command is not None:
        return Script((*command, *arguments), tensorboard, lines)
    if function is None and target.endswith(".py"):
        return Script((target, *arguments), tensorboard, lines)
    function = function or target
    if ":" not in function:
        raise EvaluationError(
            f"{target!r} is neither a script (train.py), a function (module:function) nor a study file (study.yaml); "
            f"write the command line of any other program after --command."
        )
    if arguments:
        raise StudyError(f"{arguments[0]!r}: only scripts take arguments, not functions.")
    if tensorboard is not None:
        raise StudyError("tensorboard: only a script's metrics are read from there; a function reports its own.")
    if lines:
        raise StudyError("line: only a script's metrics are read from what it prints; a function reports its own.")
    return from_target(function)


def _function(evaluator: Evaluator) -> dict[str, Any]:
    """The import path that the user gave, rather than one that is guessed from the function."""
    target = getattr(evaluator, "target", None)
    return {"function": target, "folder": os.getcwd()} if target else {}


def _again(study: str, name: str | None, workers: str | None) -> tuple[Study, Evaluator, dict[str, Any]]:
    """A study to go on with, what it tunes and how, in the folder that it was run in."""
    storage, name = locate(study, name)
    storage = storage if "://" in storage else str(Path(storage).resolve())
    opened = Study.load(storage, name)
    target = opened.settings.target
    folder = target.get("folder")
    if folder and Path(folder).is_dir():
        os.chdir(folder)
        if "://" in (opened.storage or ""):  # a database's files are looked for in that folder
            opened = Study.load(storage, name)
    evaluator, options = evaluator_again(target)
    if workers is not None:
        options["workers"] = worker_count(workers)
    return opened, evaluator, options
