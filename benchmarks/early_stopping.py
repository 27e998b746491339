"""Early stopping: Greyhound's schedulers and other tuners on recorded trainings, in simulated time, in one run.

    python benchmarks/early_stopping.py --data FOLDER                          LCBench, one worker
    python benchmarks/early_stopping.py --data FOLDER --workers 8 --seeds 5
    python benchmarks/early_stopping.py --data FOLDER --suite taskset --trainings 20
    python benchmarks/early_stopping.py --data FOLDER --methods freeze_thaw asha+tpe optuna_tpe
    python benchmarks/early_stopping.py --data FOLDER --elsewhere dehb=VENV/bin/python smac=VENV/bin/python

A method of ours is a scheduler's name, with "+" and a sampler's where that is not "auto". It is Greyhound's own study
that is driven, by ask and report; only the clock and the trainings are not real: workers finish steps in the order of
the recorded times, a trial that was paused goes on where it was. Every finished run is a line of the file that --out
names; run again, it goes on. Prints normalised regret, (best − v) / (best − median), where v is what the incumbent
reaches at the end of its training and the incumbent is the best observed among the trials at the highest step seen:
after so many full trainings' worth of steps, all workers together; mean over tasks ± standard error over seeds; and
the decision's CPU milliseconds. Tuners that are not installed are left out; those whose pins conflict run by the
Python that --elsewhere names for their package (dehb, hpbandster, neps, ray, smac, syne; see `elsewhere.py`).
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import functools
import heapq
import importlib.util
import json
import subprocess
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

import curve_tasks
import greyhound as gh

AT = (5, 10, 20, 50)
ELSEWHERE = (
    "dehb", "hpbandster", "neps", "ray_asha", "ray_asha_optuna", "ray_hyperband", "smac", "syne_asha", "syne_bohb",
    "syne_median",
)  # fmt: skip
OURS = ("freeze_thaw", "asha", "asha+tpe", "none", "none+tpe", "none+random")


@dataclass(frozen=True)
class Work:
    """A trial to train: after `step` steps that it has already."""

    number: int
    params: Mapping[str, Any]
    step: int


class Tuner(Protocol):
    """What the simulator drives."""

    def ask(self) -> Work | None:
        """What a free worker should train; None: wait for the others."""

    def report(self, number: int, step: int, accuracy: float, last: bool) -> bool:
        """Whether the trial goes on."""


class Ours:
    """A Greyhound study with simulated time."""

    def __init__(self, task: curve_tasks.Task, method: str, seed: int, clock: Callable[[], float]) -> None:
        scheduler, _, sampler = method.partition("+")
        self._study = gh.Study(
            task.space, maximize="accuracy", max_steps=task.max_steps, scheduler=scheduler, sampler=sampler or "auto",
            seed=seed, clock=clock,
        )  # fmt: skip

    def ask(self) -> Work | None:
        trial = self._study.ask()
        return None if trial is None else Work(trial.number, trial.params, trial.step)

    def report(self, number: int, step: int, accuracy: float, last: bool) -> bool:
        return self._study.report(number, step, accuracy=accuracy) is gh.Verdict.CONTINUE


class Optuna:
    """An Optuna study by ask, report and tell; what is pruned is not resumed, as it has no way to."""

    def __init__(self, task: curve_tasks.Task, sampler: Any, pruner: Any) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.simplefilter("ignore")
        self._study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
        self._pruned = optuna.trial.TrialState.PRUNED
        self._space = task.space
        self._open: dict[int, Any] = {}

    def ask(self) -> Work:
        trial = self._study.ask()
        self._open[trial.number] = trial
        params = {
            name: (trial.suggest_int if isinstance(parameter, gh.Int) else trial.suggest_float)(
                name, parameter.low, parameter.high, log=parameter.log
            )
            for name, parameter in self._space.parameters.items()
        }
        return Work(trial.number, params, 0)

    def report(self, number: int, step: int, accuracy: float, last: bool) -> bool:
        trial = self._open[number]
        trial.report(accuracy, step)
        if not last and trial.should_prune():
            self._study.tell(trial, state=self._pruned)
            return False
        if last:
            self._study.tell(trial, accuracy)
        return not last


def _optuna(sampler: str, pruner: Callable[[Any, int], Any]) -> Callable[[curve_tasks.Task, int], Tuner]:
    def make(task: curve_tasks.Task, seed: int) -> Tuner:
        import optuna

        made = getattr(optuna.samplers, sampler)(seed=seed)
        return Optuna(task, made, pruner(optuna.pruners, task.max_steps))

    return make


@functools.cache
def _helper(python: str) -> subprocess.Popen[str]:
    """A Python that runs tuners of its own packages; it ends with this process, when its line in is closed."""
    command = [python, str(Path(__file__).with_name("elsewhere.py"))]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


class Elsewhere:
    """A tuner in another Python. cpu_s: what it has spent there."""

    def __init__(self, task: curve_tasks.Task, tuner: str, seed: int) -> None:
        self._process = _helper(os.environ[_variable(tuner)])
        self.cpu_s = 0.0
        space = {
            name: {"kind": "int" if isinstance(each, gh.Int) else "float", "low": each.low, "high": each.high,
                   "log": each.log}
            for name, each in task.space.parameters.items()
        }  # fmt: skip
        self._do("start", tuner=tuner, space=space, max_steps=task.max_steps, seed=seed)

    def ask(self) -> Work | None:
        answer = self._do("ask")
        return Work(**answer) if answer else None

    def report(self, number: int, step: int, accuracy: float, last: bool) -> bool:
        return bool(self._do("report", number=number, step=step, accuracy=accuracy)["on"])

    def _do(self, what: str, **told: Any) -> dict[str, Any]:
        told_to, told_by = self._process.stdin, self._process.stdout
        if told_to is None or told_by is None:
            raise RuntimeError("the other Python has no lines to talk by.")
        told_to.write(json.dumps({"do": what, **told}) + "\n")
        told_to.flush()
        line = told_by.readline()
        if not line:
            raise RuntimeError(f"{self._process.args} ended; its error stands above.")
        answer: dict[str, Any] = json.loads(line)
        self.cpu_s += answer.pop("cpu_s")
        return answer


def _variable(tuner: str) -> str:
    return f"GREYHOUND_BENCH_{tuner.partition('_')[0].upper()}"


@dataclass(frozen=True)
class Peer:
    """module: what has to be installed; None for one that another Python runs."""

    module: str | None
    make: Callable[[curve_tasks.Task, int], Tuner]


PEERS = {
    "optuna_tpe": Peer("optuna", _optuna("TPESampler", lambda pruners, steps: pruners.NopPruner())),
    "optuna_gp": Peer("optuna", _optuna("GPSampler", lambda pruners, steps: pruners.NopPruner())),
    "optuna_tpe_median": Peer("optuna", _optuna("TPESampler", lambda pruners, steps: pruners.MedianPruner())),
    "optuna_tpe_sha": Peer("optuna", _optuna("TPESampler", lambda pruners, steps: pruners.SuccessiveHalvingPruner())),
    "optuna_tpe_hyperband": Peer(
        "optuna", _optuna("TPESampler", lambda pruners, steps: pruners.HyperbandPruner(max_resource=steps))
    ),
    **{
        name: Peer(None, functools.partial(lambda name, task, seed: Elsewhere(task, name, seed), name))
        for name in ELSEWHERE
    },
}


def simulate(
    task: curve_tasks.Task, method: str, seed: int, workers: int, noise: float, trainings: int
) -> tuple[list[float], dict[str, float]]:
    """What the incumbent reaches in the end, after each training's worth of steps, and figures of the run."""
    clock = [0.0]
    made = PEERS[method].make(task, seed) if method in PEERS else Ours(task, method, seed, lambda: clock[0])
    random = np.random.default_rng([seed, 1])
    curves: dict[int, curve_tasks.Curve] = {}
    seen: dict[int, tuple[int, float]] = {}
    reached, trained, cpu, slowest = [], 0, 0.0, 0.0
    queue: list[tuple[float, int, int, int]] = []
    free = workers

    def spent_so_far() -> float:
        return time.process_time() + float(getattr(made, "cpu_s", 0.0))

    def timed(call: Callable[[], Any]) -> Any:
        nonlocal cpu, slowest
        begin = spent_so_far()
        answer = call()
        spent = spent_so_far() - begin
        cpu, slowest = cpu + spent, max(slowest, spent)
        return answer

    def push(number: int, step: int) -> None:
        seconds = curves[number].seconds
        wait = seconds[step] - (seconds[step - 1] if step else 0.0)
        heapq.heappush(queue, (clock[0] + max(float(wait), 1e-9), trained + len(queue), number, step + 1))

    while len(reached) < trainings:
        while free and (work := timed(made.ask)) is not None:
            if work.number not in curves:
                curves[work.number] = task.curve(work.params)
            push(work.number, work.step)
            free -= 1
        if not queue:
            break
        clock[0], _, number, step = heapq.heappop(queue)
        trained += 1
        accuracy = float(curves[number].accuracy[step - 1] + noise * random.standard_normal())
        seen[number] = (step, accuracy)
        last = step >= task.max_steps
        if timed(lambda: made.report(number, step, accuracy, last)) and not last:  # noqa: B023
            push(number, step)
        else:
            free += 1
        if trained % task.max_steps == 0:
            incumbent = max(seen, key=lambda each: seen[each])
            reached.append(float(curves[incumbent].accuracy[-1]))
    finished = sum(step >= task.max_steps for step, _ in seen.values())
    counts = {"trials": len(seen), "finished": finished, "cpu_s": cpu, "slowest_s": slowest, "seconds": clock[0]}
    return reached, counts


def run(folder: Path, method: str, name: str, seed: int, workers: int, noise: float, trainings: int) -> dict[str, Any]:
    """One method on one task."""
    task = curve_tasks.load(folder, name)
    reached, counts = simulate(task, method, seed, workers, noise, trainings)
    return {"method": method, "task": name, "seed": seed, "workers": workers, "noise": noise, **counts,
            "regret": [task.regret(accuracy) for accuracy in reached]}  # fmt: skip


def table(rows: list[dict[str, Any]]) -> str:
    """Regret with standard errors, configurations started and finished, CPU milliseconds a step; best first."""
    at = [count for count in AT if count <= min(len(row["regret"]) for row in rows)]
    columns = ["method", "seeds", *(f"@{count}" for count in at), "trials", "finished", "CPU ms a step", "slowest ms"]
    tasks = len({row["task"] for row in rows})
    lines = [f"{tasks} tasks", "", f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    found = []
    for method in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == method]
        seeds = sorted({row["seed"] for row in mine})
        regret = np.array(
            [
                [np.mean([row["regret"][count - 1] for row in mine if row["seed"] == seed]) for count in at]
                for seed in seeds
            ]
        )
        error = regret.std(axis=0, ddof=1) / len(seeds) ** 0.5 if len(seeds) > 1 else np.full(len(at), np.nan)
        cells = [f"{value:.3f} ± {plus:.3f}" for value, plus in zip(regret.mean(axis=0), error, strict=True)]
        cells += [f"{np.mean([row[count] for row in mine]):.0f}" for count in ("trials", "finished")]
        steps = np.mean([len(row["regret"]) for row in mine]) * 52
        cells.append(f"{1e3 * np.mean([row['cpu_s'] for row in mine]) / steps:.1f}")
        cells.append(f"{1e3 * np.median([row['slowest_s'] for row in mine]):.0f}")
        found.append((regret.mean(), f"| {method} | {len(seeds)} | {' | '.join(cells)} |"))
    return "\n".join([*lines, *(line for _, line in sorted(found))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder with lcbench/ and taskset/")
    parser.add_argument("--suite", choices=["lcbench", "taskset"], default="lcbench")
    parser.add_argument("--methods", nargs="+", default=[*OURS, *PEERS])
    parser.add_argument("--tasks", nargs="+", help="some of the tasks")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--noise", type=float, default=0.0, help="standard deviation of noise on each accuracy")
    parser.add_argument("--trainings", type=int, default=50, help="the budget, in full trainings")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--elsewhere", nargs="+", default=[], metavar="PACKAGE=PYTHON", help="who runs a tuner")
    parser.add_argument("--out", type=Path, default=Path("early_stopping.jsonl"))
    options = parser.parse_args()
    names = options.tasks or curve_tasks.names(options.data, options.suite)
    os.environ.update(
        {_variable(package): python for package, _, python in (e.partition("=") for e in options.elsewhere)}
    )
    methods = [method for method in options.methods if method not in PEERS or _is_there(method)]
    for method in sorted(set(options.methods) - set(methods)):
        print(f"{method}: not installed, left out")
    rows = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    wanted = {(m, n, s, options.workers, options.noise) for m in methods for n in names for s in range(options.seeds)}
    rows = [row for row in rows if _key(row) in wanted and len(row["regret"]) >= options.trainings]
    todo = wanted - {_key(row) for row in rows}
    with ProcessPoolExecutor(options.processes) as pool, options.out.open("a") as out:
        jobs = [
            pool.submit(run, options.data, method, name, seed, workers, noise, options.trainings)
            for method, name, seed, workers, noise in sorted(todo, key=lambda key: (key[2], key[0], key[1]))
        ]
        for done, job in enumerate(as_completed(jobs), 1):
            row = job.result()
            rows.append(row)
            out.write(json.dumps(row) + "\n")
            out.flush()
            print(f"\r{done} of {len(jobs)}: {row['method']}, {row['task']}, {row['seed']}   ", end="", flush=True)
    print("\n" + table(rows))


def _is_there(method: str) -> bool:
    module = PEERS[method].module
    return _variable(method) in os.environ if module is None else importlib.util.find_spec(module) is not None


def _key(row: Mapping[str, Any]) -> tuple[str, str, int, int, float]:
    return row["method"], row["task"], row["seed"], row["workers"], row["noise"]


if __name__ == "__main__":
    main()
