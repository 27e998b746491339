"""One thread for linear algebra: on the small matrices of a tuner more of them only fight with the trainings."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterator
from typing import Any

_turn = threading.RLock()


@contextlib.contextmanager
def one() -> Iterator[None]:
    """A context in which BLAS uses one thread; for one thread of the process at a time, the others wait.

    The limit is the process's: of two in it at once the second would set back what the first had set, for good.
    """
    with _turn, _controller().limit(limits=1, user_api="blas"):
        yield


def _forked() -> None:
    """A fork has no thread that could hold the turn any more."""
    global _turn
    _turn = threading.RLock()


os.register_at_fork(after_in_child=_forked)


@functools.cache
def _controller() -> Any:
    import scipy.linalg  # noqa: F401 (so that its own BLAS is loaded, and found)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
