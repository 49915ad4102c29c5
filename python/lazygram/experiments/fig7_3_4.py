"""Figures 7.3 and 7.4 of Du's thesis: descent passes d saddles in exponential time, with noise in linear.

Section 7.5: gradient descent (GD) and perturbed gradient descent (PGD) on the octopus function from a uniform
start in ``[-1, 1]^d``, step size ``1 / (4 L)``, noise radius ``e / 100`` wherever the gradient is below
``gamma e / 100``. One panel per L: f over the iterations, a staircase with plateaus at ``-m nu``. A last
panel has the escape times T_k, for GD from logarithms as far as they go, since floats underflow after 1000
steps.
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

from lazygram.experiments.base import Experiment, ExperimentResult, Progress, share_of
from lazygram.experiments.checks import IncreasingFloats, NonNegativeInt, PositiveFloat, PositiveInt, Settings
from lazygram.experiments.fig7_3_4_expected import expectations
from lazygram.experiments.parts import Parts
from lazygram.optimizers import gradient_descent, perturbed_gradient_descent
from lazygram.plotting import COLORS, caption, finish_axes, new_figure, ordered_colors
from lazygram.problems.octopus import Octopus

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FIG7_3", "FIG7_4", "Parameters"]

_KEPT = ("gd_value", "pgd_value", "gd_reached", "gd_times", "pgd_times", "gd_rise", "plateau")


@dataclass(frozen=True)
class Parameters(Settings):
    """Settings of the experiments.

    Attributes
    ----------
    dim : int
        d.
    curvatures : tuple of float
        Values of L, one panel each.
    gamma, tau : float
        Of the function.
    steps : int
        Steps of GD and PGD.
    gd_starts, pgd_starts : int
        Random starts; start k has seed k.
    noise : float
        Radius of the noise over tau, and its threshold over gamma tau.
    wait : int
        t_thres.
    shown : int
        The start that the panels show.
    """

    dim: PositiveInt = 5
    curvatures: IncreasingFloats = (1.0, 1.5, 2.0, 3.0)
    gamma: PositiveFloat = 1.0
    tau: PositiveFloat = math.e
    steps: PositiveInt = 1000
    gd_starts: PositiveInt = 20
    pgd_starts: PositiveInt = 30
    noise: PositiveFloat = 0.01
    wait: NonNegativeInt = 1
    shown: NonNegativeInt = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for L in self.curvatures:
            Octopus(self.dim, L, self.gamma, self.tau)
        if self.shown >= min(self.gd_starts, self.pgd_starts):
            raise ValueError(f"shown: there is no start {self.shown} of both GD and PGD")


def run(
    name: str, parameters: Parameters, folder: Path | None = None, progress: Progress | None = None
) -> ExperimentResult:
    """Descend with and without noise for every L and compare with the expected numbers.

    Parameters
    ----------
    name : str
        Id of the experiment.
    parameters : Parameters
        Settings.
    folder : Path, optional
        Where finished values of L are kept.
    progress : callable, optional
        Shown what is being computed.

    Returns
    -------
    ExperimentResult
        Arrays over L: "gd_value", "pgd_value" (L, steps + 1) of the start shown; "gd_times" (L, gd_starts,
        d), exact escape times from logarithms; "gd_reached" (L, gd_starts), coordinates passed within the
        steps; "pgd_times" (L, pgd_starts, d), inf if not reached; "pgd_end" (L, pgd_starts), f at the end;
        "gd_rise" (L,), the largest rise of f in a step of GD; "plateau" (L,), the fewest steps that GD spends
        within 1 % of ``-m nu``, m >= 1, over starts and plateaus that end within the steps.
    """
    p = parameters
    parts = Parts(folder)
    found = []
    for k, L in enumerate(p.curvatures):
        share = 1 / len(p.curvatures)
        tell = share_of(progress, k * share, share, f"L = {L:g}")
        settings = {**dataclasses.asdict(p), "L": L}
        found.append(parts.get(f"L-{L:g}", settings, partial(_descend, p, L, tell)))
    arrays: dict[str, npt.NDArray[Any]] = {"L": np.array(p.curvatures)}
    for key in (*_KEPT, "pgd_end"):
        arrays[key] = np.stack([part[key] for part in found])
    rows, notes = expectations(p, arrays)
    return ExperimentResult(name, _TITLES[name], dataclasses.asdict(p), rows, arrays, notes + parts.notes())


def _descend(p: Parameters, L: float, tell: Progress) -> dict[str, npt.ArrayLike]:
    f, eta = Octopus(p.dim, L, p.gamma, p.tau), 1.0 / (4.0 * L)
    starts = [
        np.random.default_rng(k).uniform(-1.0, 1.0, p.dim) for k in range(max(p.gd_starts, p.pgd_starts))
    ]
    record = {"value": f.value, "passed": f.passed}

    def show(label: str, t: int, point: Any) -> None:
        if t % 100 == 0:
            tell(f"{label}, step {t} of {p.steps}", 0.5 * (t / p.steps + (label == "PGD")))

    gd = gradient_descent(
        f.gradient,
        np.array(starts[: p.gd_starts]),
        eta,
        p.steps,
        batched=True,
        record=record,
        callback=partial(show, "GD"),
    ).history
    pgd = perturbed_gradient_descent(
        f.gradient,
        np.array(starts[: p.pgd_starts]),
        eta,
        p.steps,
        threshold=p.noise * p.gamma * p.tau,
        radius=p.noise * p.tau,
        wait=p.wait,
        seed=range(p.pgd_starts),
        batched=True,
        record=record,
        callback=partial(show, "PGD"),
    ).history
    return {
        "gd_value": gd["value"][:, p.shown],
        "pgd_value": pgd["value"][:, p.shown],
        "gd_reached": gd["passed"][-1],
        "gd_times": f.escape_times(np.array(starts[: p.gd_starts]), eta),
        "pgd_times": _first_times(pgd["passed"], p.dim),
        "pgd_end": pgd["value"][-1],
        "gd_rise": np.diff(gd["value"], axis=0).max(),
        "plateau": _plateau(gd["value"], gd["passed"], f.nu),
    }


def _first_times(passed: npt.NDArray[Any], dim: int) -> npt.NDArray[np.float64]:
    """T_k of each start from the coordinates passed (steps + 1, starts); inf where not reached."""
    reached = passed[..., None] > np.arange(dim)
    return np.where(reached.any(axis=0), reached.argmax(axis=0), np.inf)


def _plateau(value: npt.NDArray[Any], passed: npt.NDArray[Any], nu: float) -> float:
    """Fewest steps near -m nu, m >= 1, over the plateaus that end."""
    near = np.abs(value[..., None] + nu * np.arange(passed.max() + 1)) <= 0.01 * nu
    ended = passed[-1][:, None] > np.arange(passed.max() + 1)
    ended[:, 0] = False
    counts = near.sum(axis=0)[ended]
    return float(counts.min()) if counts.size else float("nan")


def draw(result: ExperimentResult) -> Figure:
    """Draw f over the iterations for every L, and the escape times."""
    a, p = result.arrays, result.parameters
    count = len(a["L"])
    figure, axes = new_figure(1, count + 1, width=2.9 * (count + 1), height=3.4)
    steps = np.arange(p["steps"] + 1)
    for k, L in enumerate(a["L"]):
        nu = Octopus(p["dim"], float(L), p["gamma"], p["tau"]).nu
        for m in range(p["dim"] + 1):
            axes[k].axhline(-m * nu, color="#CCCCCC", linewidth=0.6, linestyle=":")
        axes[k].plot(steps, a["gd_value"][k], color=COLORS["blue"], label="GD")
        axes[k].plot(steps, a["pgd_value"][k], color=COLORS["red"], linestyle="--", label="PGD")
        axes[k].set_xlim(0, p["steps"])
        axes[k].grid(visible=False)
        finish_axes(
            axes[k],
            title=rf"L = {L:g}, $\gamma$ = {p['gamma']:g}",
            xlabel="iteration",
            ylabel="objective f" if k == 0 else "",
        )
    axes[0].legend(loc="upper right")
    last, place = axes[-1], np.arange(1, p["dim"] + 1)
    for k, (L, color) in enumerate(zip(a["L"], ordered_colors(count), strict=True)):
        last.semilogy(
            place, np.median(a["gd_times"][k], axis=0), "o-", color=color, markersize=3, label=f"L = {L:g}"
        )
        last.semilogy(place, np.median(a["pgd_times"][k], axis=0), "s--", color=color, markersize=3)
    last.plot([], [], "o-", color=COLORS["grey"], markersize=3, label="GD")
    last.plot([], [], "s--", color=COLORS["grey"], markersize=3, label="PGD")
    last.axhline(p["steps"], color=COLORS["grey"], linestyle=":", linewidth=1)
    last.legend(loc="upper left")
    last.set_xticks(place)
    finish_axes(last, title="Escape times (medians)", xlabel="saddle k", ylabel=r"$T_k$")
    caption(figure, f"d = {p['dim']}, start {p['shown']}")
    return figure


_TITLES = {
    "fig7.3": "GD and PGD past five saddles",
    "fig7.4": "GD and PGD past ten saddles",
}
_INFERRED = {
    "curvatures": "the panels' values are lost in the thesis; recalled from the published paper",
    "gamma": "the panels' values are lost in the thesis; recalled from the published paper",
    "steps": "not in the text; long enough to see the staircase",
}
_CORRECTIONS = (
    "Equation (7.15) prints -(i-1) for -(i-1) nu; (7.12) must include i = d + 1, or the minima are outside "
    "of the domain; the buffer of (7.4) starts at tau.",
    "(L + gamma) / gamma is the ratio of escape times for small steps only. At eta = 1 / (4 L) they grow by "
    "kappa = 1 + ln 2 / ln(1 + gamma / (2 L)).",
    "The printed lower bound -4 L tau of the slope in the buffer is false (the slope reaches 1.83 times that "
    "for L = 1), and f is not 2L-smooth.",
)

FIG7_3 = Experiment(
    id="fig7.3",
    title=_TITLES["fig7.3"],
    source="Du (2019), thesis, Section 7.5, Figure 7.3",
    full=Parameters(),
    quick=Parameters(curvatures=(1.0, 2.0)),
    run=partial(run, "fig7.3"),
    draw=draw,
    full_seconds=5.0,
    quick_seconds=3.0,
    inferred=_INFERRED,
    corrections=_CORRECTIONS,
)

FIG7_4 = Experiment(
    id="fig7.4",
    title=_TITLES["fig7.4"],
    source="Du (2019), thesis, Section 7.5, Figure 7.4",
    full=Parameters(dim=10),
    quick=Parameters(dim=10, curvatures=(1.0, 2.0)),
    run=partial(run, "fig7.4"),
    draw=draw,
    full_seconds=5.0,
    quick_seconds=3.0,
    inferred=_INFERRED,
    corrections=_CORRECTIONS,
)
