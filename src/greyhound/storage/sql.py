"""A journal in a SQL database: SQLite (a file, no server) or PostgreSQL (several machines).

One table of events, a row each, keyed by study and position. A batch is one transaction that first
takes the write lock (SQLite: BEGIN IMMEDIATE; PostgreSQL: the study's row, FOR UPDATE), so positions
have no gaps and follow the order of commits.

SQLite runs in write-ahead mode with `synchronous = NORMAL`: what was appended survives the death of
every process; a power cut may lose the last moments but never damages the file. A PostgreSQL server may be away
for two minutes.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, SQLAlchemyError

from greyhound._lazy import require
from greyhound.errors import StorageError
from greyhound.events import Event, dump, load

SCHEMA_VERSION = 1
_BUSY_TIMEOUT_S = 60.0
_RETRY_S = 0.02
_AWAY_TIMEOUT_S = 120.0
_AWAY_RETRY_S = 0.5
_READS = "greyhound_reads"

R = TypeVar("R")

_METADATA = sa.MetaData()
_META = sa.Table(
    "greyhound_meta",
    _METADATA,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("value", sa.String(255), nullable=False),
)
_STUDIES = sa.Table(
    "greyhound_studies",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(255), nullable=False, unique=True),
    sa.Column("created", sa.Float, nullable=False),
)
_EVENTS = sa.Table(
    "greyhound_events",
    _METADATA,
    sa.Column("study", sa.Integer, sa.ForeignKey("greyhound_studies.id"), primary_key=True),
    sa.Column("position", sa.BigInteger, primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("data", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)
_LAST = sa.select(sa.func.max(_EVENTS.c.position)).where(_EVENTS.c.study == sa.bindparam("study"))
_LOCK = sa.select(_STUDIES.c.id).where(_STUDIES.c.id == sa.bindparam("study")).with_for_update()
_READ = (
    sa.select(_EVENTS.c.kind, _EVENTS.c.data)
    .where(_EVENTS.c.study == sa.bindparam("study"), _EVENTS.c.position > sa.bindparam("since"))
    .order_by(_EVENTS.c.position)
)


class Sql:
    """The journal of the study `name` in the database at `url`.

    create: make the database's tables and the study where they are missing; else StorageError says
    what is there instead.
    """

    def __init__(self, url: str, name: str, *, create: bool = True) -> None:
        self.url = url
        self.name = name
        self._opened = _connect(url, create)
        self._pid = os.getpid()
        self._patience_s = _AWAY_TIMEOUT_S
        self._study = self._patiently(lambda: self._find(create))
        path = sqlite_path(url)
        self._file = None if path is None else _File.at(path)

    def append(self, events: Sequence[Event]) -> int:
        """Add a batch in one transaction; the position of its last event.

        StorageError where the study file was removed or replaced: nobody would ever read the batch.
        """
        if self._file is not None and not self._file.is_there():
            raise StorageError(
                f"{shown(self.url)}: was removed or replaced while the study ran; put it back, or run the study again "
                f"to begin anew."
            )
        batch = [(event.kind, dump(event)) for event in events]
        behind: int | None = None  # the position behind which it was written by a try whose end is not known

        def write() -> int:
            nonlocal behind
            with self._engine.begin() as connection:
                if connection.dialect.name != "sqlite":  # there the whole file is locked
                    connection.execute(_LOCK, {"study": self._study})
                if behind is not None and list(self._rows(connection, behind))[: len(batch)] == batch:
                    return behind + len(batch)
                behind = int(connection.scalar(_LAST, {"study": self._study}) or 0)
                rows = [
                    {"study": self._study, "position": position, "kind": kind, "data": data}
                    for position, (kind, data) in enumerate(batch, behind + 1)
                ]
                if rows:
                    connection.execute(_EVENTS.insert(), rows)
            return behind + len(batch)

        return self._patiently(write)

    def read(self, since: int) -> list[Event]:
        """All events behind position `since`, in order."""

        def events() -> list[Event]:
            with _reading(self._engine) as connection:
                return [load(kind, data) for kind, data in self._rows(connection, since)]

        return self._patiently(events)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _rows(self, connection: sa.Connection, since: int) -> Iterator[tuple[str, str]]:
        found = connection.execute(_READ, {"study": self._study, "since": since})
        return ((kind, data) for kind, data in found)

    def _patiently(self, call: Callable[[], R]) -> R:
        """What the call returns; again for a while where the server is away, as while it is restarted.

        StorageError if it stays away, and from then on at once until it is back.
        """
        try:
            returned = _again(call, self.url, self._patience_s, _is_away)
        except StorageError as error:
            if _is_away(error.__cause__):
                self._patience_s = 0.0
            raise
        self._patience_s = _AWAY_TIMEOUT_S
        return returned

    @property
    def _engine(self) -> sa.Engine:
        """The connections of this process: a fork must leave those that it finds open to the other."""
        if self._pid != os.getpid():
            self._opened.dispose(close=False)
            self._pid = os.getpid()
        return self._opened

    def _find(self, create: bool) -> int:
        by_name = sa.select(_STUDIES.c.id).where(_STUDIES.c.name == self.name)
        with _reading(self._engine) as connection:
            found = connection.scalar(by_name)
        if found is None and create:
            # Two processes may create the study at once: the unique name decides.
            with contextlib.suppress(sa.exc.IntegrityError), self._engine.begin() as connection:
                connection.execute(_STUDIES.insert(), {"name": self.name, "created": time.time()})
            with _reading(self._engine) as connection:
                found = connection.scalar(by_name)
        if found is None:
            names = ", ".join(repr(name) for name in study_names(self.url)) or "none"
            raise StorageError(f"{shown(self.url)}: there is no study {self.name!r}; its studies: {names}.")
        return int(found)


@dataclass(frozen=True, slots=True)
class _File:
    """A file that is open. path: absolute. device, number: which it is, whatever its name."""

    path: Path
    device: int
    number: int

    @classmethod
    def at(cls, path: Path) -> _File:
        """The file that is there now."""
        found = path.stat()
        return cls(path.absolute(), found.st_dev, found.st_ino)

    def is_there(self) -> bool:
        """Whether it still has its name; also where that cannot be found out."""
        try:
            return _File.at(self.path) == self
        except OSError as error:
            return not isinstance(error, FileNotFoundError)


def study_names(url: str) -> list[str]:
    """The names of the studies in a database, oldest first. StorageError where it is none of ours."""
    engine = _connect(url, create=False)
    try:
        with _told(url), _reading(engine) as connection:
            return list(connection.scalars(sa.select(_STUDIES.c.name).order_by(_STUDIES.c.id)))
    finally:
        engine.dispose()


def shown(url: str) -> str:
    """The URL as it may be printed: a SQLite file as its path, a password left out."""
    path = sqlite_path(url)
    if path is not None:
        return str(path)
    parsed = sa.make_url(url)
    secrets = [key for key in parsed.query if "password" in key]
    return parsed.difference_update_query(secrets).render_as_string(hide_password=True)


def sqlite_path(url: str) -> Path | None:
    """The file of a SQLite URL; None for other databases."""
    try:
        parsed = sa.make_url(url)
    except ArgumentError as error:
        raise StorageError(
            f"storage: cannot read {url!r}; write a file name, 'sqlite:///tune.db' or 'postgresql://user@host/db'."
        ) from error
    except ValueError as error:
        raise StorageError(
            "storage: cannot read the port in the URL; write 'postgresql://user:password@host:5432/db', and in a "
            "password ':' as %3A, '/' as %2F and '@' as %40."
        ) from error
    if parsed.get_backend_name() != "sqlite":
        return None
    if not parsed.database or parsed.database == ":memory:":
        raise StorageError(
            "storage: a SQLite study needs a file, such as 'sqlite:///tune.db'; None keeps it in memory."
        )
    if "uri" in parsed.query:
        raise StorageError("storage: write the path of a SQLite study as it is, 'sqlite:///tune.db', without uri=true.")
    return Path(parsed.database)


def is_blank(path: Path) -> bool:
    """Whether a SQLite file is not there yet or has no tables, as one that is just being made."""
    if not path.exists() or path.stat().st_size == 0:
        return True
    if not _may_write(path):  # looking inside would leave files that its owner could not write to
        return False
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None
    return False


def database(url: str) -> str:
    """The name of the database on its server; "postgresql" where the URL leaves it out."""
    return sa.make_url(url).database or "postgresql"


def _reading(engine: sa.Engine) -> sa.Connection:
    """A connection that takes no write lock."""
    return engine.execution_options(**{_READS: True}).connect()


def _connect(url: str, create: bool) -> sa.Engine:
    path = sqlite_path(url)
    try:
        engine = _postgresql(url) if path is None else _sqlite(url, path, create)
    except NoSuchModuleError as error:
        raise StorageError(f"storage: {shown(url)}: there are sqlite and postgresql databases only.") from error
    except ModuleNotFoundError as error:
        raise StorageError(
            f"storage: {shown(url)}: there is no module {error.name!r}; write 'postgresql://user@host/db' or "
            f"'sqlite:///tune.db' for the drivers that Greyhound brings."
        ) from error
    let_in = threading.Event()  # by the server: what the URL names is right
    sa.event.listen(engine, "connect", lambda *_: let_in.set(), insert=True)  # before the first queries of the driver
    try:
        _again(lambda: _prepare(engine, url, create), url, _AWAY_TIMEOUT_S, lambda e: let_in.is_set() and _is_away(e))
    except StorageError:
        engine.dispose()
        raise
    return engine


def _sqlite(url: str, path: Path, create: bool) -> sa.Engine:
    if not create and not path.exists():
        raise StorageError(f"{path}: there is no such study file.")
    if path.is_dir():
        raise StorageError(f"{path}: is a folder; a study is kept in a file.")
    if not path.parent.is_dir():
        raise StorageError(f"{path}: the folder {path.parent} does not exist.")
    if create and path.exists() and not _may_write(path):
        raise StorageError(f"{path}: may not be written here; read it with Study.load, or give another storage=.")
    read_only = not create and _is_read_only(path)
    address = _unchanging(path) if read_only else url
    engine = sa.create_engine(address, connect_args={"timeout": _BUSY_TIMEOUT_S, "check_same_thread": False})

    @sa.event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin where `begin` says so
        if not read_only and (create or _is_ours(connection)):
            _write_ahead(connection)
            connection.execute("PRAGMA synchronous = NORMAL")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get(_READS) else "BEGIN IMMEDIATE")

    return engine


def _is_read_only(path: Path) -> bool:
    """Whether SQLite cannot make its own files beside a study file, which it needs even to read one, nor finds them.

    Nor may it where the study file is somebody else's, who could not write to those files. StorageError where it would
    miss what is not in the study file yet.
    """
    if _may_write(path.parent) and _may_write(path):
        return False
    log, index = (path.with_name(f"{path.name}-{ending}") for ending in ("wal", "shm"))
    if not log.exists() or log.stat().st_size == 0:
        return True
    if not index.exists():
        raise StorageError(
            f"{path}: its last events are in {log.name}, and cannot be read where one may not write; copy "
            f"both files to a folder of your own."
        )
    return False  # another process has made them


def _may_write(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _unchanging(path: Path) -> sa.URL:
    """The URL of a SQLite file that nobody writes to."""
    query = {"mode": "ro", "immutable": "1", "uri": "true"}
    return sa.URL.create("sqlite", database=path.absolute().as_uri(), query=query)


def _is_ours(connection: Any) -> bool:
    """Whether a SQLite file holds studies; another program's is left as it is."""
    named = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (_META.name,))
    return named.fetchone() is not None


def _write_ahead(connection: Any) -> None:
    """Switch to write-ahead logging; again for a while where another process has the file: SQLite refuses at once."""
    deadline = time.monotonic() + _BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(_RETRY_S)


def _postgresql(url: str) -> sa.Engine:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "postgresql":
        raise StorageError(f"storage: {parsed.get_backend_name()!r} is not supported; there are sqlite and postgresql.")
    if parsed.drivername == "postgresql":
        require("psycopg", "postgresql")
        parsed = parsed.set(drivername="postgresql+psycopg")
    # Who has waited for the lock must see what was written meanwhile, whatever the server's default.
    return sa.create_engine(parsed, pool_pre_ping=True, isolation_level="READ COMMITTED")


def _prepare(engine: sa.Engine, url: str, create: bool) -> None:
    """Make the tables where they are missing, and refuse a schema that is newer than ours."""
    version_row = sa.select(_META.c.value).where(_META.c.key == "schema")
    if not _is_made(engine):
        if not create:
            raise StorageError(f"{shown(url)}: this database holds no Greyhound study.")
        try:
            with engine.begin() as connection:
                _METADATA.create_all(connection)
                connection.execute(_META.insert(), {"key": "schema", "value": str(SCHEMA_VERSION)})
        except (sa.exc.OperationalError, sa.exc.ProgrammingError, sa.exc.IntegrityError):
            if not _is_made(engine):  # else another process did so at the same time
                raise
    with _reading(engine) as connection:
        found = connection.scalar(version_row)
    if not str(found).isdecimal():
        raise StorageError(f"{shown(url)}: its schema version {found!r} is none; the file is damaged.")
    if int(str(found)) > SCHEMA_VERSION:
        raise StorageError(
            f"{shown(url)}: was written by a newer Greyhound (schema {found}, this one reads up to "
            f"{SCHEMA_VERSION}): pip install -U greyhound-tune."
        )


def _again(call: Callable[[], R], url: str, patience_s: float, passes: Callable[[BaseException | None], bool]) -> R:
    """What the call returns; again for `patience_s` seconds after errors that pass. Database errors in one sentence."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            with _told(url):
                return call()
        except StorageError as error:
            if not passes(error.__cause__) or time.monotonic() > deadline:
                raise
        time.sleep(_AWAY_RETRY_S)


def _is_away(error: BaseException | None) -> bool:
    """Whether a database server cannot be reached, or has ended the connection."""
    if not isinstance(error, sa.exc.OperationalError) or isinstance(error.orig, sqlite3.Error):
        return False
    state = getattr(error.orig, "sqlstate", None)  # of SQL's classes 08 and 57P; none where nothing answered
    return state is None or state.startswith(("08", "57P"))


def _is_made(engine: sa.Engine) -> bool:
    with _reading(engine) as connection:
        return sa.inspect(connection).has_table(_META.name)


@contextlib.contextmanager
def _told(url: str) -> Iterator[None]:
    """Database errors in one sentence."""
    try:
        yield
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        what = "is not a study file" if isinstance(error, DatabaseError) and "not a database" in cause else "failed"
        raise StorageError(f"{shown(url)}: the database {what}: {cause}.") from error
