"""Figures 7.2 and 7.5 of Du's thesis: the tube, the octopus and descent through them, with their properties.

Panels: f over the plane of two coordinates with its saddles, its minimum and a path of gradient descent (the
tube), the same mirrored (the octopus), and a path through the tube of three coordinates. Checked: value,
gradient and Hessian are continuous where the pieces meet, the stationary points are the listed ones, and the
bounds of slopes and curvatures, of which two printed ones are false.
"""

from __future__ import annotations

import dataclasses
import itertools
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
    at_least,
    at_most,
    in_band,
    share_of,
)
from lazygram.experiments.checks import IncreasingFloats, PositiveFloat, PositiveInt, Settings
from lazygram.experiments.parts import Parts
from lazygram.optimizers import gradient_descent
from lazygram.plotting import COLORS, finish_axes, new_figure
from lazygram.problems.octopus import Octopus

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT", "Parameters"]

Float64Array = npt.NDArray[np.float64]

_OFFSET = 1e-10  # of the two sides of a seam, relative
# Largest downward slope in the buffer over 4 L tau, and largest curvature, for gamma = 1, tau = e.
_SLOPE = {1.0: 1.83, 1.5: 1.59, 2.0: 1.48, 3.0: 1.37}
_CURVATURE = {1.0: 15.5, 1.5: 21.1, 2.0: 26.6, 3.0: 37.8}
_MEASURED = (
    "jumps",
    "stationary",
    "saddle_values",
    "saddle_curvatures",
    "least_gradient",
    "slope",
    "curvature",
)


@dataclass(frozen=True)
class Parameters(Settings):
    """Settings of the experiment.

    Attributes
    ----------
    curvatures : tuple of float
        Values of L that are checked; the panels show the last one.
    gamma, tau : float
        Of the function.
    dim : int
        Coordinates for the checks of seams and stationary points.
    grid : int
        Points along a side of the grids.
    """

    curvatures: IncreasingFloats = (1.0, 1.5, 2.0, 3.0)
    gamma: PositiveFloat = 1.0
    tau: PositiveFloat = math.e
    dim: int = 4
    grid: PositiveInt = 401

    def __post_init__(self) -> None:
        super().__post_init__()
        for L in self.curvatures:
            Octopus(self.dim, L, self.gamma, self.tau)
        if self.grid < 20:
            raise ValueError(f"grid: at least 20 are needed, got {self.grid}")


def run(p: Parameters, folder: Path | None = None, progress: Progress | None = None) -> ExperimentResult:
    """Check the properties for every L, and compute what the panels show.

    Returns
    -------
    ExperimentResult
        Arrays over L: "jumps" (L, 3) of value, gradient, Hessian across the seams, "stationary" (largest
        gradient at saddles and minima), "saddle_values" and "saddle_curvatures" (largest deviations from -m
        nu and from the diagonal of 2 L and one -2 gamma), "least_gradient" (in the buffer, over 2 gamma tau),
        "slope" (steepest along the tube in the buffer, over -4 L tau), "curvature" (largest eigenvalue of the
        Hessian). For the panels: "plane" and "values" (f on a grid, NaN outside of the domain), "path" (k,
        2), "path3" (k, 3).
    """
    parts = Parts(folder)
    settings, found = dataclasses.asdict(p), []
    for k, L in enumerate(p.curvatures):
        share_of(progress, k / (len(p.curvatures) + 1), 0.0)(f"L = {L:g}", 0.0)
        found.append(parts.get(f"L-{L:g}", {**settings, "L": L}, partial(_measure, p, L)))
    arrays: dict[str, npt.NDArray[Any]] = {key: np.stack([part[key] for part in found]) for key in _MEASURED}
    arrays.update(parts.get("panels", settings, partial(_panels, p)))
    share_of(progress, 0.0, 1.0)("done", 1.0)
    rows, notes = _expectations(p, arrays)
    return ExperimentResult(EXPERIMENT.id, EXPERIMENT.title, settings, rows, arrays, notes + parts.notes())


def _measure(p: Parameters, L: float) -> dict[str, npt.ArrayLike]:
    f = Octopus(p.dim, L, p.gamma, p.tau)
    points = np.concatenate([f.saddles(), f.minimum()[None]])
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=p.dim)))
    everywhere = (signs[:, None] * points).reshape(-1, p.dim)
    expected = np.full((p.dim + 1, p.dim), 2.0 * L)
    expected[:-1][np.eye(p.dim, dtype=bool)] = -2.0 * p.gamma
    deviation = f.hessian(points) - expected[:, :, None] * np.eye(p.dim)
    # The buffer of the first coordinate of two; its pieces are those of every coordinate but the last.
    plane = Octopus(2, L, p.gamma, p.tau)
    along = np.linspace(p.tau, 2.0 * p.tau, p.grid)[:-1]
    buffer = np.stack(np.meshgrid(along, np.linspace(0.0, p.tau, p.grid), indexing="ij"), axis=-1)
    slopes = plane.gradient(buffer)
    eigenvalues = np.linalg.eigvalsh(plane.hessian(buffer))
    return {
        "jumps": _jumps(f),
        "stationary": np.abs(f.gradient(everywhere)).max(),
        "saddle_values": np.abs(f.value(points) + f.nu * np.arange(p.dim + 1)).max(),
        "saddle_curvatures": np.abs(deviation).max(),
        "least_gradient": np.linalg.norm(slopes, axis=-1).min() / (2.0 * p.gamma * p.tau),
        "slope": slopes[..., 0].min() / (-4.0 * L * p.tau),
        "curvature": np.abs(eigenvalues).max(),
    }


def _jumps(f: Octopus) -> list[float]:
    """Largest differences of value, gradient and Hessian across the seams, with all signs."""
    rng = np.random.default_rng(0)
    sides: tuple[list[Float64Array], list[Float64Array]] = ([], [])
    for n, edge in itertools.product(range(f.dim), (f.tau, 2.0 * f.tau)):
        for signs in itertools.product((-1.0, 1.0), repeat=f.dim):
            x = rng.uniform(0.0, f.tau, f.dim)
            x[:n] = rng.uniform(2.0 * f.tau, 6.0 * f.tau, n)
            for side, factor in zip(sides, (1.0 - _OFFSET, 1.0 + _OFFSET), strict=True):
                x[n] = edge * factor
                side.append(np.array(signs) * x)
    methods = (f.value, f.gradient, f.hessian)
    return [
        float(np.abs(method(np.array(sides[0])) - method(np.array(sides[1]))).max()) for method in methods
    ]


def _panels(p: Parameters) -> dict[str, npt.ArrayLike]:
    L = p.curvatures[-1]
    f = Octopus(2, L, p.gamma, p.tau)
    side = np.linspace(-6.0 * p.tau, 6.0 * p.tau, 2 * (p.grid // 2) + 1)
    plane = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1)
    inside = f.contains(plane)
    values = np.full(inside.shape, np.nan)
    values[inside] = f.value(plane[inside])
    paths = {}
    for name, dim in (("path", 2), ("path3", 3)):
        g = Octopus(dim, L, p.gamma, p.tau)
        start = np.linspace(0.6, 0.9, dim)
        eta = 1.0 / (4.0 * L)
        steps = int(g.escape_times(start, eta)[-1]) + 30
        paths[name] = gradient_descent(g.gradient, start, eta, steps, record={"x": np.copy}).history["x"]
    return {"plane": side, "values": values, **paths}


def _expectations(p: Parameters, arrays: dict[str, npt.NDArray[Any]]) -> tuple[list[Row], list[str]]:
    """Properties for any settings; numbers where there are some."""
    rows: list[Row] = []
    standard = (p.gamma, p.tau) == (1.0, math.e)
    for k, L in enumerate(p.curvatures):
        label = f"L = {L:g}: "
        one = {key: arrays[key][k] for key in _MEASURED}
        for name, jump in zip(("value", "gradient", "Hessian"), one["jumps"], strict=True):
            rows.append(
                at_most(f"{label}jump of the {name} across seams", "thesis 7.6, corrected", float(jump), 1e-6)
            )
        rows += [
            at_most(f"{label}gradient at saddles and minima", "Lemma 7.1", float(one["stationary"]), 1e-12),
            at_most(f"{label}f + m nu at these", "Lemma 7.1, corrected", float(one["saddle_values"]), 1e-9),
            at_most(
                f"{label}Hessian - diag(2 L, .., -2 gamma, .., 2 L)",
                "Lemma 7.1",
                float(one["saddle_curvatures"]),
                1e-12,
            ),
            at_least(
                f"{label}least |gradient| / (2 gamma tau) in the buffer",
                "Theorem 7.4",
                float(one["least_gradient"]),
                1.0 - 1e-12,
            ),
        ]
        if standard and L in _SLOPE and p.grid >= 100:
            steep, curved = _SLOPE[L], _CURVATURE[L]
            rows += [
                in_band(
                    f"{label}steepest slope in the buffer / (-4 L tau)",
                    "fine grid; text: at most 1",
                    float(one["slope"]),
                    steep - 0.01,
                    steep + 0.01,
                ),
                in_band(
                    f"{label}largest curvature",
                    f"fine grid; text: 2 L = {2 * L:g}",
                    float(one["curvature"]),
                    0.99 * curved,
                    1.01 * curved,
                ),
            ]
    return rows, [f"The panels show L = {p.curvatures[-1]:g}."]


def draw(result: ExperimentResult) -> Figure:
    """Draw tube, octopus and a path in three dimensions."""
    a, p = result.arrays, result.parameters
    figure, axes = new_figure(1, 3, width=12.0, height=4.0)
    tau, side = p["tau"], a["plane"] / p["tau"]
    levels = np.linspace(np.nanmin(a["values"]), np.nanmax(a["values"]), 15)
    half = len(side) // 2
    panels = (("(a) Tube, d = 2", slice(half, None)), ("(b) Octopus, d = 2", slice(None)))
    for place, (title, part) in zip(axes[:2], panels, strict=True):
        shown = place.contourf(
            side[part], side[part], a["values"][part, part].T, levels=levels, cmap="viridis"
        )
        signs = [(1.0, 1.0)] if place is axes[0] else list(itertools.product((-1.0, 1.0), repeat=2))
        for sign in signs:
            path = a["path"] / tau * np.array(sign)
            place.plot(path[:, 0], path[:, 1], ".-", color=COLORS["purple"], markersize=3, linewidth=1)
            place.plot(0, 0, "o", color=COLORS["sky"], markersize=7, clip_on=False)
            place.plot(4 * sign[0], 0, "o", color=COLORS["sky"], markersize=7, clip_on=False)
            place.plot(4 * sign[0], 4 * sign[1], "o", color=COLORS["red"], markersize=7)
        place.set_aspect("equal")
        place.grid(visible=False)
        finish_axes(place, title=title, xlabel=r"$x_1/\tau$", ylabel=r"$x_2/\tau$")
    figure.colorbar(shown, ax=axes[1], label="f", shrink=0.8, format="%.0f")
    where = axes[2].get_subplotspec()
    axes[2].remove()
    space: Any = figure.add_subplot(where, projection="3d")
    path, saddles = a["path3"] / tau, 4.0 * np.tri(3, k=-1)
    space.plot(*path.T, ".-", color=COLORS["purple"], markersize=3, linewidth=1, label="gradient descent")
    space.plot(*saddles.T, "o", color=COLORS["sky"], markersize=7, label="saddles")
    space.plot([4], [4], [4], "o", color=COLORS["red"], markersize=7, label="minimum")
    space.view_init(elev=22, azim=-55)
    for axis in (space.xaxis, space.yaxis, space.zaxis):
        axis.set_ticks([0, 2, 4])
    space.set_zlabel(r"$x_3/\tau$")
    finish_axes(space, title="(c) Tube, d = 3", xlabel=r"$x_1/\tau$", ylabel=r"$x_2/\tau$")
    space.legend(loc="upper left")
    return figure


EXPERIMENT = Experiment(
    id="fig7.2",
    title="Tube and octopus: shape, stationary points, bounds",
    source="Du (2019), thesis, Sections 7.4 and 7.6, Figures 7.2 and 7.5",
    full=Parameters(),
    quick=Parameters(grid=201),
    run=run,
    draw=draw,
    full_seconds=4.0,
    quick_seconds=2.0,
    inferred={"curvatures": "not in the text for these figures; those of Figures 7.3 and 7.4"},
    corrections=(
        "Lemma 7.4's and Theorem 7.4's lower bound -4 L tau of the slope in the buffer is false.",
        "f is not 2 L-smooth: curvatures in the buffer are several times larger.",
        "(7.15) prints -(i-1) for -(i-1) nu; (7.12) must include i = d + 1.",
    ),
)
