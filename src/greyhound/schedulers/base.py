"""The scheduler's seam: who trains next, and until when?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from greyhound.history import History
    from greyhound.trial import Params, Trial, Verdict


@dataclass(frozen=True, slots=True)
class Start:
    """Train a new configuration: the sampler's, or `params`; from the checkpoint of `parent` if given.

    step: with a parent, a step at which that one was judged: its checkpoint stands there, or behind it by now.
    """

    params: Params | None = None
    parent: int | None = None
    step: int = 0


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on training the paused trial `number`."""

    number: int


@dataclass(frozen=True, slots=True)
class Stop:
    """End the paused trial `number` for good, and ask again."""

    number: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before a running trial reports; with no trial running, the study is finished."""


Action = Start | Resume | Stop | Wait


@dataclass(frozen=True, slots=True)
class Traits:
    """What a scheduler can do. objectives: the most that it judges. unbounded: works without max_steps."""

    objectives: int = 99
    unbounded: bool = True


class Scheduler(Protocol):
    """Decides how long each trial trains; its methods are pure functions of their arguments.

    A scheduler is a frozen dataclass of its options and keeps nothing between calls.
    """

    traits: ClassVar[Traits]

    def next(self, history: History) -> Action:
        """What a free worker should do. `Start` only where history.can_start."""

    def judge(self, history: History, trial: Trial) -> Verdict:
        """Whether a running trial that has reached its `until` goes on."""

    def until(self, history: History, trial: Trial | None) -> int | None:
        """The step at which the trial (None: a new one) is judged next; None for never."""


def is_number(value: Any) -> bool:
    """Whether the value of an option is a number, and no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)
