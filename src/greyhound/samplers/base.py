"""The sampler's seam: which configuration next?"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol
from weakref import WeakKeyDictionary

from greyhound.trial import TrialState

if TYPE_CHECKING:
    import numpy as np

    from greyhound.history import History
    from greyhound.space import Space

MOST_LISTED = 200_000
"""Spaces and grids of so many configurations, constraints not counted, are listed at most."""
_LONGEST_START = 20
"""In spaces of many parameters a model learns from so many trials more than from as many again at random."""


@dataclass(frozen=True, slots=True)
class _Tried:
    space: Space
    count: int
    keys: frozenset[Any]


_KEYS: WeakKeyDictionary[History, _Tried] = WeakKeyDictionary()
"""The keys of the first trials of a history: where the space is declared, a trial keeps its configuration."""


@dataclass(slots=True)
class _Asked:
    """What trainings that name their parameters themselves asked for.

    names: of the space. count: how many trials were looked at. open: those of them that may have more to ask, or failed
    before they had. branches, found: the names and the keys that the others asked for. proposed: the key of what each
    trial came to, by that of what it was proposed.
    """

    names: tuple[str, ...]
    count: int = 0
    open: list[int] = field(default_factory=list)
    branches: set[tuple[str, ...]] = field(default_factory=set)
    found: set[Hashable] = field(default_factory=set)
    proposed: dict[Hashable, Hashable] = field(default_factory=dict)


_ASKED: WeakKeyDictionary[History, _Asked] = WeakKeyDictionary()
_ENDED_WELL = (TrialState.COMPLETED, TrialState.DIVERGED)


@dataclass(frozen=True, slots=True)
class Traits:
    """What a sampler can do; what it can't it refuses with a SpaceError or StudyError.

    finite: it ends by itself when it has proposed all that it has. conditional, constraints: it
    takes spaces with `when=` and with constraints. objectives: the most objectives that it takes.
    model: it learns from results, so that its suggestions need time and gain by fresh results.
    """

    finite: bool = False
    conditional: bool = True
    constraints: bool = True
    objectives: int = 99
    model: bool = False


class Sampler(Protocol):
    """Proposes configurations; a pure function of its arguments.

    A sampler is a frozen dataclass of its options and keeps nothing between calls. It may offer besides
    `judge(history)`, its model's opinion of what others propose: a function from n configurations to scores, (n,), the
    higher the better, or None where it knows too little yet; `explain(history)`, what it does now, in one line; and
    `check_installed()`, MissingExtraError where a library that it needs is missing.
    """

    traits: ClassVar[Traits]

    def suggest(self, history: History, count: int, rng: np.random.Generator) -> Sequence[dict[str, Any]]:
        """Up to `count` valid configurations of history.space to try next.

        Fewer, or none, say that no more are left to try. Trials that still run are in the history
        without a result. rng is derived from the study's seed and the next trial's number.
        """


def check_installed(sampler: Any) -> None:
    """MissingExtraError where a library that a sampler needs is missing, told before anything is trained for it."""
    if hasattr(sampler, "check_installed"):
        sampler.check_installed()


def explain(sampler: Any, name: str, history: History) -> str:
    """What a sampler does, in one line: its own words, or else its name."""
    return f"{name}: {sampler.explain(history)}" if hasattr(sampler, "explain") else name


def start_size(history: History, wanted: int | None = None) -> int:
    """How many trials come before a model: those wanted, else d + 1, from 5 to 20, at most a fifth of the budget."""
    if wanted is not None:
        return wanted
    usual = min(max(5, len(history.space) + 1), _LONGEST_START)
    budget = history.settings.budget.trials if history.settings else None
    return usual if budget is None else max(2, min(usual, -(-budget // 5)))


def tried_keys(history: History) -> set[Any] | None:
    """Keys of the configurations tried so far; None where each has a continuous parameter, and so none comes twice.

    A configuration is proposed once; repeats that are wanted are enqueued.
    """
    space = history.space
    if history.define_by_run:
        asked = _asked(history)
        branches = asked.branches or {space.names}
    else:
        branches = {tuple(name for name, parents in space.conditions.items() if not parents)}
    if all(any(space[name].size is None for name in names) for names in branches):
        return None
    if history.define_by_run:
        return asked.found | {space.key(history.trial(number).params) for number in asked.open}
    known = _KEYS.get(history)
    if known is None or known.space is not space:
        known = _Tried(space, 0, frozenset())
    new = {space.key(history.trial(number).params) for number in range(known.count, len(history))}
    _KEYS[history] = known = _Tried(space, len(history), known.keys | new)
    return set(known.keys)


def key_of(history: History) -> Callable[[Mapping[str, Any]], Hashable]:
    """What gives the key that a configuration would have among `tried_keys`.

    Where trainings name their parameters themselves, one is proposed values for all names, and asks for those of its
    branch. So what agrees with all that a trial asked for, or was proposed before, has that trial's key.
    """
    space = history.space
    if not history.define_by_run:
        return space.key
    asked = _asked(history)
    branches = sorted(asked.branches)

    def key(params: Mapping[str, Any]) -> Hashable:
        for names in branches:
            part = space.key({name: params[name] for name in names if name in params})
            if part in asked.found:
                return part
        whole = space.key(params)
        return asked.proposed.get(whole, whole)

    return key


def _asked(history: History) -> _Asked:
    space, asked = history.space, _ASKED.get(history)
    if asked is None or asked.names != space.names:
        _ASKED[history] = asked = _Asked(space.names)
    looked_at, asked.open = [*asked.open, *range(asked.count, len(history))], []
    asked.count = len(history)
    for trial in map(history.trial, looked_at):
        key = space.key(trial.params)
        asked.proposed[space.key(trial.proposed)] = key
        if trial.params and (trial.step or trial.state in _ENDED_WELL):
            asked.branches.add(tuple(trial.params))
            asked.found.add(key)
        else:
            asked.open.append(trial.number)
    return asked
