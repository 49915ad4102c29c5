"""The perturbation region of Zou et al.: Theorem 5.3 measured in random and in adversarial directions.

Around the initial weights, within operator norm tau in every layer, the theorem bounds how far features
move, how many activations flip and how large gradients stay, with unspecified constants. Here the constants
are measured for Gaussian directions and for a perturbation of the first layer that is built to flip as many
activations of one example as its norm allows, which shows that tau^{2/3} cannot be improved.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.analysis import zou
from lazygram.data import separated_sphere
from lazygram.experiments.base import Experiment, ExperimentResult, Progress, share_of
from lazygram.experiments.checks import EvenWidth, IncreasingFloats, NonNegativeInt, PositiveInt, Settings
from lazygram.experiments.parts import Parts
from lazygram.experiments.zou_expected import (
    RegionMeasured,
    adversarial_constant,
    flip_share,
    floor_at_infinite_width,
    region_rows,
)
from lazygram.plotting import COLORS, caption, finish_axes, log_ticks, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT", "Parameters"]

Float64Array = npt.NDArray[np.float64]
DIRECTIONS = ("random", "adversarial")


@dataclass(frozen=True)
class Parameters(Settings):
    """Settings of the experiment.

    Attributes
    ----------
    n, dim : int
        Examples and input dimension, the constant last coordinate included.
    mu, separation : float
        That coordinate, and phi.
    depth, width : int
        Hidden layers L and their width m, even.
    taus : tuple of float
        Radii tau, increasing.
    seed : int
        Of data, network and directions.
    """

    n: PositiveInt = 20
    dim: PositiveInt = 10
    mu: float = 0.5
    separation: float = 0.3
    depth: PositiveInt = 3
    width: EvenWidth = 2048
    taus: IncreasingFloats = (0.003, 0.01, 0.03, 0.1)
    seed: NonNegativeInt = 0


def run(p: Parameters, folder: Path | None = None, progress: Progress | None = None) -> ExperimentResult:
    """Measure all radii in both directions and compare with the expected numbers.

    Returns
    -------
    ExperimentResult
        Arrays, directions "random" and "adversarial" first: of shape (2, taus) "tau" (measured),
        "gradient_floor", "gradient_ceiling", "touched"; of shape (2, taus, layers) "lipschitz",
        "pattern_change" (largest of the examples over tau^{2/3}), "flips" (mean share that flips).
    """
    from lazygram.networks import DeepReLUNetwork

    data = separated_sphere(p.n, p.dim, mu=p.mu, separation=p.separation, seed=p.seed)
    network = DeepReLUNetwork(p.width, p.dim, p.depth, seed=p.seed)
    state = zou.ReLUState.at(network.parameters, network.v, data.X)
    parts = Parts(folder)
    settings = dataclasses.asdict(p)
    del settings["taus"]
    rows: list[dict[str, npt.NDArray[Any]]] = []
    for t, tau in enumerate(p.taus):
        share_of(progress, t / len(p.taus), 0.0)(f"tau = {tau:g}", 0.0)
        measure = partial(_measure, p, tau, state, data.y)
        rows.append(parts.get(f"tau-{tau:g}", {**settings, "tau": tau}, measure))
    arrays: dict[str, npt.NDArray[Any]] = {
        name: np.stack([row[name] for row in rows], axis=1) for name in rows[0]
    }
    slopes = _slopes(data.y * state.outputs)
    floor = floor_at_infinite_width(data.X, data.y * slopes, p.depth, p.separation)
    measured = RegionMeasured(p.n, p.dim, p.depth, p.width, p.taus, arrays, floor)
    notes = [
        "The constant of the gradient floor depends on how the labels lie between the inputs; the reference "
        "(220 to 227) drew other data. It is compared with the infinite-width value of these data."
    ]
    return ExperimentResult(
        EXPERIMENT.id,
        EXPERIMENT.title,
        dataclasses.asdict(p),
        region_rows(measured),
        arrays,
        notes + parts.notes(),
        {"infinite_width_floor": floor},
    )


def _slopes(margins: Float64Array) -> Float64Array:
    """Derivative of log(1 + exp(-z))."""
    with np.errstate(over="ignore"):
        return np.asarray(-1.0 / (1.0 + np.exp(margins)))


def _measure(p: Parameters, tau: float, state: zou.ReLUState, y: Float64Array) -> dict[str, npt.ArrayLike]:
    """Both directions at one radius."""
    rows: dict[str, list[Any]] = {}
    # The same direction at every radius: its effect is compared along a ray.
    for weights in (
        zou.random_perturbation(state, tau, seed=p.seed + 1),
        zou.adversarial_perturbation(state, tau),
    ):
        moved = state.with_weights(weights)
        q = zou.region_quantities(state, moved, y, _slopes(y * moved.outputs), p.separation)
        flips = [(old != new).mean() for old, new in zip(state.patterns, moved.patterns, strict=True)]
        values = {
            "tau": q.tau,
            "lipschitz": q.lipschitz,
            "pattern_change": q.pattern_change,
            "flips": flips,
            "touched": q.touched,
            "gradient_floor": q.gradient_floor,
            "gradient_ceiling": q.gradient_ceiling,
        }
        for name, value in values.items():
            rows.setdefault(name, []).append(value)
    return {name: np.array(values) for name, values in rows.items()}


def draw(result: ExperimentResult) -> Figure:
    """Draw flips, movement of features and gradient constants over the radius."""
    a, p = result.arrays, result.parameters
    taus = np.array(p["taus"], dtype=float)
    depth, width, dim = int(p["depth"]), int(p["width"]), int(p["dim"])
    grid = np.geomspace(taus[0], taus[-1], 60)
    figure, axes = new_figure(1, 3, width=11.5, height=3.8)
    place = axes[0]
    scale = taus ** (2.0 / 3.0)
    place.plot(
        taus, a["pattern_change"][1, :, 0] * scale, "o", color=COLORS["red"], label="layer 1, adversarial"
    )
    place.plot(
        grid,
        adversarial_constant() * grid ** (2 / 3),
        "--",
        color=COLORS["red"],
        linewidth=1,
        label=r"$(3/\pi)^{1/3}\,\tau^{2/3}$",
    )
    place.plot(taus, a["flips"][0, :, -1], "o", color=COLORS["blue"], label=f"layer {depth}, random")
    shares = [flip_share(tau, depth, dim, width)[-1] for tau in grid]
    place.plot(
        grid, shares, "--", color=COLORS["blue"], linewidth=1, label=r"$\arctan(\cdot)/\pi$, infinite width"
    )
    place.set(yscale="log")
    log_ticks(place, taus.tolist())
    place.legend(loc="lower right")
    finish_axes(place, title="Share of activations that flip", xlabel=r"radius $\tau$", ylabel="share")

    place = axes[1]
    for layer, color in zip(
        range(depth), (COLORS["blue"], COLORS["green"], COLORS["purple"]) * depth, strict=False
    ):
        place.plot(
            taus,
            a["lipschitz"][0, :, layer],
            "o-",
            color=color,
            markersize=4,
            label=f"layer {layer + 1}, random",
        )
        place.plot(taus, a["lipschitz"][1, :, layer], "s:", color=color, markersize=4)
    place.plot([], [], "s:", color=COLORS["black"], markersize=4, label="adversarial")
    place.set_ylim(0, 1.3)
    log_ticks(place, taus.tolist())
    place.legend(loc="upper right", ncols=2)
    finish_axes(
        place,
        title="Movement of the features",
        xlabel=r"radius $\tau$",
        ylabel=r"$\max_i\Vert\tilde x_{l,i}-x_{l,i}\Vert\,/\,\sum_{r\leq l}\Vert\tilde W_r-W_r\Vert_2$",
    )

    place = axes[2]
    for name, label, color in (
        ("gradient_floor", "lower bound (vii)", COLORS["blue"]),
        ("gradient_ceiling", "upper bound (viii)", COLORS["red"]),
    ):
        place.plot(taus, a[name][0], "o-", color=color, markersize=4, label=f"{label}, random")
        place.plot(taus, a[name][1], "s:", color=color, markersize=7, fillstyle="none", label="adversarial")
    floor = float(result.summary["infinite_width_floor"])
    place.axhline(floor, color=COLORS["black"], linestyle="--", linewidth=1, label="infinite width")
    place.axhline(1.0, color=COLORS["grey"], linestyle=":", label="bound with constant 1")
    place.set_yscale("log")
    log_ticks(place, taus.tolist())
    place.legend(loc="center right")
    finish_axes(
        place,
        title="Gradient over its bounds (constant 1)",
        xlabel=r"radius $\tau$",
        ylabel="measured / bound",
    )
    caption(figure, f"n = {p['n']}, d = {dim}, L = {depth}, m = {width}, cross-entropy")
    return figure


EXPERIMENT = Experiment(
    id="zou.region",
    title="Deep ReLU networks near their initialisation: Theorem 5.3 measured",
    source="Zou, Cao, Zhou, Gu (2018), Theorem 5.3",
    full=Parameters(),
    quick=Parameters(width=512),
    run=run,
    draw=draw,
    full_seconds=30.0,
    quick_seconds=2.0,
    inferred=dict.fromkeys(
        ("n", "dim", "mu", "separation", "depth", "width", "taus"),
        "the paper has no experiments; this package's choice",
    ),
)
