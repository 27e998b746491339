"""How fast a model trains, as hyperparameters: batch size, precision, torch.compile, the data loader's workers."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from greyhound._lazy import require
from greyhound.errors import SpaceError
from greyhound.space import Bool, Categorical, Ordinal, Parameter

if TYPE_CHECKING:
    from torch import nn

PRECISIONS = ("fp32", "bf16", "fp16")
"""bf16 and fp16: torch's autocast, with weights in float32. fp16 needs a gradient scaler: see `scaler`."""


@dataclass(frozen=True)
class TrainingSpeed:
    """Knobs that make training faster or slower.

    batch_size: effective batch sizes, in rising order; see find_micro_batch for what does not fit. precision: of
    PRECISIONS. compile: whether to search over torch.compile on and off. loader_workers: processes that load
    data, in rising order. A knob with one choice, or None, is not searched. The first of each is the default, but the
    default batch size is the one in the middle. SpaceError where a choice is wrong.
    """

    batch_size: Sequence[int] | None = (16, 32, 64, 128, 256)
    precision: Sequence[str] = ("fp32", "bf16")
    compile: bool = False
    loader_workers: Sequence[int] | None = None

    def __post_init__(self) -> None:
        for kind in self.precision:
            if kind not in PRECISIONS:
                raise SpaceError(f"TrainingSpeed: unknown precision {kind!r}; there are {', '.join(PRECISIONS)}.")

    def parameters(self) -> dict[str, Parameter]:
        """The knobs by name, to go into a space."""
        made: dict[str, Parameter] = {}
        if self.batch_size and len(self.batch_size) > 1:
            made["batch_size"] = Ordinal(list(self.batch_size), default=self.batch_size[len(self.batch_size) // 2])
        if len(self.precision) > 1:
            made["precision"] = Categorical(list(self.precision), default=self.precision[0])
        if self.compile:
            made["compile"] = Bool(default=False)
        if self.loader_workers and len(self.loader_workers) > 1:
            made["loader_workers"] = Ordinal(list(self.loader_workers), default=self.loader_workers[0])
        return made

    def value(self, params: Mapping[str, Any], name: str) -> Any:
        """A knob's value in a configuration, or the only choice that there is; None for none."""
        if name in params:
            return params[name]
        choices = getattr(self, name)
        return choices[0] if isinstance(choices, tuple | list) and choices else None

    def autocast(self, params: Mapping[str, Any], device: Any) -> contextlib.AbstractContextManager[Any]:
        """The context for forward passes on this device ("cuda:0", "cpu" or torch's)."""
        torch = require("torch", "torch")
        kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
        kind = kinds.get(str(self.value(params, "precision")))
        if kind is None:
            return contextlib.nullcontext()
        context: contextlib.AbstractContextManager[Any] = torch.autocast(torch.device(device).type, dtype=kind)
        return context

    def scaler(self, params: Mapping[str, Any], device: Any) -> Any:
        """torch's gradient scaler, switched on for fp16 alone."""
        torch = require("torch", "torch")
        enabled = self.value(params, "precision") == "fp16"
        return torch.amp.GradScaler(torch.device(device).type, enabled=enabled)

    def prepare(self, model: nn.Module, params: Mapping[str, Any]) -> nn.Module:
        """The model, compiled by torch.compile where the configuration says so; its weights are shared."""
        if not params.get("compile", False):
            return model
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the compiler's own, as it is imported
            compiled: nn.Module = require("torch", "torch").compile(model)
        return compiled

    def loader(self, data: Any, params: Mapping[str, Any], **options: Any) -> Any:
        """A DataLoader with the configuration's batch size and workers; options are torch's and win."""
        workers = int(self.value(params, "loader_workers") or 0)
        given = {"batch_size": self.value(params, "batch_size"), "num_workers": workers, "shuffle": True}
        if workers:
            given["persistent_workers"] = True
        return require("torch.utils.data", "torch").DataLoader(data, **{**given, **options})
