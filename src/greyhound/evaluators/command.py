"""The words of a command: placeholders that are filled in, and parameters that are appended as flags."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from greyhound.errors import EvaluationError

OWN_PLACEHOLDERS = ("params_json", "seed", "directory", "max_steps", "trial", "fold", "folds", "repeat")
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
_SWITCH = re.compile(r"\{(--?([^-{}][^{}]*))\}")


def placeholders(word: str) -> Iterator[str]:
    """The names in braces in a word; {{ and }} are braces themselves, {--name} names the parameter of a flag."""
    if (switch := _SWITCH.fullmatch(word)) is not None:
        return iter((switch[2],))
    return (found[1] for found in _PLACEHOLDER.finditer(word) if found[1] is not None)


def filled(words: Sequence[str], values: Mapping[str, str]) -> Iterator[str]:
    """The words with placeholders filled in, those of missing parameters left out with their flag.

    EvaluationError where a flag without a value has a parameter that is neither true nor false.
    """

    def fill(found: re.Match[str]) -> str:
        return values[found[1]] if found[1] is not None else found[0][0]

    held: str | None = None  # a flag, until it is known whether its value is there
    for word in words:
        switch = _SWITCH.fullmatch(word)
        names = [] if switch is not None else list(placeholders(word))
        if any(name not in values for name in names):
            held = None if held is not None and not list(placeholders(held)) else held
            continue
        if held is not None:
            yield _PLACEHOLDER.sub(fill, held)
            held = None
        if switch is not None:
            yield from _switched(switch[1], switch[2], values)
        elif word.startswith("-") and not names and "=" not in word:
            held = word
        else:
            yield _PLACEHOLDER.sub(fill, word)
    if held is not None:
        yield _PLACEHOLDER.sub(fill, held)


def _switched(flag: str, name: str, values: Mapping[str, str]) -> Iterator[str]:
    """The flag where its parameter is true; nothing where that is false or missing."""
    value = values.get(name, "false")
    if value not in ("true", "false"):
        raise EvaluationError(
            f"command: {{{flag}}} is a flag for a parameter that is true or false; {name} is {value!r}."
        )
    if value == "true":
        yield flag


def flag(name: str, value: Any) -> tuple[str, ...]:
    """The words that give a parameter: argparse takes a text that begins with "-" for a flag if it stands alone."""
    text = written(value)
    return (f"--{name}={text}",) if isinstance(value, str) and text.startswith("-") else (f"--{name}", text)


def written(value: Any) -> str:
    """A parameter's value as a word that argparse takes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list | dict):
        return json.dumps(value)
    text = "" if value is None else str(value)
    if isinstance(value, float) and text.startswith("-") and "e" in text:
        return format(Decimal(text), "f")  # argparse takes -1e-05 for a flag
    return text


def braced(names: Sequence[str]) -> str:
    """Names as they are written in a command."""
    return ", ".join(f"{{{name}}}" for name in names)
