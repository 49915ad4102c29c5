"""Expected numbers of Theorem 2.3: its bounds, and NumPy loops that share no code with this package.

The reference loops (PCG64 weights, n = d = 30, step size 1 / lambda_max, 400 steps) gave, for three seeds,
the linearisation gaps of ``_GAP``; six other seeds gave 0.049, 0.025, 0.010 and 0.0055, single ones between
0.6 and 1.6 times their mean. Their ratio of the largest distance to R' was 0.0195 to 0.022 in the mean for
every width, 0.017 to 0.024 for single networks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lazygram.experiments.base import Row, at_least, at_most, in_band, within_factor
from lazygram.experiments.checks import exponent

__all__ = ["Measured", "expectations"]

Float64Array = npt.NDArray[np.float64]

_GAP = {256: 0.044, 1024: 0.019, 4096: 0.012, 16384: 0.0059}
_GAP_FACTOR = 2.0
_GAP_EXPONENT = (-0.7, -0.3)
_DISTANCE = (0.016, 0.026)
_WIDE = 1000  # from here on lambda_min(H(k)) is expected to stay above lambda_0 / 2


@dataclass(frozen=True)
class Measured:
    """What the experiment measured; arrays of shape (seeds, widths), NaN after a divergence."""

    n: int
    dim: int
    widths: tuple[int, ...]
    steps: int
    step_factor: float
    gap: Float64Array
    distance_ratio: Float64Array
    bound_ratio: Float64Array
    eigenvalue_ratio: Float64Array
    required_width: Float64Array


def expectations(m: Measured) -> tuple[list[Row], list[str]]:
    """Compare with the theorem's conclusions and with the reference.

    Returns
    -------
    rows : list of Row
    notes : list of str
        What these settings leave out, and what the theorem's conditions are worth.
    """
    rows, notes = [], []
    reference = (m.n, m.dim, m.steps, m.step_factor) == (30, 30, 400, 1.0)
    for w, width in enumerate(m.widths):
        label = f"m = {width}: "
        if reference and width in _GAP:
            gap = float(m.gap[:, w].mean())
            name = f"{label}linearisation gap"
            rows.append(within_factor(name, "NumPy reference", gap, _GAP[width], _GAP_FACTOR))
        if reference:
            ratio = float(m.distance_ratio[:, w].mean())
            rows.append(in_band(f"{label}largest distance / R'", "NumPy reference", ratio, *_DISTANCE))
        worst = float(m.distance_ratio[:, w].max())
        rows.append(at_most(f"{label}largest distance / R', any seed", "Corollary 2.1", worst, 1.0))
        name = f"{label}|e(k)|^2 / ((1-eta lam0/2)^k |e(0)|^2), any k >= 1, any seed"
        rows.append(at_most(name, "Theorem 2.3", float(m.bound_ratio[:, w].max()), 1.0))
        if width >= _WIDE:
            name = f"{label}smallest lmin(H(k)) / lambda_0"
            low = float(m.eigenvalue_ratio[:, w].min())
            rows.append(at_least(name, "condition in Lemma 2.3", low, 0.5))
    if not reference:
        notes.append("Reference numbers exist for n = d = 30, 400 steps and step size 1 / lambda_max.")
    if len(m.widths) > 1:
        slope = exponent(m.widths, m.gap.mean(axis=0))
        rows.append(in_band("exponent of the gap in m", "theory: -1/2", slope, *_GAP_EXPONENT))
    notes.append(
        f"The theorem asks for a width of {np.median(m.required_width):.0e} here and a step size of "
        "lambda_0 / (4 n^2); neither is met, and its conclusions are compared with what happens all the same."
    )
    return rows, notes
