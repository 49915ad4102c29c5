"""A trained wide network predicts what kernel regression with H_inf predicts, if it starts from zero.

Trains networks to convergence on 20 points of the unit sphere and compares them, at 200 test points, with
``K H_inf^{-1} y``. With the antisymmetric initialisation (f = 0 at the start) the difference falls like
width^(-1/2). With the plain one it does not fall at all, unless the initial predictions are carried along:
``f_0 + K H_inf^{-1} (y - u_0)``.

    python examples/kernel_predictor.py [FOLDER] [--quick]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

import lazygram
from lazygram.analysis import kernel_predict, stable_step_size
from lazygram.data import load_dataset
from lazygram.plotting import COLORS, figure_style, finish_axes, new_figure, save_figure

# Root mean square differences measured by an independent NumPy loop; a factor 2 either way for the seed.
ANTISYMMETRIC = {2000: 0.031, 8000: 0.016, 32000: 0.0060}
CORRECTED = {2000: 0.031, 8000: 0.012, 32000: 0.0070}
BARE_AT_LEAST = 0.2
NAMES = (
    r"antisymmetric start, $K H^{-1} y$",
    r"plain start, $f_0 + K H^{-1}(y-u_0)$",
    r"plain start, $K H^{-1} y$",
)


def main(folder: Path, quick: bool) -> bool:
    """Run the example; True if all differences are in their bands."""
    widths = list(ANTISYMMETRIC)[: 2 if quick else 3]
    seeds = range(3 if quick else 9)
    rms = np.zeros((len(seeds), len(widths), 3))
    for s in seeds:
        data = load_dataset("synthetic", n=20, dim=10, n_test=200, seed=s)
        H = lazygram.gram_infinite(data.X)
        K = lazygram.gram_infinite(data.X_test, data.X)
        kernel = kernel_predict(K, H, data.y)
        for w, width in enumerate(widths):
            trained = {}
            for antisymmetric in (True, False):
                network = lazygram.TwoLayerReLU(width, 10, seed=s, antisymmetric=antisymmetric)
                run = lazygram.train(
                    network,
                    data.X,
                    data.y,
                    163,
                    stable_step_size(H),
                    record=("loss", "predictions"),
                    record_every=163,
                    X_test=data.X_test,
                    threads=1,  # steps this small are over before a second thread has started
                )
                trained[antisymmetric] = run.history
            plain = trained[False]["test_predictions"]
            corrected = kernel_predict(K, H, data.y, trained[False]["predictions"][0], plain[0])
            last = trained[True]["test_predictions"][-1]
            for c, difference in enumerate((last - kernel, plain[-1] - corrected, plain[-1] - kernel)):
                rms[s, w, c] = np.sqrt(np.mean(difference**2))
    typical = np.median(rms, axis=0)

    passed = True
    print("root mean square difference over 200 test points, median over the seeds")
    print("  width   antisymmetric (expected)   corrected (expected)   bare (at least 0.2)")
    for w, width in enumerate(widths):
        first, second, bare = typical[w]
        good = (
            ANTISYMMETRIC[width] / 2 <= first <= ANTISYMMETRIC[width] * 2
            and CORRECTED[width] / 2 <= second <= CORRECTED[width] * 2
            and bare > BARE_AT_LEAST
        )
        passed = passed and good
        print(
            f"{width:7d}   {first:13.4f} ({ANTISYMMETRIC[width]:.4f})      {second:9.4f} "
            f"({CORRECTED[width]:.4f})   {bare:10.3f}   {'ok' if good else 'NOT MET'}"
        )

    with figure_style():
        figure, (place,) = new_figure(1, 1, width=5.6, height=3.8)
        for c, (name, color) in enumerate(zip(NAMES, ("blue", "green", "red"), strict=True)):
            place.loglog(widths, typical[:, c], "o-", color=COLORS[color], label=name)
        guide = typical[0, 0] * np.sqrt(widths[0] / np.array(widths))
        place.loglog(widths, guide, "--", color=COLORS["grey"], label=r"$m^{-1/2}$")
        place.legend()
        finish_axes(
            place,
            title="Trained network against kernel predictor",
            xlabel="width  m",
            ylabel="rms difference, 200 test points",
        )
    print(f"written: {save_figure(figure, folder / 'kernel_predictor')[0]}")
    return passed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("runs/examples"), help="for the figure")
    parser.add_argument("--quick", action="store_true", help="a smaller size, in seconds")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    sys.exit(0 if main(arguments.folder, arguments.quick) else 1)
