"""The kernel predictor of the lecture notes: what a wide network predicts after training to convergence.

At infinite width the trained network is ``f(x) = f_0(x) + K(x, X) H_inf^{-1} (y - u(0))``. The notes print
``K H_inf^{-1} y``, which is right when f_0 = 0: for the antisymmetric start, in which every neuron has a twin
with the opposite sign. All three are compared at test points for growing width.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.analysis import kernel_predict, stable_step_size
from lazygram.data.synthetic import synthetic
from lazygram.experiments.base import Experiment, ExperimentResult, Progress, share_of
from lazygram.experiments.checks import IncreasingInts, PositiveInt, Seeds, Settings
from lazygram.experiments.parts import Parts
from lazygram.experiments.predictor_expected import VARIANTS, Measured, expectations
from lazygram.gram import gram_infinite
from lazygram.networks.two_layer import TwoLayerReLU
from lazygram.plotting import COLORS, finish_axes, log_ticks, new_figure
from lazygram.training import train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT", "Parameters"]

Float64Array = npt.NDArray[np.float64]
_LABELS = (
    r"antisymmetric start, $K H^{-1} y$",
    r"plain start, $f_0 + K H^{-1}(y-u_0)$",
    r"plain start, $K H^{-1} y$",
)
_COLORS = ("blue", "green", "red")


@dataclass(frozen=True)
class Parameters(Settings):
    """Settings of the experiment.

    Attributes
    ----------
    n, dim, n_test : int
        Training points and test points on the unit sphere, input dimension.
    widths : tuple of int
        Even widths m, increasing.
    steps : int
        Steps of gradient descent with step size 1 / lambda_max(H_inf).
    seeds : tuple of int
        Data and networks; numbers are medians over them.
    """

    n: PositiveInt = 20
    dim: PositiveInt = 10
    n_test: PositiveInt = 200
    widths: IncreasingInts = (2000, 8000, 32000)
    steps: PositiveInt = 163
    seeds: Seeds = (0, 1, 2, 3, 4, 5, 6, 7, 8)

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(width % 2 for width in self.widths):
            raise ValueError("widths must be even: the antisymmetric start pairs the neurons")


def run(p: Parameters, folder: Path | None = None, progress: Progress | None = None) -> ExperimentResult:
    """Train networks from both starts and compare them with the predictors at the test points.

    Returns
    -------
    ExperimentResult
        Arrays: "widths" (w,), "seeds" (s,), "rms" (s, w, 3): root mean square difference over the test points
        for the three variants of the module's text, "predictor_rms" (s,) of ``K H_inf^{-1} y``,
        "final_residual" (s, w), and for the first seed and the widest network "predictor" and "trained"
        (3, n_test).
    """
    rms = np.empty((len(p.seeds), len(p.widths), len(VARIANTS)))
    size, residual = np.empty(len(p.seeds)), np.empty((len(p.seeds), len(p.widths)))
    shown: dict[str, Float64Array] = {}
    parts = Parts(folder)
    total, done = sum(p.widths) * len(p.seeds), 0
    for s, seed in enumerate(p.seeds):
        data = synthetic(p.n, p.dim, n_test=p.n_test, seed=seed)
        assert data.X_test is not None
        H, K = gram_infinite(data.X), gram_infinite(data.X_test, data.X)
        kernel = kernel_predict(K, H, data.y)
        size[s] = np.sqrt(np.mean(kernel**2))
        for w, width in enumerate(p.widths):
            tell = share_of(progress, done / total, width / total, f"seed {seed}, width {width}")
            settings = {name: getattr(p, name) for name in ("n", "dim", "n_test", "steps")}
            part = parts.get(
                f"width-{width}-seed-{seed}",
                {**settings, "width": width, "seed": seed},
                partial(_train, p, width, seed, stable_step_size(H), tell),
            )
            done += width
            corrected = kernel_predict(K, H, data.y, part["u_start"], part["f_start"])
            trained = np.stack([part["f_symmetric"], part["f_plain"], part["f_plain"]])
            predictor = np.stack([kernel, corrected, kernel])
            rms[s, w] = np.sqrt(np.mean((trained - predictor) ** 2, axis=1))
            residual[s, w] = np.linalg.norm(part["u_end"] - data.y)
            if s == 0 and width == p.widths[-1]:
                shown = {"predictor": predictor, "trained": trained}
    measured = Measured(p.n, p.dim, p.widths, p.steps, rms, size)
    rows, notes = expectations(measured)
    arrays: dict[str, npt.NDArray[Any]] = {
        "widths": np.array(p.widths),
        "seeds": np.array(p.seeds),
        "rms": rms,
        "predictor_rms": size,
        "final_residual": residual,
        **shown,
    }
    table = [
        {"width": width, **dict(zip(VARIANTS, np.median(rms[:, w], axis=0), strict=True))}
        for w, width in enumerate(p.widths)
    ]
    summary = {"median_rms_difference": table, "median_rms_of_predictor": np.median(size)}
    return ExperimentResult(
        EXPERIMENT.id, EXPERIMENT.title, dataclasses.asdict(p), rows, arrays, notes + parts.notes(), summary
    )


def _train(p: Parameters, width: int, seed: int, eta: float, tell: Progress) -> dict[str, Any]:
    """Predictions of one width and seed, before and after, from both starts."""
    data = synthetic(p.n, p.dim, n_test=p.n_test, seed=seed)
    part = {}
    for antisymmetric in (True, False):
        tell("antisymmetric start" if antisymmetric else "plain start", 0.0 if antisymmetric else 0.5)
        history = train(
            TwoLayerReLU(width, p.dim, seed=seed, antisymmetric=antisymmetric),
            data.X,
            data.y,
            p.steps,
            eta,
            record=("loss", "predictions"),
            record_every=p.steps,
            X_test=data.X_test,
            threads=1,  # steps this small are over before a second thread has started
        ).history
        f = history["test_predictions"]
        if antisymmetric:
            part["f_symmetric"] = f[-1]
        else:
            part |= {"f_plain": f[-1], "f_start": f[0]}
            part |= {"u_start": history["predictions"][0], "u_end": history["predictions"][-1]}
    return part


def draw(result: ExperimentResult) -> Figure:
    """Draw the differences against the width, and network against predictor at the test points."""
    arrays, widths = result.arrays, result.arrays["widths"]
    figure, axes = new_figure(1, 2, width=9.5, height=4.0)
    place = axes[0]
    typical = np.median(arrays["rms"], axis=0)
    for c, (label, color) in enumerate(zip(_LABELS, _COLORS, strict=True)):
        place.loglog(widths, arrays["rms"][:, :, c].T, ".", color=COLORS[color], markersize=3, alpha=0.5)
        place.loglog(widths, typical[:, c], "o-", color=COLORS[color], label=label)
    guide = typical[0, 0] * np.sqrt(widths[0] / widths)
    place.loglog(widths, guide, "--", color=COLORS["grey"], label=r"$m^{-1/2}$")
    log_ticks(place, widths)
    place.set_ylim(top=8 * float(arrays["rms"].max()))
    place.legend()
    finish_axes(
        place,
        title="(a) Network against kernel predictor",
        xlabel="width  m",
        ylabel=f"rms difference, {arrays['predictor'].shape[1]} test points",
    )
    place = axes[1]
    for c in (2, 1, 0):
        place.plot(arrays["predictor"][c], arrays["trained"][c], ".", color=COLORS[_COLORS[c]], markersize=4)
    ends = [float(arrays["predictor"].min()), float(arrays["predictor"].max())]
    place.plot(ends, ends, color=COLORS["black"], linewidth=0.8)
    finish_axes(
        place,
        title=f"(b) Every test point, m = {widths[-1]}, seed {arrays['seeds'][0]}",
        xlabel="predictor",
        ylabel="trained network",
    )
    return figure


EXPERIMENT = Experiment(
    id="predictor",
    title="A trained wide network is the kernel predictor, if its start is carried along",
    source="Lecture notes on the neural tangent kernel, predictor; Du (2019), thesis, Section 2.5",
    full=Parameters(),
    quick=Parameters(seeds=(0, 1, 2)),
    run=run,
    draw=draw,
    full_seconds=30.0,
    quick_seconds=4.0,
    inferred=dict.fromkeys(
        ("n", "dim", "n_test", "widths", "steps"), "the notes have no experiment; this package's choice"
    ),
    corrections=(
        "The printed predictor K H_inf^{-1} y needs f_0 = 0; otherwise it is f_0 + K H_inf^{-1} (y - u(0)), "
        "and leaving the two terms out is wrong at every width.",
    ),
)
