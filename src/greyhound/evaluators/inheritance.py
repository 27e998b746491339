"""Starting a training from the checkpoint of another, with hyperparameters of its own.

The other goes on meanwhile and replaces its checkpoint, so the one to start from is linked into the new trial's
folder when that trial is handed out, and stays there until the new one has written its own.
"""

from __future__ import annotations

import inspect
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from greyhound.errors import CheckpointError
from greyhound.evaluators import checkpoint
from greyhound.evaluators.stateful import InFiles, Stateful

PARENT = "parent"
"""The folder, within a trial's, of the checkpoint that it starts from."""
_TEMPORARY = ".parent.tmp"


def inherit(source: Path, folder: Path) -> Path:
    """Hold the checkpoint that the trial in folder `source` has now for the one in `folder`; the folder that holds it.

    What is held already stays; nothing is held for a trial that has a checkpoint of its own. CheckpointError where
    the disk refuses.
    """
    place = folder / PARENT
    if checkpoint.latest(place) is not None or checkpoint.latest(folder) is not None:
        return place
    while (path := checkpoint.latest(source)) is not None:
        if _held(path, place):
            break
    return place


def _held(path: Path, place: Path) -> bool:
    """Copy a checkpoint with its files, which appear at once and whole; False where it was replaced meanwhile.

    As long as it is not, its files are whole and stay.
    """
    copy = place.with_name(_TEMPORARY)
    shutil.rmtree(copy, ignore_errors=True)
    written = _identity(path)
    try:
        copy.mkdir(parents=True)
        try:
            os.link(path, copy / path.name)
        except OSError:  # a file system without hard links
            shutil.copyfile(path, copy / path.name)
        checkpoint.copy_files(path.parent, copy)
        if written is None or _identity(path) != written:
            return False
        shutil.rmtree(place, ignore_errors=True)
        copy.rename(place)
        return True
    except OSError as error:
        if _identity(path) != written:
            return False
        raise CheckpointError(f"{path}: the checkpoint cannot be copied into {place}: {error}.") from error
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from the one that takes its place; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def adopt(folder: Path, objects: Mapping[str, Stateful | InFiles]) -> checkpoint.Loaded | None:
    """As checkpoint.load, but the options that optimisers and schedules were made with stay, such as gamma.

    The learning rate that was loaded is scaled by how much the one given now differs from the one that the
    other training was given, so that warm-up and decay go on where they were.
    """
    keep = keeping_options(objects)
    loaded = checkpoint.load(folder, objects)
    if loaded is not None:
        keep()
    return loaded


def keeping_options(objects: Mapping[str, Any]) -> Callable[[], None]:
    """What gives optimisers and schedules the options that they have now, once another's states were loaded into them.

    For what a framework's trainer loads by itself; see adopt.
    """
    made = {name: [_options(group) for group in _groups(each)] for name, each in objects.items()}
    chosen = [(schedule, _arguments(schedule)) for each in objects.values() for schedule in _schedules(each)]

    def keep() -> None:
        for schedule, arguments in chosen:
            vars(schedule).update(arguments)
        ratios = {
            id(each): [_keep(group, mine) for group, mine in zip(_groups(each), made[name], strict=False)]
            for name, each in objects.items()
        }
        for each in objects.values():
            for schedule in _schedules(each):
                _scale(schedule, ratios.get(id(schedule.optimizer), []))

    return keep


def note_rates(objects: Iterable[Any]) -> None:
    """Write into optimisers the learning rates that they begin with, as most of torch's schedules do by themselves.

    So a copy knows how far a rate was brought down by ReduceLROnPlateau, or by hand.
    """
    for each in objects:
        for group in _groups(each):
            if group.get("lr") is not None:
                group.setdefault("initial_lr", float(group["lr"]))


def _keep(group: dict[str, Any], mine: Mapping[str, Any]) -> float:
    """Bring a parameter group back to the options it was made with; the ratio of its learning rate to the other's."""
    ratio = 1.0
    if "lr" in mine and "lr" in group:
        theirs = float(group.get("initial_lr", group["lr"]))
        ratio = float(mine.get("initial_lr", mine["lr"])) / theirs if theirs else 1.0
    for name, value in mine.items():
        if name == "lr" and name in group:
            group[name] = group[name] * ratio
        else:
            group[name] = value
    return ratio


def _scale(schedule: Any, ratios: list[float]) -> None:
    for name in ("base_lrs", "_last_lr"):
        values = getattr(schedule, name, None)
        if isinstance(values, list) and len(values) == len(ratios):
            setattr(schedule, name, [value * ratio for value, ratio in zip(values, ratios, strict=True)])


def _groups(each: Any) -> list[dict[str, Any]]:
    """The parameter groups of an optimiser as torch makes them; nothing of any other object."""
    groups = getattr(each, "param_groups", None)
    return [group for group in groups if isinstance(group, dict)] if isinstance(groups, list) else []


def _options(group: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name != "params"}


def _arguments(schedule: Any) -> dict[str, Any]:
    """What a schedule was made with, as far as it keeps that under the same names."""
    names = set(inspect.signature(type(schedule)).parameters) - {"optimizer", "last_epoch"}
    return {name: value for name, value in vars(schedule).items() if name in names}


def _schedules(each: Any) -> Iterator[Any]:
    """A learning-rate schedule as torch makes it, and those that it is made of."""
    if hasattr(each, "optimizer") and (hasattr(each, "base_lrs") or hasattr(each, "_last_lr")):
        yield each
    for part in getattr(each, "_schedulers", ()):
        yield from _schedules(part)
