"""Test accuracy against bytes and latency of the compressed networks of examples/compress_digits.py, drawn.

    python benchmarks/compression.py

runs the example, which goes on where it was, and writes demo/compression.svg. Needs the extras "demo" and "deploy".
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from greyhound.compressing import Compressed, saved

EXAMPLES = Path(__file__).parent.parent / "examples"
FOLDER = Path("demo")


def draw(found: Mapping[str, Compressed], accuracy: Callable[[Any], float], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(found), figsize=(5.2 * len(found), 3.8), squeeze=False)
    for axis, (kind, each) in zip(axes[0], found.items(), strict=True):
        size = [trial.metrics["bytes"] / 1e3 for trial in each.shown]
        latency = [each.latency_ms(trial) for trial in each.shown]
        right = [100 * accuracy(saved(each.study, trial)) for trial in each.shown]
        dots = axis.scatter(size, right, c=latency, cmap="viridis_r", s=50, zorder=3)
        axis.plot(size, right, color="#9aa5b1", linewidth=1)
        figure.colorbar(dots, ax=axis, label="latency, ms")
        for trial, label in ((each.before, "tuned"), (each.after, "chosen")):
            if trial is not None:
                at = each.shown.index(trial)
                axis.annotate(label, (size[at], right[at]), textcoords="offset points", xytext=(4, -14))
        axis.set(title=kind, xlabel="kilobytes on disk", ylabel="test accuracy, %", xscale="log")
        axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    sys.path.insert(0, str(EXAMPLES))
    import compress_digits

    draw(compress_digits.main(FOLDER), compress_digits.test_accuracy, FOLDER / "compression.svg")


if __name__ == "__main__":
    main()
