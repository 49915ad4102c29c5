"""What the essay says about ranks and readouts, as rows; shares of draws from an independent NumPy loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.experiments.base import Row, at_least, at_most, holds, in_band

if TYPE_CHECKING:
    from lazygram.experiments.essay_rank import Parameters

__all__ = ["expectations"]

_TEXT = "essay, text"
_REFERENCE = "NumPy reference"
# Share of draws in which ReLU features miss the full rank, by (n, d), inputs drawn anew each time. With the
# inputs held fixed it is .03 to .64, depending on them.
_DEFICIENT = {(10, 3): (0.05, 0.2), (20, 5): (0.0, 0.02)}


def expectations(p: Parameters, arrays: dict[str, npt.NDArray[Any]]) -> tuple[list[Row], list[str]]:
    """Full rank of sigmoid features, its exceptions, and the loss of the best readout."""
    full = int((arrays["rank"] == p.n).sum())
    count = f"{full} of {p.draws}"
    rows = [
        holds(f"sigmoid, width n = {p.n}: full rank", _TEXT, full == p.draws, "all draws", count),
        holds(
            "sigmoid, one input twice: rank",
            _TEXT,
            int(arrays["repeated"]) == p.n - 1,
            str(p.n - 1),
            str(int(arrays["repeated"])),
        ),
        holds("sigmoid, zero weights: rank", _TEXT, int(arrays["zero"]) == 1, "1", str(int(arrays["zero"]))),
    ]
    if (p.n, p.dim, p.scale) == (20, 5, 3.0):
        median, least = float(np.median(arrays["smallest"])), float(arrays["smallest"].min())
        rows.append(in_band("sigmoid: median smallest singular value", _REFERENCE, median, 0.8e-2, 3.2e-2))
        rows.append(at_least("sigmoid: smallest of all draws", _REFERENCE, least, 1e-6))
    for k, case in enumerate(zip(p.relu_n, p.relu_dim, strict=True)):
        if case in _DEFICIENT and p.scale > 0:
            share = float((arrays["relu_rank"][k] < case[0]).mean())
            name = f"ReLU, n = width = {case[0]}, d = {case[1]}: share without full rank"
            rows.append(in_band(name, _REFERENCE, share, *_DEFICIENT[case]))
    for width, losses in zip(p.widths, arrays["readout"], strict=True):
        name = f"width {width}: best readout's loss"
        if width >= p.n:
            rows.append(at_most(f"{name}, largest", _TEXT, float(losses.max()), 1e-15))
            continue
        # Half a chi-squared number with this many degrees of freedom: labels are independent of the features.
        freedom = p.outputs * (p.n - width)
        error = 4.0 * np.sqrt(0.5 * freedom / p.readout_draws)
        mean, expected = float(losses.mean()), 0.5 * freedom
        rows.append(
            in_band(f"{name}, mean", "(n - width) outputs / 2", mean, expected - error, expected + error)
        )
    return rows, ["The essay has no experiment on ranks; all sizes are parameters."]
