"""The theory of deep networks beside a run: which conditions and conclusions held, as a table.

Theorems 3.1 (fully connected), 3.2 (ResNet) and 3.3 (convolutional ResNet) of Du's thesis say: with
``lam = lambda_min(K^(H))`` and a width and step size of some order, G^(H) starts near K^(H), stays near it,
no weight matrix moves far, and the loss falls at least like ``(1 - eta lam/2)^k``.
:func:`deep_theory_report` holds each of these against what a run recorded.

The orders hide constants that the texts do not specify (2^{O(H)}, poly(p)); with all of them set to 1 widths
are still far above anything that is trained. As in the two-layer theory, conditions that fail beside
conclusions that hold are the normal case.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from lazygram.analysis.deep_quantities import DeepQuantities
from lazygram.analysis.rows import (
    Recorded,
    TheoryRow,
    at_least,
    at_most,
    descent_log_rate,
    rate_row,
    worst,
)
from lazygram.arrays import check_positive_float

__all__ = ["deep_initial_report", "deep_theory_report"]

Float64Array = NDArray[np.float64]

_THEOREM = {"fc": "Thm 3.1", "resnet": "Thm 3.2", "conv-resnet": "Thm 3.3"}
_LEMMAS = {  # norms, initial Gram, stability, movement
    "fc": ("Lemma 3.1", "Lemma 3.2", "Lemma 3.4", "Lemma 3.5"),
    "resnet": ("Lemma 3.8", "Lemma 3.9", "Lemma 3.11", "Lemma 3.12"),
    "conv-resnet": ("Lemma 3.15", "Lemma 3.16", "Lemma 3.18", "Lemma 3.19"),
}
_WIDTHS = {
    "fc": "n^4/lam^4",
    "resnet": "max(n^4/(lam^4 H^6), n^2/(lam^2 H^2))",
    "conv-resnet": "max(n^4/(lam^4 H^6), n^4/(lam^4 H^2))",
}


def deep_initial_report(quantities: DeepQuantities) -> list[TheoryRow]:
    """Say which conditions of Theorems 3.1-3.4 the initial network meets; nothing here depends on a run.

    Parameters
    ----------
    quantities : DeepQuantities
        For the data, architecture, width and initial network.

    Returns
    -------
    list of TheoryRow
        Assumptions, widths, norms of the features, covariances (Theorem 3.4) and Gram matrix of layer H.
    """
    smallest = quantities.lam
    rows = [TheoryRow("lambda", "Prop 3.1, 3.2", "lmin(K^(H)) > 0", 0.0, smallest, smallest > 0.0)]
    return [
        *rows,
        *_width_rows(quantities),
        *_norm_rows(quantities),
        *_propagation_rows(quantities),
        *_initial_gram_rows(quantities),
    ]


def deep_theory_report(
    quantities: DeepQuantities,
    *,
    step_size: float | None = None,
    history: Mapping[str, ArrayLike],
    flow: bool = False,
    schedule: bool = False,
    dtype: DTypeLike = np.float64,
) -> list[TheoryRow]:
    """Say of each condition and conclusion of Theorems 3.1-3.3 whether it held on a run.

    Parameters
    ----------
    quantities : DeepQuantities
        For the data, architecture, width and initial network of the run.
    step_size : float, optional
        Of gradient descent; needed unless ``flow`` or ``schedule``.
    history : mapping of str to array_like
        Recorded arrays of a run with the quadratic loss and all layers trained: "step" (or "time" for
        flow and schedule), starting at 0, and any of "loss" (records,) and, shape (records, layers),
        "layer_lambda_min", "layer_gram_change" and "layer_distance" (``|W^(h) - W^(h)(0)|_F``), the layers
        1..H and the readout.
    flow : bool, default False
        The run followed the gradient flow.
    schedule : bool, default False
        Step sizes varied; the rate is then ``exp(-lam t/2)`` in their sum t, which is at least the product of
        the ``1 - eta_k lam/2``.
    dtype : dtype, default float64
        Precision of the run; losses at its rounding floor are not held against a rate.

    Returns
    -------
    list of TheoryRow
        The rows of :func:`deep_initial_report`, then step size and run.

    Raises
    ------
    ValueError
        If ``step_size`` is missing for descent, or ``history`` lacks the steps (times), does not start at 0,
        or holds arrays of the wrong shape.
    """
    run = Recorded(history, flow or schedule, dtype)
    eta: float | None = None
    if not (flow or schedule):
        if step_size is None:
            raise ValueError("step_size: needed for gradient descent (or pass flow=True or schedule=True)")
        eta = check_positive_float(step_size, "step_size")
    rows = deep_initial_report(quantities)
    if eta is not None:
        rows += _step_size_rows(quantities, eta)
    rows += _rate_rows(quantities, run, eta, half=schedule)
    rows += _gram_rows(quantities, run)
    rows += _movement_rows(quantities, run)
    return rows


def _width_rows(q: DeepQuantities) -> list[TheoryRow]:
    kind = q.constants.architecture
    theorem, (norms, gram, stability, _) = _THEOREM[kind], _LEMMAS[kind]
    required = [
        (f"{stability}, order", f"m >= {_WIDTHS[kind]}", q.stability_width_order),
        (f"{norms}, order", "m >= n/delta", q.norm_width_order),
        (f"{gram}, order", "m >= n^2 log(Hn/delta)/lam^2", q.gram_width_order),
        (f"{theorem}, order", "m >= the largest of these", q.width_order),
    ]
    return [at_least("width", source, text, bound, float(q.width)) for source, text, bound in required]


def _step_size_rows(q: DeepQuantities, eta: float) -> list[TheoryRow]:
    kind, limit = q.constants.architecture, q.step_size_divergence
    text = "eta <= lam/n^2" if kind == "fc" else "eta <= lam H^2/n^2"
    return [
        at_most("step size", f"{_THEOREM[kind]}, order", text, q.step_size_order, eta),
        TheoryRow("step size", "frozen GD", "eta < 2/lmax(NTK)", limit, eta, bool(eta < limit)),
    ]


def _norm_rows(q: DeepQuantities) -> list[TheoryRow]:
    norms = _LEMMAS[q.constants.architecture][0]
    if q.constants.architecture == "conv-resnet":
        # The lemma has "some constant poly(p)": the norm is over all pixels.
        return [
            TheoryRow("feature norms", f"{norms}, constant", text, math.nan, measured, None)
            for text, measured in (
                ("|x_i^(h)(0)|_F >= 1/c, smallest", q.smallest_norm),
                ("|x_i^(h)(0)|_F <= c = poly(p), largest", q.largest_norm),
            )
        ]
    # Lemma 3.1 has 2, that of ResNets "some constant".
    source = norms if q.constants.architecture == "fc" else f"{norms}, constant 2"
    return [
        at_least("feature norms", source, "|x_i^(h)(0)| >= 1/2, smallest", 0.5, q.smallest_norm),
        at_most("feature norms", source, "|x_i^(h)(0)| <= 2, largest", 2.0, q.largest_norm),
    ]


def _propagation_rows(q: DeepQuantities) -> list[TheoryRow]:
    if q.covariance_errors is None:
        return []
    allowed = math.nan if q.propagation_bound is None else q.propagation_bound
    # The theorem is about the covariances that K^(H) is made of: layers 1..H-1.
    last = max(1, q.constants.depth - 1)
    worst_error = max(q.covariance_errors[:last])
    layers = "layer 1" if last == 1 else f"layers 1..{last}"
    grown = q.covariance_errors[-1] / q.covariance_errors[0] if q.covariance_errors[0] > 0.0 else math.nan
    bound = TheoryRow(
        "propagation of the initial error",
        "Thm 3.4, order",
        f"max |<x_i,x_j>-S_ij| <= E sqrt(log(Hnp/delta)/m), {layers}",
        allowed,
        worst_error,
        None if math.isnan(allowed) else worst_error <= allowed,
    )
    growth = "2^O(H)" if q.constants.architecture == "fc" else "(1+O(1/H))^H"
    text = f"error of layer H over that of layer 1, {growth}"
    return [bound, TheoryRow(bound.name, "Thm 3.4, constant", text, math.nan, grown, None)]


def _initial_gram_rows(q: DeepQuantities) -> list[TheoryRow]:
    gram = _LEMMAS[q.constants.architecture][1]
    last = None if q.initial is None else q.initial[q.constants.depth - 1]
    distance, smallest = (None, None) if last is None else (last.operator, last.lambda_min)
    name, allowed = "initial Gram", q.gram_tolerance
    return [
        at_most(name, gram, "|G^(H)(0)-K^(H)|_2 <= lam/4", allowed, distance),
        at_least(name, gram, "lmin(G^(H)(0)) >= 3 lam/4", 3.0 * allowed, smallest),
    ]


def _rate_rows(q: DeepQuantities, run: Recorded, eta: float | None, half: bool) -> list[TheoryRow]:
    theorem = _THEOREM[q.constants.architecture]
    if half:
        rates = [(-0.5 * q.lam, "L <= exp(-lam t/2) L(0), t = sum of steps", theorem)]
        text = "L <= exp(-lmin(NTK) t/2) L(0), t = sum of steps"
        rates.append((-0.5 * q.ntk_lambda_min, text, "not in the text"))
    elif eta is None:
        # d/dt |e|^2 = -2 e^T G e, and lmin(G) >= lam/2 during training.
        rates = [(-q.lam, "L(t) <= exp(-lam t) L(0)", theorem)]
        rates.append((-q.ntk_lambda_min, "L(t) <= exp(-lmin(NTK) t) L(0)", "not in the text"))
    else:
        rates = [(descent_log_rate(q.lam, eta), "L(k) <= (1-eta lam/2)^k L(0)", theorem)]
        sharper = descent_log_rate(q.ntk_lambda_min, eta)
        rates.append((sharper, "L(k) <= (1-eta lmin(NTK)/2)^k L(0)", "not in the text"))
    rows = [rate_row("rate", source, text, log_rate, run) for log_rate, text, source in rates]
    if eta is not None:
        factor = run.largest_one_step_factor()
        rows.append(at_most("loss falls", theorem, "L(k+1) <= L(k), largest ratio per step", 1.0, factor))
    return rows


def _gram_rows(q: DeepQuantities, run: Recorded) -> list[TheoryRow]:
    kind, last = q.constants.architecture, q.constants.depth - 1
    stability = _LEMMAS[kind][2]
    smallest = _layer(run, "layer_lambda_min", last)
    change = _layer(run, "layer_gram_change", last)
    return [
        at_most(
            "G^(H) along the run",
            stability,
            "|G^(H)(k)-G^(H)(0)|_2 <= lam/4",
            q.gram_tolerance,
            None if change is None else worst(change),
        ),
        at_least(
            "G^(H) along the run",
            _THEOREM[kind],
            "lmin(G^(H)(k)) >= lam/2",
            0.5 * q.lam,
            None if smallest is None else -worst(-smallest),
        ),
    ]


def _movement_rows(q: DeepQuantities, run: Recorded) -> list[TheoryRow]:
    kind = q.constants.architecture
    distance = run.layers("layer_distance")
    moved = None if distance is None else distance / math.sqrt(q.width)
    bound = q.movement_bound
    text = "|W^(h)(k)-W^(h)(0)|_F/sqrt(m) <= R'"
    rows = []
    if kind == "fc":
        rows.append(_moved("all layers", _LEMMAS[kind][3], text, bound, moved, slice(None)))
    else:
        hidden = slice(1, q.constants.depth)
        rows.append(_moved("layers 2..H", _LEMMAS[kind][3], text, bound, moved, hidden))
        # Layer 1 and the readout carry no c_res/H, which the bound's 1/H comes from.
        ends = [0, q.constants.depth]
        rows.append(_moved("layer 1 and a", f"{_LEMMAS[kind][3]}, not justified", text, bound, moved, ends))
    order = "R = lam/n" if kind == "fc" else "R = lam H^2/n"
    rows.append(
        _moved(
            "all layers",
            f"{_LEMMAS[kind][2]}, order",
            f"|W^(h)(k)-W^(h)(0)|_F/sqrt(m) <= {order}",
            q.radius_order,
            moved,
            slice(None),
        )
    )
    return rows


def _moved(
    name: str,
    source: str,
    text: str,
    bound: float,
    moved: Float64Array | None,
    layers: slice | list[int],
) -> TheoryRow:
    chosen = None if moved is None else moved[:, layers]
    measured = None if chosen is None or chosen.size == 0 else worst(chosen)
    return at_most("distance", source, f"{text}, {name}", bound, measured)


def _layer(run: Recorded, name: str, layer: int) -> Float64Array | None:
    values = run.layers(name)
    if values is None:
        return None
    if values.shape[1] <= layer:
        raise ValueError(f"history[{name!r}]: layer {layer + 1} is needed, got {values.shape[1]} layers")
    return np.asarray(values[:, layer])
