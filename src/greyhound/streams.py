"""Standard input, output and error where there is nobody at their other end, or nobody ever was."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import TextIO

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What a full disk says, or one of which the user has had their share."""


def fill() -> None:
    """Open what a program was started without, as by `>&-`, to nowhere.

    The next files and pipes would be given the numbers 0 to 2, by which the processes that are started find their
    standard streams, and what any library prints would go into them.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdout, sys.stderr = sys.stdout or _nowhere(1), sys.stderr or _nowhere(2)


def silence() -> None:
    """Send what is still printed, and what was and could not be written, to nowhere."""
    with contextlib.suppress(OSError, ValueError), open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _nowhere(number: int) -> TextIO:
    return os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
