"""Essay: narrow networks have bad local minima, wide and deep linear ones none.

L-BFGS from random starts on two-layer sigmoid networks of several widths, down to stationary points; gradient
descent on deep linear networks with bottlenecks, whose global minimum is known in closed form. Panels: where
the starts end against the width, and the distance from the global minimum over the iterations.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.experiments.base import Experiment, ExperimentResult, Progress, share_of
from lazygram.experiments.checks import (
    IncreasingInts,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    PositiveInts,
    Settings,
)
from lazygram.experiments.essay_landscape_expected import expectations
from lazygram.experiments.parts import Parts
from lazygram.optimizers import gradient_descent
from lazygram.plotting import COLORS, finish_axes, new_figure
from lazygram.problems.deep_linear import DeepLinear
from lazygram.problems.wide_sigmoid import TwoLayerSigmoid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT", "Parameters"]

_RECORDS = 600  # of the deep linear curves
_INPUTS, _OUTPUTS = 8, 6  # of the deep linear networks


@dataclass(frozen=True)
class Parameters(Settings):
    """Settings of the experiment.

    Attributes
    ----------
    n, dim : int
        Examples and inputs of the sigmoid networks; N(0, 1), as the labels.
    widths : tuple of int
        Hidden units.
    starts : int
        Random starts of each width.
    scale : float
        Standard deviation of their weights.
    iterations : int
        Of L-BFGS, at most.
    hidden : tuple of tuples of int
        Hidden widths of the deep linear networks from 8 inputs to 6 outputs.
    linear_n : int
        Their examples.
    noise : float
        Their labels are a random linear map of the inputs plus noise of this standard deviation.
    step_size : float
        Of gradient descent on them.
    steps, linear_starts : int
    seed : int
    """

    n: PositiveInt = 20
    dim: PositiveInt = 3
    widths: IncreasingInts = (1, 2, 3, 5, 10, 20, 30)
    starts: PositiveInt = 10
    scale: PositiveFloat = 1.0
    iterations: PositiveInt = 20000
    hidden: tuple[PositiveInts, ...] = ((8, 8), (3, 8), (10, 2, 10))
    linear_n: PositiveInt = 60
    noise: PositiveFloat = 0.5
    step_size: PositiveFloat = 2e-4
    steps: PositiveInt = 60000
    linear_starts: PositiveInt = 5
    seed: NonNegativeInt = 0


def run(p: Parameters, folder: Path | None = None, progress: Progress | None = None) -> ExperimentResult:
    """Descend from all starts and compare with the essay's statements.

    Returns
    -------
    ExperimentResult
        Arrays: "end" and "gradient" (widths, starts), loss and largest gradient entry where L-BFGS ended;
        "optimum" (networks,) and "excess" (networks, k, linear_starts), loss minus optimum at "step" (k,).
    """
    parts = Parts(folder)
    total = len(p.widths) + 2 * len(p.hidden)
    ends, linear = [], []
    for k, width in enumerate(p.widths):
        tell = share_of(progress, k / total, 1 / total, f"width {width}")
        settings = {key: getattr(p, key) for key in ("n", "dim", "starts", "scale", "iterations", "seed")}
        ends.append(
            parts.get(f"width-{width}", {**settings, "width": width}, partial(_sigmoid, p, width, tell))
        )
    for k, hidden in enumerate(p.hidden):
        tell = share_of(progress, (len(p.widths) + 2 * k) / total, 2 / total, f"linear {hidden}")
        keys = ("linear_n", "noise", "step_size", "steps", "linear_starts", "seed")
        settings = {**{key: getattr(p, key) for key in keys}, "hidden": hidden}
        name = "linear-" + "-".join(map(str, hidden))
        linear.append(parts.get(name, settings, partial(_linear, p, hidden, tell)))
    arrays: dict[str, npt.NDArray[Any]] = {
        "end": np.stack([part["end"] for part in ends]),
        "gradient": np.stack([part["gradient"] for part in ends]),
        "optimum": np.stack([part["optimum"] for part in linear]),
        "excess": np.stack([part["excess"] for part in linear]),
        "step": linear[0]["step"],
    }
    rows, notes = expectations(p, arrays)
    return ExperimentResult(
        EXPERIMENT.id, EXPERIMENT.title, dataclasses.asdict(p), rows, arrays, notes + parts.notes()
    )


def _sigmoid(p: Parameters, width: int, tell: Progress) -> dict[str, npt.ArrayLike]:
    data = np.random.default_rng([p.seed, 0])
    problem = TwoLayerSigmoid(data.standard_normal((p.n, p.dim)), data.standard_normal(p.n), width)
    found = []
    for start in range(p.starts):
        tell(f"start {start + 1} of {p.starts}", start / p.starts)
        rng = np.random.default_rng([p.seed, 1, width, start])
        found.append(problem.descend(p.scale * rng.standard_normal(problem.size), iterations=p.iterations))
    return {"end": [one.value for one in found], "gradient": [one.gradient_norm for one in found]}


def _linear(p: Parameters, hidden: tuple[int, ...], tell: Progress) -> dict[str, npt.ArrayLike]:
    data = np.random.default_rng([p.seed, 2])
    X = data.standard_normal((p.linear_n, _INPUTS))
    Y = X @ data.standard_normal((_INPUTS, _OUTPUTS)) + p.noise * data.standard_normal((p.linear_n, _OUTPUTS))
    problem = DeepLinear(X, Y)
    rng = np.random.default_rng([p.seed, 3])
    widths = (_INPUTS, *hidden, _OUTPUTS)
    start = tuple(
        rng.standard_normal((p.linear_starts, high, low)) / np.sqrt(low) for low, high in pairwise(widths)
    )
    optimum = problem.minimum(min(widths))

    def show(t: int, point: Any) -> None:
        tell(f"step {t} of {p.steps}", t / p.steps)

    found = gradient_descent(
        problem.gradient,
        start,
        p.step_size,
        p.steps,
        batched=True,
        record={"excess": lambda point: problem.value(point) - optimum},
        record_every=max(1, p.steps // _RECORDS),
        callback=show,
    )
    return {"optimum": optimum, "excess": found.history["excess"], "step": found.recorded_steps}


def draw(result: ExperimentResult) -> Figure:
    """Draw the ends of the sigmoid networks and the curves of the linear ones."""
    a, p = result.arrays, result.parameters
    figure, axes = new_figure(1, 2, width=9.0, height=3.6)
    for k, ends in enumerate(np.maximum(a["end"], 1e-32)):
        jitter = np.linspace(-0.2, 0.2, len(ends))
        axes[0].semilogy(k + jitter, ends, "o", color=COLORS["blue"], markersize=4, alpha=0.6)
        axes[0].semilogy([k - 0.35, k + 0.35], [np.median(ends)] * 2, color=COLORS["red"])
    axes[0].plot([], [], "o", color=COLORS["blue"], markersize=4, label="one start")
    axes[0].plot([], [], color=COLORS["red"], label="median")
    axes[0].set_xticks(range(len(p["widths"])), [str(width) for width in p["widths"]])
    axes[0].legend(loc="lower left")
    finish_axes(
        axes[0],
        title=f"(a) Two-layer sigmoid, n = {p['n']}: ends of L-BFGS",
        xlabel="width",
        ylabel="loss at the end",
    )
    colors = (COLORS["blue"], COLORS["green"], COLORS["orange"], COLORS["purple"])
    for k, (hidden, excess) in enumerate(zip(p["hidden"], a["excess"], strict=True)):
        dims = "-".join(str(width) for width in (_INPUTS, *hidden, _OUTPUTS))
        color = colors[k % len(colors)]
        axes[1].loglog(a["step"][1:], np.maximum(excess[1:], 1e-14), color=color, linewidth=0.8)
        axes[1].plot([], [], color=color, label=f"{dims}: optimum {a['optimum'][k]:.4g}")
    axes[1].legend(loc="upper right")
    axes[1].set_xlim(a["step"][1], p["steps"])
    finish_axes(
        axes[1],
        title="(b) Deep linear: distance from the global minimum",
        xlabel="iteration (log)",
        ylabel="loss - optimum",
    )
    return figure


EXPERIMENT = Experiment(
    id="essay.landscape",
    title="Local minima of narrow, wide and deep linear networks",
    source="Golikov (2019), essay, Sections on linear and on wide networks",
    full=Parameters(),
    quick=Parameters(widths=(1, 3, 20), starts=5, hidden=((3, 8),), steps=20000, linear_starts=3),
    run=run,
    draw=draw,
    full_seconds=20.0,
    quick_seconds=5.0,
    inferred=dict.fromkeys(
        ("n", "dim", "widths", "scale", "hidden", "linear_n", "noise", "step_size"),
        "the essay has no experiment",
    ),
)
