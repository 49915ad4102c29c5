"""What Theorem 4.4 and Lemma 4.1 claim, as rows; the numbers are the theorem's own bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.experiments.base import Row, at_most

if TYPE_CHECKING:
    from lazygram.experiments.thm4_4 import Parameters

__all__ = ["expectations"]

_ROUNDING = 1e-20  # f below it goes up and down by rounding


def expectations(p: Parameters, arrays: dict[str, npt.NDArray[Any]]) -> tuple[list[Row], list[str]]:
    """Lemma 4.1 for every schedule; the limit for the permitted ones."""
    size = float(arrays["norm_M"])
    rows = _lemma(
        "theorem's steps", p, size, *(arrays[f"literal_{k}"] for k in ("value", "imbalance", "norm"))
    )
    fall = 1.0 - float(arrays["literal_value"][-1] / arrays["literal_value"][0])
    name = f"theorem's steps: relative fall of f in {p.literal_steps} steps"
    rows.append(at_most(name, "too small to see, NumPy reference", fall, 1e-3))
    for k, delta in enumerate(p.deltas):
        label = f"delta = {delta:g}"
        value = arrays["value"][k]
        rows += _lemma(label, p, size, value, arrays["imbalance"][k], arrays["norm"][k])
        rows.append(at_most(f"{label}: f at the end", "NumPy reference", float(value[-1]), 1e-9))
        distance = float(np.sqrt(2.0 * value[-1]))
        rows.append(at_most(f"{label}: |UV^T - M|_F at the end", "Theorem 4.4", distance, p.epsilon))
    return rows, ["The theorem has no experiment in the text; sizes and start are those of fig4.1."]


def _lemma(
    label: str,
    p: Parameters,
    size: float,
    value: npt.NDArray[Any],
    imbalance: npt.NDArray[Any],
    norm: npt.NDArray[Any],
) -> list[Row]:
    bound = 5.0 * np.sqrt(len(p.singular_values)) * size
    return [
        at_most(f"{label}: largest imbalance", "Lemma 4.1 (i)", float(imbalance.max()), p.epsilon),
        at_most(f"{label}: largest rise of f", "Lemma 4.1 (ii)", float(np.diff(value).max()), _ROUNDING),
        at_most(f"{label}: largest of |U|^2, |V|^2", "Lemma 4.1 (iii)", float(norm.max()), float(bound)),
    ]
