"""Weights & Biases: a run for each trial, grouped by study; offline, unless it is asked to be online."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from greyhound._lazy import require
from greyhound.integrations.loggers.base import Logger, final, named
from greyhound.trial import Trial, TrialState

_UNFIT = r"[:;,#?/']|^\s"
"""What an id of a run may not have."""


class WandB(Logger):
    """Writes runs; `wandb sync` sends them later, if they are written offline.

    study: the group of the runs, and part of their ids, by which a trial that goes on finds its run again. Another part
    is when the trial began, so that trials of another study of the name have runs of their own. project: theirs.
    mode: "offline" or "online". folder: where files are written. Needs the extra "wandb".
    """

    def __init__(self, study: str, project: str = "greyhound", mode: str = "offline", folder: str | Path = ".") -> None:
        super().__init__()
        self._wandb = require("wandb", "wandb")
        self._study = study
        self._project = project
        self._mode = mode
        self._folder = Path(folder)
        self._runs: dict[int, Any] = {}

    def begin(self, trial: Trial) -> None:
        """Start or take up the trial's run."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._runs[trial.number] = self._wandb.init(
            project=self._project,
            group=self._study,
            name=f"{self._study}-{trial.number}",
            id=f"{named(self._study, _UNFIT)}-{trial.number}-{round(1e6 * trial.started):x}",
            config=dict(trial.params),
            dir=str(self._folder),
            mode=self._mode,
            resume="allow",
            reinit="create_new",
            settings=self._wandb.Settings(silent=True, console="off", x_disable_stats=True),
        )

    def report(self, trial: Trial, step: int, metrics: Mapping[str, float]) -> None:
        """Log metrics."""
        self._runs[trial.number].log(dict(metrics), step=step)

    def end(self, trial: Trial) -> None:
        """Note the state and the last metrics, and end the run."""
        run = self._runs.pop(trial.number)
        run.summary.update({**trial.metrics, "state": trial.state.value})
        fine = trial.state in (TrialState.COMPLETED, TrialState.STOPPED) or not final(trial)
        run.finish(exit_code=0 if fine else 1)

    def late(self, trial: Trial, metrics: Mapping[str, float]) -> None:
        """Take up the run once more."""
        self.begin(trial)
        self.end(trial)

    def finish(self, best: Trial | None) -> None:
        """End what is still open."""
        for number in list(self._runs):
            self._runs.pop(number).finish()
