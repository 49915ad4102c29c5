"""The essay's two-layer claims: gradients of neurons shrink with the width, the whole gradient does not.

For ``f(x) = m^{-1/2} sum_r a_r relu(w_r . x)`` and the loss ``(1/2) |u - y|^2`` the essay bounds the gradient
of a single neuron by ``sqrt(n/m) |e|`` and concludes that wide networks are near a stationary point sooner.
The whole gradient has the norm ``sqrt(e^T H e)`` at every width. Measured are both against the width, at the
start and during descent, the number of steps until each is small, and the Hessian, which is J^T J where no
pre-activation is 0.
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
from lazygram.analysis.two_layer_bounds import rate_gd
from lazygram.data.pool import Dataset
from lazygram.data.synthetic import synthetic
from lazygram.experiments.base import Experiment, ExperimentResult, Progress, share_of
from lazygram.experiments.checks import Fraction, IncreasingInts, PositiveInt, Seeds, Settings, exponent
from lazygram.experiments.essay_gradient_expected import Measured, expectations, hessian_by_hand
from lazygram.experiments.parts import Parts
from lazygram.gram import gram_infinite
from lazygram.networks.two_layer import TwoLayerReLU
from lazygram.plotting import COLORS, finish_axes, log_ticks, new_figure, ordered_colors
from lazygram.training import train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT", "Parameters"]

Float64Array = npt.NDArray[np.float64]
_TINY = 2.0**-20  # step of descent that gives the gradient; a power of two divides exactly
_HESSIAN = {"n": 5, "dim": 4, "width": 6}  # of the network whose Hessian is differenced


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
    record_every : int
        The gradient is measured every so many steps.
    share : float
        Gradients count as small below this share of the initial norm, averaged over the widths.
    seeds : tuple of int
        Data and networks; numbers are means over them.
    """

    n: PositiveInt = 40
    dim: PositiveInt = 40
    widths: IncreasingInts = (256, 1024, 4096, 16384, 65536)
    steps: PositiveInt = 60
    record_every: PositiveInt = 2
    share: Fraction = 0.01
    seeds: Seeds = (0, 1, 2, 3)


def run(p: Parameters, folder: Path | None = None, progress: Progress | None = None) -> ExperimentResult:
    """Measure gradients of all widths and seeds along descent, and one small Hessian.

    Returns
    -------
    ExperimentResult
        Arrays: "step" (k,), "widths" (w,), "seeds" (s,), of shape (s, w, k) "neuron" = max_r |dL/dw_r|,
        "whole" = |dL/dW|_F, "identity" = sqrt(e^T H e), "residual" = |e|, "residual_l1" = sum_i |e_i|;
        "bound" (s, w, k) of the essay for a single neuron.
    """
    steps = np.arange(0, p.steps + 1, p.record_every)
    shape = (len(p.seeds), len(p.widths), len(steps))
    names = ("neuron", "whole", "identity", "residual", "residual_l1")
    curves = {name: np.empty(shape) for name in (*names, "bound")}
    parts = Parts(folder)
    total, done = sum(p.widths) * len(p.seeds), 0
    for s, seed in enumerate(p.seeds):
        data = synthetic(p.n, p.dim, seed=seed)
        limit = gram_infinite(data.X)
        eta, lambda_0 = stable_step_size(limit), float(eigenvalues(limit)[0])
        for w, width in enumerate(p.widths):
            tell = share_of(progress, 0.9 * done / total, 0.9 * width / total, f"seed {seed}, width {width}")
            settings = {name: getattr(p, name) for name in ("n", "dim", "steps", "record_every")}
            part = parts.get(
                f"width-{width}-seed-{seed}",
                {**settings, "width": width, "seed": seed},
                partial(_descend, p, width, seed, data, eta, tell),
            )
            done += width
            for name in names:
                curves[name][s, w] = part[name]
            decay = np.sqrt(rate_gd(lambda_0, eta, steps.astype(np.float64)))
            curves["bound"][s, w] = np.sqrt(p.n / width) * decay * part["residual"][0]
    share_of(progress, 0.9, 0.1)("Hessian of a small network", 0.0)
    hessian = _hessian_by_differences()
    measured = Measured(
        p.n, p.dim, p.widths, p.share, steps, hessian_by_hand(*hessian[1:]), hessian[0], **curves
    )
    rows, notes = expectations(measured)
    arrays: dict[str, npt.NDArray[Any]] = {
        "step": steps,
        "widths": np.array(p.widths),
        "seeds": np.array(p.seeds),
        **curves,
    }
    return ExperimentResult(
        EXPERIMENT.id, EXPERIMENT.title, dataclasses.asdict(p), rows, arrays, notes + parts.notes()
    )


def _descend(
    p: Parameters, width: int, seed: int, data: Dataset, eta: float, tell: Progress
) -> dict[str, Any]:
    """Norms of the gradient every `record_every` steps of descent."""
    network = TwoLayerReLU(width, p.dim, seed=seed)
    found: dict[str, list[float]] = {}
    for step in range(0, p.steps + 1, p.record_every):
        tell(f"step {step} of {p.steps}", step / p.steps)
        if step:
            network = _advance(network, data, p.record_every, eta)
        e = network.predict(data.X, threads=1) - data.y
        single = np.linalg.norm(_gradient(network, data), axis=1)
        numbers = {
            "neuron": single.max(),
            "whole": np.linalg.norm(single),
            "identity": np.sqrt(e @ network.gram(data.X, threads=1) @ e),
            "residual": np.linalg.norm(e),
            "residual_l1": np.abs(e).sum(),
        }
        for name, value in numbers.items():
            found.setdefault(name, []).append(float(value))
    return found


def _advance(network: TwoLayerReLU, data: Dataset, steps: int, eta: float) -> TwoLayerReLU:
    """Go on with descent."""
    run = train(network, data.X, data.y, steps, eta, record="loss", record_every=steps, threads=1)
    assert isinstance(run.network, TwoLayerReLU)
    return run.network


def _gradient(network: TwoLayerReLU, data: Dataset) -> Float64Array:
    """dL/dW, shape (width, dim), read off one tiny step; rounding leaves nine digits."""
    return (network.weights() - _advance(network, data, 1, _TINY).weights()) / _TINY


def _hessian_by_differences() -> tuple[Float64Array, TwoLayerReLU, Float64Array]:
    """Hessian of a small network by differences of its gradient; the network and its examples."""
    data = synthetic(_HESSIAN["n"], _HESSIAN["dim"], seed=0)
    network = TwoLayerReLU(_HESSIAN["width"], _HESSIAN["dim"], seed=0)
    W, a = network.weights(), network.signs
    # Half of the way to the nearest change of a pattern: the loss is a polynomial of degree two in between.
    step = 0.5 * float(np.abs(W @ data.X.T).min())
    columns = []
    for k in range(W.size):
        shift = np.zeros(W.size)
        shift[k] = step
        ends = [
            _gradient(TwoLayerReLU.from_weights(W + sign * shift.reshape(W.shape), a), data)
            for sign in (1, -1)
        ]
        columns.append((ends[0] - ends[1]).ravel() / (2 * step))
    return np.array(columns), network, data.X


def draw(result: ExperimentResult) -> Figure:
    """Draw both norms at the start against the width, and along descent."""
    arrays, widths = result.arrays, result.arrays["widths"]
    figure, axes = new_figure(1, 3, width=11.5, height=3.8)
    place = axes[0]
    panels = (
        ("whole", "green", "s", r"whole: $\Vert\partial L/\partial W\Vert_F$"),
        ("neuron", "blue", "o", r"$\max_r\Vert\partial L/\partial w_r\Vert$"),
    )
    for name, color, marker, label in panels:
        values = arrays[name][:, :, 0]
        mean = values.mean(axis=0)
        place.loglog(widths, values.T, ".", color=COLORS[color], markersize=3, alpha=0.5)
        text = f"{label}, exponent {exponent(widths, mean):.2f}"
        place.loglog(widths, mean, marker + "-", color=COLORS[color], label=text)
    bound = arrays["bound"][:, :, 0].mean(axis=0)
    place.loglog(widths, bound, "--", color=COLORS["red"], label=r"$\sqrt{n/m}\ \Vert e(0)\Vert$")
    log_ticks(place, widths)
    place.set_ylim(top=30 * float(arrays["whole"].max()))
    place.legend(loc="upper right")
    finish_axes(place, title="(a) Gradient at the start", xlabel="width  m", ylabel="norm")
    for place, name, title in (
        (axes[1], "neuron", "(b) Largest gradient of a neuron"),
        (axes[2], "whole", "(c) Whole gradient"),
    ):
        curves = arrays[name].mean(axis=0)
        for color, width, curve in zip(ordered_colors(len(widths)), widths, curves, strict=True):
            place.semilogy(arrays["step"], curve, color=color, label=f"m = {width}")
        level = float(result.parameters["share"] * curves[:, 0].mean())
        place.axhline(level, color=COLORS["grey"], linestyle=":", label='"small"')
        place.legend()
        finish_axes(place, title=title, xlabel="step k", ylabel="norm, mean of the seeds")
    return figure


EXPERIMENT = Experiment(
    id="essay.gradient",
    title="Gradients of single neurons shrink with the width, the whole gradient does not",
    source="Essay on over-parameterised networks, two-layer networks of large width",
    full=Parameters(),
    quick=Parameters(widths=(256, 1024, 4096), steps=40, seeds=(0, 1)),
    run=run,
    draw=draw,
    full_seconds=45.0,
    quick_seconds=3.0,
    inferred=dict.fromkeys(
        ("n", "dim", "widths", "steps", "share"), "the essay has no experiment for it; this package's choice"
    ),
    corrections=(
        "The bound sqrt(n/m) |e| holds for the gradient of one neuron. The norm of the whole gradient is "
        "sqrt(e^T H e) at every width, so that stationarity is not reached sooner by wide networks.",
        "The Hessian block of neurons r, s is (1/m) sum_j a_r a_s 1_r 1_s x_j x_j^T (the text has the scalar "
        "x_j^2); the whole Hessian is J^T J and positive semi-definite almost everywhere.",
    ),
)
