"""The command line: `greyhound run`, `resume`, `status`, `best`, `trials`, `retry`, `export`, `report`.

Exit codes: 0 done; 1 the study ended and no trial has a usable value; 2 wrong usage or input;
3 the study file or database cannot be used; 4 the training cannot be run, or failed on every worker;
130 interrupted, to be continued.
"""

from __future__ import annotations

import io
import sys
import warnings

from greyhound import streams
from greyhound.errors import EvaluationError, GreyhoundError, StorageError

DONE, NO_VALUE, USAGE, STORAGE, TRAINING, INTERRUPTED = 0, 1, 2, 3, 4, 130


def main() -> None:
    """Run the command line; what Greyhound raises or warns of is told in one sentence."""
    streams.fill()
    warnings.showwarning = lambda message, *_: _warned(message)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what its encoding lacks is written as Python escapes it
            stream.reconfigure(errors="backslashreplace")
    try:
        from greyhound.cli.app import app

        app()
    except GreyhoundError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(exit_code(error))
    except OSError as error:
        if error.errno not in streams.NO_ROOM:
            raise
        streams.silence()
        print(f"error: the output cannot be written: {error.strerror}.", file=sys.stderr)
        sys.exit(USAGE)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # the reader of a pipe, such as head, has seen enough
            sys.exit(DONE)
        raise


def _warned(message: Warning | str) -> None:
    print(f"warning: {message}", file=sys.stderr)


def exit_code(error: GreyhoundError) -> int:
    """The exit code for an error."""
    if isinstance(error, StorageError):
        return STORAGE
    return TRAINING if isinstance(error, EvaluationError) else USAGE
