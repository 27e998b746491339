"""Whether memory ran out, told from an exception, a message, or the system's own count."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

_OUT_OF_MEMORY = re.compile(
    r"out of memory|_ALLOC_FAILED\b|can't allocate memory|cannot allocate memory|std::bad_alloc"
    r"|unable to allocate [\d.]+ [kmgtpe]?i?b|^[\w.]*MemoryError\b",
    re.IGNORECASE | re.MULTILINE,
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory, of the device or the machine, ran out."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and says_out_of_memory(str(error))


def says_out_of_memory(text: str) -> bool:
    """Whether a message says that memory ran out."""
    return _OUT_OF_MEMORY.search(text) is not None


def memory_kills() -> int:
    """How many processes the system has killed for want of memory: in this control group, else at all."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        group = Path("/proc/self/cgroup").read_text().split("0::", 1)[1].split("\n", 1)[0]
        return _counter(Path(f"/sys/fs/cgroup{group}/memory.events"))
    with contextlib.suppress(OSError, IndexError, ValueError):
        return _counter(Path("/proc/vmstat"))
    return 0


def _counter(table: Path) -> int:
    return int(table.read_text().split("oom_kill ", 1)[1].split("\n", 1)[0])
