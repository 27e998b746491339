"""Forecasts of the final value from the first part of a learning curve: error, order and coverage of the intervals.

    python benchmarks/curves.py --data FOLDER                    LCBench and TaskSet
    python benchmarks/curves.py --data FOLDER --known 8          fewer finished curves to learn from

On each task some random configurations are drawn, of which `--known` were trained to the end; for the others the
first steps are known. A cell is the mean absolute error and Kendall's tau within a task, mean over tasks and seeds, and
for the whole the shares of final values inside the 50, 80 and 95 % intervals. Each family is a row, alone; then their
average by evidence, without and with the finished curves; then with the model of curves and configurations. Below, tau
among the third that ends best alone: the others cannot win, and where trainings stand still their order is chance.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau

import curve_tasks
from greyhound.curves import FAMILIES, forecast
from greyhound.curves.ensemble import average, expected

SEEN = (4, 8, 13, 26)
Method = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray | None]]


def family(name: str) -> Method:
    def method(curves, X, known, known_X):
        return expected(curves, np.array([float(known.shape[1])]), [name])[0, :, 0], None

    return method


def by_evidence(learning: bool) -> Method:
    def method(curves, X, known, known_X):
        found = average(curves, np.array([float(known.shape[1])]), known if learning else known[:0])
        return found.mean[:, 0], None

    return method


def whole(configurations: bool) -> Method:
    def method(curves, X, known, known_X):
        both = {"configurations": X, "known_configurations": known_X} if configurations else {}
        return forecast(curves, known.shape[1], known=known, limits=(0.0, 1.0), **both)

    return method


def alone(curves, X, known, known_X):
    return forecast(curves, known.shape[1], limits=(0.0, 1.0))


METHODS: dict[str, Method] = {
    **{f"family {name}": family(name) for name in FAMILIES},
    "ensemble, a curve alone": alone,
    "ensemble, weighted by the finished curves": by_evidence(True),
    "and corrected by them": whole(False),
    "and by the configurations": whole(True),
}


def draw(task: curve_tasks.Task, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Random configurations in the unit cube, of a table some of those that were trained, and their curves."""
    rng = np.random.default_rng(seed)
    if task.configurations:
        chosen = [task.configurations[row] for row in rng.choice(len(task.configurations), count, replace=False)]
    else:
        chosen = [task.space.sample(rng) for _ in range(count)]
    X = np.array([task.space.encode(dict(params))[0] for params in chosen])
    return X, np.array([task.curve(params).accuracy for params in chosen])


def cell(method: Method, drawn: list[tuple[np.ndarray, np.ndarray]], seen: int, known: int) -> str:
    errors, taus, inside = [], [], []
    for X, curves in drawn:
        mean, quantiles = method(curves[known:, :seen], X[known:], curves[:known], X[:known])
        truth = curves[known:, -1]
        errors.append(np.abs(mean - truth).mean())
        taus.append(kendalltau(mean, truth)[0])
        if quantiles is not None:
            pairs = ((2, 4), (1, 5), (0, 6))
            inside.append([np.mean((quantiles[:, a] <= truth) & (truth <= quantiles[:, b])) for a, b in pairs])
    cover = " ".join(f"{100 * share:.0f}" for share in np.mean(inside, axis=0)) if inside else ""
    return f"{np.mean(errors):.3f} {np.mean(taus):.3f}" + (f" [{cover}]" if cover else "")


def best_third(method: Method, drawn: list[tuple[np.ndarray, np.ndarray]], seen: int, known: int) -> str:
    taus = []
    for X, curves in drawn:
        mean, _ = method(curves[known:, :seen], X[known:], curves[:known], X[:known])
        truth = curves[known:, -1]
        best = truth >= np.quantile(truth, 2 / 3)
        taus.append(kendalltau(mean[best], truth[best])[0])
    return f"{np.nanmean(taus):.3f}"


def speed() -> str:
    rng = np.random.default_rng(0)
    curves = 1.0 - rng.random((1000, 1)) * np.arange(1.0, 51.0) ** -0.5 + 0.01 * rng.standard_normal((1000, 50))
    forecast(curves, 100)
    begin = time.process_time()
    forecast(curves, 100)
    return f"1,000 curves of 50 points: {1e3 * (time.process_time() - begin):.0f} ms CPU"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder with lcbench/ and taskset/")
    parser.add_argument("--known", type=int, default=20)
    parser.add_argument("--count", type=int, default=200, help="configurations a task")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    for suite in ("lcbench", "taskset"):
        tasks = [curve_tasks.load(options.data, name) for name in curve_tasks.names(options.data, suite)]
        drawn = [draw(task, options.count, seed) for task in tasks for seed in range(options.seeds)]
        print(f"\n{suite}: {len(tasks)} tasks, {options.seeds} seeds, {options.known} of {options.count} finished\n")
        print(f"| method | {' | '.join(f'from {seen}' for seen in SEEN)} |\n{'| --- ' * (1 + len(SEEN))}|")
        for name, method in METHODS.items():
            print(f"| {name} | {' | '.join(cell(method, drawn, seen, options.known) for seen in SEEN)} |")
        print("\namong the best third:")
        for name in ("family last", "and by the configurations"):
            taus = [best_third(METHODS[name], drawn, seen, options.known) for seen in SEEN]
            print(f"| {name} | {' | '.join(taus)} |")
    print("\n" + speed())


if __name__ == "__main__":
    main()
