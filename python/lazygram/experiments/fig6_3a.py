"""Figure 6.3(a) of Du's thesis: SGD learns a filter faster where the inputs are smoother.

Section 6.4: one patch of unit length whose angle to the teacher follows a truncated normal law of
standard deviation sigma; larger sigma is smoother, the ratio L(0)/gamma(0) of the second moments
falls. SGD from one start with one step size; drawn is ln |w - w*| over epochs. Near the teacher its
slope is ``ln(1 - eta gamma(0))`` per step.

The thesis states neither p, the values of sigma, the step size, the batch nor the start.
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
from lazygram.experiments.checks import Increasing, PositiveFloat, PositiveInt, Seeds, Settings, Some
from lazygram.experiments.fig6_3a_expected import Measured, expectations
from lazygram.experiments.filter_runs import sgd_distances, start_filter
from lazygram.experiments.parts import Parts
from lazygram.optimizers import gradient_descent
from lazygram.plotting import COLORS, caption, finish_axes, new_figure, ordered_colors
from lazygram.problems.conv_filter import population_gradient
from lazygram.problems.filter_inputs import TruncatedNormalInputs
from lazygram.problems.filter_theory import largest_moment, smallest_moment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT", "Parameters"]

_EXACT_DIM = 2  # dimension of the descent without noise
_ROUNDING = float(np.log(np.finfo(np.float64).eps))  # ln |w - w*| stops about there
_NEAR = 1e-12  # where it ends


@dataclass(frozen=True)
class Parameters(Settings):
    """Settings of the experiment.

    Attributes
    ----------
    dims : tuple of int
        Lengths p of the patch, one panel each.
    sigmas : tuple of float
        Standard deviations of the angle, in radians, increasing.
    start : tuple of float
        First coordinates of w0, zeros follow; w* is the first unit vector.
    step_size : float
        eta.
    batch_size, samples, epochs : int
        Batch, fresh samples per epoch, epochs.
    seeds : tuple of int
        Of the samples; curves are their mean.
    exact_steps : int
        Steps of gradient descent on the population loss (p = 2).
    """

    dims: Some[int] = (2, 10)
    sigmas: Increasing = (0.25, 0.5, 1.0, 2.0, 10.0)
    start: tuple[float, ...] = (0.2, 0.4)
    step_size: PositiveFloat = 0.5
    batch_size: PositiveInt = 10
    samples: PositiveInt = 500
    epochs: PositiveInt = 40
    seeds: Seeds = (0, 1, 2, 3, 4)
    exact_steps: PositiveInt = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        for dim in self.dims:
            start_filter(self.start, dim)
            for sigma in self.sigmas:
                TruncatedNormalInputs(dim, sigma)


def run(p: Parameters, folder: Path | None = None, progress: Progress | None = None) -> ExperimentResult:
    """Run SGD for all laws and seeds, and descent without noise, and compare.

    Returns
    -------
    ExperimentResult
        Arrays: "epoch", "dims", "sigmas", "seeds", "log_distance" (dims, sigmas, seeds, epochs + 1),
        "gamma", "L" (dims, sigmas; at angle 0), "exact_log_distance" (sigmas,
        exact_steps + 1; NaN below 1e-12).
    """
    parts = Parts(folder)
    shape = (len(p.dims), len(p.sigmas))
    curves = np.empty((*shape, len(p.seeds), p.epochs + 1))
    moments = np.empty((*shape, 2))
    for d, dim in enumerate(p.dims):
        for s, sigma in enumerate(p.sigmas):
            law = TruncatedNormalInputs(dim, sigma)
            moments[d, s] = smallest_moment(law, 0.0), largest_moment(law, 0.0)
            share = 0.8 / (len(p.dims) * len(p.sigmas))
            tell = share_of(progress, (d * len(p.sigmas) + s) * share, share, f"p = {dim}, sigma = {sigma:g}")
            part = parts.get(
                f"p-{dim}-sigma-{sigma:g}", _settings(p, dim, sigma), partial(_train, p, law, tell)
            )
            curves[d, s] = part["log_distance"]
    exact = np.empty((len(p.sigmas), p.exact_steps + 1))
    for s, sigma in enumerate(p.sigmas):
        share = 0.2 / len(p.sigmas)
        share_of(progress, 0.8 + s * share, share)(f"descent without noise, sigma = {sigma:g}", 0.0)
        settings = {"start": p.start, "step_size": p.step_size, "steps": p.exact_steps, "sigma": sigma}
        exact[s] = parts.get(f"exact-sigma-{sigma:g}", settings, partial(_descend, p, sigma))["log_distance"]
    share_of(progress, 0.0, 1.0)("done", 1.0)
    per_epoch = -(-p.samples // p.batch_size)
    told = dataclasses.asdict(p)
    exact_gamma = np.array([smallest_moment(TruncatedNormalInputs(_EXACT_DIM, s), 0.0) for s in p.sigmas])
    rows, notes = expectations(
        Measured(told, per_epoch, curves, moments[..., 0], moments[..., 1], exact, exact_gamma)
    )
    arrays: dict[str, npt.NDArray[Any]] = {
        "epoch": np.arange(p.epochs + 1),
        "dims": np.array(p.dims),
        "sigmas": np.array(p.sigmas),
        "seeds": np.array(p.seeds),
        "log_distance": curves,
        "gamma": moments[..., 0],
        "L": moments[..., 1],
        "exact_log_distance": exact,
    }
    return ExperimentResult(EXPERIMENT.id, EXPERIMENT.title, told, rows, arrays, notes + parts.notes())


def _settings(p: Parameters, dim: int, sigma: float) -> dict[str, Any]:
    """All that a part depends on."""
    shared = ("start", "step_size", "batch_size", "samples", "epochs", "seeds")
    return {**{name: getattr(p, name) for name in shared}, "dim": dim, "sigma": sigma}


def _train(p: Parameters, law: TruncatedNormalInputs, tell: Progress) -> dict[str, Float64]:
    w0 = start_filter(p.start, law.dim)
    distances = sgd_distances(
        law,
        w0,
        step_size=p.step_size,
        batch_size=p.batch_size,
        samples=p.samples,
        epochs=p.epochs,
        seeds=p.seeds,
        tell=tell,
    )
    return {"log_distance": distances}


def _descend(p: Parameters, sigma: float) -> dict[str, Float64]:
    law = TruncatedNormalInputs(_EXACT_DIM, sigma)
    w_star = np.eye(_EXACT_DIM)[0]
    run = gradient_descent(
        lambda w: population_gradient(w, law),
        start_filter(p.start, _EXACT_DIM),
        p.step_size,
        p.exact_steps,
        record={"distance": lambda w: np.linalg.norm(w - w_star)},
        stop=lambda step, w: np.linalg.norm(w - w_star) < _NEAR,
    )
    distances = np.full(p.exact_steps + 1, np.nan)
    distances[: len(run.recorded_steps)] = np.log(run.history["distance"])
    return {"log_distance": distances}


def draw(result: ExperimentResult) -> Figure:
    """Draw ln |w - w*| over epochs, a panel per dimension; dotted: the predicted slope."""
    data, p = result.arrays, result.parameters
    figure, axes = new_figure(1, len(p["dims"]), width=4.6 * len(p["dims"]), height=3.6)
    colors = ordered_colors(len(p["sigmas"]))
    per_epoch = -(-p["samples"] // p["batch_size"])
    for d, (place, dim) in enumerate(zip(axes, p["dims"], strict=True)):
        lowest = float(data["log_distance"][d].min())
        last = _last_epoch(data["log_distance"][d])
        for s, (sigma, color) in enumerate(zip(p["sigmas"], colors, strict=True)):
            curves = data["log_distance"][d, s]
            epoch = data["epoch"][: last + 1]
            place.plot(epoch, curves.mean(axis=0)[: last + 1], color=color, label=rf"$\sigma$ = {sigma:g}")
            slope = per_epoch * np.log(1 - p["step_size"] * data["gamma"][d, s])
            line = curves[:, 0].mean() + slope * epoch
            place.plot(epoch, np.where(line > lowest, line, np.nan), color=color, ls=":", lw=1)
        finish_axes(
            place,
            title=f"({'ab'[d] if d < 2 else d}) p = {dim}",
            xlabel="epoch",
            ylabel=r"ln $\Vert w - w^*\Vert$",
        )
        place.set_xlim(0, last)
        if lowest < _ROUNDING:
            place.axhline(_ROUNDING, color=COLORS["grey"], linestyle=":", linewidth=1)
            place.text(last, _ROUNDING + 0.5, "rounding", fontsize=7, color="#555555", ha="right")
        place.legend(loc="best")
    seeds = f"mean of {len(p['seeds'])} seeds" if len(p["seeds"]) > 1 else f"seed {p['seeds'][0]}"
    caption(
        figure,
        f"step size {p['step_size']:g}, batch {p['batch_size']}, {p['samples']} samples an epoch, {seeds}; "
        r"dotted: slope $\ln(1 - \eta\,\gamma(0))$ a step",
    )
    return figure


def _last_epoch(curves: Float64) -> int:
    """Epoch to draw up to: three times that at which the first curve reaches the floor of rounding."""
    means = curves.mean(axis=1)
    epochs = np.arange(means.shape[1])
    at_floor = np.sort(np.where(means < _ROUNDING + 1, epochs, means.shape[1] - 1).min(axis=1))
    return int(min(means.shape[1] - 1, 3 * at_floor[0]))


EXPERIMENT = Experiment(
    id="fig6.3a",
    title="Learning one filter by SGD: effect of the smoothness of the inputs",
    source="Du (2019), thesis, Section 6.4, Figure 6.3(a)",
    full=Parameters(),
    quick=Parameters(exact_steps=400),
    run=run,
    draw=draw,
    full_seconds=4.0,
    quick_seconds=3.0,
    inferred={
        "dims": "not stated; only for p = 2 does sigma -> infinity give a rotation invariant law",
        "sigmas": "not stated; read as standard deviations (the text writes N(0, sigma))",
        "start": "not stated ('fixed initialization')",
        "step_size": "not stated ('fixed step size')",
        "batch_size": "not stated",
        "samples": "not stated",
        "epochs": "not stated",
        "seeds": "not stated",
    },
    corrections=(
        "Section 6.4 says that beta falls with smoothness: only L/gamma does; beta goes .156, .147, .134, "
        ".140, .158 for sigma = .25, .5, 1, 2, 10 (p = 2).",
        "Theorems 6.7 and 6.8: beta is 1/(2 pi) for the unit circle and 1/pi for N(0, I), not 1 and p.",
        "The proof of Theorem 6.2 has the second gradient term with the wrong sign and without ZZ'.",
    ),
)
