"""BOHB's half of the search: a model that learns from the highest step that enough trials have reached.

Early stopping leaves most trials with values from few steps, which do not compare with those of the others. So the
model sees the trials that reached one step, each with its value there, and no others: the highest step that at least
max(10, d + 2) trials reached. With `scheduler="hyperband"` or "asha" that is a rung, a higher one as the study goes on.
What the model would propose a second time, having seen nothing new, is drawn at random.

Source: Falkner et al. 2018, "BOHB: robust and efficient hyperparameter optimization at scale", section 3.2 and
algorithm 2 (the model on the largest budget with enough observations; a share of random configurations).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from greyhound import events as ev
from greyhound.errors import StudyError
from greyhound.history import History
from greyhound.rungs import losses_at
from greyhound.samplers.base import Sampler, Traits, check_installed, key_of, tried_keys
from greyhound.samplers.picking import at_least
from greyhound.samplers.random import draw_new
from greyhound.trial import TrialState

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from greyhound.trial import Params

_FEWEST = 10
_SPARE = 8
"""How many configurations more are asked for in finite spaces, of which the model may not know that they were tried."""


@dataclass(frozen=True)
class BOHB:
    """A sampler that learns, `model`, on the highest step that at least `fewest` trials have reached.

    model: a name, a table of name and options, or a sampler; the paper's is "tpe". fewest: 2 or more; None for d + 2,
    at least 10. random: the chance that a configuration is drawn at random instead, 0 to 1; the paper's is 1/3.
    """

    model: Any = "gp"
    fewest: int | None = None
    random: float = 0.0
    traits: ClassVar[Traits] = Traits(model=True)

    def __post_init__(self) -> None:
        if self.fewest is not None:
            at_least("bohb", "fewest", self.fewest, 2)
        if not 0.0 <= self.random <= 1.0:
            raise StudyError(f"bohb: random must lie between 0 and 1; got {self.random!r}.")
        self._made()

    def check_installed(self) -> None:
        """MissingExtraError where the model needs what is not there."""
        check_installed(self._made())

    def suggest(self, history: History, count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
        """`count` configurations, fewer where the finite space has no more."""
        step = informative_step(history, self.fewest or max(_FEWEST, len(history.space) + 2))
        finite = history.space.size is not None
        tried = tried_keys(history)
        wanted = count - int((rng.random(count) < self.random).sum())
        found: list[dict[str, Any]] = []
        if wanted:
            view = history if step is None else seen_at(history, step)
            asked = self._made().suggest(view, wanted + _SPARE * finite, rng)
            found = [params for params in asked if not _was_tried(history, params, tried)][:wanted]
        if tried is not None:
            tried |= set(map(key_of(history), found))
        while len(found) < count:
            params = draw_new(history, rng, tried)
            if params is None:
                break
            found.append(params)
        return found

    def _made(self) -> Sampler:
        from greyhound.samplers import REGISTRY

        made: Sampler = REGISTRY.make(self.model)
        return made


def _was_tried(history: History, params: Params, tried: set[Any] | None) -> bool:
    """Whether a trial has this very configuration. tried: see `tried_keys`."""
    if tried is not None:
        return key_of(history)(params) in tried
    key = history.space.key  # tells 1 from True; most differ in their first value
    return any(trial.params == params and key(trial.params) == key(params) for trial in history.trials)


def informative_step(history: History, fewest: int) -> int | None:
    """The highest step at which some trial stands, and that at least `fewest` trials reached; None where none is."""
    steps: NDArray[np.int64] = np.where(history.failed, 0, history.steps)
    if len(steps) < fewest:
        return None
    reached = int(np.sort(steps)[-fewest])
    standing = np.ones(len(steps), bool)
    standing[history.numbers(TrialState.RUNNING)] = False
    at = steps[standing & (steps > 0) & (steps <= reached)]
    return int(at.max()) if len(at) else None


def seen_at(history: History, step: int) -> History:
    """A history in which the trials that reached `step` are complete, with the values that they had there.

    Those that failed, and those that run and have not come so far, stay what they are; all others are left out.
    """
    if history.settings is None:
        return history
    view = History()
    view.settings = replace(history.settings, space=history.space, limits=history.limits, max_steps=None)
    view.space = history.space
    columns = losses_at(history, step)
    for trial in history.trials:
        values = [column[trial.number] for column in columns]
        state = trial.state
        if state.failed:
            values = []
        elif np.isfinite(values).all():
            state = TrialState.COMPLETED
        elif state is not TrialState.RUNNING:
            continue
        number = len(view)
        view.apply(ev.Started(trial.started, number, trial.params, trial.seed, trial.source, trial.owner))
        if state is not TrialState.RUNNING:
            told = {each.metric: each.loss(value) for each, value in zip(history.objectives, values, strict=False)}
            view.apply(ev.Ended(trial.started, number, state, {**trial.metrics, **told}, trial.owner))
    return view
