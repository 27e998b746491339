"""Learning curves looked up instead of trained: real trainings as a surrogate (LCBench) and as a table (TaskSet).

The folder given by an option holds `lcbench/{model.onnx,encoding.json,norms.json}` and `taskset/taskset.npz`. A task
gives the whole curve of a configuration: the accuracy after each step, to be maximised, and the seconds that it took.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import greyhound as gh

LCBENCH_STEPS = 52
_COLUMNS = (
    "batch_size",
    "learning_rate",
    "momentum",
    "weight_decay",
    "num_layers",
    "max_units",
    "max_dropout",
)


@dataclass(frozen=True)
class Curve:
    """accuracy: (steps,), in [0, 1]. seconds: (steps,), cumulative, rising."""

    accuracy: np.ndarray
    seconds: np.ndarray


@dataclass(frozen=True)
class Task:
    """curve: of a configuration. best, median: final accuracies of many random configurations, for the regret.

    configurations: of a table, those that were trained; elsewhere none.
    """

    name: str
    space: gh.Space
    max_steps: int
    curve: Callable[[Mapping[str, Any]], Curve]
    best: float
    median: float
    configurations: Sequence[Mapping[str, Any]] = ()

    def regret(self, accuracy: float) -> float:
        """0 for the best of many random configurations, 1 for their median; below 0 where it is better than all."""
        return (self.best - accuracy) / (self.best - self.median)


def names(folder: Path, suite: str) -> list[str]:
    """The tasks of a suite, "lcbench" or "taskset"."""
    if suite == "lcbench":
        return list(json.loads((folder / "lcbench" / "norms.json").read_text()))
    return [str(name) for name in _taskset(folder)["names"]]


@functools.lru_cache(maxsize=32)
def load(folder: Path, name: str) -> Task:
    """A task by name."""
    norms = json.loads((folder / "lcbench" / "norms.json").read_text())
    return _lcbench(folder, name, norms[name]) if name in norms else _table(folder, name)


def lcbench_space() -> gh.Space:
    return gh.Space(
        batch_size=gh.Int(16, 512, log=True),
        learning_rate=gh.Float(1e-4, 1e-1, log=True),
        max_dropout=gh.Float(0.0, 1.0),
        max_units=gh.Int(64, 1024, log=True),
        momentum=gh.Float(0.1, 0.99),
        num_layers=gh.Int(1, 5),
        weight_decay=gh.Float(1e-5, 1e-1),
    )


def _lcbench(folder: Path, name: str, norms: Mapping[str, float]) -> Task:
    code = next(iter(json.loads((folder / "lcbench" / "encoding.json").read_text()).values()))[name]
    session = _session(folder)

    def curve(params: Mapping[str, Any]) -> Curve:
        numbers = np.empty((LCBENCH_STEPS, 8), np.float32)
        numbers[:, 0] = np.arange(1, LCBENCH_STEPS + 1)
        numbers[:, 1:] = [params[column] for column in _COLUMNS]
        instance = np.full((LCBENCH_STEPS, 1), code, np.int32)
        (found,) = session.run(None, {"x_cat": instance, "x_cont": numbers})
        return Curve(found[:, 1].astype(float) / 100.0, np.maximum.accumulate(found[:, 0].astype(float)))

    return Task(name, lcbench_space(), LCBENCH_STEPS, curve, norms["best"], norms["median"])


@functools.lru_cache(maxsize=1)
def _session(folder: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(folder / "lcbench" / "model.onnx"), options)


@functools.lru_cache(maxsize=1)
def _taskset(folder: Path) -> Mapping[str, np.ndarray]:
    with np.load(folder / "taskset" / "taskset.npz") as data:
        return dict(data)


def _table(folder: Path, name: str) -> Task:
    data = _taskset(folder)
    at = list(data["names"]).index(name)
    configurations = data["hp"][at].astype(float)
    columns = [str(column) for column in data["hp_names"]]
    space = gh.Space(
        {
            column: gh.Float(float(values.min()), float(values.max()), log=not column.startswith("beta"))
            for column, values in zip(columns, configurations.T, strict=True)
        }
    )
    rows = [dict(zip(columns, row, strict=True)) for row in configurations.tolist()]
    units = np.array([space.encode(row)[0] for row in rows])
    accuracy = taskset_accuracy(data["valid_loss"][at].astype(float))
    steps = accuracy.shape[1]

    def curve(params: Mapping[str, Any]) -> Curve:
        unit = np.asarray(space.encode(dict(params))[0])
        nearest = int(np.argmin(((units - unit) ** 2).sum(axis=1)))
        return Curve(accuracy[nearest], np.arange(1.0, steps + 1))

    return Task(name, space, steps, curve, float(accuracy[:, -1].max()), float(np.median(accuracy[:, -1])), rows)


def taskset_accuracy(losses: np.ndarray) -> np.ndarray:
    """From validation losses, (n, steps), to 1 − clip(loss, 0, 2) / 2; 0 from the first NaN on."""
    broken = np.maximum.accumulate(np.isnan(losses), axis=1)
    return np.where(broken, 0.0, 1.0 - np.clip(np.nan_to_num(losses, nan=2.0), 0.0, 2.0) / 2.0)
