"""How a training gets into another process: by value, where nobody could import it there.

cloudpickle sends functions and classes of `__main__` and of notebooks by value, but what
`functools.cache` and `lru_cache` wrap by name, which a worker does not find. Here they go by value too,
each process with a cache of its own.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from typing import Any

import cloudpickle

from greyhound.errors import EvaluationError
from greyhound.jobs import Evaluator

_CACHED = type(functools.lru_cache(lambda: None))


def pickled(evaluator: Evaluator) -> bytes:
    """The evaluator as bytes for pickle.loads; EvaluationError where that is impossible."""
    out = io.BytesIO()
    try:
        _Pickler(out).dump(evaluator)
    except Exception as error:
        raise EvaluationError(
            f"the training cannot be sent to a worker process: {error}. Make what cannot be pickled (open "
            f"files, connections, locks, generators) inside the training function."
        ) from error
    return out.getvalue()


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, _CACHED) and obj.__module__ == "__main__":
            return (_cached, (obj.__wrapped__, obj.cache_parameters()))
        return super().reducer_override(obj)


def _cached(function: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    return functools.lru_cache(**parameters)(function)
