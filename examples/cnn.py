"""Tune a small convolutional network on scikit-learn's 8x8 digits: pauses and goes on by one line."""

import torch
from sklearn.datasets import load_digits
from torch import nn

import greyhound as gh

SPACE = gh.Space(
    lr=gh.Float(1e-4, 1e-1, log=True, default=1e-3),
    batch_size=gh.Ordinal([16, 32, 64, 128], default=64),
    channels=gh.Int(4, 32, log=True, default=8),
    dropout=gh.Float(0.0, 0.6, default=0.2),
    optimizer=gh.Categorical(["sgd", "adamw"], default="adamw"),
    momentum=gh.Float(0.0, 0.99, default=0.9, when={"optimizer": "sgd"}),
)


def data():
    images, labels = load_digits(return_X_y=True)
    images = torch.tensor(images / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    labels = torch.tensor(labels)
    return [(images[part], labels[part]) for part in (order[:1200], order[1200:])]


def build(params):
    width = params["channels"]
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(params["dropout"]), nn.Linear(8 * width, 10),
    )  # fmt: skip


def train(trial):
    torch.manual_seed(trial.seed)
    params, device = trial.params, trial.device
    (images, labels), (test_images, test_labels) = [(images.to(device), labels.to(device)) for images, labels in data()]
    model = build(params).to(device)
    if params["optimizer"] == "sgd":
        optimizer = torch.optim.SGD(model.parameters(), lr=params["lr"], momentum=params["momentum"])
    else:
        optimizer = torch.optim.AdamW(model.parameters(), lr=params["lr"])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, trial.max_steps)
    start = trial.checkpoint(model=model, optimizer=optimizer, schedule=schedule)
    for epoch in range(start, trial.max_steps):
        model.train()
        for batch in torch.randperm(len(labels)).split(params["batch_size"]):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
        schedule.step()
        model.eval()
        with torch.no_grad():
            right = (model(test_images).argmax(1) == test_labels).float().mean()
        trial.report(epoch + 1, accuracy=right)


def main(budget="+1m", max_steps=27, **options):
    options = {"storage": "cnn.db", **options}
    study = gh.tune(train, SPACE, maximize="accuracy", max_steps=max_steps, budget=budget, **options)
    print(f"{study.best.metrics['accuracy']:.1%} with {study.best.params}")
    return study


if __name__ == "__main__":
    main()
