"""Training in this very process, one job after another: for debuggers, breakpoints and prints."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from greyhound.executors.base import WorkerInfo
from greyhound.executors.worker import run
from greyhound.jobs import Answer, Evaluator, Job, Message
from greyhound.trial import Verdict


class Serial:
    """Runs each job inside `messages`, in the thread that calls it.

    The training shares the thread with the loop that judges it, so the loop is called from inside
    the training: every message but the last goes to `pump`, and `tell` has to be called from there.
    Without `pump` messages are kept until the job ends, and a training that waits for a verdict
    makes `messages` raise RuntimeError.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self.pump: Callable[[Sequence[Message]], None] | None = None
        self._evaluator = evaluator
        self._job: Job | None = None
        self._line: _Line | None = None
        self._open = True

    @property
    def slots(self) -> int:
        """One, until `shutdown`."""
        return int(self._open)

    @property
    def free(self) -> int:
        """One while no job was submitted or runs."""
        return int(self._open and self._job is None)

    @property
    def workers(self) -> Sequence[WorkerInfo]:
        """This process, until `shutdown`."""
        number = self._job.number if self._job else None
        return [WorkerInfo("worker-0", "this process", number)] if self._open else []

    def submit(self, job: Job) -> None:
        """Keep the job for the next `messages`; RuntimeError if there is one already."""
        if not self.free:
            raise RuntimeError(f"trial {job.number} was submitted while no worker is free.")
        self._job = job

    def messages(self, timeout_s: float) -> Sequence[Message]:
        """Run the job that was submitted to its end; nothing if there is none, whatever `timeout_s` is."""
        if self._job is None or self._line is not None:
            return []
        self._line = line = _Line(self._job.number, self.pump)
        try:
            outcome = run(self._evaluator, self._job, line)
        finally:
            self._job = self._line = None
        if line.error is not None:
            raise line.error
        return [*line.kept, outcome]

    def tell(self, number: int, answer: Answer) -> None:
        """Answer the running trial; any other number is ignored."""
        if self._line is not None and self._line.number == number:
            self._line.answers.append(answer)

    def shutdown(self) -> None:
        """Take no more jobs. A training that runs (`pump` called this) stops at its next report."""
        self._open = False
        if self._line is None:
            self._job = None
        else:
            self._line.answers.append(Answer(Verdict.STOP))


class _Line:
    """The channel of a running job. error: what to raise instead of the job's outcome."""

    def __init__(self, number: int, pump: Callable[[Sequence[Message]], None] | None) -> None:
        self.number = number
        self.answers: deque[Answer] = deque()
        self.kept: list[Message] = []
        self.error: BaseException | None = None
        self._pump = pump

    def send(self, message: Message) -> None:
        if self.error is not None:
            raise _Aborted
        if self._pump is None:
            self.kept.append(message)
            return
        try:
            self._pump([message])
        except BaseException as error:
            # Not the training's failure: keep it out of the reach of the training's own handlers.
            self.error = error
            raise _Aborted from error

    def answer(self, wait: bool) -> Answer | None:
        if self.answers:
            return self.answers.popleft()
        if not wait:
            return None
        self.error = self.error or RuntimeError(
            f"trial {self.number} waits for a verdict, which can only be told from inside `pump`."
        )
        raise _Aborted


class _Aborted(BaseException):
    """Leaves a training whose study cannot go on."""
