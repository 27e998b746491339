"""How the trials of a study follow when its space is declared anew.

They count as trials of the new space, with the parameters that they come to have at their defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from greyhound.conditions import exists, topological
from greyhound.errors import SpaceError
from greyhound.evolution import gains, tightened, why_not
from greyhound.parameters import nowhere
from greyhound.space import Space


def migrate(old: Space, new: Space) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """A function from configurations of `old` to the same ones in `new`.

    Parameters that a configuration comes to have are at their default; all else stays. SpaceError where trials of `old`
    cannot count as trials of `new`. Allowed are wider bounds, more choices (of an Ordinal in the old order), another
    `log`, a step that leaves no earlier value out, other defaults and constraints (earlier trials that break one
    stay), looser conditions, and new parameters; those that earlier trials come to have need a default.
    """
    gained = _gained(old, new)

    def move(params: Mapping[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, comes in gained.items():
            if name in params:
                values[name] = params[name]
            elif comes and exists(new.conditions[name], values):
                values[name] = new[name].default
        return {name: values[name] for name in new if name in values}

    return move


def _gained(old: Space, new: Space) -> dict[str, bool]:
    """For each parameter of `new`, parents first, whether an earlier trial may come to have it."""
    for name in old:
        if name not in new:
            raise SpaceError(f"{name}: earlier trials have this parameter; keep it, or start a new study.")
        if (problem := why_not(old[name], new[name])) is not None:
            raise SpaceError(f"{name}: {problem}")
        if tightened(old[name].when or {}, new[name].when or {}):
            raise SpaceError(f"{name}: its condition may only be loosened; keep it, or start a new study.")
    gained: dict[str, bool] = {}
    for name in topological(new.conditions, nowhere):
        gained[name] = gains(name, old.parameters, new.parameters, gained)
        if gained[name] and not new[name].has_default:
            raise SpaceError(f"{name}: earlier trials are without it; give it a default, the value that they had.")
    return gained
