"""A Hydra application with a configuration group; it leaves a note of each of its starts."""

import os
import signal
from pathlib import Path

import hydra

import greyhound as gh
from greyhound.integrations.hydra import current_trial


class Walk:
    value = 0.0

    def state_dict(self):
        return {"value": self.value}

    def load_state_dict(self, state):
        self.value = state["value"]


@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(cfg):
    walk, trial = Walk(), current_trial()
    start = trial.checkpoint(walk=walk)
    with open(Path(cfg.notes) / f"{trial.number}.txt", "a") as notes:
        notes.write(f"{start} {os.getpid()}\n")
    if cfg.fail and trial.number == 1:
        raise ValueError("a mistake of mine")
    for step in range(start, 9):
        walk.value = 0.5 * walk.value + cfg.x * cfg.net.width
        gh.report(step + 1, score=walk.value)
        if cfg.kill and trial.number == 0 and step == 4 and not (mark := Path(cfg.notes) / "killed").exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return walk.value


if __name__ == "__main__":
    main()
