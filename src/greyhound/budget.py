"""How much a study may spend: time, trials, training steps, device time; whichever ends first.

Every amount is a total of the study, however often it is continued.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from greyhound.errors import BudgetError, SpaceError
from greyhound.values import as_number, as_whole, counted, show

_SECONDS = {"s": 1.0, "sec": 1.0, "second": 1.0, "m": 60.0, "min": 60.0, "minute": 60.0,
            "h": 3600.0, "hour": 3600.0, "d": 86400.0, "day": 86400.0}  # fmt: skip
_STEPS = ("step", "epoch", "iteration")
_DEVICE = re.compile(r"(?:gpu|device)[- ]?(.+)")
_AMOUNT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z][a-z \-]*?)\s*(?=[0-9,+]|$)[,+]?", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_LARGEST = sys.float_info.max
_EXAMPLES = "write for example '2h', '90 min', '100 trials', '500 epochs', '8 gpu-hours' or '2h, 100 trials'"


@dataclass(frozen=True, slots=True)
class Budget:
    """What a study may spend in total; None is no limit.

    seconds: wall-clock time while the study runs. trials: configurations started. steps: training
    steps over all trials. device_seconds: time that trials trained, times the devices of each.
    """

    seconds: float | None = None
    trials: int | None = None
    steps: int | None = None
    device_seconds: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            if (amount := getattr(self, field.name)) is not None:
                object.__setattr__(self, field.name, _amount(field.name, amount))

    @classmethod
    def parse(cls, text: str | int | Mapping[str, Any] | Budget | None) -> Budget:
        """Read "2h", "1h 30min", "100 trials, 2h", a number of trials, a table of fields, or a Budget."""
        if text is None:
            return cls()
        if isinstance(text, Budget):
            return text
        if isinstance(text, bool):
            raise BudgetError(f"budget: cannot read {text!r}; {_EXAMPLES}.")
        if isinstance(text, int):
            return cls(trials=text)
        if isinstance(text, Mapping):
            try:
                return cls(**text)
            except TypeError as error:
                names = ", ".join(field.name for field in fields(cls))
                raise BudgetError(f"budget: {error}; a table has {names}.") from error
        if not isinstance(text, str):
            raise BudgetError(f"budget: cannot read {text!r}; {_EXAMPLES}.")
        return cls(**_read(text))

    @property
    def unlimited(self) -> bool:
        """Whether nothing is limited."""
        return self == Budget()

    def to_json(self) -> dict[str, Any]:
        """The limits that are set, by name."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}

    def __str__(self) -> str:
        parts = []
        if self.seconds is not None:
            parts.append(duration(self.seconds))
        if self.trials is not None:
            parts.append(counted(self.trials, "trial"))
        if self.steps is not None:
            parts.append(counted(self.steps, "step"))
        if self.device_seconds is not None:
            parts.append(f"{duration(self.device_seconds)} of device time")
        return ", ".join(parts) or "no limit"


def parse_seconds(value: str | float | None, what: str) -> float | None:
    """A duration: "30m", "1h 30min" or a number of seconds; anything else raises BudgetError naming `what`."""
    if value is None:
        return None
    seconds: Any = None
    if isinstance(value, str):
        with contextlib.suppress(BudgetError):
            amounts = {"seconds": float(value)} if _NUMBER.fullmatch(value) else _read(value)
            seconds = amounts["seconds"] if set(amounts) == {"seconds"} else None
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value
    if seconds is None or not 0 < seconds <= _LARGEST:
        raise BudgetError(f"{what}: cannot read {show(value)} as a duration; write for example '90s', '30m' or '2h'.")
    return float(seconds)


def duration(seconds: float) -> str:
    """Seconds as people write them: "45 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def _amount(name: str, given: Any) -> float:
    """One field of a budget in plain Python, whole where it counts; BudgetError where it is no number above 0."""
    whole = name in ("trials", "steps")
    try:
        amount = as_whole(given, name) if whole else as_number(given, name)
    except SpaceError:
        amount = 0
    if not 0 < amount <= _LARGEST:
        kind = "a whole number" if whole else "a number"
        raise BudgetError(f"budget: {name} must be {kind} above 0; got {show(given)}; {_EXAMPLES}.")
    return amount


def _read(text: str) -> dict[str, Any]:
    amounts: dict[str, Any] = {}
    at = 0
    while at < len(text):
        found = _AMOUNT.match(text, at)
        if found is None or not found[2]:
            raise BudgetError(f"budget: cannot read {show(text)}; {_EXAMPLES}.")
        name, amount = _unit(found[2].lower(), float(found[1]), text)
        amounts[name] = amounts.get(name, 0) + amount
        at = found.end()
    if not amounts:
        raise BudgetError(f"budget: cannot read {show(text)}; {_EXAMPLES}.")
    return amounts


def _unit(word: str, amount: float, text: str) -> tuple[str, Any]:
    device = _DEVICE.fullmatch(word)
    unit = (device[1] if device else word).strip()
    singular = unit if unit in _SECONDS or len(unit) == 2 else unit.removesuffix("s")  # "ms" are no minutes
    if singular in _SECONDS:
        return ("device_seconds" if device else "seconds"), amount * _SECONDS[singular]
    if device is None and amount.is_integer():
        if singular == "trial":
            return "trials", int(amount)
        if singular in _STEPS:
            return "steps", int(amount)
    raise BudgetError(f"budget: unknown amount '{amount:g} {word}' in {show(text)}; {_EXAMPLES}.")
