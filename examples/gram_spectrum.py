"""The spectrum of H(0) approaches that of H_inf as the width grows.

Eigenvalues of the Gram matrix of random networks beside those of the limit, the distance between the two
matrices beside the bound of Lemma 2.1, and a certified (proven, rounding included) lower bound of the
smallest eigenvalue at every width.

    python examples/gram_spectrum.py [FOLDER] [--quick]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

import lazygram
from lazygram.analysis import certified_lambda_min, eigenvalues, operator_norm
from lazygram.analysis.two_layer_bounds import gram_frobenius_bound
from lazygram.data import load_dataset
from lazygram.plotting import COLORS, figure_style, finish_axes, new_figure, ordered_colors, save_figure


def main(folder: Path, quick: bool) -> bool:
    """Run the example; True if the distance falls like width^(-1/2) and every bound is below its value."""
    n, dim = (60, 30) if quick else (200, 100)
    widths = [256, 1024, 4096, 16384] if quick else [256, 1024, 4096, 16384, 65536, 262144]
    X = load_dataset("synthetic", n=n, dim=dim).X
    H_inf = lazygram.gram_infinite(X)
    limit = eigenvalues(H_inf)

    # Entries carry the d roundings of an inner product of unit vectors; counts are exact integers.
    rounding = (dim + 4) * np.finfo(np.float64).eps
    spectra, distances, sound = [], [], True
    print(f"n = {n}, d = {dim}, lambda_0 = {limit[0]:.6f}")
    print("  width   |H(0) - H_inf|   x sqrt(width)   lambda_min(H(0))   certified >=")
    for width in widths:
        H = lazygram.TwoLayerReLU(width, dim, seed=1).gram(X)
        spectra.append(eigenvalues(H))
        distances.append(operator_norm(H - H_inf))
        proven = certified_lambda_min(H, entry_error=rounding)
        sound = sound and proven <= spectra[-1][0]
        print(
            f"{width:7d}   {distances[-1]:14.5f}   {distances[-1] * width**0.5:13.3f}   "
            f"{spectra[-1][0]:16.6f}   {proven:12.6f}"
        )
    slope = float(np.polyfit(np.log(widths), np.log(distances), 1)[0])
    print(f"slope of the distance: {slope:.3f} (expected -0.5)")

    with figure_style():
        figure, (left, right) = new_figure(1, 2, width=9.5, height=3.6)
        index = np.arange(1, n + 1)
        for color, width, values in zip(ordered_colors(len(widths)), widths, spectra, strict=True):
            left.plot(index, (values / limit)[::-1], color=color, linewidth=1.2, label=f"m = {width}")
        left.legend(fontsize=7, loc="lower left")
        finish_axes(
            left,
            title=r"Eigenvalues of $H(0)$ over those of $H^\infty$",
            xlabel="index i, largest eigenvalue first",
            ylabel=r"$\lambda_i(H(0))\,/\,\lambda_i(H^\infty)$",
        )
        right.loglog(widths, distances, "o-", color=COLORS["blue"], label=f"measured, slope {slope:.2f}")
        bound = [gram_frobenius_bound(n, width, 0.1) for width in widths]
        right.loglog(widths, bound, color=COLORS["grey"], label=r"Lemma 2.1, $\delta=0.1$")
        right.axhline(limit[0] / 4, color=COLORS["orange"], linestyle=":", label=r"$\lambda_0/4$")
        right.legend()
        finish_axes(
            right,
            title=r"Distance of $H(0)$ from $H^\infty$",
            xlabel="width  m",
            ylabel=r"$\|H(0)-H^\infty\|_2$",
        )
    print(f"written: {save_figure(figure, folder / 'gram_spectrum')[0]}")
    return sound and abs(slope + 0.5) <= 0.1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("runs/examples"), help="for the figure")
    parser.add_argument("--quick", action="store_true", help="a smaller size, in seconds")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    sys.exit(0 if main(arguments.folder, arguments.quick) else 1)
