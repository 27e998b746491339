"""A network tuned on all machines of a Ray cluster: python examples/ray_cluster.py /folder/that/all/machines/share.

Without a cluster Ray is started on this machine alone. Trials move between machines, and go on from their checkpoints.
"""

import sys
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn

import greyhound as gh

SPACE = gh.Space(
    lr=gh.Float(1e-4, 1e-1, log=True, default=1e-3),
    width=gh.Int(16, 256, log=True, default=64),
    dropout=gh.Float(0.0, 0.6, default=0.2),
)


def train(trial):
    torch.manual_seed(trial.seed)
    device, width = trial.device, trial.params["width"]
    images, labels = (torch.tensor(part, device=device) for part in load_digits(return_X_y=True))
    learn, validate = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0)).split([1200, 597])
    model = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Dropout(trial.params["dropout"]), nn.Linear(width, 10))
    optimizer = torch.optim.AdamW(model.to(device).parameters(), lr=trial.params["lr"])
    start = trial.checkpoint(model=model, optimizer=optimizer)
    images = images.float() / 16
    for epoch in range(start, trial.max_steps):
        model.train()
        for batch in learn[torch.randperm(len(learn))].split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            accuracy = (model(images[validate]).argmax(1) == labels[validate]).float().mean()
        trial.report(epoch + 1, accuracy=accuracy)


def main(folder=".", budget="+2m"):
    study = gh.tune(
        train, SPACE, maximize="accuracy", max_steps=9, budget=budget, executor="ray", storage=Path(folder) / "ray.db",
    )  # fmt: skip
    print(f"{study.best.metrics['accuracy']:.1%} with {study.best.params}")
    return study


if __name__ == "__main__":
    main(*sys.argv[1:])
