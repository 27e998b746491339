"""Files that the user asked for, such as reports and models: each is written as a whole, and none over a database."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from greyhound.errors import StudyError

_SQLITE = b"SQLite format 3"


def write(path: Path, text: str) -> None:
    """Write a text as UTF-8. Who is killed meanwhile, or finds the disk full, leaves what was there before.

    StudyError where it cannot be written, or where there is a database, such as the study's own.
    """
    _fill(path, lambda file: file.write_text(text, encoding="utf-8"))


def copy(source: Path, path: Path) -> None:
    """Write what another file holds, as `write` does."""
    _fill(path, lambda file: shutil.copyfile(source, file))


def _fill(path: Path, fill: Callable[[Path], object]) -> None:
    try:
        if path.is_file() and _holds_database(path):
            raise StudyError(f"{path}: cannot be written: it is a database, maybe a study's; give another name.")
        if path.exists() and not _replaceable(path):
            fill(path)
        else:
            _replace(path.resolve(), fill)
    except OSError as error:
        raise StudyError(f"{path}: cannot be written: {error.strerror or error}.") from error


def _holds_database(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def _replaceable(path: Path) -> bool:
    """Whether another file may take its place: it is no device or pipe, and neither it nor its folder is protected."""
    return path.is_file() and os.access(path, os.W_OK) and os.access(path.resolve().parent, os.W_OK)


def _replace(path: Path, fill: Callable[[Path], object]) -> None:
    fresh = path.with_name(f".{secrets.token_hex(8)}.new")
    try:
        fill(fresh)
        if path.exists():
            shutil.copymode(path, fresh)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
