"""A study's files: a folder for each trial, with its checkpoint and its log.

A mark in the folder says whose it is. What an earlier study left in a folder, such as one whose file was removed to
start over, is neither taken for this one's nor removed: this one gets the next folder with a number.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import shutil
import tempfile
import weakref
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from greyhound.analysis import ranking
from greyhound.errors import StudyError
from greyhound.evaluators import checkpoint
from greyhound.evaluators.inheritance import inherit
from greyhound.evaluators.retention import Retention, trial_folder
from greyhound.history import History
from greyhound.trial import Trial
from greyhound.values import show

_MARK = ".study"


def folder_of(history: History, wanted: Path) -> Path:
    """The study's folder: the wanted one or, where another study's files are there, one beside it."""
    numbered = (f"{wanted.name}-{at}" for at in itertools.count(2))
    beside = wanted.parent.iterdir() if wanted.parent.is_dir() else ()
    named = [place for place in beside if place.name.rpartition("-")[0] == wanted.name]
    mine = (place for place in (wanted, *named) if _marked(place) == _mark(history))
    if (found := next(mine, None)) is not None:
        return found
    places = itertools.chain([wanted], map(wanted.with_name, numbered))
    return next(place for place in places if _free(place, history))


def _free(place: Path, history: History) -> bool:
    """Whether no study has marked the folder; one without a mark that holds trials is a begun study's."""
    return _marked(place) is None and (len(history) > 0 or not any(place.glob("trial-*")))


def _mark(history: History) -> str:
    return f"begun at {history.first_time!r}\n"


def _marked(place: Path) -> str | None:
    with contextlib.suppress(OSError):
        return (place / _MARK).read_text(encoding="utf-8")
    return None


class Files:
    """The folders of a study's trials.

    folder: what it wants for its own; None for a temporary one, made when it is needed and gone with this object.
    quota_bytes: the most that checkpoints may take, None for no bound. StudyError where it is no number.
    """

    def __init__(self, folder: Path | None, quota_bytes: int | None) -> None:
        wrong = isinstance(quota_bytes, bool) or not isinstance(quota_bytes, int | float | None)
        if wrong or not (quota_bytes or 0) >= 0:  # as nan is not
            raise StudyError(f"checkpoint_quota must be a number of bytes, or None; got {show(quota_bytes)}.")
        self._folder = None if folder is None else folder.absolute()  # trainings may change the current folder
        self._quota_bytes = quota_bytes
        self._retention: Retention | None = None

    @property
    def folder(self) -> Path:
        """Where they are."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="greyhound-"))
            weakref.finalize(self, shutil.rmtree, self._folder, True)
        return self._folder

    def settle(self, history: History) -> None:
        """Find the folder that is this study's."""
        if self._folder is not None:
            self._folder = folder_of(history, self._folder)

    def begin(self, history: History, trial: Trial) -> tuple[Path, Path | None]:
        """The trial's folder, and within it that of the checkpoint it starts from, where that is another trial's."""
        self._take(history)
        folder = trial_folder(self.folder, trial.number)
        parent = None if trial.parent is None else inherit(trial_folder(self.folder, trial.parent), folder)
        return folder, parent

    def _take(self, history: History) -> None:
        """Mark the folder; where another study was first, go to the next."""
        while (theirs := _marked(self.folder)) != _mark(history):
            if theirs is None:
                _write_first(self.folder / _MARK, _mark(history))
            else:
                self.settle(history)

    def with_checkpoint(self, trial: Trial) -> Trial:
        """The trial with the path of its latest checkpoint filled in; None where it has none."""
        path = None if self._folder is None else checkpoint.latest(trial_folder(self._folder, trial.number))
        return replace(trial, checkpoint=path)

    def collect(self, history: History, ended: int, trained: Iterable[int] = ()) -> None:
        """Remove what is not needed any more, now that trial `ended` has ended.

        trained: trials that workers of this process train; such a one may put more back although a report ended it.
        """
        if self._folder is None or not self._folder.is_dir():
            return
        if self._retention is None:
            self._retention = Retention(self._folder, self._quota_bytes)
        winners = ranking.leaders(history)  # one that trains on may fall back
        if (baseline := ranking.baseline(history)) is not None:
            winners.add(baseline.number)
        returning = {number for number in trained if history.trial(number).state.final}
        self._retention.collect(history, [ended], winners | returning)


def _write_first(path: Path, text: str) -> None:
    """Write a file that is whole as soon as it is there; one that is there stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    fresh.write_text(text, encoding="utf-8")
    try:
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
    except OSError:  # a file system without hard links
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
