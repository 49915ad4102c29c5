"""Event-driven gradient descent: the same trajectory as the dense loop, at a cost that hardly grows with it.

Lays the loss of method "event" over that of the dense loop, then measures what the method does as the network
gets wider and the run longer: seconds of both methods, and how many pairs (neuron, example) are
looked at. In the lazy regime only pairs with |z| below a threshold of order m^(-1/2) can change sign, so that
number falls, as a fraction of all, like m^(-1/2): the fitted slope must be -1/2 within 0.15.

Then follows the gradient flow to a fixed time, by small steps of "event" and by the adaptive steps of
"event-flow": what an error of the predictions costs in steps and in seconds. The reference is extrapolated
from small steps; the error that "event-flow" states must not be below a third of the true one.

    python examples/event_driven.py [FOLDER] [--quick]
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.ticker import NullFormatter

import lazygram
from lazygram.data import load_dataset
from lazygram.plotting import COLORS, figure_style, finish_axes, new_figure, save_figure

SLOPE, SLACK = -0.5, 0.15
# Float64 on both sides: rounding of sums over n examples and m neurons, a few hundred steps.
AGREEMENT = 1e-10
# Error of the extrapolated reference of the flow: bits that flip leave some of the first order.
FLOW_REFERENCE = 2e-5


def timed(width: int, data: lazygram.data.Dataset, steps: int, method: str) -> tuple[float, lazygram.Run]:
    """Seconds and result of one run that records the loss at its end only."""
    network = lazygram.TwoLayerReLU(width, data.X.shape[1], seed=0, dtype="float32")
    start = time.perf_counter()
    run = lazygram.train(
        network, data.X, data.y, steps, 0.5, method=method, record="loss", record_every=max(steps, 1)
    )
    return time.perf_counter() - start, run


@dataclass
class Flow:
    """Errors of the predictions at the end of the flow, by number of steps."""

    euler: np.ndarray
    """Rows: steps, seconds, error."""
    adaptive: np.ndarray
    """Rows: steps, seconds, error, stated error."""


def follow_flow(quick: bool) -> Flow:
    """The flow to time 20 by small steps and by adaptive ones."""
    n, width, time_end = (40, 1024, 20.0) if quick else (200, 16384, 20.0)
    data = load_dataset("synthetic", n=n, seed=0)
    network = lazygram.TwoLayerReLU(width, n, seed=2)

    def end(steps: int, step: float, method: str, **options: float) -> tuple[float, lazygram.Run]:
        start = time.perf_counter()
        run = lazygram.train(
            network, data.X, data.y, steps, step, method=method, record="predictions", record_every=steps,
            **options,
        )  # fmt: skip
        return time.perf_counter() - start, run

    counts = [40, 160, 640, 1280] if quick else [40, 160, 640, 2560, 5120]
    euler = [end(k, time_end / k, "event") for k in counts]
    last, before = (run.history["predictions"][-1] for _, run in (euler[-1], euler[-2]))
    exact = 2 * last - before  # Richardson: removes the error of first order

    def error(run: lazygram.Run) -> float:
        return float(np.abs(run.history["predictions"][-1] - exact).max())

    rows = [(k, seconds, error(run)) for k, (seconds, run) in zip(counts[:-1], euler[:-1], strict=True)]
    adaptive = []
    end(1, 1e-3, "event-flow")  # loads SciPy's integrators
    for tolerance in (1e-3, 1e-4) if quick else (1e-3, 1e-4, 1e-5):
        seconds, run = end(1, time_end, "event-flow", flow_tolerance=tolerance)
        facts = run.summary["flow"]
        adaptive.append((facts["engine_steps"], seconds, error(run), facts["error"]))
    return Flow(np.array(rows), np.array(adaptive))


def main(folder: Path, quick: bool) -> bool:
    """Run the example; True if trajectories agree, the slope is -1/2 and stated errors are honest."""
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

    flow = follow_flow(quick)
    print("gradient flow: steps, seconds, error of the predictions (and as stated)")
    for row in flow.euler:
        print(f"  small steps  {int(row[0]):6d}  {row[1]:7.3f} s  {row[2]:.2g}")
    for row in flow.adaptive:
        print(f"  event-flow   {int(row[0]):6d}  {row[1]:7.3f} s  {row[2]:.2g} ({row[3]:.2g})")
    honest = bool((flow.adaptive[:, 2] <= 3 * flow.adaptive[:, 3] + FLOW_REFERENCE).all())

    with figure_style():
        figure, (losses, cost, length, pairs, steps_axis, seconds_axis) = new_figure(
            2, 3, width=13.5, height=7.0
        )
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
            place.xaxis.set_minor_formatter(NullFormatter())
            finish_axes(place, title=title, xlabel=label, ylabel="seconds")
        pairs.loglog(widths, 100 * looks, "o-", color=COLORS["blue"])
        finish_axes(pairs, title="Looks at pairs, 100 steps", xlabel="width  m", ylabel="% of all pairs")
        for place, column, label in ((steps_axis, 0, "steps"), (seconds_axis, 1, "seconds")):
            place.loglog(
                flow.euler[:, column], flow.euler[:, 2], "o-", color=COLORS["blue"], label="small steps"
            )
            place.loglog(
                flow.adaptive[:, column], flow.adaptive[:, 2], "s-", color=COLORS["red"], label="event-flow"
            )
            place.legend()
            place.xaxis.set_minor_formatter(NullFormatter())  # the labels of a short axis would overlap
            finish_axes(place, title="Gradient flow to time 20", xlabel=label, ylabel="error of a prediction")
    print(f"written: {save_figure(figure, folder / 'event_driven')[0]}")
    return gap <= AGREEMENT and abs(slope - SLOPE) <= SLACK and honest


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("runs/examples"), help="for the figure")
    parser.add_argument("--quick", action="store_true", help="a smaller size, in seconds")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    sys.exit(0 if main(arguments.folder, arguments.quick) else 1)
