"""The example of compression, in small: it tunes, compresses, draws, and its models open by themselves."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)

PATH = Path(__file__).parents[2] / "examples" / "compress_digits.py"


@pytest.fixture(scope="module")
def example():
    sys.path.insert(0, str(PATH.parent))
    spec = importlib.util.spec_from_file_location("compress_digits", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["compress_digits"] = module
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(PATH.parent))
    for name in ("compress_digits", "digits"):
        sys.modules.pop(name, None)


def test_the_transformer_is_tuned_compressed_and_drawn(example, tmp_path, monkeypatch):
    images, labels = (part[:128] for part in example.data()["train"])
    small = {"train": (images, labels), "validation": (images, labels), "test": (images, labels)}
    monkeypatch.setattr(example, "data", lambda: small)
    monkeypatch.setattr(example, "EVALUATED_AT_ONCE", 128)
    kind = "vision transformer"
    options = {"trials": 1, "epochs": 1, "compressions": 3, "workers": "serial", "progress": False, "sampler": "random"}
    found = example.main(tmp_path, kinds=[kind], shrink={"parameters": 1.1}, max_drop=1.0, **options)[kind]
    assert found.after.metrics["parameters"] * 1.1 <= found.before.metrics["parameters"]
    assert torch.export.load(found.path).module()(images[:3]).shape == (3, 10)
    assert (tmp_path / "compression.svg").stat().st_size > 1000
