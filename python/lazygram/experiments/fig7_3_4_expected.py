"""What Figures 7.3 and 7.4 should show: staircases, and numbers of an independent NumPy loop."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.experiments.base import Row, at_least, at_most, holds, in_band
from lazygram.problems.octopus import Octopus

if TYPE_CHECKING:
    from lazygram.experiments.fig7_3_4 import Parameters

__all__ = ["expectations"]

_TEXT = "thesis 7.5, text"
_REFERENCE = "NumPy reference"
_REACHED = {1.0: (5, 5), 1.5: (4, 4), 2.0: (3, 4), 3.0: (2, 3)}  # coordinates after 1000 steps
_MEDIANS = {
    1.0: (6.0, 22.0, 65.0, 181.0, 497.0),
    1.5: (8.0, 36.0, 131.0, 452.0, 1547.0),
    2.0: (11.0, 53.0, 225.0, 929.0, 3825.0),
    3.0: (15.0, 93.0, 525.0, 2894.0, 15927.0),
}
_TENTH = {1.0: 7.3e4, 1.5: 7.1e5, 2.0: 4.5e6, 3.0: 8.0e7}
_INCREMENT = {
    5: {1.0: 25.0, 1.5: 31.8, 2.0: 37.8, 3.0: 49.8},
    10: {1.0: 26.1, 1.5: 33.0, 2.0: 39.5, 3.0: 52.3},
}
_TOTAL = {
    5: {1.0: (88, 122), 1.5: (119, 155), 2.0: (150, 189), 3.0: (199, 248)},
    10: {1.0: (216, 264), 1.5: (281, 333), 2.0: (343, 400), 3.0: (464, 528)},
}
_SLOPE = {5: 1.0, 10: 0.5}


def expectations(p: Parameters, arrays: dict[str, npt.NDArray[Any]]) -> tuple[list[Row], list[str]]:
    """Claims of the text for any settings, numbers for the published ones."""
    rows: list[Row] = []
    standard = (p.gamma, p.tau, p.noise, p.wait) == (1.0, math.e, 0.01, 1) and p.gd_starts >= 10
    notes = [
        "All iterates stayed in the domain of f: evaluating it elsewhere is an error.",
        "Escape times of GD beyond about 1000 steps are exact ones from logarithms; floats underflow there.",
    ]
    for k, L in enumerate(p.curvatures):
        one = {key: value[k] for key, value in arrays.items()}
        rows += _claims(p, L, one)
        if standard:
            rows += _numbers(p, L, one)
    if not standard:
        notes.append(
            "Reference numbers exist for gamma = 1, tau = e, noise .01, wait 1 and 10 starts or more."
        )
    return rows, notes


def _claims(p: Parameters, L: float, one: dict[str, npt.NDArray[Any]]) -> list[Row]:
    """What the text states, with the corrected rate."""
    f, label = Octopus(p.dim, L, p.gamma, p.tau), f"L = {L:g}: "
    times, noisy = one["gd_times"], one["pgd_times"]
    bound = ((L + p.gamma) / p.gamma) ** (p.dim - 1)
    rows = [
        at_most(f"{label}GD, largest rise of f in a step", "descent", float(one["gd_rise"]), 1e-9),
        at_least(f"{label}GD, fewest steps on a plateau -m nu", _TEXT, float(one["plateau"]), 3.0),
        at_least(
            f"{label}GD, least T_d / ((L + gamma) / gamma)^(d-1)",
            "Lemma 7.2",
            float(times[:, -1].min() / bound),
            1.0,
        ),
        at_most(
            f"{label}slowest PGD / fastest GD, T_d",
            _TEXT,
            float(noisy[:, -1].max() / times[:, -1].min()),
            1.0,
        ),
        at_most(
            f"{label}PGD, distance of f from -d nu at the end",
            _REFERENCE,
            float(np.abs(one["pgd_end"] + p.dim * f.nu).max()),
            0.1,
        ),
    ]
    if p.dim > 3:
        ratio = times[:, 3:] / times[:, 2:-1]
        kappa = f.escape_ratio(1.0 / (4.0 * L))
        rows += [
            in_band(
                f"{label}GD, least T_(k+1) / T_k, k >= 3",
                "kappa, 7.3",
                float(ratio.min()),
                kappa - 0.01,
                kappa + 0.15,
            ),
            in_band(
                f"{label}GD, largest T_(k+1) / T_k, k >= 3",
                "kappa, 7.3",
                float(ratio.max()),
                kappa - 0.01,
                kappa + 0.15,
            ),
        ]
    return rows


def _numbers(p: Parameters, L: float, one: dict[str, npt.NDArray[Any]]) -> list[Row]:
    """Numbers of the reference at the published sizes."""
    rows, label = [], f"L = {L:g}: "
    if L in _REACHED and p.steps == 1000 and p.dim >= 5:
        low, high = _REACHED[L]
        least, most = int(one["gd_reached"].min()), int(one["gd_reached"].max())
        name = f"{label}GD, saddles passed in 1000 steps"
        rows.append(
            holds(name, _REFERENCE, low <= least and most <= high, f"{low} .. {high}", f"{least} .. {most}")
        )
    medians = np.median(one["gd_times"], axis=0)
    for m, expected in enumerate(_MEDIANS.get(L, ())[: p.dim]):
        name = f"{label}GD, median T_{m + 1}"
        rows.append(
            in_band(name, f"{_REFERENCE}, +-25 %", float(medians[m]), 0.75 * expected, 1.25 * expected)
        )
    if p.dim == 10 and L in _TENTH:
        expected = _TENTH[L]
        name = f"{label}GD, median T_10"
        rows.append(
            in_band(name, f"{_REFERENCE}, +-25 %", float(medians[9]), 0.75 * expected, 1.25 * expected)
        )
    if L not in _INCREMENT.get(p.dim, {}) or p.pgd_starts < 20:
        return rows
    increments = np.diff(one["pgd_times"], axis=1)[:, 1:].mean(axis=0)
    expected, (low, high) = _INCREMENT[p.dim][L], _TOTAL[p.dim][L]
    slope = float(np.polyfit(np.arange(len(increments)), increments, 1)[0])
    rows += [
        in_band(
            f"{label}PGD, mean T_(k+1) - T_k, k >= 2",
            _REFERENCE,
            float(increments.mean()),
            expected - 2.5,
            expected + 2.5,
        ),
        in_band(f"{label}PGD, slope of these in k", "equal plateaus", slope, -_SLOPE[p.dim], _SLOPE[p.dim]),
        in_band(
            f"{label}PGD, mean T_d",
            f"{_REFERENCE}, range of runs",
            float(one["pgd_times"][:, -1].mean()),
            low,
            high,
        ),
    ]
    return rows
