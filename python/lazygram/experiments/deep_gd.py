"""Theorems 3.1-3.3: gradient descent on deep networks, held against the rate, the movement and lambda/4.

Fully connected networks, ResNets and a convolutional ResNet are trained with all layers on random labels, at
several widths with a step size of half a stable one. Measured are the loss, which must stay below
``(1 - eta lam/2)^k`` with lam = lambda_min(K^(H)), the distance that every weight matrix moves, and how far
the Gram matrix of the last hidden layer strays. The texts have no experiments on their theorems.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.analysis.spectrum import gram_spectrum
from lazygram.data.pool import Dataset
from lazygram.data.synthetic import synthetic
from lazygram.experiments.base import Experiment, ExperimentResult, Progress, share_of
from lazygram.experiments.checks import (
    IncreasingInts,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    PositiveInts,
    Settings,
    Some,
)
from lazygram.experiments.deep_expected import Case, TrainedCase, case_of, gd_rows
from lazygram.experiments.parts import Parts
from lazygram.plotting import COLORS, caption, drawable, finish_axes, log_ticks, new_figure, ordered_colors
from lazygram.training import StepState, train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT", "Parameters"]

_RECORDED = ("loss", "predictions", "layer_lambda_min", "layer_gram_change", "layer_distance")


@dataclass(frozen=True)
class Parameters(Settings):
    """Settings of the experiment.

    Attributes
    ----------
    cases : tuple of str
        Architecture and depth H, as "fc-2", "resnet-5", "conv-resnet-3".
    n, dim : int
        Examples and dimension of the inputs of "fc" and "resnet".
    widths, steps : tuple of int
        Their widths m, increasing, and the steps of descent for each.
    conv_n, channels, pixels, patch : int
        Examples and images of "conv-resnet".
    conv_widths : tuple of int
        Its widths.
    conv_steps : int
        Its steps.
    c_res : float
        Of the residual branches.
    activation : str
        Of all layers.
    relative_step : float
        Step size times the largest eigenvalue of the infinite-width NTK.
    record_every : int
        Steps between two records; statements about every step are checked at the records.
    seed : int
        Of data and networks.
    """

    cases: Some[str] = ("fc-2", "fc-3", "resnet-3", "resnet-5", "conv-resnet-3")
    n: PositiveInt = 10
    dim: PositiveInt = 10
    widths: IncreasingInts = (128, 512, 2048)
    steps: PositiveInts = (1500, 1500, 600)
    conv_n: PositiveInt = 6
    channels: PositiveInt = 2
    pixels: PositiveInt = 5
    patch: PositiveInt = 3
    conv_widths: IncreasingInts = (64, 256)
    conv_steps: PositiveInt = 400
    c_res: PositiveFloat = 0.5
    activation: str = "softplus"
    relative_step: PositiveFloat = 0.5
    record_every: PositiveInt = 5
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.cases:
            case_of(name)
        if len(self.steps) != len(self.widths):
            raise ValueError(
                f"steps: one number for each of {len(self.widths)} widths, got {len(self.steps)}"
            )

    def runs(self, case: Case) -> list[tuple[int, int]]:
        """Width and steps of every run of a case."""
        if case.architecture == "conv-resnet":
            return [(width, self.conv_steps) for width in self.conv_widths]
        return list(zip(self.widths, self.steps, strict=True))


def run(p: Parameters, folder: Path | None = None, progress: Progress | None = None) -> ExperimentResult:
    """Train all cases at all widths and compare with the theorems and the expected numbers.

    Returns
    -------
    ExperimentResult
        Arrays ``CASE/WIDTH/step`` (k,), ``.../loss`` (k,), ``.../distance`` (H + 1,) at the end,
        ``.../gram_change`` (k,) of the last hidden layer, and ``CASE/lambda`` (2,), lambda_min of K^(H) and
        of the NTK.
    """
    parts = Parts(folder)
    settings = dataclasses.asdict(p)
    for name in ("cases", "widths", "steps", "conv_widths", "conv_steps"):
        del settings[name]
    cases = [case_of(name) for name in p.cases]
    cost = {
        (case.name, width): (case.depth - 0.9) * width**2 * steps
        for case in cases
        for width, steps in p.runs(case)
    }
    total, done = sum(cost.values()), 0.0
    trained: list[TrainedCase] = []
    arrays: dict[str, npt.NDArray[Any]] = {}
    for case in cases:
        data = _data(p, case)
        limits = _network(p, case, 2, limit=True).layer_grams(data.X)
        lam = gram_spectrum(limits[case.depth - 1], "K")[0]
        ntk = gram_spectrum(np.sum(limits, axis=0), "ntk")
        eta = p.relative_step / ntk[1]
        arrays[f"{case.name}/lambda"] = np.array([lam, ntk[0]])
        runs: dict[int, dict[str, npt.NDArray[Any]]] = {}
        for width, steps in p.runs(case):
            share = cost[case.name, width] / total
            tell = share_of(progress, done / total, share, f"{case.name}, width {width}")
            runs[width] = parts.get(
                f"{case.name}-{width}",
                {**settings, "case": case.name, "width": width, "steps": steps},
                partial(_train, p, case, width, steps, eta, data, tell),
            )
            done += cost[case.name, width]
            arrays |= {f"{case.name}/{width}/{name}": value for name, value in runs[width].items()}
        trained.append(TrainedCase(case, lam, ntk[0], eta, runs))
    share_of(progress, 0.0, 1.0)("done", 1.0)
    notes = [
        "The theorems' widths and step sizes have unspecified constants; with all of them 1 these runs are "
        "10^9 times and more too narrow. What is checked is the conclusions.",
        f"Statements about every step are checked at every {p.record_every}th.",
    ]
    return ExperimentResult(
        EXPERIMENT.id,
        EXPERIMENT.title,
        dataclasses.asdict(p),
        gd_rows(trained, reference=_is_reference(p)),
        arrays,
        notes + parts.notes(),
        {
            case.case.name: {"lambda": case.lam, "ntk_lambda_min": case.ntk_min, "step_size": case.step_size}
            for case in trained
        },
    )


def _is_reference(p: Parameters) -> bool:
    """Whether bands were measured at these settings (any seed)."""
    expected = (10, 10, 6, 2, 5, 3, 0.5, "softplus", 0.5)
    given = (p.n, p.dim, p.conv_n, p.channels, p.pixels, p.patch, p.c_res, p.activation, p.relative_step)
    return given == expected


def _data(p: Parameters, case: Case) -> Dataset:
    """Unit inputs, as images for a convolution, and N(0, 1) labels."""
    if case.architecture != "conv-resnet":
        return synthetic(p.n, p.dim, seed=p.seed)
    flat = synthetic(p.conv_n, p.channels * p.pixels, seed=p.seed)
    return dataclasses.replace(flat, X=flat.X.reshape(p.conv_n, p.channels, p.pixels))


def _network(p: Parameters, case: Case, width: int, *, limit: bool = False) -> Any:
    """The network of a case, or (`limit`) its infinitely wide counterpart."""
    from lazygram.analysis.deep_runs import infinite_width
    from lazygram.networks import ConvResidualNetwork, FullyConnectedNetwork, ResidualNetwork

    network: Any
    if case.architecture == "fc":
        network = FullyConnectedNetwork(width, p.dim, case.depth, p.activation, seed=p.seed)
    elif case.architecture == "resnet":
        network = ResidualNetwork(width, p.dim, case.depth, p.activation, p.c_res, seed=p.seed)
    else:
        network = ConvResidualNetwork(
            width, p.channels, (p.pixels,), case.depth, p.activation, p.c_res, p.patch, seed=p.seed
        )
    return infinite_width(network) if limit else network


def _train(
    p: Parameters, case: Case, width: int, steps: int, eta: float, data: Dataset, tell: Progress
) -> dict[str, npt.ArrayLike]:
    """One run; the theory's constants are measured on its initial network."""
    from lazygram.analysis.deep_bounds import movement_bound
    from lazygram.analysis.deep_runs import network_constants

    network = _network(p, case, width)

    def show(state: StepState) -> None:
        tell(f"step {state.step} of {steps}, loss {state.loss:.3e}", state.step / steps)

    finished = train(
        network,
        data.X,
        data.y,
        steps,
        eta,
        record=_RECORDED,
        record_every=p.record_every,
        callbacks=(show,),
    )
    history = finished.history
    last = case.depth - 1
    residual = float(np.linalg.norm(history["predictions"][0] - data.y))
    # R' at lam = 1; the caller divides by lam.
    bound = movement_bound(network_constants(network, data.X), len(data.y), width, 1.0, residual)
    return {
        "step": history["step"],
        "loss": history["loss"],
        "distance": history["layer_distance"][-1],
        "gram_change": history["layer_gram_change"][:, last],
        "lambda_min": history["layer_lambda_min"][:, last],
        "bound_times_lambda": np.array(bound),
        "residual": np.array(residual),
    }


def draw(result: ExperimentResult) -> Figure:
    """Draw loss against the theorem's rate, movement of every layer, and the last Gram matrix's change."""
    a, p = result.arrays, result.parameters
    names = [name for name in p["cases"] if f"{name}/lambda" in a]
    shown = [name for name in names if not name.startswith("conv")]
    shown = [*shown[:1], *[name for name in shown[1:] if name.startswith("resnet")][:1]] or names[:1]
    figure, axes = new_figure(2, 2, width=9.5, height=6.8)
    for place, name in zip(axes[:2], shown, strict=False):
        widths = _widths(a, name)
        for color, width in zip(ordered_colors(len(widths)), widths, strict=True):
            loss = a[f"{name}/{width}/loss"]
            place.plot(a[f"{name}/{width}/step"], drawable(loss / loss[0]), color=color, label=f"m = {width}")
        eta, steps = result.summary[name]["step_size"], a[f"{name}/{widths[0]}/step"]
        for value, style, label in zip(
            a[f"{name}/lambda"],
            ("--", ":"),
            (r"$\lambda_{\min}(K^{(H)})$", r"$\lambda_{\min}$(NTK)"),
            strict=True,
        ):
            rate = (1.0 - 0.5 * eta * value) ** steps
            place.plot(
                steps, rate, style, color=COLORS["red"], label=rf"$(1-\eta\lambda/2)^k$, $\lambda$ = {label}"
            )
        place.set_yscale("log")
        place.legend(loc="lower left", fontsize=7)
        finish_axes(place, title=f"Training loss, {name}", xlabel="step k", ylabel="L(k) / L(0)")
    for place in axes[len(shown) : 2]:
        place.set_visible(False)
    colors = (COLORS["blue"], COLORS["green"], COLORS["orange"], COLORS["purple"], COLORS["sky"])
    markers = "os^Dv"
    everything: set[int] = set()
    for k, name in enumerate(names):
        widths = _widths(a, name)
        everything |= set(widths)
        color, marker = colors[k % len(colors)], markers[k % len(markers)]
        distance = np.array([a[f"{name}/{width}/distance"] for width in widths])
        axes[2].plot(widths, distance[:, 0], f"{marker}-", color=color, markersize=4, label=name)
        if distance.shape[1] > 2:
            axes[2].plot(widths, distance[:, 1:-1].mean(axis=1), f"{marker}:", color=color, markersize=4)
        change = [a[f"{name}/{width}/gram_change"].max() for width in widths]
        axes[3].plot(widths, change, f"{marker}-", color=color, markersize=4, label=name)
        axes[3].axhline(a[f"{name}/lambda"][0] / 4, color=color, linestyle=":", linewidth=1)
    axes[2].plot([], [], ":", color=COLORS["black"], label="layers 2..H, mean")
    axes[3].plot([], [], ":", color=COLORS["black"], label=r"$\lambda/4$ (condition)")
    for place in axes[2:]:
        place.set_yscale("log")
        log_ticks(place, sorted(everything))
        place.set_ylim(top=8.0 * place.get_ylim()[1])  # room for the legend
        place.legend(loc="upper right", fontsize=7, ncols=3)
    finish_axes(
        axes[2],
        title="Distance of layer 1 (solid) from its start",
        xlabel="width m",
        ylabel=r"$\Vert W^{(h)}(k)-W^{(h)}(0)\Vert_F$",
    )
    finish_axes(
        axes[3],
        title="Change of the last hidden layer's Gram matrix",
        xlabel="width m",
        ylabel=r"$\max_k\Vert G^{(H)}(k)-G^{(H)}(0)\Vert_2$",
    )
    caption(
        figure,
        f"{p['activation']}, n = {p['n']}, d = {p['dim']}, step size "
        f"{p['relative_step']:g}/lambda_max(NTK), seed {p['seed']}",
    )
    return figure


def _widths(arrays: dict[str, npt.NDArray[Any]], name: str) -> list[int]:
    return sorted(
        int(key.split("/")[1]) for key in arrays if key.startswith(f"{name}/") and key.endswith("/loss")
    )


EXPERIMENT = Experiment(
    id="thm3.gd",
    title="Gradient descent on deep networks against Theorems 3.1-3.3",
    source="Du (2019), thesis, Theorems 3.1, 3.2, 3.3; Du, Lee, Li, Wang, Zhai (2019)",
    full=Parameters(),
    quick=Parameters(
        cases=("fc-2", "resnet-3", "conv-resnet-3"),
        widths=(128, 512),
        steps=(600, 300),
        conv_widths=(32, 128),
        conv_steps=200,
        record_every=10,
    ),
    run=run,
    draw=draw,
    full_seconds=300.0,
    quick_seconds=5.0,
    inferred=dict.fromkeys(
        ("n", "dim", "widths", "steps", "activation", "relative_step", "c_res", "cases"),
        "the texts have no experiments on these theorems; this package's choice",
    ),
    corrections=(
        "The text's K^(H) takes its expectation over A built from K^(H-1), not K^(H-2) as printed; for H = 1 "
        "it is c_sigma times the matrix of chapter 2.",
        "ResNet: in the cross terms b_i goes with sigma(v), v belonging to j; printed the other way round.",
        "Lemmas 3.12 and 3.19: the factor 1/H of R' holds for layers 2..H only; layer 1 moves 10 to 20 times "
        "more.",
    ),
)
