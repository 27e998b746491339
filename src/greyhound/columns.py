"""A history's trials while they are folded, a row each, and what models read of them: columns of numbers.

The columns are refreshed only for rows that changed since they were last read.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from greyhound import events as ev
from greyhound.space import Space
from greyhound.trial import Limit, Objective, Params, Trial, TrialState


@dataclass(slots=True)
class Row:
    """A trial while it is folded. last: the highest step reported, -1 (or its parent's) before the first."""

    params: dict[str, Any]
    state: TrialState
    seed: int
    source: str
    until: int | None
    owner: str
    started: float
    parent: int | None
    run_started: float
    proposed: Params
    begin: int = 0
    replicates: int | None = None
    last: int = -1
    reports: list[ev.Reported] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    attrs: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    ended: float | None = None
    seconds: float = 0.0
    restarts: int = 0
    requeued: bool = False
    record: Trial | None = None

    def trial(self, number: int) -> Trial:
        """The record of it; made once until `record` is cleared, as it is where the row changes."""
        if self.record is None:
            self.record = Trial(
                number=number,
                params=dict(self.params),
                state=self.state,
                seed=self.seed,
                source=self.source,
                step=max(self.last, 0),
                until=self.until,
                metrics=dict(self.metrics),
                reports=Told(self.reports),
                error=self.error,
                attrs=dict(self.attrs),
                started=self.started,
                ended=self.ended,
                seconds=self.seconds,
                restarts=self.restarts,
                requeued=self.requeued,
                parent=self.parent,
                begin=self.begin,
                owner=self.owner,
                proposed=self.proposed,
                replicates=self.replicates,
            )
        return self.record


class Told(Sequence[ev.Reported]):
    """What a trial had reported when its record was made: a row's list up to there, which may grow on.

    Nothing is copied, so that a report costs the same after the first and the hundred thousandth step. Only the last
    report of the list is ever replaced, and that is held here.
    """

    __slots__ = ("_count", "_last", "_reports")

    def __init__(self, reports: Sequence[ev.Reported]) -> None:
        self._reports = reports
        self._count = len(reports)
        self._last = reports[-1:]

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return tuple(self)[at]
        place = range(self._count)[at]
        return self._last[0] if place == self._count - 1 else self._reports[place]

    def __iter__(self) -> Iterator[ev.Reported]:
        yield from islice(self._reports, max(0, self._count - 1))
        yield from self._last

    def __eq__(self, other: object) -> bool:
        return tuple(self) == tuple(other) if isinstance(other, Told | tuple) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as a tuple of reports, which hold dictionaries

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple, (tuple(self),)

    def __repr__(self) -> str:
        return repr(tuple(self))


class Columns:
    """Arrays with a row a trial and room to grow; only rows of trials in `dirty` are written anew.

    They hold for one space, its objectives and limits; where these change there are new ones. optional: metrics of
    limits which a completed trial that never set them is taken to keep to.
    """

    def __init__(
        self, space: Space, objectives: Sequence[Objective], limits: Sequence[Limit], optional: Container[str]
    ) -> None:
        self.dirty: set[int] = set()
        self._space = space
        self._objectives = objectives
        self._limits = limits
        self._optional = optional
        self._filled = 0
        self._arrays: dict[str, Any] = {}

    def read(self, rows: Sequence[Row], name: str) -> Any:
        """The array `name` with a row for each trial; a view that the next change may overwrite."""
        count = len(rows)
        if not self._arrays or len(self._arrays["steps"]) < count:
            self._grow(count)
        changed = {*range(self._filled, count), *self.dirty}
        for number in changed:
            self._write(number, rows[number])
        self._filled = count
        self.dirty.clear()
        view = self._arrays[name][:count]
        view.flags.writeable = False
        return view

    def _grow(self, count: int) -> None:
        import numpy as np

        room = max(64, 2 * count)
        widths = {
            "X": (len(self._space), np.float64, 0.5),
            "active": (len(self._space), np.bool_, False),
            "losses": (len(self._objectives), np.float64, np.nan),
            "violations": (len(self._limits), np.float64, np.nan),
            "steps": (None, np.int64, 0),
            "seconds": (None, np.float64, 0.0),
            "failed": (None, np.bool_, False),
        }
        for name, (width, kind, empty) in widths.items():
            array: Any = np.full(room if width is None else (room, width), empty, dtype=kind)
            if name in self._arrays:
                array[: self._filled] = self._arrays[name][: self._filled]
            self._arrays[name] = array

    def _write(self, number: int, row: Row) -> None:
        for at, (name, parameter) in enumerate(self._space.parameters.items()):
            there = name in row.params
            self._arrays["active"][number, at] = there
            self._arrays["X"][number, at] = parameter.encode(row.params[name]) if there else 0.5
        for at, objective in enumerate(self._objectives):
            value = row.metrics.get(objective.metric, float("nan"))
            self._arrays["losses"][number, at] = float("nan") if row.state.failed else objective.loss(value)
        for at, limit in enumerate(self._limits):
            unset = row.state is TrialState.COMPLETED and limit.metric in self._optional
            value = row.metrics.get(limit.metric, limit.bound if unset else float("nan"))
            over = limit.over(value)
            self._arrays["violations"][number, at] = over if over != over else max(0.0, over)
        self._arrays["steps"][number] = max(row.last, 0)
        self._arrays["seconds"][number] = row.seconds
        self._arrays["failed"][number] = row.state.failed
