"""Optional dependencies, imported when used; a missing one is told in one sentence."""

from __future__ import annotations

import importlib
from types import ModuleType

from greyhound.errors import MissingExtraError


def require(module: str, extra: str) -> ModuleType:
    """Import `module`, or raise MissingExtraError naming the extra of greyhound-tune that brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if error.name is None or not module.startswith(error.name.partition(".")[0]):
            raise  # it is installed, but broken inside: its own message says more
        raise MissingExtraError(
            f"this needs {module.partition('.')[0]}, which is not installed: pip install 'greyhound-tune[{extra}]'."
        ) from error
