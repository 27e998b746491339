"""A study to be killed: four workers train counters; what the study acknowledged is noted outside of it."""

import os
import random
import time
from pathlib import Path

import greyhound as gh
from greyhound.study import Study

FOLDER = Path(os.environ.get("KILL_ME_FOLDER", "."))
STEPS = 30

SPACE = gh.Space(x=gh.Float(0.0, 1.0), pace=gh.Float(0.002, 0.01))


class Counter:
    """Something to train: its state is how many steps it took and a walk that depends on each of them."""

    def __init__(self):
        self.steps = 0
        self.walk = 0.0

    def state_dict(self):
        return {"steps": self.steps, "walk": self.walk}

    def load_state_dict(self, state):
        self.steps, self.walk = state["steps"], state["walk"]


def note(name, line):
    """Append a line by one write, so that a kill can't tear it."""
    file = os.open(FOLDER / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{line}\n".encode())
    os.close(file)


def train(trial):
    counter = Counter()
    start = trial.checkpoint(counter=counter)
    note("starts.txt", f"{trial.number} {start} {counter.steps} {trial.step}")
    for step in range(start, trial.max_steps):
        time.sleep(trial.params["pace"])
        counter.steps += 1
        counter.walk = counter.walk * 0.9 + trial.params["x"] * step
        trial.report(step + 1, score=counter.walk)


def acknowledged(method, name):
    """The method, noting what it was told once it has returned: that is when the study has acknowledged it."""

    def told(self, trial, *values, **metrics):
        result = method(self, trial, *values, **metrics)
        number = trial if isinstance(trial, int) else trial.number
        note(name, " ".join(map(str, (number, *values))))
        return result

    return told


def walk(x, steps):
    """What an unbroken training reports."""
    value = 0.0
    for step in range(steps):
        value = value * 0.9 + x * step
    return value


if __name__ == "__main__":
    random.seed()
    Study.report = acknowledged(Study.report, "reports.txt")
    note("coordinators.txt", os.getpid())
    gh.tune(
        train, SPACE, maximize="score", max_steps=STEPS, budget=10_000, workers=4, storage=FOLDER / "study.db",
        sampler="random", progress=False,
    )  # fmt: skip
