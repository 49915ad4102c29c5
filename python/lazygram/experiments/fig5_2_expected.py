"""Expected numbers of Figure 5.2: lengths of the phases, rates of the four measures at the end.

The rates are closed forms; the other bands were made by loops in NumPy that share no code with this
package, over 40 and 60 seeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lazygram.experiments.base import Row, at_least, at_most, holds, in_band

__all__ = ["Measured", "expectations"]

Float64Array = npt.NDArray[np.float64]

_REFERENCE = "NumPy reference"
_CLOSED = "closed form"
# Between these values a measure decays at its final rate and is above rounding.
_WINDOWS = {
    "angle": (1e-6, 1e-11),
    "|a - a*|": (1e-6, 1e-9),
    "|1.a - 1.a*|": (1e-6, 1e-12),
    "loss": (1e-13, 1e-19),
}


@dataclass(frozen=True)
class Measured:
    """What was measured; arrays of shape (steps + 1, seeds)."""

    k: int
    step_size: float
    a_norm: float
    seeds: tuple[int, ...]
    angle: Float64Array
    output_distance: Float64Array
    sum_gap: Float64Array
    loss: Float64Array


def expectations(m: Measured) -> tuple[list[Row], list[str]]:
    """Compare with the text's phases and the rates.

    Returns
    -------
    rows : list of Row
        Phases in their order, then the rates.
    notes : list of str
        Which comparisons these settings leave out.
    """
    if (m.step_size, m.a_norm, m.k) != (0.1, 1.0, 20) or len(m.angle) <= 1000:
        return [], ["Expected numbers exist for k = 20, |a*| = 1, step size 0.1 and 1000 steps."]
    seeds = len(m.seeds)
    converged = int((m.angle[1000] < 1e-3).sum())
    first = np.log(m.sum_gap[0] / m.sum_gap[10])
    stall = np.log(m.sum_gap[10] / m.sum_gap[20])
    loss_drop = np.log(m.loss[0] / m.loss[10])
    below = m.angle < math.exp(-1)
    phase = np.where(below.any(axis=0), below.argmax(axis=0), len(below))
    rows = [
        at_least("fall of ln |1.a - 1.a*| over 10 steps, smallest", _REFERENCE, float(first.min()), 1.5),
        holds(
            "then it stalls: its fall over the next 10 steps is smaller, runs",
            "thesis 5.5.1, text",
            bool((stall < first).all()),
            f"{seeds} of {seeds}",
            f"{int((stall < first).sum())} of {seeds}",
        ),
        at_most(
            "fall of the ln loss over 10 steps, largest",
            _REFERENCE + ", 0.004 .. 1.15 over 40 seeds",
            float(loss_drop.max()),
            1.155,
            note="the text has the loss drop as quickly as |1.a - 1.a*|",
        ),
        at_least("slow phase T1 (angle above 1/e), shortest", _REFERENCE, float(phase.min()), 50.0),
        at_most("slow phase T1, longest", _REFERENCE, float(phase.max()), 350.0),
        in_band("slow phase T1, median", _REFERENCE, float(np.median(phase)), 110.0, 180.0),
        holds(
            "runs with angle < 0.001 after 1000 steps",
            _REFERENCE,
            converged == seeds,
            f"{seeds} of {seeds}",
            f"{converged} of {seeds}",
        ),
    ]
    final = np.log(m.loss[400])
    rows += [
        at_least("ln loss at step 400, smallest", _REFERENCE, float(final.min()), -29.0),
        at_most("ln loss at step 400, largest", _REFERENCE, float(final.max()), -11.0),
    ]
    output_rate = math.log(1 - m.step_size * (math.pi - 1) / (2 * math.pi))
    bands = {
        "angle": (-0.0512, -0.0500),
        "|a - a*|": (output_rate - 0.0003, output_rate + 0.0003),
        "loss": (2 * output_rate - 0.001, 2 * output_rate + 0.001),
        "|1.a - 1.a*|": (-0.103, -0.099),
    }
    curves = {
        "angle": m.angle,
        "|a - a*|": m.output_distance,
        "loss": m.loss,
        "|1.a - 1.a*|": m.sum_gap,
    }
    for name, band in bands.items():
        rates = _rates(curves[name], *_WINDOWS[name])
        for which, value in (("smallest", rates.min()), ("largest", rates.max())):
            text = f"rate of ln {name} per step at the end, {which}"
            rows.append(in_band(text, _CLOSED, float(value), *band))
    return rows, []


def _rates(curves: Float64Array, high: float, low: float) -> Float64Array:
    """Mean change of the logarithm per step between the first values below `high` and below `low`."""
    rates = np.full(curves.shape[1], np.nan)
    for run, curve in enumerate(curves.T):
        if curve.min() < low:
            start, end = np.argmax(curve < high), np.argmax(curve < low)
            rates[run] = np.log(curve[end] / curve[start]) / (end - start)
    return rates
