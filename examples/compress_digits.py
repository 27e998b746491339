"""Tune a convolutional network and a small vision transformer on digits, then make both small and fast.

Prints the fronts of test accuracy, bytes and latency, draws them to demo/compression.svg, and writes the chosen models,
which open with torch.export.load. Takes a few minutes on two cores; run again, it only times and draws what it has
found. Needs the extras "demo" and "deploy".
"""

from functools import partial
from pathlib import Path

import torch
from torch import nn

import greyhound as gh
from digits import data
from greyhound.compressing import Subject, compress, saved

EPOCHS, FINE_TUNING_EPOCHS = 9, 5
EVALUATED_AT_ONCE = 250
FOLDER = Path("demo")
SHRINK = {"bytes": 4, "latency": 2}
SPACE = gh.Space(
    lr=gh.Float(1e-4, 1e-2, log=True, default=1e-3),
    weight_decay=gh.Float(1e-5, 1e-1, log=True, default=1e-2),
    dropout=gh.Float(0.0, 0.5, default=0.1),
)


def convolutional(dropout):
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Dropout(dropout), nn.Linear(64 * 49, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x):
        batch, length, _ = x.shape
        q, k, v = self.qkv(x).reshape(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).reshape(batch, length, -1))


class Block(nn.Module):
    def __init__(self, width, heads, dropout):
        super().__init__()
        self.attention = nn.Sequential(nn.LayerNorm(width), Attention(width, heads), nn.Dropout(dropout))
        self.mlp = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Linear(4 * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, x):
        x = x + self.attention(x)
        return x + self.mlp(x)


class Transformer(nn.Module):
    """Sixteen patches of 7 × 7 pixels."""

    def __init__(self, dropout, width=128, depth=4, heads=4):
        super().__init__()
        self.patches = nn.Conv2d(1, width, 7, stride=7)
        self.position = nn.Parameter(0.02 * torch.randn(1, 16, width))
        self.blocks = nn.Sequential(*(Block(width, heads, dropout) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)

    def forward(self, images):
        x = self.patches(images).flatten(2).transpose(1, 2) + self.position
        return self.head(self.norm(self.blocks(x)).mean(1))


MODELS = {"convolutional network": convolutional, "vision transformer": Transformer}


def epoch(model, optimizer, batch_size=64):
    images, labels = data()["train"]
    model.train()
    for batch in torch.randperm(len(labels)).split(batch_size):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
        optimizer.step()


def accuracy(model, part="validation"):
    images, labels = data()[part]
    model.eval()
    with torch.no_grad():
        parts = zip(images.split(EVALUATED_AT_ONCE), labels.split(EVALUATED_AT_ONCE), strict=True)
        right = [model(some).argmax(1) == each for some, each in parts]
    return torch.cat(right).float().mean().item()


def train(kind, trial):
    torch.manual_seed(trial.seed)
    model = MODELS[kind](trial.params["dropout"])
    options = {"lr": trial.params["lr"], "weight_decay": trial.params["weight_decay"]}
    optimizer = torch.optim.AdamW(model.parameters(), **options)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, trial.max_steps)
    for step in range(trial.checkpoint(model=model, optimizer=optimizer, schedule=schedule), trial.max_steps):
        epoch(model, optimizer)
        schedule.step()
        trial.report(step + 1, accuracy=accuracy(model))


def fine_tune(model, epochs=FINE_TUNING_EPOCHS):
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        epoch(model, optimizer)
        schedule.step()


def tuned(kind, trials, epochs, **options):
    """The best of a small study, with its weights."""
    study = gh.tune(
        partial(train, kind), SPACE, maximize="accuracy", max_steps=epochs, budget=f"{trials} trials", **options
    )
    model = MODELS[kind](study.best.params["dropout"])
    model.load_state_dict(torch.load(study.best.checkpoint, weights_only=True)["objects"]["model"])
    return model.eval()


def subject(model):
    heads = {name: module.heads for name, module in model.named_modules() if isinstance(module, Attention)}
    return Subject(
        model=model,
        example_inputs=data()["train"][0][:4],
        accuracy=accuracy,
        fine_tune=fine_tune,
        test=partial(accuracy, part="test"),
        heads={f"{name}.qkv": count for name, count in heads.items()},
    )


def shown(found):
    """The front, the model as it was and the chosen one, the smallest first."""
    trials = {trial.number: trial for trial in (*found.front, found.before, found.after) if trial is not None}
    return sorted(trials.values(), key=lambda trial: trial.metrics["bytes"])


def points(found):
    """Kilobytes, milliseconds and test accuracy in percent of each that is shown."""
    for trial in shown(found):
        right = 100 * accuracy(saved(found.study, trial), "test")
        yield trial.metrics["bytes"] / 1e3, found.latency_ms(trial), right


def table(found):
    lines = ["| kilobytes | latency, ms | test accuracy, % | how |", "| --- | --- | --- | --- |"]
    for trial, (size, latency, right) in zip(shown(found), points(found), strict=True):
        how = ", ".join(f"{k} {v:.2f}" if isinstance(v, float) else f"{k} {v}" for k, v in trial.params.items())
        how += ", as tuned" * (trial == found.before) + ", chosen" * (trial == found.after)
        lines.append(f"| {size:,.0f} | {latency:.3f} | {right:.1f} | {how} |")
    return lines


def draw(found, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(found), figsize=(5.2 * len(found), 3.8), squeeze=False)
    for axis, (kind, each) in zip(axes[0], found.items(), strict=True):
        size, latency, right = zip(*points(each), strict=True)
        dots = axis.scatter(size, right, c=latency, cmap="viridis_r", s=50, zorder=3)
        axis.plot(size, right, color="#9aa5b1", linewidth=1)
        figure.colorbar(dots, ax=axis, label="latency, ms")
        for trial, label in ((each.before, "tuned"), (each.after, "chosen")):
            if trial is not None:
                at = shown(each).index(trial)
                axis.annotate(label, (size[at], right[at]), textcoords="offset points", xytext=(4, -14))
        axis.set(title=kind, xlabel="kilobytes on disk", ylabel="test accuracy, %", xscale="log")
        axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path)


def main(
    folder=FOLDER,
    trials=8,
    epochs=EPOCHS,
    compressions=12,
    workers=2,
    kinds=tuple(MODELS),
    shrink=SHRINK,
    max_drop="1%",
    **options,
):
    folder.mkdir(exist_ok=True)
    found = {}
    for kind in kinds:
        name = kind.split()[0]
        options |= {"storage": folder / "compression.db", "workers": workers}
        model = tuned(kind, trials, epochs, name=f"tune {name}", **options)
        found[kind] = each = compress(
            subject(model), max_drop=max_drop, minimize=["bytes", "latency"], shrink=shrink,
            budget=f"{compressions} trials",
            output=folder / f"{name}.pt2", name=f"compress {name}", **options,
        )  # fmt: skip
        print(f"\n{kind}:", *each.lines(), "", *table(each), sep="\n  ")
    draw(found, folder / "compression.svg")
    return found


if __name__ == "__main__":
    main()
