"""Lazy training: the wider the network, the fewer patterns change and the less any neuron moves.

Networks of growing width are trained on the same points until they fit them, by event-driven descent, which
follows the exact trajectory. Recorded are the share of activation patterns that changed, the largest and the
total movement of the neurons, the change of H, and its smallest eigenvalue before and on the way. Chapter 2
and the lecture notes bound the first two by multiples of ``m^{-1/2}``; the limits of the first and the third
for a frozen kernel can be computed (lazy_expected.py).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.analysis import eigenvalues, stable_step_size
from lazygram.analysis.two_layer_bounds import distance_gd
from lazygram.data.pool import Dataset
from lazygram.data.synthetic import synthetic
from lazygram.experiments.base import Experiment, ExperimentResult, Progress, share_of
from lazygram.experiments.checks import IncreasingInts, PositiveInt, Seeds, Settings, exponent
from lazygram.experiments.lazy_expected import Measured, expectations, frozen_limits
from lazygram.experiments.parts import Parts
from lazygram.gram import gram_infinite
from lazygram.networks.two_layer import TwoLayerReLU
from lazygram.plotting import COLORS, finish_axes, log_ticks, new_figure
from lazygram.training import StepState, train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT", "Parameters"]

Float64Array = npt.NDArray[np.float64]
_NUMBERS = ("pattern_change", "max_distance", "total_distance", "gram_change", "lambda_start", "lambda_least")
_RECORDS = 20  # of spectra and distances on the way, each a forward pass


@dataclass(frozen=True)
class Parameters(Settings):
    """Settings of the experiment.

    Attributes
    ----------
    n, dim : int
        Examples on the unit sphere and input dimension.
    widths : tuple of int
        Widths m, increasing.
    steps : int
        Steps of gradient descent with step size 1 / lambda_max(H_inf).
    seeds : tuple of int
        Data and networks; numbers are means over them.
    """

    n: PositiveInt = 100
    dim: PositiveInt = 100
    widths: IncreasingInts = (1024, 4096, 16384, 65536, 262144)
    steps: PositiveInt = 100
    seeds: Seeds = (0, 1, 2, 3)


def run(p: Parameters, folder: Path | None = None, progress: Progress | None = None) -> ExperimentResult:
    """Train all widths for all seeds, and compute what a frozen kernel would give.

    Returns
    -------
    ExperimentResult
        Arrays: "widths" (w,), "seeds" (s,), "lambda_0" (s,), and of shape (s, w), after the last step,
        "pattern_change" (share), "max_distance", "total_distance" = |W(k) - W(0)|_F, "gram_change" =
        ||H(k) - H(0)||_2, "lambda_start" = lambda_min(H(0)), "lambda_least" = least lambda_min(H(k)),
        "start" = |e(0)|, "distance_bound" = R', "frozen_patterns" and "frozen_total" (frozen kernel).
    """
    shape = (len(p.seeds), len(p.widths))
    names = (*_NUMBERS, "start", "final_loss", "distance_bound", "frozen_patterns", "frozen_total")
    numbers = {name: np.full(shape, np.nan) for name in names}
    lambda_0 = np.empty(len(p.seeds))
    parts = Parts(folder)
    # A width costs about its square root here: flips are what is paid for, and they are that many.
    costs = np.sqrt(p.widths) / (np.sqrt(p.widths).sum() * len(p.seeds))
    done = 0.0
    for s, seed in enumerate(p.seeds):
        data = synthetic(p.n, p.dim, seed=seed)
        limit = gram_infinite(data.X)
        lambda_0[s] = eigenvalues(limit)[0]
        for w, width in enumerate(p.widths):
            tell = share_of(progress, done, costs[w], f"seed {seed}, width {width}")
            part = parts.get(
                f"width-{width}-seed-{seed}",
                {"n": p.n, "dim": p.dim, "steps": p.steps, "width": width, "seed": seed},
                partial(_train, p, width, seed, data, stable_step_size(limit), tell),
            )
            done += costs[w]
            for name in _NUMBERS:
                numbers[name][s, w] = part[name]
            residual = data.y - part["u_start"]
            start = float(np.linalg.norm(residual))
            numbers["start"][s, w] = start
            numbers["final_loss"][s, w] = part["final_loss"]
            numbers["distance_bound"][s, w] = distance_gd(p.n, width, float(lambda_0[s]), start)
            patterns, total = frozen_limits(data.X, limit, residual, seed)
            numbers["frozen_patterns"][s, w] = patterns / np.sqrt(width)
            numbers["frozen_total"][s, w] = total
    rows, notes = expectations(Measured(p.widths, lambda_0, **numbers))
    arrays: dict[str, npt.NDArray[Any]] = {
        "widths": np.array(p.widths),
        "seeds": np.array(p.seeds),
        "lambda_0": lambda_0,
        **numbers,
    }
    means = zip(p.widths, *(numbers[name].mean(axis=0) for name in names), strict=True)
    summary = {"per_width": [dict(zip(("width", *names), row, strict=True)) for row in means]}
    return ExperimentResult(
        EXPERIMENT.id, EXPERIMENT.title, dataclasses.asdict(p), rows, arrays, notes + parts.notes(), summary
    )


def _train(p: Parameters, width: int, seed: int, data: Dataset, eta: float, tell: Progress) -> dict[str, Any]:
    """Train one width for one seed."""

    def show(state: StepState) -> None:
        tell(f"step {state.step} of {p.steps}", state.step / p.steps)

    trained = train(
        TwoLayerReLU(width, p.dim, seed=seed),
        data.X,
        data.y,
        p.steps,
        eta,
        method="event",
        record=("loss", "predictions", "lambda_min", "gram_change", "pattern_change", "max_distance"),
        record_every=max(1, p.steps // _RECORDS),
        callbacks=show,
    )
    history = trained.history
    assert trained.event is not None
    return {
        "pattern_change": history["pattern_change"][-1],
        "max_distance": history["max_distance"][-1],
        "total_distance": np.linalg.norm(trained.event.distances()),
        "gram_change": history["gram_change"][-1],
        "lambda_start": history["lambda_min"][0],
        "lambda_least": history["lambda_min"].min(),
        "final_loss": history["loss"][-1],
        "u_start": history["predictions"][0],
    }


def draw(result: ExperimentResult) -> Figure:
    """Draw pattern changes, movements, and the smallest eigenvalue against the width."""
    arrays, widths = result.arrays, result.arrays["widths"]
    figure, axes = new_figure(1, 3, width=11.5, height=3.8)

    def show(place: Any, name: str, color: str, label: str, marker: str = "o") -> None:
        mean = arrays[name].mean(axis=0)
        text = f"{label}, exponent {exponent(widths, mean):.2f}"
        place.loglog(widths, arrays[name].T, ".", color=COLORS[color], markersize=3, alpha=0.4)
        place.loglog(widths, mean, marker, color=COLORS[color], label=text)

    show(axes[0], "pattern_change", "blue", "measured")
    axes[0].loglog(
        widths, arrays["frozen_patterns"].mean(axis=0), "--", color=COLORS["red"], label="frozen kernel"
    )
    finish_axes(axes[0], title="(a) Activation patterns changed", xlabel="width  m", ylabel="share of all")
    place = axes[1]
    show(place, "total_distance", "green", r"all: $\Vert W-W(0)\Vert_F$", "s")
    place.loglog(
        widths, arrays["frozen_total"].mean(axis=0), "--", color=COLORS["red"], label="frozen kernel"
    )
    show(place, "max_distance", "blue", r"$\max_r\Vert w_r-w_r(0)\Vert$")
    show(place, "gram_change", "orange", r"$\Vert H-H(0)\Vert_2$", "^")
    place.set_ylim(top=40 * float(arrays["total_distance"].max()))
    finish_axes(
        place, title="(b) Movement of neurons and of H", xlabel="width  m", ylabel="distance from the start"
    )
    place = axes[2]
    place.semilogx(
        widths, arrays["lambda_start"].mean(axis=0), "o-", color=COLORS["blue"], label="at the start"
    )
    place.semilogx(
        widths, arrays["lambda_least"].mean(axis=0), "v--", color=COLORS["orange"], label="least on the way"
    )
    level = float(arrays["lambda_0"].mean())
    place.axhline(level, color=COLORS["green"], linestyle=":", label=r"$\lambda_0$")
    place.axhline(level / 2, color=COLORS["red"], linestyle=":", label=r"$\lambda_0/2$")
    place.set_ylim(0, 1.35 * level)
    finish_axes(
        place, title="(c) Smallest eigenvalue of H", xlabel="width  m", ylabel=r"$\lambda_{min}(H(k))$"
    )
    for entry in axes:
        log_ticks(entry, widths)
        entry.legend(
            loc="lower left" if entry is axes[0] else "upper right" if entry is axes[1] else "lower right"
        )
    return figure


EXPERIMENT = Experiment(
    id="lazy",
    title="Lazy training: pattern changes and movement fall with the width",
    source="Du (2019), thesis, Lemmas 2.3 and 2.5; lecture notes on the neural tangent kernel",
    full=Parameters(),
    quick=Parameters(n=60, dim=60, widths=(1024, 4096, 16384), steps=60, seeds=(0, 1, 2)),
    run=run,
    draw=draw,
    full_seconds=80.0,
    quick_seconds=4.0,
    inferred=dict.fromkeys(
        ("n", "dim", "widths", "steps"), "the texts have no experiment but Figure 2.1; this package's choice"
    ),
)
