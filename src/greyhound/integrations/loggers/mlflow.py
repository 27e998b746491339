"""MLflow: a parent run for the study, a child run for each trial."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from greyhound._lazy import require
from greyhound.events import Event
from greyhound.history import History
from greyhound.integrations.loggers.base import Logger, final, named
from greyhound.trial import Trial, TrialState

_STATUS = {TrialState.COMPLETED: "FINISHED", TrialState.STOPPED: "FINISHED", TrialState.LOST: "KILLED"}


class MLflow(Logger):
    """Writes to a tracking server or a local store.

    study: names the parent run. When a study goes on its runs are found again by that name and by when they began, so
    that another study of the name has runs of its own. experiment: its name. tracking_uri: such as
    "sqlite:///mlflow.db"; by default as MLflow is set up. Needs the extra "mlflow".
    """

    def __init__(self, study: str, experiment: str = "greyhound", tracking_uri: str | None = None) -> None:
        super().__init__()
        require("mlflow", "mlflow")
        self._study = study
        self._tag = named(study, "'")  # a filter of MLflow has no way to write a quote within quotes
        self._experiment_name = experiment
        self._uri = tracking_uri
        self._client: Any = None
        self._experiment = ""
        self._parent = ""
        self._began = 0.0
        self._runs: dict[int, str] = {}

    def __call__(self, history: History, event: Event) -> None:
        """Take note of an event, and of when the study began."""
        if len(history):
            self._began = history.trial(0).started
        super().__call__(history, event)

    def begin(self, trial: Trial) -> None:
        """Find or make the trial's run, and its parameters."""
        self._connect()
        tags = self._tags(str(trial.number), trial.started)
        run = self._runs.get(trial.number) or self._find(tags)
        if run is None:
            run = self._create(f"trial {trial.number}", {**tags, "mlflow.parentRunId": self._parent})
            for name, value in trial.params.items():
                self._client.log_param(run, _allowed(name), value)
        else:
            self._client.update_run(run, status="RUNNING")
        self._runs[trial.number] = run

    def report(self, trial: Trial, step: int, metrics: Mapping[str, float]) -> None:
        """Log metrics."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        told = [Metric(_allowed(name), value, now, step) for name, value in metrics.items()]
        self._client.log_batch(self._runs[trial.number], metrics=told)

    def end(self, trial: Trial) -> None:
        """Say how it ended; a run that may go on stays scheduled."""
        run = self._runs[trial.number]
        told = trial.reports[-1].metrics if trial.reports else {}
        self.report(trial, trial.step, {name: value for name, value in trial.metrics.items() if name not in told})
        self._client.set_tag(run, "greyhound.state", trial.state.value)
        if trial.error:
            self._client.set_tag(run, "greyhound.error", trial.error[-4000:])
        if final(trial):
            self._client.set_terminated(run, _STATUS.get(trial.state, "FAILED"))
        else:
            self._client.update_run(run, status="SCHEDULED")

    def late(self, trial: Trial, metrics: Mapping[str, float]) -> None:
        """Log them too; a run that is finished takes them."""
        self.report(trial, trial.step, metrics)

    def finish(self, best: Trial | None) -> None:
        """The best values and parameters, on the parent run."""
        if self._client is None:
            return
        if best is not None:
            for name, value in best.metrics.items():
                self._client.log_metric(self._parent, _allowed(f"best_{name}"), value)
            self._client.set_tag(self._parent, "greyhound.best_trial", str(best.number))
        self._client.set_terminated(self._parent, "FINISHED")

    def _connect(self) -> None:
        if self._client is not None:
            return
        from mlflow import MlflowClient

        client = MlflowClient(self._uri)
        found = client.get_experiment_by_name(self._experiment_name)
        self._experiment = found.experiment_id if found else client.create_experiment(self._experiment_name)
        self._client = client
        tags = self._tags("study", self._began)
        self._parent = self._find(tags) or self._create(self._study, tags)

    def _tags(self, trial: str, began: float) -> dict[str, str]:
        """What tells a run from all others. trial: its number, or "study" for the parent."""
        return {"greyhound.study": self._tag, "greyhound.trial": trial, "greyhound.began": repr(began)}

    def _create(self, name: str, tags: Mapping[str, str]) -> str:
        return str(self._client.create_run(self._experiment, run_name=name, tags=tags).info.run_id)

    def _find(self, tags: Mapping[str, str]) -> str | None:
        query = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
        found = self._client.search_runs([self._experiment], query, max_results=1)
        return str(found[0].info.run_id) if found else None


def _allowed(name: str) -> str:
    """The name with what MLflow does not take, such as @ and brackets, as underscores."""
    return re.sub(r"[^\w\-. :/]", "_", name)
