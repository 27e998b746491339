"""Models as they are deployed: how big and how fast they are, and how to make them smaller and faster.

    from greyhound.deploy import Compression, measure

    footprint = measure(model, example_inputs)     # parameters, bytes, memory, operations, latency
    compression = Compression(prune=(0.0, 0.8), quantize=["none", "int8-weight-only"])
    space = gh.Space(**compression.parameters())   # knobs for the search
    smaller = compression.apply(model, trial.params, example_inputs, fine_tune=fine_tune)
    save(smaller, example_inputs, "model.pt2")     # torch.export.load("model.pt2").module() anywhere

Needs torch; pruning, adapters and quantisation need the extra "deploy".
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from greyhound.deploy.compression import Compression as Compression
    from greyhound.deploy.footprint import Footprint as Footprint
    from greyhound.deploy.footprint import Timing as Timing
    from greyhound.deploy.footprint import latencies as latencies
    from greyhound.deploy.footprint import measure as measure
    from greyhound.deploy.micro import Accumulation as Accumulation
    from greyhound.deploy.micro import find_micro_batch as find_micro_batch
    from greyhound.deploy.saving import load as load
    from greyhound.deploy.saving import save as save
    from greyhound.deploy.training import TrainingSpeed as TrainingSpeed

_PUBLIC = {
    "Accumulation": "greyhound.deploy.micro",
    "Compression": "greyhound.deploy.compression",
    "Footprint": "greyhound.deploy.footprint",
    "Timing": "greyhound.deploy.footprint",
    "TrainingSpeed": "greyhound.deploy.training",
    "find_micro_batch": "greyhound.deploy.micro",
    "latencies": "greyhound.deploy.footprint",
    "load": "greyhound.deploy.saving",
    "measure": "greyhound.deploy.footprint",
    "save": "greyhound.deploy.saving",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'greyhound.deploy' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
