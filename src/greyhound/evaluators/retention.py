"""Which checkpoints stay on disk.

Kept are those of trials that may train on (running, paused, failed ones that can be retried), of the best
trial, of the baseline, of parents that a trial without a report of its own may still have to copy from, and of
a trial that its last report has ended while its training goes on to return. The rest are removed as trials end.
Above a quota failed trials' go next, then those of the paused trials with the worst values: such a trial would
start again from its first step, or from that of the replicate at which it was.
"""

from __future__ import annotations

import errno
import fcntl
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from greyhound.evaluators import checkpoint
from greyhound.evaluators.inheritance import PARENT
from greyhound.evaluators.replicates import REPLICATE
from greyhound.jobs import LOCK
from greyhound.trial import TrialState

if TYPE_CHECKING:
    from greyhound.history import History

_DISPOSABLE = (TrialState.COMPLETED, TrialState.STOPPED, TrialState.DIVERGED)
_RETRYABLE = (TrialState.FAILED, TrialState.OUT_OF_MEMORY, TrialState.TIMED_OUT, TrialState.LOST)


class Retention:
    """Removes the checkpoints of one study that are needed no more.

    folder: the study's. quota_bytes: the most that checkpoints may take, None for no bound.
    """

    def __init__(self, folder: Path, quota_bytes: int | None) -> None:
        self._folder = folder
        self._quota_bytes = quota_bytes
        self._held: set[int] | None = None
        self._replicated = False

    def collect(self, history: History, ended: Iterable[int], winners: set[int]) -> None:
        """Remove what trials that just ended, or are not among `winners` any more, leave behind."""
        self._replicated = history.settings is not None and history.settings.replicated
        held = self._scan() if self._held is None else self._held
        grown = (*ended, *history.numbers(TrialState.RUNNING))
        held |= {number for number in grown if self._holds(self.path(number))}
        self._held = held
        unborn = (trial for trial in history.select(TrialState.RUNNING, TrialState.PAUSED) if not trial.reports)
        keep = winners | {trial.parent for trial in unborn if trial.parent is not None}
        for number in [n for n in held - keep if n < len(history)]:
            if history.trial(number).state in _DISPOSABLE and not _trained(self.path(number)):
                self._remove(number)
        if self._quota_bytes is not None:
            self._shrink(history, keep, self._quota_bytes)

    def path(self, number: int) -> Path:
        """The folder of a trial."""
        return trial_folder(self._folder, number)

    def _shrink(self, history: History, keep: set[int], quota_bytes: int) -> None:
        sizes = {number: sum(map(checkpoint.size, self._folders(self.path(number)))) for number in self._held or ()}
        total = sum(sizes.values())
        if total <= quota_bytes:
            return
        failed = [number for number in history.numbers(*_RETRYABLE) if number in sizes]
        paused = [number for number in history.numbers(TrialState.PAUSED) if number in sizes]
        losses = [math.inf if math.isnan(loss) else loss for loss in history.losses[:, 0]]
        worst_first = sorted(paused, key=lambda number: (history.trial(number).step, -losses[number]))
        for number in [n for n in (*failed, *worst_first) if n not in keep]:
            if total <= quota_bytes:
                return
            total -= sizes[number]
            self._remove(number)

    def _remove(self, number: int) -> None:
        for folder in self._folders(self.path(number)):
            checkpoint.remove(folder)
        if self._held is not None:
            self._held.discard(number)

    def _scan(self) -> set[int]:
        folders = self._folder.glob("trial-*") if self._folder.is_dir() else ()
        numbers = (folder.name.removeprefix("trial-") for folder in folders if self._holds(folder))
        return {int(number) for number in numbers if number.isdecimal()}

    def _holds(self, folder: Path) -> bool:
        return any(checkpoint.latest(each) is not None for each in self._folders(folder))

    def _folders(self, folder: Path) -> Sequence[Path]:
        """Where a trial has checkpoints: its own, the one that it starts from, and those of its replicates."""
        return folder, folder / PARENT, *(folder.glob(f"{REPLICATE}*") if self._replicated else ())


def _trained(folder: Path) -> bool:
    """Whether a worker still trains the trial."""
    try:
        lock = os.open(folder / LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in (errno.EWOULDBLOCK, errno.EACCES)  # else a file system without locks
    finally:
        os.close(lock)
    return False


def trial_folder(folder: Path, number: int) -> Path:
    """The folder of trial `number` within its study's."""
    return folder / f"trial-{number:05d}"
