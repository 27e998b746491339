"""What earlier studies found, brought into the space of a new one (`warm_start=`).

The new study tries the best configurations of each source first, and samplers that can carry the rest as a
model of the objective whose weight falls where it does not fit what the new study finds. The trials are kept in the
new study's own journal, so the sources may go.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from greyhound.errors import SpaceError, StudyError
from greyhound.history import History
from greyhound.numeric.limits import breach
from greyhound.samplers.results import results, thinned
from greyhound.settings import Known, goals
from greyhound.storage import open_journal
from greyhound.values import show

if TYPE_CHECKING:
    from greyhound.space import Space
    from greyhound.trial import Limit, Objective

_MOST_TRIALS = 200
"""Of more trials of one source the better half of as many are kept, and of the others some from all ranks."""


def read_known(
    sources: Any, space: Space | None, objectives: Sequence[Objective], limits: Sequence[Limit]
) -> tuple[Known, ...]:
    """The trials of earlier studies as trials of `space`, the best first: those that keep to the limits, then others.

    sources: a study, its file or database URL, or a list of these. A limit whose metric a trial did not tell counts as
    kept. A parameter that a trial did not have is taken at
    its default, else at its middle; a trial whose values are outside of the space is left out. StudyError
    where a source has not the same objective, or none of its trials fits.
    """
    listed = sources if isinstance(sources, list | tuple) else [sources]
    if not listed:
        return ()
    if space is None or not len(space):
        raise StudyError("warm_start needs a declared space; earlier trials cannot be mapped to one named by run.")
    return tuple(_known(source, space, objectives[0], limits) for source in listed)


def _known(source: Any, space: Space, objective: Objective, limits: Sequence[Limit]) -> Known:
    history, label = _history(source)
    theirs = history.objectives[0]
    if theirs != objective:
        raise StudyError(f"warm_start: {label} is there to {goals([theirs])}, this study to {goals([objective])}.")
    told = results(history)
    mapped: dict[Any, tuple[dict[str, Any], float]] = {}
    losses = told.values[:, 0]
    trials = [history.trial(int(number)) for number in told.known]
    over = [[limit.over(trial.metrics.get(limit.metric, math.nan)) for limit in limits] for trial in trials]
    broken = breach(np.array(over).reshape(len(trials), len(limits)).clip(min=0.0))
    for at in np.lexsort((losses, broken)):
        params = _mapped(trials[at].params, space)
        if params is not None:
            mapped.setdefault(space.key(params), (params, float(losses[at])))
    if not mapped:
        raise StudyError(
            f"warm_start: none of the {len(told.known)} trials with a result in {label} lies in this study's space; "
            f"leave it out, or widen the space."
        )
    kept = list(mapped.values())
    rest = thinned(np.arange(_MOST_TRIALS // 2, len(kept)), _MOST_TRIALS // 2)
    kept = kept[: _MOST_TRIALS // 2] + [kept[at] for at in rest]
    return Known(label, tuple(params for params, _ in kept), tuple(loss for _, loss in kept))


def _history(source: Any) -> tuple[History, str]:
    """The history of a study or of the only one in a file, and what to call it in messages."""
    if isinstance(history := getattr(source, "history", None), History):
        return history, str(getattr(source, "storage", None) or "the study given")
    if not isinstance(source, str | Path) and not hasattr(source, "read"):
        raise StudyError(f"warm_start: give a study, its file or database URL, or a list of these; got {show(source)}.")
    journal = open_journal(source, create=False)
    try:
        history = History.of(journal.read(0))
    finally:
        journal.close()
    if history.settings is None:
        raise StudyError(f"warm_start: {source} holds a study that was never declared.")
    return history, str(source)


def _mapped(params: Mapping[str, Any], space: Space) -> dict[str, Any] | None:
    """The configuration in `space`, in its form; None where one of its values is not in that space."""
    whole: dict[str, Any] = {}
    for name, parameter in space.parameters.items():
        if name in params:
            try:
                whole[name] = parameter.canonical(params[name])
            except SpaceError:
                return None
        else:
            whole[name] = parameter.default if parameter.has_default else parameter.decode(0.5)
    found = {name: whole[name] for name in space.active(whole)}
    return found if space.allows(found) else None
