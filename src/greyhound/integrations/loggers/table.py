"""CSV files: one of reports, one of how runs of trials ended; both only ever grow."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from greyhound.integrations.loggers.base import Logger
from greyhound.trial import Trial

_REPORTS = ("trial", "step", "metric", "value")
_TRIALS = ("trial", "state", "step", "seconds", "params", "metrics", "error")


class CSV(Logger):
    """Writes `reports.csv` (trial, step, metric, value) and `trials.csv` (a row each time that a run of a trial ends).

    folder: where; made if it is not there. Parameters and metrics of `trials.csv` are JSON.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__()
        self._folder = Path(folder)

    def begin(self, trial: Trial) -> None:
        """Nothing: there is a row at the end."""

    def report(self, trial: Trial, step: int, metrics: Mapping[str, float]) -> None:
        """A row for each metric."""
        rows = [(trial.number, step, name, value) for name, value in metrics.items()]
        self._append("reports.csv", _REPORTS, rows)

    def end(self, trial: Trial) -> None:
        """A row."""
        params, metrics = json.dumps(dict(trial.params)), json.dumps(dict(trial.metrics))
        error = (trial.error or "").strip().rpartition("\n")[2]
        row = (trial.number, trial.state.value, trial.step, round(trial.seconds, 3), params, metrics, error)
        self._append("trials.csv", _TRIALS, [row])

    def late(self, trial: Trial, metrics: Mapping[str, float]) -> None:
        """As what was reported after the last step."""
        self.report(trial, trial.step, metrics)

    def _append(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with open(self._folder / name, "a", newline="") as file:
            writer = csv.writer(file)
            if file.tell() == 0:
                writer.writerow(columns)
            writer.writerows(rows)
