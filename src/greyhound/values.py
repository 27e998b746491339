"""What a value of a parameter may be, how values are told apart, and the words for a wrong one."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence, Set
from difflib import get_close_matches
from typing import Any, TypeGuard

from greyhound.errors import SpaceError

LARGEST_WHOLE = 2**53
"""Above it a float, as JSON has them, leaves out whole numbers."""
_SCALARS = (str, int, float, bool, type(None))


def exact(value: Any) -> Any:
    """A hashable stand-in for a value under which 1, 1.0 and True differ."""
    if type(value) is tuple:
        return (tuple, tuple(exact(item) for item in value))
    return (type(value), value)


def as_scalar(value: Any) -> Any:
    """Scalars of numpy and its like as plain Python."""
    if type(value) in _SCALARS:
        return value
    return value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else value


def as_number(value: Any, what: str) -> float:
    """A finite float; SpaceError, in which `what` names the value, where it is none."""
    number = as_scalar(value)
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise SpaceError(f"{what} must be a number; got {show(value)}.")
    try:
        number = float(number)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise SpaceError(f"{what} must be a finite number; got {show(value)}.")
    return number + 0.0  # -0.0 is 0.0


def as_whole(value: Any, what: str) -> int:
    """An int, also of a float without a fraction; SpaceError where it is none."""
    number = as_scalar(value)
    if isinstance(number, float) and number.is_integer():
        return int(number)
    if not is_int(number):
        raise SpaceError(f"{what} must be a whole number; got {show(value)}.")
    return int(number)


def is_int(value: object) -> TypeGuard[int]:
    """Whether the value is an int and no bool."""
    return isinstance(value, int) and not isinstance(value, bool)


def as_flag(value: Any, what: str) -> bool:
    """True or False; SpaceError where it is neither."""
    flag = as_scalar(value)
    if not isinstance(flag, bool):
        raise SpaceError(f"{what} must be True or False; got {show(value)}.")
    return flag


def as_choice(value: Any) -> Any:
    """A choice in its plain form: numpy scalars as Python's, lists as tuples."""
    value = as_scalar(value)
    if isinstance(value, (list, tuple)):
        return tuple(as_choice(item) for item in value)
    if type(value) not in _SCALARS:
        kind = type(value).__name__
        raise SpaceError(
            "a choice must be text, a number, True, False, None or a tuple of these; "
            f"got {show(value)} ({kind}): give names, and look the objects up in the training."
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise SpaceError(f"a choice must be a finite number; got {value!r}.")
    return value


def as_conditions(when: Any) -> dict[str, tuple[Any, ...]] | None:
    """`when` in its plain form: a tuple of distinct values for each name."""
    if when is None:
        return None
    if not isinstance(when, Mapping) or not when:
        raise SpaceError(f"when must name other parameters, as in {{'optimizer': 'sgd'}}; got {show(when)}.")
    conditions = {}
    for name, given in when.items():
        if not isinstance(name, str):
            raise SpaceError(f"when must name other parameters, as in {{'optimizer': 'sgd'}}; got {show(when)}.")
        given = as_scalar(given)
        several = isinstance(given, (list, tuple, range, Set)) or hasattr(given, "shape")  # arrays, tensors, series
        values = sorted(given, key=repr) if isinstance(given, Set) else given if several else (given,)
        plain = {exact(value): value for value in map(as_choice, values)}
        if not plain:
            raise SpaceError(f"when must give at least one value of {name!r}; got an empty list.")
        conditions[name] = tuple(plain.values())
    return conditions


# Words


def did_you_mean(wrong: object, known: Iterable[object], otherwise: str = "") -> str:
    """The end of a message: it names the known word nearest to a wrong one, or says `otherwise` where none is near."""
    words = [word for word in known if isinstance(word, str)]
    near = get_close_matches(wrong, words, n=1) if isinstance(wrong, str) else []
    return f"; did you mean {near[0]!r}?" if near else f"{otherwise}."


def listed(values: Mapping[str, Any]) -> str:
    """Values by name on one line: "lr=0.01, kind=adam"."""
    return ", ".join(f"{name}={short(value)}" for name, value in values.items())


def short(value: Any) -> str:
    """A value in a few letters, a float with six digits."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def cut(text: str, most: int) -> str:
    """The text in so many letters at most."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def show(value: object) -> str:
    """The value as Python writes it, cut to 80 characters."""
    try:
        text = repr(value)
    except ValueError:  # an int of thousands of digits
        text = f"a huge {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."


def show_all(values: Sequence[Any]) -> str:
    """The first ten values, and how many more there are."""
    shown = ", ".join(show(value) for value in values[:10])
    return shown if len(values) <= 10 else f"{shown} and {len(values) - 10} more"


def counted(count: int, what: str) -> str:
    """So many things: "1 trial", "3 trials"."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def either(words: Iterable[str]) -> str:
    """The words as 'a, b or c'."""
    *most, last = words
    return f"{', '.join(most)} or {last}"


def as_plain(value: Any) -> Any:
    """What JSON makes of a value, numpy's scalars as plain ones; TypeError or ValueError where it cannot hold it."""
    return json.loads(json.dumps(value, default=_without_type))


def _without_type(value: Any) -> Any:
    plain = as_scalar(value)
    if plain is value:
        raise TypeError(f"{show(value)} is a {type(value).__name__}")
    return plain


def as_json(value: Any) -> Any:
    """Tuples as lists, at every depth."""
    return [as_json(item) for item in value] if isinstance(value, (list, tuple)) else value
