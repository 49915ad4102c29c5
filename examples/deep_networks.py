"""Deep networks at finite width: one run of each architecture, layer by layer, at two widths.

Trains the fully connected, residual and convolutional residual networks of Du et al. on the quadratic loss
and the deep ReLU network of Zou et al. on the cross-entropy. Shows loss, relative change of the Gram matrix
G^(h) of every layer and relative movement of every weight matrix. Checks that the loss falls at every step,
that the quadratic ones meet L(k) <= (1 - eta lambda / 2)^k L(0) with lambda the smallest eigenvalue of the
initial tangent kernel, that the deep ReLU network classifies all examples, and that the wider network is the
lazier one: less movement in every layer, less change of the Gram matrices on average.

    python examples/deep_networks.py [FOLDER] [--quick]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

import lazygram
from lazygram.data import load_dataset
from lazygram.networks import (
    ConvResidualNetwork,
    DeepNetwork,
    DeepReLUNetwork,
    FullyConnectedNetwork,
    ResidualNetwork,
)
from lazygram.plotting import figure_style, finish_axes, new_figure, ordered_colors, save_figure

DIM = 12
ARCHITECTURES: dict[str, Callable[[int, int], DeepNetwork]] = {
    "fully connected": lambda m, seed: FullyConnectedNetwork(m, DIM, 3, seed=seed),
    "residual": lambda m, seed: ResidualNetwork(m, DIM, 3, seed=seed),
    "convolutional residual": lambda m, seed: ConvResidualNetwork(m // 2, 2, (2, 3), 3, seed=seed),
    "deep ReLU": lambda m, seed: DeepReLUNetwork(m, DIM, 3, seed=seed),
}


def train(name: str, width: int, n: int, steps: int) -> tuple[lazygram.Run, np.ndarray]:
    """The run, and the operator norms of the initial Gram matrices."""
    data = load_dataset("synthetic", n=n, dim=DIM, seed=3)
    network = ARCHITECTURES[name](width, 1)
    norms = np.array([np.linalg.norm(G, 2) for G in network.layer_grams(data.X)])
    record = ("predictions", "lambda_min", "layer_gram_change", "layer_movement")
    every = max(steps // 50, 1)
    if name == "deep ReLU":
        run = lazygram.train(
            network, data.X, np.sign(data.y), steps, 1.0 / width,
            loss="logistic", reduction="mean", record=record, record_every=every,
        )  # fmt: skip
    else:
        run = lazygram.train(network, data.X, data.y, steps, record=record, record_every=every)
    return run, norms


def holds(name: str, run: lazygram.Run, n: int) -> bool:
    """Whether the run did what the texts say of wide networks."""
    loss, step = run.history["loss"], run.history["step"]
    falls = bool((np.diff(loss) < 0).all())
    if name == "deep ReLU":
        labels = np.sign(load_dataset("synthetic", n=n, dim=DIM, seed=3).y)
        return falls and bool((run.history["predictions"][-1] * labels > 0).all())
    rate = run.summary["step_size"] * run.history["lambda_min"][0] / 2
    return falls and bool((loss <= (1 - rate) ** step * loss[0]).all())


def main(folder: Path, quick: bool) -> bool:
    """Run the example; True if every claim held."""
    n, steps, widths = (10, 150, (48, 192)) if quick else (16, 300, (128, 512))
    good = True
    with figure_style():
        figure, axes = new_figure(3, 4, width=13, height=8)
        for column, name in enumerate(ARCHITECTURES):
            ends = []
            for width, line in zip(widths, ("--", "-"), strict=True):
                run, norms = train(name, width, n, steps)
                h = run.history
                good &= holds(name, run, n)
                change = h["layer_gram_change"] / norms
                ends.append((change[-1].mean(), h["layer_movement"][-1]))
                print(f"{name:22} m={width:5}: loss {h['loss'][0]:.3g} -> {h['loss'][-1]:.3g}")
                for row, text in (("Gram", change), ("weights", h["layer_movement"])):
                    print(f"    {row:8}" + "".join(f"{v:10.4f}" for v in text[-1]))
                colors = ordered_colors(4)[: len(norms)]
                neurons = run.network.widths[0] if name == "deep ReLU" else run.network.width
                axes[column].semilogy(h["step"], h["loss"], line, color="black", label=f"m = {neurons}")
                for k, (symbol, color) in enumerate(zip(run.summary["parameter_names"], colors, strict=True)):
                    label = symbol if line == "-" else None
                    axes[4 + column].plot(h["step"][1:], change[1:, k], line, color=color, label=label)
                    axes[8 + column].plot(
                        h["step"][1:], h["layer_movement"][1:, k], line, color=color, label=label
                    )
            lazier = all(bool(np.all(wide < narrow)) for narrow, wide in zip(*ends, strict=True))
            good &= lazier
            finish_axes(axes[column], title=name, xlabel="step  k", ylabel="loss")
            for row, top, label in (
                (4, 60, r"$\|G^{(h)}(k)-G^{(h)}(0)\|_2\,/\,\|G^{(h)}(0)\|_2$"),
                (8, 4, r"$\|W^{(h)}(k)-W^{(h)}(0)\|_F\,/\,\|W^{(h)}(0)\|_F$"),
            ):
                axes[row + column].set_yscale("log")
                axes[row + column].set_ylim(1e-4, top)
                finish_axes(
                    axes[row + column], title="", xlabel="step  k", ylabel=label if column == 0 else ""
                )
            axes[column].legend(loc="upper right")
            for row in (4, 8):
                axes[row + column].legend(loc="upper left", ncols=4, handlelength=1.2)
    print(f"written: {save_figure(figure, folder / 'deep_networks')[0]}")
    print("all claims held" if good else "some claim FAILED")
    return good


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("runs/examples"), help="for the figure")
    parser.add_argument("--quick", action="store_true", help="a smaller size, in seconds")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    sys.exit(0 if main(arguments.folder, arguments.quick) else 1)
