import sys
from types import ModuleType

import pytest

from greyhound._lazy import require
from greyhound.errors import MissingExtraError


def installed(monkeypatch, name, version):
    module = ModuleType(name)
    if version is not None:
        module.__version__ = version
    monkeypatch.setitem(sys.modules, name, module)
    return module


@pytest.mark.parametrize(
    ("module", "extra", "version", "told"),
    [
        ("cmaes", "cmaes", "0.11.1", "cmaes 0.12 or newer, and 0.11.1 is installed"),
        ("torch_pruning", "deploy", "1.5.9", "torch_pruning 1.6 or newer, and 1.5.9 is installed"),
        ("pytorch_lightning", "lightning", "2.5.2", "pytorch_lightning 2.5.3 or newer, and 2.5.2 is installed"),
        ("sklearn", "sklearn", "1.5.2", "sklearn 1.6 or newer, and 1.5.2 is installed"),
        ("psycopg", "postgresql", "3.1.3", "psycopg 3.1.4 or newer, and 3.1.3 is installed"),
    ],
)
def test_what_is_too_old_is_told_with_what_to_install(module, extra, version, told, monkeypatch):
    installed(monkeypatch, module, version)
    with pytest.raises(MissingExtraError) as refused:
        require(module, extra)
    assert str(refused.value) == f"this needs {told}: pip install --upgrade 'greyhound-tune[{extra}]'."


def test_a_module_that_only_newer_versions_have_is_told_so(monkeypatch):
    installed(monkeypatch, "lightning", "1.9.5")
    with pytest.raises(MissingExtraError, match=r"needs lightning 2\.5\.3 or newer, and 1\.9\.5 is installed"):
        require("lightning.pytorch", "lightning")


@pytest.mark.parametrize("version", ["0.12", "0.12.0", "0.13.1+cpu", "1", "0.100.0.dev1", None, 12])
def test_what_is_new_enough_or_does_not_tell_its_age_is_taken(version, monkeypatch):
    module = installed(monkeypatch, "cmaes", version)
    assert require("cmaes", "cmaes") is module


def test_extras_have_bounds_of_their_own(monkeypatch):
    module = installed(monkeypatch, "sklearn", "1.3.0")
    assert require("sklearn", "boosting") is module
