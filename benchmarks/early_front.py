"""Early stopping with two objectives: accuracy against seconds on recorded trainings, by Greyhound and by Optuna.

    python benchmarks/early_front.py --data FOLDER
    python benchmarks/early_front.py --data FOLDER --methods freeze_thaw none optuna_tpe --seeds 5

Trainings are LCBench's; a method of ours is a scheduler's name, with "+" and a sampler's where that is not "auto". One
worker. A trial reports its accuracy after every epoch, and with it the seconds of a whole training, which do not
change, like a model's size or its latency. Optuna prunes with one objective only, so its samplers train in full. Every
finished run is a line of the file that --out names; run again, it goes on. Prints the hypervolume of what all trials
have reached so far, finished or not, over that of 2,000 random configurations trained in full: after so many full
trainings' worth of epochs, mean over tasks ± standard error over seeds. The reference point is the random
configurations' median accuracy and their longest training; seconds count by their logarithm.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import functools
import importlib.util
import json
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import curve_tasks
import greyhound as gh
from greyhound.numeric import pareto

AT = (5, 10, 20, 50)
METHODS = ("freeze_thaw", "asha", "hyperband", "none", "none+random", "optuna_tpe", "optuna_nsga2")
_RANDOM = 2000


@dataclass(frozen=True)
class Scale:
    """What hypervolumes of a task are measured by. reference: (2,), losses. whole: that of random configurations."""

    reference: np.ndarray
    whole: float


@functools.lru_cache(maxsize=32)
def scale(folder: Path, name: str) -> Scale:
    task, random = curve_tasks.load(folder, name), np.random.default_rng(0)
    curves = [task.curve(task.space.sample(random)) for _ in range(_RANDOM)]
    losses = np.array([losses_of(curve, task.max_steps) for curve in curves])
    reference = np.array([np.median(losses[:, 0]), losses[:, 1].max()])
    return Scale(reference, pareto.hypervolume(losses, reference))


def losses_of(curve: curve_tasks.Curve, step: int) -> tuple[float, float]:
    """Error after so many steps, and log seconds of the whole training."""
    return 1.0 - float(curve.accuracy[step - 1]), float(np.log(curve.seconds[-1]))


class Meter:
    """Steps that were trained, and the hypervolume of what was reached after each full training's worth of them."""

    def __init__(self, folder: Path, name: str, trainings: int) -> None:
        self.task = curve_tasks.load(folder, name)
        self.volumes: list[float] = []
        self._scale, self._most, self._trained = scale(folder, name), trainings, 0
        self._curves: dict[int, curve_tasks.Curve] = {}
        self._reached: dict[int, tuple[float, float]] = {}

    @property
    def over(self) -> bool:
        return len(self.volumes) >= self._most

    def train(self, number: int, params: Any, step: int) -> tuple[float, float]:
        """Accuracy after `step` steps, and seconds."""
        curve = self._curves.setdefault(number, self.task.curve(params))
        self._reached[number] = losses_of(curve, step)
        self._trained += 1
        if self._trained % self.task.max_steps == 0:
            found = pareto.hypervolume(np.array(list(self._reached.values())), self._scale.reference)
            self.volumes.append(found / self._scale.whole)
        return float(curve.accuracy[step - 1]), float(curve.seconds[-1])


def ours(meter: Meter, method: str, seed: int) -> None:
    """Greyhound's own study, by ask and report."""
    scheduler, _, sampler = method.partition("+")
    study = gh.Study(
        meter.task.space, maximize="accuracy", minimize="seconds", max_steps=meter.task.max_steps, scheduler=scheduler,
        sampler=sampler or "auto", seed=seed,
    )  # fmt: skip
    while not meter.over and (trial := study.ask()) is not None:
        step, verdict = trial.step, gh.Verdict.CONTINUE
        while verdict is gh.Verdict.CONTINUE and step < meter.task.max_steps and not meter.over:
            step += 1
            accuracy, seconds = meter.train(trial.number, trial.params, step)
            verdict = study.report(trial, step, accuracy=accuracy, seconds=seconds)


def optuna(meter: Meter, sampler: str, seed: int) -> None:
    """One of Optuna's samplers, everything trained in full."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    made = getattr(optuna.samplers, {"optuna_tpe": "TPESampler", "optuna_nsga2": "NSGAIISampler"}[sampler])(seed=seed)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=made)
    while not meter.over:
        trial = study.ask()
        params = {
            name: (trial.suggest_int if isinstance(parameter, gh.Int) else trial.suggest_float)(
                name, parameter.low, parameter.high, log=parameter.log
            )
            for name, parameter in meter.task.space.parameters.items()
        }
        for step in range(1, meter.task.max_steps + 1):
            accuracy, seconds = meter.train(trial.number, params, step)
        study.tell(trial, (accuracy, seconds))


def run(folder: Path, method: str, name: str, seed: int, trainings: int) -> dict[str, Any]:
    """One method on one task."""
    meter = Meter(folder, name, trainings)
    begin = time.process_time()
    (optuna if method.startswith("optuna") else ours)(meter, method, seed)
    return {"method": method, "task": name, "seed": seed, "cpu_s": time.process_time() - begin,
            "trials": len(meter._reached), "volume": meter.volumes}  # fmt: skip


def table(rows: list[dict[str, Any]]) -> str:
    """Hypervolumes with standard errors, the best first."""
    at = [count for count in AT if count <= min(len(row["volume"]) for row in rows)]
    lines = [f"| method | seeds | {' | '.join(f'@{count}' for count in at)} | trials |", "| --- " * (len(at) + 3) + "|"]
    found = []
    for method in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == method]
        seeds = sorted({row["seed"] for row in mine})
        volumes = np.array(
            [[np.mean([r["volume"][count - 1] for r in mine if r["seed"] == seed]) for count in at] for seed in seeds]
        )
        error = volumes.std(axis=0, ddof=1) / len(seeds) ** 0.5 if len(seeds) > 1 else np.full(len(at), np.nan)
        cells = [f"{value:.3f} ± {plus:.3f}" for value, plus in zip(volumes.mean(axis=0), error, strict=True)]
        cells.append(f"{np.mean([row['trials'] for row in mine]):.0f}")
        found.append((-volumes.mean(), f"| {method} | {len(seeds)} | {' | '.join(cells)} |"))
    return "\n".join([*lines, *(line for _, line in sorted(found))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder with lcbench/")
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--trainings", type=int, default=20, help="the budget, in full trainings")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=Path("early_front.jsonl"))
    options = parser.parse_args()
    methods = [each for each in options.methods if not each.startswith("optuna") or importlib.util.find_spec("optuna")]
    names = curve_tasks.names(options.data, "lcbench")
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    rows = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    wanted = {(method, name, seed) for method in methods for name in names for seed in seeds}
    rows = [row for row in rows if _key(row) in wanted and len(row["volume"]) >= options.trainings]
    todo = wanted - {_key(row) for row in rows}
    with ProcessPoolExecutor(options.processes) as pool, options.out.open("a") as out:
        jobs = [pool.submit(run, options.data, *key, options.trainings) for key in sorted(todo, key=lambda key: key[2])]
        for done, job in enumerate(as_completed(jobs), 1):
            rows.append(job.result())
            out.write(json.dumps(rows[-1]) + "\n")
            out.flush()
            print(f"\r{done} of {len(jobs)}   ", end="", flush=True)
    print("\n" + table(rows))


def _key(row: dict[str, Any]) -> tuple[str, str, int]:
    return row["method"], row["task"], row["seed"]


if __name__ == "__main__":
    main()
