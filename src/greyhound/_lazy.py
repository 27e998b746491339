"""Optional dependencies, imported when used; one that is missing or too old is told in one sentence."""

from __future__ import annotations

import functools
import importlib
import re
import sys
from types import ModuleType

from greyhound.errors import MissingExtraError

_REQUIRED_AS = {"hydra": "hydra-core", "pytorch_lightning": "lightning", "sklearn": "scikit-learn"}
"""Packages that are required by another name than they are imported by."""
_BOUND = r"(?P<name>[\w.-]+)(\[.*?\])?>=(?P<version>[\d.]+);.*extra == ['\"](?P<extra>.*?)['\"]"


def require(module: str, extra: str) -> ModuleType:
    """Import `module`, or raise MissingExtraError naming the extra of greyhound-tune that brings it.

    MissingExtraError too where the package is older than that extra takes it.
    """
    package = module.partition(".")[0]
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        _check_age(package, extra)
        if error.name is None or not module.startswith(error.name.partition(".")[0]):
            raise  # it is installed, but broken inside: its own message says more
        raise MissingExtraError(
            f"this needs {package}, which is not installed: pip install 'greyhound-tune[{extra}]'."
        ) from error
    _check_age(package, extra)
    return found


def _check_age(package: str, extra: str) -> None:
    version = getattr(sys.modules.get(package), "__version__", None)
    needed = _oldest(_REQUIRED_AS.get(package, package.replace("_", "-")), extra)
    if needed is not None and isinstance(version, str) and _numbers(version) < _numbers(needed):
        raise MissingExtraError(
            f"this needs {package} {needed} or newer, and {version} is installed: "
            f"pip install --upgrade 'greyhound-tune[{extra}]'."
        )


@functools.cache
def _oldest(name: str, extra: str) -> str | None:
    """The oldest version of a package that an extra takes; None where nothing is known of it."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        bounds = [re.fullmatch(_BOUND, text) for text in requires("greyhound-tune") or ()]
    except PackageNotFoundError:  # it runs from a folder that was not installed
        return None
    found = (bound["version"] for bound in bounds if bound and (bound["name"], bound["extra"]) == (name, extra))
    return next(found, None)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:3])
