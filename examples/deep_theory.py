"""Train one network of every deep architecture of the texts and say which predictions of the theory held.

Fully connected network, ResNet and convolutional ResNet against Theorems 3.1-3.4 of Du's thesis, a deep ReLU
network against Zou et al.'s Theorems 5.1 and 5.3. The figure shows how far networks of several widths stray
from their linearisation, with their own Gram matrix and with that of infinite width, on training and test
data.

    python examples/deep_theory.py [FOLDER] [--quick]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

import lazygram
from lazygram.analysis.deep_runs import infinite_width, network_quantities, run_report
from lazygram.data import separated_sphere, synthetic
from lazygram.networks import ConvResidualNetwork, DeepReLUNetwork, FullyConnectedNetwork, ResidualNetwork
from lazygram.plotting import COLORS, figure_style, finish_axes, log_ticks, new_figure, save_figure
from lazygram.training.linearised import train_linearised

STYLES = {
    "G(0)": ("o-", "black"),
    "G(0), test": ("o:", "black"),
    "infinite": ("s-", "red"),
    "infinite, test": ("s:", "red"),
}
WORDS = {True: "yes", False: "no", None: "-"}


def report(name: str, network: object, X: np.ndarray, y: np.ndarray, steps: int, quick: bool) -> list:
    """Train with a quarter of the largest step (deep ReLU: 1/m, cross-entropy); return the report's rows."""
    zou = isinstance(network, DeepReLUNetwork)
    if zou:
        quantities, step_size = None, 1.0 / network.widths[0]
    else:
        quantities = network_quantities(network, X, y)
        step_size = 0.25 * quantities.step_size_divergence
    run = lazygram.train(
        network,
        X,
        y,
        steps,
        step_size,
        loss="logistic" if zou else "quadratic",
        reduction="mean" if zou else "sum",
        record_every=10 if quick else 5,
    )
    loss = run.history["loss"]
    print(f"\n{name}: {network!r}\n{steps} steps of {step_size:.3g}, loss {loss[0]:.3g} -> {loss[-1]:.3g}\n")
    rows = run_report(network, X, y, run.summary, run.history, trained=run.network, quantities=quantities)
    print(f"{'holds':5}  {'predicted':>10}  {'measured':>10}  prediction (source)")
    for row in rows:
        numbers = ["-" if x is None or np.isnan(x) else f"{x:.3g}" for x in (row.predicted, row.measured)]
        print(f"{WORDS[row.holds]:5}  {numbers[0]:>10}  {numbers[1]:>10}  {row.condition} ({row.source})")
    return rows


def linearisation_gaps(
    kind: type, widths: tuple[int, ...], steps: int, networks: int
) -> dict[str, np.ndarray]:
    """Largest distance over a run from training with G(0) and with the infinite-width NTK, by width.

    Geometric means over networks: the distances of single ones vary by a factor of two.
    """
    data = synthetic(10, 10, n_test=10, seed=0)
    limit = infinite_width(kind(2, 10, 3))
    K, K_test = limit.ntk(data.X), limit.ntk(data.X_test, data.X)
    step_size = 0.5 / np.linalg.eigvalsh(K)[-1]
    found = {name: np.zeros((len(widths), networks)) for name in STYLES}
    for w, width in enumerate(widths):
        for seed in range(networks):
            network = kind(width, 10, 3, seed=seed)
            u0, f0 = network.predict(data.X), network.predict(data.X_test)
            run = lazygram.train(
                network,
                data.X,
                data.y,
                steps,
                step_size,
                record=("predictions",),
                record_every=2,
                X_test=data.X_test,
            )
            for name, gram, cross in (
                ("G(0)", network.gram(data.X), network.gram(data.X_test, data.X)),
                ("infinite", K, K_test),
            ):
                twin = train_linearised(
                    gram, u0, data.y, steps, step_size, record_every=2, gram_test=cross, f0_test=f0
                )
                found[name][w, seed] = twin.distance(run.history["predictions"]).max()
                test = twin.distance(run.history["test_predictions"], test=True)
                found[f"{name}, test"][w, seed] = test.max()
    return {name: np.exp(np.log(values).mean(axis=1)) for name, values in found.items()}


def main(folder: Path, quick: bool) -> bool:
    """Run the example; True if conclusions hold where the theorems' do, and the distances shrink."""
    m, steps = (128, 200) if quick else (512, 600)
    unit, images = synthetic(10, 10, seed=0), synthetic(6, 10, seed=0)
    classes = separated_sphere(20, 10, seed=0)
    cases = (
        ("fc", FullyConnectedNetwork(m, 10, 2), unit.X, unit.y),
        ("resnet", ResidualNetwork(m, 10, 3), unit.X, unit.y),
        ("conv-resnet", ConvResidualNetwork(m // 2, 2, (5,), 3), images.X.reshape(6, 2, 5), images.y),
        ("deep-relu", DeepReLUNetwork(m, 10, 3), classes.X, classes.y),
    )
    passed = True
    for name, network, X, y in cases:
        rows = report(name, network, X, y, steps, quick)
        # What the theorems conclude: the rate, a falling loss, and how far weights move.
        for row in rows:
            concluded = "L(0)" in row.condition or "L(k+1)" in row.condition or "<= R'" in row.condition
            concluded = concluded or row.source in ("Thm 5.1 (ii)", "Thm 5.1 (iv)", "Corollary 4.3")
            if concluded and row.holds is False:
                print(f"NOT MET: {name}: {row.condition}")
                passed = False

    widths = (32, 128, 512) if quick else (64, 256, 1024)
    with figure_style():
        figure, axes = new_figure(1, 2, width=9.5, height=3.8)
        for place, kind in zip(axes, (FullyConnectedNetwork, ResidualNetwork), strict=True):
            gaps = linearisation_gaps(kind, widths, *((60, 6) if quick else (200, 6)))
            print(f"\n{kind.__name__}, depth 3: largest distance from training with a frozen kernel")
            for name, values in gaps.items():
                style, color = STYLES[name]
                place.plot(widths, values, style, color=COLORS[color], markersize=4, label=name)
                slope = np.polyfit(np.log(widths), np.log(values), 1)[0]
                # G(k) - G(0) is O(1/m) for smooth activations (Huang and Yau, 2020), G(0) - K is m^{-1/2}.
                # Six networks a width leave a slope uncertain by about 0.1.
                expected = -0.5 if name.startswith("infinite") else -1.0
                good = abs(slope - expected) <= 0.3
                passed = passed and good
                numbers = "  ".join(f"{value:.3g}" for value in values)
                print(
                    f"  {name:15} {numbers}  slope {slope:.2f} (theory {expected})  "
                    f"{'ok' if good else 'NOT MET'}"
                )
            guide = gaps["infinite"][0] * (np.array(widths) / widths[0]) ** -0.5
            place.plot(
                widths, 1.4 * guide, "--", color=COLORS["grey"], linewidth=1, label=r"$m^{-1/2}$, $m^{-1}$"
            )
            guide = gaps["G(0)"][0] * (np.array(widths) / widths[0]) ** -1.0
            place.plot(widths, guide / 1.4, "--", color=COLORS["grey"], linewidth=1)
            place.set_yscale("log")
            log_ticks(place, widths)
            place.legend(loc="lower left", fontsize=7)
            finish_axes(
                place,
                title=f"{'ResNet' if kind is ResidualNetwork else 'Fully connected'}, H = 3",
                xlabel="width m",
                ylabel="largest distance from the linearised network",
            )
    print(f"\nwritten: {save_figure(figure, folder / 'deep_theory')[0]}")
    return passed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("runs/examples"), help="for the figure")
    parser.add_argument("--quick", action="store_true", help="a smaller size, in seconds")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    sys.exit(0 if main(arguments.folder, arguments.quick) else 1)
