"""Event-driven gradient descent: the same trajectory as the dense loop, at a cost that hardly grows with it.

Lays the loss of method "event" over that of the dense loop, then measures what the method does as the network
gets wider and the run longer: seconds of both methods, and how many pairs (neuron, example) are
looked at. In the lazy regime only pairs with |z| below a threshold of order m^(-1/2) can change sign, so that
number falls, as a fraction of all, like m^(-1/2): the fitted slope must be -1/2 within 0.15.

    python examples/event_driven.py [FOLDER] [--quick]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

import lazygram
from lazygram.data import load_dataset
from lazygram.plotting import COLORS, figure_style, finish_axes, new_figure, save_figure

SLOPE, SLACK = -0.5, 0.15
# Float64 on both sides: rounding of sums over n examples and m neurons, a few hundred steps.
AGREEMENT = 1e-10


def timed(width: int, data: lazygram.data.Dataset, steps: int, method: str) -> tuple[float, lazygram.Run]:
    """Seconds and result of one run that records the loss at its end only."""
    network = lazygram.TwoLayerReLU(width, data.X.shape[1], seed=0, dtype="float32")
    start = time.perf_counter()
    run = lazygram.train(
        network, data.X, data.y, steps, 0.5, method=method, record="loss", record_every=max(steps, 1)
    )
    return time.perf_counter() - start, run


def main(folder: Path, quick: bool) -> bool:
    """Run the example; True if the trajectories agree and the slope is -1/2."""
    n = 100 if quick else 300
    data = load_dataset("synthetic", n=n, seed=0)
    widths = 4 ** np.arange(5, 8 if quick else 9)
    lengths = 4 ** np.arange(2, 5 if quick else 6)

    network = lazygram.TwoLayerReLU(2048, n, seed=1)
    dense, event = (
        lazygram.train(
            network, data.X, data.y, 100, 0.5, method=m, record=("loss", "predictions", "pattern_change")
        )
        for m in ("gd", "event")
    )
    gap = float(np.abs(dense.history["predictions"] - event.history["predictions"]).max())
    print(f"n = d = {n}, m = 2048, 100 steps, float64: largest difference of predictions {gap:.2g}")

    by_width, looks = np.zeros((len(widths), 2)), np.zeros(len(widths))
    for w, width in enumerate(widths):
        by_width[w, 0] = timed(int(width), data, 100, "gd")[0]
        by_width[w, 1], run = timed(int(width), data, 100, "event")
        looks[w] = run.summary["engine"]["due_pairs"] / (float(width) * n)
    by_length = np.array([[timed(8192, data, int(k), m)[0] for m in ("gd", "event")] for k in lengths])
    print("  width   dense [s]   event [s]   looked at [% of all pairs]")
    for m, (d, e), f in zip(widths, by_width, looks, strict=True):
        print(f"{m:7d}   {d:9.3f}   {e:9.3f}   {100 * f:12.2f}")
    print("  steps   dense [s]   event [s]   (m = 8192)")
    for k, (d, e) in zip(lengths, by_length, strict=True):
        print(f"{k:7d}   {d:9.3f}   {e:9.3f}")
    slope = float(np.polyfit(np.log(widths), np.log(looks), 1)[0])
    print(f"slope of the looks per pair: {slope:.3f} (theory: -0.5)")

    with figure_style():
        figure, (losses, cost, length, pairs) = new_figure(2, 2, width=9.5, height=7.0)
        step = dense.history["step"]
        losses.semilogy(step, dense.history["loss"], color=COLORS["sky"], linewidth=4, label="dense")
        losses.semilogy(step, event.history["loss"], "--", color=COLORS["red"], label="event")
        losses.legend()
        finish_axes(losses, title="One trajectory, m = 2048", xlabel="step", ylabel="loss")
        for place, x, values, title, label in (
            (cost, widths, by_width, "Cost of 100 steps", "width  m"),
            (length, lengths, by_length, "Cost at m = 8192", "steps"),
        ):
            for column, (name, color) in enumerate((("dense", "blue"), ("event", "red"))):
                place.loglog(x, values[:, column], "o-", color=COLORS[color], label=name)
            place.legend()
            finish_axes(place, title=title, xlabel=label, ylabel="seconds")
        pairs.loglog(widths, 100 * looks, "o-", color=COLORS["blue"])
        finish_axes(pairs, title="Looks at pairs, 100 steps", xlabel="width  m", ylabel="% of all pairs")
    print(f"written: {save_figure(figure, folder / 'event_driven')[0]}")
    return gap <= AGREEMENT and abs(slope - SLOPE) <= SLACK


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("runs/examples"), help="for the figure")
    parser.add_argument("--quick", action="store_true", help="a smaller size, in seconds")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    sys.exit(0 if main(arguments.folder, arguments.quick) else 1)
