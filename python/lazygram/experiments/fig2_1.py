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
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.analysis import FrozenDynamics, eigenvalues, lambda_min
from lazygram.analysis.two_layer_bounds import distance_gd
from lazygram.arrays import check_nonnegative_int, check_positive_float, check_positive_int
from lazygram.data.synthetic import synthetic
from lazygram.experiments.base import Experiment, ExperimentResult, Progress
from lazygram.experiments.fig2_1_expected import Measured, expectations
from lazygram.files import read_npz, write_npz
from lazygram.gram import gram_infinite
from lazygram.networks.two_layer import TwoLayerReLU
from lazygram.plotting import finish_axes, new_figure, ordered_colors
from lazygram.training.run import train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT", "Parameters"]

Float64Array = npt.NDArray[np.float64]
_CURVES = ("loss", "pattern_change", "max_distance")
_FORMAT = 1  # of the files of finished parts; a change makes old ones be computed again


@dataclass(frozen=True)
class Parameters:
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
        Precision of the networks. float32 ends at a loss of about 1e-14 n.
    """

    n: int = 1000
    dim: int = 1000
    widths: tuple[int, ...] = (1000, 2000, 5000, 10000)
    steps: int = 100
    step_size: float = 1.0
    seeds: tuple[int, ...] = (0,)
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name in ("n", "dim", "steps"):
            check_positive_int(getattr(self, name), name)
        check_positive_float(self.step_size, "step_size")
        for name, check in (("widths", check_positive_int), ("seeds", check_nonnegative_int)):
            values = tuple(getattr(self, name))
            if not values:
                raise ValueError(f"{name}: at least one is needed")
            for value in values:
                check(value, name)
            if sorted(set(values)) != list(values):
                raise ValueError(f"{name} must be increasing, got {', '.join(map(str, values))}")
        if self.dtype not in ("float32", "float64"):
            raise ValueError(f"dtype must be float32 or float64, got {self.dtype!r}")


def run(
    parameters: Parameters, folder: Path | None = None, progress: Progress | None = None
) -> ExperimentResult:
    """Train all widths for all seeds and compare with the expected numbers.

    Parameters
    ----------
    parameters : Parameters
        Settings.
    folder : Path, optional
        Where finished widths are kept (``parts/``) and found again after an interruption.
    progress : callable, optional
        Shown what is being computed.

    Returns
    -------
    ExperimentResult
        Arrays: "step" (k,), "widths" (w,), "seeds" (s,), and of shape (s, w, k) "loss",
        "frozen_loss" (prediction of the infinite-width Gram matrix from the same initial
        network), "pattern_change" (fraction), "max_distance"; of shape (s, w) "lambda_min_initial";
        of shape (s,) "lambda_0" and "lambda_max". After a divergence the rest is NaN.
    """
    p = parameters
    shape = (len(p.seeds), len(p.widths))
    curves = {name: np.full((*shape, p.steps + 1), np.nan) for name in (*_CURVES, "frozen_loss")}
    initial_min = np.full(shape, np.nan)
    spectrum = np.full((shape[0], 2), np.nan)
    notes = [
        "The text prints neither the widths nor the step size of its figure: "
        f"widths {', '.join(map(str, p.widths))} and step size {p.step_size:g} are parameters."
    ]
    reused, total = [], sum(p.widths) * len(p.seeds)
    done = 0
    for s, seed in enumerate(p.seeds):
        _tell(progress, f"seed {seed}: infinite-width Gram matrix", done / total)
        data = synthetic(p.n, p.dim, seed=seed)
        gram = gram_infinite(data.X)
        values = eigenvalues(gram)
        spectrum[s] = values[0], values[-1]
        for w, width in enumerate(p.widths):
            share = width / total
            part, kept = _part(p, width, seed, data.X, data.y, folder, progress, done / total, share)
            if kept:
                reused.append(f"{width} (seed {seed})")
            recorded = len(part["loss"])
            for name in _CURVES:
                curves[name][s, w, :recorded] = part[name]
            initial_min[s, w] = float(part["lambda_min_initial"])
            frozen = FrozenDynamics(gram, part["initial_predictions"], data.y)
            curves["frozen_loss"][s, w] = frozen.gd_loss(p.step_size, np.arange(p.steps + 1))
            done += width
            if recorded <= p.steps:
                notes.append(f"Width {width}, seed {seed}: diverged after step {recorded - 1}.")
    if reused:
        notes.append(f"Taken from an earlier, interrupted or equal run: widths {', '.join(reused)}.")
    _tell(progress, "done", 1.0)

    with np.errstate(invalid="ignore"):
        initial_residual = np.sqrt(2.0 * curves["loss"][:, :, 0])
        bounds = np.array(
            [
                [
                    distance_gd(p.n, width, spectrum[s, 0], initial_residual[s, w])
                    for w, width in enumerate(p.widths)
                ]
                for s in range(shape[0])
            ]
        )
    measured = Measured(
        n=p.n,
        dim=p.dim,
        widths=p.widths,
        steps=p.steps,
        step_size=p.step_size,
        dtype=p.dtype,
        seeds=len(p.seeds),
        loss=curves["loss"],
        frozen_loss=curves["frozen_loss"],
        pattern_percent=100.0 * curves["pattern_change"][:, :, -1],
        max_distance=curves["max_distance"][:, :, -1],
        initial_residual=initial_residual,
        distance_bound=bounds,
        lambda_min_initial=initial_min,
        lambda_0=spectrum[:, 0],
        lambda_max=spectrum[:, 1],
    )
    rows, missing = expectations(measured)
    notes += missing
    arrays: dict[str, npt.NDArray[Any]] = {
        "step": np.arange(p.steps + 1),
        "widths": np.array(p.widths),
        "seeds": np.array(p.seeds),
        **curves,
        "lambda_min_initial": initial_min,
        "lambda_0": spectrum[:, 0],
        "lambda_max": spectrum[:, 1],
    }
    summary = {
        "per_width": [
            {
                "width": width,
                "initial_loss": float(curves["loss"][:, w, 0].mean()),
                "final_loss": float(curves["loss"][:, w, -1].mean()),
                "pattern_change_percent": float(measured.pattern_percent[:, w].mean()),
                "max_distance": float(measured.max_distance[:, w].mean()),
                "distance_bound": float(bounds[:, w].mean()),
                "lambda_min_initial": float(initial_min[:, w].mean()),
            }
            for w, width in enumerate(p.widths)
        ],
        "lambda_0": float(spectrum[:, 0].mean()),
        "lambda_max": float(spectrum[:, 1].mean()),
    }
    return ExperimentResult(
        EXPERIMENT.id, EXPERIMENT.title, dataclasses.asdict(p), rows, arrays, notes, summary
    )


def _tell(progress: Progress | None, message: str, done: float) -> None:
    if progress is not None:
        progress(message, done)


def _part(
    p: Parameters,
    width: int,
    seed: int,
    X: Float64Array,
    y: Float64Array,
    folder: Path | None,
    progress: Progress | None,
    before: float,
    share: float,
) -> tuple[dict[str, npt.NDArray[Any]], bool]:
    """Train one width for one seed, or find it finished; says which."""
    key = json.dumps(
        {
            "format": _FORMAT,
            "n": p.n,
            "dim": p.dim,
            "width": width,
            "steps": p.steps,
            "step_size": p.step_size,
            "seed": seed,
            "dtype": p.dtype,
        }
    )
    file = None if folder is None else folder / "parts" / f"width-{width}-seed-{seed}.npz"
    if file is not None and file.exists():
        try:
            kept = read_npz(file)
        except ValueError:  # damaged: compute it again
            kept = {}
        if str(kept.get("key")) == key:
            return kept, True

    label = f"seed {seed}, width {width}"
    _tell(progress, f"{label}: initial network", before)
    network = TwoLayerReLU(width, p.dim, seed=seed, dtype=p.dtype)
    inputs = X.astype(p.dtype)
    initial_min = lambda_min(network.gram(inputs))

    def show(state: Any) -> None:
        text = f"{label}: epoch {state.step} of {p.steps}, loss {state.loss:.3e}"
        _tell(progress, text, before + share * state.step / p.steps)

    finished = train(
        network,
        inputs,
        y,
        p.steps,
        p.step_size,
        record=(*_CURVES, "predictions"),
        callbacks=(show,),
    )
    history = finished.history
    # A diverged run ends with a loss that is not finite; what came before is kept.
    finite = np.isfinite(history["loss"])
    recorded = len(finite) if finite.all() else int(np.argmin(finite))
    part: dict[str, npt.NDArray[Any]] = {name: history[name][:recorded] for name in _CURVES}
    part["initial_predictions"] = history["predictions"][0]
    part["lambda_min_initial"] = np.array(initial_min)
    part["key"] = np.array(key)
    if file is not None:
        write_npz(file, part)
    return part, False


def draw(result: ExperimentResult) -> Figure:
    """Draw the three panels: loss (log scale), pattern change and largest distance."""
    step = result.arrays["step"]
    widths = result.arrays["widths"].tolist()
    figure, axes = new_figure(1, 3, width=10.5, height=3.5)
    # With NaN after a divergence the means are NaN there and the curve ends.
    panels = (
        ("(a) Training loss", "loss  ½ |u(k) − y|²", result.arrays["loss"].mean(axis=0)),
        (
            "(b) Activation patterns changed",
            "patterns changed [%]",
            100.0 * result.arrays["pattern_change"].mean(axis=0),
        ),
        (
            "(c) Largest distance from the start",
            "max$_r$ ‖w$_r$(k) − w$_r$(0)‖₂",
            result.arrays["max_distance"].mean(axis=0),
        ),
    )
    for place, (title, label, curves) in zip(axes, panels, strict=True):
        for color, width, curve in zip(ordered_colors(len(widths)), widths, curves, strict=True):
            place.plot(step, curve, color=color, label=f"m = {width}")
        finish_axes(place, title=title, xlabel="epoch k", ylabel=label)
        place.set_xlim(0, step[-1])
    if np.nanmin(result.arrays["loss"]) > 0:
        axes[0].set_yscale("log")
    for place in axes[1:]:
        place.set_ylim(bottom=0)
    # Loss falls to the right, so its upper right corner is free.
    axes[0].legend(loc="upper right")
    p = result.parameters
    seeds = f"mean of {len(p['seeds'])} seeds" if len(p["seeds"]) > 1 else f"seed {p['seeds'][0]}"
    figure.suptitle(
        f"n = {p['n']}, d = {p['dim']}, step size {p['step_size']:g}, {p['dtype']}, {seeds}",
        fontsize=9,
        color="#444444",
        x=0.995,
        ha="right",
    )
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
        seeds=(0, 1, 2),
        dtype="float64",
    ),
    run=run,
    draw=draw,
)
