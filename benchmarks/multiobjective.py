"""Several objectives: Greyhound's samplers and other tuners on the same problems, seeds and budgets, in one run.

    python benchmarks/multiobjective.py --split dev          problems for developing on
    python benchmarks/multiobjective.py --split report       problems that no default was chosen on
    python benchmarks/multiobjective.py --methods auto nsga2 optuna_tpe

Every finished run is a line of the file that --out names; run again, it goes on. Prints the hypervolume over that of
the true front, after 50, 100 and 200 evaluations, mean over problems ± standard error over seeds, and CPU milliseconds
of ask + tell a trial; with --each a table by problem. All tuners get all objectives as they are. Tuners that are not
installed are left out.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import importlib.util
import json
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

import greyhound as gh
import peers
import problems
from greyhound.kinds import Bool, Categorical, Ordinal

OURS = ("auto", "ehvi", "nsga2", "tpe", "genetic", "random")
AT = (50, 100, 200)


def run(method: str, name: str, seed: int, budget: int) -> dict[str, Any]:
    """One method on one problem: the hypervolume at each of AT, and CPU seconds in ask and tell."""
    problem = problems.load(name)
    meter = Meter(problem)
    if method in PEERS:
        PEERS[method][1](meter, seed, budget)
    else:
        greyhound(method, meter, seed, budget)
    cpu = meter.cpu()
    found = np.array(meter.losses)
    volumes = {count: problem.hypervolume(found[:count]) for count in AT if count <= budget}
    return {"method": method, "problem": name, "seed": seed, "budget": budget, "cpu_s": cpu, "volume": volumes}


class Meter:
    """The problem's losses in order, and CPU time outside of them."""

    def __init__(self, problem: problems.Problem) -> None:
        self.problem = problem
        self.losses: list[tuple[float, ...]] = []
        self._begin = time.process_time()
        self._inside = 0.0

    def __call__(self, params: dict[str, Any]) -> tuple[float, ...]:
        begin = time.process_time()
        losses = self.problem.losses(params)
        self.losses.append(losses)
        self._inside += time.process_time() - begin
        return losses

    def plain(self, params: dict[str, Any]) -> dict[str, Any]:
        """Whole numbers back to the values of an ordinal."""
        space = self.problem.space
        return {
            name: space[name].choices[int(value)] if isinstance(space[name], Ordinal) else value
            for name, value in params.items()
        }

    def cpu(self) -> float:
        """CPU seconds of the tuner so far."""
        return time.process_time() - self._begin - self._inside


def greyhound(method: str, meter: Meter, seed: int, budget: int) -> None:
    """Greyhound's own study, driven by ask and tell."""
    names = meter.problem.names
    study = gh.Study(meter.problem.space, minimize=names, sampler=method, scheduler="none", seed=seed, budget=budget)
    while (trial := study.ask()) is not None:
        study.tell(trial, **dict(zip(names, meter(dict(trial.params)), strict=True)))


def with_optuna(make: Callable[[Any, int], Any]) -> Callable[[Meter, int, int], None]:
    """A run of one of Optuna's samplers: make(optuna.samplers, seed)."""

    def drive(meter: Meter, seed: int, budget: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.simplefilter("ignore")
        study = optuna.create_study(
            directions=["minimize"] * len(meter.problem.names), sampler=make(optuna.samplers, seed)
        )

        def objective(trial: optuna.Trial) -> tuple[float, ...]:
            asked = peers.task_params(meter.problem, lambda name, each: peers._optuna(trial, name, each))
            return meter(meter.plain(asked))

        study.optimize(objective, n_trials=budget)

    return drive


def pymoo_nsga2(meter: Meter, seed: int, budget: int) -> None:
    """NSGA-II of 20 parents: its usual 100 would be half of the budget or more."""
    from pymoo.algorithms.moo.nsga2 import NSGA2, RankAndCrowdingSurvival
    from pymoo.core.mixed import MixedVariableGA
    from pymoo.core.problem import ElementwiseProblem
    from pymoo.core.variable import Choice, Integer
    from pymoo.optimize import minimize

    space, objectives = meter.problem.space, len(meter.problem.names)
    discrete = any(parameter.size is not None for parameter in space.parameters.values())

    class Asked(ElementwiseProblem):
        def __init__(self) -> None:
            if discrete:
                super().__init__(vars={n: dimension(p) for n, p in space.parameters.items()}, n_obj=objectives)
            else:
                super().__init__(n_var=len(space), n_obj=objectives, xl=0.0, xu=1.0)

        def _evaluate(self, x: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
            params = meter.plain(x) if discrete else dict(zip(space, map(float, x), strict=True))
            out["F"] = meter(params)

    def dimension(parameter: Any) -> Any:
        if isinstance(parameter, Categorical | Bool):
            return Choice(options=list(parameter.choices))
        return Integer(bounds=(0, len(parameter.choices) - 1))

    algorithm = MixedVariableGA(pop_size=20, survival=RankAndCrowdingSurvival()) if discrete else NSGA2(pop_size=20)
    minimize(Asked(), algorithm, ("n_eval", budget), seed=seed, verbose=False)


PEERS: dict[str, tuple[str, Callable[[Meter, int, int], None]]] = {
    "optuna_gp": ("optuna", with_optuna(lambda samplers, seed: samplers.GPSampler(seed=seed))),
    "optuna_tpe": ("optuna", with_optuna(lambda samplers, seed: samplers.TPESampler(seed=seed))),
    "optuna_nsga2": ("optuna", with_optuna(lambda samplers, seed: samplers.NSGAIISampler(seed=seed))),
    "pymoo_nsga2": ("pymoo", pymoo_nsga2),
}
"""What has to be installed, and the run."""


def table(rows: list[dict[str, Any]]) -> str:
    """Hypervolumes with standard errors over seeds, CPU milliseconds a trial; best first.

    Of methods that have a run for every problem and seed.
    """
    names = sorted({row["problem"] for row in rows})
    seeds = sorted({row["seed"] for row in rows})
    found = {(row["method"], row["problem"], row["seed"]): row for row in rows}
    methods = [
        method
        for method in dict.fromkeys(row["method"] for row in rows)
        if all((method, name, seed) in found for name in names for seed in seeds)
    ]
    at = [count for count in AT if str(count) in rows[0]["volume"]]
    lines = [f"| method | {' | '.join(f'HV@{count}' for count in at)} | CPU ms |", "| --- " * (2 + len(at)) + "|"]
    told = []
    for method in methods:
        every = np.array([[[found[method, n, s]["volume"][str(c)] for c in at] for n in names] for s in seeds])
        by_seed = every.mean(axis=1)
        error = by_seed.std(axis=0, ddof=1) / len(seeds) ** 0.5 if len(seeds) > 1 else np.full(len(at), np.nan)
        cpu = 1e3 * np.mean(
            [found[method, n, s]["cpu_s"] / found[method, n, s]["budget"] for n in names for s in seeds]
        )
        cells = [f"{mean:.4f} ± {e:.4f}" for mean, e in zip(by_seed.mean(axis=0), error, strict=True)]
        told.append((-by_seed.mean(), f"| {method} | {' | '.join(cells)} | {cpu:.0f} |"))
    return "\n".join([*lines, *(line for _, line in sorted(told))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=["dev", "report"], default="report")
    parser.add_argument("--problems", nargs="+", help="some of them by name")
    parser.add_argument("--methods", nargs="+", default=[*OURS, *PEERS])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--budget", type=int, default=200)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--each", action="store_true", help="a table by problem besides")
    parser.add_argument("--out", type=Path, default=Path("multiobjective.jsonl"))
    options = parser.parse_args()
    names = options.problems or list(problems.DEV if options.split == "dev" else problems.REPORT)
    methods = [m for m in options.methods if m not in PEERS or importlib.util.find_spec(PEERS[m][0])]
    for method in sorted(set(options.methods) - set(methods)):
        print(f"{method}: not installed, left out")
    rows = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    wanted = {(m, n, s, options.budget) for m in methods for n in names for s in range(options.seeds)}
    rows = [row for row in rows if (row["method"], row["problem"], row["seed"], row["budget"]) in wanted]
    todo = wanted - {(row["method"], row["problem"], row["seed"], row["budget"]) for row in rows}
    with ProcessPoolExecutor(options.processes) as pool, options.out.open("a") as out:
        jobs = [pool.submit(run, *key) for key in sorted(todo, key=lambda key: (key[2], key[1], key[0]))]
        for done, job in enumerate(as_completed(jobs), 1):
            line = json.dumps(job.result())
            rows.append(json.loads(line))
            out.write(line + "\n")
            out.flush()
            print(f"\r{done} of {len(jobs)}", end="", flush=True)
    print("\n" + table(rows))
    for name in names if options.each else ():
        print(f"\n{name}\n" + table([row for row in rows if row["problem"] == name]))


if __name__ == "__main__":
    main()
