"""Hydra finds `hydra/sweeper=greyhound` here. What it does is in `greyhound.integrations.hydra`.

Annotations here are no strings: Hydra runs the file before the module has a name, where a dataclass cannot read them.
"""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.errors import CompactHydraException
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class GreyhoundSweeperConf:
    """The options of `greyhound.tune`; params: sweeps by key, as on the command line."""

    _target_: str = "hydra_plugins.greyhound_sweeper.GreyhoundSweeper"
    maximize: Any = None
    minimize: Any = None
    subject_to: Any = None
    budget: Any = None
    max_steps: int | None = None
    workers: Any = "auto"
    gpus_per_trial: float = 1.0
    cores_per_trial: int | None = None
    trial_timeout: Any = None
    storage: str | None = None
    name: str = "sweep"
    sampler: Any = "auto"
    scheduler: Any = "auto"
    seed: int = 0
    progress: Any = "auto"
    params: dict[str, Any] = field(default_factory=dict)


ConfigStore.instance().store(
    group="hydra/sweeper", name="greyhound", node=GreyhoundSweeperConf, provider="greyhound-tune"
)


class GreyhoundSweeper(Sweeper):  # type: ignore[misc]
    """Chooses configurations and runs them in worker processes of its own; hydra/launcher is not used."""

    def __init__(self, params: DictConfig, **options: Any) -> None:
        self.params = params
        self.options = options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what a sweep needs."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> Any:
        """Tune; the study. CompactHydraException, which Hydra tells without a traceback, where something is wrong."""
        from greyhound.errors import GreyhoundError
        from greyhound.integrations.hydra import sweep

        written = [f"{key}={value}" for key, value in (self.params or {}).items()]
        try:
            return sweep(self.hydra_context, self.task_function, self.config, [*written, *arguments], self.options)
        except GreyhoundError as error:
            raise CompactHydraException(str(error)) from error
