"""Plug-ins by name: a table of import paths, open to other packages through entry points.

A plug-in is a class whose keyword arguments are its options. It is asked for by name ("asha"), by
a table with its options ({"name": "asha", "eta": 4}) or as an instance, which is used as it is.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from importlib.metadata import entry_points
from typing import Any

from greyhound.errors import StudyError


class Registry:
    """The plug-ins of one seam. seam: what they are ("sampler"). table: "module:Class" by name.

    combined: the class that makes one plug-in of several: "a+b" stands for it with parts=("a", "b").
    chosen: a name that stands for one of them, which is chosen by the settings of a study.
    """

    def __init__(
        self, seam: str, table: Mapping[str, str], combined: str | None = None, chosen: str | None = None
    ) -> None:
        self.seam = seam
        self._table = dict(table)
        self._combined = combined
        self._chosen = chosen

    def names(self) -> list[str]:
        """The names of all plug-ins, those of other packages included."""
        return sorted({*self._table, *(point.name for point in self._points())})

    def load(self, name: str) -> Any:
        """The class registered as `name`; StudyError where there is none."""
        if name in self._table:
            return _import(self._table[name])
        for point in self._points():
            if point.name == name:
                return point.load()
        known = sorted({*self.names(), *([self._chosen] if self._chosen else [])})
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise StudyError(f"there is no {self.seam} {name!r}; there are {', '.join(known)}.{hint}")

    def make(self, wanted: Any) -> Any:
        """An instance from a name, a table of name and options, or an instance; StudyError for anything else."""
        if isinstance(wanted, str):
            wanted = {"name": wanted}
        if self._combined is not None and isinstance(wanted, Mapping) and "+" in str(wanted.get("name")):
            parts = tuple(part.strip() for part in str(wanted["name"]).split("+"))
            return _import(self._combined)(**{**{k: v for k, v in wanted.items() if k != "name"}, "parts": parts})
        if not isinstance(wanted, Mapping):
            if isinstance(wanted, type) or not hasattr(wanted, "traits"):
                example = f"such as {self.names()[0]!r}, a table such as {{'name': {self.names()[0]!r}}}"
                raise StudyError(f"{self.seam}: write a name {example}, or an instance of one; got {wanted!r}.")
            return wanted
        options = dict(wanted)
        name = options.pop("name", None)
        if not isinstance(name, str):
            raise StudyError(f"{self.seam}: the table needs a name, such as {{'name': {self.names()[0]!r}}}.")
        cls = self.load(name)
        try:
            return cls(**options)
        except TypeError as error:
            known = ", ".join(field.name for field in fields(cls)) if is_dataclass(cls) else "see its documentation"
            raise StudyError(f"{self.seam} {name!r}: {error}; its options are: {known or 'none'}.") from error

    def describe(self, wanted: Any) -> Any:
        """The JSON-safe form of what `make` takes, to be kept in a journal.

        An instance of a registered dataclass becomes its name and options; any other instance
        becomes its class's name only, and has to be given again when the study is continued.
        """
        if isinstance(wanted, str):
            return wanted
        if isinstance(wanted, Mapping):
            return dict(wanted)
        path = f"{type(wanted).__module__}:{type(wanted).__qualname__}"
        for name, target in self._table.items():
            if target == path and is_dataclass(wanted):
                options = {f.name: getattr(wanted, f.name) for f in fields(wanted) if f.init}
                return {"name": name, **options}
        return {"class": path}

    def _points(self) -> Any:
        return entry_points(group=f"greyhound.{self.seam}s")


def named(described: Any) -> str:
    """The name, or the class, in what `describe` gave."""
    if isinstance(described, Mapping):
        return str(described.get("name") or described.get("class"))
    return str(described)


def _import(path: str) -> Any:
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)
