"""The theory of deep ReLU networks (Zou et al.) beside a run: conditions and conclusions as a table.

Theorem 5.1 describes the initial network, Theorem 5.3 a region of radius tau around it, Lemmas 5.4 and 5.5
how long descent needs and how long it stays there. Only two of the bounds come with a constant. For the
others a row either sets it to 1 ("order") or states the constant that was measured, and then has no verdict.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lazygram.analysis import zou_bounds as bounds
from lazygram.analysis.rows import Recorded, TheoryRow, at_least, at_most, worst
from lazygram.analysis.zou import InitialQuantities, RegionQuantities
from lazygram.analysis.zou_bounds import LossConstants
from lazygram.arrays import check_positive_float

__all__ = ["zou_initial_report", "zou_region_report", "zou_training_report"]

Float64Array = NDArray[np.float64]


def _constant(name: str, source: str, condition: str, measured: float | None) -> TheoryRow:
    """Row for a constant that the text leaves open."""
    return TheoryRow(name, f"{source}, constant", condition, math.nan, measured, None)


def zou_initial_report(
    initial: InitialQuantities, widths: Sequence[int], *, n: int, separation: float, delta: float = 0.1
) -> list[TheoryRow]:
    """Rows of Theorem 5.1 for one initial network.

    Parameters
    ----------
    initial : InitialQuantities
        Measured on the network.
    widths : sequence of int
        m_0 (the input dimension), m_1 .. m_L.
    n : int
        Number of examples.
    separation : float
        phi, the smallest distance between examples of different labels.
    delta : float, default 0.1
        Failure probability.

    Returns
    -------
    list of TheoryRow

    Raises
    ------
    ValueError
        If a number is out of range, or `widths` does not fit `initial`.
    """
    sizes = [int(m) for m in widths]
    depth = len(sizes) - 1
    if depth != len(initial.norm_deviation):
        raise ValueError(f"widths: {len(initial.norm_deviation) + 1} are needed, got {len(sizes)}")
    phi = check_positive_float(separation, "separation")
    m, M = min(sizes[1:]), max(sizes[1:])
    # Davidson and Szarek (2001): a Gaussian matrix exceeds sqrt(rows) + sqrt(columns) + t w.p. exp(-t^2/2).
    tail = math.sqrt(2.0 * math.log(depth / delta))
    ceilings = [
        math.sqrt(2.0 / after) * (math.sqrt(before) + math.sqrt(after) + tail)
        for before, after in pairwise(sizes)
    ]
    excess = float((initial.weight_norms / np.array(ceilings)).max())
    return [
        at_least(
            "separation",
            "Assumption 3.5",
            "min |x_i-x_j|, y_i != y_j, >= phi",
            phi,
            float(initial.separation[0]),
        ),
        at_most("widths", "Assumption 3.6", "max m_l <= 2 min m_l", 2.0 * m, float(M)),
        at_most(
            "feature norms",
            "Thm 5.1 (i), order",
            "max ||x_l,i|-1| <= L sqrt(log(nL/delta)/m)",
            bounds.norm_deviation(n, depth, m, delta),
            float(initial.norm_deviation.max()),
        ),
        at_most(
            "weight norms",
            "Davidson-Szarek for (i)",
            "max |W_l|_2 / (sqrt2 (1+sqrt(m_{l-1}/m_l)) + ...) <= 1",
            1.0,
            excess,
        ),
        at_least(
            "separation in every layer",
            "Thm 5.1 (ii)",
            "min |x_l,i/|x_l,i| - x_l,j/|x_l,j|| >= phi/2",
            0.5 * phi,
            float(initial.separation[1:].min()),
        ),
        at_most(
            "outputs",
            "Thm 5.1 (iii), order",
            "max |f(x_i)| <= sqrt(log(n/delta))",
            math.sqrt(math.log(n / delta)),
            initial.output_max,
        ),
        at_most(
            "small pre-activations",
            "Thm 5.1 (iv)",
            f"max #{{|<w_lj,x>| <= beta}}/(m^1.5 beta) <= 2, beta = {initial.beta:.2g}",
            2.0,
            float(initial.small_counts.max()),
        ),
        _constant(
            "products of layers", "Thm 5.1 (v)", "max |W_b^T prod Sigma W^T|_2 / L", initial.product_norm
        ),
        _constant(
            "sparse directions",
            "Thm 5.1 (vi)",
            "sup of v^T (prod Sigma W^T) a / (L sqrt(s log M)), s-sparse a",
            float(initial.sparse_sup.max()),
        ),
        at_least(
            "nodes with a gradient",
            "Thm 5.1 (viii), order",
            f"share of nodes with |.| >= {initial.node_threshold:g} max(a)/n, >= phi/n",
            phi / n,
            float(initial.node_fraction.min()),
        ),
    ]


def zou_region_report(region: RegionQuantities, depth: int) -> list[TheoryRow]:
    """Rows of Theorem 5.3 for weights near the initial ones, such as those at the end of a run.

    Parameters
    ----------
    region : RegionQuantities
        Measured between both.
    depth : int
        L.

    Returns
    -------
    list of TheoryRow
    """
    name = f"region, tau = {region.tau:.2g}"
    return [
        _constant(name, "Thm 5.3 (i)", "max |W~_l|_2", region.weight_norm),
        at_most(
            name,
            "Thm 5.3 (ii), order",
            "max |x~_l,i-x_l,i| / (L sum |W~_r-W_r|_2) <= 1",
            1.0,
            float(np.nanmax(region.lipschitz)) / depth,
        ),
        at_most(
            name,
            "Thm 5.3 (iii), order",
            "share of nodes changed / (L^{4/3} tau^{2/3}) <= 1",
            1.0,
            float(region.pattern_change.max()) / bounds.pattern_ceiling(depth, 1.0),
        ),
        at_most(
            name,
            "Thm 5.3 (iv), order",
            "share of last-layer nodes changed for any example / (n tau^{2/3}) <= 1",
            1.0,
            region.touched,
        ),
        at_least(
            name,
            "Thm 5.3 (vii), order",
            "|grad_{W_L}|_F^2 / ((m phi/n^5)(sum|l'|)^2) >= 1",
            1.0,
            region.gradient_floor,
        ),
        at_most(
            name,
            "Thm 5.3 (viii), order",
            "max |grad_{W_l}|_2 / ((L^2 sqrt(m)/n) sum|l'|) <= 1",
            1.0,
            region.gradient_ceiling,
        ),
    ]


def zou_training_report(
    *,
    n: int,
    depth: int,
    width: int,
    separation: float,
    loss: LossConstants,
    step_size: float,
    history: Mapping[str, ArrayLike],
    y: ArrayLike,
    slopes: ArrayLike | None = None,
) -> list[TheoryRow]:
    """Rows of Theorem 5.3 and Lemmas 5.4, 5.5 along a run.

    Parameters
    ----------
    n, depth, width : int
        Examples, hidden layers L, smallest width m.
    separation : float
        phi.
    loss : LossConstants
        Of the loss, see ``LOSS_CONSTANTS``.
    step_size : float
        eta for ``L_S = (1/n) sum_i l(y_i f(x_i))``, all layers.
    history : mapping of str to array_like
        "step", starting at 0, "loss" (L_S) and any of "predictions" (records, n), "layer_movement_op"
        (records, L; ``|W_l(k) - W_l(0)|_2``), "pattern_change" (records, L) and "gradient_norm" (records, L;
        Frobenius, of L_S).
    y : array_like, shape (n,)
        Labels +-1.
    slopes : array_like, shape (records,), optional
        ``sum_i |l'(y_i f(x_i))|`` at the records, for the gradient's constants.

    Returns
    -------
    list of TheoryRow

    Raises
    ------
    ValueError
        If ``history`` lacks the steps, does not start at 0, or an array has the wrong shape.
    """
    run = Recorded(history, False, np.float64)
    eta = check_positive_float(step_size, "step_size")
    phi = check_positive_float(separation, "separation")
    movement = run.layers("layer_movement_op")
    tau = None if movement is None else worst(movement)
    allowed = bounds.radius_order(n, depth, phi)
    rows = [
        at_most(
            "step size",
            "Lemma 5.4, order",
            "eta <= phi/(n^3 L^9 m)",
            bounds.step_size_order(n, depth, width, phi),
            eta,
        ),
        at_most("distance", "Lemma 5.4, order", "max_l |W_l(k)-W_l(0)|_2 <= n^-9 L^-17 phi^3", allowed, tau),
        at_most(
            "time",
            "Lemma 5.5, order",
            "k eta <= T = L^-4 n^-3 tau^2 phi",
            bounds.time_order(n, depth, phi),
            eta * float(run.axis[-1]),
        ),
    ]
    flips = run.layers("pattern_change")
    rows.append(
        at_most(
            "patterns, at the measured distance",
            "Thm 5.3 (iii), order",
            "share of nodes changed <= L^{4/3} tau^{2/3}",
            math.nan if tau is None else bounds.pattern_ceiling(depth, tau),
            None if flips is None or tau is None else worst(flips),
        )
    )
    rows += _gradient_rows(n, depth, width, phi, run, slopes)
    rows += _loss_rows(n, width, phi, loss, eta, run, y, history)
    return rows


def _gradient_rows(
    n: int, depth: int, width: int, phi: float, run: Recorded, slopes: ArrayLike | None
) -> list[TheoryRow]:
    floor = ceiling = None
    norms = run.layers("gradient_norm")
    if slopes is not None and norms is not None:
        sums = np.asarray(slopes, dtype=np.float64)
        if sums.shape != run.axis.shape:
            raise ValueError(f"slopes: shape {run.axis.shape} is needed, got {sums.shape}")
        live = sums > 0.0
        if live.any():
            at_one = bounds.gradient_floor(n, width, phi, 1.0)
            floor = -worst(-(norms[live, -1] ** 2) / (at_one * sums[live] ** 2))
            top = bounds.gradient_ceiling(n, width, depth, 1.0)
            ceiling = worst(norms[live].max(axis=1) / (top * sums[live]))
    return [
        at_least(
            "gradient floor, along the run",
            "Thm 5.3 (vii), order",
            "|grad_{W_L}|_F^2 / ((m phi/n^5)(sum|l'|)^2) >= 1, smallest",
            1.0,
            floor,
        ),
        at_most(
            "gradient ceiling, along the run",
            "Thm 5.3 (viii), order",
            "|grad_{W_l}|_F / ((L^2 sqrt(m)/n) sum|l'|) <= 1, largest",
            1.0,
            ceiling,
        ),
    ]


def _loss_rows(
    n: int,
    width: int,
    phi: float,
    loss: LossConstants,
    eta: float,
    run: Recorded,
    y: ArrayLike,
    history: Mapping[str, ArrayLike],
) -> list[TheoryRow]:
    values = run.get("loss")
    time, needed, reached = None, math.nan, None
    if values is not None and np.isfinite(values).all():
        reached = float(values.min())
        time = eta * float(run.axis[int(np.argmin(values))])
        if reached > 0.0:
            needed = bounds.descent_time(n, width, phi, float(values[0]), reached, loss)
    errors = None
    if "predictions" in history:
        last = np.asarray(history["predictions"], dtype=np.float64)[-1]
        labels = np.asarray(y, dtype=np.float64)
        if last.shape != labels.shape:
            raise ValueError(f"y: shape {last.shape} is needed, got {labels.shape}")
        errors = float((labels * last <= 0.0).sum())
    text = "-" if reached is None else f"{reached:.2g}"
    return [
        at_most(
            "time to the smallest loss",
            "Lemma 5.4, order",
            f"k eta until L_S <= {text}, <= n^5/(m phi) [...]",
            needed,
            None if math.isnan(needed) else time,
        ),
        at_most(
            "loss falls",
            "Lemma 5.4 (proof)",
            "L(k+1) <= L(k), largest ratio per step",
            1.0,
            run.largest_one_step_factor(),
        ),
        at_most("training errors", "Corollary 4.3", "y_i f(x_i) <= 0 at the end, number", 0.0, errors),
    ]
