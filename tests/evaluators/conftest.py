"""A line to a study that the test itself plays."""

from collections import deque

import pytest

from greyhound.jobs import Answer, Job, Progress
from greyhound.trial import Verdict


class Line:
    """Keeps what is sent; answers a waiting training by `judge`, others by what lies in `answers`."""

    def __init__(self, judge=lambda step: Answer(Verdict.CONTINUE, None)):
        self.sent = []
        self.answers = deque()
        self.judge = judge
        self.waited = 0

    def send(self, message):
        self.sent.append(message)

    def answer(self, wait):
        if self.answers:
            return self.answers.popleft()
        if not wait:
            return None
        self.waited += 1
        return self.judge(self.sent[-1].step)

    @property
    def reports(self):
        return [(each.step, dict(each.metrics)) for each in self.sent if isinstance(each, Progress)]


@pytest.fixture
def line():
    return Line()


@pytest.fixture(scope="session")
def make_line():
    return Line


@pytest.fixture
def job(tmp_path):
    """A job of trial 3, in a folder of its own."""

    def make(**options):
        usual = {"params": {"x": 0.5}, "seed": 7, "objectives": ("score",), "directory": tmp_path / "trial"}
        return Job(3, **{**usual, **options})

    return make
