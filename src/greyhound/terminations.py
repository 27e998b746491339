"""Whether this process was told to end while it did not, as a batch system tells all processes of a job."""

from __future__ import annotations

_count = 0


def note() -> None:
    """Another SIGTERM has come; for whoever handles it."""
    global _count
    _count += 1


def terminations() -> int:
    """How many have come."""
    return _count
