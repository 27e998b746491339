"""A study in a Ray cluster, to be killed with it: counters whose state says how often they stepped."""

import os
import time
from pathlib import Path

import greyhound as gh

FOLDER = Path(os.environ.get("RAY_ME_FOLDER", "."))
STEPS = 12


class Counter:
    def __init__(self):
        self.steps = 0

    def state_dict(self):
        return {"steps": self.steps}

    def load_state_dict(self, state):
        self.steps = state["steps"]


def note(*words):
    """Append a line by one write, so that a kill can't tear it."""
    with open(FOLDER / "notes.txt", "ab", buffering=0) as file:
        file.write(f"{' '.join(map(str, words))}\n".encode())


def train(trial):
    counter = Counter()
    start = trial.checkpoint(counter=counter)
    note(trial.number, start, counter.steps, trial.step, os.getppid())
    print(f"from {start}")
    for step in range(start, trial.max_steps):
        time.sleep(0.1)
        counter.steps += 1
        trial.report(step + 1, score=trial.params["x"] * counter.steps)


if __name__ == "__main__":
    gh.tune(
        train, gh.Space(x=gh.Float(0.0, 1.0)), maximize="score", max_steps=STEPS, budget="6 trials",
        executor="ray", gpus_per_trial=0, storage=FOLDER / "study.db", sampler="random", scheduler="none",
        finals=False, progress=False,
    )  # fmt: skip
