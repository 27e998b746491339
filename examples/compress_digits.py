"""Tune a convolutional network and a small vision transformer on digits, then make both small and fast.

Prints the fronts of test accuracy, bytes and latency, and writes the chosen models, which open with torch.export.load.
Takes a few minutes on two cores; run again, it only times what it has found. Needs the extras "demo" and "deploy".
"""

from functools import partial
from pathlib import Path

import torch
from torch import nn

import greyhound as gh
from greyhound.compressing import Subject, compress
from mnist import accuracy, data, train_epoch
from transformer import Attention, VisionTransformer

SPACE = gh.Space(
    lr=gh.Float(1e-4, 1e-2, log=True, default=1e-3),
    weight_decay=gh.Float(1e-5, 1e-1, log=True, default=1e-2),
    dropout=gh.Float(0.0, 0.5, default=0.1),
)
TUNING = {"maximize": "accuracy", "max_steps": 9, "budget": "8 trials"}
COMPRESSION = {"minimize": ["bytes", "latency"], "shrink": {"bytes": 4, "latency": 2}, "budget": "12 trials"}


def convolutional(dropout):
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Dropout(dropout), nn.Linear(64 * 49, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


test_accuracy = partial(accuracy, part="test")
MODELS = {"convolutional network": convolutional, "vision transformer": partial(VisionTransformer, 7)}


def train(kind, trial):
    torch.manual_seed(trial.seed)
    model = MODELS[kind](trial.params["dropout"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=trial.params["lr"], weight_decay=trial.params["weight_decay"])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, trial.max_steps)
    for epoch in range(trial.checkpoint(model=model, optimizer=optimizer, schedule=schedule), trial.max_steps):
        train_epoch(model, optimizer, 64)
        schedule.step()
        trial.report(epoch + 1, accuracy=accuracy(model))


def fine_tune(model, epochs=5):
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        train_epoch(model, optimizer, 64)
        schedule.step()


def subject(kind, params, checkpoint):
    """A tuned model, and all that compressing it needs."""
    model = MODELS[kind](params["dropout"])
    model.load_state_dict(torch.load(checkpoint, weights_only=True)["objects"]["model"])
    heads = {f"{name}.qkv": part.heads for name, part in model.named_modules() if isinstance(part, Attention)}
    return Subject(model.eval(), data()["train"][0][:4], accuracy, fine_tune, test_accuracy, heads=heads)


def main(folder=Path("demo"), kinds=MODELS, tuning=TUNING, compression=COMPRESSION, **options):
    folder.mkdir(exist_ok=True)
    found, options = {}, {"storage": folder / "compression.db", "workers": 2, **options}
    for kind in kinds:
        name = kind.split()[0]
        best = gh.tune(partial(train, kind), SPACE, name=f"tune {name}", **tuning, **options).best
        output = {"name": f"compress {name}", "output": folder / f"{name}.pt2"}
        found[kind] = made = compress(subject(kind, best.params, best.checkpoint), **compression, **output, **options)
        print(f"\n{kind}:", *made.lines(), "", "on test data:", *made.table(test_accuracy), sep="\n  ")
    return found


if __name__ == "__main__":
    main()
