"""The initial deep ReLU network of Zou et al.: Theorem 5.1 (i)-(viii) measured against the width.

The paper has no experiments: it states with which orders norms, distances, outputs and back-propagated
vectors of a network with He initialisation concentrate, and the proofs need all of them at once. Here they
are measured on separated data for several widths, each divided by what it is stated in, and set beside
their infinite-width values where there are some.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.analysis import zou
from lazygram.data import separated_sphere, separation
from lazygram.experiments.base import Experiment, ExperimentResult, Progress, share_of
from lazygram.experiments.checks import (
    EvenWidth,
    EvenWidths,
    IncreasingInts,
    PositiveFloat,
    PositiveInt,
    Seeds,
    Settings,
)
from lazygram.experiments.parts import Parts
from lazygram.experiments.zou_expected import InitialMeasured, arc_cosine_distances, initial_rows, sparse_norm
from lazygram.plotting import COLORS, caption, finish_axes, log_ticks, new_figure, ordered_colors

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT", "Parameters"]

Float64Array = npt.NDArray[np.float64]
_PER_LAYER = ("norm_deviation", "weight_norms", "separation", "small_counts", "mean_counts", "sparse_sup")


@dataclass(frozen=True)
class Parameters(Settings):
    """Settings of the experiment.

    Attributes
    ----------
    n, dim : int
        Examples and input dimension, the constant last coordinate included.
    mu, separation : float
        That coordinate, and the smallest distance between classes that the data are drawn with.
    depth : int
        Hidden layers L.
    widths : tuple of int
        Widths m of all hidden layers, increasing, even.
    seeds : tuple of int
        Networks per width; the data are those of the first seed.
    beta : float
        Threshold of small pre-activations times sqrt(m).
    sparsities : tuple of int
        s of the sparse directions.
    product_examples : int
        Examples whose products of layers are decomposed (the costly part).
    output_draws, output_width : int
        Networks for the variance of the output at one input, and their width.
    """

    n: PositiveInt = 20
    dim: PositiveInt = 10
    mu: float = 0.5
    separation: float = 0.3
    depth: PositiveInt = 4
    widths: EvenWidths = (256, 1024, 4096)
    seeds: Seeds = (0, 1, 2)
    beta: PositiveFloat = 0.1
    sparsities: IncreasingInts = (1, 16, 64)
    product_examples: PositiveInt = 1
    output_draws: PositiveInt = 400
    output_width: EvenWidth = 256


def run(p: Parameters, folder: Path | None = None, progress: Progress | None = None) -> ExperimentResult:
    """Measure all widths and seeds and compare with the expected numbers.

    Returns
    -------
    ExperimentResult
        Arrays of shape (widths, seeds, layers[, sparsities]): "norm_deviation", "weight_norms",
        "separation" (layer 0 included), "pair_distance" (of the closest inputs, layer 0 included),
        "small_counts" (largest over the examples) and "mean_counts", "sparse_sup"; of shape (widths, seeds)
        "product_norm", "output_std", "node_fraction" (smallest of the draws); "output_draws" (draws,), the
        outputs of other networks at one input.
    """
    data = separated_sphere(p.n, p.dim, mu=p.mu, separation=p.separation, seed=p.seeds[0])
    parts = Parts(folder)
    settings = dataclasses.asdict(p)
    del settings["widths"]
    # A width costs about its square, mostly for the norms of products.
    costs = np.array([float(width) ** 2 for width in p.widths])
    shares, starts = 0.9 * costs / costs.sum(), 0.9 * (np.cumsum(costs) - costs) / costs.sum()
    found: list[dict[str, npt.NDArray[Any]]] = []
    for w, width in enumerate(p.widths):
        tell = share_of(progress, float(starts[w]), float(shares[w]), f"width {width}")
        measure = partial(_measure, p, width, data.X, data.y, tell)
        found.append(parts.get(f"width-{width}", {**settings, "width": width}, measure))
    share_of(progress, 0.9, 0.1)("outputs of many networks", 0.0)
    outputs = parts.get("outputs", settings, partial(_outputs, p, data.X[:1]))["outputs"]
    arrays: dict[str, npt.NDArray[Any]] = {
        name: np.stack([part[name] for part in found]) for name in found[0]
    }
    arrays |= {"widths": np.array(p.widths), "output_draws": outputs}
    phi = separation(data.X, data.y)
    c = 1.0 - phi**2 / 2.0
    measured = InitialMeasured(
        p.n,
        p.dim,
        p.depth,
        p.widths,
        p.sparsities,
        p.separation,
        phi,
        p.beta,
        arrays,
        arc_cosine_distances(c, p.depth),
    )
    notes = [
        f"The closest inputs of different labels are {phi:.3g} apart; the data were drawn with at least "
        f"{p.separation:g}, which is phi in the rows."
    ]
    return ExperimentResult(
        EXPERIMENT.id,
        EXPERIMENT.title,
        dataclasses.asdict(p),
        initial_rows(measured),
        arrays,
        notes + parts.notes(),
        {"smallest_distance": phi, "limit_distances": measured.limit_distances.tolist()},
    )


def _measure(
    p: Parameters, width: int, X: Float64Array, y: Float64Array, tell: Progress
) -> dict[str, npt.ArrayLike]:
    """All seeds of one width."""
    rows: dict[str, list[Any]] = {}
    pair = _closest_pair(X, y)
    for s, seed in enumerate(p.seeds):
        tell(f"seed {seed}", s / len(p.seeds))
        state = _network(width, p.depth, X, seed)
        beta = p.beta / math.sqrt(width)
        q = zou.initial_quantities(
            state, y, beta=beta, sparsities=p.sparsities, examples=p.product_examples, seed=seed
        )
        means = [float(np.mean(np.abs(u) <= beta)) / (math.sqrt(width) * beta) for u in state.preactivations]
        values: dict[str, Any] = {name: getattr(q, name) for name in _PER_LAYER if name != "mean_counts"}
        values |= {
            "pair_distance": _pair_distances(state, pair),
            "mean_counts": means,
            "product_norm": q.product_norm,
            "output_std": q.output_std,
            "node_fraction": q.node_fraction.min(),
        }
        for name, value in values.items():
            rows.setdefault(name, []).append(value)
    return {name: np.array(values) for name, values in rows.items()}


def _network(width: int, depth: int, X: Float64Array, seed: int) -> zou.ReLUState:
    from lazygram.networks import DeepReLUNetwork

    network = DeepReLUNetwork(width, X.shape[1], depth, seed=seed)
    return zou.ReLUState.at(network.parameters, network.v, X)


def _closest_pair(X: Float64Array, y: Float64Array) -> tuple[int, int]:
    """Closest inputs of different labels."""
    gaps = np.linalg.norm(X[:, None, :] - X[None, :, :], axis=2)
    gaps[y[:, None] == y[None, :]] = np.inf
    i, j = np.unravel_index(int(np.argmin(gaps)), gaps.shape)
    return int(i), int(j)


def _pair_distances(state: zou.ReLUState, pair: tuple[int, int]) -> list[float]:
    """Distance of the unit features of one pair in every layer, from layer 0."""
    unit = [x[list(pair)] / np.linalg.norm(x[list(pair)], axis=1, keepdims=True) for x in state.features]
    return [float(np.linalg.norm(u[0] - u[1])) for u in unit]


def _outputs(p: Parameters, x: Float64Array) -> dict[str, npt.ArrayLike]:
    """Output of many small networks at one input, with seeds that no other part uses."""
    first = max(p.seeds) + 1
    values = [_network(p.output_width, p.depth, x, first + k).outputs[0] for k in range(p.output_draws)]
    return {"outputs": np.array(values)}


def draw(result: ExperimentResult) -> Figure:
    """Draw norms, distances, counts and sparse directions against their theory."""
    a, p = result.arrays, result.parameters
    widths = a["widths"].astype(float)
    figure, axes = new_figure(2, 2, width=9.0, height=6.0)
    place = axes[0]
    worst = a["norm_deviation"].max(axis=2)
    for s in range(worst.shape[1]):
        place.plot(widths, worst[:, s], "o", color=COLORS["sky"], markersize=4)
    place.plot(
        widths, worst.mean(axis=1), color=COLORS["blue"], label="largest over layers, examples; mean of seeds"
    )
    place.plot(widths, 5.0 / np.sqrt(widths), ":", color=COLORS["black"], label=r"slope $m^{-1/2}$")
    place.set_yscale("log")
    log_ticks(place, widths.tolist())
    place.legend(loc="lower left")
    finish_axes(
        place,
        title="(i) Norms of the features",
        xlabel="width m",
        ylabel=r"$\max_{l,i}\,|\,\Vert x_{l,i}\Vert-1|$",
    )

    place = axes[1]
    layers = np.arange(int(p["depth"]) + 1)
    for color, w in zip(ordered_colors(len(widths)), range(len(widths)), strict=True):
        place.plot(
            layers,
            a["pair_distance"][w].mean(axis=0),
            "o-",
            color=color,
            markersize=3,
            label=f"m = {int(widths[w])}",
        )
    limits = np.array(result.summary["limit_distances"])
    place.plot(layers, limits, "--", color=COLORS["red"], label="infinite width")
    place.axhline(
        float(p["separation"]) / 2, color=COLORS["grey"], linestyle=":", label=r"$\phi/2$ (theorem)"
    )
    place.set_ylim(bottom=0)
    place.set_xticks(layers)
    place.legend(loc="lower left")
    finish_axes(
        place,
        title="(ii) Closest inputs of different labels, layer by layer",
        xlabel="layer l",
        ylabel="distance of unit features",
    )

    place = axes[2]
    place.plot(
        widths,
        a["small_counts"].max(axis=2).mean(axis=1),
        "o-",
        color=COLORS["blue"],
        label="largest over layers, examples",
    )
    place.plot(
        widths, a["mean_counts"].mean(axis=(1, 2)), "s-", color=COLORS["green"], markersize=4, label="mean"
    )
    place.axhline(2.0, color=COLORS["grey"], linestyle=":", label="2 (theorem)")
    place.axhline(1 / math.sqrt(math.pi), color=COLORS["red"], linestyle="--", label=r"$1/\sqrt{\pi}$")
    log_ticks(place, widths.tolist())
    place.set_ylim(0, 2.9)
    place.legend(loc="upper right", ncols=2)
    finish_axes(
        place,
        title=r"(iv) Small pre-activations, $\beta=$" + f"{p['beta']:g}" + r"$/\sqrt{m}$",
        xlabel="width m",
        ylabel=r"$\#\{|\langle w,x\rangle|\leq\beta\}\,/\,(m^{3/2}\beta)$",
    )

    place = axes[3]
    s_values = np.array(p["sparsities"], dtype=float)
    for color, w in zip(ordered_colors(len(widths)), range(len(widths)), strict=True):
        sup = a["sparse_sup"][w, :, 1:].max(axis=1).mean(axis=0)
        place.plot(s_values, sup, "o-", color=color, markersize=4, label=f"m = {int(widths[w])}")
        m = float(widths[w])
        normal = [sparse_norm(int(s), m) / (int(p["depth"]) * math.sqrt(s * math.log(m))) for s in s_values]
        place.plot(s_values, normal, "--", color=color, linewidth=1)
    place.plot([], [], "--", color=COLORS["black"], linewidth=1, label="m normal entries, mean")
    log_ticks(place, s_values.tolist())
    place.set_ylim(bottom=0)
    place.legend(loc="lower left")
    finish_axes(
        place,
        title="(vi) Sparse directions back-propagated",
        xlabel="non-zero entries s",
        ylabel=r"$\sup / (L\sqrt{s\,\log m})$",
    )
    caption(figure, f"n = {p['n']}, d = {p['dim']}, L = {p['depth']}, mean of {len(p['seeds'])} networks")
    return figure


EXPERIMENT = Experiment(
    id="zou.init",
    title="Deep ReLU networks at initialisation: Theorem 5.1 measured",
    source="Zou, Cao, Zhou, Gu (2018), Theorem 5.1",
    full=Parameters(),
    quick=Parameters(widths=(128, 256, 512, 1024), seeds=(0, 1), output_draws=200, output_width=128),
    run=run,
    draw=draw,
    full_seconds=120.0,
    quick_seconds=6.0,
    inferred=dict.fromkeys(
        ("n", "dim", "mu", "separation", "depth", "widths", "beta", "sparsities"),
        "the paper has no experiments; this package's choice",
    ),
    corrections=(
        "Theorem 5.1 gives orders only (except phi/2 in (ii) and 2 in (iv)); the other rows are reference "
        "measurements and infinite-width values.",
    ),
)
