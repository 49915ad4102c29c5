"""Thesis, Section 4.2: gradient flow balances homogeneous layers, descent up to the order of its step.

Four small networks with quadratic loss: dense ReLU, dense with a linear gap, convolutional, sparse. Checked
at random points: the identities behind Theorems 4.1 to 4.3, for every neuron and layer. Checked along
gradient descent until a fixed time with several step sizes: the drift of the conserved quantities, which
is proportional to the step size. Panels: the identities, the conserved differences over time, the drift.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.experiments.balance_expected import NETWORKS, expectations
from lazygram.experiments.base import Experiment, ExperimentResult, Progress, share_of
from lazygram.experiments.checks import NonNegativeInt, PositiveFloat, PositiveFloats, PositiveInt, Settings
from lazygram.experiments.parts import Parts
from lazygram.optimizers import gradient_descent
from lazygram.plotting import COLORS, finish_axes, new_figure
from lazygram.problems.balancing import (
    HomogeneousNetwork,
    convolution_map,
    layer_balance,
    layer_identity,
    linear_balance,
    linear_identity,
    neuron_balance,
    neuron_change,
    neuron_identity,
    sparse_map,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT", "Parameters"]

Float64Array = npt.NDArray[np.float64]
Weights = tuple[Float64Array, ...]

_RECORDS = 100  # of the differences over time
_IDENTITIES = ("neuron", "layer", "linear", "step")


@dataclass(frozen=True)
class Parameters(Settings):
    """Settings of the experiment.

    Attributes
    ----------
    dim, hidden, outputs : int
        Widths dim-hidden-hidden-outputs of the dense and sparse networks; the convolutional one has `dim`
        pixels, 2 and 2 channels with patches of 3 and 5, and a sparse readout.
    n : int
        Examples, N(0, 1), with N(0, 1) labels.
    time : float
        Descent goes on until the step size times the number of steps is this.
    step_sizes : tuple of float
        Decreasing.
    points : int
        Random points for the identities.
    seed : int
    """

    dim: PositiveInt = 10
    hidden: PositiveInt = 8
    outputs: PositiveInt = 3
    n: PositiveInt = 40
    time: PositiveFloat = 20.0
    step_sizes: PositiveFloats = (0.02, 0.01, 0.005, 0.0025)
    points: PositiveInt = 20
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.step_sizes) < 2 or sorted(set(self.step_sizes), reverse=True) != list(self.step_sizes):
            raise ValueError(f"step_sizes: two or more decreasing ones are needed, got {self.step_sizes}")


def run(p: Parameters, folder: Path | None = None, progress: Progress | None = None) -> ExperimentResult:
    """Check identities at random points and drifts along descent.

    Returns
    -------
    ExperimentResult
        Arrays over the networks (4,): "neuron", "layer", "linear", "step" (largest violation of the
        identities and of the exact change in a step, relative; NaN where one is not claimed), "relu_gap" ()
        (violation of the linear identity at a ReLU), "drift" (4, step sizes), "loss" (4, 2) before and after,
        "start" (4, 2) the conserved differences |W_h|^2 - |W_{h+1}|^2 at first, "time" (k,), "difference"
        (4, k, 2) their trajectories with the largest step size.
    """
    parts = Parts(folder)
    settings = dataclasses.asdict(p)
    found = []
    for k, name in enumerate(NETWORKS):
        tell = share_of(progress, k / len(NETWORKS), 1 / len(NETWORKS), name)
        tell("identities", 0.0)
        found.append(parts.get(name.replace(" ", "-"), settings, partial(_measure, p, k, tell)))
    arrays: dict[str, npt.NDArray[Any]] = {
        key: np.stack([part[key] for part in found])
        for key in (*_IDENTITIES, "drift", "loss", "start", "difference")
    }
    arrays["relu_gap"], arrays["time"] = found[0]["relu_gap"], found[0]["time"]
    rows, notes = expectations(p, arrays)
    return ExperimentResult(EXPERIMENT.id, EXPERIMENT.title, settings, rows, arrays, notes + parts.notes())


def _network(p: Parameters, kind: int) -> tuple[HomogeneousNetwork, Callable[[], Weights]]:
    """The network with its data, and a source of random weights."""
    rng = np.random.default_rng([p.seed, kind])
    X, Y = rng.standard_normal((p.n, p.dim)), rng.standard_normal((p.n, p.outputs))
    shapes = ((p.hidden, p.dim), (p.hidden, p.hidden), (p.outputs, p.hidden))
    maps: list[npt.NDArray[np.int64] | None] = [None, None, None]
    slopes = (0.0, 0.0)
    if NETWORKS[kind] == "linear gap":
        slopes = (1.0, 0.0)
    elif NETWORKS[kind] == "convolutional":
        maps = [convolution_map(p.dim, 1, 2, 3), convolution_map(p.dim, 2, 2, 5)]
        maps.append(sparse_map(p.outputs, 2 * p.dim, 0.5, seed=rng))
    elif NETWORKS[kind] == "sparse":
        maps = [sparse_map(*shape, 0.5, seed=rng) for shape in shapes]

    def draw_weights() -> Weights:
        drawn = []
        for shape, places in zip(shapes, maps, strict=True):
            size: tuple[int, ...] = shape if places is None else (int(places.max()),)
            inputs = shape[1] if places is None else (places > 0).sum(axis=1).mean()
            drawn.append(rng.standard_normal(size) / np.sqrt(inputs))
        return tuple(drawn)

    return HomogeneousNetwork(X, Y, slopes, maps), draw_weights


def _measure(p: Parameters, kind: int, tell: Progress) -> dict[str, npt.ArrayLike]:
    net, draw_weights = _network(p, kind)
    part: dict[str, npt.ArrayLike] = {**_identities(p, net, draw_weights)}
    start = draw_weights()
    dense = all(places is None for places in net.maps)

    def conserved(weights: Weights) -> Float64Array:
        """Everything that flow on this network conserves, as one vector."""
        kept = [layer_balance(weights)]
        kept += neuron_balance(weights) if dense else []
        kept += [linear_balance(*weights[:2]).ravel()] if net.slopes[0] == 1.0 else []
        return np.concatenate(kept)

    first, drifts = conserved(start), []
    for k, eta in enumerate(p.step_sizes):
        tell(f"step size {eta:g}", (k + 1) / (len(p.step_sizes) + 1))
        steps = round(p.time / eta)
        found = gradient_descent(
            net.gradient,
            start,
            eta,
            steps,
            record={"difference": layer_balance},
            record_every=max(1, steps // _RECORDS),
        )
        drifts.append(np.abs(conserved(found.point) - first).max())
        if k == 0:
            part["time"] = eta * found.recorded_steps
            part["difference"] = found.history["difference"]
            part["loss"] = np.array([net.value(start), net.value(found.point)])
    return {**part, "drift": np.array(drifts), "start": layer_balance(start)}


def _identities(
    p: Parameters, net: HomogeneousNetwork, draw_weights: Callable[[], Weights]
) -> dict[str, npt.ArrayLike]:
    """Largest violations over random points, relative to the products that are added up."""
    worst = dict.fromkeys((*_IDENTITIES, "relu_gap"), 0.0)
    dense, linear = all(places is None for places in net.maps), net.slopes[0] == 1.0
    for _ in range(p.points):
        weights = draw_weights()
        gradients = net.gradient(weights)
        scale = max(float(np.abs(w * g).sum()) for w, g in zip(weights, gradients, strict=True))
        gaps = {"layer": np.abs(layer_identity(weights, gradients)).max() / scale}
        if dense:
            gaps["neuron"] = max(np.abs(gap).max() for gap in neuron_identity(weights, gradients)) / scale
            gap = np.abs(linear_identity(weights, gradients, 1)).max() / scale
            gaps["linear" if linear else "relu_gap"] = gap
            eta = p.step_sizes[0]
            moved = [w - eta * g for w, g in zip(weights, gradients, strict=True)]
            pairs = zip(
                neuron_balance(weights), neuron_balance(moved), neuron_change(gradients, eta), strict=True
            )
            size = max(float((w**2).sum()) for w in weights)
            gaps["step"] = max(np.abs(b - a - change).max() for a, b, change in pairs) / size
        for name, gap in gaps.items():
            worst[name] = max(worst[name], float(gap))
    claimed = {"layer"} | ({"neuron", "step"} if dense else set()) | ({"linear"} if linear else set())
    return {name: worst[name] if name in (*claimed, "relu_gap") else np.nan for name in worst}


def draw(result: ExperimentResult) -> Figure:
    """Draw identities, differences over time and drifts."""
    a, p = result.arrays, result.parameters
    figure, axes = new_figure(1, 3, width=10.5, height=3.7)
    colors = [COLORS[name] for name in ("blue", "green", "orange", "purple")]
    shapes = dict(zip(_IDENTITIES, "osD^", strict=True))
    for k, name in enumerate(NETWORKS):
        for offset, (key, shape) in zip((-0.2, 0.0, 0.2, 0.35), shapes.items(), strict=True):
            if np.isfinite(a[key][k]):
                axes[0].semilogy(k + offset, max(a[key][k], 1e-17), shape, color=colors[k])
        sizes = np.array(p["step_sizes"])
        axes[2].loglog(sizes, a["drift"][k], "o-", color=colors[k], label=name)
        for j, line in enumerate(("-", "--")):
            axes[1].plot(a["time"], a["difference"][k][:, j], color=colors[k], linestyle=line)
    for key, shape in shapes.items():
        axes[0].plot([], [], shape, color=COLORS["grey"], label=key)
    axes[0].semilogy(0, float(a["relu_gap"]), "x", color=COLORS["red"], label="linear, at a ReLU")
    axes[0].axhline(1e-13, color=COLORS["grey"], linestyle=":", linewidth=1)
    axes[0].set_xticks(range(len(NETWORKS)), [name.replace(" ", "\n") for name in NETWORKS])
    axes[0].set_ylim(1e-18, 1e2)
    axes[0].legend(loc="center right", ncols=2)
    finish_axes(
        axes[0], title="(a) Identities at random points", xlabel="", ylabel="largest violation, relative"
    )
    axes[1].plot([], [], color=COLORS["grey"], label="layers 1, 2")
    axes[1].plot([], [], color=COLORS["grey"], linestyle="--", label="layers 2, 3")
    axes[1].legend(loc="upper right")
    low, high = axes[1].get_ylim()
    axes[1].set_ylim(low, high + 0.25 * (high - low))
    axes[1].set_xlim(0, p["time"])
    finish_axes(
        axes[1],
        title=f"(b) Differences, step size {p['step_sizes'][0]:g}",
        xlabel="time (steps times step size)",
        ylabel=r"$\Vert W_h\Vert_F^2 - \Vert W_{h+1}\Vert_F^2$",
    )
    top = a["drift"].max()
    axes[2].loglog(sizes, 2 * top * sizes / sizes.max(), color=COLORS["grey"], linestyle=":", label="slope 1")
    axes[2].legend(loc="lower right")
    axes[2].set_ylim(a["drift"].min() / 30, 4 * top)
    axes[2].set_xticks(sizes, [f"{eta:g}" for eta in sizes])
    axes[2].minorticks_off()
    finish_axes(
        axes[2],
        title=f"(c) Drift until time {p['time']:g}",
        xlabel="step size",
        ylabel="largest change of what flow conserves",
    )
    return figure


EXPERIMENT = Experiment(
    id="balance",
    title="Balance of neurons, layers and shared weights",
    source="Du (2019), thesis, Section 4.2, Theorems 4.1 to 4.3",
    full=Parameters(),
    quick=Parameters(step_sizes=(0.02, 0.01, 0.005), points=5),
    run=run,
    draw=draw,
    full_seconds=8.0,
    quick_seconds=4.0,
    inferred=dict.fromkeys(
        ("dim", "hidden", "outputs", "n", "time", "step_sizes"), "the section has no experiment"
    ),
)
