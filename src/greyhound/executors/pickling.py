"""How a training gets into another process: by value, where nobody could import it there.

cloudpickle sends functions and classes of `__main__` and of notebooks by value, but what
`functools.cache` and `lru_cache` wrap by name, which a worker does not find. Here they go by value too,
each process with a cache of its own. A worker in turn hands them by value to the processes of its pools and
data loaders, whose pickle would look for names as well.
"""

from __future__ import annotations

import functools
import io
import pickle
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from types import FunctionType
from typing import Any

import cloudpickle

from greyhound.errors import EvaluationError
from greyhound.jobs import Evaluator

_CACHED = type(functools.lru_cache(lambda: None))


def pickled(evaluator: Evaluator) -> bytes:
    """The evaluator as bytes for pickle.loads; EvaluationError where that is impossible."""
    try:
        return _by_value(evaluator)
    except Exception as error:
        raise EvaluationError(
            f"the training cannot be sent to a worker process: {error}. Make what cannot be pickled (open "
            f"files, connections, locks, generators) inside the training function."
        ) from error


def hand_on_by_value() -> None:
    """Let multiprocessing send what is of the user's `__main__` by value, from here and from whom it is sent to.

    For a process whose own `__main__` is another: a worker, and what a training starts there.
    """
    ForkingPickler.reducer_override = _reduced  # type: ignore[method-assign]


def _by_value(value: Any) -> bytes:
    out = io.BytesIO()
    _Pickler(out).dump(value)
    return out.getvalue()


def _reduced(_pickler: Any, obj: Any) -> Any:
    if isinstance(obj, FunctionType | type | _CACHED) and obj.__module__ == "__main__":
        return (_handed_on, (_by_value(obj),))
    return NotImplemented


def _handed_on(data: bytes) -> Any:
    hand_on_by_value()
    return pickle.loads(data)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, _CACHED) and obj.__module__ == "__main__":
            return (_cached, (obj.__wrapped__, obj.cache_parameters()))
        return super().reducer_override(obj)


def _cached(function: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    return functools.lru_cache(**parameters)(function)
