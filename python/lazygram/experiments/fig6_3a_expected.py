"""Expected numbers of Figure 6.3(a): slopes from the smallest second moment, order of the curves.

Predicted slopes use gamma(0), which has a closed form; final values and gamma were made by loops and
quadratures in NumPy that share no code with this package.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lazygram.experiments.base import Row, in_band, ordered

__all__ = ["Measured", "expectations"]

Float64Array = npt.NDArray[np.float64]

_REFERENCE = "NumPy reference"
_PREDICTED = "ln(1 - eta gamma(0)) a step"
_TEXT = "thesis 6.4, text"
_WINDOWS = {2: (2, 5), 10: (10, 40)}  # epochs between which slopes are taken
_SLACK = 0.12
_FINAL = {10: {0.25: -4.1, 0.5: -11.6, 1.0: -22.1, 2.0: -26.7, 10.0: -28.3}}  # ln |w - w*| at epoch 40
_FINAL_BAND = 0.8
_MOMENTS = {  # gamma(0), L(0) for p = 2, to four digits
    0.25: (0.0294, 0.4706),
    0.5: (0.0977, 0.4023),
    1.0: (0.1932, 0.3068),
    2.0: (0.2347, 0.2653),
    10.0: (0.2494, 0.2506),
}
_PUBLISHED = {"step_size": 0.5, "start": (0.2, 0.4), "batch_size": 10, "samples": 500}


@dataclass(frozen=True)
class Measured:
    """What was measured: curves (dims, sigmas, seeds, epochs + 1), moments at angle 0 (dims, sigmas)."""

    parameters: dict[str, Any]
    steps_per_epoch: int
    log_distance: Float64Array
    gamma: Float64Array
    L: Float64Array
    exact_log_distance: Float64Array
    exact_gamma: Float64Array


def expectations(m: Measured) -> tuple[list[Row], list[str]]:
    """Compare with the text and the predicted slopes.

    Returns
    -------
    rows : list of Row
        Constants of the laws, slopes and order for each dimension, descent without noise.
    notes : list of str
        Which comparisons these settings leave out.
    """
    p, rows, notes = m.parameters, [], []
    usual = all(p[name] == value for name, value in _PUBLISHED.items())
    if not usual:
        notes.append(
            "Slopes and final values are compared for step size 0.5, batch 10, 500 samples and "
            "start (0.2, 0.4) only."
        )
    for d, dim in enumerate(p["dims"]):
        ratios = (m.L[d] / m.gamma[d]).tolist()
        name = f"p = {dim}: L(0)/gamma(0), by sigma"
        if len(ratios) > 1:
            rows.append(ordered(name, _TEXT, ratios, rising=False))
        if dim == 2:
            rows += _moment_rows(m, d)
        if usual and dim in _WINDOWS and p["epochs"] >= _WINDOWS[dim][1]:
            rows += _slope_rows(m, d, dim)
    rows += _exact_rows(m)
    return rows, notes


def _moment_rows(m: Measured, d: int) -> list[Row]:
    """gamma(0) and L(0) against the reference, to its four digits."""
    rows = []
    for s, sigma in enumerate(m.parameters["sigmas"]):
        if sigma in _MOMENTS:
            for name, value, expected in zip(
                ("gamma(0)", "L(0)"), (m.gamma[d, s], m.L[d, s]), _MOMENTS[sigma], strict=True
            ):
                text = f"p = 2, sigma = {sigma:g}: {name}"
                rows.append(in_band(text, _REFERENCE, float(value), expected - 5.1e-5, expected + 5.1e-5))
    return rows


def _slope_rows(m: Measured, d: int, dim: int) -> list[Row]:
    """Slopes per epoch, their order, and the values at the end."""
    p, rows = m.parameters, []
    start, end = _WINDOWS[dim]
    curves = m.log_distance[d].mean(axis=1)
    slopes = (curves[:, end] - curves[:, start]) / (end - start)
    for s, sigma in enumerate(p["sigmas"]):
        predicted = m.steps_per_epoch * math.log(1 - p["step_size"] * m.gamma[d, s])
        name = f"p = {dim}, sigma = {sigma:g}: slope per epoch, epochs {start} to {end}"
        low, high = predicted * (1 + _SLACK), predicted * (1 - _SLACK)
        rows.append(in_band(name, f"{_PREDICTED}: {predicted:.3g}", float(slopes[s]), low, high))
    steep = [float(slope) for slope, sigma in zip(slopes, p["sigmas"], strict=True) if sigma <= 2]
    if len(steep) > 1:
        name = f"p = {dim}: slope, by sigma up to 2"
        rows.append(ordered(name, _TEXT, steep, rising=False))
    if dim == 2 and 2.0 in p["sigmas"] and 10.0 in p["sigmas"]:
        ratio = slopes[p["sigmas"].index(10.0)] / slopes[p["sigmas"].index(2.0)]
        name = "p = 2: slope at sigma = 10 over sigma = 2"
        rows.append(in_band(name, _REFERENCE, float(ratio), 0.92, 1.08, note="the two may tie"))
    for s, sigma in enumerate(p["sigmas"]):
        if sigma in _FINAL.get(dim, {}) and p["epochs"] >= 40:
            center = _FINAL[dim][sigma]
            name = f"p = {dim}, sigma = {sigma:g}: ln |w - w*| at epoch 40"
            low, high = center - _FINAL_BAND, center + _FINAL_BAND
            rows.append(in_band(name, _REFERENCE, float(curves[s, 40]), low, high))
    return rows


def _exact_rows(m: Measured) -> list[Row]:
    """The change per step of descent without noise, at the last step above rounding."""
    rows = []
    for s, sigma in enumerate(m.parameters["sigmas"]):
        curve = m.exact_log_distance[s]
        last = int(np.flatnonzero(np.isfinite(curve))[-1])
        if last < 10:
            continue
        predicted = math.log(1 - m.parameters["step_size"] * m.exact_gamma[s])
        name = f"p = 2, sigma = {sigma:g}: change of ln |w - w*| in step {last} of exact descent"
        # The angle to go is of the order of the distance, and gamma is linear in it near 0.
        slack = 0.01 * abs(predicted)
        change = float(curve[last] - curve[last - 1])
        rows.append(in_band(name, _PREDICTED, change, predicted - slack, predicted + slack))
    return rows
