"""Theorem 4.4 of Du's thesis: decreasing steps keep a factorisation balanced, bounded and descending.

Section 4.3: gradient descent on ``|U V^T - M|_F^2 / 2`` with the theorem's own steps, of order 1/t, and with
steps of order ``t^-(1/2 + delta)``, which a footnote permits. With the former everything that Lemma 4.1 says
can be seen, but not the convergence: they are too small for any feasible number of steps.
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

from lazygram.experiments.base import Experiment, ExperimentResult, Progress, share_of
from lazygram.experiments.checks import (
    IncreasingFloats,
    NonNegativeInt,
    PositiveFloat,
    PositiveFloats,
    PositiveInt,
    Settings,
)
from lazygram.experiments.parts import Parts
from lazygram.experiments.thm4_4_expected import expectations
from lazygram.optimizers import gradient_descent
from lazygram.plotting import COLORS, finish_axes, log_scale, new_figure, ordered_colors
from lazygram.problems.matrix_factorisation import (
    MatrixFactorisation,
    gaussian_factors,
    permitted_schedule,
    planted_matrix,
    theorem_4_4_schedule,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT", "Parameters"]


@dataclass(frozen=True)
class Parameters(Settings):
    """Settings of the experiment.

    Attributes
    ----------
    rows, columns : int
        Shape of M.
    singular_values : tuple of float
        Of M.
    std : float
        Standard deviation of the initial entries; the theorem has the variance ``epsilon / poly(d)``.
    epsilon : float
        The theorem's accuracy.
    deltas : tuple of float
        Exponents ``1/2 + delta`` of the permitted steps ``0.3 / |M|_F (1 + t / 50)^-(1/2 + delta)``.
    literal_steps, steps : int
        Steps with the theorem's own step sizes, and with each of the permitted ones.
    seed : int
        Of M and of the start.
    """

    rows: PositiveInt = 50
    columns: PositiveInt = 40
    singular_values: PositiveFloats = (1.0, 0.9, 0.8, 0.7, 0.6)
    std: PositiveFloat = 0.01
    epsilon: PositiveFloat = 0.1
    deltas: IncreasingFloats = (0.05, 0.25, 0.5)
    literal_steps: PositiveInt = 20000
    steps: PositiveInt = 1000
    seed: NonNegativeInt = 0


def run(p: Parameters, folder: Path | None = None, progress: Progress | None = None) -> ExperimentResult:
    """Descend with every schedule from the same start and compare with the theorem.

    Returns
    -------
    ExperimentResult
        Arrays "value", "imbalance", "norm" (the larger of |U|_F^2, |V|_F^2) of shape (deltas, steps + 1), and
        the same with the prefix "literal_", shape (literal_steps + 1,); "norm_M" ().
    """
    parts = Parts(folder)
    target = planted_matrix(p.rows, p.columns, p.singular_values, seed=np.random.default_rng([p.seed, 0]))
    size = float(np.linalg.norm(target))
    arrays: dict[str, npt.NDArray[Any]] = {"norm_M": np.array(size)}
    total, done = p.literal_steps + len(p.deltas) * p.steps, 0
    schedules = [("literal", theorem_4_4_schedule(p.epsilon, len(p.singular_values), size), p.literal_steps)]
    schedules += [(f"delta-{delta:g}", permitted_schedule(delta, size), p.steps) for delta in p.deltas]
    found = []
    for name, schedule, steps in schedules:
        tell = share_of(progress, done / total, steps / total, name)
        settings = {**dataclasses.asdict(p), "schedule": name}
        found.append(parts.get(name, settings, partial(_descend, p, target, schedule, steps, tell)))
        done += steps
    for key in ("value", "imbalance", "norm"):
        arrays[f"literal_{key}"] = found[0][key]
        arrays[key] = np.stack([part[key] for part in found[1:]])
    rows, notes = expectations(p, arrays)
    return ExperimentResult(
        EXPERIMENT.id, EXPERIMENT.title, dataclasses.asdict(p), rows, arrays, notes + parts.notes()
    )


def _descend(
    p: Parameters,
    target: npt.NDArray[np.float64],
    schedule: Callable[[int], float],
    steps: int,
    tell: Progress,
) -> dict[str, npt.NDArray[Any]]:
    start = gaussian_factors(
        p.rows, p.columns, len(p.singular_values), p.std, seed=np.random.default_rng([p.seed, 1])
    )
    f = MatrixFactorisation(target)
    record = {
        "value": f.value,
        "imbalance": lambda point: np.linalg.norm(f.imbalance(point)),
        "norm": lambda point: max((point[0] ** 2).sum(), (point[1] ** 2).sum()),
    }

    def show(t: int, point: Any) -> None:
        if t % 500 == 0:
            tell(f"step {t} of {steps}", t / steps)

    return gradient_descent(f.gradient, start, schedule, steps, record=record, callback=show).history


def draw(result: ExperimentResult) -> Figure:
    """Draw the objective and the imbalance for all schedules."""
    a, p = result.arrays, result.parameters
    figure, axes = new_figure(1, 3, width=10.5, height=3.5)
    colors = ordered_colors(len(p["deltas"]))
    for place, key in ((axes[0], "value"), (axes[1], "imbalance")):
        for curve, delta, color in zip(a[key], p["deltas"], colors, strict=True):
            place.plot(curve, color=color, label=rf"$\eta_t\sim t^{{-{0.5 + delta:g}}}$")
        place.set_xlim(0, p["steps"])
    finish_axes(
        axes[0],
        title="(a) Permitted steps: objective",
        xlabel="iteration",
        ylabel=r"$\frac{1}{2}\Vert UV^\top - M\Vert_F^2$",
    )
    log_scale(axes[0], a["value"])
    axes[0].legend(loc="lower left")
    axes[1].plot(a["literal_imbalance"], color=COLORS["red"], linestyle="--", label="the theorem's steps")
    axes[1].axhline(p["epsilon"], color=COLORS["grey"], linestyle=":", label=r"$\epsilon$")
    finish_axes(
        axes[1], title="(b) Imbalance", xlabel="iteration", ylabel=r"$\Vert U^\top U - V^\top V\Vert_F$"
    )
    log_scale(axes[1], a["imbalance"], np.array([p["epsilon"]]))
    axes[1].set_ylim(a["imbalance"].min() / 3, 3 * p["epsilon"])
    axes[1].legend(loc="center right")
    steps = np.arange(1, p["literal_steps"] + 1)
    axes[2].semilogx(steps, (a["literal_value"][0] - a["literal_value"])[1:], color=COLORS["red"])
    finish_axes(
        axes[2],
        title="(c) The theorem's own steps",
        xlabel="iteration (log)",
        ylabel=r"fall of the objective, $f_0 - f_t$",
    )
    axes[2].set_xlim(1, p["literal_steps"])
    axes[2].set_ylim(bottom=0)
    axes[2].text(
        0.95,
        0.1,
        f"$f_0$ = {a['literal_value'][0]:.5f}\n$f_t$ = {a['literal_value'][-1]:.5f} at the end",
        transform=axes[2].transAxes,
        ha="right",
        fontsize=8,
    )
    return figure


EXPERIMENT = Experiment(
    id="thm4.4",
    title="Decreasing steps: balanced, bounded, descending, converging",
    source="Du (2019), thesis, Section 4.3.1, Theorem 4.4 and Lemma 4.1",
    full=Parameters(),
    quick=Parameters(literal_steps=2000),
    run=run,
    draw=draw,
    full_seconds=8.0,
    quick_seconds=2.0,
    inferred={
        "rows": "the theorem has no experiment",
        "columns": "the theorem has no experiment",
        "singular_values": "the theorem has no experiment",
        "std": "the theorem says epsilon / poly(d) for its square",
        "epsilon": "the theorem has no experiment",
        "deltas": "any in (0, 1/2], by the theorem's footnote",
    },
    corrections=(
        "With the literal steps of Theorem 4.4 convergence cannot be observed: f moves in the fifth digit "
        "within 20000 steps. The permitted steps of order t^-(1/2 + delta) show it.",
    ),
)
