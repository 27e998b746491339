"""Executors: where trainings run.

`Processes` runs them in worker processes on this machine, `Serial` in this process, for debugging, and `Ray` in worker
processes on the machines of a Ray cluster.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from greyhound.executors.base import Executor as Executor
    from greyhound.executors.base import WorkerInfo as WorkerInfo
    from greyhound.executors.processes import Processes as Processes
    from greyhound.executors.ray import Ray as Ray
    from greyhound.executors.serial import Serial as Serial

_HOMES = {"Executor": "base", "Processes": "processes", "Ray": "ray", "Serial": "serial", "WorkerInfo": "base"}

__all__ = ["Executor", "Processes", "Ray", "Serial", "WorkerInfo"]


def __getattr__(name: str) -> Any:
    """A public name, loaded when it is first used: a worker needs none of them, and starts sooner."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"greyhound.executors.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
