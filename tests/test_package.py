"""The package as a stranger meets it: light to import, its public names whole."""

import subprocess
import sys

import greyhound

HEAVY = [
    "numpy",
    "scipy",
    "torch",
    "sklearn",
    "ray",
    "plotly",
    "pandas",
    "sqlalchemy",
    "rich",
    "typer",
    "yaml",
    "cloudpickle",
]


def loaded_after(program):
    check = f"import sys\n{program}\nprint(sorted(set({HEAVY!r}) & set(sys.modules)))"
    return subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout.strip()


def test_import_loads_nothing_heavy():
    assert loaded_after("import greyhound") == "[]"


def test_spaces_load_nothing_heavy():
    program = (
        "import greyhound as gh\nspace = gh.Space(x=gh.Float(0, 1), k=gh.Categorical(['a']))\nspace.decode([0.5, 0.5])"
    )
    assert loaded_after(program) == "[]"


def test_workers_load_nothing_heavy_by_themselves():
    assert (
        loaded_after("import greyhound.executors.worker, greyhound.executors.serial, greyhound.evaluators.live") == "[]"
    )


def test_every_public_name_is_there():
    for name in greyhound.__all__:
        assert getattr(greyhound, name) is not None
    assert set(greyhound.__all__) <= set(dir(greyhound))


def test_a_name_that_is_not_there_is_an_attribute_error():
    import pytest

    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        greyhound.nothing  # noqa: B018


def test_a_submodule_does_not_hide_a_public_name():
    program = (
        "import greyhound.tuning, greyhound.study, greyhound.space, greyhound.trial\n"
        "import greyhound as gh\n"
        "assert callable(gh.tune)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_version_is_that_of_the_distribution():
    from importlib.metadata import version

    assert greyhound.__version__ == version("greyhound-tune")
