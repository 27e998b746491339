"""A real PostgreSQL server for the tests: the one that GREYHOUND_TEST_POSTGRESQL names, or one of our own."""

import glob
import os
import pwd
import shutil
import subprocess
import sys
import tempfile

import pytest

_STOP_LATER = (
    "import shutil, subprocess, sys; folder, user, *stop = sys.argv[1:]; sys.stdin.read(); "
    "subprocess.run(stop, user=user or None, cwd=folder, stdout=subprocess.DEVNULL); shutil.rmtree(folder, True)"
)
"""A program that stops the server once whoever started it has closed its input or is gone, killed or not."""


@pytest.fixture(scope="session")
def postgresql_url():
    """The URL of an empty database; the test is skipped only where no server is installed."""
    given = os.environ.get("GREYHOUND_TEST_POSTGRESQL")
    if given:
        yield given
        return
    found = shutil.which("initdb") or next(iter(sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))), None)
    if found is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    programs = os.path.dirname(found)
    folder = tempfile.mkdtemp(prefix="greyhound-pg-")
    user = None
    if os.getuid() == 0:  # the server refuses to run as root
        user = "postgres"
        shutil.chown(folder, user)

    def run(program, *arguments):
        home = pwd.getpwnam(user).pw_dir if user else None
        subprocess.run(
            [os.path.join(programs, program), *arguments],
            check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT,
            env={**os.environ, **({"HOME": home} if home else {})},
        )  # fmt: skip

    data = os.path.join(folder, "data")
    run("initdb", "--pgdata", data, "--username", "greyhound", "--auth", "trust", "--no-sync")
    stop = [os.path.join(programs, "pg_ctl"), "stop", "--pgdata", data, "--mode", "immediate"]
    watch = subprocess.Popen(
        [sys.executable, "-c", _STOP_LATER, folder, user or "", *stop], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
        log = os.path.join(folder, "log")
        run("pg_ctl", "start", "--wait", "--pgdata", data, "--options", options, "--log", log)
        yield f"postgresql://greyhound@/postgres?host={folder}"
    finally:
        watch.communicate()
