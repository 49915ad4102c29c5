"""Expected of the essay's two-layer claims: bounds, an identity and a Hessian, all from formulas alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lazygram.experiments.base import Row, at_least, at_most, in_band, ordered
from lazygram.experiments.checks import exponent
from lazygram.networks.two_layer import TwoLayerReLU

__all__ = ["Measured", "expectations", "hessian_by_hand"]

Float64Array = npt.NDArray[np.float64]

# The gradient is a difference of weights below 4 over a step of 2^-20: each is off by 2^-52 * 2^20 or less.
_ROUNDING = 2.0**-32
_HESSIAN = 1e-5  # the same, divided by the step of the second difference


@dataclass(frozen=True)
class Measured:
    """What the experiment measured; curves of shape (seeds, widths, recorded steps)."""

    n: int
    dim: int
    widths: tuple[int, ...]
    share: float
    step: npt.NDArray[np.int64]
    hessian: Float64Array
    hessian_differences: Float64Array
    neuron: Float64Array
    whole: Float64Array
    identity: Float64Array
    residual: Float64Array
    residual_l1: Float64Array
    bound: Float64Array


def hessian_by_hand(network: TwoLayerReLU, X: Float64Array) -> Float64Array:
    """J^T J with the row ``m^{-1/2} a_r 1{w_r . x_i >= 0} x_i`` for example i, shape (m d, m d)."""
    W, a = network.weights(), network.signs
    active = (X @ W.T >= 0) * a / np.sqrt(network.width)
    J = (active[:, :, None] * X[:, None, :]).reshape(len(X), -1)
    return np.asarray(J.T @ J)


def expectations(m: Measured) -> tuple[list[Row], list[str]]:
    """Compare with the bounds, the identity, and the steps until gradients are small.

    Returns
    -------
    rows : list of Row
    notes : list of str
    """
    root = np.sqrt(np.array(m.widths, dtype=np.float64))[None, :, None]
    first = m.residual_l1 / root
    second = np.sqrt(m.n) * m.residual / root
    rows = [
        at_most(
            "max_r |dL/dw_r| / (m^-1/2 |e|_1), any step",
            "essay",
            float((m.neuron / first).max()),
            1.0,
        ),
        at_most(
            "max_r |dL/dw_r| / (sqrt(n/m) |e|), any step", "essay", float((m.neuron / second).max()), 1.0
        ),
        at_most(
            "max_r |dL/dw_r| / (sqrt(n/m) (1 - eta lam0/2)^(k/2) |e(0)|), any step",
            "essay, with Theorem 2.3",
            float((m.neuron / m.bound).max()),
            1.0,
        ),
        at_most(
            "largest relative difference of |dL/dW|_F and sqrt(e^T H e)",
            "identity; rounding",
            float(np.abs(m.whole / m.identity - 1).max()),
            _identity_error(m),
        ),
    ]
    rows += _hessian_rows(m)
    if len(m.widths) > 1:
        rows += _width_rows(m)
    return rows, []


def _identity_error(m: Measured) -> float:
    """Rounding of a gradient read off a step, for m d weights, relative to the least norm."""
    return _ROUNDING * float(np.sqrt(m.widths[-1] * m.dim) / m.identity.min())


def _hessian_rows(m: Measured) -> list[Row]:
    scale = float(np.abs(m.hessian).max())
    symmetric = (m.hessian_differences + m.hessian_differences.T) / 2
    difference = float(np.abs(m.hessian_differences - m.hessian).max()) / scale
    return [
        at_most("Hessian by differences against J^T J, relative", "formula", difference, _HESSIAN),
        at_least(
            "least eigenvalue of the Hessian / largest",
            "positive semi-definite; rounding",
            float(np.linalg.eigvalsh(symmetric)[0]) / float(np.linalg.eigvalsh(symmetric)[-1]),
            -_HESSIAN,
        ),
    ]


def _width_rows(m: Measured) -> list[Row]:
    """How both norms, and the steps until they are small, go with the width."""
    neuron = (m.neuron / m.residual)[:, :, 0].mean(axis=0)
    whole = (m.whole / m.residual)[:, :, 0].mean(axis=0)
    one, all_ = _steps_until_small(m, m.neuron), _steps_until_small(m, m.whole)
    return [
        in_band(
            "one neuron at the start / |e|: exponent in m",
            "essay: -1/2",
            exponent(m.widths, neuron),
            -0.55,
            -0.4,
        ),
        in_band(
            "whole gradient at the start / |e|: exponent in m",
            "identity: 0",
            exponent(m.widths, whole),
            -0.1,
            0.1,
        ),
        ordered("steps until one neuron's gradient is small, by width", "essay", one, rising=False),
        in_band(
            "steps until the whole gradient is small: widest / narrowest",
            "identity: 1",
            all_[-1] / all_[0],
            0.75,
            1.33,
            note="the essay expects it to be small",
        ),
    ]


def _steps_until_small(m: Measured, norms: Float64Array) -> list[float]:
    """Step at which the mean over the seeds crosses the level for all widths, by interpolation of the log."""
    curves = np.log(norms / m.residual[:, :, :1]).mean(axis=0)
    level = np.log(m.share) + curves[:, 0].mean()
    steps = []
    for curve in curves:
        below = np.flatnonzero(curve <= level)
        if not len(below):
            steps.append(float("nan"))
            continue
        k = int(below[0])
        if k == 0:
            steps.append(0.0)
            continue
        part = (curve[k - 1] - level) / (curve[k - 1] - curve[k])
        steps.append(float(m.step[k - 1] + part * (m.step[k] - m.step[k - 1])))
    return steps
