"""A device to oneself, for as long as a latency is measured.

Every worker holds a shared lock on its devices while it trains. Who measures asks for them alone: whoever trains there
lets go at its next report, waits, and goes on afterwards. The locks are files in the temporary folder, so they hold
between workers, studies and programs of one user on one machine, and end with the process that held them.

A device has two: `gate`, which a newcomer passes and a measurer keeps shut, and `room`, which all that train share.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

CPU = "cpu"


class Place:
    """This process's place on some devices: among those that train there, or alone.

    folder: where the lock files are. devices: names; those of one machine share a folder.
    """

    def __init__(self, folder: Path, devices: Sequence[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._gates, self._rooms = (
            [os.open(folder / f"{name}.{kind}", os.O_RDWR | os.O_CREAT, 0o600) for name in sorted(devices)]
            for kind in ("gate", "room")
        )

    def enter(self) -> None:
        """Train here too; waits while somebody measures."""
        for gate, room in zip(self._gates, self._rooms, strict=True):
            fcntl.flock(gate, fcntl.LOCK_SH)
            fcntl.flock(room, fcntl.LOCK_SH)
            fcntl.flock(gate, fcntl.LOCK_UN)

    def leave(self) -> None:
        """Train here no longer."""
        for room in self._rooms:
            fcntl.flock(room, fcntl.LOCK_UN)

    @property
    def wanted(self) -> bool:
        """Whether somebody waits to measure, or measures."""
        for gate in self._gates:
            try:
                fcntl.flock(gate, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            fcntl.flock(gate, fcntl.LOCK_UN)
        return False

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else is here; waits until those that train have let go. Not to be called after `enter`."""
        try:
            for gate, room in zip(self._gates, self._rooms, strict=True):
                fcntl.flock(gate, fcntl.LOCK_EX)
                fcntl.flock(room, fcntl.LOCK_EX)
            yield
        finally:
            for lock in (*self._rooms, *self._gates):
                fcntl.flock(lock, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of everything, also where a child that was forked lives on."""
        for lock in (*self._rooms, *self._gates):
            with contextlib.suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_UN)
            os.close(lock)


_mine: Place | None = None
"""Where this process trains now. It is one process's, as its environment is, so a training need not carry it."""


def folder() -> Path:
    """Where the lock files of this user are."""
    return Path(tempfile.gettempdir()) / f"greyhound-{os.getuid()}"


def devices() -> list[str]:
    """The devices of this process: the GPUs that it sees by CUDA_VISIBLE_DEVICES, else the CPU."""
    gpus = named_gpus(os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    return [f"gpu-{name.replace('/', '-')}" for name in gpus] or [CPU]


def named_gpus(allowed: str) -> list[str]:
    """The GPUs that a value of CUDA_VISIBLE_DEVICES names, each once."""
    names: dict[str, None] = {}
    for name in (part.strip() for part in allowed.split(",")):
        if not (name.isdigit() or name.startswith(("GPU-", "MIG-"))):
            break  # CUDA ignores all behind a name that it does not know
        names[name] = None
    return list(names)


@contextlib.contextmanager
def present() -> Iterator[None]:
    """Train on this process's devices; nothing more where it does so already, or has no locks."""
    global _mine
    if _mine is not None:
        yield
        return
    place = _place()
    if place is None:
        yield
        return
    try:
        place.enter()
        _mine = place
        yield
    finally:
        _mine = None
        place.close()


def give_way(stop: Callable[[], object] | None = None, go_on: Callable[[], object] | None = None) -> None:
    """Called where a training may stand still: let somebody measure who waits to.

    stop, go_on: called before and after, where something else has to stand still too.
    """
    if _mine is None or not _mine.wanted:
        return
    if stop is not None:
        stop()
    _mine.leave()
    _mine.enter()
    if go_on is not None:
        go_on()


@contextlib.contextmanager
def exclusive() -> Iterator[None]:
    """Have this process's devices to oneself; waits until all others on them stand still at a report.

    Where there are no locks others go on.
    """
    if _mine is not None:
        _mine.leave()
        try:
            with _mine.alone():
                yield
        finally:
            _mine.enter()
        return
    place = _place()
    if place is None:
        yield
        return
    try:
        with place.alone():
            yield
    finally:
        place.close()


def _place() -> Place | None:
    """A place on this process's devices; None where no lock files can be written."""
    try:
        return Place(folder(), devices())
    except OSError:
        return None
