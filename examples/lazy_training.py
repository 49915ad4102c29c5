"""Lazy training: the wider the network, the fewer activations flip and the less any neuron moves.

Trains networks of growing width on the same data until they fit it, and fits the log-log slopes of pattern
change and largest distance against width. Theory (Lemmas 2.3 and 2.5) gives both the rate width^(-1/2), here
after division by the initial residual, which varies with the random network.

    python examples/lazy_training.py [FOLDER] [--quick]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

import lazygram
from lazygram.data import load_dataset
from lazygram.plotting import COLORS, figure_style, finish_axes, new_figure, save_figure

SLOPE, SLACK = -0.5, 0.1


def main(folder: Path, quick: bool) -> bool:
    """Run the example; True if both slopes are -1/2 within 0.1."""
    n, seeds = (50, 2) if quick else (100, 4)
    widths = 2 ** np.arange(9, 13 if quick else 16)
    changed = np.zeros((seeds, len(widths)))
    distance = np.zeros_like(changed)
    for s in range(seeds):
        data = load_dataset("synthetic", n=n, seed=s)
        for w, width in enumerate(widths):
            network = lazygram.TwoLayerReLU(int(width), n, seed=s, dtype="float32")
            run = lazygram.train(
                network,
                data.X,
                data.y,
                60,
                record=("loss", "pattern_change", "max_distance"),
                record_every=60,
            )
            residual = np.sqrt(2 * run.history["loss"][0])
            changed[s, w] = 100 * run.history["pattern_change"][-1] / residual
            distance[s, w] = run.history["max_distance"][-1] / residual
    slopes = [float(np.polyfit(np.log(widths), np.log(y.mean(axis=0)), 1)[0]) for y in (changed, distance)]

    print(f"n = d = {n}, 60 steps, mean of {seeds} seeds, divided by the initial residual |e(0)|")
    print("  width   patterns changed [%]   max distance")
    for w, width in enumerate(widths):
        print(f"{width:7d}   {changed[:, w].mean():20.4f}   {distance[:, w].mean():12.4f}")
    print(f"slopes: patterns {slopes[0]:.3f}, distance {slopes[1]:.3f} (theory: -0.5)")

    panels = (
        (changed, "Activation patterns changed", r"changed [%] / $\|e(0)\|$"),
        (distance, "Largest distance of a neuron", r"$\max_r\|w_r-w_r(0)\|$ / $\|e(0)\|$"),
    )
    with figure_style():
        figure, axes = new_figure(1, 2, width=9.5, height=3.6)
        for place, (values, title, label), slope in zip(axes, panels, slopes, strict=True):
            for row in values:
                place.loglog(widths, row, ".", color=COLORS["sky"], markersize=5)
            mean = values.mean(axis=0)
            place.loglog(widths, mean, color=COLORS["blue"], label=f"measured, slope {slope:.2f}")
            guide = mean[0] * np.sqrt(widths[0] / widths)
            place.loglog(widths, guide, "--", color=COLORS["red"], label=r"$m^{-1/2}$")
            place.legend()
            finish_axes(place, title=title, xlabel="width  m", ylabel=label)
    print(f"written: {save_figure(figure, folder / 'lazy_training')[0]}")
    return all(abs(slope - SLOPE) <= SLACK for slope in slopes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("runs/examples"), help="for the figure")
    parser.add_argument("--quick", action="store_true", help="a smaller size, in seconds")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    sys.exit(0 if main(arguments.folder, arguments.quick) else 1)
