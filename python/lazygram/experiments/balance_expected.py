"""What the balance experiment should show: exact identities, and drifts of first order in the step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.experiments.base import Row, at_least, at_most, in_band

if TYPE_CHECKING:
    from lazygram.experiments.balance import Parameters

__all__ = ["NETWORKS", "expectations"]

NETWORKS = ("dense ReLU", "linear gap", "convolutional", "sparse")

_ROUNDING = 1e-13
_CLAIMS = (
    ("neuron", "neurons", "Theorem 4.1"),
    ("layer", "layers", "Corollary 4.1, Theorem 4.3"),
    ("linear", "linear gap", "Theorem 4.2"),
    ("step", "exact change in a step", "eta^2 (|g_h|^2 - |g_h+1|^2)"),
)


def expectations(p: Parameters, arrays: dict[str, npt.NDArray[Any]]) -> tuple[list[Row], list[str]]:
    """Identities to rounding, slope of the drift in [.8, 1.3]."""
    rows: list[Row] = []
    for k, network in enumerate(NETWORKS):
        for key, label, source in _CLAIMS:
            value = float(arrays[key][k])
            if np.isfinite(value):
                rows.append(at_most(f"{network}: {label}, relative violation", source, value, _ROUNDING))
    rows.append(
        at_least(
            "dense ReLU: linear identity, relative violation",
            "false for ReLU",
            float(arrays["relu_gap"]),
            1e-3,
        )
    )
    sizes = np.log(np.array(p.step_sizes))
    for k, network in enumerate(NETWORKS):
        slope = float(np.polyfit(sizes, np.log(arrays["drift"][k]), 1)[0])
        rows.append(
            in_band(
                f"{network}: slope of the drift in the step size", "O(eta), NumPy reference", slope, 0.8, 1.3
            )
        )
        before, after = arrays["loss"][k]
        rows.append(at_most(f"{network}: loss at the end / at first", "descent", float(after / before), 0.9))
    notes = ["The section has no experiment in the text; sizes, time and step sizes are parameters."]
    return rows, notes
