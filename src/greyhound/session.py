"""One process's hold on a study: it folds the journal, claims trials under a name of its own, and
puts back those of processes that died.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ParamSpec, TypeVar

from greyhound import events as ev
from greyhound.callbacks import Callback, Callbacks
from greyhound.errors import StorageError, StudyError
from greyhound.history import History
from greyhound.settings import missing_constraints
from greyhound.storage import Journal, presence
from greyhound.trial import TrialState

_RECOVER_EVERY_S = 10.0

P = ParamSpec("P")
R = TypeVar("R")


def in_turn(method: Callable[P, R]) -> Callable[P, R]:
    """A method of what holds a `_session`, for any thread to call: they take turns."""

    @functools.wraps(method)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        session: Session = args[0]._session  # type: ignore[attr-defined]
        with session.turn:
            return method(*args, **kwargs)

    return called


class Session:
    """A journal and its fold, kept in step.

    functions: the space's constraints that are functions, by name. clock: gives Unix seconds. callbacks: who
    is told of what this process wrote.
    """

    def __init__(
        self,
        journal: Journal,
        functions: Mapping[str, Callable[..., Any]],
        clock: Callable[[], float],
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.journal = journal
        self.history = History(functions)
        self.clock = clock
        self.owner: str | None = None
        self.closed = False
        self._functions = functions
        self._callbacks = Callbacks(callbacks)
        self._position = 0
        self._last_recovery = -math.inf
        self._known: dict[str, float] | None = None  # when each owner last wrote, by its own clock
        self._heard: dict[str, float] = {}
        self._pid = os.getpid()
        self._turn = threading.RLock()
        self.refresh()

    @property
    def turn(self) -> AbstractContextManager[Any]:
        """What one thread at a time holds. A fork of the process has its own, and claims trials under another name."""
        if self._pid != os.getpid():
            self._pid, self._turn, self.owner = os.getpid(), threading.RLock(), None
        return self._turn

    def refresh(self) -> None:
        """Fold what other processes wrote."""
        for event in self.journal.read(self._position):
            self.history.apply(event)
            self._position += 1

    def append(self, *events: ev.Event) -> None:
        """Write events as one batch, and fold them in the order that the journal gave them."""
        if not events:
            return
        last = self.journal.append(events)
        if last == self._position + len(events):  # nobody else wrote in between
            for event in events:
                self.history.apply(event)
            self._position = last
        else:
            self.refresh()
        claims = (ev.Started, ev.Resumed)
        held = [event for event in events if not isinstance(event, claims) or self.holds(event.trial)]
        self._callbacks.tell(self.history, held)

    @property
    def ended(self) -> bool:
        """Whether a callback ended the search in this process."""
        return self._callbacks.ended

    def flush(self) -> None:
        """Let callbacks finish what they write elsewhere."""
        self._callbacks.flush(self.history)

    def join(self) -> str:
        """The name under which this process claims trials. StudyError where it can't drive the study."""
        if self.closed:
            raise StudyError("the study is closed; open it again with Study.load or gh.Study.")
        if self.owner is None:
            self._check_constraints()
            joined = presence.join(self.clock())
            weakref.finalize(self, presence.leave, joined.owner)
            self.append(joined)
            self.owner = joined.owner
        return self.owner

    def recover(self) -> None:
        """Put back the trials of processes that died; looked at every ten seconds at most."""
        now = self.clock()
        if 0 <= now - self._last_recovery < _RECOVER_EVERY_S:
            return
        self._last_recovery = now
        self._listen(now)
        owners, heard = self.history.owners, self._heard
        orphans = [
            trial
            for trial in self.history.running
            if trial.owner in owners and not presence.alive(owners[trial.owner], now, heard.get(trial.owner, -math.inf))
        ]
        self.append(*(ev.Requeued(now, trial.number, "its process died", trial.owner) for trial in orphans))

    def _listen(self, now: float) -> None:
        """Note by this machine's clock who wrote since the last look, at the first nobody: other clocks may be slow."""
        last = {name: owner.last for name, owner in self.history.owners.items()}
        if self._known is not None:
            self._heard.update((name, now) for name, time in last.items() if self._known.get(name) != time)
        self._known = last

    def holds(self, number: int) -> bool:
        """Whether this process has the trial and it runs."""
        if number >= len(self.history):
            return False
        trial = self.history.trial(number)
        return trial.state is TrialState.RUNNING and trial.owner == self.owner

    def beat(self) -> None:
        """Tell other machines that this process lives, if it has been silent."""
        if self.owner is not None and self._silent_s >= presence.BEAT_S:
            self.append(ev.Beat(self.clock(), self.owner))

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """Beat from a thread for as long as this lasts. It leaves the fold, which nothing guards, to read it later."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(presence.BEAT_S):
                with contextlib.suppress(StorageError), self.turn:  # told where the study itself meets the error
                    if self.owner is not None and not self.closed and self._silent_s >= presence.BEAT_S:
                        self.journal.append([ev.Beat(self.clock(), self.owner)])

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def catch_up(self) -> None:
        """Read what others wrote, if this process has been silent for so long that they may take it for dead."""
        if self._silent_s >= presence.SILENCE_S:
            self.refresh()

    @property
    def _silent_s(self) -> float:
        return 0.0 if self.owner is None else self.clock() - self.history.owners[self.owner].last

    def close(self) -> None:
        """Put back what this process still holds, and leave. Safe to call twice."""
        if self.closed:
            return
        self.closed = True
        if self.owner is not None:
            self.catch_up()
            now = self.clock()
            for trial in [trial for trial in self.history.running if trial.owner == self.owner]:
                spent = self.history.run_seconds(trial.number, now)
                self.append(
                    ev.Ended(now, trial.number, TrialState.PAUSED, {}, self.owner, None, spent),
                    ev.Requeued(now, trial.number, "interrupted", self.owner),
                )
            self.append(ev.Left(now, self.owner))
            presence.leave(self.owner)
        self.flush()
        self.journal.close()

    def _check_constraints(self) -> None:
        missing = missing_constraints(self.history.declared, self._functions)
        if missing:
            raise StudyError(
                f"the constraint {missing[0]!r} is a Python function, which a study file cannot hold: "
                f"continue the study from its own program, or write the constraint as an expression."
            )
