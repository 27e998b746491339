"""A trial of three folds that is killed once, in the third step of the second; what it trained is noted."""

import os
import signal
from pathlib import Path

import greyhound as gh

FOLDS, STEPS = 3, 4


class Counter:
    """Its state is how many steps it took."""

    steps = 0

    def state_dict(self):
        return {"steps": self.steps}

    def load_state_dict(self, state):
        self.steps = state["steps"]


def train(trial):
    counter = Counter()
    for step in range(trial.checkpoint(counter=counter), trial.max_steps):
        counter.steps += 1
        with open("trained.txt", "a") as file:
            file.write(f"{trial.fold} {step + 1} {counter.steps}\n")
        if (trial.fold, step) == (1, 2) and not Path("killed").exists():
            Path("killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        trial.report(step + 1, score=10.0 * trial.fold + counter.steps)


if __name__ == "__main__":
    gh.tune(
        train, gh.Space(x=gh.Float(0, 1)), maximize="score", folds=FOLDS, max_steps=STEPS, budget=1, storage="s.db",
        workers="serial", progress=False,
    )  # fmt: skip
