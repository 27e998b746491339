"""Whole pipelines in a given time: Greyhound beside TPOT, on three of scikit-learn's own data sets.

    python benchmarks/pipelines.py --seconds 60 --seeds 3 --tpot FOLDER/bin/python

TPOT runs by the Python that --tpot names, which may be that of a virtual environment of its own; without it, it
is left out. Both get the same training part, five folds, one core, and so many seconds; what counts is the score of
the refitted winner on a quarter of the data that neither saw (accuracy; R² for diabetes). "forest" is scikit-learn's
random forest as it comes. Every finished run is a line of the file that --out names; run again, it goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

DATA = ("breast_cancer", "digits", "diabetes")
SHARE = 0.25
ONE_CORE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def split(name: str, seed: int) -> Any:
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return train_test_split(X, y, test_size=SHARE, random_state=seed, stratify=None if name == "diabetes" else y)


def forest(name: str, X: Any, y: Any, seed: int, seconds: float) -> tuple[Any, int]:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    kind = RandomForestRegressor if name == "diabetes" else RandomForestClassifier
    return kind(random_state=seed).fit(X, y), 1


def greyhound(name: str, X: Any, y: Any, seed: int, seconds: float) -> tuple[Any, int]:
    from greyhound.integrations import pipelines
    from greyhound.integrations.sklearn import GreyhoundSearchCV

    ready = pipelines.regressor(seed=seed) if name == "diabetes" else pipelines.classifier(seed=seed)
    search = GreyhoundSearchCV(
        ready.estimator, ready, n_trials=None, budget=f"{seconds} s", trial_timeout=seconds / 2, cv=5, random_state=seed
    ).fit(X, y)
    return search, len(search.cv_results_["params"])


def tpot(name: str, X: Any, y: Any, seed: int, seconds: float) -> tuple[Any, int]:
    import tpot as package

    kind = package.TPOTRegressor if name == "diabetes" else package.TPOTClassifier
    scorers = ["r2"] if name == "diabetes" else ["accuracy"]
    search = kind(
        scorers=scorers, cv=5, n_jobs=1, max_time_mins=seconds / 60, max_eval_time_mins=seconds / 120,
        random_state=seed, verbose=0,
    ).fit(X, y)  # fmt: skip
    return search, len(getattr(search, "evaluated_individuals", []))


METHODS = {"forest": forest, "greyhound": greyhound, "tpot": tpot}


def run(method: str, name: str, seed: int, seconds: float) -> dict[str, Any]:
    """One search: the winner's score on the unseen part, how long it took, how many pipelines it tried."""
    from sklearn.metrics import accuracy_score, r2_score

    warnings.simplefilter("ignore")
    X, X_test, y, y_test = split(name, seed)
    begin = time.perf_counter()
    winner, tried = METHODS[method](name, X, y, seed, seconds)
    took = time.perf_counter() - begin
    measure = r2_score if name == "diabetes" else accuracy_score
    score = float(measure(y_test, winner.predict(X_test)))
    return {
        "method": method,
        "data": name,
        "seed": seed,
        "seconds": seconds,
        "score": score,
        "took": took,
        "tried": tried,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--data", nargs="+", default=list(DATA), choices=DATA)
    parser.add_argument("--tpot", help="the Python that has TPOT")
    parser.add_argument("--out", type=Path, default=Path("pipelines.jsonl"))
    parser.add_argument("--one", nargs=3, metavar=("METHOD", "DATA", "SEED"), help="one run in this process")
    options = parser.parse_args()
    if options.one:
        method, name, seed = options.one
        print("\n" + json.dumps(run(method, name, int(seed), options.seconds)))
        return
    lines = options.out.read_text().splitlines() if options.out.exists() else []
    done = [row for row in map(json.loads, lines) if row["seconds"] == options.seconds]
    for seed in range(options.seeds):
        for name in options.data:
            for method in options.methods:
                known = any((row["method"], row["data"], row["seed"]) == (method, name, seed) for row in done)
                python = options.tpot if method == "tpot" else sys.executable
                if known or python is None:
                    continue
                command = [python, __file__, "--one", method, name, str(seed), "--seconds", str(options.seconds)]
                result = subprocess.run(
                    command, capture_output=True, text=True, check=False, env={**os.environ, **ONE_CORE}
                )
                if result.returncode:
                    print(f"{method} on {name}, seed {seed}, failed: {result.stderr.strip().splitlines()[-1]}")
                    continue
                done.append(json.loads(result.stdout.splitlines()[-1]))
                with options.out.open("a") as file:
                    file.write(json.dumps(done[-1]) + "\n")
    table(done)


def table(rows: list[dict[str, Any]]) -> None:
    print(
        "| data | method | score, mean ± sd of the seeds | pipelines tried | seconds |\n| --- | --- | --- | --- | --- |"
    )
    for name in DATA:
        for method in METHODS:
            mine = [row for row in rows if (row["method"], row["data"]) == (method, name)]
            if mine:
                scores = [row["score"] for row in mine]
                spread = stdev(scores) if len(scores) > 1 else 0.0
                tried, took = fmean(row["tried"] for row in mine), fmean(row["took"] for row in mine)
                print(f"| {name} | {method} | {fmean(scores):.4f} ± {spread:.4f} | {tried:.0f} | {took:.0f} |")


if __name__ == "__main__":
    main()
