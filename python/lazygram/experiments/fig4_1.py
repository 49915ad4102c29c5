"""Figure 4.1 of Du's thesis: factorisation without a balancing term converges as fast, and stays balanced.

Section 4.1: gradient descent on ``|U V^T - M|_F^2 / 2`` and on the same with ``|U^T U - V^T V|_F^2 / 8``,
from one small random start. Panels: the objective, the ratio of the factors' norms, and their imbalance.

The text gives no sizes, singular values, initialisation or step size; all are parameters here.
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
from lazygram.experiments.checks import NonNegativeInt, PositiveFloat, PositiveFloats, PositiveInt, Settings
from lazygram.experiments.fig4_1_expected import expectations
from lazygram.experiments.parts import Parts
from lazygram.optimizers import gradient_descent
from lazygram.plotting import COLORS, finish_axes, log_scale, new_figure
from lazygram.problems.matrix_factorisation import MatrixFactorisation, gaussian_factors, planted_matrix

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT", "Parameters"]

KINDS = ("plain", "regularised")


@dataclass(frozen=True)
class Parameters(Settings):
    """Settings of the experiment.

    Attributes
    ----------
    rows, columns : int
        Shape of M.
    singular_values : tuple of float
        Of M; their number is the rank of M and of the factors.
    std : float
        Standard deviation of the initial entries of U and V.
    step_size : float
        eta.
    steps : int
        Steps of gradient descent.
    seed : int
        Of M and of the start.
    """

    rows: PositiveInt = 50
    columns: PositiveInt = 40
    singular_values: PositiveFloats = (1.0, 0.9, 0.8, 0.7, 0.6)
    std: PositiveFloat = 0.01
    step_size: PositiveFloat = 0.1
    steps: PositiveInt = 500
    seed: NonNegativeInt = 0


def run(p: Parameters, folder: Path | None = None, progress: Progress | None = None) -> ExperimentResult:
    """Descend on both objectives from the same start and compare with the expected numbers.

    Returns
    -------
    ExperimentResult
        Arrays: "step" (k,), and of shape (2, k), plain first: "value" (of the unregularised f), "imbalance"
        (``|U^T U - V^T V|_F``), "norm_U" and "norm_V" (squared Frobenius norms).
    """
    parts = Parts(folder)
    found = []
    for k, kind in enumerate(KINDS):
        share_of(progress, 0.5 * k, 0.5)(f"{kind} objective", 0.0)
        found.append(parts.get(kind, dataclasses.asdict(p), partial(_descend, p, kind)))
    arrays: dict[str, npt.NDArray[Any]] = {"step": np.arange(p.steps + 1)}
    for name in ("value", "imbalance", "norm_U", "norm_V"):
        arrays[name] = np.stack([part[name] for part in found])
    rows, notes = expectations(p, arrays)
    return ExperimentResult(
        EXPERIMENT.id, EXPERIMENT.title, dataclasses.asdict(p), rows, arrays, notes + parts.notes()
    )


def _descend(p: Parameters, kind: str) -> dict[str, npt.NDArray[Any]]:
    target = planted_matrix(p.rows, p.columns, p.singular_values, seed=np.random.default_rng([p.seed, 0]))
    start = gaussian_factors(
        p.rows, p.columns, len(p.singular_values), p.std, seed=np.random.default_rng([p.seed, 1])
    )
    plain = MatrixFactorisation(target)
    objective = MatrixFactorisation(target, regularised=kind == "regularised")
    record = {
        "value": plain.value,
        "imbalance": lambda point: np.linalg.norm(plain.imbalance(point)),
        "norm_U": lambda point: (point[0] ** 2).sum(),
        "norm_V": lambda point: (point[1] ** 2).sum(),
    }
    return gradient_descent(objective.gradient, start, p.step_size, p.steps, record=record).history


def draw(result: ExperimentResult) -> Figure:
    """Draw the three panels."""
    a = result.arrays
    figure, axes = new_figure(1, 3, width=10.5, height=3.5)
    ratio = a["norm_U"] / a["norm_V"]
    panels = (
        ("(a) Objective", r"$\frac{1}{2}\Vert UV^\top - M\Vert_F^2$", a["value"]),
        ("(b) Ratio of norms", r"$\Vert U\Vert_F^2\,/\,\Vert V\Vert_F^2$", ratio),
        ("(c) Imbalance", r"$\Vert U^\top U - V^\top V\Vert_F$", a["imbalance"]),
    )
    for place, (title, label, curves) in zip(axes, panels, strict=True):
        for curve, kind, color, line in zip(
            curves, KINDS, (COLORS["red"], COLORS["blue"]), ("-", "--"), strict=True
        ):
            place.plot(a["step"], curve, color=color, linestyle=line, label=kind)
        finish_axes(place, title=title, xlabel="iteration", ylabel=label)
        place.set_xlim(0, a["step"][-1])
    log_scale(axes[0], a["value"])
    log_scale(axes[2], a["imbalance"])
    difference = a["norm_U"][0] - a["norm_V"][0]
    axes[1].text(
        0.97,
        0.6,
        f"plain: difference {difference[0]:.4f}\nat first, {difference[-1]:.4f} at the end",
        transform=axes[1].transAxes,
        ha="right",
        fontsize=8,
        color="#555555",
    )
    axes[0].legend(loc="upper right")
    return figure


EXPERIMENT = Experiment(
    id="fig4.1",
    title="Matrix factorisation with and without a balancing term",
    source="Du (2019), thesis, Section 4.1, Figure 4.1",
    full=Parameters(),
    quick=Parameters(),
    run=run,
    draw=draw,
    full_seconds=1.0,
    quick_seconds=1.0,
    inferred={
        "rows": "not in the text",
        "columns": "not in the text",
        "singular_values": "not in the text",
        "std": "not in the text",
        "step_size": "not in the text",
        "steps": "not in the text",
    },
    corrections=(
        "Section 4.1 says that the ratio of the factors' norms remains constant. It goes to 1; what gradient "
        "flow conserves is the difference U^T U - V^T V.",
    ),
)
