"""Draws the figures of docs/grey.md. Needs matplotlib.

python docs/plots.py
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from greyhound import grey

HERE = Path(__file__).parent
SERIES = [2.874, 3.278, 3.337, 3.390, 3.679]
ACCURACIES = [0.42, 0.55, 0.63, 0.69, 0.72, 0.75, 0.765, 0.78]


def idea() -> plt.Figure:
    """A noisy series, its running sum, and the way back."""
    model = grey.GM11().fit(SERIES)
    forecast = model.predict(3)
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
    steps = np.arange(1, 6)
    left.plot(steps, SERIES, "o-", color="0.2")
    left.set_title("1. five noisy values")
    middle.plot(steps, np.cumsum(SERIES), "o", color="0.2")
    whole = np.cumsum([*model.fitted, *forecast])
    middle.plot(np.arange(1, 9), whole, "-", color="C0")
    middle.set_title("2. their running sum, and an exponential")
    right.plot(steps, SERIES, "o", color="0.2")
    right.plot(np.arange(1, 9), [*model.fitted, *forecast], ".-", color="C0")
    right.set_title("3. differences of it: fit and forecast")
    return figure


def curve() -> plt.Figure:
    """A learning curve and four forecasts of how it goes on."""
    figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
    seen = np.arange(1, len(ACCURACIES) + 1)
    ahead = np.arange(len(ACCURACIES) + 1, len(ACCURACIES) + 13)
    for at, family in enumerate(grey.FAMILIES):
        found = grey.forecast_curve(ACCURACIES, steps=12, family=family, limits=(0, 1))
        axes.plot(ahead, found.mean, color=f"C{at}", label=family)
        if family == "gm11":
            axes.fill_between(ahead, found.low, found.high, color=f"C{at}", alpha=0.15, label="90 % interval of gm11")
    axes.plot(seen, ACCURACIES, "o-", color="0.2", label="seen")
    axes.set_xlabel("epoch")
    axes.set_ylabel("accuracy")
    axes.legend(loc="lower right")
    return figure


def sizes() -> plt.Figure:
    """The best learning rate over sizes, and the forecasts beyond the largest."""
    tuned, rates, further = [64, 128, 256, 512], [3.0e-3, 2.1e-3, 1.4e-3, 1.0e-3], [1024, 2048, 4096]
    found = grey.extrapolate(tuned, rates, at=further)
    figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
    axes.plot(tuned, rates, "o", color="0.2", label="tuned")
    for at, candidate in enumerate(found.candidates):
        chosen = ", chosen" if candidate.name == found.chosen else ""
        axes.plot(further, candidate.mean, ".-", color=f"C{at}", label=candidate.name + chosen)
        if chosen:
            axes.fill_between(further, candidate.low, candidate.high, color=f"C{at}", alpha=0.15, label="90 % interval")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("width")
    axes.set_ylabel("best learning rate")
    axes.legend()
    return figure


def main() -> None:
    plt.rcParams["svg.hashsalt"] = "greyhound"
    for draw in (idea, curve, sizes):
        draw().savefig(HERE / f"grey-{draw.__name__}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
