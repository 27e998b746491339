"""Schedulers: who trains next, and until when? One file a rule; this is their registry.

To add one: write the file, add a line to the table. Other packages register theirs through the
entry point group `greyhound.schedulers`.
"""

from greyhound.registry import Registry
from greyhound.schedulers.base import Action, Resume, Scheduler, Start, Stop, Traits, Wait

REGISTRY = Registry(
    "scheduler",
    {
        "asha": "greyhound.schedulers.asha:Asha",
        "freeze_thaw": "greyhound.schedulers.freeze_thaw:FreezeThaw",
        "hyperband": "greyhound.schedulers.hyperband:Hyperband",
        "median": "greyhound.schedulers.median:Median",
        "none": "greyhound.schedulers.full:Full",
        "pbt": "greyhound.schedulers.pbt:PBT",
        "racing": "greyhound.schedulers.racing:Racing",
    },
    chosen="auto",
)


def choose(max_steps: int | None, objectives: int) -> str:
    """What "auto" stands for: early stopping where a training's length is known and the objectives are few."""
    from greyhound.schedulers.freeze_thaw import FreezeThaw

    few = objectives <= FreezeThaw.traits.objectives
    return "freeze_thaw" if max_steps is not None and max_steps >= 4 and few else "none"


__all__ = ["REGISTRY", "Action", "Resume", "Scheduler", "Start", "Stop", "Traits", "Wait", "choose"]
