"""Every journal keeps the promises of the conformance suite; SQLite's own ones besides."""

import contextlib
import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from greyhound.errors import StorageError
from greyhound.events import Beat, Reported, load
from greyhound.space import Float
from greyhound.storage import Memory, open_journal, shown, to_url
from greyhound.storage.sql import SCHEMA_VERSION, Sql, study_names
from greyhound.study import Study
from greyhound.testing.journals import CHECKS


def memory(request):
    journal = Memory()
    return lambda: journal


def sqlite(request):
    path = request.getfixturevalue("tmp_path") / "study.db"
    return lambda: Sql(to_url(path), "study")


def postgresql(request):
    url, name = request.getfixturevalue("postgresql_url"), secrets.token_hex(8)
    return lambda: Sql(url, name)


@pytest.mark.parametrize("kind", [memory, sqlite, postgresql], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_conformance(check, kind, request):
    check(kind(request))


def test_a_database_server_without_a_study_is_told(postgresql_url):
    open_journal(postgresql_url, "somebody").close()
    with pytest.raises(StorageError, match="there is no study 'nobody'"):
        open_journal(postgresql_url, "nobody", create=False)


def test_reading_a_journal_takes_hardly_more_memory_than_its_events(tmp_path):
    journal = Sql(to_url(tmp_path / "study.db"), "study")
    journal.append([Reported(float(step), 0, step, {"loss": 1.0 / step}) for step in range(1, 5001)])
    journal.read(4999)  # what the first query loads is not meant
    tracemalloc.start()
    try:
        events = journal.read(0)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(events) == 5000
    assert peak < 1.2 * kept, "no copy of all their texts besides"


def end_of_waiting(connection, where):
    """End the connection to the server that waits `where`, once there is one."""
    wait_for(connection, where, "count(pg_terminate_backend(pid))")


def wait_for(connection, where, asked="count(*)"):
    """Until somebody waits `where` on the server. asked: what is selected of who does so."""
    query = f"SELECT {asked} FROM pg_stat_activity WHERE wait_event = %s AND pid != %s"
    deadline = time.monotonic() + 30.0
    while not connection.exec_driver_sql(query, (where, own_number(connection))).scalar_one():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def own_number(connection):
    return connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()


@contextlib.contextmanager
def administrator(url):
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_a_connection_that_is_lost_before_a_batch_was_written_is_made_again(postgresql_url):
    journal = Sql(postgresql_url, secrets.token_hex(8))
    with administrator(postgresql_url) as server, ThreadPoolExecutor(1) as thread:
        server.exec_driver_sql("BEGIN")
        server.exec_driver_sql("LOCK greyhound_studies IN EXCLUSIVE MODE")
        position = thread.submit(journal.append, [Beat(1.0, "a"), Beat(2.0, "a")])
        end_of_waiting(server, "relation")
        server.exec_driver_sql("ROLLBACK")
        assert position.result(timeout=60.0) == 2
    assert [event.time for event in journal.read(0)] == [1.0, 2.0]


@pytest.mark.parametrize("table", ["greyhound_meta", "greyhound_studies"])
def test_a_study_whose_connection_is_lost_while_it_is_opened_is_opened(table, postgresql_url):
    name = secrets.token_hex(8)
    Sql(postgresql_url, name).append([Beat(1.0, "a")])
    held, seen = administrator(postgresql_url), administrator(postgresql_url)  # a transaction sees no new connections
    with ThreadPoolExecutor(1) as thread, held as locker, seen as server:
        locker.exec_driver_sql("BEGIN")
        locker.exec_driver_sql(f"LOCK {table} IN ACCESS EXCLUSIVE MODE")
        journal = thread.submit(Sql, postgresql_url, name, create=False)
        end_of_waiting(server, "relation")
        locker.exec_driver_sql("ROLLBACK")
        assert [event.time for event in journal.result(timeout=60.0).read(0)] == [1.0]


def test_a_study_is_opened_whichever_query_of_its_connection_is_the_last(postgresql_url, monkeypatch):
    monkeypatch.setattr("greyhound.storage.sql._AWAY_RETRY_S", 0.0)
    name = secrets.token_hex(8)
    Sql(postgresql_url, name).append([Beat(1.0, "a")])
    with administrator(postgresql_url) as server:
        for lost in range(1, 100):
            with (
                losing_connection(server, lost) as queries,
                contextlib.closing(Sql(postgresql_url, name, create=False)) as journal,
            ):
                assert [event.time for event in journal.read(0)] == [1.0]
            if queries[0] < lost:
                break
    assert 10 < lost < 99


@contextlib.contextmanager
def losing_connection(server, lost):
    """The server ends the connection that waits for it for the `lost`-th time. Yields a list: how often one waited."""
    waited, wait, administering = [0], psycopg.Connection.wait, []

    def wait_or_lose(connection, *arguments, **options):
        if not administering:
            waited[0] += 1
            if waited[0] == lost:
                administering.append(True)
                number = connection.info.backend_pid
                assert server.exec_driver_sql("SELECT pg_terminate_backend(%s, 30000)", (number,)).scalar_one()
                administering.clear()
        return wait(connection, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.Connection, "wait", wait_or_lose)
        yield waited


@pytest.mark.parametrize(
    "wrong", [{"database": "nowhere"}, {"username": "nobody"}, {"query": {"host": "/nowhere"}}], ids=str
)
def test_a_wrong_url_is_told_without_waiting_for_the_server(wrong, postgresql_url, monkeypatch):
    monkeypatch.setattr("greyhound.storage.sql.time.sleep", lambda _: pytest.fail("waits"))
    with pytest.raises(StorageError, match=r"nowhere|nobody"):
        Sql(sa.make_url(postgresql_url).set(**wrong).render_as_string(hide_password=False), "study")


@pytest.mark.skipif("GREYHOUND_TEST_POSTGRESQL" in os.environ, reason="changes the settings of the server")
def test_a_batch_that_was_written_as_the_connection_was_lost_is_not_written_again(postgresql_url):
    journal = Sql(postgresql_url, secrets.token_hex(8))
    with administrator(postgresql_url) as server, ThreadPoolExecutor(1) as thread:
        server.exec_driver_sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")  # commits wait, once written
        server.exec_driver_sql("SELECT pg_reload_conf()")
        position = thread.submit(journal.append, [Beat(1.0, "a"), Beat(2.0, "a")])
        end_of_waiting(server, "SyncRep")
        server.exec_driver_sql("ALTER SYSTEM RESET synchronous_standby_names")
        server.exec_driver_sql("SELECT pg_reload_conf()")
        assert position.result(timeout=60.0) == 2
    assert [event.time for event in journal.read(0)] == [1.0, 2.0]


@pytest.mark.skipif("GREYHOUND_TEST_POSTGRESQL" in os.environ, reason="changes the settings of the server")
@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_who_waited_for_another_writes_behind_it_whatever_the_server_isolates(postgresql_url, isolation):
    with administrator(postgresql_url) as server, ThreadPoolExecutor(2) as threads:
        server.exec_driver_sql(f"ALTER ROLE greyhound SET default_transaction_isolation = '{isolation}'")
        try:
            name = secrets.token_hex(8)
            journals = [Sql(postgresql_url, name), Sql(postgresql_url, name)]
            server.exec_driver_sql("BEGIN")
            server.exec_driver_sql("LOCK greyhound_events IN EXCLUSIVE MODE")
            positions = [threads.submit(journal.append, [Beat(1.0, "a")]) for journal in journals]
            wait_for(server, "relation")
            wait_for(server, "transactionid")
            server.exec_driver_sql("COMMIT")
            assert sorted(position.result(timeout=60.0) for position in positions) == [1, 2]
        finally:
            server.exec_driver_sql("ALTER ROLE greyhound RESET default_transaction_isolation")


def test_forks_of_a_process_have_connections_of_their_own(postgresql_url):
    program = (
        "import os, sys\n"
        "from greyhound.events import Beat\n"
        "from greyhound.storage import open_journal\n"
        f"journal = open_journal({postgresql_url!r}, {secrets.token_hex(8)!r})\n"
        "fork = os.fork()\n"
        "for at in range(100): journal.append([Beat(float(at), 'a')])\n"
        "if fork: sys.exit(os.waitpid(fork, 0)[1] or len(journal.read(0)) != 200)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_files_of_a_study_on_a_server_stay(postgresql_url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = f"a/{secrets.token_hex(8)}"
    with Study({"x": Float(0.0, 1.0)}, max_steps=9, storage=postgresql_url, name=name) as study:
        trial = study.ask()
        trial.directory.joinpath("checkpoint").write_text("so far")
    with Study.load(postgresql_url, name) as again:
        resumed = again.ask()
        assert resumed.number == trial.number
        assert resumed.directory.joinpath("checkpoint").read_text() == "so far"
        assert again.folder == tmp_path / "postgres.files" / name.replace("/", "%2F")


def test_study_file_is_in_write_ahead_mode(tmp_path):
    path = tmp_path / "study.db"
    open_journal(path).append([Beat(1.0, "a")])
    assert sqlite3.connect(path).execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_what_was_appended_survives_sigkill(tmp_path):
    path = tmp_path / "study.db"
    program = (
        "import os, signal\n"
        "from greyhound.storage import open_journal\n"
        "from greyhound.events import Beat\n"
        f"journal = open_journal({str(path)!r})\n"
        "for at in range(20): journal.append([Beat(float(at), 'a')])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    assert [event.time for event in open_journal(path).read(0)] == [float(at) for at in range(20)]


def test_two_processes_may_create_the_same_study_at_once(tmp_path):
    url, made, errors = to_url(tmp_path / "study.db"), [], []

    def create():
        try:
            made.append(Sql(url, "study"))
        except StorageError as error:
            errors.append(error)

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert study_names(url) == ["study"]
    made[0].append([Beat(1.0, "a")])
    assert [len(journal.read(0)) for journal in made] == [1] * 8


def test_a_file_that_another_process_is_writing_first_is_waited_for(tmp_path):
    path = tmp_path / "study.db"
    with contextlib.closing(sqlite3.connect(path, check_same_thread=False)) as other:
        other.execute("CREATE TABLE something (x)")
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.3, other.commit)
        release.start()
        Sql(to_url(path), "study").close()
        release.join()


def test_a_file_whose_making_was_broken_off_is_made_again(tmp_path):
    path = tmp_path / "study.db"
    with contextlib.closing(sqlite3.connect(path)) as begun:
        begun.execute("PRAGMA journal_mode = WAL")
    assert path.stat().st_size > 0
    open_journal(path).append([Beat(1.0, "a")])
    assert study_names(to_url(path)) == ["study"]


def test_a_file_of_another_program_is_left_as_it_is(tmp_path):
    path = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE t (x)")
    before = path.read_bytes()
    for create in (True, False):
        with pytest.raises(StorageError, match="holds no Greyhound study"):
            open_journal(path, create=create)
    assert path.read_bytes() == before


def test_a_study_is_read_while_somebody_holds_the_write_lock(tmp_path):
    path = tmp_path / "study.db"
    open_journal(path).append([Beat(1.0, "a")])
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        reader = threading.Thread(target=lambda: read.append(open_journal(path, create=False).read(0)), daemon=True)
        read = []
        reader.start()
        reader.join(30.0)
        assert [len(events) for events in read] == [1]


def test_a_server_that_forbids_tables_says_so(postgresql_url):
    role = f"guest_{secrets.token_hex(4)}"
    with administrator(postgresql_url) as server:
        server.exec_driver_sql(f"CREATE ROLE {role} LOGIN")
        server.exec_driver_sql(f"CREATE DATABASE {role}")
    url = sa.make_url(postgresql_url).set(username=role, database=role).render_as_string(hide_password=False)
    with pytest.raises(StorageError, match="permission denied"):
        open_journal(url, "study")


def test_newer_schema_is_refused_with_the_way_out(tmp_path):
    path = tmp_path / "study.db"
    open_journal(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE greyhound_meta SET value = ?", (str(SCHEMA_VERSION + 1),))
    with pytest.raises(StorageError, match=r"newer Greyhound .* pip install -U greyhound-tune"):
        open_journal(path)


def test_several_studies_share_a_file_and_one_must_be_named(tmp_path):
    path = tmp_path / "study.db"
    open_journal(path, "first").append([Beat(1.0, "a")])
    open_journal(path, "second").append([Beat(2.0, "b")])
    assert [event.time for event in open_journal(path, "second").read(0)] == [2.0]
    with pytest.raises(StorageError, match="several studies: 'first', 'second'; give a name"):
        open_journal(path)


def test_the_only_study_needs_no_name(tmp_path):
    path = tmp_path / "study.db"
    open_journal(path, "digits").append([Beat(1.0, "a")])
    assert len(open_journal(path).read(0)) == 1


@pytest.mark.parametrize("name", ["a%20b.db", "what?.db", "one#two.db", "é @ 1:2+3.db", "file:x.db", "a\\b.db"])
def test_a_file_name_may_hold_what_means_something_in_a_url(name, tmp_path):
    path = tmp_path / f"in {name}" / name
    path.parent.mkdir()
    open_journal(path).append([Beat(1.0, "a")])
    assert [file.name for file in path.parent.glob("*.db")] == [name]
    journal = open_journal(path, create=False)
    assert len(journal.read(0)) == 1
    assert shown(journal.url) == str(path)
    assert study_names(journal.url) == ["study"]


def test_a_password_is_not_shown():
    assert shown("postgresql://me:secret@host/lab") == "postgresql://me:***@host/lab"
    assert (
        shown("postgresql://me@host/lab?password=secret&sslmode=require") == "postgresql://me@host/lab?sslmode=require"
    )


@contextlib.contextmanager
def not_to_be_written(folder, mode=0o555):
    """The folder's files are read-only, and so is it by its `mode`; root is somebody else, who may read anything."""
    for path in folder.iterdir():
        path.chmod(0o555)
    folder.chmod(mode)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


@pytest.fixture
def shared():
    """A folder that everybody can reach."""
    with tempfile.TemporaryDirectory(prefix="greyhound-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def test_a_study_in_a_read_only_folder_is_read(shared):
    path = shared / "a %20 study?.db"
    with contextlib.closing(open_journal(path)) as journal:
        journal.append([Beat(1.0, "a")])
    with not_to_be_written(shared):
        journal = open_journal(path, create=False)
        assert [event.time for event in journal.read(0)] == [1.0]
        with pytest.raises(StorageError, match="readonly database"):
            journal.append([Beat(2.0, "a")])
    assert [file.name for file in shared.iterdir()] == [path.name]


@pytest.mark.parametrize("replaced", [False, True])
def test_nothing_is_written_to_a_file_that_has_lost_its_name(replaced, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    journal, path = open_journal("study.db"), tmp_path / "study.db"
    open_journal("other.db").close()
    monkeypatch.chdir("/")
    journal.append([Beat(1.0, "a")])
    path.unlink()
    if replaced:
        path.with_name("other.db").rename(path)
    with pytest.raises(StorageError, match=r"study\.db: was removed or replaced while the study ran"):
        journal.append([Beat(2.0, "a")])


def test_who_may_only_read_a_study_leaves_nothing_that_its_owner_could_not_write_to(shared):
    path = shared / "study.db"
    with contextlib.closing(open_journal(path)) as journal:
        journal.append([Beat(1.0, "a")])
    with not_to_be_written(shared, mode=0o777):
        journal = open_journal(path, create=False)
        assert [event.time for event in journal.read(0)] == [1.0]
        with pytest.raises(StorageError, match=r"study\.db: may not be written here; read it with Study\.load"):
            open_journal(path)
        assert [file.name for file in shared.iterdir()] == [path.name]


def test_a_study_that_another_writes_is_read_up_to_its_last_event(shared):
    with contextlib.closing(open_journal(shared / "study.db")) as writing:
        writing.append([Beat(1.0, "a")])
        with not_to_be_written(shared):
            journal = open_journal(shared / "study.db", create=False)
            writing.append([Beat(2.0, "a")])
            assert [event.time for event in journal.read(0)] == [1.0, 2.0]


def test_events_that_a_read_only_folder_hides_are_missed_by_nobody(shared, tmp_path):
    with contextlib.closing(open_journal(tmp_path / "study.db")) as journal:
        journal.append([Beat(1.0, "a")])
        for name in ("study.db", "study.db-wal"):
            shutil.copy(tmp_path / name, shared)
    with not_to_be_written(shared), pytest.raises(StorageError, match="last events are in study"):
        open_journal(shared / "study.db", create=False)


@pytest.mark.parametrize(
    ("storage", "told"),
    [
        ("missing/study.db", "the folder missing does not exist"),
        (".", "is a folder"),
        ("sqlite://", "needs a file"),
        ("mysql://host/db", "'mysql' is not supported"),
        ("no scheme://", "cannot read"),
        ("postgresql://me:it@host:54a2/db", "cannot read the port in the URL"),
        ("postgresql+nobody://host/db", "sqlite and postgresql databases only"),
        ("\udcff.db", "a text in UTF-8"),
        ("a\0b.db", "a text in UTF-8"),
        ("sqlite:///file:study.db?uri=true", "without uri=true"),
        ("sqlite+aiosqlite:///study.db", "there is no module 'aiosqlite'; write"),
    ],
)
def test_wrong_storage_is_told_in_one_sentence(storage, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StorageError, match=told):
        open_journal(storage)


def test_opening_without_creating_needs_a_study_file(tmp_path):
    with pytest.raises(StorageError, match="no such study file"):
        open_journal(tmp_path / "none.db", create=False)
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE t (x)").connection.commit()
    with pytest.raises(StorageError, match="holds no Greyhound study"):
        open_journal(tmp_path / "other.db", create=False)
    assert not (tmp_path / "none.db").exists()


@given(st.binary(min_size=1, max_size=400))
def test_random_bytes_as_a_study_file_give_one_clear_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("garbage") / "study.db"
    path.write_bytes(content)
    with pytest.raises(StorageError):
        open_journal(path, create=False)


@given(st.data())
def test_a_truncated_study_file_reads_or_gives_one_clear_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cut") / "study.db"
    journal = open_journal(path)
    journal.append([Beat(float(at), "owner" * 20) for at in range(100)])
    journal.close()
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    try:
        events = open_journal(path, create=False).read(0)
    except StorageError:
        return
    assert [event.time for event in events] == [float(at) for at in range(len(events))]


@given(st.text(max_size=12) | st.sampled_from(["started", "ended", "reported", "declared"]), st.text(max_size=60))
def test_a_damaged_event_gives_one_clear_error(kind, text):
    with pytest.raises(StorageError):
        load(kind, text)
