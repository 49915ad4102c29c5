"""Expected numbers for the deep networks of thesis chapter 3, with the sources of their bands.

"theorem" rows are what Theorems 3.1-3.4 and their lemmas conclude, at the measured constants. "NumPy "
"reference"
numbers were measured by plain loops that share no code with this package, for softplus, c_res = 1/2 and
n = d = 10 (convolution: n = 6, 2 channels, 5 pixels, patches of 3), one to six draws each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lazygram.analysis.deep_bounds import ARCHITECTURES, Architecture, propagation_error
from lazygram.experiments.base import Row, at_least, at_most, holds, in_band, within_factor

__all__ = [
    "Case",
    "DepthMeasured",
    "Propagated",
    "TrainedCase",
    "case_of",
    "depth_rows",
    "gd_rows",
    "propagation_rows",
]

Float64Array = npt.NDArray[np.float64]

_REFERENCE = "NumPy reference"
_THEOREM = {"fc": "Theorem 3.1", "resnet": "Theorem 3.2", "conv-resnet": "Theorem 3.3"}


@dataclass(frozen=True)
class Case:
    """An architecture and its depth H."""

    name: str
    architecture: Architecture
    depth: int


def case_of(name: str) -> Case:
    """Read "fc-2", "resnet-5", "conv-resnet-3".

    Raises
    ------
    ValueError
        If it is no architecture with a depth.
    """
    architecture, _, depth = str(name).rpartition("-")
    if architecture not in ARCHITECTURES or not depth.isdecimal() or int(depth) < 1:
        known = ", ".join(f"{kind}-H" for kind in ARCHITECTURES)
        raise ValueError(f"cases: one of {known} with a depth H is needed, got {name!r}")
    return Case(name, architecture, int(depth))


# --- thm3.gd -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TrainedCase:
    """What thm3.gd measured of one case; `runs` by width, arrays as in the result of the experiment."""

    case: Case
    lam: float
    ntk_min: float
    step_size: float
    runs: dict[int, dict[str, npt.NDArray[Any]]]


@dataclass(frozen=True)
class _Reference:
    """Bands of one case: L(600)/L(0), distances of layer 1 and of layers 2..H."""

    loss: tuple[float, float]
    first: tuple[float, float]
    others: tuple[float, float]


# Distances are |W^(h)(k) - W^(h)(0)|_F at the end.
_GD = {
    "fc-2": _Reference((0.005, 0.035), (5.3, 5.8), (4.7, 4.8)),
    "fc-3": _Reference((0.039, 0.147), (4.1, 6.8), (4.1, 6.8)),
    "resnet-3": _Reference((0.0025, 0.0066), (5.1, 6.7), (0.44, 0.57)),
    "resnet-5": _Reference((0.005, 0.0095), (4.1, 6.2), (0.21, 0.31)),
}
_GD_WIDTHS = (128, 512, 2048)
_GRAM_CHANGE = {128: 1.89, 512: 0.58, 2048: 0.12}  # fc-2
_CONV_DISTANCE = ((0.34, 0.50), (0.05, 0.08))  # over |e(0)|: layer 1, layers 2 and 3


def _wider(band: tuple[float, float], factor: float) -> tuple[float, float]:
    return band[0] / factor, band[1] * factor


def gd_rows(cases: list[TrainedCase], *, reference: bool) -> list[Row]:
    """Theorems 3.1-3.3 on every run; with `reference` also the reference numbers."""
    rows: list[Row] = []
    for trained in cases:
        for width, run in trained.runs.items():
            rows += _theorem_rows(trained, width, run)
        rows += _width_rows(trained, reference and (trained.case.name in _GD or trained.case.depth == 3))
        if reference:
            rows += _reference_rows(trained)
    return rows


def _theorem_rows(t: TrainedCase, width: int, run: dict[str, npt.NDArray[Any]]) -> list[Row]:
    name, source = f"{t.case.name}, m = {width}", _THEOREM[t.case.architecture]
    ratio = run["loss"] / run["loss"][0]
    steps = run["step"].astype(np.float64)
    rows = []
    for label, lam in (("lmin(K^(H))", t.lam), ("lmin(NTK)", t.ntk_min)):
        bound = (1.0 - 0.5 * t.step_size * lam) ** steps
        worst = float((ratio[1:] / bound[1:]).max())
        origin = source if label == "lmin(K^(H))" else "not in the text"
        rows.append(
            at_most(f"{name}: largest L(k) / ((1-eta lam/2)^k L(0)), lam = {label}", origin, worst, 1.0)
        )
    falls = bool((np.diff(run["loss"]) < 0.0).all())
    rows.append(holds(f"{name}: loss falls", source, falls, "at every record", "yes" if falls else "no"))
    moved = run["distance"] / np.sqrt(width)
    radius = float(run["bound_times_lambda"]) / t.lam
    layers = moved if t.case.architecture == "fc" else moved[1:-1]
    lemma = {"fc": "Lemma 3.5", "resnet": "Lemma 3.12", "conv-resnet": "Lemma 3.19"}[t.case.architecture]
    if layers.size:
        rows.append(
            at_most(f"{name}: largest distance / (sqrt(m) R')", lemma, float(layers.max()) / radius, 1.0)
        )
    smallest = float(run["lambda_min"].min())
    rows.append(at_least(f"{name}: smallest lmin(G^(H)(k)) / lam", source, smallest / t.lam, 0.5))
    return rows


def _width_rows(t: TrainedCase, reference: bool) -> list[Row]:
    """Over the widths: |W(k) - W(0)|_F does not grow, the Gram matrix's change falls."""
    widths = list(t.runs)
    if len(widths) < 2:
        return []
    rows = []
    distance = np.array([t.runs[width]["distance"][:-1] for width in widths])
    deviation = np.abs(distance / distance.mean(axis=0) - 1.0).max()
    rows.append(
        at_most(
            f"{t.case.name}: distance of a layer over the widths, largest deviation from its mean",
            "m^0",
            float(deviation),
            0.4,
        )
    )
    if not reference:
        return rows
    if t.case.architecture != "fc" and t.case.depth > 1:
        ratio = distance[:, 0] / distance[:, 1:].mean(axis=1)
        name = f"{t.case.name}: distance of layer 1 / that of layers 2..H"
        rows.append(in_band(name, f"{_REFERENCE}; no c_res/H in layer 1", float(ratio.mean()), 5.0, 30.0))
    if widths[-1] < 4 * widths[0]:
        return rows  # too close for a slope
    change = [float(t.runs[width]["gram_change"].max()) for width in widths]
    fitted = float(np.polyfit(np.log(widths), np.log(change), 1)[0])
    name = f"{t.case.name}: slope of max |G^(H)(k)-G^(H)(0)|_2 in m"
    rows.append(in_band(name, f"{_REFERENCE}: m^-1/2 .. m^-1", fitted, -1.3, -0.3))
    return rows


def _reference_rows(t: TrainedCase) -> list[Row]:
    rows: list[Row] = []
    if t.case.architecture == "conv-resnet":
        if t.case.depth != 3:
            return rows
        for width, run in t.runs.items():
            scaled = run["distance"] / float(run["residual"])
            for label, value, band in zip(
                ("layer 1", "layers 2, 3"), (scaled[0], scaled[1:3].mean()), _CONV_DISTANCE, strict=True
            ):
                name = f"{t.case.name}, m = {width}: distance of {label} / |e(0)|"
                rows.append(in_band(name, f"{_REFERENCE}, factor 1.5", float(value), *_wider(band, 1.5)))
        return rows
    bands = _GD.get(t.case.name)
    if bands is None:
        return rows
    for width, run in t.runs.items():
        name = f"{t.case.name}, m = {width}"
        if width in _GD_WIDTHS:
            rows += _loss_row(name, run, bands.loss)
        first, others = float(run["distance"][0]), float(run["distance"][1:-1].mean())
        rows.append(in_band(f"{name}: distance of layer 1", _REFERENCE, first, *_wider(bands.first, 1.4)))
        rows.append(
            in_band(f"{name}: distance of layers 2..H", _REFERENCE, others, *_wider(bands.others, 1.4))
        )
        if t.case.name == "fc-2" and width in _GRAM_CHANGE:
            change = float(run["gram_change"].max())
            rows.append(
                within_factor(
                    f"{name}: max |G^(H)(k)-G^(H)(0)|_2", _REFERENCE, change, _GRAM_CHANGE[width], 2.0
                )
            )
            rows.append(
                at_least(
                    f"{name}: the same / (lam/4): condition not met", _REFERENCE, change / (t.lam / 4), 1.0
                )
            )
    return rows


def _loss_row(name: str, run: dict[str, npt.NDArray[Any]], band: tuple[float, float]) -> list[Row]:
    found = np.flatnonzero(run["step"] == 600)
    if not found.size:
        return []
    note = "One draw of data; the loss at a given step follows the part of its labels in slow directions."
    value = float(run["loss"][found[0]] / run["loss"][0])
    return [in_band(f"{name}: L(600)/L(0)", _REFERENCE, value, *band, note=note)]


# --- thm3.depth ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class DepthMeasured:
    """What thm3.depth measured.

    `cases` are the Monte Carlo cases with their widths, `arrays` as in the result of the experiment;
    `reference` says whether activation and c_res are those of the reference, `same_data` whether the inputs
    are.
    """

    fc_depths: tuple[int, ...]
    resnet_depths: tuple[int, ...]
    c_res: float
    cases: list[tuple[Case, tuple[int, ...]]]
    arrays: dict[str, Any]
    reference: bool
    same_data: bool


_FC_LAMBDA = {1: 2.6e-2, 2: 8.0e-3, 3: 2.4e-3, 4: 7.7e-4, 6: 7.8e-5, 8: 7.9e-6}
_RESNET_SCALED = {2: 0.0073, 3: 0.0076, 4: 0.0077, 8: 0.0078, 16: 0.0079}
# mean error * sqrt(m), by layer, smallest and largest of three widths
_MC = {
    "fc-2": ((3.4, 3.8), (3.2, 3.7), (1.9, 2.2)),
    "fc-3": ((3.3, 4.5), (3.2, 4.3), (2.8, 3.3), (1.6, 2.0)),
    "fc-4": ((4.8, 6.1), (4.6, 6.3), (3.8, 4.4), (2.4, 3.7), (1.6, 2.7)),
    "resnet-2": ((2.6, 2.7), (3.2, 3.7), (1.7, 1.8)),
    "resnet-3": ((2.0, 2.8), (2.8, 3.2), (3.0, 3.6), (1.7, 1.8)),
    "resnet-4": ((2.2, 2.8), (2.5, 3.9), (2.9, 3.2), (3.1, 4.0), (1.5, 2.1)),
    "conv-resnet-2": ((1.2, 1.3), (1.7, 1.8), (0.6, 0.7)),
    "conv-resnet-3": ((1.1, 1.3), (1.2, 1.8), (1.7, 1.9), (0.6, 0.8)),
}


def depth_rows(m: DepthMeasured) -> list[Row]:
    """Eigenvalues over the depth, special inputs, Lemma 3.25, Monte Carlo."""
    a, rows = m.arrays, []
    fc, scaled = a["fc_lambda"], a["resnet_lambda"] * (np.array(m.resnet_depths) / m.c_res) ** 2
    if m.reference and m.same_data:
        for depth, value in zip(m.fc_depths, fc, strict=True):
            if depth in _FC_LAMBDA:
                name = f"fully connected, H = {depth}: lmin(K^(H))"
                rows.append(within_factor(name, _REFERENCE, float(value), _FC_LAMBDA[depth], 1.03))
        for depth, value in zip(m.resnet_depths, scaled, strict=True):
            if depth in _RESNET_SCALED:
                name = f"ResNet, H = {depth}: lmin(K^(H)) H^2/c_res^2"
                rows.append(within_factor(name, _REFERENCE, float(value), _RESNET_SCALED[depth], 1.01))
        for value, expected, depth in ((a["resnet_ntk"][0], 0.0478, 2), (a["resnet_ntk"][-1], 0.0467, 16)):
            if depth in m.resnet_depths:
                name = f"ResNet, H = {depth}: lmin(NTK)"
                rows.append(within_factor(name, _REFERENCE, float(value), expected, 1.005))
    if m.reference and len(m.fc_depths) > 1:
        per_layer = (fc[-1] / fc[0]) ** (1.0 / (m.fc_depths[-1] - m.fc_depths[0]))
        rows.append(
            in_band(
                "fully connected: factor of lmin(K^(H)) per layer", _REFERENCE, float(per_layer), 0.28, 0.34
            )
        )
    rows.append(
        at_most(
            "ResNet: lmin(K^(H)) H^2/c_res^2, largest / smallest over the depths",
            "Proposition 3.2",
            float(scaled.max() / scaled.min()),
            1.15,
        )
    )
    floor = float(a["pairwise_floor"])
    name = "ResNet: smallest eigenvalue of all pairs in layers h >= 1 / that of S^(1) - b^(1) b^(1)T"
    note = "Equal, up to rounding, for the closest pair of inputs of equal norms in layer 1."
    ratio = float(a["pairwise"][1:].min()) / floor
    rows.append(at_least(name, "Lemma 3.25, corrected", ratio, 1.0 - 1e-10, note=note))
    if m.reference and m.same_data:
        printed = float(a["pairwise"][1:].min() / a["pairwise"][0])
        name = "ResNet: the same / that of S^(0) (printed: at least 1)"
        rows.append(at_most(name, "Lemma 3.25 is false as printed", printed, 1.0))
    rows += _special_rows(a["special"])
    for case, widths in m.cases:
        rows += _monte_carlo_rows(case, widths, a[f"{case.name}/error"], m.reference)
    return rows


def _special_rows(special: Float64Array) -> list[Row]:
    source = "Proposition 3.1"
    return [
        at_most("x, x: lmin(K^(2)), softplus", source, float(special[0]), 1e-14),
        at_least("x, 2x: lmin(K^(2)), softplus", f"{source}, not necessary", float(special[1]), 1e-4),
        at_least("x, -x: lmin(K^(2)), softplus", f"{source}, not necessary", float(special[2]), 1e-4),
        at_most("x, -x: lmin(K^(2)), tanh (odd)", source, float(special[3]), 1e-14),
    ]


def _monte_carlo_rows(case: Case, widths: tuple[int, ...], error: Float64Array, reference: bool) -> list[Row]:
    rows, mean = [], error.mean(axis=1)
    constant = mean[-1] * np.sqrt(widths[-1])
    name = f"{case.name}, m = {widths[-1]}: largest mean error of a layer * sqrt(m)"
    rows.append(at_most(name, f"{_REFERENCE}, acceptance", float(constant.max()), 8.0))
    if len(widths) > 2 and widths[-1] >= 16 * widths[0]:
        x = np.log(np.array(widths, dtype=np.float64))
        fitted = float(np.polyfit(x, np.log(mean.mean(axis=1)), 1)[0])
        rows.append(
            in_band(
                f"{case.name}: slope of the error, mean of the layers, in m", "m^-1/2", fitted, -0.65, -0.35
            )
        )
    if reference and case.name in _MC:
        for layer, (low, high) in enumerate(_MC[case.name]):
            label = f"layer {layer + 1}" if layer < case.depth else "readout"
            name = f"{case.name}, m = {widths[-1]}: mean error of {label} * sqrt(m)"
            rows.append(
                in_band(name, f"{_REFERENCE}, factor 1.6", float(constant[layer]), low / 1.6, high * 1.6)
            )
    return rows


# --- thm3.4 --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Propagated:
    """What thm3.4 measured of one activation and architecture; `arrays` as in the result of the
    experiment."""

    activation: str
    kind: str
    n: int
    width: int
    depth: int
    delta: float
    arrays: dict[str, Any]
    reference: bool


# mean of the largest error times sqrt(m), by layer; for ResNets the first and the last
_ERRORS = {
    ("softplus", "fc"): {1: 2.4, 2: 2.1, 3: 2.1, 4: 1.8, 5: 2.0, 6: 1.6, 7: 1.4, 8: 1.4, 9: 1.3, 10: 0.9},
    ("softplus", "resnet"): {1: 2.4, 10: 3.5},
    ("tanh", "fc"): {1: 2.2, 2: 3.0, 3: 3.5, 4: 4.2, 5: 4.4, 6: 4.8, 7: 4.8, 8: 5.3, 9: 5.4, 10: 5.2},
    ("tanh", "resnet"): {1: 2.2, 10: 2.3},
}


def propagation_rows(m: Propagated) -> list[Row]:
    """Theorem 3.4 for one activation and architecture."""
    prefix, label = f"{m.activation}/{m.kind}", f"{m.activation}, {m.kind}"
    error = m.arrays[f"{prefix}/error"].mean(axis=0)
    worst = float(m.arrays[f"{prefix}/error"].max())
    constant = float(m.arrays[f"{prefix}/constant"])
    bound = propagation_error(constant, m.n, m.width, m.depth, m.delta) * np.sqrt(m.width)
    rows = [
        at_most(
            f"{label}: largest error / (E sqrt(log(Hn/delta)/m))",
            "Theorem 3.4, constant 1",
            worst / bound,
            1.0,
        )
    ]
    if m.depth > 1:
        growth = float(error[-1] / error[0])
        # Errors of size e_1 arise in every layer, independently, and later layers multiply them by their
        # derivative: by Gaussian propagation of errors, to first order in m^-1/2.
        factors = m.arrays[f"{prefix}/amplification"]
        products = np.concatenate([np.cumprod(factors[::-1])[::-1], [1.0]])
        ceiling = 1.3 * float(np.sqrt((products**2).sum()))
        name = f"{label}: error of layer {m.depth} / that of layer 1"
        rows.append(at_most(name, "propagation of errors, first order", growth, ceiling))
        if m.kind == "resnet" or m.activation in ("softplus", "tanh"):
            # Not so for every activation: GELU amplifies, and its error grows exponentially.
            source = "(1+O(1/H))^H" if m.kind == "resnet" else f"{_REFERENCE}: no 2^O(H)"
            name = f"{label}: the same / sqrt(H)"
            rows.append(at_most(name, source, growth / float(np.sqrt(m.depth)), 1.15))
    if not m.reference:
        return rows
    for layer, expected in _ERRORS.get((m.activation, m.kind), {}).items():
        name = f"{label}: mean error of layer {layer} * sqrt(m)"
        # Deep in a fully connected network all inputs have one covariance left: the largest error is a single
        # normal number, whose mean over the reference's few networks is good to a third.
        factor = 2.0 if (m.activation, m.kind) == ("softplus", "fc") and layer > 5 else 1.5
        rows.append(within_factor(name, _REFERENCE, float(error[layer - 1]), expected, factor))
    smallest, largest = (float(value) for value in m.arrays[f"{prefix}/norms"])
    rows.append(at_least(f"{label}: smallest |x^(h)|", "Lemma 3.1", smallest, 0.5))
    rows.append(at_most(f"{label}: largest |x^(h)|", "Lemma 3.1", largest, 2.0))
    return rows
