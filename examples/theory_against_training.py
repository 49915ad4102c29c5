"""Train two-layer ReLU networks and set what they did beside what the theory of chapter 2 says.

Prints the theory report of the widest network and draws two panels: its training loss beside the losses
that constant Gram matrices predict and the bound of Theorem 2.3, and how far the predictions of networks
of several widths stray from the frozen dynamics of H_inf.

    python examples/theory_against_training.py [FOLDER] [--quick]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

import lazygram
from lazygram.analysis import (
    FrozenDynamics,
    certified_lambda_min,
    format_report,
    stable_step_size,
    theory_report,
    two_layer_quantities,
)
from lazygram.data import load_dataset
from lazygram.plotting import COLORS, figure_style, finish_axes, new_figure, ordered_colors, save_figure

# sup_k |u(k) - u_frozen(k)| / |e(0)| over 400 steps of 1 / lambda_max, n = d = 30: measured with an
# independent NumPy loop over three seeds; a factor 2 either way is the spread to expect.
GAPS = {256: 0.044, 1024: 0.019, 4096: 0.012, 16384: 0.0059}


def main(folder: Path, quick: bool) -> bool:
    """Run the example; True if the measured gaps are within a factor 2 of the expected ones."""
    widths = list(GAPS)[:3] if quick else list(GAPS)
    seeds = range(1 if quick else 3)
    recorded = [*range(30), *range(30, 401, 10)]  # the gap is largest early on
    gaps = np.zeros((len(seeds), len(widths), len(recorded)))
    for s in seeds:
        data = load_dataset("synthetic", n=30, dim=30, seed=s)
        H_inf = lazygram.gram_infinite(data.X)
        step_size = stable_step_size(H_inf)
        for w, width in enumerate(widths):
            network = lazygram.TwoLayerReLU(width, 30, seed=s)
            # Everything for the last network, which is shown in full; predictions suffice for the others.
            # Steps this small are over before a second thread has started.
            shown = s == seeds[-1] and width == widths[-1]
            record = "all" if shown else ("loss", "predictions")
            run = lazygram.train(
                network, data.X, data.y, 400, step_size, record=record, record_every=recorded, threads=1
            )
            u = run.history["predictions"]
            frozen = FrozenDynamics(H_inf, u[0], data.y)
            gap = np.linalg.norm(u - frozen.gd(step_size, run.history["step"]), axis=1)
            gaps[s, w] = gap / np.linalg.norm(u[0] - data.y)

    # The last network in full: report, and the certificate that H(0) is positive definite.
    H_0 = network.gram(data.X)
    # H_ij = (x_i . x_j) C_ij / m: counts are exact, an inner product of d terms is off by d roundings.
    proven = certified_lambda_min(H_0, entry_error=34 * np.finfo(np.float64).eps)
    quantities = two_layer_quantities(
        H_inf,
        width=width,
        residual_norm=float(np.linalg.norm(u[0] - data.y)),
        H_0=H_0,
        y=data.y,
    )
    print(f"width {width}, n = d = 30, step size 1 / lambda_max(H_inf) = {step_size:.4g}")
    print(f"lambda_0 = {quantities.lambda_0:.6f}, lambda_min(H(0)) >= {proven:.6f} (certified)\n")
    print(format_report(theory_report(quantities, step_size=step_size, history=run.history)))

    print("\nwidth   sup gap   expected within a factor 2")
    passed = True
    for w, width in enumerate(widths):  # the mean over the seeds
        measured = float(gaps[:, w].max(axis=1).mean())
        good = GAPS[width] / 2 <= measured <= GAPS[width] * 2
        passed = passed and good
        print(f"{width:6d}  {measured:.4f}   {GAPS[width]:.4f}  {'ok' if good else 'NOT MET'}")

    steps = run.history["step"]
    with figure_style():  # the first 60 steps: after that there is nothing but rounding to see
        figure, (left, right) = new_figure(1, 2, width=9.5, height=3.6)
        left.semilogy(steps, run.history["loss"], color=COLORS["blue"], linewidth=2.4, label="measured")
        initial = FrozenDynamics(H_0, u[0], data.y)
        left.semilogy(
            steps, initial.gd_loss(step_size, steps), ":", color=COLORS["black"], label="frozen $H(0)$"
        )
        left.semilogy(
            steps, frozen.gd_loss(step_size, steps), "--", color=COLORS["red"], label=r"frozen $H^\infty$"
        )
        bound = run.history["loss"][0] * quantities.rate_gd(step_size, steps)
        left.semilogy(steps, bound, color=COLORS["grey"], linewidth=1, label="Theorem 2.3, bound")
        left.set(xlim=(0, 60), ylim=(1e-12, 1e2))
        left.legend()
        finish_axes(left, title=f"Training loss, width {width}", xlabel="step  k", ylabel="loss")
        for color, w in zip(ordered_colors(len(widths)), range(len(widths)), strict=True):
            right.plot(steps, gaps[:, w].mean(axis=0), color=color, label=f"m = {widths[w]}")
        right.set(yscale="log", xlim=(0, 60), ylim=(1e-4, 1e-1))
        right.legend(loc="upper right")
        finish_axes(
            right,
            title=r"Distance from the frozen dynamics of $H^\infty$",
            xlabel="step  k",
            ylabel=r"$\|u(k)-u_{\mathrm{frozen}}(k)\|\,/\,\|e(0)\|$",
        )
    print(f"\nwritten: {save_figure(figure, folder / 'theory_against_training')[0]}")
    return passed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("runs/examples"), help="for the figure")
    parser.add_argument("--quick", action="store_true", help="a smaller size, in seconds")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    sys.exit(0 if main(arguments.folder, arguments.quick) else 1)
