"""A journal in memory, for tests and for studies that nobody needs afterwards."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from greyhound.events import Event


class Memory:
    """Keeps events in a list; they are gone with the process. name: the study's."""

    def __init__(self, name: str = "study") -> None:
        self.name = name
        self._events: list[Event] = []
        self._lock = threading.Lock()

    def append(self, events: Sequence[Event]) -> int:
        """Add a batch; the position of its last event."""
        with self._lock:
            self._events.extend(events)
            return len(self._events)

    def read(self, since: int) -> list[Event]:
        """All events behind position `since`, in order."""
        return self._events[since:]

    def close(self) -> None:
        """Nothing to let go of: the events stay as long as the object."""
