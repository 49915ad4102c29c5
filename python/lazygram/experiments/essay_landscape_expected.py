"""What the essay says about local minima, as rows: bad ones of narrow networks, none of wide and linear "
"ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.experiments.base import Row, at_least, at_most, ordered

if TYPE_CHECKING:
    from lazygram.experiments.essay_landscape import Parameters

__all__ = ["expectations"]

_WIDE = "essay: width >= n"
_NARROW = "essay: bad local minima exist"
_LINEAR = "closed form (Eckart, Young)"


def expectations(p: Parameters, arrays: dict[str, npt.NDArray[Any]]) -> tuple[list[Row], list[str]]:
    """Ends of the sigmoid networks against the width, and of the linear ones against their optimum."""
    rows: list[Row] = []
    medians = np.median(arrays["end"], axis=1)
    for width, ends, median in zip(p.widths, arrays["end"], medians, strict=True):
        if width >= p.n:
            rows.append(at_most(f"width {width}: largest loss at the end", _WIDE, float(ends.max()), 1e-10))
        elif width <= 3:
            spread = float((ends.max() - ends.min()) / median)
            rows.append(at_least(f"width {width}: median loss at the end", _NARROW, float(median), 0.1))
            rows.append(
                at_least(f"width {width}: spread of the ends over their median", _NARROW, spread, 0.01)
            )
    below = [float(m) for width, m in zip(p.widths, medians, strict=True) if width <= p.n // 2]
    if len(below) > 1:
        rows.append(ordered("median loss at the end, by width", "NumPy reference", below, rising=False))
    for hidden, optimum, excess in zip(p.hidden, arrays["optimum"], arrays["excess"], strict=True):
        relative = float(np.abs(excess[-1]).max() / optimum)
        name = f"linear, hidden {hidden}: |loss - optimum| / optimum, worst start"
        rows.append(at_most(name, _LINEAR, relative, 1e-10))
    return rows, ["The essay has no experiments on the landscape; all sizes are parameters."]
