"""Each example runs, in a small setting."""

import importlib.util
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(tmp_path, monkeypatch):
    """Loads an example by name, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def load(name):
        spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


SMALL = {"workers": "serial", "progress": False}


def test_lightning(example):
    study = example("digits_lightning").main("2 trials", max_steps=2, **SMALL)
    assert study.best.metrics["val_accuracy"] > 0.5


@pytest.mark.parametrize("name", ["cnn", "vision_transformer"])
def test_networks(example, name):
    study = example(name).main(2, max_steps=2, **SMALL)
    assert study.best.metrics["accuracy"] > 0.15


def test_ddp(example):
    study = example("ddp").main(1, max_steps=2, workers="serial", progress=False)
    assert study.best.metrics["accuracy"] > 0.5


def test_lora(example):
    best = example("lora_transformers").main(2, epochs=1, **SMALL)
    assert best.objective > 0.4


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_examples_are_short(path):
    longest = 120 if path.stem == "digits" else 80
    assert len(path.read_text().splitlines()) < longest
