"""Figure 2.1 of Du's thesis: wide networks converge faster, change fewer patterns and move less.

Section 2.4: n = 1000 points uniform on the unit sphere of R^1000, labels N(0, 1), full-batch
gradient descent with a fixed step size for 100 epochs, first layer of
``f(x) = m^{-1/2} sum_r a_r relu(w_r . x)`` trained, for several widths m. Three panels over the
epochs: training loss, share of activation patterns that differ from the start, and
``max_r |w_r(k) - w_r(0)|``.

The text prints neither the widths nor the step size of its figure. They are parameters here; the
defaults (1000 to 10000; 1) are this package's choice. What the text states and what is checked is
the order of the curves. The bands (fig2_1_expected.py) come from loops in NumPy that share no code
with this package.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.analysis import FrozenDynamics, eigenvalues, lambda_min
from lazygram.analysis.two_layer_bounds import distance_gd
from lazygram.data.pool import Dataset
from lazygram.data.synthetic import synthetic
from lazygram.experiments.base import Experiment, ExperimentResult, Progress, share_of
from lazygram.experiments.checks import Dtype, IncreasingInts, PositiveFloat, PositiveInt, Seeds, Settings
from lazygram.experiments.fig2_1_expected import Measured, expectations
from lazygram.experiments.parts import Parts
from lazygram.gram import gram_infinite
from lazygram.networks.two_layer import TwoLayerReLU
from lazygram.plotting import COLORS, caption, drawable, finish_axes, log_scale, new_figure, ordered_colors
from lazygram.training import StepState, train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT", "Parameters"]

Float64Array = npt.NDArray[np.float64]
_CURVES = ("loss", "pattern_change", "max_distance")
_FLOAT32_FLOOR = 1e-11  # times n: below, curves of float32 show rounding, not the width


@dataclass(frozen=True)
class Parameters(Settings):
    """Settings of the experiment.

    Attributes
    ----------
    n, dim : int
        Examples and input dimension.
    widths : tuple of int
        Widths m, increasing.
    steps : int
        Epochs of full-batch gradient descent.
    step_size : float
        Fixed step size eta. Above ``2 / lambda_max``, about 1.6 here, descent diverges.
    seeds : tuple of int
        One run of all widths per seed (data and networks); curves and numbers are means.
    dtype : {"float32", "float64"}
        Precision of the networks. In float32 rounding takes over below a loss of about 1e-11 n.
    """

    n: PositiveInt = 1000
    dim: PositiveInt = 1000
    widths: IncreasingInts = (1000, 2000, 5000, 10000)
    steps: PositiveInt = 100
    step_size: PositiveFloat = 1.0
    seeds: Seeds = (0,)
    dtype: Dtype = "float32"


def run(p: Parameters, folder: Path | None = None, progress: Progress | None = None) -> ExperimentResult:
    """Train all widths for all seeds and compare with the expected numbers.

    Returns
    -------
    ExperimentResult
        Arrays: "step" (k,), "widths" (w,), "seeds" (s,), and of shape (s, w, k) "loss",
        "frozen_loss" (prediction of the infinite-width Gram matrix from the same initial
        network), "pattern_change" (fraction), "max_distance"; of shape (s, w) "lambda_min_initial";
        of shape (s,) "lambda_0" and "lambda_max". After a divergence the rest is NaN.
    """
    shape = (len(p.seeds), len(p.widths))
    curves = {name: np.full((*shape, p.steps + 1), np.nan) for name in (*_CURVES, "frozen_loss")}
    initial_min, spectrum = np.full(shape, np.nan), np.full((shape[0], 2), np.nan)
    notes = [
        "The text prints neither the widths nor the step size of its figure: "
        f"widths {', '.join(map(str, p.widths))} and step size {p.step_size:g} are parameters."
    ]
    if p.dtype == "float32":
        notes.append(
            f"Losses below about {_FLOAT32_FLOOR * p.n:.0e} are rounding of float32: the order of "
            "the curves there says nothing."
        )
    parts = Parts(folder)
    # The cost of a width is proportional to it, and so is its share of the progress.
    total, done = sum(p.widths) * len(p.seeds), 0
    for s, seed in enumerate(p.seeds):
        tell = share_of(progress, done / total, sum(p.widths) / total, f"seed {seed}")
        tell("infinite-width Gram matrix", 0.0)
        data = synthetic(p.n, p.dim, seed=seed)
        gram = gram_infinite(data.X)
        values = eigenvalues(gram)
        spectrum[s] = values[0], values[-1]
        for w, width in enumerate(p.widths):
            tell = share_of(progress, done / total, width / total, f"seed {seed}, width {width}")
            part = parts.get(
                f"width-{width}-seed-{seed}",
                _settings(p, width, seed),
                partial(_train, p, width, seed, data, tell),
            )
            recorded = len(part["loss"])
            for name in _CURVES:
                curves[name][s, w, :recorded] = part[name]
            initial_min[s, w] = float(part["lambda_min_initial"])
            frozen = FrozenDynamics(gram, part["initial_predictions"], data.y)
            curves["frozen_loss"][s, w] = frozen.gd_loss(p.step_size, np.arange(p.steps + 1))
            done += width
            if recorded <= p.steps:
                notes.append(f"Width {width}, seed {seed}: diverged after step {recorded - 1}.")
    notes += parts.notes()
    share_of(progress, 0.0, 1.0)("done", 1.0)

    measured = _measured(p, curves, initial_min, spectrum)
    rows, missing = expectations(measured)
    arrays: dict[str, npt.NDArray[Any]] = {
        "step": np.arange(p.steps + 1),
        "widths": np.array(p.widths),
        "seeds": np.array(p.seeds),
        **curves,
        "lambda_min_initial": initial_min,
        "lambda_0": spectrum[:, 0],
        "lambda_max": spectrum[:, 1],
    }
    return ExperimentResult(
        EXPERIMENT.id,
        EXPERIMENT.title,
        dataclasses.asdict(p),
        rows,
        arrays,
        notes + missing,
        _summary(measured),
    )


def _measured(
    p: Parameters,
    curves: dict[str, Float64Array],
    initial_min: Float64Array,
    spectrum: Float64Array,
) -> Measured:
    """Collect what the expectations are about."""
    residual = np.sqrt(2.0 * curves["loss"][:, :, 0])
    bounds = [
        [
            distance_gd(p.n, width, float(spectrum[s, 0]), float(residual[s, w]))
            for w, width in enumerate(p.widths)
        ]
        for s in range(len(p.seeds))
    ]
    return Measured(
        n=p.n,
        dim=p.dim,
        widths=p.widths,
        steps=p.steps,
        step_size=p.step_size,
        dtype=p.dtype,
        loss=curves["loss"],
        frozen_loss=curves["frozen_loss"],
        pattern_percent=100.0 * curves["pattern_change"][:, :, -1],
        max_distance=curves["max_distance"][:, :, -1],
        initial_residual=residual,
        distance_bound=np.array(bounds),
        lambda_min_initial=initial_min,
        lambda_0=spectrum[:, 0],
        lambda_max=spectrum[:, 1],
    )


def _summary(m: Measured) -> dict[str, Any]:
    """Means over the seeds, for results.json."""
    per_width = {
        "width": np.array(m.widths),
        "initial_loss": m.loss[:, :, 0].mean(axis=0),
        "final_loss": m.loss[:, :, -1].mean(axis=0),
        "pattern_change_percent": m.pattern_percent.mean(axis=0),
        "max_distance": m.max_distance.mean(axis=0),
        "distance_bound": m.distance_bound.mean(axis=0),
        "lambda_min_initial": m.lambda_min_initial.mean(axis=0),
    }
    rows = [dict(zip(per_width, values, strict=True)) for values in zip(*per_width.values(), strict=True)]
    return {"per_width": rows, "lambda_0": m.lambda_0.mean(), "lambda_max": m.lambda_max.mean()}


def _settings(p: Parameters, width: int, seed: int) -> dict[str, Any]:
    """All that a part depends on."""
    shared = {name: getattr(p, name) for name in ("n", "dim", "steps", "step_size", "dtype")}
    return {**shared, "width": width, "seed": seed}


def _train(p: Parameters, width: int, seed: int, data: Dataset, tell: Progress) -> dict[str, Any]:
    """Train one width for one seed."""
    tell("initial network", 0.0)
    network = TwoLayerReLU(width, p.dim, seed=seed, dtype=p.dtype)
    initial_min = lambda_min(network.gram(data.X))

    def show(state: StepState) -> None:
        tell(f"epoch {state.step} of {p.steps}, loss {state.loss:.3e}", state.step / p.steps)

    run_of_width = train(
        network,
        data.X,
        data.y,
        p.steps,
        p.step_size,
        record=(*_CURVES, "predictions"),
        callbacks=(show,),
    )
    history = run_of_width.history
    # A diverged run ends with a loss that is not finite; what came before is kept.
    finite = np.isfinite(history["loss"])
    recorded = len(finite) if finite.all() else int(np.argmin(finite))
    part: dict[str, npt.NDArray[Any]] = {name: history[name][:recorded] for name in _CURVES}
    part["initial_predictions"] = history["predictions"][0]
    part["lambda_min_initial"] = np.array(initial_min)
    return part


def draw(result: ExperimentResult) -> Figure:
    """Draw the three panels: loss (log scale), pattern change and largest distance."""
    step = result.arrays["step"]
    widths = result.arrays["widths"].tolist()
    figure, axes = new_figure(1, 3, width=10.5, height=3.5)
    # With NaN after a divergence the means are NaN there and the curve ends.
    panels = (
        (
            "(a) Training loss",
            r"loss  $\frac{1}{2}\Vert u(k) - y\Vert^2$",
            result.arrays["loss"].mean(axis=0),
        ),
        (
            "(b) Activation patterns changed",
            "patterns changed [%]",
            100.0 * result.arrays["pattern_change"].mean(axis=0),
        ),
        (
            "(c) Largest distance from the start",
            r"$\max_r\ \Vert w_r(k) - w_r(0)\Vert_2$",
            result.arrays["max_distance"].mean(axis=0),
        ),
    )
    for place, (title, label, curves) in zip(axes, panels, strict=True):
        for color, width, curve in zip(ordered_colors(len(widths)), widths, curves, strict=True):
            place.plot(step, drawable(curve), color=color, label=f"m = {width}")
        finish_axes(place, title=title, xlabel="epoch k", ylabel=label)
        place.set_xlim(0, step[-1])
    log_scale(axes[0], result.arrays["loss"])
    for place in axes[1:]:
        place.set_ylim(bottom=0)
    p = result.parameters
    if p["dtype"] == "float32" and np.nanmin(result.arrays["loss"]) < _FLOAT32_FLOOR * p["n"]:
        axes[0].axhline(_FLOAT32_FLOOR * p["n"], color=COLORS["grey"], linestyle=":", linewidth=1)
        axes[0].text(
            0.02 * step[-1],
            0.7 * _FLOAT32_FLOOR * p["n"],
            "below: rounding\nof float32",
            fontsize=7,
            color="#555555",
            va="top",
        )
    # Loss falls to the right, so its upper right corner is free.
    axes[0].legend(loc="upper right")
    seeds = f"mean of {len(p['seeds'])} seeds" if len(p["seeds"]) > 1 else f"seed {p['seeds'][0]}"
    caption(figure, f"n = {p['n']}, d = {p['dim']}, step size {p['step_size']:g}, {p['dtype']}, {seeds}")
    return figure


EXPERIMENT = Experiment(
    id="fig2.1",
    title="Effect of the width on convergence, pattern changes and distance",
    source="Du (2019), thesis, Section 2.4, Figure 2.1",
    full=Parameters(),
    quick=Parameters(
        n=200,
        dim=200,
        widths=(500, 1000, 2000, 5000),
        seeds=(0,),
        dtype="float64",
    ),
    run=run,
    draw=draw,
    full_seconds=120.0,
    quick_seconds=6.0,
    inferred={
        "widths": "this package's choice",
        "step_size": "this package's choice; 1 is below 2 / lambda_max = 1.6, where descent diverges",
    },
)
