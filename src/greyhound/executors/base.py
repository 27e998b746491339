"""The executor's seam: where trainings run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from greyhound.jobs import Answer, Job, Message


class WorkerInfo(NamedTuple):
    """A worker, as a status line shows it; `trial` is the number of the trial that it trains."""

    name: str
    device: str
    trial: int | None


class Executor(Protocol):
    """Runs jobs in some place and hands back what they send.

    Every submitted job ends in exactly one `Outcome`, whatever happens to its worker.

    pump: set by the loop before it calls `messages`. An executor that trains in the loop's own thread,
    inside `messages`, passes each message to `pump` as it comes, while the training stands still; there
    the loop may `tell`, which is how a waiting training gets its answer, and what `pump` raises ends
    the training and leaves `messages`. Executors that train elsewhere do not use it.
    """

    pump: Callable[[Sequence[Message]], None] | None

    @property
    def slots(self) -> int:
        """How many jobs may run at once, workers that were taken out not counted.

        0 says that no worker is left, and that none will come back.
        """

    @property
    def free(self) -> int:
        """How many more jobs can be submitted now; a worker that is still starting is not free yet."""

    @property
    def workers(self) -> Sequence[WorkerInfo]:
        """The workers that have not been taken out."""

    def submit(self, job: Job) -> None:
        """Start a job on a free worker; RuntimeError if there is none."""

    def messages(self, timeout_s: float) -> Sequence[Message]:
        """All messages that came, in order for each job; waits up to timeout_s for the first.

        Returns early, with none, when a worker has become free, or none is left. EvaluationError if the
        training cannot be loaded where it should run.
        """

    def tell(self, number: int, answer: Answer) -> None:
        """Answer trial `number`. A PAUSE or STOP takes effect at its next report, waiting or not.

        A trial that has ended is ignored.
        """

    def shutdown(self) -> None:
        """End all workers at once; jobs still running are not reported. Safe to call twice."""
