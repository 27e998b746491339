"""A population that trains until it is killed; test_early_stopping.py kills it again and again."""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.test_early_stopping import SPACE, Curve, after

import greyhound as gh

FOLDER = Path(os.environ.get("POPULATION_FOLDER", "."))


def train(trial):
    curve = Curve()
    for step in range(trial.checkpoint(curve=curve), trial.max_steps):
        time.sleep(0.003)
        curve.loss = after(curve.loss, trial.params, 1)
        with open(FOLDER / "reports.txt", "a") as file:
            file.write(f"{trial.number} {step + 1}\n")
        trial.report(step + 1, loss=curve.loss)


if __name__ == "__main__":
    gh.tune(
        train, SPACE, minimize="loss", max_steps=40, budget=10_000, workers=3, sampler="random",
        scheduler={"name": "pbt", "population": 5, "interval": 4}, storage=FOLDER / "study.db", progress=False,
    )  # fmt: skip
