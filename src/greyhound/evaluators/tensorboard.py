"""Scalars from TensorBoard's event files, for scripts that write them anyway.

A report stands for a step at which an objective was written. Other scalars, and those that come late for a
step that was reported already, are told with the next report, or with the result.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from greyhound.evaluators.live import LiveTrial

_FILES = "events.out.tfevents.*"


class EventFiles:
    """The scalars that one process writes into event files below a folder.

    In the trial's own folder, which is {directory}, those of all processes that it starts count too.

    report: takes the step and its metrics. untold: those that no report told so far, under their whole tag and under
    its last part.
    """

    def __init__(
        self, folder: str, pid: int, trial: LiveTrial, report: Callable[[int, Mapping[str, float]], None]
    ) -> None:
        self._folder = Path(folder.replace("{directory}", str(trial.job.directory or "")))
        self._name = re.compile(rf"events\.out\.tfevents\..*\.{pid}(\..*)?$")
        self._earlier = set(self._folder.rglob(_FILES)) if "{directory}" in folder else None
        self._objectives = trial.job.objectives
        self._report = report
        self._loaders: dict[Path, Any] = {}
        self._newest: dict[str, int] = {}  # the highest step of each name
        self._reported = -1
        self.untold: dict[str, float] = {}

    def poll(self) -> None:
        """Report every step at which an objective was written since the last time."""
        fresh: dict[int, dict[str, float]] = {}
        for step, tag, value in self._scalars():
            fresh.setdefault(step, {}).update({tag: value, tag.rpartition("/")[2]: value})
        for step in sorted(fresh):
            newer = {name: value for name, value in fresh[step].items() if step >= self._newest.get(name, step)}
            self._newest.update(dict.fromkeys(newer, step))
            self.untold.update(newer)
            if step > self._reported and any(name in newer for name in self._objectives):
                metrics, self.untold, self._reported = self.untold, {}, step
                self._report(step, metrics)

    def _scalars(self) -> Iterator[tuple[int, str, float]]:
        """Step, tag and value of all that was written since the last time."""
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
        from tensorboard.util import tensor_util

        for path in self._folder.rglob(_FILES) if self._folder.is_dir() else ():
            own = self._name.search(path.name) or (self._earlier is not None and path not in self._earlier)
            if own and path not in self._loaders:
                self._loaders[path] = EventFileLoader(str(path))
        for loader in self._loaders.values():
            for event in loader.Load():
                for value in event.summary.value:
                    if not value.HasField("tensor"):
                        continue
                    array = tensor_util.make_ndarray(value.tensor)
                    if array.shape == () and array.dtype.kind in "fiu":
                        yield event.step, value.tag, float(array)
