"""Samplers: which configuration next? One file a strategy; this is their registry.

To add one: write the file, add a line to the table. Other packages register theirs through the
entry point group `greyhound.samplers`.
"""

from greyhound.registry import Registry
from greyhound.samplers.base import Sampler, Traits, check_installed, explain

REGISTRY = Registry(
    "sampler",
    {
        "auto": "greyhound.samplers.auto:Auto",
        "bohb": "greyhound.samplers.bohb:BOHB",
        "boosting": "greyhound.samplers.boosting:Boosting",
        "cmaes": "greyhound.samplers.cmaes:CMAES",
        "ehvi": "greyhound.samplers.ehvi:EHVI",
        "genetic": "greyhound.samplers.genetic:Genetic",
        "gp": "greyhound.samplers.gp:GP",
        "grey": "greyhound.samplers.grey:Grey",
        "grid": "greyhound.samplers.grid:Grid",
        "hybrid": "greyhound.samplers.hybrid:Hybrid",
        "nsga2": "greyhound.samplers.nsga2:NSGA2",
        "random": "greyhound.samplers.random:Random",
        "sobol": "greyhound.samplers.sobol:Sobol",
        "tpe": "greyhound.samplers.tpe:TPE",
    },
    combined="greyhound.samplers.hybrid:together",
)

__all__ = ["REGISTRY", "Sampler", "Traits", "check_installed", "explain"]
