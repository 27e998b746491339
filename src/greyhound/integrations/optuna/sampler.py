"""Any of our samplers as a sampler of Optuna's."""

from __future__ import annotations

import random
import secrets
import threading
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from greyhound import samplers
from greyhound.integrations.optuna.distributions import outward, parameter_of, widened
from greyhound.integrations.optuna.mirror import Mirror, identity
from greyhound.values import counted


class GreyhoundSampler(BaseSampler):  # type: ignore[misc]
    """Proposes configurations for a study of Optuna's.

    strategy: one of our samplers: a name ("auto", "gp", "tpe", "gp+genetic"…), {"name": ..., option: ...} or an
    instance. seed: 0 or more; None for another each time. A suggestion depends on the seed, the trial's
    number and the results so far, and on nothing else.

    Several objectives, constraints (`trial.set_constraint`) and spaces that change from trial to trial are
    taken as they come. A parameter that no trial had before is drawn at random, as is every one once a finite
    space has been tried whole. Pruned trials count with their last report, running ones as results to come.
    Raises ValueError where the strategy takes fewer objectives than the study has, StudyError for an unknown one.
    """

    def __init__(self, strategy: Any = "auto", seed: int | None = None) -> None:
        self._strategy = samplers.REGISTRY.make(strategy)
        self._name = strategy if isinstance(strategy, str) else type(self._strategy).__name__
        self._seed = secrets.randbits(31) if seed is None else seed
        self._lock = threading.RLock()
        self._study: tuple[Any, int] | None = None
        self._whole: Mirror | None = None
        self._part: Mirror | None = None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All parameters that any trial had so far, each over the widest range that it had."""
        with self._lock:
            self._check(study)
            mirror = self._mirror(study, trial)
            parameters = mirror.history.space.parameters
            return {name: widened(mirror.distributions[name], parameter) for name, parameter in parameters.items()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """One configuration of this space, from what the study's trials say of it."""
        import numpy as np

        with self._lock:
            self._check(study)
            mirror = self._mirror(study, trial, search_space)
            history = mirror.history
            rng = np.random.default_rng([self._seed, trial.number])
            found = self._strategy.suggest(history, 1, rng) if len(history.space) else []
            params = found[0] if found else history.space.sample(rng)
            mirror.start(trial.number)  # for whoever asks before its parameters are in the storage
            return {name: outward(mirror.distributions[name], params[name]) for name in search_space if name in params}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A random value, of a parameter that is new or has another range than it had."""
        self._check(study)
        rng = random.Random(f"{self._seed}/{trial.number}/{param_name}")
        return outward(param_distribution, parameter_of(param_distribution).decode(rng.random()))

    def _mirror(self, study: Study, trial: FrozenTrial, space: dict[str, BaseDistribution] | None = None) -> Mirror:
        """The study's history: of all its parameters, or, where only some are asked for, of these."""
        if self._study != (now := identity(study)):
            self._study, self._whole, self._part = now, None, None
        trials = study.get_trials(deepcopy=False)
        if self._whole is None:
            self._whole = Mirror(study.directions, self._seed)
        self._whole.update(trials, without=trial.number)
        if space is None or set(space) == set(self._whole.history.space):
            return self._whole
        if self._part is None or self._part.only != set(space):
            self._part = Mirror(study.directions, self._seed, only=set(space))
        self._part.update(trials, without=trial.number)
        return self._part

    def _check(self, study: Study) -> None:
        most, count = self._strategy.traits.objectives, len(study.directions)
        if count > most:
            raise ValueError(
                f"GreyhoundSampler: strategy {self._name!r} takes at most {counted(most, 'objective')}; "
                f"the study has {count}; use strategy='auto'."
            )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None, "_study": None, "_whole": None, "_part": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()
