"""Table 5.1 of Du's thesis: how often one random start reaches the global minimum.

Section 5.5.2: p = 6; for every number of patches k and every ratio rho = (1.a*)^2 / |a*|^2 the share
of 5000 starts (v0, a0) of Theorem 5.4, without its choice of signs, from which Algorithm 1 reaches the
global minimum. The dynamics is followed in four scalars, which are exact.

The thesis does not state |a*|, on which the probability depends: 0.65 fits its table best and 1 is the
plain choice, both are run. Beside them stands a closed form for |a*| -> 0, which the thesis does not
have, and a run near that limit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.arrays import check_positive_float
from lazygram.experiments.base import Experiment, ExperimentResult, Progress, share_of
from lazygram.experiments.checks import (
    Increasing,
    IncreasingInts,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Settings,
)
from lazygram.experiments.parts import Parts
from lazygram.experiments.table5_1_expected import PRINTED, Measured, expectations
from lazygram.plotting import finish_axes, new_figure, ordered_colors
from lazygram.problems.gaussian_cnn_reduced import (
    draw_starts,
    limit_probability,
    success_outcomes,
    teacher_output,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT", "Parameters"]

_CURVE = 126  # points of the closed form's curve
_TOGETHER = 20000  # runs up to which all cells of a norm go in one batch


@dataclass(frozen=True)
class Parameters(Settings):
    """Settings of the experiment.

    Attributes
    ----------
    p : int
        Length of a patch.
    ks : tuple of int
        Numbers of patches, increasing.
    ratios : tuple of float
        rho, increasing.
    a_norms : tuple of float
        Values of |a*|, increasing; |w*| is 1.
    limit_norm : float
        |a*| of the run that is compared with the closed form; 0 leaves it out. It takes
        ``1 / limit_norm^2`` times the steps.
    draws : int
        Starts per cell.
    step_size : float
        eta; the probability does not depend on it.
    radius_factor : float
        Radius of the ball of a0 over Theorem 5.4's.
    near : float
        A run has succeeded at phi < near, failed at phi > pi - near with the angle still growing.
    failures_from, max_steps : int
        First step at which failures are looked for; step at which a run is given up.
    seed : int
        The starts of a cell come from the generator of (seed, k, rho).
    """

    p: PositiveInt = 6
    ks: IncreasingInts = (25, 36, 49, 64, 81, 100)
    ratios: Increasing = (0.0, 1.0, 4.0, 9.0, 16.0, 25.0)
    a_norms: Increasing = (0.65, 1.0)
    limit_norm: float = 0.3
    draws: PositiveInt = 5000
    step_size: PositiveFloat = 0.1
    radius_factor: PositiveFloat = 1.0
    near: PositiveFloat = 0.3
    failures_from: NonNegativeInt = 500
    max_steps: PositiveInt = 25000
    seed: NonNegativeInt = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ratios[0] < 0 or self.ratios[-1] > self.ks[0]:
            raise ValueError(f"ratios: must lie between 0 and the smallest k, {self.ks[0]}")
        if self.limit_norm != 0:
            check_positive_float(self.limit_norm, "limit_norm")
        if self.limit_norm in self.a_norms:
            raise ValueError(f"limit_norm: {self.limit_norm:g} is one of a_norms already")


def run(p: Parameters, folder: Path | None = None, progress: Progress | None = None) -> ExperimentResult:
    """Simulate all cells and compare with the printed table and the closed form.

    Returns
    -------
    ExperimentResult
        Arrays: "ks", "ratios", "a_norms" (with `limit_norm` first, if it is run), "probability",
        "unresolved" (norms, ks, ratios), "closed_form", "printed" (ks, ratios; NaN where the text has
        no such cell), "curve_ratios" and "closed_curve" (the closed form between the ratios).
    """
    norms = ((p.limit_norm,) if p.limit_norm else ()) + p.a_norms
    shape = (len(norms), len(p.ks), len(p.ratios))
    successes, failures = np.empty(shape), np.empty(shape)
    groups = _groups(p)
    parts = Parts(folder)
    # A run takes steps in proportion to 1 / |a*|^2.
    costs = [len(group) / norm**2 for norm in norms for group in groups]
    done = 0.0
    for n, norm in enumerate(norms):
        for group in groups:
            cost = len(group) / norm**2
            label = f"|a*| = {norm:g}, k = {', '.join(map(str, group))}"
            tell = share_of(progress, done / sum(costs), cost / sum(costs), label)
            name = f"norm-{norm:g}-k-{'-'.join(map(str, group))}"
            limit = p.limit_norm > 0 and n == 0
            compute = partial(_simulate, p, norm, group, limit, tell)
            part = parts.get(name, _settings(p, norm, group, limit), compute)
            rows = [p.ks.index(k) for k in group]
            successes[n, rows], failures[n, rows] = part["successes"], part["failures"]
            done += cost
    share_of(progress, 0.0, 1.0)("done", 1.0)
    closed = np.array([[limit_probability(k, rho, p.p) for rho in p.ratios] for k in p.ks])
    curve = np.linspace(p.ratios[0], p.ratios[-1], _CURVE)
    closed_curve = np.array([[limit_probability(k, rho, p.p) for rho in curve] for k in p.ks])
    probability, unresolved = successes / p.draws, 1 - (successes + failures) / p.draws
    measured = Measured(p.p, p.ks, p.ratios, norms, p.limit_norm, p.draws, probability, unresolved, closed)
    rows_, notes = expectations(measured)
    printed = np.array([[PRINTED.get(k, {}).get(rho, np.nan) for rho in p.ratios] for k in p.ks])
    arrays: dict[str, npt.NDArray[Any]] = {
        "ks": np.array(p.ks),
        "ratios": np.array(p.ratios),
        "a_norms": np.array(norms),
        "probability": probability,
        "unresolved": unresolved,
        "closed_form": closed,
        "curve_ratios": curve,
        "closed_curve": closed_curve,
        "printed": printed,
    }
    summary: dict[str, Any] = {}
    if np.isfinite(printed).any():
        errors = probability - printed
        summary["rmse_against_printed"] = {
            f"{norm:g}": float(np.sqrt(np.nanmean(error**2)))
            for norm, error in zip(norms, errors, strict=True)
        }
    told = dataclasses.asdict(p)
    return ExperimentResult(
        EXPERIMENT.id, EXPERIMENT.title, told, rows_, arrays, notes + parts.notes(), summary
    )


def _groups(p: Parameters) -> list[tuple[int, ...]]:
    """Values of k whose cells are run together: all, or each for itself when there are many draws."""
    together = p.draws * len(p.ks) * len(p.ratios) <= _TOGETHER
    return [p.ks] if together else [(k,) for k in p.ks]


def _settings(p: Parameters, norm: float, group: Sequence[int], limit: bool) -> dict[str, Any]:
    """All that a part depends on."""
    settings = dataclasses.asdict(p)
    for name in ("ks", "a_norms", "limit_norm"):
        del settings[name]
    return {**settings, "norm": norm, "group": list(group), "limit": limit}


def _simulate(
    p: Parameters, norm: float, group: Sequence[int], limit: bool, tell: Progress
) -> dict[str, Any]:
    """Successes and failures of the cells of some k; (ks, ratios)."""
    cells = []
    for k in group:
        for rho in p.ratios:
            a_star = teacher_output(k, rho, norm)
            rng = np.random.default_rng([p.seed, k, round(rho * 1000)])
            cells.append((a_star, draw_starts(a_star, p.p, p.draws, rng, radius_factor=p.radius_factor)))

    def show(step: int, share: float) -> None:
        if step % 500 == 0:
            tell(f"step {step}, {100 * share:.1f} % of the runs decided", share)

    slower = norm**-2 if limit else 1.0
    outcomes = success_outcomes(
        cells,
        p.step_size,
        near=p.near,
        failures_from=round(slower * p.failures_from),
        max_steps=round(slower * p.max_steps),
        show=show,
    )
    shape = len(group), len(p.ratios)
    return {
        "successes": np.reshape([outcome.successes for outcome in outcomes], shape),
        "failures": np.reshape([outcome.failures for outcome in outcomes], shape),
    }


def draw(result: ExperimentResult) -> Figure:
    """Draw the table, printed and measured, and the probabilities over the ratio."""
    data = result.arrays
    p = result.parameters
    norms = [float(norm) for norm in data["a_norms"]]
    best = norms.index(p["a_norms"][0])
    figure, axes = new_figure(1, 2, width=12.5, height=4.4)
    _draw_table(axes[0], data, norms, p)
    for color, k, measured, closed, printed in zip(
        ordered_colors(len(p["ks"])),
        p["ks"],
        data["probability"][best],
        data["closed_curve"],
        data["printed"],
        strict=True,
    ):
        axes[1].plot(data["curve_ratios"], closed, color=color, linewidth=1)
        axes[1].plot(p["ratios"], measured, color=color, ls="none", marker="o", ms=4, label=f"k = {k}")
        axes[1].plot(p["ratios"], printed, color=color, linestyle="none", marker="_", markersize=13)
    axes[1].plot([], [], color="#444444", linewidth=1, label=r"closed form, $|a^*| \to 0$")
    axes[1].plot(
        [], [], color="#444444", linestyle="none", marker="_", markersize=9, label="printed in the text"
    )
    title = f"(b) Measured at |a*| = {norms[best]:g} (dots), printed (dashes), closed form (lines)"
    finish_axes(
        axes[1],
        title=title,
        xlabel=r"$\rho = (1^\top a^*)^2 / \Vert a^* \Vert^2$",
        ylabel="probability of the global minimum",
    )
    axes[1].legend(loc="lower right")
    return figure


def _draw_table(
    place: Axes, data: dict[str, npt.NDArray[Any]], norms: list[float], p: dict[str, Any]
) -> None:
    """One cell: what the text prints, then what was measured, then the closed form."""
    main = [norms.index(norm) for norm in p["a_norms"]]
    shade = np.nanmean(data["probability"][main], axis=0)
    place.imshow(shade, cmap="Blues", vmin=0.4, vmax=1.6, aspect="auto")
    for row, column in np.ndindex(*shade.shape):
        printed = data["printed"][row, column]
        first = f"{printed:.2f}" if np.isfinite(printed) else "-"
        values = [f"{data['probability'][n, row, column]:.3f}" for n in main]
        closed = f"{data['closed_form'][row, column]:.3f}"
        place.text(column, row - 0.2, first, ha="center", va="center", fontsize=9, fontweight="bold")
        place.text(column, row + 0.2, " ".join([*values, closed]), ha="center", va="center", fontsize=6.5)
    place.set_xticks(range(len(p["ratios"])), [f"{rho:g}" for rho in p["ratios"]])
    place.set_yticks(range(len(p["ks"])), [str(k) for k in p["ks"]])
    place.grid(False)
    told = ", ".join(f"|a*| = {norm:g}" for norm in p["a_norms"])
    finish_axes(
        place,
        title=f"(a) Bold: printed; below: {told}, closed form ({p['draws']} draws)",
        xlabel=r"$\rho = (1^\top a^*)^2 / \Vert a^* \Vert^2$",
        ylabel="k",
    )


EXPERIMENT = Experiment(
    id="table5.1",
    title="Probability of converging to the global minimum",
    source="Du (2019), thesis, Section 5.5.2, Table 5.1",
    full=Parameters(),
    quick=Parameters(draws=400, limit_norm=0.0),
    run=run,
    draw=draw,
    full_seconds=120.0,
    quick_seconds=4.0,
    inferred={
        "a_norms": "not stated; the probability depends on it: 0.65 fits the printed table best, 1 is plain",
        "step_size": "not stated; the probability does not depend on it",
        "near": "when a run counts as converged is not stated",
        "failures_from": "the output weights have settled by then; before, the sign of a.a* says nothing",
        "max_steps": "not stated; the share of undecided runs is checked",
    },
    corrections=(
        "Row k = 25 has six entries, of which the last three are 1.",
        "Theorem 5.5 needs (1.a*)^2 <= |a*|^2 / 2.",
        "The text leaves the relation to k open: the probability is 1 exactly where rho > (k + pi - 1) / pi, "
        "and for small |a*| it has a closed form.",
    ),
)
