"""The two-layer ReLU theory beside a run: which conditions and conclusions held, as a table.

`two_layer_quantities` evaluates the theory for given data (:mod:`lazygram.analysis.quantities`),
:func:`theory_report` sets its numbers beside what a run recorded,
:func:`~lazygram.analysis.rows.format_report` prints the rows.

The conditions are sufficient and very far from necessary: proven widths are commonly 10^12 and
more where widths of some thousands behave as the theorems say. A report in which every width
condition fails and every conclusion holds is the normal case.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from lazygram.analysis import two_layer_bounds as bounds
from lazygram.analysis.quantities import TwoLayerQuantities, two_layer_quantities
from lazygram.analysis.rows import (
    Recorded,
    TheoryRow,
    at_least,
    at_most,
    descent_log_rate,
    format_report,
    rate_row,
)
from lazygram.arrays import check_positive_float

__all__ = [
    "TheoryRow",
    "TwoLayerQuantities",
    "format_report",
    "theory_report",
    "two_layer_quantities",
]


def theory_report(
    quantities: TwoLayerQuantities,
    *,
    step_size: float | None = None,
    history: Mapping[str, ArrayLike],
    H_0_lambda_min: float | None = None,
    gram_initial_distance: float | None = None,
    flow: bool = False,
    dtype: DTypeLike = np.float64,
) -> list[TheoryRow]:
    """Say of each condition and conclusion of the theory whether it held on a run.

    Parameters
    ----------
    quantities : TwoLayerQuantities
        For the data, width and initial residual of the run.
    step_size : float, optional
        Of gradient descent; needed unless ``flow``.
    history : mapping of str to array_like
        Recorded arrays of a run with the quadratic loss and first layer trained, first axis
        the recorded steps, the first of them step 0: "step" (or "time" for flow), and any of
        "loss", "lambda_min", "gram_change", "max_distance", "pattern_change". What is missing gives
        rows that say so. "max_distance_bound" stands in for a "max_distance" that is missing or has nan
        entries: an inequality that the bound meets holds, one that it does not meet is undecided.
    H_0_lambda_min, gram_initial_distance : float, optional
        ``lambda_min(H(0))`` and ``|H(0) - H_inf|_2``; by default those of ``quantities``, then
        ``history["lambda_min"][0]`` for the first.
    flow : bool, default False
        The run followed the gradient flow: Theorem 2.2 instead of Theorem 2.3.
    dtype : dtype, default float64
        Precision of the run. Losses below ``(64 eps)^2`` times the initial one are its rounding
        floor and are not held against a rate.

    Returns
    -------
    list of TheoryRow
        Assumptions, widths, step size, initial Gram matrix, then the run.

    Raises
    ------
    ValueError
        If ``step_size`` is missing for descent, or ``history`` lacks the steps (times), does not
        start at 0, or holds arrays of different lengths.

    Notes
    -----
    Rows "at the measured distance" insert the run's own ``max_r |w_r - w_r(0)|`` for R. The Lemma
    2.2 bound is proven for an R fixed beforehand, so that row is an illustration; the bound on the
    pattern change holds for all R at once (see ``two_layer_bounds.flippable_fraction_bound``).
    """
    run = Recorded(history, flow, dtype)
    if not flow:
        if step_size is None:
            raise ValueError("step_size: needed for gradient descent (or pass flow=True)")
        step_size = check_positive_float(step_size, "step_size")
    if H_0_lambda_min is None:
        H_0_lambda_min = quantities.initial_lambda_min
    if H_0_lambda_min is None:
        H_0_lambda_min = run.first("lambda_min")
    if gram_initial_distance is None:
        gram_initial_distance = quantities.initial_gram_distance
    rows = _assumption_rows(quantities) + _width_rows(quantities, flow)
    if not flow and step_size is not None:
        rows += _step_size_rows(quantities, step_size)
    rows += _initial_rows(quantities, H_0_lambda_min, gram_initial_distance, run.first("loss"))
    rows += _rate_rows(quantities, run, None if flow else step_size)
    rows += _run_rows(quantities, run, flow)
    return rows


def _assumption_rows(q: TwoLayerQuantities) -> list[TheoryRow]:
    far = max(q.min_input_norm, q.max_input_norm, key=lambda norm: abs(norm - 1.0))
    return [
        TheoryRow(
            "unit-norm inputs",
            "Thm 2.2, 2.3",
            "|x_i| = 1 for all i (farthest shown)",
            1.0,
            far,
            q.unit_norm,
        ),
        TheoryRow(
            "lambda_0",
            "Assumption 2.1, Thm 2.1",
            "lmin(Hinf) > 0",
            0.0,
            q.lambda_0,
            q.lambda_0 > 0.0,
        ),
    ]


def _width_rows(q: TwoLayerQuantities, flow: bool) -> list[TheoryRow]:
    theorem = "Thm 2.2" if flow else "Thm 2.3"
    training = q.training_width_flow if flow else q.training_width_gd
    explicit = "(512/pi)" if flow else "(8192/pi)"
    residual = "|e0|^2" if q.residual_measured else "(E|e0|^2/delta)"
    required = [
        ("Lemma 2.1", "m >= 8 n^2 log(2n^2/delta)/lam0^2", q.gram_width_sharp),
        ("Lemma 2.1, loose", "m >= 256 n^2 log(n/delta)/lam0^2", q.gram_width_loose),
        ("Lemma 2.1, order", "m >= n^2 log(n/delta)/lam0^2", q.gram_width_order),
        (
            f"{theorem} (R' < R)",
            f"m > {explicit} n^5 {residual}/(delta^2 lam0^4)",
            training,
        ),
        (
            "Lemma 2.4, order",
            f"m >= n^5 {residual}/(delta^2 lam0^4)",
            q.training_width_residual_order,
        ),
        (f"{theorem}, order", "m >= n^6/(delta^3 lam0^4)", q.training_width_order),
    ]
    rows = [at_least("width", source, text, bound, float(q.width)) for source, text, bound in required]
    # R' < R is strict, unlike the other requirements.
    strict = rows[3]
    rows[3] = TheoryRow(
        strict.name, strict.source, strict.condition, training, strict.measured, q.width > training
    )
    return rows


def _step_size_rows(q: TwoLayerQuantities, eta: float) -> list[TheoryRow]:
    limit = q.step_size_divergence
    return [
        at_most("step size", "Thm 2.3", "eta <= lam0/(4 n^2)", q.step_size_bound, eta),
        at_most("step size", "Thm 2.3, order", "eta <= lam0/n^2", q.step_size_order, eta),
        TheoryRow("step size", "frozen GD", "eta < 2/lmax(Hinf)", limit, eta, bool(eta < limit)),
    ]


def _initial_rows(
    q: TwoLayerQuantities, initial_min: float | None, distance: float | None, loss: float | None
) -> list[TheoryRow]:
    tolerance = q.gram_tolerance
    rows = [
        at_most("initial Gram", "Lemma 2.1", "|H(0)-Hinf|_2 <= lam0/4", tolerance, distance),
        at_least("initial Gram", "Lemma 2.1", "lmin(H(0)) >= 3 lam0/4", 3 * tolerance, initial_min),
        at_most(
            "initial Gram, this width",
            "Lemma 2.1",
            "|H(0)-Hinf|_2 <= n sqrt(log(2n^2/delta)/(2m))",
            q.gram_frobenius_bound,
            distance,
        ),
    ]
    if q.initial_gram_entry is not None:
        rows.append(
            at_most(
                "initial Gram, entries",
                "Lemma 2.1",
                "|H_ij(0)-Hinf_ij| <= max|x|^2 sqrt(log(2n^2/delta)/(2m))",
                q.gram_entry_bound * q.max_input_norm**2,
                q.initial_gram_entry,
            )
        )
    if q.expected_residual is not None:
        residual = None if loss is None else math.sqrt(2.0 * loss)
        rows.append(
            at_most(
                "initial residual",
                "Thm 2.2 (Markov)",
                "|e(0)| <= sqrt(E|e(0)|^2/delta)",
                q.expected_residual / math.sqrt(q.delta),
                q.residual_norm if q.residual_measured else residual,
            )
        )
    return rows


def _rate_rows(q: TwoLayerQuantities, run: Recorded, step_size: float | None) -> list[TheoryRow]:
    """Rate over the whole run and, for descent, contraction per step."""
    if step_size is None:
        text = "|e(t)|^2 <= exp(-lam0 t) |e(0)|^2"
        return [rate_row("rate", "Thm 2.2", text, -q.lambda_0, run)]
    text = "|e(k)|^2 <= (1-eta lam0/2)^k |e(0)|^2"
    return [
        rate_row("rate", "Thm 2.3", text, descent_log_rate(q.lambda_0, step_size), run),
        at_most(
            "contraction of |e|^2 per step",
            "Thm 2.3 (proof)",
            "<= 1 - eta lam0 + 2C eta R (n^2+n^1.5)/delta + eta^2 n^2",
            q.one_step_factor(step_size),
            run.largest_one_step_factor(),
        ),
    ]


def _run_rows(q: TwoLayerQuantities, run: Recorded, flow: bool) -> list[TheoryRow]:
    """Gram matrix, distances and patterns along the run."""
    distance, bounded = run.distance()
    moved = q.distance_flow if flow else q.distance_gd
    radius = q.radius_flow if flow else q.radius_gd
    lemma = "Lemma 2.3" if flow else "Corollary 2.1"
    moved_text = f"max_r |w_r-w_r(0)| <= R' = {2 if flow else 4} sqrt(n) |e0|/(sqrt(m) lam0)"
    radius_text = f"max_r |w_r-w_r(0)| <= R = sqrt(2pi) delta lam0/({16 if flow else 32} n^2)"
    change, flips = run.largest("gram_change"), run.largest("pattern_change")
    gram_bound = flip_bound = math.nan
    if distance is not None:
        gram_bound = bounds.gram_change_bound(q.n, distance, q.delta)
        flip_bound = bounds.flippable_fraction_bound(distance, q.n, q.width, q.delta)
    return [
        at_most("H along the run", "Lemma 2.2", "|H(k)-H(0)|_2 <= lam0/4", q.gram_tolerance, change),
        at_least(
            "H along the run",
            "Lemma 2.2, 2.4",
            "lmin(H(k)) >= lam0/2",
            0.5 * q.lambda_0,
            run.smallest("lambda_min"),
        ),
        _moved_at_most(lemma, moved_text, moved, distance, bounded),
        _moved_at_most("Lemma 2.2, 2.4" if flow else "Thm 2.3", radius_text, radius, distance, bounded),
        # Both right-hand sides grow with R, so an upper bound of the distance serves as well.
        at_most(
            f"H, at the {'bounded' if bounded else 'measured'} distance",
            "Lemma 2.2",
            "|H(k)-H(0)|_2 <= 4 n^2 R/(sqrt(2pi) delta)",
            gram_bound,
            None if distance is None else change,
        ),
        at_most(
            f"patterns, at the {'bounded' if bounded else 'measured'} distance",
            "Lemma 2.5, all R at once",
            "changed <= erf(R/sqrt2) + sqrt(log(2n/delta)/(2m))",
            flip_bound,
            None if distance is None else flips,
        ),
    ]


def _moved_at_most(
    source: str, condition: str, predicted: float, distance: float | None, bounded: bool
) -> TheoryRow:
    """Row of a distance; an upper bound of it decides only when it is small enough."""
    row = at_most("distance (bound)" if bounded else "distance", source, condition, predicted, distance)
    if bounded and not row.holds:
        return TheoryRow(row.name, source, condition, row.predicted, distance, None)
    return row
