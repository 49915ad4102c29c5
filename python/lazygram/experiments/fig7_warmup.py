"""Thesis, Section 7.3: a thin band and a far start make one saddle slow, by unnatural initialisation.

Gradient descent with step size 1/4 on ``x_1^2 - x_2^2``: a start with ``|x_2| = (3/2)^(-n)`` needs n steps to
leave ``[-1, 1]^2``. With a slope before the saddle a start R away arrives with ``x_2`` multiplied by
``2^(-R)``. Panels: the path from a far start, steps against n, steps against R.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.experiments.base import (
    Experiment,
    ExperimentResult,
    Progress,
    Row,
    at_most,
    holds,
    in_band,
    share_of,
)
from lazygram.experiments.checks import IncreasingInts, PositiveFloat, Settings
from lazygram.experiments.parts import Parts
from lazygram.optimizers import gradient_descent
from lazygram.plotting import COLORS, finish_axes, new_figure
from lazygram.problems.warm_up import FarStart, ThinBand

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT", "Parameters"]

_STEP_SIZE = 0.25  # of the text; the rates 3/2 and 1/2 belong to it
_EXACT = {10: 26, 50: 135, 200: 541}  # total steps from (-R - .5, .8), plain loop
_PATH = 10  # the far start that the first panel shows


@dataclass(frozen=True)
class Parameters(Settings):
    """Settings of the experiment.

    Attributes
    ----------
    bands : tuple of int
        n of the thin band's half width ``(3/2)^(-n)``.
    distances : tuple of int
        R of the far starts ``(-R - 1/2, height)``.
    height : float
        x_2 of the far starts, at most 1.
    """

    bands: IncreasingInts = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
    distances: IncreasingInts = (10, 20, 50, 100, 200, 500)
    height: PositiveFloat = 0.8

    def __post_init__(self) -> None:
        super().__post_init__()
        if max(self.bands) > 1700 or max(self.distances) > 1000:
            raise ValueError("bands, distances: at most 1700 and 1000, or x_2 underflows")
        if self.height > 1:
            raise ValueError(f"height: must be at most 1, got {self.height}")


def run(p: Parameters, folder: Path | None = None, progress: Progress | None = None) -> ExperimentResult:
    """Count steps from all starts and compare with the formulas.

    Returns
    -------
    ExperimentResult
        Arrays: "bands" and "band_steps", "distances", "far_steps" and "arrival" (|x_2| on entering the
        neighbourhood of the saddle), "path" (k, 2) from distance 10, "steepest" () the largest slope along
        x_1 in the connector, "jumps" (3,) of value, gradient and Hessian across its seams.
    """
    parts = Parts(folder)
    share_of(progress, 0.0, 1.0)("counting steps", 0.0)
    settings = dataclasses.asdict(p)
    arrays: dict[str, npt.NDArray[Any]] = {"bands": np.array(p.bands), "distances": np.array(p.distances)}
    arrays.update(parts.get("steps", settings, partial(_count, p)))
    rows = _expectations(p, arrays)
    notes = ["The text's connector is not printed; the one here is twice continuously differentiable."]
    return ExperimentResult(EXPERIMENT.id, EXPERIMENT.title, settings, rows, arrays, notes + parts.notes())


def _count(p: Parameters) -> dict[str, npt.ArrayLike]:
    def outside(t: int, x: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        return np.asarray(np.abs(x[:, 1]) > 1.0)

    def inside(t: int, x: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        return np.asarray(np.abs(x[:, 0]) <= 1.0)

    band, far, limit = ThinBand(), FarStart(), 10000
    thin = np.array([[0.5, 1.5**-n] for n in p.bands])
    away = np.array([[-R - 0.5, p.height] for R in p.distances])
    descend = partial(gradient_descent, step_size=_STEP_SIZE, steps=limit, batched=True, record_every=limit)
    near = descend(far.gradient, away, stop=inside)
    one = gradient_descent(
        far.gradient,
        np.array([[-_PATH - 0.5, p.height]]),
        _STEP_SIZE,
        limit,
        batched=True,
        record={"x": lambda x: x[0].copy()},
        stop=outside,
    )
    grid = np.stack(np.meshgrid(np.linspace(-2, -1, 201), np.linspace(-1, 1, 41)), axis=-1)
    return {
        "band_steps": descend(band.gradient, thin, stop=outside).steps,
        "far_steps": descend(far.gradient, away, stop=outside).steps,
        "arrival": np.abs(near.point[:, 1]),
        "path": one.history["x"],
        "steepest": far.gradient(grid)[..., 0].max(),
        "jumps": _jumps(far),
    }


def _jumps(f: FarStart) -> list[float]:
    """Largest differences of value, gradient and Hessian across the two seams."""
    heights = np.linspace(-1.0, 1.0, 21)
    sides = [
        np.concatenate([np.stack([np.full(21, seam + s * 1e-10), heights], axis=-1) for seam in (-2.0, -1.0)])
        for s in (-1.0, 1.0)
    ]
    methods = (f.value, f.gradient, f.hessian)
    return [float(np.abs(method(sides[0]) - method(sides[1])).max()) for method in methods]


def _expectations(p: Parameters, arrays: dict[str, npt.NDArray[Any]]) -> list[Row]:
    """Formulas, and exact step counts of a plain loop."""
    n, steps = arrays["bands"], arrays["band_steps"]
    gap = float(np.abs(steps - (n + 1)).max())
    rows = [at_most("thin band: largest |steps - (n + 1)|", "7.3, rate 3/2", gap, 1.0)]
    R, total = arrays["distances"], arrays["far_steps"]
    formula = R * (1.0 + math.log(2.0) / math.log(1.5))
    gap = float(np.abs(total - formula).max())
    rows.append(
        at_most("far start: largest |steps - R (1 + ln 2 / ln 1.5)|", "7.3, rates 1/2, 3/2", gap, 2.0)
    )
    share = arrays["arrival"] / (p.height * 0.5 ** R.astype(float))
    rows += [
        in_band(
            "far start: least |x_2| on arrival / (x_2(0) 2^-R)", "factor 2", float(share.min()), 0.5, 2.0
        ),
        in_band("far start: largest of these", "factor 2", float(share.max()), 0.5, 2.0),
        at_most(
            "connector: largest slope along x_1", "7.3, corrected", float(arrays["steepest"]), -2.0 + 1e-12
        ),
    ]
    for name, jump in zip(("value", "gradient", "Hessian"), arrays["jumps"], strict=True):
        rows.append(at_most(f"connector: jump of the {name}", "C^2", float(jump), 1e-6))
    if p.height == 0.8:
        for distance, count in zip(R.tolist(), total.tolist(), strict=True):
            if distance in _EXACT:
                want = _EXACT[distance]
                rows.append(
                    holds(
                        f"far start, R = {distance}: steps",
                        "plain loop",
                        count == want,
                        str(want),
                        str(count),
                    )
                )
    return rows


def draw(result: ExperimentResult) -> Figure:
    """Draw the path of a far start and the two step counts."""
    a = result.arrays
    figure, axes = new_figure(1, 3, width=10.5, height=3.5)
    path = a["path"]
    axes[0].axvspan(-2, -1, color="#EEEEEE")
    axes[0].semilogy(path[:, 0], np.abs(path[:, 1]), "o-", color=COLORS["blue"], markersize=3, linewidth=0.8)
    axes[0].axhline(1, color=COLORS["grey"], linestyle=":", linewidth=1)
    axes[0].text(-1.5, 0.3, "connector", ha="center", va="center", rotation=90, fontsize=8, color="#555555")
    finish_axes(axes[0], title=f"(a) Path from distance {_PATH}", xlabel=r"$x_1$", ylabel=r"$|x_2|$")
    axes[1].loglog(a["bands"], a["band_steps"], "o", color=COLORS["blue"], label="steps")
    axes[1].loglog(a["bands"], a["bands"] + 1, color=COLORS["grey"], label="n + 1")
    finish_axes(axes[1], title=r"(b) Thin band $|x_2| = (3/2)^{-n}$", xlabel="n", ylabel="steps to leave")
    axes[2].loglog(a["distances"], a["far_steps"], "o", color=COLORS["red"], label="steps")
    slope = 1 + math.log(2) / math.log(1.5)
    axes[2].loglog(a["distances"], slope * a["distances"], color=COLORS["grey"], label=f"{slope:.2f} R")
    finish_axes(axes[2], title="(c) Far start at distance R", xlabel="R", ylabel="steps to leave")
    for place in axes[1:]:
        place.legend(loc="upper left")
    return figure


EXPERIMENT = Experiment(
    id="fig7.warmup",
    title="Thin band and far start: slow by unnatural initialisation",
    source="Du (2019), thesis, Section 7.3, Figure 7.1",
    full=Parameters(),
    quick=Parameters(),
    run=run,
    draw=draw,
    full_seconds=1.0,
    quick_seconds=1.0,
    corrections=(
        "The branches of (7.2) differ by 7 between x_1 = -2 and -1, so that no connector could fall "
        "gently: the far branch needs an offset (-23/6 here), which changes no step.",
    ),
)
