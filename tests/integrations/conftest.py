"""Trainings under a study that the test itself plays: paused where it says, and taken up again."""

import pytest

from greyhound.evaluators.function import Function
from greyhound.jobs import Answer, Job, Progress
from greyhound.trial import TrialState, Verdict


class Line:
    """Keeps what is sent; says to pause whenever a training waits."""

    def __init__(self):
        self.sent = []

    def send(self, message):
        self.sent.append(message)

    def answer(self, wait):
        return Answer(Verdict.PAUSE) if wait else None

    @property
    def reports(self):
        return [(each.step, dict(each.metrics)) for each in self.sent if isinstance(each, Progress)]


@pytest.fixture
def train_in_parts(tmp_path_factory):
    """Runs a training function with pauses after these steps; all that it reported, and the last outcome."""

    def run(train, params, pauses=(), max_steps=None, objectives=("score",), seed=7):
        folder, line, step = tmp_path_factory.mktemp("trial"), Line(), 0
        for until in [*pauses, None]:
            job = Job(
                3, params, seed, step=step, until=until, max_steps=max_steps, objectives=objectives, directory=folder
            )  # fmt: skip
            outcome = Function(train)(job, line)
            assert outcome.state is (TrialState.PAUSED if until else outcome.state), outcome.error
            assert line.reports, outcome.error
            step = line.reports[-1][0]
        return line.reports, outcome

    return run
