"""Training in this process: the loop is called from inside the training, which stays in its thread."""

import threading

import pytest

from greyhound.executors import Serial
from greyhound.jobs import Answer, Job, Outcome, Progress
from greyhound.testing.executors import job, train
from greyhound.trial import TrialState, Verdict


def test_training_runs_in_the_thread_that_calls_messages():
    def where(job, channel):
        return Outcome(job.number, TrialState.COMPLETED, {"thread": threading.get_ident()})

    executor = Serial(where)
    executor.submit(Job(0, {}, seed=0))
    assert executor.messages(0.0)[-1].metrics == {"thread": threading.get_ident()}


def test_each_message_is_pumped_while_the_training_stands_still():
    happened = []

    def note(job, channel):
        for step in (1, 2):
            channel.send(Progress(job.number, step, {}))
            happened.append(f"trained on after {step}")
        return Outcome(job.number, TrialState.COMPLETED)

    executor = Serial(note)
    executor.pump = lambda messages: happened.extend(f"pumped {message.step}" for message in messages)
    executor.submit(Job(0, {}, seed=0))
    assert [type(message) for message in executor.messages(0.0)] == [Outcome]
    assert happened == ["pumped 1", "trained on after 1", "pumped 2", "trained on after 2"]


def test_without_pump_messages_are_kept_in_order():
    executor = Serial(train)
    executor.submit(job(0, max_steps=3))
    assert [m.step for m in executor.messages(0.0) if isinstance(m, Progress)] == [1, 2, 3]


def test_waiting_for_a_verdict_that_cannot_come_is_an_error():
    executor = Serial(train)
    executor.submit(job(0, until=1, max_steps=3))
    with pytest.raises(RuntimeError, match="trial 0 waits for a verdict"):
        executor.messages(0.0)
    assert executor.free == 1


def test_what_the_loop_raises_leaves_messages_past_the_trainings_own_handlers():
    def catches_all(job, channel):
        try:
            channel.send(Progress(job.number, 1, {}))
        except BaseException:
            return Outcome(job.number, TrialState.FAILED)
        return Outcome(job.number, TrialState.COMPLETED)

    def broken(messages):
        raise OSError("the disk is full")

    executor = Serial(catches_all)
    executor.pump = broken
    executor.submit(Job(0, {}, seed=0))
    with pytest.raises(OSError, match="the disk is full"):
        executor.messages(0.0)


def test_ctrl_c_in_a_training_leaves_messages():
    def interrupted(job, channel):
        raise KeyboardInterrupt

    executor = Serial(interrupted)
    executor.submit(Job(0, {}, seed=0))
    with pytest.raises(KeyboardInterrupt):
        executor.messages(0.0)


def test_folder_is_made_and_locked(tmp_path):
    def looks(job, channel):
        return Outcome(job.number, TrialState.COMPLETED, {"locked": float((job.directory / "lock").exists())})

    executor = Serial(looks)
    executor.submit(Job(0, {}, seed=0, directory=tmp_path / "trials" / "0"))
    assert executor.messages(0.0)[-1].metrics == {"locked": 1.0}


def test_shutdown_from_inside_stops_the_training_at_its_next_report():
    executor = Serial(train)
    executor.pump = lambda messages: executor.shutdown()
    executor.submit(job(0, max_steps=100))
    assert executor.messages(0.0)[-1].state is TrialState.STOPPED
    assert executor.slots == 0


def test_answer_from_pump_reaches_the_training():
    executor = Serial(train)

    def judge(messages):
        if isinstance(messages[0], Progress) and messages[0].waits:
            executor.tell(0, Answer(Verdict.PAUSE))

    executor.pump = judge
    executor.submit(job(0, until=2, max_steps=5))
    outcome = executor.messages(0.0)[-1]
    assert (outcome.state, outcome.metrics) == (TrialState.PAUSED, {"steps": 2})
