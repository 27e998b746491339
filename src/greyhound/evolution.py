"""How a parameter may change while a study goes on, and the union of two that share a name.

A study may be declared anew with a larger space: its earlier trials then count as trials of the new
space, with the new parameters at their defaults. What would leave an earlier trial without a place
in the new space is refused.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from greyhound.errors import SpaceError
from greyhound.kinds import Bool, Categorical, Float, Int, Ordinal
from greyhound.parameters import UNSET, Parameter
from greyhound.values import exact, show


def why_not(old: Parameter, new: Parameter) -> str | None:
    """Why a parameter may not change from `old` to `new`, as a message without its name; None if it may.

    Their conditions (`when`) are `gains`' affair.
    """
    if old.kind != new.kind:
        return f"was {old.kind} and cannot become {new.kind}; give the new one a new name, or start a new study."
    if isinstance(old, (Float, Int)) and isinstance(new, (Float, Int)):
        if new.low > old.low:
            return f"low was {old.low!r} and may only fall; got low={new.low!r}. Keep it, or start a new study."
        if new.high < old.high:
            return f"high was {old.high!r} and may only grow; got high={new.high!r}. Keep it, or start a new study."
        if not _steps_kept(old, new):
            return (
                f"earlier trials have values that step={new.step!r} from low={new.low!r} leaves out; "
                f"it was {old!r}. Leave the step out, or start a new study."
            )
        return None
    lost = [choice for choice in _choices(old) if not new.contains(choice)]
    if lost:
        return f"choice {show(lost[0])} was there and may not go; keep it, or start a new study."
    if isinstance(old, Ordinal):
        kept = [exact(choice) for choice in _choices(new) if old.contains(choice)]
        if kept != [exact(choice) for choice in old.choices]:
            return f"the order of {show(list(old.choices))} may not change; keep it, or start a new study."
    return None


def tightened(old: Mapping[str, Sequence[Any]], new: Mapping[str, Sequence[Any]]) -> bool:
    """Whether a condition allows anything less than it did."""
    return any(
        parent not in old or not {exact(v) for v in old[parent]} <= {exact(v) for v in values}
        for parent, values in new.items()
    )


def gains(name: str, old: Mapping[str, Parameter], new: Mapping[str, Parameter], gained: Mapping[str, bool]) -> bool:
    """Whether an earlier trial may come to have parameter `name` that it did not have.

    gained: the same of all parameters that `name` depends on.
    """
    conditions = new[name].when or {}

    def possible(parent: str, value: Any) -> bool:
        kept = parent in old and old[parent].contains(value)
        default = new[parent].default
        return kept or (
            gained[parent] and default is not UNSET and exact(default) == exact(new[parent].canonical(value))
        )

    if not all(any(possible(parent, value) for value in values) for parent, values in conditions.items()):
        return False
    if name not in old:
        return True
    earlier = old[name].when or {}
    if any(parent not in conditions for parent in earlier):
        return True
    added = (
        (parent, value)
        for parent, values in conditions.items()
        for value in values
        if gained[parent] or exact(value) not in {exact(v) for v in earlier[parent]}
    )
    return any(possible(parent, value) for parent, value in added)


def widen(old: Parameter, new: Parameter) -> Parameter:
    """The smallest parameter that has all values of both; SpaceError where they are of different kinds.

    For trainings that name their parameters as they run. The default is the first that was given,
    log=True stays where both have it, and differing conditions are dropped.
    """
    if old.kind != new.kind:
        raise SpaceError(f"a parameter that was {old.kind} ({old!r}) cannot become {new.kind} ({new!r}).")
    if old == new:
        return old
    default = old.default if old.has_default else new.default
    when = old.when if old.when == new.when else None
    if isinstance(old, Float) and isinstance(new, Float):
        log = old.log and new.log
        low, high = min(old.low, new.low), max(old.high, new.high)
        whole = Float(low, high, log=log, default=default, when=when)
        if old.step is None or old.step != new.step:
            return whole
        stepped = Float(low, high, step=old.step, when=when)
        kept = _steps_kept(old, stepped) and _steps_kept(new, stepped)
        return Float(low, high, step=old.step, default=default, when=when) if kept else whole
    if isinstance(old, Int) and isinstance(new, Int):
        low, high = min(old.low, new.low), max(old.high, new.high)
        log = old.log and new.log
        step = math.gcd(*(i.step for i in (old, new) if i.size > 1), old.low - new.low) or 1
        return Int(low, high, log=log, step=1 if log else step, default=default, when=when)
    choices = [*_choices(old), *(choice for choice in _choices(new) if not old.contains(choice))]
    if isinstance(old, Bool):
        return Bool(default=default, when=when)
    if isinstance(old, Ordinal):
        ordered = _all_rising(_choices(old)) and _all_rising(_choices(new))
        return Ordinal(sorted(choices) if ordered else choices, default=default, when=when)
    return Categorical(choices, default=default, when=when)


def _steps_kept(old: Float | Int, new: Float | Int) -> bool:
    """Whether every value of `old` is one of `new`, whose range is known to hold them."""
    if new.step is None or (isinstance(new, Int) and new.step == 1):
        return True
    if old.size is None:
        return False
    return all(new.contains(old._at(index)) for index in {0, min(1, old.size - 1), old.size - 1})


def _choices(parameter: Parameter) -> Sequence[Any]:
    assert isinstance(parameter, (Categorical, Ordinal, Bool))  # noqa: S101 - our own logic
    return parameter.choices


def _all_rising(values: Sequence[Any]) -> bool:
    numbers = all(isinstance(value, (int, float)) for value in values)
    return numbers and all(low < high for low, high in itertools.pairwise(values))
