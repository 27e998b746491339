"""Trials as records: what a trial is, the states it can be in, and the verdicts on it.

A trial is one configuration and its training, which may be paused and resumed. The records here
are frozen; they are made by `History`, the fold of the journal, and nothing else changes them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from greyhound.errors import StudyError
from greyhound.values import counted, listed

_CONSTRAINT = "constraint "
"""Before the key, the name of the metric that a training's own constraint is."""

Params = Mapping[str, Any]
"""A configuration: the active parameters by name. Values are str, int, float, bool, None or tuples of these."""


class TrialState(Enum):
    """Where a trial stands. All but `RUNNING` and `PAUSED` are final unless the trial is requeued."""

    RUNNING = "running"
    PAUSED = "paused"  # may be resumed from its checkpoint
    COMPLETED = "completed"
    STOPPED = "stopped"  # ended early by the scheduler, for good
    FAILED = "failed"  # the training raised; the traceback is kept
    OUT_OF_MEMORY = "out of memory"
    DIVERGED = "diverged"  # the objective became NaN or infinite
    TIMED_OUT = "timed out"
    LOST = "lost"  # its worker was killed by the system

    @property
    def failed(self) -> bool:
        """Whether the trial ended without a usable result of its own choosing."""
        return self in FAILED_STATES

    @property
    def final(self) -> bool:
        """Whether nothing more is expected of the trial."""
        return self not in (TrialState.RUNNING, TrialState.PAUSED)


FAILED_STATES = frozenset(
    {
        TrialState.FAILED,
        TrialState.OUT_OF_MEMORY,
        TrialState.DIVERGED,
        TrialState.TIMED_OUT,
        TrialState.LOST,
    }
)


class Verdict(Enum):
    """What a scheduler says of a running trial."""

    CONTINUE = "continue"
    PAUSE = "pause"
    STOP = "stop"


class Report(Protocol):
    """The metrics of a training after `step` steps, at `time` (Unix seconds)."""

    @property
    def step(self) -> int:
        """Steps trained."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """What was measured, by name."""

    @property
    def time(self) -> float:
        """When it was reported."""


@dataclass(frozen=True, slots=True, repr=False)
class Trial:
    """One configuration and all that is known of its training.

    step: steps trained and reported so far. until: step at which the scheduler judges next, None
    for never. metrics: the last value of every metric. source: who proposed it ("default", "enqueued", or the
    sampler's name; "audit" is the sampler's too, trained in full to check early stopping). seconds: time spent
    training. restarts: how often it was requeued after being lost or failed. requeued: it waits to be taken up
    again before any other. parent: the trial whose checkpoint it started from; begin: the step at which it did,
    so that it trained step - begin steps itself. proposed: values for parameters that the training names itself,
    which it takes where they fit. checkpoint: its file, where one is kept; set in what a study hands out, such as
    `study.best`. replicates: the trial whose configuration it trains again for the finals, None in the search.
    """

    number: int
    params: Params
    state: TrialState
    seed: int
    source: str
    step: int = 0
    until: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    reports: Sequence[Report] = ()
    error: str | None = None
    attrs: Mapping[str, Any] = field(default_factory=dict)
    started: float = 0.0
    ended: float | None = None
    seconds: float = 0.0
    restarts: int = 0
    requeued: bool = False
    parent: int | None = None
    begin: int = 0
    owner: str = ""
    proposed: Params = field(default_factory=dict)
    checkpoint: Path | None = None
    replicates: int | None = None

    def __repr__(self) -> str:
        steps = f" after {counted(self.step, 'step')}" if self.step else ""
        parts = [f"{self.state.value}{steps}", listed(self.metrics), listed(self.params)]
        return f"<Trial {self.number}: {'; '.join(filter(None, parts))}>"


@dataclass(frozen=True, slots=True)
class Objective:
    """A metric to make large or small."""

    metric: str
    maximize: bool

    def loss(self, value: float) -> float:
        """The value as something to minimise."""
        return -value if self.maximize else value


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound on a metric, as in `latency_ms <= 5`; `upper` tells <= from >=."""

    metric: str
    bound: float
    upper: bool = True

    def holds(self, metrics: Mapping[str, float]) -> bool:
        """Whether the metrics keep to the limit; a metric that is missing does not."""
        value = metrics.get(self.metric, float("nan"))
        return value <= self.bound if self.upper else value >= self.bound

    def over(self, value: float) -> float:
        """By how much a value of the metric lies beyond the bound; below 0 where it keeps to it."""
        return value - self.bound if self.upper else self.bound - value

    def __str__(self) -> str:
        return f"{self.metric} {'<=' if self.upper else '>='} {self.bound:g}"

    @classmethod
    def parse(cls, text: str) -> Limit:
        """Read "metric <= number" or "metric >= number"; anything else raises StudyError."""
        for sign, upper in (("<=", True), (">=", False)):
            metric, found, bound = text.partition(sign)
            if found:
                try:
                    limit = cls(metric.strip(), float(bound), upper)
                except ValueError:
                    break
                if limit.metric and limit.bound == limit.bound:
                    return limit
        raise StudyError(f"subject_to: cannot read {text!r}; write for example 'latency_ms <= 5'.")


def of_constraint(key: str) -> Limit:
    """The limit that a training's own constraint stands for: `trial.set_constraint(key, value)`, at most 0."""
    return Limit(f"{_CONSTRAINT}{key}", 0.0)


def constraint_key(limit: Limit) -> str:
    """What a limit is called as a constraint: the key under which a training set it, or the limit as it is written."""
    key = limit.metric.removeprefix(_CONSTRAINT)
    return key if limit == of_constraint(key) else str(limit)


def derive_seed(study_seed: int, number: int) -> int:
    """The seed of a trial, 31 bits, the same for the same study seed and trial number everywhere."""
    digest = hashlib.blake2b(f"{study_seed}/{number}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1
