"""Deep ReLU networks trained by GD and SGD with three losses: Theorems 4.1 and 4.5 as measurements.

All training examples get the right sign and the loss reaches a target, while every layer stays within a
distance of its start that falls with the width, and so does the share of activations that flip. The paper
proves this for widths that no machine holds and has no experiments; here it is seen at widths of some
hundreds.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.analysis import zou
from lazygram.data import separated_sphere, separation
from lazygram.experiments.base import Experiment, ExperimentResult, Progress, share_of
from lazygram.experiments.checks import (
    EvenWidths,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    PositiveInts,
    Settings,
    Some,
)
from lazygram.experiments.parts import Parts
from lazygram.experiments.zou_training_expected import TrainingMeasured, training_rows
from lazygram.plotting import COLORS, caption, finish_axes, log_ticks, new_figure, ordered_colors
from lazygram.training import StepState, train
from lazygram.training.losses import get_loss

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT", "Parameters"]

_RELATIVE_STEP = {"logistic": 1.0, "hinge": 1.0, "squared_hinge": 1.0, "exponential": 0.5}
_SGD_EVERY = 10  # steps between two looks at the full loss


@dataclass(frozen=True)
class Parameters(Settings):
    """Settings of the experiment.

    Attributes
    ----------
    n, dim : int
        Examples and input dimension, the constant last coordinate included.
    mu, separation : float
        That coordinate, and the smallest distance between classes.
    depth : int
        Hidden layers L.
    losses : tuple of str
        Of full-batch descent; the step size is 1/m, for the exponential loss 1/(2m).
    widths : tuple of int
        Their widths, increasing, even.
    seeds : tuple of int
        Networks; the data are those of the first.
    batch_sizes : tuple of int
        B of SGD with the cross-entropy; none to leave it out.
    sgd_widths : tuple of int
        Its widths.
    sgd_relative_step : float
        Its step size times m.
    target : float
        L_S at which a run stops.
    max_steps : int
        Steps after which it gives up.
    """

    n: PositiveInt = 30
    dim: PositiveInt = 10
    mu: float = 0.5
    separation: float = 0.2
    depth: PositiveInt = 3
    losses: tuple[str, ...] = ("logistic", "hinge", "exponential")
    widths: EvenWidths = (64, 256, 1024)
    seeds: Some[NonNegativeInt] = (0, 1)
    batch_sizes: PositiveInts = (1, 5, 30)
    sgd_widths: EvenWidths = (128, 512)
    sgd_relative_step: PositiveFloat = 0.5
    target: PositiveFloat = 0.05
    max_steps: PositiveInt = 5000

    def __post_init__(self) -> None:
        super().__post_init__()
        for loss in self.losses:
            if loss not in _RELATIVE_STEP:
                raise ValueError(f"losses: of {', '.join(_RELATIVE_STEP)}, got {loss!r}")
        for size in self.batch_sizes:
            if size > self.n:
                raise ValueError(f"batch_sizes: at most n = {self.n}, got {size}")

    def runs(self) -> list[tuple[str, str, int, int]]:
        """Name, loss, batch size (0: all) and width of every kind of run."""
        descent = [(f"{loss}", loss, 0, width) for loss in self.losses for width in self.widths]
        sgd = [
            (f"sgd-{size}", "logistic", size, width) for size in self.batch_sizes for width in self.sgd_widths
        ]
        return descent + sgd


def run(p: Parameters, folder: Path | None = None, progress: Progress | None = None) -> ExperimentResult:
    """Train all networks and compare with the theorems and the expected numbers.

    Returns
    -------
    ExperimentResult
        Arrays ``NAME/WIDTH/...``, NAME a loss or "sgd-B": "steps" until the target and "zero_error" (first
        record without a training error, -1 if there was none), "final_loss", "errors" at the end, "movement"
        (largest |W_l(k) - W_l(0)|_2), "flips" (share, mean of the layers), "rises" (records at which the
        loss rose), "floor" (constant of the gradient's lower bound at the end), each of shape (seeds,);
        "step" and "loss" of the first seed.
    """
    data = separated_sphere(p.n, p.dim, mu=p.mu, separation=p.separation, seed=p.seeds[0])
    parts = Parts(folder)
    settings = dataclasses.asdict(p)
    for name in ("losses", "widths", "batch_sizes", "sgd_widths"):
        del settings[name]
    runs = p.runs()
    # SGD takes more steps of a batch each; a step costs the square of the width in either case.
    costs = np.array([width**2 * (1.5 if batch else 1.0) for _, _, batch, width in runs], dtype=float)
    arrays: dict[str, npt.NDArray[Any]] = {}
    for k, (name, loss, batch, width) in enumerate(runs):
        tell = share_of(
            progress, costs[:k].sum() / costs.sum(), costs[k] / costs.sum(), f"{name}, width {width}"
        )
        part = parts.get(
            f"{name}-{width}",
            {**settings, "loss": loss, "batch": batch, "width": width},
            partial(_train_all, p, loss, batch, width, data.X, data.y, tell),
        )
        arrays |= {f"{name}/{width}/{entry}": value for entry, value in part.items()}
    phi = separation(data.X, data.y)
    measured = TrainingMeasured(
        [(name, loss, batch, width) for name, loss, batch, width in runs],
        p.target,
        arrays,
        (p.n, p.dim, p.mu, p.separation, p.depth, p.target) == (30, 10, 0.5, 0.2, 3, 0.05),
    )
    notes = [
        f"Inputs of different labels are at least {phi:.3g} apart. With all constants 1 the theorem would "
        f"ask for "
        "steps of phi/(n^3 L^9 m), some 10^9 times smaller than the 1/m that is used.",
        "SGD is looked at every tenth step.",
    ]
    return ExperimentResult(
        EXPERIMENT.id,
        EXPERIMENT.title,
        dataclasses.asdict(p),
        training_rows(measured),
        arrays,
        notes + parts.notes(),
        {"smallest_distance": phi},
    )


def _train_all(
    p: Parameters,
    loss: str,
    batch: int,
    width: int,
    X: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    tell: Progress,
) -> dict[str, npt.ArrayLike]:
    """All seeds of one kind of run and width."""
    from lazygram.networks import DeepReLUNetwork

    rows: dict[str, list[Any]] = {}
    curve: dict[str, npt.NDArray[Any]] = {}
    for s, seed in enumerate(p.seeds):

        def show(state: StepState, s: int = s, seed: int = seed) -> None:
            share = (s + state.step / p.max_steps) / len(p.seeds)
            tell(f"seed {seed}, step {state.step}, loss {state.loss:.3g}", share)

        network = DeepReLUNetwork(width, p.dim, p.depth, seed=seed)
        finished = train(
            network,
            X,
            y,
            p.max_steps,
            (p.sgd_relative_step if batch else _RELATIVE_STEP[loss]) / width,
            loss=loss,
            reduction="mean",
            method="sgd" if batch else "gd",
            batch_size=batch or None,
            seed=seed,
            record=("loss", "predictions"),
            record_every=_SGD_EVERY if batch else 1,
            tolerance=p.target,
            callbacks=(show,),
        )
        history, trained = finished.history, finished.network
        assert trained is not None
        right = (history["predictions"] * y > 0.0).all(axis=1)
        before = zou.ReLUState.at(network.parameters, network.v, X)
        after = before.with_weights(trained.parameters)
        slopes = get_loss(loss).derivative(after.outputs, y)
        reached = zou.region_quantities(before, after, y, y * slopes, p.separation)
        flips = [(a != b).mean() for a, b in zip(before.patterns, after.patterns, strict=True)]
        values = {
            "steps": finished.summary["steps_done"],
            "zero_error": int(history["step"][np.argmax(right)]) if right.any() else -1,
            "final_loss": history["loss"][-1],
            "errors": int((history["predictions"][-1] * y <= 0.0).sum()),
            "movement": reached.tau,
            "flips": float(np.mean(flips)),
            "rises": int((np.diff(history["loss"]) > 0.0).sum()),
            "floor": reached.gradient_floor,
        }
        for name, value in values.items():
            rows.setdefault(name, []).append(value)
        if s == 0:
            curve = {"step": history["step"], "loss": history["loss"]}
    return {**{name: np.array(values) for name, values in rows.items()}, **curve}


def draw(result: ExperimentResult) -> Figure:
    """Draw losses, movement, flips, and SGD for several batch sizes."""
    a, p = result.arrays, result.parameters
    widths, losses = [int(width) for width in p["widths"]], list(p["losses"])
    colors = dict(
        zip(losses, (COLORS["blue"], COLORS["red"], COLORS["green"], COLORS["purple"]), strict=False)
    )
    words = {"logistic": "cross-entropy", "squared_hinge": "squared hinge"}
    figure, axes = new_figure(2, 2, width=9.5, height=6.6)
    place = axes[0]
    for loss in losses:
        for width, style in zip(widths, (":", "--", "-") * len(widths), strict=False):
            curve = a[f"{loss}/{width}/loss"]
            place.plot(a[f"{loss}/{width}/step"] + 1, curve, style, color=colors[loss], linewidth=1.2)
        place.plot([], [], color=colors[loss], label=words.get(loss, loss))
    for width, style in zip(widths, (":", "--", "-") * len(widths), strict=False):
        place.plot([], [], style, color=COLORS["black"], label=f"m = {width}")
    place.axhline(float(p["target"]), color=COLORS["grey"], linewidth=0.8)
    place.set(yscale="log", xscale="log")
    place.legend(loc="lower left", fontsize=7)
    finish_axes(place, title="Training loss, full batch", xlabel="step k + 1", ylabel=r"$L_S$")
    for place, name, title, label, power in (
        (
            axes[1],
            "movement",
            "Largest distance of a layer from its start",
            r"$\max_l\Vert W_l(k)-W_l(0)\Vert_2$",
            -0.5,
        ),
        (axes[2], "flips", "Activations that differ from the start", "share", -1.0 / 3.0),
    ):
        for loss in losses:
            values = [a[f"{loss}/{width}/{name}"].mean() for width in widths]
            place.plot(widths, values, "o-", color=colors[loss], markersize=4, label=words.get(loss, loss))
        guide = a[f"{losses[0]}/{widths[0]}/{name}"].mean() * (np.array(widths) / widths[0]) ** power
        text = r"$m^{-1/2}$" if name == "movement" else r"$m^{-1/3}$ (from $\tau^{2/3}$)"
        place.plot(widths, 1.3 * guide, ":", color=COLORS["black"], label=text)
        place.set_yscale("log")
        log_ticks(place, widths)
        place.legend(loc="lower left", fontsize=7)
        finish_axes(place, title=title, xlabel="width m", ylabel=label)
    place = axes[3]
    sizes, sgd_widths = [int(size) for size in p["batch_sizes"]], [int(width) for width in p["sgd_widths"]]
    highest = 0.0
    for color, width in zip(ordered_colors(len(sgd_widths)), sgd_widths, strict=True):
        if not sizes:
            break
        steps = np.array([a[f"sgd-{size}/{width}/steps"] for size in sizes])
        place.plot(sizes, steps.mean(axis=1), "o-", color=color, markersize=4, label=f"m = {width}")
        place.plot(sizes, steps, ".", color=color, markersize=3)
        highest = max(highest, float(steps.max()))
    if sizes:
        log_ticks(place, sizes)
        place.set_ylim(0.0, 1.15 * highest)
        place.legend(loc="lower left", fontsize=7)
    finish_axes(
        place,
        title="SGD: steps to the target, by batch size",
        xlabel="batch size B",
        ylabel=rf"steps until $L_S \leq {p['target']:g}$",
    )
    caption(
        figure,
        f"n = {p['n']}, d = {p['dim']}, L = {p['depth']}, step size c/m, "
        + (f"mean of {len(p['seeds'])} networks" if len(p["seeds"]) > 1 else "one network"),
    )
    return figure


EXPERIMENT = Experiment(
    id="zou.training",
    title="Deep ReLU networks trained to zero error by GD and SGD, three losses",
    source="Zou, Cao, Zhou, Gu (2018), Theorems 4.1 and 4.5, Corollaries 4.3 and 4.6",
    full=Parameters(),
    quick=Parameters(widths=(64, 256), seeds=(0,), batch_sizes=(1, 30), sgd_widths=(64,), max_steps=3000),
    run=run,
    draw=draw,
    full_seconds=240.0,
    quick_seconds=6.0,
    inferred=dict.fromkeys(
        ("n", "dim", "mu", "separation", "depth", "widths", "losses", "target", "sgd_relative_step"),
        "the paper has no experiments; this package's choice",
    ),
    corrections=(
        "The hinge loss is said to satisfy the assumptions; at margin 1 it is neither differentiable "
        "(3.1) nor "
        "smooth (3.3), and descent on it is not monotone.",
        "Theorem 4.1 prints the step size without phi, Lemma 5.4 with it; the lemma is what the proof uses.",
    ),
)
