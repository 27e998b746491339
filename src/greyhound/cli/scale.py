"""`greyhound scale`: small studies over growing sizes, and the forecast for a big one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from greyhound import cli, scaling
from greyhound.budget import parse_seconds
from greyhound.cli.arguments import default_stem, worker_count
from greyhound.cli.studyfile import read_space_file
from greyhound.errors import EvaluationError, StudyError
from greyhound.evaluators.script import Script
from greyhound.outputs import write


def scale(
    target: Annotated[str, typer.Argument(help="train.py (a script), module:function or file.py:function.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="Passed on to the script as they are; write -- before them.")
    ] = None,
    sizes: Annotated[str, typer.Option(help="Sizes to tune, at least three, growing: 64,128,256.")] = "",
    predict: Annotated[float, typer.Option(help="The size to forecast for, above those.")] = 0.0,
    parameter: Annotated[str, typer.Option(help="The parameter whose best value is forecast, such as lr.")] = "",
    size_parameter: Annotated[str, typer.Option(help="The parameter, and flag, by which the size is given.")] = "size",
    space: Annotated[Path | None, typer.Option(help="YAML or JSON file with the space, without the size.")] = None,
    maximize: Annotated[str | None, typer.Option(help="Metric to make large.")] = None,
    minimize: Annotated[str | None, typer.Option(help="Metric to make small.")] = None,
    budget: Annotated[str | None, typer.Option(help="Of each size: '20 trials', '1h'…")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Steps (epochs) of a full training.")] = None,
    workers: Annotated[str, typer.Option(help="How many at once, 'auto' or 'serial'.")] = "auto",
    gpus_per_trial: Annotated[float, typer.Option(help="GPUs of each worker; 0.5 shares one.")] = 1.0,
    trial_timeout: Annotated[str | None, typer.Option(help="Longest run of a trial: '30m', or seconds.")] = None,
    sampler: Annotated[str, typer.Option(help="Where to look: auto, random, sobol…")] = "auto",
    scheduler: Annotated[str, typer.Option(help="Early stopping: auto, none, asha…")] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of the studies.")] = 0,
    storage: Annotated[str | None, typer.Option(help="Study file or database URL, for all sizes.")] = None,
    output: Annotated[Path | None, typer.Option(help="File for the narrowed space, as YAML.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing while the studies run.")] = False,
) -> None:
    """Tune small models of growing size, forecast a parameter's best value for a big one, and narrow its space.

    Example: greyhound scale train.py --sizes 64,128,256 --predict 1024 --parameter lr --size-parameter width
    --space space.yaml --maximize accuracy --budget "20 trials"
    """
    given = {"--sizes": sizes, "--predict": predict, "--parameter": parameter, "--space": space, "--budget": budget}
    missing = [name for name, value in given.items() if not value]
    if missing:
        raise StudyError(f"scale: give {', '.join(missing)} too.")
    found = scaling.scale(
        _script(target, arguments or []),
        read_space_file(space) if space is not None else {},
        sizes=_sizes(sizes),
        predict=predict,
        parameter=parameter,
        size_parameter=size_parameter,
        storage=storage or f"{default_stem(target)}-scale.db",
        progress=False if quiet else "auto",
        workers=worker_count(workers) or "auto",
        gpus_per_trial=gpus_per_trial,
        trial_timeout_s=parse_seconds(trial_timeout, "trial_timeout"),
        maximize=maximize or (),
        minimize=minimize or (),
        budget=budget,
        max_steps=max_steps,
        sampler=sampler,
        scheduler=scheduler,
        seed=seed,
    )
    if found is None:
        typer.echo("interrupted; the same command goes on from here.")
        raise typer.Exit(cli.INTERRUPTED)
    for line in scaling.report(found, size_parameter):
        typer.echo(line)
    if output is not None:
        write(output, found.space.to_yaml())
        typer.echo(f"# wrote {output}; try it: greyhound run {target} --space {output}")


def _script(target: str, arguments: list[str]) -> Any:
    """What is tuned: a script with its arguments, or an import path."""
    if target.endswith(".py"):
        return Script((target, *arguments))
    if ":" not in target:
        raise EvaluationError(f"{target!r} is neither a script (train.py) nor a function (module:function).")
    if arguments:
        raise StudyError(f"{arguments[0]!r}: only scripts take arguments, not functions.")
    return target


def _sizes(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise StudyError(f"--sizes must be numbers with commas between, such as 64,128,256; got {text!r}.") from None
