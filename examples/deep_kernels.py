"""Deep kernels of digits as images, and what depth does to the smallest eigenvalue.

Above: correlations of the tangent kernel of a fully connected network and of two convolutional ones, one read
out pixel by pixel, one pooled. Below: eigenvalues of the texts' K^(H) at growing depth H. Those of a fully
connected network fall geometrically, those of a ResNet like (c_res / H)^2, which is why its theorem needs a
width polynomial in the depth and that of the fully connected network one exponential in it.

    python examples/deep_kernels.py [FOLDER] [--quick]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import lazygram
from lazygram.analysis import eigenvalues
from lazygram.data import load_dataset
from lazygram.layers import Activation, Conv, Dense, Flatten, GlobalAvgPool
from lazygram.plotting import COLORS, figure_style, finish_axes, new_figure, ordered_colors, save_figure

C_RES = 0.5


def class_contrast(K: npt.NDArray[Any], labels: npt.NDArray[Any]) -> float:
    """Mean correlation within classes minus between classes, in standard deviations of all correlations."""
    same = labels[:, None] == labels[None, :]
    others = ~np.eye(len(K), dtype=bool)
    return float((K[same & others].mean() - K[~same].mean()) / K[others].std())


def main(folder: Path, quick: bool) -> bool:
    """Run the example; True if both laws of depth are met."""
    n, depths = (45, [2, 4, 8, 16]) if quick else (120, [2, 4, 8, 16, 32])
    body = [Conv(3, w_std=2**0.5), Activation("relu")] * 3
    layers = [Dense(w_std=2**0.5), Activation("relu")] * 3
    networks = {
        "fully connected": lazygram.Sequential([Flatten(), *layers, Dense()]),
        "convolutional, flattened": lazygram.Sequential([*body, Flatten(), Dense()]),
        "convolutional, pooled": lazygram.Sequential([*body, GlobalAvgPool(), Dense()]),
    }
    data = load_dataset("digits", task="raw", n=500)
    chosen = np.concatenate([np.flatnonzero(data.y == digit)[: n // 3] for digit in (0, 1, 2)])
    images, labels = data.X[chosen].reshape(-1, 1, 8, 8), data.y[chosen]
    pictures = {}
    for name, network in networks.items():
        K = network.ntk(images)
        size = np.sqrt(np.diag(K))
        pictures[name] = K / np.outer(size, size)
        print(f"{name:25} contrast between classes {class_contrast(pictures[name], labels):.2f}")

    # Points without a structure of their own, as the theorems take them.
    X = load_dataset("synthetic", n=n // 3, dim=n // 3, seed=4).X
    families = {"fully connected": lazygram.FullyConnected, "ResNet": lazygram.ResNet}
    spectra = {
        name: [eigenvalues(family(depth, "softplus").last_hidden_gram(X)) for depth in depths]
        for name, family in families.items()
    }
    smallest = {name: np.array([values[0] for values in rows]) for name, rows in spectra.items()}
    rounding = len(X) * np.finfo(float).eps * spectra["fully connected"][0][-1]
    above = smallest["fully connected"] > 100 * rounding
    rate = np.polyfit(np.array(depths)[above], np.log(smallest["fully connected"][above]), 1)[0]
    power = np.polyfit(np.log(depths), np.log(smallest["ResNet"]), 1)[0]
    print(f"fully connected: lambda_min(K^(H)) falls by a factor {np.exp(rate):.3f} per layer")
    print(f"ResNet: lambda_min(K^(H)) falls like H^{power:.3f} (expected -2)")

    with figure_style():
        figure, axes = new_figure(2, 3, width=11, height=6.6)
        for ax, (name, K) in zip(axes, pictures.items(), strict=False):
            picture = ax.imshow(K, cmap="viridis", vmax=1.0, interpolation="nearest")
            figure.colorbar(picture, ax=ax, shrink=0.8)
            ax.grid(visible=False)
            middle = [(k + 0.5) * len(K) / 3 for k in range(3)]
            ax.set_xticks(middle, ["0", "1", "2"])
            ax.set_yticks(middle, ["0", "1", "2"])
            finish_axes(ax, title=f"NTK correlation, {name}", xlabel="digit", ylabel="digit")
        index = np.arange(1, len(X) + 1)
        for ax, (name, rows) in zip(axes[3:], spectra.items(), strict=False):
            for color, depth, values in zip(ordered_colors(len(depths)), depths, rows, strict=True):
                seen = values > rounding
                note = "" if seen.sum() > 1 else " (below)"
                shown = np.where(seen, values, np.nan)[::-1]
                ax.semilogy(index, shown, color=color, linewidth=1.2, label=f"H = {depth}{note}")
            ax.axhspan(rounding / 3, rounding, color=COLORS["grey"], alpha=0.3, linewidth=0)
            ax.set_ylim(rounding / 3, 3 * spectra["fully connected"][0][-1])
            ax.legend(fontsize=7, ncols=2, loc="lower left", bbox_to_anchor=(0.0, 0.05))
            finish_axes(
                ax,
                title=rf"Eigenvalues of $K^{{(H)}}$, {name}",
                xlabel="index, largest first",
                ylabel=r"$\lambda_i(K^{(H)})$",
            )
        last = axes[5]
        for name, color in (("fully connected", COLORS["orange"]), ("ResNet", COLORS["blue"])):
            visible = np.where(smallest[name] > rounding, smallest[name], np.nan)
            last.loglog(depths, visible, "o-", color=color, label=name)
        grid = np.geomspace(depths[0], depths[-1], 50)
        law = smallest["ResNet"][-1] * (depths[-1] / grid) ** 2
        last.loglog(grid, law, ":", color=COLORS["black"], label=r"$\propto (c_{res}/H)^2$")
        last.axhspan(rounding / 3, rounding, color=COLORS["grey"], alpha=0.3, linewidth=0, label="rounding")
        last.set_ylim(rounding / 3, None)
        last.set_xticks(depths, [str(depth) for depth in depths])
        last.minorticks_off()
        last.legend(fontsize=7)
        finish_axes(
            last,
            title="Smallest eigenvalue against depth",
            xlabel="depth H",
            ylabel=r"$\lambda_{min}(K^{(H)})$",
        )
    print(f"written: {save_figure(figure, folder / 'deep_kernels')[0]}")
    return bool(
        0.2 < np.exp(rate) < 0.45 and abs(power + 2.0) < 0.15 and np.all(smallest["ResNet"] > rounding)
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("runs/examples"), help="for the figure")
    parser.add_argument("--quick", action="store_true", help="a smaller size, in seconds")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    sys.exit(0 if main(arguments.folder, arguments.quick) else 1)
