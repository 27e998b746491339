"""The commands as one program; they read arguments, call the library, and print."""

from __future__ import annotations

from typing import Annotated

import typer

from greyhound._version import __version__
from greyhound.cli.compress import compress
from greyhound.cli.results import audit, best, export, importance, rank, report, studies, trials
from greyhound.cli.running import finals, resume, retry, run
from greyhound.cli.scale import scale
from greyhound.cli.status import status

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


for command in (
    run, scale, compress, resume, finals, status, best, trials, retry, export, report, importance, audit, rank, studies,
):  # fmt: skip
    app.command()(command)
