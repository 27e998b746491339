"""A study as its trainings may read it: in the process that drives it as it is, in a worker from its journal.

A journal that no other process can open, as one in memory, is copied to a temporary file whenever a trial is handed
to a worker, as far as it is new.
"""

from __future__ import annotations

import os
import tempfile
import time
import weakref
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greyhound import events as ev
from greyhound.history import History

if TYPE_CHECKING:
    from greyhound.session import Session


class Records:
    """Gives a study's name and its history up to now, wherever it is unpickled."""

    def __init__(self, session: Session, name: str) -> None:
        self._session = session
        self._name = name
        self._copy: Path | None = None
        self._copied = 0

    def __call__(self) -> tuple[str, History]:
        """The name and the history."""
        return self._name, self._session.history

    def __reduce__(self) -> tuple[Any, ...]:
        """The place of the journal, or of the copy, which is brought up to date."""
        url = getattr(self._session.journal, "url", None)
        if url is None:
            return _Elsewhere, (self._name, None, self._copied_to())
        return _Elsewhere, (self._name, _anywhere(url), None)

    def _copied_to(self) -> Path:
        if self._copy is None:
            descriptor, path = tempfile.mkstemp(prefix="greyhound-", suffix=".jsonl")
            os.close(descriptor)
            self._copy = Path(path)
            weakref.finalize(self, self._copy.unlink, missing_ok=True)
        events = self._session.journal.read(self._copied)
        with self._copy.open("a", encoding="utf-8") as file:
            file.writelines(f"{event.kind} {ev.dump(event)}\n" for event in events)
        self._copied += len(events)
        return self._copy


class _Elsewhere:
    """The same in a worker: from the journal at `url`, or from the copy in the file `path`."""

    def __init__(self, name: str, url: str | None, path: Path | None) -> None:
        self._at = name, url, path

    def __call__(self) -> tuple[str, History]:
        name, url, path = self._at
        return name, _journal(url, name)() if url is not None else _file(path)()

    def __reduce__(self) -> tuple[Any, ...]:
        return _Elsewhere, self._at


@cache
def _journal(url: str, name: str) -> Callable[[], History]:
    from greyhound.session import Session
    from greyhound.storage import open_journal

    session = Session(open_journal(url, name, create=False), {}, time.time)

    def read() -> History:
        session.refresh()
        return session.history

    return read


@cache
def _file(path: Path) -> Callable[[], History]:
    history, position = History(), 0

    def read() -> History:
        nonlocal position
        with path.open("rb") as file:
            file.seek(position)
            for line in file:
                if not line.endswith(b"\n"):  # it is being written
                    break
                kind, _, text = line.decode().partition(" ")
                history.apply(ev.load(kind, text))
                position += len(line)
        return history

    return read


def _anywhere(url: str) -> str:
    """The URL as it holds in any folder."""
    from greyhound.storage import to_url
    from greyhound.storage.sql import sqlite_path

    path = sqlite_path(url)
    return url if path is None else to_url(path.absolute())
