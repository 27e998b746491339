"""Each example runs, in a small setting."""

import subprocess
import sys
from pathlib import Path

import pytest

from greyhound.study import Study

EXAMPLES = Path(__file__).parents[2] / "examples"


SMALL = {"workers": "serial", "progress": False}


def test_lightning(example):
    study = example("digits_lightning").main("2 trials", max_steps=2, **SMALL)
    assert study.best.metrics["val_accuracy"] > 0.5


@pytest.mark.parametrize("name", ["cnn", "vision_transformer"])
def test_networks(example, name):
    study = example(name).main(2, max_steps=6, **SMALL)
    assert study.best.metrics["accuracy"] > 0.2


def test_ddp(example):
    study = example("ddp").main(1, max_steps=2, workers="serial", progress=False)
    assert study.best.metrics["accuracy"] > 0.5


def test_lora(example):
    best = example("lora_transformers").main(2, epochs=1, **SMALL)
    assert best.objective > 0.4


@pytest.mark.slow
def test_hydra(tmp_path):
    options = ["maximize=accuracy", "max_steps=3", "budget=2 trials", "workers=1", "progress=false"]
    command = [sys.executable, str(EXAMPLES / "hydra_app.py"), "-m", "hydra/sweeper=greyhound"]
    command += [*(f"hydra.sweeper.{each}" for each in options), "hydra.sweep.dir=sweep", "epochs=3"]
    subprocess.run([*command, "lr=tag(log, interval(1e-4, 1e-1))", "width=16,64"], cwd=tmp_path, check=True)
    assert Study.load(tmp_path / "sweep" / "greyhound.db").best.metrics["accuracy"] > 0.5
