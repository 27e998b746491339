"""Tuning a function: by value, or found by its import path."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import importlib
import importlib.util
import inspect
import operator
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from greyhound.errors import EvaluationError
from greyhound.evaluators.live import LiveTrial
from greyhound.evaluators.outcomes import completed, raised
from greyhound.evaluators.reporting import training
from greyhound.jobs import Channel, Job, Outcome
from greyhound.parameters import Parameter
from greyhound.trial import TrialState

_resolving: ContextVar[bool] = ContextVar("resolving", default=False)


@dataclass(frozen=True)
class Function:
    """Trains by calling `train(trial)`; see LiveTrial for what the trial offers.

    The function returns its metrics (a dict, a number, or a number for each objective), or nothing, in
    which case its last reports count. target: the import path at which it was found, if it was.
    """

    train: Callable[[LiveTrial], Any]
    target: str | None = None
    evaluates_jobs: ClassVar[bool] = True

    def __reduce__(self) -> tuple[Any, ...]:
        """A function found by its path is found again where it is unpickled; another travels by value."""
        return (from_target, (self.target,)) if self.target is not None else (Function, (self.train,))

    def __call__(self, job: Job, channel: Channel) -> Outcome:
        """Train one job. KeyboardInterrupt is let through."""
        trial = LiveTrial(job, channel)
        begin = time.monotonic()
        try:
            with training(trial):
                outcome = completed(trial, self.train(trial))
                if outcome.state is TrialState.COMPLETED:
                    trial.conclude(outcome.metrics)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            outcome = raised(trial, error)
        return replace(outcome, seconds=time.monotonic() - begin)


def from_target(target: str) -> Function:
    """The function at an import path; see resolve."""
    return Function(resolve(target), target)


def resolve(target: str) -> Callable[[LiveTrial], Any]:
    """The function at "package.module:function" or "folder/file.py:function".

    A file that begins to tune where it is imported, as a program without a `__main__` guard does, is read up to there.
    EvaluationError in one sentence where there is no such function, or it takes no trial.
    """
    place, found, name = target.rpartition(":")
    if not found or not place or not name:
        raise EvaluationError(f"{target!r}: write 'package.module:function' or 'file.py:function'.")
    with _reading_definitions():
        module = load_file(Path(place)) if place.endswith(".py") else _load_module(place)
    function = module
    for part in name.split("."):
        if not hasattr(function, part):
            names = [key for key, value in vars(module).items() if inspect.isfunction(value)]
            close = difflib.get_close_matches(name, names, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else f" It has {', '.join(names) or 'no functions'}."
            raise EvaluationError(f"{place} has no function {name!r}.{hint}")
        function = getattr(function, part)
    if not callable(function):
        raise EvaluationError(f"{target} is a {type(function).__name__}, not a function.")
    check_takes_trial(function, target)
    return function


def tunes_here() -> None:
    """Called where a study is about to be run: leaves a module that is only imported for its training function."""
    if _resolving.get():
        raise _TunesHere


def import_path(train: Callable[[Any], Any]) -> str | None:
    """An import path under which another process finds the function; None where there is none.

    None is for lambdas, functions inside of functions, methods of an object, and what was typed into a notebook.
    """
    module, name = getattr(train, "__module__", None) or "", getattr(train, "__qualname__", "")
    try:
        found = operator.attrgetter(name)(sys.modules[module])
    except (AttributeError, KeyError):
        return None
    if found != train:  # its name leads elsewhere: to the function that a method or a wrapper is made of
        return None
    if module != "__main__":
        return f"{module}:{name}" if importlib.util.find_spec(module.partition(".")[0]) is not None else None
    file = getattr(sys.modules["__main__"], "__file__", None)
    return f"{os.path.relpath(file)}:{name}" if file and file.endswith(".py") else None


def check_takes_trial(function: Callable[..., Any], what: str) -> None:
    """EvaluationError, which begins with `what`, where the function takes not one argument or has ranges for others."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some that are written in C have none
        return
    try:
        signature.bind(None)
    except TypeError:
        raise EvaluationError(f"{what} must take one argument, the trial; it is written {signature}.") from None
    for name, argument in signature.parameters.items():
        if isinstance(argument.default, Parameter):
            raise EvaluationError(
                f"{what} is called with the trial alone: write {name}={argument.default} in the space, gh.Space(…), "
                f"instead of in its arguments, and read trial.params[{name!r}]."
            )


class _TunesHere(BaseException):
    """Leaves a module at the line where it begins to tune."""


@contextlib.contextmanager
def _reading_definitions() -> Iterator[None]:
    token = _resolving.set(True)
    try:
        yield
    finally:
        _resolving.reset(token)


def _load_module(name: str) -> ModuleType:
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise EvaluationError(f"there is no module {name!r} in this folder or among the installed ones.") from error
        raise EvaluationError(f"{name} cannot be imported: {error}.") from error
    except _TunesHere:
        raise EvaluationError(
            f"{name} begins to tune where it is imported; put that under `if __name__ == '__main__':`."
        ) from None
    except (Exception, SystemExit) as error:
        raise EvaluationError(f"{name} cannot be imported: {type(error).__name__}: {error}") from error


def load_file(path: Path) -> ModuleType:
    """The module in a Python file; EvaluationError in one sentence where it cannot be imported."""
    path = path.resolve()
    if not path.is_file():
        raise EvaluationError(f"{path}: there is no such file.")
    name = path.stem
    if not name.isidentifier() or (name in sys.modules and not _is_of(sys.modules[name], path)):
        name = f"greyhound_target_{hashlib.blake2b(os.fsencode(path), digest_size=8).hexdigest()}"
    if name in sys.modules:
        return sys.modules[name]
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise EvaluationError(f"{path} cannot be imported.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except _TunesHere:
        pass  # what it tunes is defined by now
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise EvaluationError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def _is_of(module: ModuleType, path: Path) -> bool:
    return getattr(module, "__file__", None) == str(path)
