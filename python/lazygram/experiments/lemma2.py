"""Lemmas 2.1, 2.2 and 2.5 of Du's thesis: how far the initial Gram matrix is off, how much can flip.

Points uniform on the unit sphere, networks ``f(x) = m^{-1/2} sum_r a_r relu(w_r . x)``. Lemma 2.1 bounds
``H(0) - H_inf`` for a random network of width m; Lemmas 2.2 and 2.5 bound how many activation patterns,
and with them H, can change while no neuron moves further than R. The bounds are set beside what random
networks do, and the widths and radii that the proofs ask for are computed for one small example.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lazygram.analysis import eigenvalues, operator_norm, two_layer_quantities
from lazygram.analysis.two_layer_bounds import flip_probability_bound, gram_entry_bound, gram_frobenius_bound
from lazygram.data.synthetic import synthetic
from lazygram.experiments.base import Experiment, ExperimentResult, Progress, share_of
from lazygram.experiments.checks import Fraction, IncreasingInts, PositiveFloats, PositiveInt, Seeds, Settings
from lazygram.experiments.lemma2_expected import Measured, expectations
from lazygram.gram import gram_infinite
from lazygram.networks.two_layer import TwoLayerReLU
from lazygram.plotting import COLORS, finish_axes, log_ticks, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT", "Parameters"]

Float64Array = npt.NDArray[np.float64]
_EXAMPLE = {"n": 5, "dim": 5, "seed": 2}  # whose constants are worked out
_START = {"n": 20, "dim": 10, "width": 64}  # for |y - u(0)|


@dataclass(frozen=True)
class Parameters(Settings):
    """Settings of the experiment.

    Attributes
    ----------
    n, dim : int
        Examples and input dimension.
    widths : tuple of int
        Widths of the networks whose H(0) is compared with H_inf, increasing.
    seeds : tuple of int
        Data and networks; numbers are means over them.
    delta : float
        Failure probability in the bounds.
    flip_width : int
        Width of the networks whose patterns could flip.
    radii : tuple of float
        Distances R within which every neuron may move.
    starts : int
        Random networks for the mean of ``|y - u(0)|^2``.
    """

    n: PositiveInt = 50
    dim: PositiveInt = 20
    widths: IncreasingInts = (500, 2000, 8000, 32000, 128000)
    seeds: Seeds = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    delta: Fraction = 0.1
    flip_width: PositiveInt = 4000
    radii: PositiveFloats = (0.01, 0.02, 0.05)
    starts: PositiveInt = 20000


def run(p: Parameters, folder: Path | None = None, progress: Progress | None = None) -> ExperimentResult:
    """Measure initial Gram matrices, flippable patterns and initial residuals of random networks.

    Returns
    -------
    ExperimentResult
        Arrays: "widths" (w,), "radii" (r,), of shape (seeds, w) "gram_distance" = ||H(0) - H_inf||_2 and
        "entry_ratio" (largest entry over its bound), of shape (seeds, r) "flippable" (fraction) and
        "gram_reach" (sum over i, j of the largest possible |H_ij - H_ij(0)|), "lambda_0" (seeds,),
        "reach_slope" (seeds,): d gram_reach / dR at 0 in theory, "start_residuals" (starts,).
    """
    shape = (len(p.seeds), len(p.widths))
    distance, entry = np.empty(shape), np.empty(shape)
    flippable = np.empty((len(p.seeds), len(p.radii)))
    reach, slope = np.empty_like(flippable), np.empty(len(p.seeds))
    lambda_0 = np.empty(len(p.seeds))
    for s, seed in enumerate(p.seeds):
        tell = share_of(progress, 0.8 * s / len(p.seeds), 0.8 / len(p.seeds), f"seed {seed}")
        X = synthetic(p.n, p.dim, seed=seed).X
        limit = gram_infinite(X)
        inner = np.abs(X @ X.T)
        lambda_0[s] = eigenvalues(limit)[0]
        for w, width in enumerate(p.widths):
            tell(f"width {width}", w / len(p.widths))
            gap = TwoLayerReLU(width, p.dim, seed=seed).gram(X) - limit
            distance[s, w] = operator_norm(gap)
            entry[s, w] = (np.abs(gap) / inner).max() / gram_entry_bound(p.n, width, p.delta)
        flippable[s], reach[s] = _flips(TwoLayerReLU(p.flip_width, p.dim, seed=seed), X, inner, p.radii)
        # To first order in R a pair (i, j) is touched when either example is: twice the chance of one.
        slope[s] = (2 * inner.sum() - np.trace(inner)) * flip_probability_bound(1.0)
    residuals, labels, norms = _starts(p.starts, share_of(progress, 0.8, 0.2, "initial residuals"))
    example = _example(p.delta)
    measured = Measured(
        n=p.n,
        dim=p.dim,
        widths=p.widths,
        radii=p.radii,
        delta=p.delta,
        distance=distance,
        entry_ratio=entry,
        flippable=flippable,
        reach=reach,
        reach_slope=slope,
        lambda_0=lambda_0,
        residuals=residuals,
        label_square=labels,
        input_square=norms,
        example=example,
    )
    rows, notes = expectations(measured)
    arrays = {
        "widths": np.array(p.widths),
        "radii": np.array(p.radii),
        "seeds": np.array(p.seeds),
        "gram_distance": distance,
        "entry_ratio": entry,
        "flippable": flippable,
        "gram_reach": reach,
        "reach_slope": slope,
        "lambda_0": lambda_0,
        "start_residuals": residuals,
    }
    return ExperimentResult(
        EXPERIMENT.id, EXPERIMENT.title, dataclasses.asdict(p), rows, arrays, notes, {"example": example}
    )


def _flips(
    network: TwoLayerReLU, X: Float64Array, inner: Float64Array, radii: tuple[float, ...]
) -> tuple[list[float], list[float]]:
    """Fraction of patterns that can flip within each radius, and the largest change of H they allow."""
    margins = np.abs(network.weights() @ X.T)
    fractions, reaches = [], []
    for radius in radii:
        safe = (margins > radius).astype(np.float64)
        fractions.append(1.0 - float(safe.mean()))
        touched = 1.0 - safe.T @ safe / network.width  # share of neurons that are not safe for i and j
        reaches.append(float((inner * touched).sum()))
    return fractions, reaches


def _starts(count: int, tell: Progress) -> tuple[Float64Array, float, float]:
    """``|y - u(0)|^2`` of random networks on one data set, ``|y|^2`` and ``sum_i |x_i|^2``."""
    data = synthetic(_START["n"], _START["dim"], seed=0)
    residuals = np.empty(count)
    for k in range(count):
        if k % 200 == 0:
            tell(f"network {k} of {count}", k / count)
        u = TwoLayerReLU(_START["width"], _START["dim"], seed=k).predict(data.X, threads=1)
        residuals[k] = np.square(data.y - u).sum()
    return residuals, float(data.y @ data.y), float(np.square(data.X).sum())


def _example(delta: float) -> dict[str, float]:
    """What the proofs ask for, for five points."""
    data = synthetic(_EXAMPLE["n"], _EXAMPLE["dim"], seed=_EXAMPLE["seed"])
    residual = float(np.sqrt(data.y @ data.y + 0.5 * np.square(data.X).sum()))  # its mean square
    q = two_layer_quantities(gram_infinite(data.X), width=1000, residual_norm=residual, delta=delta)
    return {
        "lambda_0": q.lambda_0,
        "width of Lemma 2.1": q.gram_width_sharp,
        "width of Theorem 2.2 (flow)": q.training_width_flow,
        "width of Theorem 2.3 (descent)": q.training_width_gd,
        "radius R (flow)": q.radius_flow,
        "step size bound": q.step_size_bound,
    }


def draw(result: ExperimentResult) -> Figure:
    """Draw distances against the width and flippable patterns against the radius, with their bounds."""
    arrays, p = result.arrays, result.parameters
    figure, axes = new_figure(1, 2, width=9.5, height=3.8)
    widths, radii = arrays["widths"], arrays["radii"]
    place = axes[0]
    place.loglog(widths, arrays["gram_distance"].T, ".", color=COLORS["sky"], markersize=5)
    mean = arrays["gram_distance"].mean(axis=0)
    place.loglog(widths, mean, "o-", color=COLORS["blue"], label="measured, mean of the seeds")
    bound = [gram_frobenius_bound(p["n"], int(width), p["delta"]) for width in widths]
    place.loglog(widths, bound, "--", color=COLORS["red"], label=f"Lemma 2.1, probability {1 - p['delta']:g}")
    place.axhline(arrays["lambda_0"].mean() / 4, color=COLORS["green"], linestyle=":", label=r"$\lambda_0/4$")
    log_ticks(place, widths)
    place.legend()
    finish_axes(
        place,
        title="(a) Initial Gram matrix",
        xlabel="width  m",
        ylabel=r"$\Vert H(0) - H^\infty\Vert_2$",
    )
    place = axes[1]
    fine = np.geomspace(radii.min(), radii.max(), 50)
    change = arrays["gram_reach"] / p["n"] ** 2
    place.loglog(
        radii, arrays["flippable"].mean(axis=0), "o", color=COLORS["blue"], label="patterns: measured"
    )
    place.loglog(
        fine, flip_probability_bound(1.0) * fine, "--", color=COLORS["blue"], label=r"$2R/\sqrt{2\pi}$"
    )
    place.loglog(
        radii,
        change.mean(axis=0),
        "s",
        color=COLORS["orange"],
        label=r"$H$: measured, mean of $|\Delta H_{ij}|$",
    )
    place.loglog(
        fine,
        2 * flip_probability_bound(1.0) * fine,
        "--",
        color=COLORS["red"],
        label=r"Lemma 2.2: $4R/\sqrt{2\pi}$",
    )
    log_ticks(place, radii)
    place.set_ylim(top=8 * flip_probability_bound(1.0) * float(radii.max()))
    place.legend(loc="upper left")
    finish_axes(
        place,
        title="(b) What can change within distance R",
        xlabel="radius  R",
        ylabel="share of patterns; change of H",
    )
    return figure


EXPERIMENT = Experiment(
    id="lemma2",
    title="Initial Gram matrix and flippable patterns against the bounds of the proofs",
    source="Du (2019), thesis, Lemmas 2.1, 2.2 and 2.5, Theorems 2.2 and 2.3",
    full=Parameters(),
    quick=Parameters(widths=(500, 2000, 8000, 32000), seeds=(0, 1, 2, 3, 4), starts=1000),
    run=run,
    draw=draw,
    full_seconds=6.0,
    quick_seconds=1.0,
    inferred=dict.fromkeys(
        ("n", "dim", "widths", "delta", "flip_width", "radii"),
        "the text has no experiment for these lemmas; this package's choice",
    ),
    corrections=(
        "E f(x)^2 of a random network is 1/2 for a unit input (the text has 1): "
        "E |y - u(0)|^2 = |y|^2 + (1/2) sum_i |x_i|^2.",
        "R of Theorem 2.3 must contain delta: c delta lambda_0 / n^2 in place of c lambda_0 / n^2, "
        "for Lemma 2.5 to give a contraction.",
        "Hoeffding's inequality in Lemma 2.1 is used with delta / n^2 for every entry.",
    ),
)
