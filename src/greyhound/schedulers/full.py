"""No early stopping: every training runs to its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from greyhound.schedulers.base import Action, Start, Traits, Wait
from greyhound.trial import Verdict

if TYPE_CHECKING:
    from greyhound.history import History
    from greyhound.trial import Trial


@dataclass(frozen=True)
class Full:
    """Starts a new configuration whenever there is one, and judges none."""

    traits: ClassVar[Traits] = Traits()

    def next(self, history: History) -> Action:
        """A new configuration as long as there are any."""
        return Start() if history.can_start else Wait()

    def judge(self, history: History, trial: Trial) -> Verdict:
        """Every trial goes on."""
        return Verdict.CONTINUE

    def until(self, history: History, trial: Trial | None) -> int | None:
        """The end of the training."""
        return history.max_steps
