"""Journals: where the events of a study are kept.

`open_journal` finds the right one for what a user writes: None (memory), a file name or a URL.
"""

from __future__ import annotations

from pathlib import Path

from greyhound.errors import StorageError
from greyhound.storage.base import Journal
from greyhound.storage.memory import Memory
from greyhound.values import show

DEFAULT_NAME = "study"
_LONGEST_NAME = 200


def open_journal(storage: str | Path | Journal | None, name: str | None = None, *, create: bool = True) -> Journal:
    """The journal of study `name` in `storage`.

    storage: None for memory, a file name or "sqlite:///file" for SQLite, "postgresql://…" for
    PostgreSQL, or a Journal, which is used as it is. name: None means the only study there is, or
    "study" where there is none. StorageError says what is wrong with either.
    """
    _check_name(name)
    if storage is None:
        return Memory(name or DEFAULT_NAME)
    if not isinstance(storage, str | Path):
        return _checked(storage)
    from greyhound.storage.sql import Sql

    url = to_url(storage)
    if name is None:
        names = study_names(url) if not create or _exists(url) else []
        if len(names) > 1:
            raise StorageError(f"{storage}: holds several studies: {', '.join(map(repr, names))}; give a name.")
        if not names and not create:
            raise StorageError(f"{storage}: holds no study yet.")
        name = names[0] if names else DEFAULT_NAME
    return Sql(url, name, create=create)


def _check_name(name: object) -> None:
    """StorageError where a study cannot be named so; its folder is."""
    if name is None:
        return
    known = isinstance(name, str) and name not in ("", ".", "..") and _can_be_kept(name)
    if not known or len(_file_name(str(name)).encode(errors="replace")) > _LONGEST_NAME:
        raise StorageError(
            f"name: write a text of 1 to {_LONGEST_NAME} bytes that may name a folder; got {show(name)}."
        )


def _can_be_kept(text: str) -> bool:
    """Whether a database can take a text: it is in UTF-8, without the character that ends one in C."""
    return "\0" not in text and text.encode(errors="replace").decode() == text


def _checked(storage: Journal) -> Journal:
    if not all(callable(getattr(storage, method, None)) for method in ("append", "read", "close")):
        raise StorageError(
            f"storage: write a file name, a URL such as 'postgresql://user@host/db', None to keep the study in "
            f"memory, or give a Journal; got {show(storage)}."
        )
    return storage


def to_url(storage: str | Path) -> str:
    """A file name as the URL of a SQLite database; a URL as it is.

    StorageError where it is no text of UTF-8, or holds a question mark, which SQLAlchemy before 2.1 cannot open.
    """
    text = str(storage)
    if not _can_be_kept(text):
        raise StorageError(f"storage: write a file name or URL that is a text in UTF-8; got {show(text)}.")
    if "://" in text:
        return text
    import sqlalchemy as sa

    url = sa.URL.create("sqlite", database=text).render_as_string(hide_password=False)
    if sa.make_url(url).database != text:
        raise StorageError(
            f"storage: {show(text)} holds a question mark, which SQLAlchemy {sa.__version__} cannot open: write "
            f"another name, or pip install 'sqlalchemy>=2.1'."
        )
    return url


def folder_beside(journal: Journal) -> Path | None:
    """Where a study's checkpoints and logs go: beside its SQLite file, or in the current folder for a database on a
    server; None for other journals.
    """
    if isinstance(journal, Memory):
        return None
    from greyhound.storage import sql

    if not isinstance(journal, sql.Sql):
        return None
    path = sql.sqlite_path(journal.url) or Path(_file_name(sql.database(journal.url)))
    own = path.stem if path.suffix == ".db" else path.name
    return path.with_name(f"{own}.files") / _file_name(journal.name)


def _file_name(name: str) -> str:
    """A name as that of a file or folder."""
    return name.replace("%", "%25").replace("/", "%2F")


def study_names(storage: str | Path) -> list[str]:
    """The names of the studies in a file or database, oldest first; StorageError where it holds none of ours."""
    from greyhound.storage import sql

    return sql.study_names(to_url(storage))


def shown(url: str) -> str:
    """A storage URL as it may be printed: a SQLite file as its path, a password left out."""
    from greyhound.storage import sql

    return sql.shown(url)


def _exists(url: str) -> bool:
    from greyhound.storage.sql import is_blank, sqlite_path

    path = sqlite_path(url)
    if path is not None:
        return not is_blank(path)
    try:
        study_names(url)
    except StorageError as error:
        if str(error).startswith(f"{shown(url)}: this database holds no"):
            return False
        raise
    return True


__all__ = [
    "DEFAULT_NAME",
    "Journal",
    "Memory",
    "folder_beside",
    "open_journal",
    "shown",
    "study_names",
    "to_url",
]
