"""What a tuner itself costs, Greyhound, Optuna and, of what it has, Ray Tune side by side on the same disk.

    python benchmarks/overhead.py                 everything, some minutes
    python benchmarks/overhead.py --only asktell  one part: asktell, suggest, opening, report, idle

- ask + tell: time of one trial with random sampling on ten mixed parameters in a SQLite study that
  holds 1,000 and 10,000 trials already. Median and mean of many, after a warm-up.
- suggest: CPU time of ask + tell with the default sampler, and Optuna's TPE and GP, in memory, in one thread, with
  100, 1,000 and 10,000 random trials before it; Optuna's GP only with 100, where it takes a second already.
- opening: a study of 10,000 trials with 20 reports each, from file to a usable object.
- report: how long `trial.report` keeps a training from going on, in a worker process and in this one.
- idle: share of their time for which two workers train, in a study of trials of two seconds, from the first trial on.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import greyhound as gh
from greyhound import events as ev
from greyhound.settings import Settings
from greyhound.storage import open_journal
from greyhound.trial import Objective, TrialState, derive_seed

SPACE = gh.Space(
    lr=gh.Float(1e-5, 1e-1, log=True),
    decay=gh.Float(1e-6, 1e-2, log=True),
    dropout=gh.Float(0.0, 0.5),
    momentum=gh.Float(0.0, 0.99),
    layers=gh.Int(1, 8),
    width=gh.Int(16, 1024, log=True),
    heads=gh.Int(1, 16),
    batch=gh.Categorical([16, 32, 64, 128]),
    optimizer=gh.Categorical(["sgd", "adam", "adamw"]),
    schedule=gh.Categorical(["cosine", "step", "none"]),
)


def distributions() -> dict[str, object]:
    from optuna import distributions as d

    return {
        "lr": d.FloatDistribution(1e-5, 1e-1, log=True),
        "decay": d.FloatDistribution(1e-6, 1e-2, log=True),
        "dropout": d.FloatDistribution(0.0, 0.5),
        "momentum": d.FloatDistribution(0.0, 0.99),
        "layers": d.IntDistribution(1, 8),
        "width": d.IntDistribution(16, 1024, log=True),
        "heads": d.IntDistribution(1, 16),
        "batch": d.CategoricalDistribution([16, 32, 64, 128]),
        "optimizer": d.CategoricalDistribution(["sgd", "adam", "adamw"]),
        "schedule": d.CategoricalDistribution(["cosine", "step", "none"]),
    }


def fill_greyhound(path: Path, trials: int, reports: int) -> None:
    """A study file with so many completed trials, written as batches."""
    import random

    rng, journal = random.Random(0), open_journal(path)
    settings = Settings(objectives=(Objective("loss", False),), space=SPACE, sampler="random", scheduler="none")
    journal.append([ev.Declared(1.0, settings.to_json()), ev.Joined(1.0, "fill", "host", 1, 1.0)])
    for number in range(trials):
        events: list[ev.Event] = [
            ev.Started(2.0 + number, number, SPACE.sample(rng), derive_seed(0, number), "random", "fill")
        ]
        events.extend(ev.Reported(2.0 + number, number, step, {"loss": rng.random()}) for step in range(1, reports + 1))
        events.append(ev.Ended(2.5 + number, number, TrialState.COMPLETED, {"loss": rng.random()}, "fill", None, 1.0))
        journal.append(events)
    journal.append([ev.Left(3.0 + trials, "fill")])
    journal.close()


def fill_optuna(url: str, trials: int, reports: int) -> None:
    import random

    import optuna

    rng = random.Random(0)
    study = optuna.create_study(storage=url, study_name="study")
    spaces = distributions()
    frozen = [
        optuna.trial.create_trial(
            params=SPACE.sample(rng),
            distributions=spaces,
            value=rng.random(),
            intermediate_values={step: rng.random() for step in range(1, reports + 1)},
        )
        for _ in range(trials)
    ]
    study.add_trials(frozen)


def ask_tell_greyhound(path: Path, count: int) -> list[float]:
    study = gh.Study(SPACE, minimize="loss", sampler="random", scheduler="none", storage=path)
    return _timed(count, lambda: study.tell(study.ask(), loss=1.0))


def ask_tell_optuna(url: str, count: int) -> list[float]:
    import optuna

    study = optuna.load_study(storage=url, study_name="study", sampler=optuna.samplers.RandomSampler(seed=0))
    spaces = distributions()
    return _timed(count, lambda: study.tell(study.ask(spaces), 1.0))


def _timed(count: int, once: Callable[[], object], warm_up: int = 5) -> list[float]:
    times = []
    for at in range(count + warm_up):
        before = time.perf_counter()
        once()
        if at >= warm_up:
            times.append(time.perf_counter() - before)
    return times


def ask_tell(folder: Path, sizes: tuple[int, ...]) -> list[dict[str, object]]:
    rows = []
    for size in sizes:
        path = folder / f"greyhound-{size}.db"
        fill_greyhound(path, size, 0)
        url = f"sqlite:///{folder / f'optuna-{size}.db'}"
        fill_optuna(url, size, 0)
        ours, theirs = ask_tell_greyhound(path, 200), ask_tell_optuna(url, 50)
        for name, times in (("greyhound", ours), ("optuna", theirs)):
            rows.append(
                {
                    "what": f"ask + tell at {size} trials",
                    "tuner": name,
                    "median_ms": 1e3 * statistics.median(times),
                    "mean_ms": 1e3 * statistics.fmean(times),
                    "se_ms": 1e3 * statistics.stdev(times) / len(times) ** 0.5,
                }
            )
    return rows


def suggesting(sizes: tuple[int, ...] = (100, 1000, 10_000)) -> list[dict[str, object]]:
    import optuna

    rows = []
    for size in sizes:
        rows.append(_cpu("greyhound auto", size, _greyhound_in_memory(size), 15))
        samplers = {"optuna TPE": optuna.samplers.TPESampler(seed=0)}
        if size <= 100:
            samplers["optuna GP"] = optuna.samplers.GPSampler(seed=0)
        for name, sampler in samplers.items():
            rows.append(_cpu(name, size, _optuna_in_memory(size, sampler), 7))
    return rows


def _greyhound_in_memory(size: int) -> Callable[[], object]:
    import random

    rng = random.Random(0)
    study = gh.Study(SPACE, minimize="loss", sampler="random", scheduler="none")
    for _ in range(size):
        study.tell(study.ask(), loss=rng.random())
    study = gh.Study(SPACE, minimize="loss", scheduler="none", storage=study.journal)
    return lambda: study.tell(study.ask(), loss=rng.random())


def _optuna_in_memory(size: int, sampler: object) -> Callable[[], object]:
    import random

    import optuna

    rng, spaces = random.Random(0), distributions()
    study = optuna.create_study(sampler=sampler)
    study.add_trials(
        optuna.trial.create_trial(params=SPACE.sample(rng), distributions=spaces, value=rng.random())
        for _ in range(size)
    )
    return lambda: study.tell(study.ask(spaces), rng.random())


def _cpu(tuner: str, size: int, once: Callable[[], object], count: int) -> dict[str, object]:
    once()
    times = []
    for _ in range(count):
        before = time.process_time()
        once()
        times.append(time.process_time() - before)
    return {
        "what": f"suggestion at {size} trials",
        "tuner": tuner,
        "median_cpu_ms": 1e3 * statistics.median(times),
        "mean_cpu_ms": 1e3 * statistics.mean(times),
    }


def opening(folder: Path, trials: int = 10_000, reports: int = 20) -> list[dict[str, object]]:
    path = folder / "opening.db"
    fill_greyhound(path, trials, reports)
    times = _timed(3, lambda: gh.Study.load(path), warm_up=1)
    return [
        {
            "what": f"opening {trials} trials with {reports} reports each",
            "tuner": "greyhound",
            "median_s": statistics.median(times),
            "file_mb": path.stat().st_size / 1e6,
        }
    ]


def reports(folder: Path, count: int = 300) -> list[dict[str, object]]:
    """Epochs of 10 ms that report; how long each report lasted. Under early stopping most don't wait for a verdict."""

    def train(trial):  # type: ignore[no-untyped-def]
        lasted = []
        for step in range(trial.checkpoint(), count):
            time.sleep(0.01)
            before = time.perf_counter()
            trial.report(step + 1, loss=1.0)
            lasted.append(time.perf_counter() - before)
        trial.set_user_attr("lasted", lasted)

    rows: list[dict[str, object]] = []
    for workers in ("serial", 2):
        study = gh.tune(
            train, SPACE, minimize="loss", max_steps=count + 1, budget=2, workers=workers, sampler="random",
            scheduler="none", storage=folder / f"report-{workers}.db", progress=False,
        )  # fmt: skip
        lasted = [1e3 * second for trial in study.trials for second in trial.attrs["lasted"]]
        rows.append(
            {
                "what": "a report in this process" if workers == "serial" else "a report in a worker process",
                "tuner": "greyhound",
                "median_ms": statistics.median(lasted),
                "mean_ms": statistics.fmean(lasted),
                "se_ms": statistics.stdev(lasted) / len(lasted) ** 0.5,
                "p99_ms": statistics.quantiles(lasted, n=100)[98],
            }
        )
    return rows


def idle_greyhound(folder: Path, trials: int) -> dict[str, object]:
    def train(trial):  # type: ignore[no-untyped-def]
        begin = time.time()
        time.sleep(2.0)
        trial.set_user_attr("begin", begin)
        trial.set_user_attr("end", time.time())
        return 1.0

    study = gh.tune(
        train, SPACE, minimize="loss", budget=trials, workers=2, sampler="random", scheduler="none",
        storage=folder / "idle.db", progress=False,
    )  # fmt: skip
    spans = [(trial.attrs["begin"], trial.attrs["end"], trial.attrs.get("worker")) for trial in study.trials]
    return {
        "what": f"time that 2 workers train, {trials} trials of 2 s",
        "tuner": "greyhound",
        **_share(spans),
    }


def idle_optuna(folder: Path, trials: int) -> dict[str, object]:
    import optuna

    spans, spaces = [], distributions()

    def objective(trial: optuna.Trial) -> float:
        begin = time.time()
        time.sleep(2.0)
        spans.append((begin, time.time(), None))
        return 1.0

    study = optuna.create_study(
        storage=f"sqlite:///{folder / 'idle-optuna.db'}", sampler=optuna.samplers.RandomSampler(seed=0)
    )

    def with_space(trial: optuna.Trial) -> float:
        for name, distribution in spaces.items():
            trial._suggest(name, distribution)
        return objective(trial)

    study.optimize(with_space, n_trials=trials, n_jobs=2)
    return {
        "what": f"time that 2 workers train, {trials} trials of 2 s",
        "tuner": "optuna n_jobs=2",
        **_share(spans),
    }


def idle_ray_tune(folder: Path, trials: int) -> dict[str, object]:
    import ray
    from ray import tune

    def train(config: dict[str, object]) -> dict[str, float]:
        begin = time.time()
        time.sleep(2.0)
        return {"loss": 1.0, "begin": begin, "end": time.time()}

    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    results = tune.Tuner(
        train,
        param_space={name: tune.uniform(0.0, 1.0) for name in SPACE.parameters},
        tune_config=tune.TuneConfig(metric="loss", mode="min", num_samples=trials, reuse_actors=True),
        run_config=tune.RunConfig(storage_path=str((folder / "ray").resolve()), verbose=0),
    ).fit()
    ray.shutdown()
    spans = [(result.metrics["begin"], result.metrics["end"], None) for result in results]
    return {
        "what": f"time that 2 workers train, {trials} trials of 2 s",
        "tuner": "ray tune",
        **_share(spans),
    }


def _share(spans: list[tuple[float, float, object]]) -> dict[str, float]:
    """Share of the time from the first begin to the last end for which two trials were being trained."""
    begin, end = min(span[0] for span in spans), max(span[1] for span in spans)
    trained = sum(span[1] - span[0] for span in spans)
    return {"share": trained / (2 * (end - begin)), "seconds": end - begin}


@contextlib.contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    with tempfile.TemporaryDirectory(dir=".") as name:
        yield Path(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["asktell", "suggest", "opening", "report", "idle"])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--folder", type=Path, help="where the databases go (a new folder on this disk by default)")
    parser.add_argument("--idle-trials", type=int, default=40)
    options = parser.parse_args()
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with _folder(options.folder) as folder:
        if options.only in (None, "asktell"):
            _tell(ask_tell(folder, tuple(options.sizes)))
        if options.only in (None, "suggest"):
            _tell(suggesting())
        if options.only in (None, "opening"):
            _tell(opening(folder))
        if options.only in (None, "report"):
            _tell(reports(folder))
        if options.only in (None, "idle"):
            _tell([idle(folder, options.idle_trials) for idle in (idle_greyhound, idle_optuna, idle_ray_tune)])


def _tell(rows: list[dict[str, object]]) -> None:
    for row in rows:
        print(
            json.dumps({key: round(v, 3) if isinstance(v, float) else v for key, v in row.items()}),
            flush=True,
        )


if __name__ == "__main__":
    main()
