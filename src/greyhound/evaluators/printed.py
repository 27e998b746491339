"""Metrics in the lines that a script prints: in lines of JSON, and in lines for people, such as

    Test set: Average loss: 0.0412, Accuracy: 9874/10000 (99%)

A pattern is such a line, or a part of one, with names in braces where the numbers stand: "Accuracy: {correct}/". The
names "step" and "epoch" stand for how far the training is, on the same line or on one before.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence

from greyhound.errors import EvaluationError, StudyError
from greyhound.values import LARGEST_WHOLE

STEP_NAMES = ("step", "epoch")
_NUMBER = r"\s*([-+]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|(?:nan|inf(?:inity)?)\b))"
_PART = re.compile(r"(?P<brace>\{\{|\}\})|\{(?P<name>[^{}]*)\}|(?P<space>\s+)|(?P<other>.)")


class Pattern:
    """One line to look for. names: of its numbers, in their order.

    text: {name} is a number, {} anything, {{ and }} are braces, white space is any white space, all else stands for
    itself. EvaluationError where it names no number, or one twice.
    """

    def __init__(self, text: str) -> None:
        self.names = [found["name"] for found in _PART.finditer(text) if found["name"]]
        if not self.names:
            raise EvaluationError(
                f"line {text!r} names no metric; write a name in braces where its number stands, as in "
                f"'Accuracy: {{accuracy}}'."
            )
        if len(set(self.names)) < len(self.names):
            raise EvaluationError(f"line {text!r} names a metric twice; write {{}} for what does not matter.")
        self._expression = re.compile("".join(map(_expression, _PART.finditer(text))), re.IGNORECASE)

    def find(self, line: str) -> dict[str, float]:
        """The numbers by name where the line fits; else none."""
        found = self._expression.search(line)
        return {} if found is None else dict(zip(self.names, map(float, found.groups()), strict=True))


class Printed:
    """What one run of a script prints, by its patterns.

    Metrics are of the step that was named last. Where none is ever named, steps are counted from 1 by the metric that
    is found most often.
    """

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._patterns = patterns
        self._step: int | None = None
        self._times: Counter[str] = Counter()

    def hear(self, line: str) -> tuple[int, dict[str, float]] | None:
        """Step and metrics in a line; None where no pattern fits, or it tells a step alone.

        StudyError where a step is no whole number.
        """
        found = {name: value for pattern in self._patterns for name, value in pattern.find(line).items()}
        for name in STEP_NAMES:
            if name in found:
                self._step = _whole(name, found.pop(name))
        if not found:
            return None
        self._times.update(found.keys())
        return max(self._times.values()) if self._step is None else self._step, found


def metrics_in_json(line: str, step_names: Sequence[str]) -> tuple[int | None, dict[str, float]] | None:
    """Step and metrics in a line of JSON; None where it is not one. A line without a step is final.

    A line whose step is no whole number of at least 0 says nothing either.
    """
    text = line.strip()
    if not (text.startswith("{") and text.endswith("}")):
        return None
    try:
        found = json.loads(text, parse_int=float)  # so that an int of any length is a number, if an infinite one
    except (ValueError, RecursionError):
        return None
    numbers = {name: value for name, value in found.items() if isinstance(value, float)}
    metrics = {name: value for name, value in numbers.items() if name not in step_names}
    if not any(name in found for name in step_names):
        return (None, metrics) if metrics else None
    given = [numbers[name] for name in step_names if name in numbers]
    steps = [int(step) for step in given if step.is_integer() and 0 <= step <= LARGEST_WHOLE]
    return (steps[0], metrics) if steps else None


def _expression(part: re.Match[str]) -> str:
    if part["name"] is not None:
        return _NUMBER if part["name"] else r".*?"
    return r"\s+" if part["space"] else re.escape(part[0][0])


def _whole(name: str, value: float) -> int:
    if not value.is_integer() or value < 0:
        raise StudyError(
            f"a step must be a whole number of at least 0; the script printed {name} {value:g}. Write {{}} instead of "
            f"{{{name}}}, and steps are counted."
        )
    return int(value)
