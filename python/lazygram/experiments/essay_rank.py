"""Essay: features of a layer as wide as the number of examples have full rank, and fit any labels.

Hidden features ``F_1 = s(X W^T)`` for random weights and inputs. Sigmoid features have rank n at any width
``>= n`` unless inputs repeat (or the weights are special, as zero); ReLU features may miss it by dead units.
Then a linear readout fits all labels. Panels: smallest singular values, and the best readout's loss
against the width.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

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
from lazygram.experiments.essay_rank_expected import expectations
from lazygram.experiments.parts import Parts
from lazygram.plotting import COLORS, finish_axes, new_figure
from lazygram.problems.wide_sigmoid import features, rank_of, readout_minimum

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT", "Parameters"]


@dataclass(frozen=True)
class Parameters(Settings):
    """Settings of the experiment.

    Attributes
    ----------
    n, dim : int
        Examples and inputs of the sigmoid network.
    relu_n, relu_dim : tuple of int
        Examples (and hidden units) and inputs of the ReLU networks, pairwise.
    scale : float
        Standard deviation of the weights. Below 3 the smallest singular value comes near rounding.
    draws : int
        Draws of weights and inputs.
    widths : tuple of int
        Widths for the readout's loss.
    outputs : int
        Labels per example, N(0, 1).
    readout_draws : int
        Draws of inputs, weights and labels for the readout's loss.
    seed : int
    """

    n: PositiveInt = 20
    dim: PositiveInt = 5
    relu_n: PositiveInts = (10, 20)
    relu_dim: PositiveInts = (3, 5)
    scale: PositiveFloat = 3.0
    draws: PositiveInt = 300
    widths: IncreasingInts = (5, 10, 15, 19, 20, 40)
    outputs: PositiveInt = 3
    readout_draws: PositiveInt = 50
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.relu_n) != len(self.relu_dim):
            raise ValueError("relu_dim: as many entries as in relu_n are needed")


def run(p: Parameters, folder: Path | None = None, progress: Progress | None = None) -> ExperimentResult:
    """Compute ranks and readouts, and compare with the essay's statements.

    Returns
    -------
    ExperimentResult
        Arrays: "rank" and "smallest" (draws,) of sigmoid features at width n, "relu_rank" and "relu_smallest"
        (cases, draws), "repeated" and "zero" (): rank with a repeated input, with zero weights; "readout"
        (widths, readout_draws), the best readout's loss.
    """
    parts = Parts(folder)
    tell, settings = share_of(progress, 0.0, 1.0), dataclasses.asdict(p)
    tell("ranks", 0.0)
    arrays: dict[str, npt.NDArray[Any]] = dict(parts.get("ranks", settings, partial(_ranks, p)))
    tell("readouts", 0.7)
    arrays.update(parts.get("readouts", settings, partial(_readouts, p)))
    rows, notes = expectations(p, arrays)
    return ExperimentResult(EXPERIMENT.id, EXPERIMENT.title, settings, rows, arrays, notes + parts.notes())


def _draw(
    p: Parameters, rng: np.random.Generator, n: int, dim: int, activation: Literal["sigmoid", "relu"]
) -> npt.NDArray[np.float64]:
    """Features (draws, n, n)."""
    X = rng.standard_normal((p.draws, n, dim))
    return features(p.scale * rng.standard_normal((p.draws, n, dim)), X, activation)


def _ranks(p: Parameters) -> dict[str, npt.ArrayLike]:
    rng = np.random.default_rng([p.seed, 0])
    sigmoid = _draw(p, rng, p.n, p.dim, "sigmoid")
    relu = [_draw(p, rng, n, dim, "relu") for n, dim in zip(p.relu_n, p.relu_dim, strict=True)]
    X, W = rng.standard_normal((p.n, p.dim)), p.scale * rng.standard_normal((p.n, p.dim))
    twice = X.copy()
    twice[-1] = twice[0]

    def smallest(F: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(np.linalg.svd(F, compute_uv=False)[..., -1])

    return {
        "rank": rank_of(sigmoid),
        "smallest": smallest(sigmoid),
        "relu_rank": np.stack([rank_of(F) for F in relu]),
        "relu_smallest": np.stack([smallest(F) for F in relu]),
        "repeated": rank_of(features(W, twice)),
        "zero": rank_of(features(0.0 * W, X)),
    }


def _readouts(p: Parameters) -> dict[str, npt.ArrayLike]:
    losses = np.empty((len(p.widths), p.readout_draws))
    for k, width in enumerate(p.widths):
        for draw_number in range(p.readout_draws):
            rng = np.random.default_rng([p.seed, 1, k, draw_number])
            F = features(p.scale * rng.standard_normal((width, p.dim)), rng.standard_normal((p.n, p.dim)))
            losses[k, draw_number] = readout_minimum(F, rng.standard_normal((p.n, p.outputs)))
    return {"readout": losses}


def draw(result: ExperimentResult) -> Figure:
    """Draw the smallest singular values and the readouts' losses."""
    a, p = result.arrays, result.parameters
    figure, axes = new_figure(1, 2, width=9.0, height=3.5)
    bins = np.logspace(-18, 1, 58).tolist()
    curves = [(a["smallest"], f"sigmoid, n = {p['n']}, d = {p['dim']}", COLORS["blue"])]
    for k, color in enumerate((COLORS["red"], COLORS["orange"], COLORS["green"])[: len(a["relu_rank"])]):
        curves.append((a["relu_smallest"][k], f"ReLU, n = {p['relu_n'][k]}, d = {p['relu_dim'][k]}", color))
    for values, label, color in curves:
        clipped = np.maximum(values, 2e-18)
        axes[0].hist(clipped, bins=bins, histtype="step", color=color, label=label, linewidth=1.5)
    axes[0].set_xscale("log")
    axes[0].legend(loc="upper center")
    finish_axes(
        axes[0],
        title="(a) Features of n units on n examples",
        xlabel="smallest singular value (left: zero)",
        ylabel=f"draws of {p['draws']}",
    )
    widths = np.array(p["widths"])
    floor = np.maximum(a["readout"], 1e-32)
    axes[1].semilogy(widths, floor, ".", color=COLORS["blue"], markersize=3, alpha=0.4)
    axes[1].semilogy(widths, floor.mean(axis=1), "o-", color=COLORS["blue"], label="mean")
    free = widths < p["n"]
    expected = 0.5 * p["outputs"] * (p["n"] - widths[free])
    axes[1].semilogy(widths[free], expected, "x", color=COLORS["red"], label="(n - width) outputs / 2")
    axes[1].axvline(p["n"], color=COLORS["grey"], linestyle=":", label="width n")
    axes[1].legend(loc="upper right")
    finish_axes(axes[1], title="(b) Best linear readout", xlabel="width", ylabel="loss")
    return figure


EXPERIMENT = Experiment(
    id="essay.rank",
    title="Rank of the features of a wide layer, and its readout",
    source="Golikov (2019), essay, Section on wide networks; Yu and Chen (1995)",
    full=Parameters(),
    quick=Parameters(),
    run=run,
    draw=draw,
    full_seconds=2.0,
    quick_seconds=2.0,
    inferred=dict.fromkeys(
        ("n", "dim", "relu_n", "relu_dim", "scale", "draws", "widths", "outputs"),
        "the essay has no experiment",
    ),
)
