"""A script to tune, and the command line as a real process."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

SCRIPT = textwrap.dedent(
    """
    import argparse, json, time
    parser = argparse.ArgumentParser()
    parser.add_argument("--x", type=float, required=True)
    parser.add_argument("--kind", required=True)
    parser.add_argument("--pace", type=float, default=0.0)
    options = parser.parse_args()
    if options.kind == "broken":
        raise SystemExit("this kind does not work")
    print("some text that is no metric")
    for step in range(1, 5):
        time.sleep(options.pace)
        print(json.dumps({"step": step, "score": options.x * step}), flush=True)
    """
)
SPACE = "x: {type: float, low: 0, high: 1, default: 0.5}\nkind: {type: categorical, choices: [a, b], default: a}\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with train.py and space.yaml, which is the current one; the environment is activated."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "space.yaml").write_text(SPACE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def greyhound():
    """Run the command line; what came of it."""

    def run(*arguments, timeout=60):
        return subprocess.run(
            [sys.executable, "-m", "greyhound", *map(str, arguments)],
            capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    return run
