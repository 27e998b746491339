"""A study's files: a folder for each trial, with its checkpoint and its log."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from dataclasses import replace
from pathlib import Path

from greyhound.analysis import ranking
from greyhound.evaluators import checkpoint
from greyhound.evaluators.inheritance import inherit
from greyhound.evaluators.retention import Retention, trial_folder
from greyhound.history import History
from greyhound.trial import Trial


class Files:
    """The folders of a study's trials.

    folder: the study's; None for a temporary one, made when it is needed and gone with this object. quota_bytes: the
    most that checkpoints may take, None for no bound.
    """

    def __init__(self, folder: Path | None, quota_bytes: int | None) -> None:
        self._folder = folder
        self._quota_bytes = quota_bytes
        self._retention: Retention | None = None

    @property
    def folder(self) -> Path:
        """Where they are."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="greyhound-"))
            weakref.finalize(self, shutil.rmtree, self._folder, True)
        return self._folder

    def begin(self, trial: Trial) -> tuple[Path, Path | None]:
        """The trial's folder, and within it that of the checkpoint it starts from, where that is another trial's."""
        folder = trial_folder(self.folder, trial.number)
        parent = None if trial.parent is None else inherit(trial_folder(self.folder, trial.parent), folder)
        return folder, parent

    def with_checkpoint(self, trial: Trial) -> Trial:
        """The trial with the path of its latest checkpoint filled in; None where it has none."""
        path = None if self._folder is None else checkpoint.latest(trial_folder(self._folder, trial.number))
        return replace(trial, checkpoint=path)

    def collect(self, history: History, ended: int) -> None:
        """Remove what is not needed any more, now that trial `ended` has ended."""
        if self._folder is None or not self._folder.is_dir():
            return
        if self._retention is None:
            self._retention = Retention(self._folder, self._quota_bytes)
        leaders = (*ranking.front(history), *ranking.front(history, settled=True))  # one that trains on may fall back
        winners = {trial.number for trial in leaders}
        if (baseline := ranking.baseline(history)) is not None:
            winners.add(baseline.number)
        self._retention.collect(history, [ended], winners)
