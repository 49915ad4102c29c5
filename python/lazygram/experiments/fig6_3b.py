"""Figure 6.3(b) of Du's thesis: SGD learns a filter faster where the patches of an input are closer.

Section 6.4: a common direction as in Figure 6.3(a) with sigma = 1, and k unit patches at random angles
to it, normal with standard deviation sigma_2 and truncated to [-pi, pi]. SGD from one start with one
step size; drawn is ln |w - w*| over epochs. For p = 2 the constants of Theorem 6.3, gamma(0) and
L_cross, are integrated: the first falls and the second rises with sigma_2.

The thesis states neither k, p, the values of sigma_2, the step size, the batch nor the start.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.arrays import Float64
from lazygram.experiments.base import Experiment, ExperimentResult, Progress, share_of
from lazygram.experiments.checks import (
    PositiveFloat,
    PositiveIncreasing,
    PositiveInt,
    PositiveInts,
    Seeds,
    Settings,
    SomePositiveIncreasing,
)
from lazygram.experiments.fig6_3b_expected import Measured, expectations
from lazygram.experiments.filter_runs import sgd_distances, start_filter
from lazygram.experiments.parts import Parts
from lazygram.plotting import COLORS, caption, finish_axes, new_figure, ordered_colors
from lazygram.problems.filter_inputs import NearbyPatches, TruncatedNormalInputs
from lazygram.problems.filter_theory import cross_constant, smallest_moment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT", "Parameters"]

_EXACT_DIM = 2  # dimension of the constants


@dataclass(frozen=True)
class Parameters(Settings):
    """Settings of the experiment.

    Attributes
    ----------
    patches : int
        k.
    sigma : float
        Standard deviation of the common direction's angle to w*.
    spreads : tuple of float
        sigma_2, increasing.
    dims, epochs : tuple of int
        Lengths p of the patch, one panel each, and the epochs for each.
    start : tuple of float
        First coordinates of w0, zeros follow; w* is the first unit vector.
    step_size : float
        eta.
    batch_size, samples : int
        Batch and fresh samples per epoch.
    seeds : tuple of int
        Of the samples; curves are their mean.
    constant_spreads : tuple of float
        Values of sigma_2 for the constants at p = 2; may be empty.
    from_angle : float
        Smallest angle of L_cross as it is compared; the full supremum is computed too.
    """

    patches: PositiveInt = 20
    sigma: PositiveFloat = 1.0
    spreads: SomePositiveIncreasing = (0.1, 0.3, 1.0, 3.0)
    dims: tuple[int, ...] = (2, 10)
    epochs: PositiveInts = (10, 20)
    start: tuple[float, ...] = (0.2, 0.4)
    step_size: PositiveFloat = 0.5
    batch_size: PositiveInt = 10
    samples: PositiveInt = 500
    seeds: Seeds = (0, 1, 2)
    constant_spreads: PositiveIncreasing = (0.05, 0.1, 0.3, 1.0, 3.0)
    from_angle: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.dims or len(self.dims) != len(self.epochs):
            raise ValueError(
                f"epochs: one per dimension ({len(self.dims)}) is needed, got {len(self.epochs)}"
            )
        for dim in self.dims:
            start_filter(self.start, dim)


def run(p: Parameters, folder: Path | None = None, progress: Progress | None = None) -> ExperimentResult:
    """Run SGD for all spreads and seeds, integrate the constants, and compare.

    Returns
    -------
    ExperimentResult
        Arrays: "dims", "spreads", "seeds", "epochs", "log_distance_p" (spreads, seeds, epochs + 1) for
        each dimension p, and of shape (constant spreads,) "constant_spreads", "gamma", "cross" (from the
        smallest angle compared) and "cross_supremum".
    """
    parts = Parts(folder)
    costs = [dim * epochs for dim, epochs in zip(p.dims, p.epochs, strict=True)]
    total, done = 1.2 * sum(costs) * len(p.spreads), 0.0
    curves = {}
    for dim, epochs, cost in zip(p.dims, p.epochs, costs, strict=True):
        curves[dim] = np.empty((len(p.spreads), len(p.seeds), epochs + 1))
        for s, spread in enumerate(p.spreads):
            tell = share_of(progress, done / total, cost / total, f"p = {dim}, sigma_2 = {spread:g}")
            settings = {**_settings(p), "dim": dim, "epochs": epochs, "spread": spread}
            part = parts.get(
                f"p-{dim}-spread-{spread:g}", settings, partial(_train, p, dim, epochs, spread, tell)
            )
            curves[dim][s] = part["log_distance"]
            done += cost
    constants = np.empty((len(p.constant_spreads), 3))
    for s, spread in enumerate(p.constant_spreads):
        share = (1 - done / total) / len(p.constant_spreads)
        share_of(progress, done / total + s * share, share)(f"constants, sigma_2 = {spread:g}", 0.0)
        settings = {"patches": p.patches, "sigma": p.sigma, "spread": spread, "from_angle": p.from_angle}
        constants[s] = parts.get(f"constants-{spread:g}", settings, partial(_constants, p, spread))["values"]
    share_of(progress, 0.0, 1.0)("done", 1.0)
    told = dataclasses.asdict(p)
    rows, notes = expectations(Measured(told, curves, *constants.T))
    arrays: dict[str, npt.NDArray[Any]] = {
        "dims": np.array(p.dims),
        "spreads": np.array(p.spreads),
        "seeds": np.array(p.seeds),
        "epochs": np.array(p.epochs),
        **{f"log_distance_{dim}": curve for dim, curve in curves.items()},
        "constant_spreads": np.array(p.constant_spreads),
        "gamma": constants[:, 0],
        "cross": constants[:, 1],
        "cross_supremum": constants[:, 2],
    }
    return ExperimentResult(EXPERIMENT.id, EXPERIMENT.title, told, rows, arrays, notes + parts.notes())


def _settings(p: Parameters) -> dict[str, Any]:
    """What all parts of SGD depend on."""
    shared = ("patches", "sigma", "start", "step_size", "batch_size", "samples", "seeds")
    return {name: getattr(p, name) for name in shared}


def _law(p: Parameters, dim: int, spread: float) -> NearbyPatches:
    return NearbyPatches(TruncatedNormalInputs(dim, p.sigma), p.patches, spread)


def _train(p: Parameters, dim: int, epochs: int, spread: float, tell: Progress) -> dict[str, Float64]:
    distances = sgd_distances(
        _law(p, dim, spread),
        start_filter(p.start, dim),
        step_size=p.step_size,
        batch_size=p.batch_size,
        samples=p.samples,
        epochs=epochs,
        seeds=p.seeds,
        tell=tell,
    )
    return {"log_distance": distances}


def _constants(p: Parameters, spread: float) -> dict[str, list[float]]:
    law = _law(p, _EXACT_DIM, spread)
    limits = [cross_constant(law, from_angle=angle, grid=9) for angle in (p.from_angle, 0.0)]
    return {"values": [smallest_moment(law, 0.0), *limits]}


def draw(result: ExperimentResult) -> Figure:
    """Draw ln |w - w*| over epochs, a panel per dimension, and the constants over sigma_2."""
    from matplotlib.ticker import MaxNLocator

    data, p = result.arrays, result.parameters
    panels = len(p["dims"]) + bool(len(p["constant_spreads"]))
    figure, axes = new_figure(1, panels, width=3.9 * panels, height=3.6)
    for d, (place, dim) in enumerate(zip(axes, p["dims"], strict=False)):
        curves = data[f"log_distance_{dim}"].mean(axis=1)
        for spread, color, curve in zip(p["spreads"], ordered_colors(len(p["spreads"])), curves, strict=True):
            place.plot(np.arange(len(curve)), curve, color=color, label=rf"$\sigma_2$ = {spread:g}")
        finish_axes(
            place,
            title=f"({'abcdefgh'[d % 8]}) p = {dim}",
            xlabel="epoch",
            ylabel=r"ln $\Vert w - w^*\Vert$",
        )
        place.set_xlim(0, curves.shape[1] - 1)
        place.xaxis.set_major_locator(MaxNLocator(integer=True))
        place.legend(loc="best")
    if len(p["constant_spreads"]):
        place, spread = axes[-1], data["constant_spreads"]
        place.plot(spread, data["gamma"], color=COLORS["blue"], marker="o", ms=4, label=r"$\gamma(0)$")
        label = r"$L_{\rm cross}$"
        place.plot(spread, data["cross_supremum"], color=COLORS["red"], marker="o", ms=4, label=label)
        label = rf"$L_{{\rm cross}}$, $\phi \geq$ {p['from_angle']:g}"
        place.plot(spread, data["cross"], color=COLORS["red"], marker="o", ms=4, ls=":", label=label)
        place.set_xscale("log")
        place.set_ylim(bottom=0)
        title = f"({'abcdefgh'[(panels - 1) % 8]}) Constants, p = 2"
        finish_axes(place, title=title, xlabel=r"$\sigma_2$", ylabel="constant")
        place.legend(loc="best")
    seeds = f"mean of {len(p['seeds'])} seeds" if len(p["seeds"]) > 1 else f"seed {p['seeds'][0]}"
    caption(
        figure,
        f"k = {p['patches']}, sigma = {p['sigma']:g}, step size {p['step_size']:g}, "
        f"batch {p['batch_size']}, {p['samples']} samples an epoch, {seeds}",
    )
    return figure


EXPERIMENT = Experiment(
    id="fig6.3b",
    title="Learning one filter by SGD: effect of the closeness of patches",
    source="Du (2019), thesis, Section 6.4, Figure 6.3(b)",
    full=Parameters(),
    quick=Parameters(seeds=(0,), constant_spreads=(0.1, 1.0)),
    run=run,
    draw=draw,
    full_seconds=15.0,
    quick_seconds=4.0,
    inferred={
        "patches": "not stated",
        "spreads": "not stated; read as standard deviations (the text writes N(0, sigma_2))",
        "dims": "not stated",
        "epochs": "not stated",
        "start": "not stated",
        "step_size": "not stated",
        "batch_size": "not stated",
        "samples": "not stated",
        "seeds": "not stated",
        "from_angle": "L_cross over all angles does not vanish as the patches come together, see the notes",
    },
    corrections=(
        "Assumption 6.2: beta is about the region of w and -w*; the region of w and w* is printed.",
        "Theorem 6.5: the lower bound gamma >= gamma_avg - 4 (1 - cos rho) is false for small rho, where the "
        "loss is of first order in rho.",
        "Section 6.3.1 has L_cross small for close patches. Over all angles it is not: for k = 20, p = 2 it "
        "tends to 0.062, not to 0, as sigma_2 -> 0 (at angles below sigma_2 a filter's edge cuts patches "
        "apart). The condition gamma > 6 L_cross of Theorem 6.3 fails for sigma = 1, and SGD converges "
        "nevertheless.",
    ),
)
