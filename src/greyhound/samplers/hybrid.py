"""Two or more samplers as one: those that fill the space begin, those that learn go on together.

Parts that do not learn (grid, sobol, random) take turns for the first trials, and the parts that can judge a
configuration (a Gaussian process by its acquisition, say) begin as they do alone. After that every part that learns
proposes configurations, and those that judge rank all proposals: the one with the best mean rank is tried, of equals
the one of the part named first. That is nearly always a judge's own, which comes of a search for just that: the others
are a second opinion where that search went astray. Where no part can judge they take turns. On a plateau they draw at
random as a model by itself would.

Source: the panel of models of Hoffman et al. 2011, "Portfolio allocation for Bayesian optimization", with rank
voting for its credit; a genetic algorithm under an acquisition: Cowen-Rivers et al. 2022, "HEBO".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from greyhound.errors import StudyError
from greyhound.samplers.base import Sampler, Traits, check_installed, key_of, start_size, tried_keys
from greyhound.samplers.picking import at_least
from greyhound.samplers.plateau import explores
from greyhound.samplers.random import draw_new
from greyhound.samplers.results import results

if TYPE_CHECKING:
    import numpy as np

    from greyhound.history import History


@dataclass(frozen=True)
class Hybrid:
    """The samplers `parts` as one; "gp+genetic" is Hybrid(("gp", "genetic")).

    parts: names, tables of name and options, or samplers; two or more. start: trials before those parts speak
    that learn, where there are others; by default half of what a model starts with by itself, at least 3.
    proposals: configurations that each part proposes for each suggestion, at least 1.
    """

    parts: Sequence[Any] = ("sobol", "gp")
    start: int | None = None
    proposals: int = 8
    traits: ClassVar[Traits] = Traits(model=True)

    def __post_init__(self) -> None:
        if isinstance(self.parts, str) or not isinstance(self.parts, Sequence) or len(self.parts) < 2:
            raise StudyError(
                f"hybrid: parts must be two samplers or more, such as ['gp', 'genetic']; got {self.parts!r}."
            )
        if self.start is not None:
            at_least("hybrid", "start", self.start, 0)
        at_least("hybrid", "proposals", self.proposals, 1)
        object.__setattr__(self, "parts", tuple(self.parts))
        self._made()

    def check_installed(self) -> None:
        """MissingExtraError where a part needs what is not there."""
        for part in self._made():
            check_installed(part)

    def suggest(self, history: History, count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
        """`count` configurations, fewer where the finite space has no more."""
        parts = self._made()
        fillers = [part for part in parts if not part.traits.model]
        learners = [part for part in parts if part.traits.model]
        start = self.start if self.start is not None else max(3, (start_size(history) + 1) // 2)
        if fillers and (not learners or len(history) < start):
            found = _in_turn(fillers, history, count, rng, begins=bool(learners))
            if found or not learners:
                return found
        judging = [part for part in learners if hasattr(part, "judge")]
        if len(history) < start_size(history):
            return _in_turn(judging or learners, history, count, rng)
        judges = [judge for part in judging if (judge := part.judge(history)) is not None]
        if len(learners) == 1 or not judges:
            return _in_turn(learners, history, count, rng)
        seen, told = tried_keys(history), results(history)
        drawn = [draw_new(history, rng, seen) for _ in range(count) if explores(told, rng)]
        found = [params for params in drawn if params is not None]
        if len(found) < count:
            found += self._elected(learners, judges, history, count - len(found), seen or set(), rng)
        return found

    def _elected(
        self,
        learners: Sequence[Sampler],
        judges: Sequence[Any],
        history: History,
        count: int,
        seen: set[Any],
        rng: np.random.Generator,
    ) -> list[dict[str, Any]]:
        import numpy as np
        from scipy.stats import rankdata

        key_in = key_of(history)
        proposed: dict[Any, dict[str, Any]] = {}
        for part in learners:
            wanted = count if hasattr(part, "judge") else max(count, self.proposals)
            for params in part.suggest(history, wanted, rng):
                if (key := key_in(params)) not in seen:
                    proposed[key] = params
        candidates = list(proposed.values())
        if not candidates:
            return []
        ranks = np.mean([rankdata(-judge(candidates)) for judge in judges], axis=0)
        return [candidates[at] for at in np.argsort(ranks, kind="stable")[:count]]

    def _made(self) -> list[Sampler]:
        from greyhound.samplers import REGISTRY

        return [REGISTRY.make(part) for part in self.parts]


def together(parts: Sequence[str], **options: Any) -> Hybrid:
    """What "a+b" stands for; StudyError where an option is not of the hybrid but, perhaps, of a part."""
    own = ("start", "proposals")
    for name in options:
        if name not in own:
            raise StudyError(
                f"sampler {'+'.join(parts)!r}: {name} is none of its options, which are {', '.join(own)}; for one of a "
                f"part write {{'name': 'hybrid', 'parts': [{{'name': {parts[0]!r}, {name!r}: ...}}, ...]}}."
            )
    return Hybrid(parts, **options)


def _in_turn(
    parts: Sequence[Sampler], history: History, count: int, rng: np.random.Generator, begins: bool = False
) -> list[dict[str, Any]]:
    """What the part whose turn it is proposes; the next one's, where it has no more.

    begins: only the first points are wanted, which a grid has of any size.
    """
    turn = len(history) % len(parts)
    for part in (*parts[turn:], *parts[:turn]):
        first = getattr(part, "first", None) if begins else None
        if found := list(part.suggest(history, count, rng) if first is None else first(history, count)):
            return found
    return []
