"""YAML and JSON files that people write: read with line numbers, written to be read.

YAML is read by the rules of version 1.2: `1e-5` is a number, and `yes`, `no`, `on` and `12:30` are
text. Whatever a file holds, reading it gives plain dicts, lists, text, numbers, booleans and None,
or one SpaceError that names the line.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from greyhound.errors import SpaceError

Lines: TypeAlias = dict[tuple[Any, ...], int]
"""Line numbers, from 1, by key path: ("lr", "low") or ("workers", 0); () is the whole."""

_LARGEST_TEXT = 1_000_000
_MOST_NODES = 100_000
_WORDS = {"null": None, "~": None, "": None, "true": True, "false": False}
_INTEGER = re.compile(r"[-+]?[0-9]+(_[0-9]+)*")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(_[0-9]+)*(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_PLAIN = re.compile(r"[A-Za-z_]([A-Za-z0-9_./ -]*[A-Za-z0-9_./-])?")
_YAML_1_1_WORDS = frozenset({"y", "n", "yes", "no", "on", "off"})
_TAGS = {
    "tag:yaml.org,2002:str": "scalar",
    "tag:yaml.org,2002:map": "mapping",
    "tag:yaml.org,2002:seq": "sequence",
}


def read_text(text_or_path: str | os.PathLike[str], kind: str) -> tuple[str, str]:
    """A text and how to call it in messages: what was given where that is a text, else the file's content.

    kind: "YAML" or "JSON". A str of several lines, or with a bracket or ": ", is a text.
    """
    if isinstance(text_or_path, str) and re.search(r"[\n{[]|:\s|:$|^\s*$", text_or_path):
        return text_or_path, kind
    if not isinstance(text_or_path, (str, os.PathLike)):
        raise SpaceError(f"{kind} is read from a text or a path; got {text_or_path!r:.80}.")
    source = os.fspath(text_or_path)
    try:
        return Path(source).read_text(encoding="utf-8-sig"), source
    except UnicodeDecodeError as error:
        raise SpaceError(f"{source}: is not text in UTF-8 (byte {error.start}).") from None
    except FileNotFoundError:
        raise SpaceError(f"{source}: there is no such file.") from None
    except (OSError, ValueError) as error:
        raise SpaceError(f"{source!r:.200}: cannot be read: {error}.") from None


def read_yaml(text: str, source: str) -> tuple[Any, Lines]:
    """The data of a YAML text and the line of each key path; SpaceError where it is damaged.

    source: how to call the text in messages, as its path. Keys that are there twice, tags, and
    aliases that contain themselves or fill the memory are refused.
    """
    import yaml

    if len(text) > _LARGEST_TEXT:
        raise SpaceError(f"{source}: holds over {_LARGEST_TEXT:,} characters; is it the right file?")
    try:
        loader = yaml.SafeLoader(text)
        loader.yaml_implicit_resolvers = {}  # plain scalars are read below, by YAML 1.2
        root = loader.get_single_node()
    except yaml.YAMLError as error:
        raise SpaceError(_syntax(error, text, source)) from None
    except Exception as error:  # PyYAML lets ValueError, OverflowError, RecursionError… through on damaged text
        raise SpaceError(f"{source}: is not valid YAML ({type(error).__name__}).") from None
    if root is None:
        return None, {(): 1}
    reader = _Reader(source)
    try:
        return reader.read(root, ()), reader.lines
    except RecursionError:
        raise SpaceError(f"{source}: is nested too deeply.") from None


def read_json(text: str, source: str) -> Any:
    """The data of a JSON text; SpaceError where it is damaged or a key is there twice."""
    if len(text) > _LARGEST_TEXT:
        raise SpaceError(f"{source}: holds over {_LARGEST_TEXT:,} characters; is it the right file?")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key, value in pairs:
            if key in data:
                raise SpaceError(f"{source}: {key!r} is there twice.")
            data[key] = value
        return data

    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise SpaceError(f"{source}, line {error.lineno}: is not valid JSON: {error.msg}.") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, SpaceError):
            raise
        raise SpaceError(f"{source}: is not valid JSON ({type(error).__name__}).") from None


def locator(lines: Mapping[tuple[Any, ...], int], source: str, base: tuple[Any, ...] = ()) -> Callable[..., str]:
    """A function from a key path below `base` to "space.yaml, line 4: ", of the nearest line known."""

    def where(path: tuple[Any, ...]) -> str:
        path = (*base, *path)
        while path and path not in lines:
            path = path[:-1]
        return f"{source}, line {lines[path]}: " if path in lines else f"{source}: "

    return where


def write_yaml(data: Mapping[str, Any]) -> str:
    """A mapping as YAML, one line a key, which readers of YAML 1.1 and 1.2 read alike."""
    lines = [f"{_scalar(key)}: {_flow(value)}\n" for key, value in data.items()]
    return "".join(lines) or "{}\n"


class _Reader:
    """Turns YAML nodes into data and notes the line of every key path."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.lines: Lines = {}
        self.count = 0
        self.open: set[int] = set()

    def read(self, node: Any, path: tuple[Any, ...]) -> Any:
        """The data of a yaml.Node."""
        self.lines.setdefault(path, _line(node))
        self.count += 1
        if self.count > _MOST_NODES:
            raise SpaceError(f"{self.source}: holds over {_MOST_NODES:,} values once its aliases are written out.")
        kind = _TAGS.get(node.tag)
        if kind is None or kind != node.id:
            raise SpaceError(f"{self._at(node)}the tag {node.tag!r} is not read; leave it out.")
        if kind == "scalar":
            return _resolve(node.value) if node.style is None else node.value
        if id(node) in self.open:
            raise SpaceError(f"{self._at(node)}an alias contains itself.")
        self.open.add(id(node))
        data = self._mapping(node, path) if kind == "mapping" else self._sequence(node, path)
        self.open.discard(id(node))
        return data

    def _mapping(self, node: Any, path: tuple[Any, ...]) -> dict[Any, Any]:
        data: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node.value, str):
                raise SpaceError(f"{self._at(key_node)}a key must be one word; got a list or mapping.")
            key = self.read(key_node, (*path, _KEY))
            if key == "<<" and key_node.style is None:
                raise SpaceError(f"{self._at(key_node)}merge keys (<<) are not read; write the keys out.")
            here = (*path, key)
            if key in data:
                raise SpaceError(
                    f"{self.source}, lines {self.lines[here]} and {_line(key_node)}: {key!r} is there twice."
                )
            self.lines[here] = _line(key_node)
            data[key] = self.read(value_node, here)
        self.lines.pop((*path, _KEY), None)
        return data

    def _sequence(self, node: Any, path: tuple[Any, ...]) -> list[Any]:
        return [self.read(item, (*path, at)) for at, item in enumerate(node.value)]

    def _at(self, node: Any) -> str:
        return f"{self.source}, line {_line(node)}: "


_KEY = object()
"""Stands in a path for the key itself while that is read."""


def _line(node: Any) -> int:
    return int(node.start_mark.line) + 1


def _resolve(text: str) -> Any:
    """What an unquoted scalar means, by the core schema of YAML 1.2 and underscores in numbers."""
    word = text.lower()
    if word in _WORDS and text in (word, word.capitalize(), word.upper()):
        return _WORDS[word]
    if len(text) > 400:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _SPECIAL.fullmatch(text):
        return float(text.replace(".", ""))
    return text


def _syntax(error: Exception, text: str, source: str) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    position = getattr(error, "position", None)
    if mark is not None:
        source = f"{source}, line {mark.line + 1}"
    elif isinstance(position, int):
        line = text.count("\n", 0, position) + 1
        source = f"{source}, line {line}"
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
    return f"{source}: is not valid YAML: {problem}."


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", False: "false", True: "true"}[value]
    if isinstance(value, float):
        mantissa, exponent, power = repr(value).partition("e")
        return mantissa + ("" if "." in mantissa or not exponent else ".0") + exponent + power
    if not isinstance(value, str):
        return str(value)
    if _PLAIN.fullmatch(value) and isinstance(_resolve(value), str) and value.lower() not in _YAML_1_1_WORDS:
        return value
    return '"' + "".join(map(_escaped, value)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else f"\\U{ord(character):08x}"
