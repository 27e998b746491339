"""What every executor promises: one outcome a job, messages in order, answers that arrive."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from greyhound.executors.base import Executor
from greyhound.jobs import Answer, Channel, Evaluator, Job, Message, Note, Outcome, Progress
from greyhound.testing.promise import expect
from greyhound.trial import TrialState, Verdict

Make = Callable[[Evaluator], Executor]
"""Makes an executor for an evaluator; a check shuts it down."""

PATIENCE_S = 60.0
"""How long a check waits for something that has to come."""


def check_executor(make: Make) -> None:
    """Run every check on the executors that make(evaluator) gives."""
    for check in CHECKS.values():
        check(make)


def counts_free_slots(make: Make) -> None:
    """All slots become free; a job takes one until its outcome has come."""
    with loop_on(make(train)) as loop:
        slots = loop.executor.slots
        expect(slots >= 1, "there is a slot")
        loop.until(lambda: loop.executor.free == slots, "all slots become free")
        for number in range(slots):
            loop.executor.submit(job(number))
            expect(loop.executor.free == slots - number - 1, "a submitted job takes a slot")
        with expect_refusal("submit raises RuntimeError when no slot is free"):
            loop.executor.submit(job(slots))
        loop.until_ended(*range(slots))
        loop.until_free()
        expect(loop.executor.slots == slots, "a job that ended well leaves all slots")


def names_its_workers(make: Make) -> None:
    """`workers` names as many workers as there are slots."""
    with loop_on(make(train)) as loop:
        names = {worker.name for worker in loop.executor.workers}
        expect(len(names) == loop.executor.slots, "each slot has a worker with a name of its own")


def ends_every_job_once(make: Make) -> None:
    """Many jobs, one outcome each, with what the evaluator returned."""
    with loop_on(make(train)) as loop:
        loop.run(*(job(number, max_steps=number % 3) for number in range(12)))
        for number in range(12):
            outcome = loop.outcome(number)
            expect(outcome.state is TrialState.COMPLETED, f"the job completes; it is {outcome}")
            expect(outcome.metrics == {"steps": number % 3}, "the outcome has the metrics that were returned")
            expect(outcome.seconds > 0, "the outcome says how long the job took")


def keeps_the_order_of_messages(make: Make) -> None:
    """The messages of a job come in the order in which they were sent, the outcome last."""
    with loop_on(make(train)) as loop:
        loop.run(*(job(number, max_steps=200) for number in range(2)))
        for number in range(2):
            came = [message for message in loop.seen if getattr(message, "number", None) == number]
            expect(came[0] == Note(number, {"started": True}), "the first message comes first")
            steps = [message.step for message in came if isinstance(message, Progress)]
            expect(steps == list(range(1, 201)), "every report comes, in order")
            expect(isinstance(came[-1], Outcome), "the outcome comes last")


def passes_the_job_on(make: Make) -> None:
    """The evaluator gets the job as it was submitted."""
    params = {
        "lr": 0.1 + 0.2,
        "layers": 3,
        "shape": (64, (32, "x")),
        "flag": True,
        "nothing": None,
        "ü": "\n",
    }
    with loop_on(make(echo)) as loop:
        wanted = Job(7, params, 2**31 - 1, 3, 5, 9, ("loss",), None, None, {"units": 2}, True)
        loop.run(wanted)
        expect(loop.outcome(7).error == repr(wanted), "the evaluator gets the job as it was submitted")


def answers_a_waiting_training(make: Make) -> None:
    """A training waits for its verdict, and goes on until where the answer says."""

    def judge(loop: Loop, progress: Progress) -> None:
        if progress.waits:
            verdict = Verdict.STOP if progress.step == 7 else Verdict.CONTINUE
            loop.executor.tell(progress.number, Answer(verdict, progress.step + 2))

    with loop_on(make(train), judge) as loop:
        loop.run(*(job(number, until=3, max_steps=100) for number in range(3)))
        for number in range(3):
            waits = [m.step for m in loop.seen if isinstance(m, Progress) and m.number == number and m.waits]
            expect(waits == [3, 5, 7], f"it waits where it was told; it waited at {waits}")
            expect(loop.outcome(number).state is TrialState.STOPPED, "a STOP stops it")


def pauses_a_running_training(make: Make) -> None:
    """A PAUSE that nobody waits for takes effect at one of the next reports; the trial may go on later."""

    def judge(loop: Loop, progress: Progress) -> None:
        if progress.step == 1:
            loop.executor.tell(progress.number, Answer(Verdict.PAUSE))

    with loop_on(make(train), judge) as loop:
        loop.run(job(4, max_steps=2_000, pause_s=0.01))
        expect(loop.outcome(4).state is TrialState.PAUSED, "a PAUSE pauses a training that does not wait")
        paused_at = int(loop.outcome(4).metrics["steps"])
        expect(paused_at < 2_000, "a PAUSE takes effect before the training is over")
        loop.run(job(4, step=paused_at, max_steps=paused_at + 3))
        expect(loop.outcome(4).state is TrialState.COMPLETED, "a paused trial may be submitted again")


def ignores_answers_that_are_late(make: Make) -> None:
    """An answer to a trial that has ended, or never ran, does nothing, to its next run least of all."""
    with loop_on(make(train)) as loop:
        loop.executor.tell(0, Answer(Verdict.STOP))
        for _ in range(3):
            loop.run(job(0, max_steps=5))
            expect(loop.outcome(0).state is TrialState.COMPLETED, "an answer to a run that is over is ignored")
            loop.executor.tell(0, Answer(Verdict.STOP))
            loop.executor.tell(99, Answer(Verdict.STOP))


def survives_a_broken_evaluator(make: Make) -> None:
    """What an evaluator raises, or returns in place of an outcome, fails its job and nothing else."""
    with loop_on(make(misbehave)) as loop:
        kinds = ["raise", "exit", "nothing", "running", "other number"]
        for number, kind in enumerate(kinds):
            loop.run(Job(number, {"kind": kind}, seed=0))
            outcome = loop.outcome(number)
            if kind == "other number":
                expect(outcome.state is TrialState.COMPLETED, "an outcome is that of the job that ran")
                continue
            expect(outcome.state is TrialState.FAILED, f"{kind}: the job fails; it is {outcome}")
            expect(outcome.error, f"{kind}: the outcome says why")
        expect("a broken evaluator" in str(loop.outcome(0).error), "the error holds what was raised")


def shuts_down_twice(make: Make) -> None:
    """shutdown may be called twice, with jobs running; after it there are no slots."""
    executor = make(train)
    with loop_on(executor) as loop:
        loop.until_free()
        executor.submit(job(0, max_steps=1_000, pause_s=0.01))
        executor.shutdown()
        executor.shutdown()
        expect((executor.slots, executor.free) == (0, 0), "after shutdown there are no slots")
        expect(list(executor.messages(0.0)) == [], "after shutdown there are no messages")
        executor.tell(0, Answer(Verdict.STOP))
        with expect_refusal("after shutdown submit raises RuntimeError"):
            executor.submit(job(1))


CHECKS: Mapping[str, Callable[[Make], None]] = {
    check.__name__: check
    for check in (
        counts_free_slots, names_its_workers, ends_every_job_once, keeps_the_order_of_messages,
        passes_the_job_on, answers_a_waiting_training, pauses_a_running_training,
        ignores_answers_that_are_late, survives_a_broken_evaluator, shuts_down_twice,
    )
}  # fmt: skip


class Loop:
    """The smallest study loop: it submits jobs, keeps what comes, and lets `judge` answer progress."""

    def __init__(self, executor: Executor, judge: Callable[[Loop, Progress], None]) -> None:
        self.executor = executor
        self.seen: list[Message] = []
        self._judge = judge
        executor.pump = self._take

    def run(self, *jobs: Job) -> None:
        """Submit the jobs as slots become free, and wait for their outcomes."""
        for each in jobs:
            self.until_free()
            self.seen = [m for m in self.seen if not isinstance(m, Outcome) or m.number != each.number]
            self.executor.submit(each)
        self.until_ended(*(each.number for each in jobs))

    def outcome(self, number: int) -> Outcome:
        """The only outcome of the trial."""
        outcomes = [m for m in self.seen if isinstance(m, Outcome) and m.number == number]
        expect(len(outcomes) == 1, f"a job ends in exactly one outcome; job {number} ended in {len(outcomes)}")
        return outcomes[0]

    def until_free(self) -> None:
        """Wait for a free slot."""
        self.until(lambda: self.executor.free > 0, "a slot becomes free")

    def until_ended(self, *numbers: int) -> None:
        """Wait for the outcomes of these trials."""
        wanted = set(numbers)
        self.until(
            lambda: wanted <= {m.number for m in self.seen if isinstance(m, Outcome)},
            f"the jobs {sorted(wanted)} end",
        )

    def until(self, held: Callable[[], bool], promise: str) -> None:
        """Handle messages until something holds."""
        give_up = time.monotonic() + PATIENCE_S
        while not held():
            expect(time.monotonic() < give_up, f"{promise} within {PATIENCE_S:g} s")
            self._take(self.executor.messages(1.0))

    def _take(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self.seen.append(message)
            if isinstance(message, Progress):
                self._judge(self, message)


@contextlib.contextmanager
def loop_on(
    executor: Executor, judge: Callable[[Loop, Progress], None] = lambda loop, progress: None
) -> Iterator[Loop]:
    """A loop on an executor that is shut down at the end."""
    try:
        yield Loop(executor, judge)
    finally:
        executor.shutdown()


@contextlib.contextmanager
def expect_refusal(promise: str) -> Iterator[None]:
    """AssertionError if no RuntimeError is raised inside."""
    try:
        yield
    except RuntimeError:
        return
    raise AssertionError(promise)


def job(number: int, *, step: int = 0, until: int | None = None, max_steps: int = 1, pause_s: float = 0.0) -> Job:
    """A job for `train`; it sleeps pause_s a step."""
    return Job(number, {"pause_s": pause_s}, seed=number, step=step, until=until, max_steps=max_steps)


def train(job: Job, channel: Channel) -> Outcome:
    """Report every step, wait at `until`, and do as the answers say."""
    channel.send(Note(job.number, {"started": True}))
    until, last = job.until, job.max_steps or 0
    for step in range(job.step + 1, last + 1):
        channel.send(Progress(job.number, step, {"loss": 1 / step}, waits=step == until))
        answer = channel.answer(wait=step == until)
        if answer is not None:
            if answer.verdict is not Verdict.CONTINUE:
                paused = answer.verdict is Verdict.PAUSE
                return Outcome(job.number, TrialState.PAUSED if paused else TrialState.STOPPED, {"steps": step})
            until = answer.until
        time.sleep(job.params["pause_s"])
    return Outcome(job.number, TrialState.COMPLETED, {"steps": last})


def echo(job: Job, channel: Channel) -> Outcome:
    """Hand the job back as text."""
    return Outcome(job.number, TrialState.FAILED, error=repr(job))


def misbehave(job: Job, channel: Channel) -> Outcome:
    """What no evaluator should do."""
    kind = job.params["kind"]
    if kind == "raise":
        raise ValueError("a broken evaluator")
    if kind == "exit":
        raise SystemExit(3)
    if kind == "nothing":
        return None  # type: ignore[return-value]
    if kind == "running":
        return Outcome(job.number, TrialState.RUNNING)
    return Outcome(job.number + 1, TrialState.COMPLETED)
