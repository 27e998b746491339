"""Study files: what `greyhound run` takes as flags, as YAML.

    space:                       # or the name of a file that holds it
      lr: {type: float, low: 1e-5, high: 1e-1, log: true}
    command: python train.py --lr {lr}
    maximize: accuracy
    budget: 2h

What is wrong is told with its line. Paths are relative to the file.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from greyhound.budget import Budget, parse_seconds
from greyhound.errors import BudgetError, SpaceError, StudyError
from greyhound.space import Space
from greyhound.spacefile import locator, read_text, read_yaml

Check = Callable[[Any], bool]


def _texts(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(each, str) for each in value))


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


KEYS: Mapping[str, tuple[str, Check]] = {
    "space": ("a table of parameters, or the name of a file", lambda value: isinstance(value, str | dict)),
    "command": ("a command line", lambda value: _texts(value) and bool(value)),
    "function": ("package.module:function or file.py:function", lambda value: isinstance(value, str)),
    "tensorboard": ("a folder", lambda value: isinstance(value, str)),
    "line": ("a line that tells metrics, such as 'epoch {epoch}: loss {loss}', or a list of them", _texts),
    "maximize": ("a metric or a list of metrics", _texts),
    "minimize": ("a metric or a list of metrics", _texts),
    "subject_to": ("a limit such as 'latency_ms <= 5', or a list of them", _texts),
    "budget": ("an amount such as 2h or 100 trials", lambda value: isinstance(value, str) or _whole(value)),
    "audit": (
        "a share of the steps, such as 0.1",
        lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    ),
    "max_steps": ("a whole number", _whole),
    "executor": ("local or ray", lambda value: value in ("local", "ray")),
    "workers": ("a whole number, auto or serial", lambda value: _whole(value) or value in ("auto", "serial")),
    "gpus_per_trial": ("a number", lambda value: isinstance(value, int | float) and not isinstance(value, bool)),
    "cores_per_trial": ("a whole number", _whole),
    "trial_timeout": ("a duration such as 30m, or seconds", lambda value: isinstance(value, str) or _whole(value)),
    "sampler": ("a name, or a table with a name and options", lambda value: isinstance(value, str | dict)),
    "scheduler": ("a name, or a table with a name and options", lambda value: isinstance(value, str | dict)),
    "seed": ("a whole number", _whole),
    "warm_start": ("a study file or a list of them", _texts),
    "storage": ("a file name or a database URL", lambda value: isinstance(value, str)),
    "name": ("a name", lambda value: isinstance(value, str)),
    "folds": ("a whole number", _whole),
    "repeats": ("a whole number", _whole),
    "finals": ("true or false", lambda value: isinstance(value, bool)),
    "test": ("a metric", lambda value: isinstance(value, str)),
    "enqueue": (
        "a list of configurations",
        lambda value: isinstance(value, list) and all(isinstance(each, dict) for each in value),
    ),
}


def read_study_file(path: Path) -> dict[str, Any]:
    """The settings in a study file, the space as a Space, paths made relative to the current folder.

    Where it names no storage, that is the file of its own name beside it: my.study.db for my.study.yaml.
    StudyError or SpaceError in one sentence, with the line.
    """
    text, source = read_text(path, "YAML")
    data, lines = read_yaml(text, source)

    def line(*key: Any) -> str:
        return f"{source}, line {lines.get(key, lines.get((), 1))}"

    if not isinstance(data, dict):
        raise StudyError(f"{line()}: a study file is a table with keys such as space, command and maximize.")
    for key, value in data.items():
        if key not in KEYS:
            close = difflib.get_close_matches(str(key), KEYS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(KEYS)}."
            raise StudyError(f"{line(key)}: unknown key {key!r}; {hint}")
        wanted, check = KEYS[key]
        if not check(value):
            raise StudyError(f"{line(key)}: {key} must be {wanted}; got {value!r:.80}.")
    try:
        if "budget" in data:
            Budget.parse(str(data["budget"]).removeprefix("+") if isinstance(data["budget"], str) else data["budget"])
        parse_seconds(data.get("trial_timeout"), "trial_timeout")
    except BudgetError as error:
        key = "trial_timeout" if str(error).startswith("trial_timeout") else "budget"
        raise StudyError(f"{line(key)}: {error}") from error
    if ("command" in data) == ("function" in data):
        raise StudyError(f"{line()}: give either command (a script) or function (an import path).")
    if isinstance(command := data.get("command"), str):
        data["command"] = split_command(command, f"{line('command')}: command")
    storage = str(path.with_suffix(".db"))
    return {"storage": storage, **data, **_resolved(data, path.parent, locator(lines, source, ("space",)))}


def _resolved(data: Mapping[str, Any], folder: Path, where: Callable[..., str]) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    space = data.get("space")
    if isinstance(space, str):
        changed["space"] = Space.from_yaml(folder / space)
    elif space is not None:
        changed["space"] = Space.from_dict(space, where=where)
    if isinstance(storage := data.get("storage"), str) and "://" not in storage:
        changed["storage"] = str(folder / storage)
    if (sources := data.get("warm_start")) is not None:
        listed = [sources] if isinstance(sources, str) else sources
        changed["warm_start"] = [each if "://" in each else str(folder / each) for each in listed]
    if isinstance(function := data.get("function"), str) and function.partition(":")[0].endswith(".py"):
        changed["function"] = str(folder / function)
    if (command := data.get("command")) is not None:
        changed["command"] = [_beside(word, folder) for word in command]
    return changed


def split_command(text: str, where: str) -> list[str]:
    """The words of a command line, as a shell would split them; StudyError, which begins with `where`, if it cannot."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise StudyError(f"{where} cannot be split into words: {str(error).lower()} in {text!r}.") from None


def _beside(word: str, folder: Path) -> str:
    """A word that names a file beside the study file, as a path from here."""
    return str(folder / word) if word.endswith(".py") and (folder / word).is_file() else word


def read_space_file(path: Path) -> Space:
    """A space from a YAML or JSON file; SpaceError in one sentence."""
    if path.suffix == ".json":
        return Space.from_json(path)
    if not path.is_file():
        raise SpaceError(f"{path}: there is no such file.")
    return Space.from_yaml(path)
