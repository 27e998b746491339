"""Scalars from event files: what is a report, and that none of them is lost."""

import os

import pytest

from greyhound.evaluators.live import LiveTrial
from greyhound.evaluators.tensorboard import EventFiles


@pytest.fixture
def write(tmp_path):
    """Writes scalars of this process, all of one step, to be found at the next poll."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(tmp_path))

    def tell(step, **scalars):
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        writer.add_event(Event(step=step, summary=Summary(value=values)))
        writer.flush()

    yield tell
    writer.close()


@pytest.fixture
def files(tmp_path, job, line):
    trial = LiveTrial(job(objectives=("score", "size")), line)
    return EventFiles(str(tmp_path), os.getpid(), trial, trial.report_metrics)


def test_scalars_between_reports_are_told_with_the_next_one(write, files, line):
    write(1, loss=4)
    write(2, loss=3)
    write(3, score=0.5)
    files.poll()
    assert (line.reports, files.untold) == ([(3, {"score": 0.5, "loss": 3.0})], {})
    write(4, loss=2)
    files.poll()
    write(5, score=0.75, loss=1)
    files.poll()
    assert line.reports[1:] == [(5, {"score": 0.75, "loss": 1.0})]


def test_an_objective_that_comes_late_for_its_step_is_told_with_the_next_report(write, files, line):
    write(1, score=0.5)
    files.poll()
    write(1, size=8)
    files.poll()
    assert (line.reports, files.untold) == ([(1, {"score": 0.5})], {"size": 8.0})
    write(2, score=0.75)
    files.poll()
    assert line.reports[1:] == [(2, {"score": 0.75, "size": 8.0})]


def test_a_value_of_an_earlier_step_does_not_replace_a_later_one(write, files, line):
    write(3, score=0.5)
    files.poll()
    write(2, score=0.25, size=8)
    files.poll()
    assert (line.reports, files.untold) == ([(3, {"score": 0.5})], {"size": 8.0})


def test_a_tag_is_known_by_its_last_part_whatever_that_is(write, files, line):
    write(1, **{"val/score": 0.5, "train/step": 7, "train/self": 8, "epoch": 9})
    files.poll()
    [(_, metrics)] = line.reports
    assert metrics == {
        "val/score": 0.5, "score": 0.5, "train/step": 7.0, "step": 7.0, "train/self": 8.0, "self": 8.0, "epoch": 9.0,
    }  # fmt: skip
