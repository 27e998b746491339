"""The example of compression, in small: it tunes, compresses, draws, and its models open by themselves."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def benchmark():
    """The program that draws, the example, and its data, as one finds them beside the example."""
    sys.path.insert(0, str(ROOT / "examples"))
    spec = importlib.util.spec_from_file_location("compression", ROOT / "benchmarks" / "compression.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module, importlib.import_module("compress_digits"), importlib.import_module("mnist")
    sys.path.remove(str(ROOT / "examples"))
    for name in ("compress_digits", "mnist", "transformer"):
        sys.modules.pop(name, None)


def test_the_transformer_is_tuned_compressed_and_drawn(benchmark, tmp_path, monkeypatch, capsys):
    compression, example, mnist = benchmark
    images, labels = (part[:128] for part in mnist.data()["train"])
    small = {"train": (images, labels), "validation": (images, labels), "test": (images, labels)}
    for module in (example, mnist):
        monkeypatch.setattr(module, "data", lambda: small)
    kind = "vision transformer"
    found = example.main(
        tmp_path, {kind: example.MODELS[kind]}, {**example.TUNING, "max_steps": 1, "budget": "1 trials"},
        {**example.COMPRESSION, "shrink": {"parameters": 1.1}, "max_drop": 1.0, "budget": "3 trials"},
        workers="serial", progress=False, sampler="random",
    )  # fmt: skip
    made = found[kind]
    assert made.after.metrics["parameters"] * 1.1 <= made.before.metrics["parameters"]
    assert torch.export.load(made.path).module()(images[:3]).shape == (3, 10)
    assert f"| {made.before.metrics['bytes'] / 1e3:,.4g} |" in capsys.readouterr().out
    compression.draw(found, example.test_accuracy, tmp_path / "compression.svg")
    assert (tmp_path / "compression.svg").stat().st_size > 1000
