"""Rates of the lecture notes: gradient flow on an average loss, and on the average without the 1/2.

With the loss ``(1/n) sum_i (1/2) (u_i - y_i)^2`` gradient flow obeys ``du/dt = -(1/n) H(t) (u - y)``, so the
squared residual decays at the rate ``(2/n) e^T H e / |e|^2``, which is at least ``2 lambda / n`` while
lambda_min(H(t)) >= lambda; the proof in the notes keeps half of that. Later the notes use the objective
``(1/n) sum_i (f(x_i) - y_i)^2``, whose flow is twice as fast. Here the flow of the first is integrated with
an adaptive method, and descent with small steps is run on the second.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.analysis import eigenvalues
from lazygram.data.pool import Dataset
from lazygram.data.synthetic import synthetic
from lazygram.experiments.base import Experiment, ExperimentResult, Progress, share_of
from lazygram.experiments.checks import NonNegativeInt, PositiveFloat, PositiveInt, Settings
from lazygram.experiments.lecture_expected import Measured, expectations, frozen_rate
from lazygram.gram import gram_infinite
from lazygram.networks.two_layer import TwoLayerReLU
from lazygram.plotting import COLORS, finish_axes, new_figure
from lazygram.training import StepState, train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT", "Parameters"]

_TINY = 1e-6  # step size at which descent is as good as its derivative


@dataclass(frozen=True)
class Parameters(Settings):
    """Settings of the experiment.

    Attributes
    ----------
    n, dim, width : int
        Examples on the unit sphere, input dimension, width of the network.
    time : float
        End of the flow, in units of n / lambda_0 (the loss is an average).
    records : int
        Times at which both are compared.
    descent_steps : int
        Steps of descent between two of these times.
    seed : int
        Of data and network.
    """

    n: PositiveInt = 20
    dim: PositiveInt = 20
    width: PositiveInt = 4000
    time: PositiveFloat = 4.0
    records: PositiveInt = 100
    descent_steps: PositiveInt = 10
    seed: NonNegativeInt = 0


def run(p: Parameters, folder: Path | None = None, progress: Progress | None = None) -> ExperimentResult:
    """Integrate the flow, run descent on both objectives, and compare rates.

    Returns
    -------
    ExperimentResult
        Arrays over the recorded times t of the flow of (1/n) sum (1/2)(u-y)^2: "time", "residual" = |e|^2,
        "lambda_min" and "lambda_max" of H(t), "rate" = -(n/2) d log|e|^2 / dt, "frozen_rate" (the same for a
        constant H_inf); of descent on (1/n) sum (u-y)^2 "doubled_time" and "doubled_residual"; "lambda_0".
    """
    data = synthetic(p.n, p.dim, seed=p.seed)
    limit = gram_infinite(data.X)
    lambda_0 = float(eigenvalues(limit)[0])
    network = TwoLayerReLU(p.width, p.dim, seed=p.seed)
    tell = share_of(progress, 0.0, 0.8, "flow")

    def watch(state: StepState) -> None:
        tell(f"time {state.step} of {p.records}", state.step / p.records)

    # The package's loss is the sum over examples: its time is that of the average divided by n.
    span = p.time / lambda_0
    flow = train(
        network,
        data.X,
        data.y,
        p.records,
        span / p.records,
        method="flow",
        record=("loss", "predictions", "lambda_min", "lambda_max"),
        callbacks=watch,
        threads=1,
    ).history
    share_of(progress, 0.8, 0.2)("descent without the 1/2", 0.0)
    # Without the 1/2 the gradient is doubled, and the same point is reached in half the time.
    steps = p.records * p.descent_steps
    time = p.n * flow["time"]
    doubled = train(
        network,
        data.X,
        data.y,
        steps,
        2.0 * (time[-1] / 2 / steps) / p.n,
        record="loss",
        record_every=p.descent_steps,
        threads=1,
    ).history
    residual = 2.0 * flow["loss"]
    start = flow["predictions"][0] - data.y
    numbers: dict[str, npt.NDArray[Any]] = {
        "time": time,
        "residual": residual,
        "doubled_time": time / 2,
        "doubled_residual": 2.0 * doubled["loss"],
        "lambda_min": flow["lambda_min"],
        "lambda_max": flow["lambda_max"],
        "rate": -0.5 * p.n * np.gradient(np.log(residual), time, edge_order=2),
        "frozen_rate": frozen_rate(limit, start, time / p.n),
    }
    quotient = float(start @ network.gram(data.X) @ start / (start @ start))
    measured = Measured(
        p.n, lambda_0=lambda_0, quotient=quotient, first_rate=_first_rate(network, data), **numbers
    )
    rows, notes = expectations(measured)
    numbers["lambda_0"] = np.array(lambda_0)
    summary = {"lambda_0": lambda_0, "quotient_at_start": quotient}
    return ExperimentResult(
        EXPERIMENT.id, EXPERIMENT.title, dataclasses.asdict(p), rows, numbers, notes, summary
    )


def _first_rate(network: TwoLayerReLU, data: Dataset) -> float:
    """``-(1/2) d log |e|^2 / dt`` at the start, with the loss a sum, from one tiny step of descent."""
    loss = train(network, data.X, data.y, 1, _TINY, record="loss").history["loss"]
    return float(-0.5 * np.log(loss[1] / loss[0]) / _TINY)


def draw(result: ExperimentResult) -> Figure:
    """Draw the squared residual with its bounds, and the rate of decay between the eigenvalues of H."""
    arrays, n = result.arrays, result.parameters["n"]
    time, lambda_0 = arrays["time"], float(arrays["lambda_0"])
    figure, axes = new_figure(1, 2, width=9.5, height=3.9)
    place = axes[0]
    start = arrays["residual"][0]
    place.semilogy(
        time,
        arrays["residual"] / start,
        color=COLORS["blue"],
        label=r"flow of $\frac{1}{n}\sum\frac{1}{2}(f-y)^2$",
    )
    place.semilogy(
        arrays["doubled_time"],
        arrays["doubled_residual"] / start,
        color=COLORS["green"],
        label=r"descent on $\frac{1}{n}\sum(f-y)^2$",
    )
    least = float(arrays["lambda_min"].min())
    place.semilogy(
        time, np.exp(-2 * least * time / n), "--", color=COLORS["orange"], label=r"$\exp(-2\lambda t/n)$"
    )
    place.semilogy(
        time,
        np.exp(-lambda_0 * time / n),
        ":",
        color=COLORS["red"],
        label=r"$\exp(-\lambda_0 t/n)$, as in the notes",
    )
    place.set_ylim(float((arrays["residual"] / start).min()) / 3, 100.0)
    place.legend()
    finish_axes(
        place, title="(a) Squared residual", xlabel="time t", ylabel=r"$\Vert e(t)\Vert^2/\Vert e(0)\Vert^2$"
    )
    place = axes[1]
    place.semilogy(time, arrays["rate"], color=COLORS["blue"], label="measured rate")
    place.semilogy(time, arrays["frozen_rate"], "--", color=COLORS["sky"], label=r"frozen $H^\infty$")
    place.semilogy(time, arrays["lambda_max"], color=COLORS["grey"], label=r"$\lambda_{max}(H(t))$")
    place.semilogy(time, arrays["lambda_min"], color=COLORS["orange"], label=r"$\lambda_{min}(H(t))$")
    place.axhline(lambda_0 / 2, color=COLORS["red"], linestyle=":", label=r"$\lambda_0/2$, as in the notes")
    place.set_ylim(lambda_0 / 3, 12 * float(arrays["lambda_max"].max()))
    place.legend(loc="upper right", ncols=2)
    finish_axes(
        place,
        title="(b) Rate of decay",
        xlabel="time t",
        ylabel=r"$-\frac{n}{2}\ \frac{d}{dt}\log\Vert e\Vert^2$",
    )
    return figure


EXPERIMENT = Experiment(
    id="lecture",
    title="Gradient flow on an average loss: the rate of decay and its factors of two",
    source="Lecture notes on the neural tangent kernel, convergence of gradient flow",
    full=Parameters(),
    quick=Parameters(width=500, records=60),
    run=run,
    draw=draw,
    full_seconds=10.0,
    quick_seconds=4.0,
    inferred=dict.fromkeys(
        ("n", "dim", "width", "time", "records", "descent_steps"),
        "the notes have no experiment; this package's choice",
    ),
    corrections=(
        "With the loss (1/n) sum (1/2)(u-y)^2 and lambda_min(H(t)) >= lambda the squared residual decays at "
        "least like exp(-2 lambda t / n); the proof keeps only half of the exponent (valid, but loose).",
        "The later objective (1/n) sum (f-y)^2 has no 1/2: its flow is twice as fast.",
        "du_i / dw_r = m^{-1/2} a_r x_i 1{w_r . x_i >= 0}, without a sum over r.",
        "The width is m = Omega(n^6 / eps^2), not O.",
    ),
)
