"""What the commands share: the arguments that name a study, and what they stand for."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from greyhound.cli.studyfile import read_study_file
from greyhound.errors import StudyError
from greyhound.events import Event
from greyhound.history import History
from greyhound.storage import Journal, open_journal
from greyhound.values import show

_MOST_DIGITS = 6

StudyArgument = Annotated[str, typer.Argument(metavar="STUDY", help="Study file, database URL, or study.yaml.")]
NameOption = Annotated[str | None, typer.Option(help="The study within its file, where there are several.")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON, for programs.")]


def locate(study: str, name: str | None) -> tuple[str, str | None]:
    """Storage and name of what the user calls a study."""
    if not study.endswith((".yaml", ".yml")):
        return study, name
    settings = read_study_file(Path(study))
    return settings["storage"], name or settings.get("name")


def default_stem(target: str) -> str:
    """What the study file of a script or a function is named after: "train" for train.py and package.train:main."""
    file, _, function = target.partition(":")
    return Path(file).stem if file.endswith(".py") or not function else file.rpartition(".")[2]


def read_history(study: str, name: str | None) -> History:
    """The fold of the study's journal; see `read_journal`."""
    return read_journal(study, name)[1]


def read_journal(study: str, name: str | None) -> tuple[Journal, History]:
    """The study's journal and its fold. StudyError where nothing was declared in it yet."""
    storage, name = locate(study, name)
    journal = open_journal(storage, name, create=False)
    history = History.of(journal.read(0))
    _check_declared(study, history)
    return journal, history


class Watched:
    """A study that is looked at again and again. study, name: as a command is given them."""

    def __init__(self, study: str, name: str | None) -> None:
        self._study = study
        self._name = name
        self._history = History()
        self._last: list[Event] = []  # the one that was folded last

    def read(self) -> History:
        """The fold, with what came since the last look; made anew where the study was begun anew.

        Raises as `read_journal` does.
        """
        storage, name = locate(self._study, self._name)
        with contextlib.closing(open_journal(storage, name, create=False)) as journal:
            found = journal.read(self._history.length - len(self._last))
            if found[:1] != self._last and self._last:
                self._history, self._last, found = History(), [], journal.read(0)
        for event in found[len(self._last) :]:
            self._history.apply(event)
        self._last = found[-1:]
        _check_declared(self._study, self._history)
        return self._history


def _check_declared(study: str, history: History) -> None:
    if history.settings is None:
        raise StudyError(f"{study}: the study was created but never declared; run it again from its program.")


def worker_count(text: str | None) -> int | str | None:
    """What --workers says, checked."""
    if text is None or text in ("auto", "serial"):
        return text
    if not (text.isdecimal() and len(text) <= _MOST_DIGITS and int(text) >= 1):
        raise StudyError(
            f"--workers must be a whole number of at least 1 and at most {_MOST_DIGITS} digits, auto or serial; "
            f"got {show(text)}."
        )
    return int(text)
