"""What a checkpoint can keep, and what stands behind the wrappers that trainings put around it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Protocol, TypeGuard


class Stateful(Protocol):
    """What can be kept: a model, an optimiser, a scheduler, a gradient scaler, an object of your own."""

    def state_dict(self) -> Any:
        """All that is needed to go on."""

    def load_state_dict(self, state: Any) -> Any:
        """Take up what state_dict gave."""


class InFiles(Protocol):
    """What writes and reads files of its own instead."""

    def save_to(self, folder: Path) -> Any:
        """Write all that is needed to go on into an empty folder."""

    def load_from(self, folder: Path) -> Any:
        """Take up what save_to wrote."""


def in_files(each: Any) -> TypeGuard[InFiles]:
    """Whether an object writes files of its own."""
    return callable(getattr(each, "save_to", None)) and callable(getattr(each, "load_from", None))


def bare(each: Any) -> Any:
    """What is behind torch.compile, DataParallel and DistributedDataParallel, which only add to the names of weights.

    So a checkpoint fits the model however it is wrapped. A torch.Generator gets the methods of Stateful.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return each
    if isinstance(each, torch.Generator):
        return _Generator(each)
    wrappers = (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)
    while True:
        if isinstance(each, torch.nn.Module) and "_orig_mod" in each._modules:
            each = each._orig_mod
        elif isinstance(each, wrappers):
            each = each.module
        else:
            return each


class _Generator:
    """A torch.Generator as something to keep."""

    def __init__(self, generator: Any) -> None:
        self._generator = generator

    def state_dict(self) -> Any:
        return {"state": self._generator.get_state()}

    def load_state_dict(self, state: Any) -> None:
        self._generator.set_state(state["state"])
