"""How lambda_min(K^(H)) depends on the depth, and how finite networks approach the limits behind it.

The rate of Theorems 3.1-3.3 is the smallest eigenvalue of the last hidden layer's limit K^(H). For a fully
connected network it decays geometrically with the depth, for a ResNet it is (c_res/H)^2 times something that
does not depend on it. The limits themselves are held against Monte Carlo: Gram matrices of all layers of
random networks, whose error must fall like the width to the power -1/2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.analysis.deep_bounds import pairwise_lambda_min
from lazygram.analysis.spectrum import eigenvalues, gram_spectrum
from lazygram.data.synthetic import synthetic, unit_sphere
from lazygram.experiments.base import Experiment, ExperimentResult, Progress, share_of
from lazygram.experiments.checks import IncreasingInts, NonNegativeInt, PositiveFloat, PositiveInt, Settings
from lazygram.experiments.deep_expected import Case, DepthMeasured, case_of, depth_rows
from lazygram.experiments.parts import Parts
from lazygram.plotting import COLORS, caption, finish_axes, log_ticks, new_figure, ordered_colors

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT", "Parameters"]

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Parameters(Settings):
    """Settings of the experiment.

    Attributes
    ----------
    n, dim : int
        Examples and dimension for the eigenvalues.
    fc_depths, resnet_depths : tuple of int
        Depths H, increasing; those of the ResNet from 2 on.
    activation : str
        Of all layers.
    c_res : float
        Of the residual branches.
    mc_cases : tuple of str
        Architectures and depths for Monte Carlo, as "fc-2", "conv-resnet-3"; none to leave it out.
    mc_n, mc_dim : int
        Its examples and their dimension.
    mc_widths : tuple of int
        Its widths, increasing.
    mc_conv_n, channels, pixels, patch : int
        Its images.
    mc_conv_widths : tuple of int
        Widths of convolutional networks, increasing.
    mc_draws : int
        Networks per width.
    seed : int
        Of data and networks.
    """

    n: PositiveInt = 10
    dim: PositiveInt = 10
    fc_depths: IncreasingInts = (1, 2, 3, 4, 6, 8)
    resnet_depths: IncreasingInts = (2, 3, 4, 8, 16)
    activation: str = "softplus"
    c_res: PositiveFloat = 0.5
    mc_cases: tuple[str, ...] = (
        "fc-2",
        "fc-3",
        "fc-4",
        "resnet-2",
        "resnet-3",
        "resnet-4",
        "conv-resnet-2",
        "conv-resnet-3",
    )
    mc_n: PositiveInt = 4
    mc_dim: PositiveInt = 6
    mc_widths: IncreasingInts = (256, 1024, 4096)
    mc_conv_n: PositiveInt = 3
    channels: PositiveInt = 2
    pixels: PositiveInt = 6
    patch: PositiveInt = 3
    mc_conv_widths: IncreasingInts = (128, 512, 2048)
    mc_draws: PositiveInt = 6
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.mc_cases:
            case_of(name)
        if self.resnet_depths[0] < 2:
            raise ValueError("resnet_depths: a ResNet of depth 1 has no residual layer; from 2 on")

    def widths(self, case: Case) -> tuple[int, ...]:
        """Widths of a Monte Carlo case."""
        return self.mc_conv_widths if case.architecture == "conv-resnet" else self.mc_widths


def run(p: Parameters, folder: Path | None = None, progress: Progress | None = None) -> ExperimentResult:
    """Compute the eigenvalues, draw the networks and compare with the expected numbers.

    Returns
    -------
    ExperimentResult
        Arrays "fc_lambda", "fc_ntk" (fc_depths,), "resnet_lambda", "resnet_ntk" (resnet_depths,),
        "fc_kernel", "resnet_kernel" (depths, n, n), which is K^(H),
        "pairwise" (layers,) of the deepest ResNet with "pairwise_floor", "special" (4,), and for every Monte
        Carlo case "CASE/error" (widths, draws, H + 1), largest entry of the error over the limit's.
    """
    from lazygram import architectures

    share_of(progress, 0.0, 0.05)("eigenvalues of the limits", 0.0)
    X = synthetic(p.n, p.dim, seed=p.seed).X
    arrays: dict[str, npt.NDArray[Any]] = {
        "fc_depths": np.array(p.fc_depths),
        "resnet_depths": np.array(p.resnet_depths),
    }
    for kind, depths in (("fc", p.fc_depths), ("resnet", p.resnet_depths)):
        rows, kernels = [], []
        for depth in depths:
            limit: Any
            if kind == "fc":
                limit = architectures.FullyConnected(depth, p.activation)
            else:
                limit = architectures.ResNet(depth, p.activation, p.c_res)
            grams = limit.layer_grams(X)
            kernels.append(grams[depth - 1])
            rows.append((gram_spectrum(kernels[-1])[0], gram_spectrum(np.sum(grams, axis=0))[0]))
        arrays[f"{kind}_lambda"], arrays[f"{kind}_ntk"] = np.array(rows).T
        arrays[f"{kind}_kernel"] = np.stack(kernels)
    deepest: Any = architectures.ResNet(p.resnet_depths[-1], p.activation, p.c_res)
    covariances, means = deepest.layer_covariances(X), deepest.b(X)
    arrays["pairwise"] = np.array([pairwise_lambda_min(S) for S in covariances])
    arrays["pairwise_floor"] = np.array(pairwise_lambda_min(covariances[1] - np.outer(means[0], means[0])))
    arrays["special"] = _special()

    parts = Parts(folder)
    cases = [case_of(name) for name in p.mc_cases]
    settings = dataclasses.asdict(p)
    for name in ("fc_depths", "resnet_depths", "mc_cases", "n", "dim"):
        del settings[name]
    costs = [case.depth * float(p.widths(case)[-1]) ** 2 for case in cases]
    for k, case in enumerate(cases):
        tell = share_of(
            progress, 0.05 + 0.95 * sum(costs[:k]) / sum(costs), 0.95 * costs[k] / sum(costs), case.name
        )
        part = parts.get(case.name, {**settings, "case": case.name}, partial(_monte_carlo, p, case, tell))
        arrays[f"{case.name}/error"] = part["error"]
    measured = DepthMeasured(
        p.fc_depths,
        p.resnet_depths,
        p.c_res,
        [(case, p.widths(case)) for case in cases],
        arrays,
        p.activation == "softplus" and p.c_res == 0.5,
        (p.n, p.dim, p.seed) == (10, 10, 0),
    )
    notes = []
    if (p.n, p.dim) == (10, 10) and p.seed == 0 and p.activation == "softplus":
        notes.append("The reference eigenvalues belong to these ten inputs (seed 0).")
    return ExperimentResult(
        EXPERIMENT.id,
        EXPERIMENT.title,
        dataclasses.asdict(p),
        depth_rows(measured),
        arrays,
        notes + parts.notes(),
    )


def _special() -> Float64Array:
    """lambda_min(K^(2)) of two inputs: x, x; x, 2x; x, -x for softplus, and x, -x for tanh."""
    from lazygram.architectures import FullyConnected

    x = np.array([0.6, 0.8])
    pairs = (("softplus", 1.0), ("softplus", 2.0), ("softplus", -1.0), ("tanh", -1.0))
    values = []
    for name, factor in pairs:
        limit: Any = FullyConnected(2, name)
        values.append(gram_spectrum(limit.last_hidden_gram(np.array([x, factor * x])))[0])
    return np.array(values)


def _monte_carlo(p: Parameters, case: Case, tell: Progress) -> dict[str, npt.ArrayLike]:
    """Errors of every layer's Gram matrix, all widths and draws of one case."""
    from lazygram.analysis.deep_quantities import layer_gaps
    from lazygram.analysis.deep_runs import infinite_width
    from lazygram.networks import ConvResidualNetwork, FullyConnectedNetwork, ResidualNetwork

    rng = np.random.default_rng(p.seed)
    if case.architecture == "conv-resnet":
        X = unit_sphere(p.mc_conv_n, p.channels * p.pixels, rng).reshape(p.mc_conv_n, p.channels, p.pixels)
    else:
        X = unit_sphere(p.mc_n, p.mc_dim, rng)
    limits: Any = None
    rows = []
    for w, width in enumerate(p.widths(case)):
        errors = []
        for draw_number in range(p.mc_draws):
            tell(
                f"width {width}, network {draw_number + 1}",
                (w + draw_number / p.mc_draws) / len(p.widths(case)),
            )
            seed = p.seed + 1000 * w + draw_number
            network: Any
            if case.architecture == "fc":
                network = FullyConnectedNetwork(width, p.mc_dim, case.depth, p.activation, seed=seed)
            elif case.architecture == "resnet":
                network = ResidualNetwork(width, p.mc_dim, case.depth, p.activation, p.c_res, seed=seed)
            else:
                network = ConvResidualNetwork(
                    width, p.channels, (p.pixels,), case.depth, p.activation, p.c_res, p.patch, seed=seed
                )
            if limits is None:
                limits = infinite_width(network).layer_grams(X)
            errors.append([gap.relative for gap in layer_gaps(network.layer_grams(X), limits)])
        rows.append(errors)
    return {"error": np.array(rows)}


def draw(result: ExperimentResult) -> Figure:
    """Draw eigenvalues over the depth, and Monte Carlo errors over the width."""
    a, p = result.arrays, result.parameters
    names = [name for name in p["mc_cases"] if f"{name}/error" in a]
    shown = [next((n for n in reversed(names) if n.startswith(kind)), None) for kind in ("fc", "resnet")]
    figure, axes = new_figure(2, 3, width=11.5, height=7.4)
    place = axes[0]
    place.plot(a["fc_depths"], a["fc_lambda"], "o-", color=COLORS["red"], label=r"fully connected, $K^{(H)}$")
    place.plot(a["fc_depths"], a["fc_ntk"], "o:", color=COLORS["red"], label="fully connected, NTK")
    place.plot(a["resnet_depths"], a["resnet_lambda"], "s-", color=COLORS["blue"], label=r"ResNet, $K^{(H)}$")
    place.plot(a["resnet_depths"], a["resnet_ntk"], "s:", color=COLORS["blue"], label="ResNet, NTK")
    place.set_yscale("log")
    log_ticks(place, sorted({*a["fc_depths"].tolist(), *a["resnet_depths"].tolist()}))
    place.legend(loc="lower left", fontsize=7)
    finish_axes(
        place, title="Smallest eigenvalue over the depth", xlabel="depth H", ylabel=r"$\lambda_{\min}$"
    )
    for place, name in zip(axes[1:3], shown, strict=True):
        if name is None:
            place.set_visible(False)
            continue
        error = a[f"{name}/error"].mean(axis=1)
        widths = np.array(p["mc_conv_widths"] if name.startswith("conv") else p["mc_widths"], dtype=float)
        colors = (COLORS["blue"], COLORS["green"], COLORS["orange"], COLORS["purple"], COLORS["sky"])
        for layer in range(error.shape[1]):
            label = f"h = {layer + 1}" if layer < error.shape[1] - 1 else "readout"
            place.plot(widths, error[:, layer], "o-", markersize=4, color=colors[layer % 5], label=label)
        place.plot(
            widths, 8.0 / np.sqrt(widths), ":", color=COLORS["black"], label=r"$8/\sqrt{m}$ (acceptance)"
        )
        place.set_yscale("log")
        place.set_ylim(bottom=0.25 * float(error.min()))  # room for the legend
        log_ticks(place, widths.tolist())
        place.legend(loc="lower left", fontsize=7, ncols=2)
        finish_axes(
            place,
            title=f"Monte Carlo against the limit, {name}",
            xlabel="width m",
            ylabel=r"$\max|G^{(h)}(0)-\lim|\,/\,\max|\lim|$",
        )
    _draw_spectra(axes[3], "fully connected", a["fc_depths"], a["fc_kernel"])
    _draw_spectra(axes[4], "ResNet", a["resnet_depths"], a["resnet_kernel"])
    _draw_kernels(axes[5], a)
    caption(
        figure,
        f"{p['activation']}, n = {p['n']} unit inputs in {p['dim']} dimensions; Monte Carlo: mean of "
        f"{p['mc_draws']} networks",
    )
    return figure


def _draw_spectra(place: Any, name: str, depths: Any, kernels: Any) -> None:
    """All eigenvalues of K^(H) above rounding, one line per depth."""
    for color, depth, K in zip(ordered_colors(len(depths)), depths, kernels, strict=True):
        values = eigenvalues(K)[::-1]
        values = np.where(values > len(K) * np.finfo(float).eps * values[0], values, np.nan)
        place.semilogy(np.arange(1, len(K) + 1), values, ".-", color=color, label=f"H = {depth}")
    place.legend(loc="lower left", fontsize=7, ncols=2)
    place.set_ylim(bottom=0.02 * place.dataLim.ymin)  # room for the legend
    finish_axes(
        place,
        title=rf"Eigenvalues of $K^{{(H)}}$, {name}",
        xlabel="index, largest first",
        ylabel=r"$\lambda_i(K^{(H)})$",
    )


def _draw_kernels(place: Any, a: Mapping[str, Any]) -> None:
    """Correlations of K^(H) as images, side by side."""
    shown = [("fc", 0), ("fc", -1), ("resnet", -1)]
    n = a["fc_kernel"].shape[1]
    picture = np.full((n, len(shown) * (n + 1) - 1), np.nan)
    labels = []
    for k, (kind, at) in enumerate(shown):
        K = a[f"{kind}_kernel"][at]
        size = np.sqrt(np.diag(K))
        picture[:, k * (n + 1) : k * (n + 1) + n] = K / np.outer(size, size)
        name = "fully conn." if kind == "fc" else "ResNet"
        labels.append(f"{name}\nH = {a[f'{kind}_depths'][at]}")
    image = place.imshow(picture, cmap="viridis", vmax=1.0, interpolation="nearest")
    place.figure.colorbar(image, ax=place, shrink=0.4)
    place.grid(visible=False)
    place.set_yticks([])
    place.set_xticks([k * (n + 1) + (n - 1) / 2 for k in range(len(shown))], labels, fontsize=8)
    finish_axes(place, title=r"Correlations of $K^{(H)}$", xlabel="inputs", ylabel="inputs")


EXPERIMENT = Experiment(
    id="thm3.depth",
    title="Smallest eigenvalue of K^(H) over the depth, and Monte Carlo of the limits",
    source="Du (2019), thesis, Propositions 3.1 and 3.2, Lemma 3.25, Definitions 3.1-3.3",
    full=Parameters(),
    quick=Parameters(
        mc_cases=("fc-3", "resnet-3", "conv-resnet-2"),
        mc_widths=(64, 256, 1024),
        mc_conv_widths=(32, 128, 512),
        mc_draws=12,
    ),
    run=run,
    draw=draw,
    full_seconds=150.0,
    quick_seconds=4.0,
    inferred=dict.fromkeys(
        ("n", "dim", "activation", "c_res", "fc_depths", "resnet_depths"),
        "the texts have no experiments on this; this package's choice",
    ),
    corrections=(
        "Proposition 3.1: 'not parallel' is sufficient, not necessary: x with 2x, and for softplus x "
        "with -x, "
        "leave lambda_min positive.",
        "Lemma 3.25 is false with K^(0) on the right, layer 1 having no skip; it holds with S^(1) - "
        "b^(1) b^(1)T.",
        "Definition 3.3 (convolution): the factor c_res^2/H^2 is missing, the skip term is the pixel "
        "covariance, "
        "and patches are paired by offset with zero padding.",
    ),
)
