"""Who else is told: callbacks of a study, which get each event once it is in the journal.

They watch; all that one can change is that the search ends, by returning True. One that raises is told of once on
standard error, and is called again at the next event: a study goes on whatever becomes of its callbacks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from greyhound.errors import StudyError
from greyhound.events import Event
from greyhound.history import History
from greyhound.values import as_scalar, show

Callback: TypeAlias = Callable[[History, Event], bool | None]
"""Called with the study's history, the event folded in, and the event; True ends the search in this process.

Only events of this process are told, and of two processes that claimed the same trial only the winner's. A method
`flush(history)`, if there is one, is called when `tune` returns or the study is closed.
"""

_log = logging.getLogger("greyhound")


class Callbacks:
    """The callbacks of one study. ended: whether one of them ended the search. StudyError where they are none."""

    def __init__(self, callbacks: Sequence[Callback] = ()) -> None:
        given: object = as_scalar(callbacks)  # an array of no dimension is no list
        if not isinstance(given, Iterable) or not all(map(callable, given)):
            raise StudyError(f"callbacks: give a list of functions of a history and an event; got {show(callbacks)}.")
        self.ended = False
        self._callbacks = list(callbacks)
        self._failed: set[int] = set()

    def tell(self, history: History, events: Sequence[Event]) -> None:
        """Call all of them with each event."""
        for at, callback in enumerate(self._callbacks):
            for event in events:
                if self._guarded(at, lambda callback=callback, event=event: callback(history, event)):  # type: ignore[misc]
                    self.ended = True

    def flush(self, history: History) -> None:
        """Let those that write elsewhere finish."""
        for at, callback in enumerate(self._callbacks):
            flush = getattr(callback, "flush", None)
            if callable(flush):
                self._guarded(at, lambda flush=flush: flush(history))  # type: ignore[misc]

    def _guarded(self, at: int, call: Callable[[], Any]) -> bool:
        """Whether it returned True."""
        try:
            return as_scalar(call()) is True
        except Exception as error:
            if at not in self._failed:
                self._failed.add(at)
                name = type(self._callbacks[at]).__name__
                _log.warning("the callback %s failed; the study goes on: %s: %s", name, type(error).__name__, error)
            return False
