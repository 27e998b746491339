"""The journal's seam: what happened, in order, for good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from greyhound.events import Event


class Journal(Protocol):
    """An append-only, ordered list of the events of one study, shared by all who write to it.

    Events have positions 1, 2, 3… without gaps. A batch is there as a whole or not at all, and once
    `append` has returned it survives the end of this process.
    """

    def append(self, events: Sequence[Event]) -> int:
        """Add a batch; the position of its last event. StorageError where it can't be kept."""

    def read(self, since: int) -> list[Event]:
        """All events behind position `since`, in order."""

    def close(self) -> None:
        """Let go of files and connections. Safe to call twice."""
