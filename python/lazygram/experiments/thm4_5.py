"""Theorem 4.5 of Du's thesis: rank-1 factorisation with a constant step converges linearly, nearly balanced.

Section 4.3.2: ``M = s_1 u* v*^T``, small Gaussian starts, constant step ``c_step / s_1``. Descent closes in
four scalars, so that hundreds of starts in thousands of dimensions take a second. Panels: distance to M,
ratio of the signal strengths ``|u . u*| / |v . v*|``, and iterations needed against the dimension.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.experiments.base import Experiment, ExperimentResult, Progress, share_of
from lazygram.experiments.checks import IncreasingInts, NonNegativeInt, PositiveFloat, PositiveInt, Settings
from lazygram.experiments.parts import Parts
from lazygram.experiments.thm4_5_expected import expectations
from lazygram.optimizers import gradient_descent
from lazygram.plotting import COLORS, drawable, finish_axes, log_scale, new_figure
from lazygram.problems.matrix_factorisation import (
    MatrixFactorisation,
    RankOne,
    gaussian_factors,
    lemma_4_5,
    planted_matrix,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT", "Parameters"]

Float64Array = npt.NDArray[np.float64]
_FULL_STARTS, _FULL_STEPS = 4, 250  # of the comparison with the full iteration


@dataclass(frozen=True)
class Parameters(Settings):
    """Settings of the experiment.

    Attributes
    ----------
    rows, columns : int
        Shape of M for the trajectories.
    dimensions : tuple of int
        Sizes d x d for the iterations against the dimension.
    strength : float
        s_1, the singular value of M.
    initial : float
        c_init: the standard deviation of initial entries is ``c_init sqrt(s_1 / d)``, d the larger side of M.
    step : float
        c_step: the step size is ``c_step / s_1``.
    starts : int
        Random starts of every size.
    steps : int
        Steps of gradient descent.
    seed : int
        Of the singular vectors and the starts.
    """

    rows: PositiveInt = 60
    columns: PositiveInt = 40
    dimensions: IncreasingInts = (50, 200, 800, 3200)
    strength: PositiveFloat = 2.0
    initial: PositiveFloat = 0.05
    step: PositiveFloat = 0.1
    starts: PositiveInt = 200
    steps: PositiveInt = 600
    seed: NonNegativeInt = 0


def run(p: Parameters, folder: Path | None = None, progress: Progress | None = None) -> ExperimentResult:
    """Descend from many starts of every size and compare with the theorem.

    Returns
    -------
    ExperimentResult
        Arrays: "scalars" (steps + 1, starts, 4), "distance" (steps + 1, starts), "positive" and "admissible"
        (starts,), "lemma" (7,) (violations by kind, then steps checked), "reduction_error" and
        "recursion_error" () of the four scalars against the full iteration, and "iterations" (dimensions,),
        the median number of iterations to a distance of 1e-3 s_1 from starts with a positive signal.
    """
    parts = Parts(folder)
    tell = share_of(progress, 0.0, 1.0)
    tell(f"{p.rows} x {p.columns}", 0.0)
    settings = dataclasses.asdict(p)
    main = parts.get("trajectories", settings, partial(_trajectories, p))
    arrays: dict[str, npt.NDArray[Any]] = {**main, "dimensions": np.array(p.dimensions)}
    medians = []
    for k, d in enumerate(p.dimensions):
        tell(f"{d} x {d}", (k + 1) / (len(p.dimensions) + 1))
        part = parts.get(f"dimension-{d}", settings, partial(_iterations, p, d))
        medians.append(float(part["median"]))
    arrays["iterations"] = np.array(medians)
    rows, notes = expectations(p, arrays)
    return ExperimentResult(EXPERIMENT.id, EXPERIMENT.title, settings, rows, arrays, notes + parts.notes())


def _start(p: Parameters, rows: int, columns: int) -> tuple[Float64Array, Float64Array, Any]:
    """u*, v* and the starts."""
    rng = np.random.default_rng([p.seed, rows, columns])
    left, right = (planted_matrix(d, 1, [1.0], seed=rng)[:, 0] for d in (rows, columns))
    std = p.initial * np.sqrt(p.strength / max(rows, columns))
    return left, right, gaussian_factors(rows, columns, 1, std, starts=p.starts, seed=rng)


def _trajectories(p: Parameters) -> dict[str, npt.NDArray[Any]]:
    left, right, start = _start(p, p.rows, p.columns)
    reduced, eta = RankOne(p.strength), p.step / p.strength
    scalars = RankOne.project(start, left, right)
    run_of_all = gradient_descent(
        reduced.gradient,
        scalars,
        eta,
        p.steps,
        batched=True,
        record={"scalars": np.copy, "distance": reduced.distance},
    )
    path = run_of_all.history["scalars"]
    full = MatrixFactorisation(p.strength * np.outer(left, right))
    count, steps = min(_FULL_STARTS, p.starts), min(_FULL_STEPS, p.steps)
    check = gradient_descent(
        full.gradient,
        tuple(factor[:count] for factor in start),
        eta,
        steps,
        batched=True,
        record={"scalars": lambda point: RankOne.project(point, left, right)},
    ).history["scalars"]
    h = reduced.signal(path)
    lemma = lemma_4_5(path, p.strength, p.step, p.initial, max(p.rows, p.columns))
    return {
        **run_of_all.history,
        "positive": scalars[:, 0] * scalars[:, 1] > 0,
        "admissible": lemma.admissible,
        "lemma": np.array([*lemma.violations, *lemma.checked]),
        "reduction_error": np.array(np.abs(check - path[: steps + 1, :count]).max()),
        "recursion_error": np.array(np.abs(reduced.next_signal(path, eta)[:-1] - h[1:]).max()),
    }


def _iterations(p: Parameters, dim: int) -> dict[str, npt.NDArray[Any]]:
    left, right, start = _start(p, dim, dim)
    reduced = RankOne(p.strength)
    scalars = RankOne.project(start, left, right)
    scalars = scalars[scalars[:, 0] * scalars[:, 1] > 0]
    near = 1e-3 * p.strength
    found = gradient_descent(
        reduced.gradient,
        scalars,
        p.step / p.strength,
        p.steps,
        batched=True,
        stop=lambda t, x: reduced.distance(x) <= near,
        record_every=p.steps,
    )
    return {"median": np.array(np.median(np.where(found.stopped, found.steps, np.inf)))}


def draw(result: ExperimentResult) -> Figure:
    """Draw distances, ratios and iterations against the dimension."""
    a, p = result.arrays, result.parameters
    figure, axes = new_figure(1, 3, width=10.5, height=3.5)
    ratio = np.abs(a["scalars"][..., 0] / a["scalars"][..., 1])
    kinds = (
        (a["positive"], COLORS["blue"], "positive signal at first"),
        (~a["positive"], COLORS["orange"], "negative"),
    )
    for place, curves in ((axes[0], a["distance"] / p["strength"]), (axes[1], ratio)):
        for chosen, color, label in kinds:
            some = drawable(curves[:, np.flatnonzero(chosen)[:25]])
            if some.shape[1]:
                place.plot(some, color=color, linewidth=0.6, alpha=0.6)
                place.plot([], [], color=color, label=label)
        place.set_xlim(0, min(p["steps"], 250 if place is axes[0] else 60))
    log_scale(axes[0], np.maximum(a["distance"] / p["strength"], 1e-15))
    axes[0].set_ylim(1e-10, 3)
    axes[0].legend(loc="lower left")
    finish_axes(
        axes[0], title="(a) Distance", xlabel="iteration", ylabel=r"$\Vert uv^\top - M\Vert_F\,/\,\sigma_1$"
    )
    log_scale(axes[1], ratio)
    axes[1].set_ylim(1e-4, 1e4)
    for bound in (1e-2, 1e2):
        axes[1].axhline(bound, color=COLORS["grey"], linestyle=":", linewidth=1)
    finish_axes(
        axes[1],
        title="(b) Ratio of signal strengths",
        xlabel="iteration",
        ylabel=r"$|u\cdot u^*|\,/\,|v\cdot v^*|$",
    )
    dims, medians = a["dimensions"], a["iterations"]
    axes[2].semilogx(dims, medians, "o", color=COLORS["blue"], label="median")
    slope = 0.5 / np.log1p(p["step"])
    line = medians.mean() + slope * (np.log(dims) - np.log(dims).mean())
    axes[2].semilogx(dims, line, color=COLORS["grey"], label=r"slope $\frac{1}{2}/\ln(1+c_{step})$")
    axes[2].set_xticks(dims, [str(d) for d in dims])
    axes[2].minorticks_off()
    axes[2].legend(loc="upper left")
    finish_axes(
        axes[2], title=r"(c) Iterations to $10^{-3}\sigma_1$", xlabel="dimension d", ylabel="iterations"
    )
    return figure


EXPERIMENT = Experiment(
    id="thm4.5",
    title="Rank-1 factorisation with a constant step",
    source="Du (2019), thesis, Section 4.3.2, Theorem 4.5 and Lemmas 4.5, 4.6",
    full=Parameters(),
    quick=Parameters(),
    run=run,
    draw=draw,
    full_seconds=4.0,
    quick_seconds=4.0,
    inferred={
        "rows": "the theorem has no experiment",
        "columns": "the theorem has no experiment",
        "strength": "the theorem has no experiment",
        "initial": '"sufficiently small" in the theorem',
        "step": '"sufficiently small" in the theorem',
    },
    corrections=(
        "Theorem 4.5 draws from N(0, delta I) with delta = c_init sqrt(s_1 / d): delta is meant as the "
        "standard deviation, N(0, delta^2 I).",
    ),
)
