"""What Theorem 4.5 and its lemmas claim, as rows, and medians of an independent NumPy loop."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.experiments.base import Row, at_most, holds, in_band

if TYPE_CHECKING:
    from lazygram.experiments.thm4_5 import Parameters

__all__ = ["expectations"]

_THEOREM = "Theorem 4.5"
_REFERENCE = "NumPy reference, +-6"
_VIOLATIONS = (
    ("growth of the signal", "Lemma 4.5 (iii)"),
    ("ratio of the signals", "Lemma 4.5 (iv)"),
    ("noise at most as at first", "Lemma 4.5 (ii)"),
    ("h <= 0 after escape", "Lemma 4.6 (b)"),
    ("contraction of h", "Lemma 4.6 (d), constant 1/10"),
)
_MEDIANS = {50: 96.5, 200: 101.0, 800: 109.0, 3200: 117.0}


def expectations(p: Parameters, arrays: dict[str, npt.NDArray[Any]]) -> tuple[list[Row], list[str]]:
    """Identities, the theorem's and lemmas' claims, and at the default settings the reference."""
    distance, positive, admissible = arrays["distance"], arrays["positive"], arrays["admissible"]
    rows = [
        at_most("four scalars - full iteration", "thesis (4.23)", float(arrays["reduction_error"]), 1e-13),
        at_most("h - its recursion", "thesis (4.24)", float(arrays["recursion_error"]), 1e-13),
    ]
    end = float((distance[-1] / p.strength).max())
    rows.append(at_most("largest |uv^T - M|_F / s_1 at the end", _THEOREM, end, 1e-6))
    count = int(admissible.sum())
    before, after = (int(n) for n in arrays["lemma"][-2:])
    for (name, source), violations in zip(_VIOLATIONS, arrays["lemma"][:-2], strict=True):
        text = f"{int(violations)} violations"
        rows.append(holds(name, source, violations == 0, "no violation", text))
    signals = np.abs(arrays["scalars"][:, admissible, :2])
    ratio = signals[..., 0] / signals[..., 1]
    if count:
        rows += [
            in_band("admissible starts: smallest |a/b|", "Lemma 4.5 (iv)", float(ratio.min()), 0.01, 100.0),
            in_band("admissible starts: largest |a/b|", "Lemma 4.5 (iv)", float(ratio.max()), 0.01, 100.0),
        ]
    notes = [
        f"{count} of {p.starts} starts meet the conditions of the proof; the lemmas were checked in {before} "
        f"steps before and {after} after the escape.",
        "From starts with a negative signal descent converges as well, but the ratio of signals is unbounded "
        "on the way: the theorem's event is a positive one.",
    ]
    if (p.strength, p.initial, p.step) != (2.0, 0.05, 0.1) or p.starts < 100:
        notes.append("Reference numbers exist for s_1 = 2, c_init = .05, c_step = .1 and 100 starts or more.")
        return rows, notes
    reached = (distance <= 1e-6 * p.strength).argmax(axis=0)
    if (p.rows, p.columns) == (60, 40):
        for label, chosen, expected in (("positive", positive, 161.0), ("negative", ~positive, 173.0)):
            name = f"median iterations to 1e-6 s_1, {label} starts"
            value = float(np.median(reached[chosen]))
            rows.append(in_band(name, _REFERENCE, value, expected - 6, expected + 6))
    for d, median in zip(p.dimensions, arrays["iterations"], strict=True):
        if d in _MEDIANS:
            name = f"d = {d}: median iterations to 1e-3 s_1"
            rows.append(in_band(name, _REFERENCE, float(median), _MEDIANS[d] - 6, _MEDIANS[d] + 6))
    for (d, low), (e, high) in pairwise(zip(p.dimensions, arrays["iterations"], strict=True)):
        expected = 0.5 * np.log(e / d) / np.log1p(p.step)  # the signal starts at d^(-1/2)
        name = f"further iterations from d = {d} to {e}"
        rows.append(
            in_band(name, "log(d) / (2 log(1 + c_step))", float(high - low), expected - 4, expected + 4)
        )
    return rows, notes
