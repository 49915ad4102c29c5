"""Theorem 3.4: how the error of random features passes through the layers, fully connected against ResNet.

Covariances <x_i^(h), x_j^(h)> of random networks are compared with their limits S^(h) layer by layer. The
theorem bounds their largest difference by E sqrt(log(H n/delta)/m), E being 2^O(H) for fully connected
networks and (1 + O(1/H))^H for ResNets. Measured times sqrt(m), the error does not grow exponentially for
either.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.data.synthetic import synthetic
from lazygram.experiments.base import Experiment, ExperimentResult, Progress, share_of
from lazygram.experiments.checks import Fraction, NonNegativeInt, PositiveFloat, PositiveInt, Settings, Some
from lazygram.experiments.deep_expected import Propagated, propagation_rows
from lazygram.experiments.parts import Parts
from lazygram.plotting import COLORS, caption, finish_axes, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT", "Parameters"]

Float64Array = npt.NDArray[np.float64]
_KINDS = ("fc", "resnet")
_STEP = 1e-5  # of the finite differences of a dual, an error of about its square


@dataclass(frozen=True)
class Parameters(Settings):
    """Settings of the experiment.

    Attributes
    ----------
    n, dim : int
        Unit inputs and their dimension.
    depth : int
        H.
    width : int
        m.
    draws : int
        Random networks.
    activations : tuple of str
        Of the networks.
    c_res : float
        Of the residual branches.
    delta : float
        Failure probability in the theorem's bound.
    seed : int
        Of inputs and networks.
    """

    n: PositiveInt = 10
    dim: PositiveInt = 10
    depth: PositiveInt = 10
    width: PositiveInt = 1024
    draws: PositiveInt = 40
    activations: Some[str] = ("softplus", "tanh")
    c_res: PositiveFloat = 0.5
    delta: Fraction = 0.1
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        from lazygram.activations import get_activation

        for name in self.activations:
            get_activation(name)


def run(p: Parameters, folder: Path | None = None, progress: Progress | None = None) -> ExperimentResult:
    """Draw the networks and compare with the expected numbers.

    Returns
    -------
    ExperimentResult
        Arrays for every ACTIVATION/KIND: "/error" (draws, H), largest entry of ``<x_i, x_j> - S_ij`` times
        sqrt(m); "/norms" (2,), smallest and largest ``|x_i^(h)|``; "/amplification" (H - 1,), by which an
        error common to all entries is multiplied from layer to layer; "/constant", E with its absolute
        constant 1.
    """
    parts = Parts(folder)
    X = synthetic(p.n, p.dim, seed=p.seed).X
    settings = dataclasses.asdict(p)
    del settings["activations"]
    arrays: dict[str, npt.NDArray[Any]] = {}
    cases = [(activation, kind) for activation in p.activations for kind in _KINDS]
    for k, (activation, kind) in enumerate(cases):
        name = f"{activation}/{kind}"
        tell = share_of(progress, k / len(cases), 1 / len(cases), name)
        measure = partial(_measure, p, activation, kind, X, tell)
        part = parts.get(
            f"{activation}-{kind}", {**settings, "activation": activation, "kind": kind}, measure
        )
        arrays |= {f"{name}/{entry}": value for entry, value in part.items()}
    reference = (p.n, p.dim, p.depth, p.c_res) == (10, 10, 10, 0.5)
    measured = [
        Propagated(activation, kind, p.n, p.width, p.depth, p.delta, arrays, reference)
        for activation, kind in cases
    ]
    notes = [
        "The absolute constant of E is unspecified; it is 1 in the ratios. With it E is a proof's "
        "constant, not a "
        "prediction."
    ]
    return ExperimentResult(
        EXPERIMENT.id,
        EXPERIMENT.title,
        dataclasses.asdict(p),
        [row for case in measured for row in propagation_rows(case)],
        arrays,
        notes + parts.notes(),
    )


def _measure(
    p: Parameters, activation: str, kind: str, X: Float64Array, tell: Progress
) -> dict[str, npt.ArrayLike]:
    """All networks of one activation and architecture."""
    from lazygram.analysis.deep_bounds import propagation_constant
    from lazygram.analysis.deep_runs import dual_slopes, infinite_width, network_constants
    from lazygram.networks import FullyConnectedNetwork, ResidualNetwork

    limits: Any = None
    errors, smallest, largest = [], np.inf, 0.0
    network: Any = None
    for k in range(p.draws):
        tell(f"network {k + 1} of {p.draws}", k / p.draws)
        seed = p.seed + k
        if kind == "fc":
            network = FullyConnectedNetwork(p.width, p.dim, p.depth, activation, seed=seed)
        else:
            network = ResidualNetwork(p.width, p.dim, p.depth, activation, p.c_res, seed=seed)
        if limits is None:
            limit = infinite_width(network)
            limits, means = limit.layer_covariances(X), limit.b(X)
        features = network.forward(X).features[1:]
        errors.append(
            [np.abs(x @ x.T - S).max() * np.sqrt(p.width) for x, S in zip(features, limits[1:], strict=True)]
        )
        norms = np.array([np.linalg.norm(x, axis=1) for x in features])
        smallest, largest = min(smallest, float(norms.min())), max(largest, float(norms.max()))
    constants = network_constants(network)
    slopes = [dual_slopes(activation, S, S.diagonal()[:, None], S.diagonal()[None, :]) for S in limits[:-1]]
    factors = []
    for h in range(2, p.depth + 1):
        common = slopes[h - 1][0] + slopes[h - 1][1] + slopes[h - 1][2]
        if kind == "fc":
            factor = constants.c_sigma * common
        else:
            branch, b = p.c_res / p.depth, means[h - 2]
            cross = np.outer(b, _mean_slopes(activation, limits[h - 1].diagonal()))
            factor = 1.0 + branch * (cross + cross.T) + branch**2 * common
        factors.append(float(np.abs(factor).max()))
    return {
        "error": np.array(errors),
        "norms": np.array([smallest, largest]),
        "amplification": np.array(factors),
        "constant": np.array(
            propagation_constant(
                constants,
                covariance=float(max(np.abs(S).max() for S in limits)),
                mean=float(max(np.abs(b).max() for b in means)),
                dual_lipschitz=max(float(np.abs(slope).sum(axis=0).max()) for slope in slopes),
            )
        ),
    }


def _mean_slopes(activation: str, variances: Float64Array) -> Float64Array:
    """Derivative of E[phi(u)] in the variance of u."""
    from lazygram.activations import get_activation

    mean = get_activation(activation).mean
    values = [(mean(np.sqrt(v + _STEP)) - mean(np.sqrt(v - _STEP))) / (2.0 * _STEP) for v in variances]
    return np.array(values)


def draw(result: ExperimentResult) -> Figure:
    """Draw the error over the layers for both architectures, one panel per activation."""
    a, p = result.arrays, result.parameters
    activations = list(p["activations"])
    layers = np.arange(1, int(p["depth"]) + 1)
    figure, axes = new_figure(1, len(activations) + 1, width=3.9 * (len(activations) + 1), height=3.8)
    styles = (("fc", "fully connected", COLORS["red"]), ("resnet", "ResNet", COLORS["blue"]))
    for place, activation in zip(axes[:-1], activations, strict=True):
        first = []
        for kind, label, color in styles:
            error = a[f"{activation}/{kind}/error"]
            mean, spread = error.mean(axis=0), error.std(axis=0)
            place.plot(layers, mean, "o-", color=color, markersize=4, label=label)
            place.fill_between(layers, mean - spread, mean + spread, color=color, alpha=0.15, linewidth=0)
            first.append(float(mean[0]))
        place.plot(
            layers,
            first[0] * np.sqrt(layers),
            ":",
            color=COLORS["grey"],
            label=r"$\sqrt{h}$: independent errors add up",
        )
        place.set_ylim(bottom=0)
        place.legend(loc="upper left", fontsize=7)
        finish_axes(
            place,
            title=f"Error of the covariances, {activation}",
            xlabel="layer h",
            ylabel=r"$\sqrt{m}\,\max_{ij}|\langle x_i^{(h)},x_j^{(h)}\rangle-S^{(h)}_{ij}|$",
        )
    place = axes[-1]
    for activation, style in zip(activations, ("o-", "s:", "^--", "v-."), strict=False):
        for kind, label, color in styles:
            values = a[f"{activation}/{kind}/amplification"]
            place.plot(layers[1:], values, style, color=color, markersize=4, label=f"{label}, {activation}")
    place.axhline(1.0, color=COLORS["grey"], linewidth=1)
    place.set_ylim(bottom=0)
    place.legend(loc="lower left", fontsize=7)
    finish_axes(
        place, title="Amplification of a common error", xlabel="layer h", ylabel="factor from layer h-1 to h"
    )
    caption(
        figure, f"n = {p['n']}, H = {p['depth']}, m = {p['width']}, mean and spread of {p['draws']} networks"
    )
    return figure


EXPERIMENT = Experiment(
    id="thm3.4",
    title="Propagation of the initial perturbation through the layers",
    source="Du (2019), thesis, Theorem 3.4 and Remark 3.7",
    full=Parameters(),
    quick=Parameters(width=256, draws=40),
    run=run,
    draw=draw,
    full_seconds=40.0,
    quick_seconds=3.0,
    inferred=dict.fromkeys(
        ("n", "dim", "depth", "width", "activations", "c_res"),
        "the text has no experiment on this theorem; this package's choice",
    ),
    corrections=(
        "Theorem 3.4: A_h is printed as 1 + max{|D|, |D D^T|}, which contradicts the remark after it (0 "
        "for fully "
        "connected networks, 1 for ResNets); the 1 is dropped.",
        "The 2^O(H) for fully connected networks is an artefact of the proof for softplus and tanh; for "
        "other activations (GELU) the growth is there.",
    ),
)
