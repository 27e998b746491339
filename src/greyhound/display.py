"""What a running study shows: a live table on a terminal or in a notebook, plain lines, or nothing."""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import shlex
import shutil
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from greyhound import streams
from greyhound.analysis import ranking, summary
from greyhound.analysis.notebook import study_html
from greyhound.budget import duration
from greyhound.errors import StudyError
from greyhound.executors import Executor, WorkerInfo
from greyhound.markup import paragraph, table
from greyhound.spending import time_left
from greyhound.trial import TrialState
from greyhound.values import counted, cut, listed

if TYPE_CHECKING:
    from rich.console import RenderableType

    from greyhound.history import History
    from greyhound.study import Study

_REFRESH_S = 0.25
_LINE_EVERY_S = 30.0
_LONGEST_LINE = 400
"""Letters that are told of an error."""

AGAIN: ContextVar[Sequence[str]] = ContextVar("AGAIN", default=())
"""What a program has to be given besides its own arguments to find its study again."""


class Display(Protocol):
    """Shows how a study goes; it is a context for as long as the study runs."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(self, *_: object) -> None:
        """Stop showing."""

    def update(self, history: History, executor: Executor) -> None:
        """Called often; draws when it is time."""

    def warn(self, text: str) -> None:
        """Tell the user something."""

    def failed(self, number: int, state: TrialState, error: str) -> None:
        """A trial failed."""

    def finish(self, study: Study, interrupted: bool) -> None:
        """The study ended or was interrupted."""


def make_display(progress: bool | str) -> Display:
    """progress: False for nothing, True or "live" for a table, "lines" for lines, "auto" by the terminal."""
    if progress in ("auto", True, "live") and in_notebook():
        return Notebook()
    if progress == "auto":
        progress = "live" if _draws() else "lines"
    if progress is False:
        return Quiet()
    if progress in (True, "live"):
        return Live()
    if progress == "lines":
        return Lines()
    raise StudyError(f"progress must be True, False, 'auto', 'live' or 'lines'; got {progress!r}.")


class Quiet:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, history: History, executor: Executor) -> None:
        """Nothing."""

    def warn(self, text: str) -> None:
        """Nothing."""

    def failed(self, number: int, state: TrialState, error: str) -> None:
        """Nothing."""

    def finish(self, study: Study, interrupted: bool) -> None:
        """Nothing."""


class Lines(Quiet):
    """A line for each new best value, each failure's kind, and one every half minute."""

    def __init__(self) -> None:
        self._best: float | None = None
        self._last = time.monotonic()
        self._told: set[str] = set()

    def update(self, history: History, executor: Executor) -> None:
        """Print what is new."""
        best = ranking.best(history) if len(history.objectives) == 1 else None
        if best is not None:
            reached = best.metrics[history.objectives[0].metric]
            if reached != self._best:
                self._best = reached
                _print(f"best so far: trial {best.number}, {summary.score(history, best)}")
        if time.monotonic() - self._last >= _LINE_EVERY_S:
            self._last = time.monotonic()
            left = time_left(history, time.time()) or "no time limit"
            _print(f"{summary.counted_trials(history)}; {left}")

    def warn(self, text: str) -> None:
        """Print it."""
        _print(text)

    def failed(self, number: int, state: TrialState, error: str) -> None:
        """Print the first failure of each kind; the study counts them all."""
        last = cut(error.strip().splitlines()[-1], _LONGEST_LINE)
        if last not in self._told:
            self._told.add(last)
            _print(f"trial {number} {state.value}: {last}")

    def finish(self, study: Study, interrupted: bool) -> None:
        """Print the summary and how to go on."""
        for line in summary.lines(study.history):
            _print(line)
        if study.storage is not None:
            _print(f"study file: {study.storage}")
        if (command := how_to_continue(study)) is None:
            return
        if len(study.history) and study.history.failed.all():
            known = _named(str(study.storage), study)
            _print(f"what failed: {_greyhound()} trials {known} 0")
            _print(f"once that is mended: {_greyhound()} retry {known}, then run the program again")
        else:
            _print(f"continue: {command}")


class Live(Lines):
    """A table that is redrawn in place: counts, best so far, workers, time left."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console
        from rich.live import Live as RichLive

        self._console = Console()
        self._live = RichLive(console=self._console, auto_refresh=False, transient=True)
        self._drawn = 0.0

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        with _to_who_reads():
            self._live.stop()

    def update(self, history: History, executor: Executor) -> None:
        """Draw, a few times a second at most."""
        if time.monotonic() - self._drawn >= _REFRESH_S:
            with _to_who_reads():
                self._live.update(picture(history, executor.workers, time.time()), refresh=True)
            self._drawn = time.monotonic()

    def warn(self, text: str) -> None:
        """Print it above the table."""
        with _to_who_reads():
            self._console.print(text, markup=False, emoji=False, highlight=False)

    def failed(self, number: int, state: TrialState, error: str) -> None:
        """Print the first failure of each kind above the table."""
        last = cut(error.strip().splitlines()[-1], _LONGEST_LINE)
        if last not in self._told:
            self._told.add(last)
            self.warn(f"trial {number} {state.value}: {last}")


class Notebook(Lines):
    """A table in the cell's output, redrawn in place: plain HTML, no widget."""

    def __init__(self) -> None:
        super().__init__()
        self._handle: Any = None
        self._drawn = 0.0
        self._notes: list[str] = []

    def update(self, history: History, executor: Executor) -> None:
        """Draw, a few times a second at most."""
        if time.monotonic() - self._drawn < _REFRESH_S:
            return
        left = time_left(history, time.time())
        rows = [(name, device, *_progress(history, number)) for name, device, number in executor.workers]
        workers = table(("worker", "device", "trial", "step", "value", "configuration"), rows)
        self._draw(paragraph(left) + workers + study_html(history, "study"))

    def warn(self, text: str) -> None:
        """Keep it below the table."""
        self._notes.append(text)

    def failed(self, number: int, state: TrialState, error: str) -> None:
        """Keep the first failure of each kind below the table."""
        last = cut(error.strip().splitlines()[-1], _LONGEST_LINE)
        if last not in self._told:
            self._told.add(last)
            self.warn(f"trial {number} {state.value}: {last}")

    def finish(self, study: Study, interrupted: bool) -> None:
        """The summary, and how to go on."""
        self._notes += summary.lines(study.history)
        if study.storage is not None:
            self._notes.append(f"study file: {study.storage}; run this cell again to go on with it.")
        self._draw(study_html(study.history, study.name))

    def _draw(self, html: str) -> None:
        from IPython import display

        whole = display.HTML(html + "".join(paragraph(note) for note in self._notes))
        if self._handle is None:
            self._handle = display.display(whole, display_id=True)
        else:
            self._handle.update(whole)
        self._drawn = time.monotonic()


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    if "ipykernel" not in sys.modules:
        return False
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None


def picture(history: History, workers: Sequence[WorkerInfo], now: float) -> RenderableType:
    """The table: state of the study above, a row a worker below. now: seconds since 1970."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    head = Table.grid(padding=(0, 2))
    head.add_column(style="bold")
    head.add_column()
    head.add_row("trials", f"{len(history)}: {summary.counts(history)}")
    if len(history.objectives) == 1 and (best := ranking.best(history)) is not None:
        head.add_row("best so far", Text(f"{summary.score(history, best)} (trial {best.number})", style="green"))
        head.add_row("", Text(listed(best.params), overflow="fold"))
    elif len(history.objectives) > 1:
        head.add_row("front", counted(len(ranking.front(history)), "trial"))
    head.add_row("time", time_left(history, now) or f"{duration(history.elapsed_seconds(now))} so far")
    rows = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=True)
    cells = [(name, device, *_progress(history, number)) for name, device, number in workers]
    for at, column in enumerate(("worker", "device", "trial", "step", "value")):
        rows.add_column(column, no_wrap=True, width=max(len(text) for text in (column, *(row[at] for row in cells))))
    rows.add_column(
        "configuration", no_wrap=True, overflow="ellipsis", ratio=1
    )  # this one gives way where it is narrow
    for row in cells:
        rows.add_row(*map(Text, row))  # as they are: rich takes "[relu]" for a style and ":key:" for a picture
    return Group(head, rows)


def how_to_continue(study: Study) -> str | None:
    """The command that goes on with a study; None for one in memory."""
    if study.storage is None:
        return None
    more = ' --add "1h"' if study.finished else ""
    if study.settings.resumable:
        return f"{_greyhound()} resume {_named(study.storage, study)}{more}"
    return (
        f"run the program again{' with a larger budget' if more else ''}: {shlex.join([*sys.orig_argv, *AGAIN.get()])}"
    )


def _named(storage: str, study: Study) -> str:
    """How a command is told which study: its file, and its name where there are several in it."""
    return shlex.quote(storage) + ("" if study.only_one else f" --name {shlex.quote(study.name)}")


def _greyhound() -> str:
    """What to type for our command: in an environment that is not activated, the interpreter's way."""
    if shutil.which("greyhound"):
        return "greyhound"
    python = Path(sys.executable)
    here = python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python
    return f"{shlex.quote(str(here))} -m greyhound"


def _progress(history: History, number: int | None) -> tuple[str, str, str, str]:
    if number is None or number >= len(history):
        return ("-", "", "", "")
    trial = history.trial(number)
    step = f"{trial.step}/{trial.until or history.max_steps or '?'}"
    metric = history.objectives[0].metric
    value = summary.value(trial.metrics[metric]) if metric in trial.metrics else ""
    return (str(number), step, value, listed(trial.params))


def _draws() -> bool:
    """Whether standard output is a terminal on which a table can be redrawn."""
    terminal = sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    return terminal and codecs.lookup(_encoding()).name == "utf-8"


def _encoding() -> str:
    """Of standard output, which a program may have put something of its own in the place of."""
    return getattr(sys.stdout, "encoding", None) or "utf-8"


def _print(text: str) -> None:
    """Print a line, and what the output's encoding lacks as Python escapes it."""
    with _to_who_reads():
        print(text.encode(_encoding(), "backslashreplace").decode(_encoding()), flush=True)


@contextlib.contextmanager
def _to_who_reads() -> Iterator[None]:
    """Write to standard output; to nowhere from when nobody reads it any more, so that the study goes on.

    So it is where the reader of a pipe, such as head, has seen enough, where a terminal was closed, and, told by a
    warning, where the disk of a file is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.EIO, *streams.NO_ROOM):
            raise
        streams.silence()
        if error.errno in streams.NO_ROOM:
            warnings.warn(f"nothing more is printed: {error.strerror}; the study goes on.", stacklevel=3)
