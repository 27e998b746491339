"""A study as its trainings may read it: in the process that drives it as it is, in a worker from its journal."""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING, Any

from greyhound.errors import StudyError

if TYPE_CHECKING:
    from greyhound.history import History
    from greyhound.session import Session


class Records:
    """Gives a study's name and its history up to now. It travels to workers as the place of the journal.

    There StudyError says so where the journal is in memory, or of a kind that cannot be opened by a URL.
    """

    def __init__(self, session: Session, name: str) -> None:
        self._session = session
        self._name = name

    def __call__(self) -> tuple[str, History]:
        """The name and the history."""
        return self._name, self._session.history

    def __reduce__(self) -> tuple[Any, ...]:
        """See the class."""
        return _Elsewhere, (_place(getattr(self._session.journal, "url", None)), self._name)


class _Elsewhere:
    """The same, in a process that does not drive the study."""

    def __init__(self, url: str | None, name: str) -> None:
        self._url = url
        self._name = name

    def __call__(self) -> tuple[str, History]:
        if self._url is None:
            raise StudyError(
                "trial.study: this study is kept in memory, where its worker processes cannot read it; "
                "give storage='study.db', or workers='serial'."
            )
        session = _opened(self._url, self._name)
        session.refresh()
        return self._name, session.history

    def __reduce__(self) -> tuple[Any, ...]:
        return _Elsewhere, (self._url, self._name)


def _place(url: str | None) -> str | None:
    """The URL as it holds in any folder."""
    if url is None:
        return None
    from greyhound.storage.sql import sqlite_path

    path = sqlite_path(url)
    return url if path is None else f"sqlite:///{path.absolute()}"


@cache
def _opened(url: str, name: str) -> Session:
    from greyhound.session import Session
    from greyhound.storage import open_journal

    return Session(open_journal(url, name, create=False), {}, time.time)
