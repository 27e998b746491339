"""When the processes of a training end: at no signal that is meant for the coordinator, and not after their worker."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable

from greyhound import terminations

_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG


def shield_from_signals() -> None:
    """Leave SIGINT and SIGTERM to the coordinator.

    By handlers rather than SIG_IGN, which would be handed on to the scripts that a training starts;
    processes that it forks, such as those of a data loader, must still obey SIGTERM.
    """
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: terminations.note())
    os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))


def die_with(parent: int) -> None:
    """Let Linux kill this process when its parent dies; a parent that is gone already ends it now."""
    _dying_with()(parent)


def bind_forks() -> None:
    """Let what the calling thread forks, such as workers of a data loader, be killed with this process, on Linux.

    Left behind, they would hold the trial's lock and much memory. Linux kills them as soon as the thread that forked
    them ends, so forks of other threads are left alone, and those of forks, by which a process becomes a daemon.
    """
    here, thread, die_with_it = os.getpid(), threading.get_ident(), _dying_with()
    by_us = True

    def note() -> None:
        nonlocal by_us
        by_us = os.getpid() == here

    def bind() -> None:
        if by_us and threading.get_ident() == thread:
            die_with_it(here)

    os.register_at_fork(before=note, after_in_child=bind)


def _dying_with() -> Callable[[int], None]:
    """`die_with`; what it takes is loaded now, as a fork may not load."""
    if sys.platform == "linux":
        import ctypes

        prctl = ctypes.CDLL(None).prctl

    def die(parent: int) -> None:
        if sys.platform == "linux":
            prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL.value)
        if os.getppid() != parent:
            os._exit(1)

    return die
