"""What can happen in a study: the events of its journal, and their form as JSON.

The journal is the only truth. An event is a small frozen record; `History` folds events in
journal order, and where two processes claimed the same thing (a trial number, a paused trial, a
queued configuration) the first claim in that order holds and the other is void.

`time` is Unix seconds everywhere. `owner` names the process that claims a trial.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from greyhound.errors import StorageError
from greyhound.trial import TrialState


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, and when."""

    kind: ClassVar[str]
    time: float


@dataclass(frozen=True, slots=True)
class Declared(Event):
    """The study's settings (space, objectives, seed, budget…) from here on, as JSON-safe values."""

    kind: ClassVar[str] = "declared"
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Joined(Event):
    """A process began to drive the study. `born` is when that process started, to tell a reused pid."""

    kind: ClassVar[str] = "joined"
    owner: str
    host: str
    pid: int
    born: float


@dataclass(frozen=True, slots=True)
class Beat(Event):
    """A process that drives the study is alive though nothing else happened."""

    kind: ClassVar[str] = "beat"
    owner: str


@dataclass(frozen=True, slots=True)
class Left(Event):
    """A process stopped driving the study."""

    kind: ClassVar[str] = "left"
    owner: str


@dataclass(frozen=True, slots=True)
class Enqueued(Event):
    """A configuration was asked for: by the user, or by the finals as a replicate of trial `replicates`.

    seed: the replicate's, None for one derived from the new trial's number. place: among those that every program of
    the study asks for as it begins, of which the same at the same place counts once; None for any other.
    """

    kind: ClassVar[str] = "enqueued"
    params: Mapping[str, Any]
    seed: int | None = None
    replicates: int | None = None
    place: int | None = None


@dataclass(frozen=True, slots=True)
class Started(Event):
    """A new trial. `ticket` is the position in the queue of the configuration that it takes, if any.

    Where the training names its parameters itself `params` are proposals, which Suggested confirms.
    parent: the trial whose checkpoint it starts from; step: how many steps that one had trained, 0 without a parent.
    """

    kind: ClassVar[str] = "started"
    trial: int
    params: Mapping[str, Any]
    seed: int
    source: str
    owner: str
    until: int | None = None
    ticket: int | None = None
    parent: int | None = None
    step: int = 0


@dataclass(frozen=True, slots=True)
class Resumed(Event):
    """A paused trial is taken up again by `owner`, to train until step `until`."""

    kind: ClassVar[str] = "resumed"
    trial: int
    owner: str
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Continued(Event):
    """A running trial was judged and may train on until step `until`."""

    kind: ClassVar[str] = "continued"
    trial: int
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Suggested(Event):
    """A running trial chose a value for a parameter that it named itself.

    parameter: its JSON form; empty where that is the one which the space has by then.
    """

    kind: ClassVar[str] = "suggested"
    trial: int
    name: str
    value: Any
    parameter: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reported(Event):
    """A running trial reported metrics after `step` steps. A step is counted once, the first time."""

    kind: ClassVar[str] = "reported"
    trial: int
    step: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Noted(Event):
    """Attributes were attached to a trial."""

    kind: ClassVar[str] = "noted"
    trial: int
    attrs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Constrained(Event):
    """A trial set a constraint of its own, which it keeps to where the value is at most 0. The last value counts."""

    kind: ClassVar[str] = "constrained"
    trial: int
    key: str
    value: float


@dataclass(frozen=True, slots=True)
class Ended(Event):
    """A run of a trial ended in `state` (a pause included). seconds: how long this run trained."""

    kind: ClassVar[str] = "ended"
    trial: int
    state: TrialState
    metrics: Mapping[str, float]
    owner: str
    error: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Requeued(Event):
    """A trial that was lost, failed or left running by a dead process waits to be taken up again.

    owner: the process that had it; void where another has taken it up since. None for whichever.
    """

    kind: ClassVar[str] = "requeued"
    trial: int
    why: str
    owner: str | None = None


KINDS: Mapping[str, type[Event]] = {
    cls.kind: cls
    for cls in (
        Declared, Joined, Beat, Left, Enqueued, Started, Resumed, Continued, Suggested, Reported,
        Noted, Constrained, Ended, Requeued,
    )
}  # fmt: skip

_FIELDS = {kind: tuple(f.name for f in fields(cls)) for kind, cls in KINDS.items()}


def dump(event: Event) -> str:
    """The event as one line of JSON, its kind left out; fields in the order of their declaration."""
    values = [getattr(event, name) for name in _FIELDS[event.kind]]
    return json.dumps(values, separators=(",", ":"), default=_plain)


def load(kind: str, text: str) -> Event:
    """The event that `dump` wrote. A text or kind that is none raises StorageError."""
    cls = KINDS.get(kind)
    if cls is None:
        raise StorageError(f"the journal holds an event of unknown kind {kind!r}; a newer Greyhound wrote it.")
    try:
        values = json.loads(text)
        if cls is Ended:
            values[2] = TrialState(values[2])
        elif cls is Started or cls is Enqueued:
            at = 2 if cls is Started else 1
            values[at] = {name: freeze(value) for name, value in values[at].items()}
        elif cls is Suggested:
            values[3] = freeze(values[3])
        return cls(*values)
    except (ValueError, TypeError, IndexError, AttributeError, KeyError) as error:
        raise StorageError(f"the journal holds a damaged {kind!r} event: {text[:80]!r}.") from error


def freeze(value: Any) -> Any:
    """Lists, as JSON gives them, as tuples, so that a configuration can be compared and hashed."""
    return tuple(freeze(item) for item in value) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if isinstance(value, TrialState):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{value!r} of type {type(value).__name__} cannot be kept in a journal")
