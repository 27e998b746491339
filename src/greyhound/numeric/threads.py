"""One thread for linear algebra: on the small matrices of a tuner more of them only fight with the trainings."""

from __future__ import annotations

import functools
from typing import Any


def one() -> Any:
    """A context in which BLAS uses one thread."""
    return _controller().limit(limits=1, user_api="blas")


@functools.cache
def _controller() -> Any:
    import scipy.linalg  # noqa: F401 (so that its own BLAS is loaded, and found)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
