"""For scripts: `greyhound.report` and `greyhound.params`, wherever the script is run.

Run by Greyhound, a script finds the descriptor of a socket to its worker in the environment; a line of
JSON goes out for each report, and a line comes back with the verdict. Run by hand, reports are printed.
"""

from __future__ import annotations

import functools
import json
import os
import socket
import sys
from typing import Any

LINE = "GREYHOUND_LINE"
PARAMS = "GREYHOUND_PARAMS"


def report(step: int, **metrics: Any) -> None:
    """Tell metrics after `step` steps. Ends the script, with exit code 0, when the trial is to go no further.

    Outside of a study the metrics are printed as a line of JSON and nothing else happens.
    """
    message = json.dumps({"step": int(step), **{name: float(value) for name, value in metrics.items()}})
    line = _line()
    if line is None:
        print(message, flush=True)
        return
    line.write(message + "\n")
    line.flush()
    if line.readline().strip() != "continue":  # an empty line: the worker is gone
        sys.exit(0)


def params() -> dict[str, Any]:
    """The trial's parameters by name; empty outside of a study."""
    found = json.loads(os.environ.get(PARAMS, "{}"))
    return dict(found)


@functools.cache
def _line() -> Any:
    descriptor = os.environ.get(LINE)
    if descriptor is None:
        return None
    try:
        return socket.socket(fileno=int(descriptor)).makefile("rw", encoding="utf-8")
    except OSError:  # a process further down, which did not inherit the line
        return None
