"""The fold of a study's events: all that samplers, schedulers and reports know.

Folding is incremental: an event costs the same at the first and the ten-thousandth trial, and the
columns that models need (encoded configurations, losses, states…) are refreshed only for trials
that changed since they were last read. Folding the events one by one or all at once, in one
process or another, gives the same history.

Where events contradict each other the first in journal order holds: a second claim of a trial
number, of a queued configuration or of a paused trial is void, as are a declaration with which the study cannot go on
(two processes declared it at once), a step reported twice, a parameter named by a training that is of another kind in
others, and the end of a run by a process that no longer owns the trial, or its being put back. What is reported of a
step in several parts is put together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from greyhound import events as ev
from greyhound.columns import Columns, Row
from greyhound.errors import GreyhoundError
from greyhound.migration import migrate
from greyhound.settings import Settings, check_continues
from greyhound.space import Space, parameter_from_dict, widen
from greyhound.trial import Limit, Objective, Params, Trial, TrialState, of_constraint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

_IDLE_GAP_S = 60.0
"""Between sessions nothing is recorded: a longer silence before a process joins is not study time."""


@dataclass(slots=True)
class Owner:
    """A process that drives or drove the study; `last` is when it was last heard of."""

    name: str
    host: str
    pid: int
    born: float
    last: float
    left: bool = False


class History:
    """What happened in a study so far.

    constraints: the space's constraints that are functions, by name; only needed to search on.
    """

    def __init__(self, constraints: Mapping[str, Callable[..., Any]] | None = None) -> None:
        self._functions = dict(constraints or {})
        self._rows: list[Row] = []
        self._by_state: dict[TrialState, dict[int, None]] = {state: {} for state in TrialState}
        self._queue: list[ev.Enqueued] = []
        self._taken: set[int] = set()
        self._wanted: dict[int, None] = {}  # tickets that wait: of configurations, and of replicates
        self._due: dict[int, None] = {}
        self._placed: dict[int, list[int]] = {}  # tickets by the place of what was asked for
        self._seeds: set[tuple[int, int | None]] = set()  # of the replicates of each trial
        self._replicates: dict[int, None] = {}
        self._constraints: dict[str, Limit] = {}
        self._columns: Columns | None = None
        self._rungs: dict[tuple[int, int], list[float]] = {}
        self.owners: dict[str, Owner] = {}
        self.settings: Settings | None = None
        self.declared: Mapping[str, Any] = {}
        self.space = Space()
        self.length = 0
        self.total_steps = 0
        self.total_seconds = 0.0
        self.active_seconds = 0.0
        self.last_time = 0.0
        self.first_time = 0.0
        self.exhausted = False

    @classmethod
    def of(cls, events: Iterable[ev.Event]) -> History:
        """The fold of events from the first."""
        history = cls()
        for event in events:
            history.apply(event)
        return history

    # What was declared

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What is made large or small."""
        return self.settings.objectives if self.settings else ()

    @property
    def limits(self) -> tuple[Limit, ...]:
        """Bounds that metrics have to keep to: those declared, then the constraints that trainings set themselves."""
        declared = self.settings.limits if self.settings else ()
        named = {limit.metric for limit in declared}
        return (*declared, *(limit for limit in self._constraints.values() if limit.metric not in named))

    @property
    def seed(self) -> int:
        """The study's seed."""
        return self.settings.seed if self.settings else 0

    @property
    def max_steps(self) -> int | None:
        """The full length of a training, where it has one."""
        return self.settings.max_steps if self.settings else None

    @property
    def define_by_run(self) -> bool:
        """Whether the trainings name their parameters themselves; `space` is then what they named so far."""
        return self.settings is not None and self.settings.space is None

    @property
    def can_start(self) -> bool:
        """Whether the budget of trials and the sampler leave room for another configuration."""
        limit = self.settings.budget.trials if self.settings else None
        return not self.exhausted and (limit is None or self.searched < limit)

    @property
    def searched(self) -> int:
        """How many trials belong to the search: all but the replicates of the finals."""
        return len(self._rows) - len(self._replicates)

    # Trials as records

    def __len__(self) -> int:
        return len(self._rows)

    def trial(self, number: int) -> Trial:
        """The trial of this number; IndexError where there is none."""
        if number < 0:
            raise IndexError(number)
        return self._rows[number].trial(number)

    @property
    def trials(self) -> Sequence[Trial]:
        """All trials by number."""
        return _Trials(self, range(len(self._rows)))

    def numbers(self, *states: TrialState) -> list[int]:
        """Numbers of the trials in any of the states, in the order in which they entered them."""
        return [number for state in states for number in self._by_state[state]]

    def count(self, *states: TrialState) -> int:
        """How many trials are in any of the states."""
        return sum(len(self._by_state[state]) for state in states)

    def select(self, *states: TrialState) -> Sequence[Trial]:
        """The trials in any of the states."""
        return _Trials(self, self.numbers(*states))

    @property
    def completed(self) -> Sequence[Trial]:
        """Trials that were trained to their end."""
        return self.select(TrialState.COMPLETED)

    @property
    def running(self) -> Sequence[Trial]:
        """Trials that some worker trains now."""
        return self.select(TrialState.RUNNING)

    @property
    def paused(self) -> Sequence[Trial]:
        """Trials that may be resumed."""
        return self.select(TrialState.PAUSED)

    @property
    def requeued(self) -> list[int]:
        """Numbers of the trials that wait to be taken up again before any other."""
        return sorted(number for number in self._by_state[TrialState.PAUSED] if self._rows[number].requeued)

    @property
    def queue(self) -> Sequence[tuple[int, Params]]:
        """Configurations that the user asked for and nobody took yet, with their tickets."""
        return [(at, self._queue[at].params) for at in self._wanted]

    @property
    def first_queued(self) -> tuple[int, Params] | None:
        """The first of the queue."""
        at = next(iter(self._wanted), None)
        return None if at is None else (at, self._queue[at].params)

    @property
    def replicates(self) -> Sequence[Trial]:
        """The trials of the finals, by number."""
        return _Trials(self, list(self._replicates))

    @property
    def replicates_due(self) -> Sequence[tuple[int, ev.Enqueued]]:
        """Replicates that nobody took yet, with their tickets."""
        return [(at, self._queue[at]) for at in self._due]

    @property
    def replicates_open(self) -> bool:
        """Whether finals go on: a replicate waits, runs or is paused."""
        return bool(self._due) or any(not self._rows[number].state.final for number in self._replicates)

    def curve(self, number: int, metric: str) -> tuple[list[int], list[float]]:
        """Steps and values of a metric, as far as the trial reported it."""
        reports = [report for report in self._rows[number].reports if metric in report.metrics]
        return [report.step for report in reports], [report.metrics[metric] for report in reports]

    def elapsed_seconds(self, now: float) -> float:
        """Wall-clock time for which the study has been run, up to `now` where it is running."""
        live = any(not owner.left for owner in self.owners.values())
        return self.active_seconds + (max(0.0, now - self.last_time) if live else 0.0)

    def device_seconds(self, now: float) -> float:
        """Time that trials trained, those running now up to `now` included, times the devices of each."""
        running = sum(max(0.0, now - self._rows[number].run_started) for number in self._by_state[TrialState.RUNNING])
        return (self.total_seconds + running) * (self.settings.devices if self.settings else 1.0)

    def run_seconds(self, number: int, now: float) -> float:
        """How long the trial's current run has lasted; 0 where it does not run."""
        row = self._rows[number]
        return max(0.0, now - row.run_started) if row.state is TrialState.RUNNING else 0.0

    # Columns, one row a trial, in the order of numbers

    @property
    def X(self) -> Floats:  # noqa: N802
        """Encoded configurations, (n, d) in the unit cube; inactive entries are 0.5."""
        return self._column("X")  # type: ignore[no-any-return]

    @property
    def active(self) -> Bools:
        """Which parameters each trial has, (n, d)."""
        return self._column("active")  # type: ignore[no-any-return]

    @property
    def losses(self) -> Floats:
        """Objectives to minimise, (n, m): the last value of each; NaN where missing or the trial failed."""
        return self._column("losses")  # type: ignore[no-any-return]

    @property
    def violations(self) -> Floats:
        """By how much each limit is broken, (n, k) >= 0; NaN where its metric is missing."""
        return self._column("violations")  # type: ignore[no-any-return]

    @property
    def steps(self) -> NDArray[np.int64]:
        """Steps trained, (n,)."""
        return self._column("steps")  # type: ignore[no-any-return]

    @property
    def seconds(self) -> Floats:
        """Seconds trained, (n,), runs that go on now left out."""
        return self._column("seconds")  # type: ignore[no-any-return]

    @property
    def failed(self) -> Bools:
        """Which trials failed, (n,)."""
        return self._column("failed")  # type: ignore[no-any-return]

    def losses_at(self, step: int, objective: int = 0) -> Sequence[float]:
        """An objective, by its place, to minimise, when each trial first reported it at `step` steps or more, (n,).

        NaN for trials that have not reported it so far or began behind it, infinity where it was NaN.
        """
        values = self._rungs.get((step, objective))
        if values is None:
            values = [self._loss_at(row, step, objective, row.reports) for row in self._rows]
            self._rungs[step, objective] = values
        return values

    def _column(self, name: str) -> Any:
        if self._columns is None:
            self._columns = Columns(self.space, self.objectives, self.limits, self._constraints)
        return self._columns.read(self._rows, name)

    # The fold

    def apply(self, event: ev.Event) -> None:
        """Fold one event."""
        if not self.length:
            self.first_time = event.time
        self.length += 1
        self._count_time(event)
        _FOLDS[type(event)](self, event)

    def _count_time(self, event: ev.Event) -> None:
        gap = event.time - self.last_time
        if gap <= 0:
            return
        if self.last_time:
            joins = type(event) is ev.Joined
            if (gap <= _IDLE_GAP_S or not joins) and any(not owner.left for owner in self.owners.values()):
                self.active_seconds += gap
        self.last_time = event.time

    def _declared(self, event: ev.Declared) -> None:
        settings = Settings.from_json(event.settings, self._functions)
        if self.settings is not None:
            try:
                check_continues(self.settings, settings)
            except GreyhoundError:
                return
            settings = replace(settings, seed=self.settings.seed)
        if settings.space is not None:
            if self.settings is not None and self.settings.space is not None and settings.space != self.settings.space:
                move = migrate(self.settings.space, settings.space)
                for row in self._rows:
                    row.params = move(row.params)
                    row.record = None
                self._queue = [replace(event, params=move(dict(event.params))) for event in self._queue]
            self.space = settings.space
        self.settings, self.declared = settings, event.settings
        self.exhausted = False
        self._columns = None
        self._rungs = {}

    def _joined(self, event: ev.Joined) -> None:
        self.owners[event.owner] = Owner(event.owner, event.host, event.pid, event.born, event.time)

    def _beat(self, event: ev.Beat) -> None:
        self._heard(event.owner, event.time)

    def _left(self, event: ev.Left) -> None:
        self._heard(event.owner, event.time)
        if event.owner in self.owners:
            self.owners[event.owner].left = True

    def _enqueued(self, event: ev.Enqueued) -> None:
        ticket = len(self._queue)
        if self._is_asked(event):
            self._taken.add(ticket)
        elif event.replicates is None:
            self.exhausted = False  # there is one to try, whatever the sampler has
        if ticket not in self._taken:
            (self._wanted if event.replicates is None else self._due)[ticket] = None
        if event.replicates is not None:
            self._seeds.add((event.replicates, event.seed))
        if event.place is not None:
            self._placed.setdefault(event.place, []).append(ticket)
        self._queue.append(event)

    def _is_asked(self, event: ev.Enqueued) -> bool:
        """Whether another process asked for the same at the same time."""
        if event.replicates is not None:
            return (event.replicates, event.seed) in self._seeds
        if event.place is not None:
            return any(self._queue[at].params == event.params for at in self._placed.get(event.place, ()))
        return False

    def _started(self, event: ev.Started) -> None:
        self._heard(event.owner, event.time)
        if event.trial != len(self._rows) or event.ticket in self._taken:
            return
        if event.ticket is not None:
            self._taken.add(event.ticket)
            self._wanted.pop(event.ticket, None)
            self._due.pop(event.ticket, None)
        row = Row(
            params={} if self.define_by_run else dict(event.params),
            state=TrialState.RUNNING,
            seed=event.seed,
            source=event.source,
            until=event.until,
            owner=event.owner,
            started=event.time,
            parent=event.parent,
            begin=event.step,
            last=event.step or -1,
            run_started=event.time,
            proposed=event.params if self.define_by_run else {},
        )
        if event.ticket is not None and event.ticket < len(self._queue):
            row.replicates = self._queue[event.ticket].replicates
        if row.replicates is not None:
            self._replicates[event.trial] = None
        self._rows.append(row)
        self._by_state[TrialState.RUNNING][event.trial] = None
        for values in self._rungs.values():
            values.append(float("nan"))
        self._changed(event.trial)

    def _resumed(self, event: ev.Resumed) -> None:
        self._heard(event.owner, event.time)
        row = self._row(event.trial)
        if row is None or row.state is not TrialState.PAUSED:
            return
        self._move(event.trial, row, TrialState.RUNNING)
        row.owner, row.until, row.run_started = event.owner, event.until, event.time
        row.requeued = False
        row.ended = row.error = None

    def _continued(self, event: ev.Continued) -> None:
        if (row := self._row(event.trial)) is not None:
            row.until = event.until
            row.record = None

    def _suggested(self, event: ev.Suggested) -> None:
        row = self._row(event.trial)
        if row is None or event.name in row.params:
            return
        known = self.space.parameters.get(event.name)
        seen = parameter_from_dict(event.name, event.parameter) if event.parameter else known
        if seen is None or (known is not None and known.kind != seen.kind):
            return
        row.params[event.name] = event.value
        row.record = None
        merged = seen if known is None or seen is known else widen(known, seen)
        if merged != known:
            self.space = Space({**self.space.parameters, event.name: merged})
            self._columns = None
            self.exhausted = False  # there is more to try than the sampler knew
        self._changed(event.trial)

    def _reported(self, event: ev.Reported) -> None:
        row = self._row(event.trial)
        if row is None or row.state.final or event.step < row.last:
            return
        if event.step == row.last:
            if not row.reports or event.metrics.keys() <= row.reports[-1].metrics.keys():
                return
            event = replace(event, metrics={**event.metrics, **row.reports.pop().metrics})  # told in two parts
        if (owner := self.owners.get(row.owner)) is not None:
            owner.last = event.time
        self.total_steps += event.step - max(row.last, 0)
        row.last = event.step
        row.reports.append(event)
        row.metrics.update(event.metrics)
        row.record = None
        for (step, objective), values in self._rungs.items():
            if values[event.trial] != values[event.trial]:
                values[event.trial] = self._loss_at(row, step, objective, row.reports[-1:])
        self._changed(event.trial)

    def _noted(self, event: ev.Noted) -> None:
        if (row := self._row(event.trial)) is not None:
            row.attrs.update(event.attrs)
            row.record = None

    def _constrained(self, event: ev.Constrained) -> None:
        if (row := self._row(event.trial)) is None:
            return
        limit = of_constraint(event.key)
        row.metrics[limit.metric] = event.value
        row.record = None
        if limit.metric not in self._constraints:
            self._constraints[limit.metric] = limit
            self._columns = None
        self._changed(event.trial)

    def _ended(self, event: ev.Ended) -> None:
        self._heard(event.owner, event.time)
        row = self._row(event.trial)
        if row is None or row.owner != event.owner:
            return
        if row.state is TrialState.COMPLETED and event.state is TrialState.COMPLETED:
            self._complete_later(event, row)  # the training returned more after its last report
        elif row.state is TrialState.RUNNING or (row.state is TrialState.PAUSED and event.state.final):
            row.metrics.update(event.metrics)
            row.error = event.error
            row.ended = event.time
            self.exhausted = False  # what has come of it may give the sampler more to try
            self._spend(row, event)
            self._move(event.trial, row, event.state)

    def _complete_later(self, event: ev.Ended, row: Row) -> None:
        row.metrics.update(event.metrics)
        self._spend(row, event)
        row.ended = event.time
        row.record = None
        self._changed(event.trial)

    def _requeued(self, event: ev.Requeued) -> None:
        row = self._row(event.trial)
        if row is None or row.state in (TrialState.COMPLETED, TrialState.STOPPED):
            return
        if event.owner not in (None, row.owner):  # another process has taken it up since
            return
        if row.state is TrialState.PAUSED:
            row.requeued, row.record = True, None
            return
        if row.state is TrialState.RUNNING:  # its process died without a word
            self.total_seconds += max(0.0, self._last_heard(row) - row.run_started)
            row.seconds += max(0.0, self._last_heard(row) - row.run_started)
        row.restarts += 1
        row.requeued = True
        row.error = event.why
        self._move(event.trial, row, TrialState.PAUSED)

    def _row(self, number: int) -> Row | None:
        return self._rows[number] if 0 <= number < len(self._rows) else None

    def _changed(self, number: int) -> None:
        if self._columns is not None:
            self._columns.dirty.add(number)

    def _move(self, number: int, row: Row, state: TrialState) -> None:
        del self._by_state[row.state][number]
        self._by_state[state][number] = None
        row.state = state
        row.record = None
        self._changed(number)

    def _spend(self, row: Row, event: ev.Ended) -> None:
        row.seconds += event.seconds
        self.total_seconds += event.seconds

    def _heard(self, owner: str, time: float) -> None:
        if owner in self.owners:
            self.owners[owner].last = time

    def _last_heard(self, row: Row) -> float:
        return row.reports[-1].time if row.reports else row.run_started

    def _loss(self, metrics: Mapping[str, float], at: int) -> float:
        if not self.objectives:
            return float("inf")
        objective = self.objectives[at]
        value = objective.loss(metrics.get(objective.metric, float("nan")))
        return value if value == value else float("inf")

    def _loss_at(self, row: Row, step: int, at: int, reports: Sequence[ev.Reported]) -> float:
        """The objective at the first of these reports, at `step` or behind, that has it; NaN where none has."""
        if row.begin >= step or not self.objectives:
            return float("nan")
        metric = self.objectives[at].metric
        told = (self._loss(each.metrics, at) for each in reports if each.step >= step and metric in each.metrics)
        return next(told, float("nan"))


_FOLDS: Mapping[type[ev.Event], Callable[[History, Any], None]] = {
    ev.Declared: History._declared,
    ev.Joined: History._joined,
    ev.Beat: History._beat,
    ev.Left: History._left,
    ev.Enqueued: History._enqueued,
    ev.Started: History._started,
    ev.Resumed: History._resumed,
    ev.Continued: History._continued,
    ev.Suggested: History._suggested,
    ev.Reported: History._reported,
    ev.Noted: History._noted,
    ev.Constrained: History._constrained,
    ev.Ended: History._ended,
    ev.Requeued: History._requeued,
}


class _Trials(Sequence[Trial]):
    """Trials of a history by number, made into records when they are looked at."""

    def __init__(self, history: History, numbers: Sequence[int]) -> None:
        self._history = history
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self._history.trial(number) for number in self._numbers[at]]
        return self._history.trial(self._numbers[at])

    def __iter__(self) -> Iterator[Trial]:
        return (self._history.trial(number) for number in self._numbers)

    def __repr__(self) -> str:
        return repr(list(self))
