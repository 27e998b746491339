"""What a guess or an earlier study is worth, right or wrong: the lowest loss so far with and without.

    python benchmarks/knowledge.py --seeds 10

A quadratic of three parameters with its optimum at (0.8, 0.3, 0.6); guesses at all three; earlier studies of 25
trials whose optimum lies near or at the other end.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import greyhound as gh

RIGHT, WRONG = (0.8, 0.3, 0.6), (0.1, 0.9, 0.1)
AT = (5, 10, 20, 30)


def curve(seed: int, guess: tuple[float, ...] | None = None, trials: int = 30, **options: Any) -> np.ndarray:
    study = searched(seed, RIGHT, guess, trials, **options)
    return np.minimum.accumulate([trial.metrics["loss"] for trial in study.trials])


def searched(
    seed: int, best: tuple[float, ...], guess: tuple[float, ...] | None, trials: int, **options: Any
) -> gh.Study:
    space = gh.Space(
        {
            name: gh.Float(0.0, 1.0, prior=None if guess is None else (guess[at], 0.8))
            for at, name in enumerate(("x", "y", "z"))
        }
    )
    study = gh.Study(
        space, minimize="loss", sampler="gp", scheduler="none", seed=seed, budget=f"{trials} trials", **options
    )
    while (trial := study.ask()) is not None:
        away = np.array(list(trial.params.values())) - best
        study.tell(trial, loss=float(away @ (away * [1.0, 0.3, 0.3])))
    return study


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    seeds = range(parser.parse_args().seeds)
    near = tuple(value + 0.05 for value in RIGHT)
    ways = {
        "nothing": [curve(seed) for seed in seeds],
        "guesses 0.05 off": [curve(seed, near) for seed in seeds],
        "guesses at the wrong end": [curve(seed, WRONG) for seed in seeds],
        "a like study": [curve(seed, warm_start=searched(seed + 100, near, None, 25)) for seed in seeds],
        "an unlike study": [curve(seed, warm_start=searched(seed + 100, WRONG, None, 25)) for seed in seeds],
    }
    print(f"| known before | {' | '.join(f'{count} trials' for count in AT)} |")
    print("| --- " * (len(AT) + 1) + "|")
    for name, curves in ways.items():
        found = np.array(curves)[:, [count - 1 for count in AT]]
        errors = found.std(axis=0, ddof=1) / len(found) ** 0.5
        cells = [f"{mean:.1e} ± {error:.0e}" for mean, error in zip(found.mean(axis=0), errors, strict=True)]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
