"""The learning rate of a wide network, forecast from narrow ones, on scikit-learn's digits.

    python benchmarks/scaling.py                       five seeds, two processes, three to six minutes
    python benchmarks/scaling.py --seeds 1 --trials 8  a quick look

For each seed (of the data's split, the initial weights and the searches) a study each finds the best learning rate
of an MLP with two hidden layers at widths 16, 32, 64 and 128: Adam, batches of 64, ten epochs, by the loss on a third
of the data held out for that. From these rates the one at width 512 is forecast. It is compared with what a search
twice as long finds at 512 itself, and with taking over the rate of the widest or of the narrowest of the tuned. Every
rate so chosen then trains fresh networks of width 512 with other initial weights, which are judged on a third of the
data that no search has seen.

Printed are the rate (geometric mean over seeds), by what factor it misses the one that the full search found
(geometric mean of the larger over the smaller), loss and accuracy on the unseen third, mean ± standard error over
seeds, the loss less that of the full search, seed by seed, and the trainings spent on finding the rate.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import greyhound as gh
from greyhound import scaling

WIDTHS = (16, 32, 64, 128)
TARGET = 512
SPACE = gh.Space(lr=gh.Float(1e-4, 1.0, log=True))
FULL = "full search at 512"


@dataclass(frozen=True)
class Row:
    """One way to a learning rate, for one seed: the rate, loss and accuracy on unseen data, trainings spent."""

    way: str
    rate: float
    loss: float
    accuracy: float
    trainings: int


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=16, help="trials of each small study; the full search has twice")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--fresh", type=int, default=5, help="networks by which each chosen rate is judged")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    begin = time.monotonic()
    tasks = [(seed, options.trials, options.epochs, options.fresh) for seed in range(options.seeds)]
    with ProcessPoolExecutor(options.workers) as pool:
        found = list(pool.map(one_seed, tasks))
    for number, (optima, _) in enumerate(found):
        rates = ", ".join(f"{width}: {rate:.4g}" for width, rate in zip(WIDTHS, optima, strict=True))
        print(f"seed {number}, best rates by width: {rates}")
    print()
    print_table([rows for _, rows in found])
    print(f"\n{options.seeds} seeds, {time.monotonic() - begin:.0f} s")


def one_seed(task: tuple[int, int, int, int]) -> tuple[list[float], list[Row]]:
    """The best rates by width, and a row for each way to a rate at the target width."""
    import torch

    seed, trials, epochs, fresh = task
    torch.set_num_threads(1)
    data = split(seed)
    histories = {float(width): search(data, width, seed, trials, epochs) for width in WIDTHS}
    found = scaling.forecast(histories, SPACE, TARGET, "lr", "width")
    full = scaling.best_value(search(data, TARGET, seed, 2 * trials, epochs), "lr", TARGET)
    small = len(WIDTHS) * trials
    ways = {
        FULL: (full.value, 2 * trials),
        "forecast, as chosen": (found.mean, small),
        **{f"forecast, {family}": (mean, small) for family, mean in families(found).items()},
        f"that of width {WIDTHS[-1]}": (found.optima[-1].value, trials),
        f"that of width {WIDTHS[0]}": (found.optima[0].value, trials),
    }
    rows = []
    for way, (rate, spent) in ways.items():
        judged = [train(data, TARGET, rate, 1000 + at, epochs, unseen=True) for at in range(fresh)]
        losses, accuracies = zip(*judged, strict=True)
        rows.append(Row(way, rate, statistics.fmean(losses), statistics.fmean(accuracies), spent))
    return [each.value for each in found.optima], rows


def families(found: scaling.Forecast) -> dict[str, float]:
    """What the power law and the better grey model say, whichever was chosen."""
    return {("power law" if name == "power law" else "grey"): mean for name, mean, *_ in found.candidates}


def search(data: Any, width: int, seed: int, trials: int, epochs: int) -> gh.History:
    """A study of the learning rate at one width."""
    study = gh.Study(
        scaling.sized(SPACE, "width", width),
        minimize="loss",
        sampler="sobol",
        budget=f"{trials} trials",
        seed=1000 * seed + width,
    )
    while (trial := study.ask()) is not None:
        loss, _ = train(data, width, trial.params["lr"], trial.seed, epochs)
        study.tell(trial, loss)
    return study.history


def split(seed: int) -> Any:
    """Thirds for training, choosing and judging, as tensors."""
    import torch
    from sklearn.datasets import load_digits

    digits = load_digits()
    inputs = torch.tensor(digits.data / 16.0, dtype=torch.float32)
    labels = torch.tensor(digits.target)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return [(inputs[part], labels[part]) for part in order.chunk(3)]


def train(data: Any, width: int, rate: float, seed: int, epochs: int, unseen: bool = False) -> tuple[float, float]:
    """Loss and accuracy of one network after its last epoch, at most 10 where it diverged."""
    import torch
    from torch import nn

    torch.manual_seed(seed % 2**31)
    (inputs, labels), choosing, judging = data
    model = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(epochs):
        for rows in torch.randperm(len(labels)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs[rows]), labels[rows]).backward()
            optimizer.step()
    with torch.no_grad():
        held_inputs, held_labels = judging if unseen else choosing
        told = model(held_inputs)
        loss = float(nn.functional.cross_entropy(told, held_labels))
        accuracy = float((told.argmax(1) == held_labels).float().mean())
    return (min(loss, 10.0) if math.isfinite(loss) else 10.0), accuracy


def print_table(seeds: Sequence[Sequence[Row]]) -> None:
    """A row a way, over the seeds that have it, and who wins."""
    by_way: dict[str, list[tuple[Row, Row]]] = {}
    for rows in seeds:
        reference = next(row for row in rows if row.way == FULL)
        for row in rows:
            by_way.setdefault(row.way, []).append((row, reference))
    print("| way to the rate | rate | factor off | loss | less full search | accuracy | trainings |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    losses = {}
    for way, pairs in by_way.items():
        rate = math.exp(statistics.fmean(math.log(row.rate) for row, _ in pairs))
        off = math.exp(statistics.fmean(abs(math.log(row.rate / full.rate)) for row, full in pairs))
        gap = told([row.loss - full.loss for row, full in pairs], "+.4f")
        losses[way] = statistics.fmean(row.loss for row, _ in pairs)
        print(
            f"| {way} | {rate:.2g} | {off:.2f} | {told([row.loss for row, _ in pairs], '.4f')} | {gap} | "
            f"{told([row.accuracy for row, _ in pairs], '.4f')} | {pairs[0][0].trainings} |"
        )
    wide = f"that of width {WIDTHS[-1]}"
    gains = [
        {row.way: row.loss for row in rows}[wide] - {row.way: row.loss for row in rows}["forecast, as chosen"]
        for rows in seeds
    ]
    print(f"\nleast loss: {min(losses, key=lambda way: losses[way])}")
    wins = f"{sum(gain > 0 for gain in gains)} seeds of {len(gains)}"
    print(f"the forecast against {wide}: {told(gains, '+.4f')} less loss, better in {wins}")


def told(values: Sequence[float], form: str) -> str:
    """Mean ± standard error."""
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{statistics.fmean(values):{form}} ± {error:.4f}"


if __name__ == "__main__":
    main()
