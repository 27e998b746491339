"""Who drives a study: processes that claim trials, and whether they still live.

On its own machine a process is looked up by number and birth, so that a killed one is known at once.
Of a process on another machine, or in another container, where numbers mean other processes, only its
silence tells: it writes at least a beat every half minute.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import secrets
import socket

import psutil

from greyhound.events import Joined
from greyhound.history import Owner

BEAT_S = 30.0
SILENCE_S = 300.0
_SAME_BIRTH_S = 2.0
_FIRST_SPACE = 0xEFFFFFFC
"""Linux's number of the namespace of processes that a machine begins with (PROC_PID_INIT_INO)."""

_here: set[str] = set()
"""Owners in this very process that have not been closed."""


def join(now: float) -> Joined:
    """A new owner for this process."""
    name = secrets.token_hex(4)
    _here.add(name)
    return Joined(now, name, _host(), os.getpid(), _born(os.getpid()))


def leave(name: str) -> None:
    """Forget an owner of this process: its trials may be taken over."""
    _here.discard(name)


def alive(owner: Owner, now: float, heard: float = -math.inf) -> bool:
    """Whether an owner may still be at work. heard: when this process last heard of it, by the clock of `now`."""
    if owner.left:
        return False
    if owner.host != _host():
        return now - max(owner.last, heard) < SILENCE_S
    if owner.pid == os.getpid() and abs(owner.born - _born(owner.pid)) < _SAME_BIRTH_S:
        return owner.name in _here
    try:
        process = psutil.Process(owner.pid)
        if process.status() == psutil.STATUS_ZOMBIE:  # dead, but whoever started it has not asked how it ended
            return False
        return abs(process.create_time() - owner.born) < _SAME_BIRTH_S
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _host() -> str:
    """Where this process's number means this process: the machine, in a container with the number of its namespace."""
    name = socket.gethostname()
    with contextlib.suppress(OSError):
        space = os.stat("/proc/self/ns/pid").st_ino
        return name if space == _FIRST_SPACE else f"{name}:{space}"
    return name


@functools.cache
def _born(pid: int) -> float:
    return float(psutil.Process(pid).create_time())
