"""Samplers: which configuration next? One file a strategy; this is their registry.

To add one: write the file, add a line to the table. Other packages register theirs through the
entry point group `greyhound.samplers`.
"""

from greyhound.registry import Registry
from greyhound.samplers.base import Sampler, Traits

REGISTRY = Registry(
    "sampler",
    {
        "auto": "greyhound.samplers.sobol:Sobol",
        "grid": "greyhound.samplers.grid:Grid",
        "random": "greyhound.samplers.random:Random",
        "sobol": "greyhound.samplers.sobol:Sobol",
    },
)

__all__ = ["REGISTRY", "Sampler", "Traits"]
