"""Search quality: Greyhound's samplers and other tuners on the same tasks, seeds and budgets, in one run.

    python benchmarks/search.py --split dev --data FOLDER       tasks for developing on
    python benchmarks/search.py --split report                  tasks that no default was chosen on
    python benchmarks/search.py --split conditional             spaces with conditions, trained on the spot
    python benchmarks/search.py --methods auto gp optuna_tpe    some of the methods
    python benchmarks/search.py --workers 8 --methods auto      eight trials at a time (Greyhound's only)

Every finished run is a line of the file that --out names; run again, it goes on. Prints normalised regret,
(best so far − best) / (median of a random configuration − best), mean over tasks ± standard error over seeds,
the mean rank among the methods, and CPU milliseconds of ask + tell a trial.

Tuners that are not installed are not run, but read from the file. So where their pins conflict, several Pythons, each
with Greyhound, fill the same file one after the other, with the same split, seeds and budget; the last one prints the
table, of the methods that have run everything:

    VENV/bin/python benchmarks/search.py --methods ax --out all.jsonl
    python benchmarks/search.py --out all.jsonl
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import importlib.util
import json
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

import greyhound as gh
import peers
import tasks

OURS = (
    "auto",
    "gp",
    "tpe",
    "boosting",
    "genetic",
    "cmaes",
    "grey",
    "gp+genetic",
    "grid+gp",
    "sobol+tpe",
    "sobol",
    "random",
)
SPLITS = {"dev": tasks.DEV, "report": tasks.REPORT, "conditional": tasks.CONDITIONAL}
AT = (25, 50, 100)


def run(method: str, name: str, folder: Path | None, seed: int, budget: int, workers: int) -> dict[str, Any]:
    """One method on one task: the curve of the best loss so far, and CPU seconds in ask and tell."""
    task = tasks.load(name, folder)
    losses, cpu = (
        peers.PEERS[method].run(task, seed, budget)
        if method in peers.PEERS
        else greyhound(method, task, seed, budget, workers)
    )
    curve = np.minimum.accumulate(np.asarray(losses + [np.inf] * (budget - len(losses))))
    return {"method": method, "task": name, "seed": seed, "workers": workers, "cpu_s": cpu,
            "regret": [task.regret(float(loss)) for loss in curve]}  # fmt: skip


def greyhound(method: str, task: tasks.Task, seed: int, budget: int, workers: int) -> tuple[list[float], float]:
    """Greyhound's own study, driven by ask and tell; `workers` trials are open at a time, the oldest ends first."""
    study = gh.Study(task.space, minimize="loss", sampler=method, scheduler="none", seed=seed, budget=budget)
    losses: list[float] = []
    waiting: list[Any] = []
    cpu = 0.0
    while True:
        begin = time.process_time()
        trial = study.ask() if len(waiting) < workers else None
        cpu += time.process_time() - begin
        if trial is not None:
            waiting.append(trial)
            continue
        if not waiting:
            return losses, cpu
        oldest = waiting.pop(0)
        loss = task.loss(oldest.params)
        begin = time.process_time()
        study.tell(oldest, loss=loss)
        cpu += time.process_time() - begin
        losses.append(loss)


def table(rows: list[dict[str, Any]]) -> str:
    """Regret at 25, 50, 100 with standard errors, mean rank at each, CPU milliseconds a trial; best first."""
    names = list(dict.fromkeys(row["task"] for row in rows))
    seeds = sorted({row["seed"] for row in rows})
    found = {(row["method"], row["task"], row["seed"]): row for row in rows}
    methods = [
        method
        for method in dict.fromkeys(row["method"] for row in rows)
        if all((method, name, seed) in found for name in names for seed in seeds)
    ]
    at = [count for count in AT if count <= len(rows[0]["regret"])]
    regret = np.array(
        [
            [[[found[method, name, seed]["regret"][count - 1] for count in at] for seed in seeds] for name in names]
            for method in methods
        ]
    )
    ranks = _ranks(regret).mean(axis=(1, 2))
    by_seed = regret.mean(axis=1)
    error = by_seed.std(axis=1, ddof=1) / len(seeds) ** 0.5 if len(seeds) > 1 else np.full(by_seed.shape[::2], np.nan)
    cpu = [
        1e3 * np.mean([found[m, n, s]["cpu_s"] / len(found[m, n, s]["regret"]) for n in names for s in seeds])
        for m in methods
    ]
    head = " | ".join([*(f"NR@{count}" for count in at), *(f"rank@{count}" for count in at)])
    lines = [
        f"{len(names)} tasks, {len(seeds)} seeds",
        "",
        f"| method | {head} | CPU ms |",
        "| --- " * (2 + 2 * len(at)) + "|",
    ]
    for where in np.argsort(by_seed.mean(axis=1)[:, -1]):
        cells = [f"{by_seed[where, :, k].mean():.4f} ± {error[where, k]:.4f}" for k in range(len(at))]
        cells += [f"{ranks[where, k]:.2f}" for k in range(len(at))]
        lines.append(f"| {methods[where]} | {' | '.join(cells)} | {cpu[where]:.1f} |")
    return "\n".join(lines)


def _ranks(regret: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata

    return rankdata(regret, axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=list(SPLITS), default="report")
    parser.add_argument("--data", type=Path, help="a folder with tables/, surrogates/ and reference.json")
    parser.add_argument("--methods", nargs="+", default=[*OURS, *peers.PEERS])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--budget", type=int, default=100)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=Path("search.jsonl"))
    options = parser.parse_args()
    names = list(SPLITS[options.split])
    if options.split == "dev" and options.data is not None:
        names += tasks.DEV_SURROGATES
    rows = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    wanted = {(m, n, s, options.workers) for m in options.methods for n in names for s in range(options.seeds)}
    rows = [row for row in rows if (row["method"], row["task"], row["seed"], row["workers"]) in wanted]
    todo = wanted - {(row["method"], row["task"], row["seed"], row["workers"]) for row in rows}
    absent = {m for m in options.methods if m in peers.PEERS and not importlib.util.find_spec(peers.PEERS[m].module)}
    for method in sorted(absent & {method for method, *_ in todo}):
        print(f"{method}: not installed, not run")
    todo = {key for key in todo if key[0] not in absent}
    with ProcessPoolExecutor(options.processes) as pool, options.out.open("a") as out:
        jobs = [
            pool.submit(run, method, name, options.data, seed, options.budget, workers)
            for method, name, seed, workers in sorted(todo, key=lambda key: (key[2], key[0], key[1]))
        ]
        for done, job in enumerate(as_completed(jobs), 1):
            row = job.result()
            rows.append(row)
            out.write(json.dumps(row) + "\n")
            out.flush()
            print(
                f"\r{done} of {len(jobs)}: {row['method']} on {row['task']}, seed {row['seed']}   ", end="", flush=True
            )
    print("\n" + table(rows))


if __name__ == "__main__":
    main()
