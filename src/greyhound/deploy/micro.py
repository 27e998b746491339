"""The batch that a search asks for on a device that cannot hold it: micro-batches, and their gradients added up.

So the search sees the effective batch size, and running out of memory is a limit rather than an accident. The
largest micro-batch is found once for a model's shapes and a device, by halving until a forward and backward pass fits,
and kept in a file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greyhound._lazy import require
from greyhound.deploy.footprint import buffers_kept, call, device_of, resized
from greyhound.errors import StudyError
from greyhound.memory import is_out_of_memory

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Accumulation:
    """A batch of `batch_size` rows in parts of at most `micro_batch`."""

    batch_size: int
    micro_batch: int

    @property
    def steps(self) -> int:
        """Forward and backward passes for one step of the optimizer."""
        return math.ceil(self.batch_size / self.micro_batch)

    def split(self, *tensors: Tensor) -> Iterator[tuple[float, tuple[Tensor, ...]]]:
        """The parts of a batch, each with its share of the rows, by which its mean loss is to be multiplied.

            for share, (inputs, targets) in plan.split(inputs, targets):
                (share * loss(model(inputs), targets)).backward()
            optimizer.step()

        The gradients then are those of the whole batch, but for layers that mix rows, as BatchNorm does.
        """
        rows = len(tensors[0])
        for start in range(0, rows, self.micro_batch):
            part = tuple(tensor[start : start + self.micro_batch] for tensor in tensors)
            yield len(part[0]) / rows, part


def find_micro_batch(
    model: nn.Module,
    example_inputs: Any,
    loss: Callable[[Any], Tensor],
    batch_size: int,
    *,
    state_copies: int = 2,
    allow_batch_norm: bool = False,
    cache: Path | None = None,
) -> Accumulation:
    """How to train with an effective batch of `batch_size` rows on the device that the model is on.

    example_inputs: a tensor, tuple or dict, the batch its first dimension; rows are repeated as needed. loss: from the
    model's output to a number. state_copies: numbers that the optimizer keeps for each parameter, 2 for Adam. cache:
    the file with what was found before, by default in the user's cache folder. Gradients are cleared afterwards, and
    buffers, such as BatchNorm's statistics, are as they were.

    Call it under the autocast that the training uses. StudyError where the model has BatchNorm and would need
    accumulation, unless allow_batch_norm: its statistics would be those of micro-batches. Where one row does
    not fit, the device's own error is raised.
    """
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise StudyError(f"find_micro_batch: batch_size must be a whole number of at least 1; got {batch_size!r}.")
    cache = _default_cache() if cache is None else cache
    key = _key(model, example_inputs, state_copies)
    known = _read(cache).get(key, {})
    most, least = known.get("fits", 0), known.get("fails", math.inf)
    size = batch_size
    with buffers_kept(model):
        while not size <= most:
            if size < least and _fits(model, example_inputs, loss, size, state_copies, last=size == 1):
                most = size
            else:
                least = min(least, size)
                size = math.ceil(size / 2)
    if {"fits": most, "fails": least} != known:
        _write(cache, key, {"fits": most, **({"fails": least} if least < math.inf else {})})
    if size < batch_size and not allow_batch_norm and _has_batch_norm(model):
        raise StudyError(
            f"a batch of {batch_size} does not fit on the device, and BatchNorm in micro-batches of {size} is another "
            f"model: use GroupNorm or batches of at most {size}, or write allow_batch_norm=True."
        )
    return Accumulation(batch_size, size)


def _fits(
    model: nn.Module, example_inputs: Any, loss: Callable[[Any], Tensor], size: int, state_copies: int, last: bool
) -> bool:
    """Whether a training step of `size` rows fits, the optimizer's state beside it; raises if it is the last hope."""
    torch = require("torch", "torch")
    device = device_of(model)
    inputs = output = state = None
    try:
        state = [torch.empty_like(each) for each in model.parameters() for _ in range(state_copies)]
        inputs = resized(example_inputs, size, device)
        output = loss(call(model, inputs))
        output.backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return True
    except Exception as error:
        if not is_out_of_memory(error) or last:
            raise
        return False
    finally:
        del inputs, output, state
        model.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.empty_cache()


def _has_batch_norm(model: nn.Module) -> bool:
    kind = require("torch.nn.modules.batchnorm", "torch")._BatchNorm
    return any(isinstance(module, kind) for module in model.modules())


def _key(model: nn.Module, example_inputs: Any, state_copies: int) -> str:
    """What decides how much fits: shapes and kinds of parameters and rows, layers, precision, and the device."""
    torch = require("torch", "torch")
    device = device_of(model)
    kind = device.type
    place: tuple[Any, ...] = (kind,)
    if kind == "cuda":
        place = (torch.cuda.get_device_name(device), torch.cuda.get_device_properties(device).total_memory)
    leaves = require("torch.utils._pytree", "torch").tree_leaves(example_inputs)
    rows = [(tuple(leaf.shape[1:]), str(leaf.dtype)) for leaf in leaves if isinstance(leaf, torch.Tensor)]
    shapes = [(name, tuple(each.shape), str(each.dtype), each.requires_grad) for name, each in model.named_parameters()]
    precision = str(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else "as it is"
    told = repr((place, rows, shapes, repr(model), precision, state_copies, torch.__version__))
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


def _default_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "greyhound" / "micro-batches.json"


def _read(cache: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(cache.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    return {}


def _write(cache: Path, key: str, found: dict[str, Any]) -> None:
    """Add an entry; where the file cannot be written it will be found anew."""
    with contextlib.suppress(OSError):
        cache.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=cache.parent, delete=False, encoding="utf-8") as file:
            json.dump({**_read(cache), key: found}, file)
        os.replace(file.name, cache)
