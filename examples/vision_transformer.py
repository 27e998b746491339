"""Tune a small vision transformer on scikit-learn's 8x8 digits: depth, width, heads, warm-up."""

import torch
from sklearn.datasets import load_digits
from torch import nn

import greyhound as gh
from transformer import VisionTransformer

SPACE = gh.Space(
    lr=gh.Float(1e-4, 1e-2, log=True, default=1e-3),
    warmup=gh.Float(0.0, 0.3, default=0.1),
    weight_decay=gh.Float(1e-4, 0.3, log=True, default=0.05),
    dropout=gh.Float(0.0, 0.4, default=0.1),
    width=gh.Ordinal([16, 32, 64], default=32),
    heads=gh.Ordinal([1, 2, 4, 8], default=4),
    layers=gh.Int(1, 4, default=2),
)


def train(trial):
    torch.manual_seed(trial.seed)
    images, labels = load_digits(return_X_y=True)
    images = torch.tensor(images / 16, dtype=torch.float32, device=trial.device).reshape(-1, 1, 8, 8)
    labels = torch.tensor(labels, device=trial.device)
    train_part, val_part = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0)).split([1200, 597])
    shape = {name: trial.params[name] for name in ("dropout", "width", "heads", "layers")}
    model = VisionTransformer(patch=2, **shape).to(trial.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=trial.params["lr"], weight_decay=trial.params["weight_decay"])
    steps = trial.max_steps * 19  # batches of an epoch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, trial.params["lr"], total_steps=steps, pct_start=max(trial.params["warmup"], 1.5 / steps)
    )
    start = trial.checkpoint(model=model, optimizer=optimizer, schedule=schedule)
    for epoch in range(start, trial.max_steps):
        model.train()
        for batch in train_part[torch.randperm(1200)].split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
            schedule.step()
        model.eval()
        with torch.no_grad():
            right = (model(images[val_part]).argmax(1) == labels[val_part]).float().mean()
        trial.report(epoch + 1, accuracy=right)


def main(budget="+3m", max_steps=27, **options):
    options = {"storage": "vision_transformer.db", **options}
    return gh.tune(train, SPACE, maximize="accuracy", max_steps=max_steps, budget=budget, **options)


if __name__ == "__main__":
    main()
