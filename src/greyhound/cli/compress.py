"""`greyhound compress`: a trained model made small or fast."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from greyhound import cli, compressing
from greyhound.cli.arguments import worker_count
from greyhound.deploy.compression import QUANTIZATIONS, Compression
from greyhound.deploy.depth import stacks
from greyhound.errors import StudyError


def compress(
    target: Annotated[
        Path,
        typer.Argument(
            help="Python file that defines model(), example_inputs(), accuracy(model), maybe fine_tune(model)."
        ),
    ],
    max_drop: Annotated[str, typer.Option(help="The most accuracy that may be lost, such as 1% or 0.01.")] = "1%",
    minimize: Annotated[
        list[str] | None,
        typer.Option(help="bytes (the default), latency, parameters, flops or memory; may be repeated."),
    ] = None,
    shrink: Annotated[
        list[str] | None,
        typer.Option(help="At least so many times less: bytes=4; repeated; the most accurate such model."),
    ] = None,
    prune: Annotated[float, typer.Option(help="The largest share of channels to remove; 0 for none.")] = 0.8,
    rank: Annotated[float, typer.Option(help="The least share of linear layers' rank to keep; 1 keeps all.")] = 1.0,
    depth: Annotated[
        float | None,
        typer.Option(help="The least share of blocks to keep; 1 keeps all; by default 0.25 where there are blocks."),
    ] = None,
    lora_rank: Annotated[
        list[int] | None,
        typer.Option(help="Rank of the adapters that fine-tuning trains, 0 for all weights; may be repeated."),
    ] = None,
    quantize: Annotated[
        list[str] | None,
        typer.Option(
            help=f"May be repeated: {', '.join(QUANTIZATIONS)}; by default the third. The first is always tried."
        ),
    ] = None,
    budget: Annotated[str, typer.Option(help="'20 trials', '10m'…")] = "20 trials",
    workers: Annotated[str, typer.Option(help="How many at once, 'auto' or 'serial'.")] = "auto",
    threads: Annotated[int, typer.Option(help="Threads of the CPU with which latency is measured.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the study.")] = 0,
    storage: Annotated[
        str | None, typer.Option(help="Study file or database URL; beside the script if not given.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="File for the model; beside the script if not given.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing while the study runs.")] = False,
) -> None:
    """Make a trained model small or fast at no more than a stated loss of accuracy, and save it.

    Example: greyhound compress train.py --max-drop 1% --minimize bytes
    """
    options: dict[str, Any] = {}
    if quantize:
        options["quantize"] = tuple(dict.fromkeys(("none", *quantize)))
    for name, share in (("rank", rank), ("depth", 1.0 if depth is None else depth)):
        if not 0 < share <= 1:
            raise StudyError(f"--{name} must be above 0 and at most 1; got {share:g}.")
    subject = compressing.Subject.from_file(target)
    if depth is None:
        depth = 0.25 if stacks(subject.model) else 1.0
    found = compressing.compress(
        subject,
        max_drop=max_drop,
        minimize=minimize or ["bytes"],
        shrink=dict(_factor(text) for text in shrink or []),
        compression=Compression(
            prune=(0.0, prune) if prune else None,
            depth=(depth, 1.0) if depth < 1 else None,
            rank=(rank, 1.0) if rank < 1 else None,
            lora_rank=sorted(lora_rank) if lora_rank else None,
            **options,
        ),
        budget=budget,
        output=output or target.with_name(f"{target.stem}-compressed.pt2"),
        workers=worker_count(workers) or "auto",
        threads=threads,
        seed=seed,
        storage=storage or target.with_name(f"{target.stem}-compress.db"),
        progress=False if quiet else "auto",
    )
    for line in [*found.lines(), *(["", *found.table()] if len(minimize or ()) > 1 else ())]:
        typer.echo(line)
    if found.path is not None:
        typer.echo(f"wrote {found.path}; open it with torch.export.load({str(found.path)!r}).module()")
    if not found.study.finished:
        typer.echo("interrupted; the same command goes on from here.")
        raise typer.Exit(cli.INTERRUPTED)
    if found.path is None:
        raise typer.Exit(cli.NO_VALUE)


def _factor(text: str) -> tuple[str, float]:
    """The name and number of "bytes=4"."""
    name, _, number = text.rpartition("=")
    try:
        return name, float(number)
    except ValueError:
        raise StudyError(f"--shrink must be written as bytes=4; got {text!r}.") from None
