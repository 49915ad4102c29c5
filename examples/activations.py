"""Every activation beside its dual: phi (blue) and phi' (orange) against x, their duals against rho.

Also checks, activation by activation, that the dual at rho = 0 and rho = 1 is what the moments say.

    python examples/activations.py [FOLDER] [--quick]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from lazygram import dual
from lazygram.activations import get_activation, registry
from lazygram.plotting import COLORS, figure_style, finish_axes, save_figure


def main(folder: Path, quick: bool) -> bool:
    """Run the example; True if every dual agrees with its moments."""
    from matplotlib.figure import Figure

    rho = np.linspace(-1.0, 1.0, 101 if quick else 401)
    x = np.linspace(-3.0, 3.0, 601)
    names = sorted(registry)
    columns = 5
    rows = -(-len(names) // columns)
    sound = True
    with figure_style():
        figure = Figure(figsize=(3.3 * columns, 1.75 * rows), layout="constrained")
        axes = figure.subplots(rows, 2 * columns)
        for ax in axes.flat[2 * len(names) :]:
            ax.set_axis_off()
        for k, name in enumerate(names):
            a = get_activation(name)
            left, right = axes.flat[2 * k], axes.flat[2 * k + 1]
            if a.dphi is not None:
                left.plot(x, a.dphi(x), color=COLORS["orange"], linewidth=1.0)
            left.plot(x, a(x), color=COLORS["blue"])
            finish_axes(left, title=name, xlabel="x", ylabel="")
            value = dual(a, rho, 1.0, 1.0)
            if a.differentiable:
                right.plot(rho, dual(a, rho, 1.0, 1.0, 1), color=COLORS["orange"], linewidth=1.0)
            right.plot(rho, value, color=COLORS["blue"])
            finish_axes(right, title="dual", xlabel=r"$\rho$", ylabel="")
            middle = float(dual(a, 0.0, 1.0, 1.0))
            good = abs(middle - a.mean() ** 2) < 1e-13 and abs(value[-1] * a.c_sigma - 1.0) < 1e-13
            sound = sound and good
            verdict = "ok" if good else "WRONG"
            print(f"{name:20} E phi = {a.mean():+.6f}   c_sigma = {a.c_sigma:.12f}   {verdict}")
    print(f"written: {save_figure(figure, folder / 'activations')[0]}")
    return sound


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("runs/examples"), help="for the figure")
    parser.add_argument("--quick", action="store_true", help="a smaller size, in seconds")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    sys.exit(0 if main(arguments.folder, arguments.quick) else 1)
