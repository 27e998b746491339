"""What crosses the line between a study and the workers that train for it.

    study ── Job ──▶ executor ──▶ Evaluator(job, channel) in a worker
    study ◀─ Message ─ executor ◀─ channel.send(message)
    study ── executor.tell(trial, verdict) ──▶ channel.answer()

A job says what to train, from where and until which step. A training reports without waiting
until it reaches `until`; there it waits for the verdict. So a decision falls at the same step
whatever the timing, and a report before it costs no more than a write to a pipe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from greyhound.trial import Params, TrialState, Verdict

LOCK = "lock"
"""The file in a trial's folder that a worker locks for as long as it trains the trial."""


@dataclass(frozen=True, slots=True)
class Job:
    """A trial to train, or to go on training.

    step: steps reported so far (the checkpoint may be older). until: step at which to wait for a
    verdict, None for never. max_steps: the full length of a training, None where it has none.
    metric: the objective that an unnamed value stands for. directory: the trial's own folder (its
    checkpoint and `log.txt`), None where nothing is kept. parent: a folder with the checkpoint of another trial
    that this one starts from. suggestions: values proposed for parameters that the training
    itself names (define-by-run). objectives: names of the metrics that the study needs. fold, repeat: which
    replicate of how many folds, where a trial has several. study: gives the study's name and history, None where
    nobody keeps them.
    """

    number: int
    params: Params
    seed: int
    step: int = 0
    until: int | None = None
    max_steps: int | None = None
    objectives: tuple[str, ...] = ()
    directory: Path | None = None
    parent: Path | None = None
    suggestions: Mapping[str, Any] = field(default_factory=dict)
    define_by_run: bool = False
    fold: int = 0
    folds: int = 1
    repeat: int = 0
    study: Callable[[], tuple[str, Any]] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Progress:
    """Metrics after `step` steps; `waits` says that the training stands still until it is answered."""

    number: int
    step: int
    metrics: Mapping[str, float]
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """Attributes for a trial."""

    number: int
    attrs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Constraint:
    """A constraint that a training set for its trial, which keeps to it where the value is at most 0."""

    number: int
    key: str
    value: float


@dataclass(frozen=True, slots=True)
class Choice:
    """The value that a define-by-run training got for a parameter; `parameter` is its JSON form."""

    number: int
    name: str
    value: Any
    parameter: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run of a job ended. metrics: what the training returned. seconds: how long it trained."""

    number: int
    state: TrialState
    metrics: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class WorkerRetired:
    """A worker was taken out because job after job failed on it; `left` more remain."""

    worker: str
    why: str
    left: int


Message = Progress | Note | Constraint | Choice | Outcome | WorkerRetired


@dataclass(frozen=True, slots=True)
class Answer:
    """The verdict on a waiting training, and the step until which it may go on."""

    verdict: Verdict
    until: int | None = None


class Channel(Protocol):
    """A training's line to its study, as the evaluator sees it."""

    def send(self, message: Message) -> None:
        """Pass a message on without waiting for anything."""

    def answer(self, wait: bool) -> Answer | None:
        """The next answer: with `wait`, block until there is one; without, None if none has come."""


class Evaluator(Protocol):
    """What is tuned: it trains one job, in the worker's process, and says how that ended.

    It is sent to workers by cloudpickle. It raises nothing for a failure of the training: that is
    an Outcome.
    """

    def __call__(self, job: Job, channel: Channel) -> Outcome:
        """Train the job; progress goes through the channel, the end is returned."""
