"""TensorBoard: a run for each trial, with its scalars and, for the HParams tab, its parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from greyhound._lazy import require
from greyhound.integrations.loggers.base import Logger, final
from greyhound.trial import Trial, TrialState


class TensorBoard(Logger):
    """Writes event files: `tensorboard --logdir FOLDER` shows them.

    folder: holds a folder for each trial. Needs the extra "tensorboard", neither torch nor TensorFlow.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__()
        require("tensorboard", "tensorboard")
        self._folder = Path(folder)
        self._writers: dict[int, Any] = {}

    def begin(self, trial: Trial) -> None:
        """Open the trial's event file and write its parameters."""
        from tensorboard.plugins.hparams import plugin_data_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._writers[trial.number] = EventFileWriter(str(self._folder / f"trial-{trial.number:05d}"))
        start = plugin_data_pb2.SessionStartInfo(start_time_secs=trial.started, group_name=str(trial.number))
        for name, value in trial.params.items():
            if isinstance(value, bool):
                start.hparams[name].bool_value = value
            elif isinstance(value, int | float):
                start.hparams[name].number_value = value
            else:
                start.hparams[name].string_value = value if isinstance(value, str) else json.dumps(value)
        self._hparams(trial, "_hparams_/session_start_info", session_start_info=start)

    def report(self, trial: Trial, step: int, metrics: Mapping[str, float]) -> None:
        """Write scalars."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        self._write(
            trial, Summary(value=[Summary.Value(tag=name, simple_value=x) for name, x in metrics.items()]), step
        )

    def end(self, trial: Trial) -> None:
        """Write how it ended, unless it may go on, and close its file."""
        from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

        told = trial.reports[-1].metrics if trial.reports else {}
        late = {name: value for name, value in trial.metrics.items() if name not in told}
        if late:
            self.report(trial, trial.step, late)
        if final(trial):
            fine = trial.state in (TrialState.COMPLETED, TrialState.STOPPED)
            status = api_pb2.STATUS_SUCCESS if fine else api_pb2.STATUS_FAILURE
            end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=trial.ended or trial.started)
            self._hparams(trial, "_hparams_/session_end_info", session_end_info=end)
        self._writers.pop(trial.number).close()

    def late(self, trial: Trial, metrics: Mapping[str, float]) -> None:
        """Write them into a file of their own; a run may have several."""
        self.begin(trial)
        self.end(trial)

    def finish(self, best: Trial | None) -> None:
        """Bring all to disk."""
        for writer in self._writers.values():
            writer.flush()

    def _hparams(self, trial: Trial, tag: str, **info: Any) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.hparams import metadata, plugin_data_pb2

        described = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(**info))
        value = Summary.Value(tag=tag, metadata=described, tensor=metadata.NULL_TENSOR)
        self._write(trial, Summary(value=[value]), 0)

    def _write(self, trial: Trial, summary: Any, step: int) -> None:
        import time

        from tensorboard.compat.proto.event_pb2 import Event

        self._writers[trial.number].add_event(Event(wall_time=time.time(), step=step, summary=summary))
