"""Who chooses: a study's sampler and scheduler as its settings name them."""

from __future__ import annotations

from typing import Any

from greyhound import samplers, schedulers
from greyhound.errors import StudyError
from greyhound.registry import named
from greyhound.schedulers.pbt import PBT
from greyhound.settings import Settings


def make_sampler(wanted: Any) -> samplers.Sampler:
    """The sampler: of a name, a table with a name and options, or as it is."""
    made: samplers.Sampler = samplers.REGISTRY.make(wanted)
    return made


def make_scheduler(wanted: Any, settings: Settings) -> schedulers.Scheduler:
    """The scheduler, in the same way; StudyError where it cannot judge what the settings declare."""
    made: schedulers.Scheduler = schedulers.REGISTRY.make(_resolved(wanted, settings))
    name = named(settings.scheduler)
    if (count := len(settings.objectives)) > made.traits.objectives:
        most = "one objective" if made.traits.objectives == 1 else f"up to {made.traits.objectives} objectives"
        raise StudyError(f"scheduler {name!r} judges {most}; the study has {count}; use scheduler='none'.")
    if settings.max_steps is None and not made.traits.unbounded:
        raise StudyError(f"scheduler {name!r} needs the length of a full training; give max_steps=.")
    if isinstance(made, PBT) and settings.space is not None:
        made.check(settings.space)
    return made


def sampler_name(settings: Settings) -> str:
    """The sampler's name as the study was given it."""
    return named(settings.sampler)


def scheduler_name(settings: Settings) -> str:
    """The scheduler's name, "auto" resolved."""
    return named(_resolved(settings.scheduler, settings))


def _resolved(scheduler: Any, settings: Settings) -> Any:
    auto = isinstance(scheduler, str) and scheduler == "auto"
    return schedulers.choose(settings.max_steps, len(settings.objectives)) if auto else scheduler
