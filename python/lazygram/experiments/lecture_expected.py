"""What gradient flow on an average loss must do: bounds, a Rayleigh quotient, and the frozen kernel's rate.

With ``e = u - y`` and the loss ``(1/n) sum (1/2) e_i^2``: ``d|e|^2/dt = -(2/n) e^T H(t) e``, so the rate
``-(n/2) d log|e|^2 / dt`` is the Rayleigh quotient of H(t) at e(t), between its extreme eigenvalues. For a
constant H with eigenvalues lambda_i and coefficients c_i of e(0) it is a mean of the lambda_i with weights
``c_i^2 exp(-2 lambda_i t / n)``. All of it is computed with NumPy alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lazygram.experiments.base import Row, at_least, at_most, in_band

__all__ = ["Measured", "expectations", "frozen_rate"]

Float64Array = npt.NDArray[np.float64]

_DERIVATIVE = 0.01  # relative error of second-order differences between recorded times
_SWITCH = 0.10  # a width of a thousand moves H, and with it the rate, by some per cent
_DISCRETE = 0.05  # of the logarithm: descent with finite steps for the flow


@dataclass(frozen=True)
class Measured:
    """What the experiment measured; arrays over the recorded times of the flow."""

    n: int
    lambda_0: float
    quotient: float
    first_rate: float
    time: Float64Array
    residual: Float64Array
    doubled_time: Float64Array
    doubled_residual: Float64Array
    lambda_min: Float64Array
    lambda_max: Float64Array
    rate: Float64Array
    frozen_rate: Float64Array


def frozen_rate(H: Float64Array, start: Float64Array, times: Float64Array) -> Float64Array:
    """Rate of decay under a constant H from the residual `start`, at times of the flow of the sum."""
    values, vectors = np.linalg.eigh(H)
    weights = np.square(vectors.T @ start)[None, :] * np.exp(-2.0 * np.outer(times, values))
    return np.asarray(weights @ values / weights.sum(axis=1))


def expectations(m: Measured) -> tuple[list[Row], list[str]]:
    """Compare with the bounds and with the frozen kernel.

    Returns
    -------
    rows : list of Row
    notes : list of str
    """
    least = float(m.lambda_min.min())
    share = m.residual / m.residual[0]
    doubled = m.doubled_residual / m.residual[0]

    def over(curve: Float64Array, rate: float, time: Float64Array) -> float:
        return float((curve / np.exp(-rate * time / m.n))[1:].max())

    difference = float(np.abs(np.log(m.doubled_residual / m.residual)).max())
    rows = [
        at_most(
            "|e(t)|^2 / (exp(-2 lambda t/n) |e(0)|^2), any t > 0",
            "theory",
            over(share, 2 * least, m.time),
            1.0,
        ),
        at_most(
            "|e(t)|^2 / (exp(-lambda_0 t/n) |e(0)|^2), any t > 0",
            "lecture notes",
            over(share, m.lambda_0, m.time),
            1.0,
        ),
        at_least("least lmin(H(t)) / lambda_0", "condition in the notes", least / m.lambda_0, 0.5),
        in_band(
            "rate at the start / Rayleigh quotient e^T H e / |e|^2",
            "theory: 1",
            m.first_rate / m.quotient,
            1 - 1e-4,
            1 + 1e-4,
        ),
        at_least(
            "least rate / lmin(H(t))",
            "theory: >= 1, differences",
            float((m.rate / m.lambda_min).min()),
            1 - _DERIVATIVE,
        ),
        at_most(
            "largest rate / lmax(H(t))",
            "theory: <= 1, differences",
            float((m.rate / m.lambda_max).max()),
            1 + _DERIVATIVE,
        ),
        in_band(
            "rate at the end / frozen kernel",
            "theory: 1 for m to infinity",
            float(m.rate[-1] / m.frozen_rate[-1]),
            1 - _SWITCH,
            1 + _SWITCH,
        ),
        at_least(
            "rate at the end / (lambda_0 / 2), the notes' rate",
            "loose by 2 or more",
            float(m.rate[-1]) / (m.lambda_0 / 2),
            1.8,
        ),
        at_most(
            "without the 1/2, at time t, against the flow at 2 t: largest |log ratio|",
            "theory: 0, discretisation",
            difference,
            _DISCRETE,
        ),
        at_most(
            "without the 1/2: |e(t)|^2 / (exp(-4 lambda t/n) |e(0)|^2), any t > 0",
            "theory",
            over(doubled, 4 * least, m.doubled_time),
            1.0,
        ),
    ]
    return rows, []
