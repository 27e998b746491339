"""What loggers have in common: they are told of trials in order, in a thread of their own.

So a server that is slow or gone does not hold up the study: what is told waits in a queue. A logger that raises is
told of once on standard error.
"""

from __future__ import annotations

import hashlib
import logging
import queue
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from greyhound import events as ev
from greyhound.analysis import ranking
from greyhound.events import Event
from greyhound.history import History
from greyhound.trial import Trial, TrialState

_PATIENCE_S = 60.0
"""How long the end of a study waits for its loggers."""

_log = logging.getLogger("greyhound")


class Logger(ABC):
    """A callback of a study. Subclasses fill in where a trial begins, reports and ends; all in one thread.

    A trial that is paused ends with that state, and begins again when it is taken up. One that its last report
    completed has ended then; what its training returns afterwards comes to `late`.
    """

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._open: set[int] = set()
        self._completed: set[int] = set()
        self._failed = False

    @abstractmethod
    def begin(self, trial: Trial) -> None:
        """A run of a trial begins; its parameters are known."""

    @abstractmethod
    def report(self, trial: Trial, step: int, metrics: Mapping[str, float]) -> None:
        """The trial reported metrics after some steps."""

    @abstractmethod
    def end(self, trial: Trial) -> None:
        """A run of the trial ended, as its state tells."""

    def late(self, trial: Trial, metrics: Mapping[str, float]) -> None:  # noqa: B027 (most trainings return nothing new)
        """A trial that had ended, completed, got these metrics besides: its training returned them."""

    def finish(self, best: Trial | None) -> None:  # noqa: B027 (most have nothing to do then)
        """The study ended or stops for now. best: its best trial, where it has one objective and a value."""

    # The callback

    def __call__(self, history: History, event: Event) -> None:
        """Take note of an event; it is written later."""
        if isinstance(event, ev.Reported):
            trial = self._begun(history, event.trial)
            self._later(lambda: self.report(trial, event.step, event.metrics))
        elif isinstance(event, ev.Ended) and event.trial in self._completed:
            completed = history.trial(event.trial)
            self._later(lambda: self.late(completed, event.metrics))
        elif isinstance(event, ev.Ended):
            ended = self._begun(history, event.trial)
            self._open.discard(event.trial)
            if event.state is TrialState.COMPLETED:
                self._completed.add(event.trial)
            self._later(lambda: self.end(ended))
        elif isinstance(event, ev.Requeued) and event.trial in self._open:  # it was left without an end
            self._open.discard(event.trial)
            left = history.trial(event.trial)
            self._later(lambda: self.end(left))

    def flush(self, history: History) -> None:
        """Wait, for a minute at most, until all is written."""
        one = len(history.objectives) == 1
        best = ranking.best(history) if one and history.settings is not None else None
        written = threading.Event()
        self._later(lambda: self.finish(best))
        self._later(written.set)
        if not written.wait(_PATIENCE_S):
            _log.warning("the logger %s has not written all within %g s", type(self).__name__, _PATIENCE_S)

    def _begun(self, history: History, number: int) -> Trial:
        """The trial; begun at its first event rather than its start, when it has named its parameters."""
        trial = history.trial(number)
        if number not in self._open:
            self._open.add(number)
            self._later(lambda: self.begin(trial))
        return trial

    def _later(self, write: Callable[[], None]) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)
            self._thread.start()
        self._queue.put(write)

    def _run(self) -> None:
        while True:
            try:
                self._queue.get()()
            except Exception as error:
                if not self._failed:
                    self._failed = True
                    what = f"{type(error).__name__}: {error}"
                    _log.warning("the logger %s failed; the study goes on: %s", type(self).__name__, what)


def named(name: str, unfit: str) -> str:
    """A name by which something is found again, without what is unfit, a regular expression.

    It stays as it is where all of it fits; else a short hash of the whole keeps it apart from others.
    """
    fit = re.sub(unfit, "_", name)
    return fit if fit == name else f"{fit}-{hashlib.blake2b(name.encode(), digest_size=4).hexdigest()}"


def final(trial: Trial) -> bool:
    """Whether nothing more is expected of the trial."""
    return trial.state not in (TrialState.RUNNING, TrialState.PAUSED)
