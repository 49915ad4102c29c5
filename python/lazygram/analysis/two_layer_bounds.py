"""The bounds of the two-layer ReLU theory as plain functions of n, width, lambda_0, delta.

Setting (Du, thesis 2019, chapter 2): f(x) = width^{-1/2} sum_r a_r relu(w_r . x), w_r ~ N(0, I),
signs a_r fixed, only W trained on ``(1/2) sum_i (f(x_i) - y_i)^2``, unit-norm inputs. Throughout

    n              number of training examples          delta   failure probability of ONE event
    lambda_0       smallest eigenvalue of H_inf         radius  R, a bound on |w_r - w_r(0)|_2
    residual_norm  |y - u(0)|_2                         C = 2 / sqrt(2 pi), from P(|Z| <= R) <= C R

Three events of probability at least 1 - delta each carry the theorems: Lemma 2.1 (H(0) near H_inf),
Lemma 2.5 (few neurons can flip; it implies Lemma 2.2 at the same radius, because the entrywise
change of H summed is at most ``(2 n / width) sum_i |S_i^c|``), and Markov's inequality for the
initial residual, which is not needed when the residual was measured.

Names ending in ``_order`` are the text's "Omega(...)" or "O(...)" with the hidden constant set to
1, for comparison only; everything else is proven with its constant. A lambda_0 of 0 (singular
H_inf) is allowed everywhere: radii and step sizes become 0, required widths infinite.
"""

from __future__ import annotations

import math
from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "ANTI_CONCENTRATION",
    "distance_flow",
    "distance_gd",
    "expected_residual_squared",
    "flip_count_bound",
    "flip_probability",
    "flip_probability_bound",
    "flippable_fraction_bound",
    "gram_change_bound",
    "gram_entry_bound",
    "gram_entry_change_expectation",
    "gram_frobenius_bound",
    "gram_frobenius_bound_loose",
    "gram_width",
    "gram_width_loose",
    "gram_width_order",
    "one_step_factor",
    "radius_flow",
    "radius_gd",
    "rate_flow",
    "rate_gd",
    "step_size_bound",
    "step_size_order",
    "training_width_flow",
    "training_width_gd",
    "training_width_order",
    "training_width_residual_order",
]

Float64Array = NDArray[np.float64]

ANTI_CONCENTRATION = 2.0 / math.sqrt(2.0 * math.pi)
"""C = 2 / sqrt(2 pi): P(|Z| <= R) <= C R for standard normal Z (Lemmas 2.2 and 2.5)."""


def _ratio(numerator: float, denominator: float) -> float:
    """Quotient of non-negative numbers; anything over zero is infinite (a void requirement)."""
    return math.inf if denominator == 0.0 else numerator / denominator


# --- Lemma 2.1: H(0) concentrates at H_inf -----------------------------------------------------


def gram_entry_bound(n: int, width: int, delta: float) -> float:
    """Bound on ``|H_ij(0) - H_inf_ij| / |x_i . x_j|`` for all i, j at once, w.p. ``1 - delta``.

    ``sqrt(log(2 n^2 / delta) / (2 width))``: two-sided Hoeffding for the mean of ``width``
    indicators, failure probability ``delta / n^2`` per entry (Lemma 2.1 with sharp constants).
    """
    return math.sqrt(math.log(2.0 * n * n / delta) / (2.0 * width))


def gram_frobenius_bound(n: int, width: int, delta: float) -> float:
    """Bound on ``|H(0) - H_inf|_F``, hence on the operator norm, w.p. ``1 - delta``; unit inputs.

    ``n`` times :func:`gram_entry_bound`.
    """
    return n * gram_entry_bound(n, width, delta)


def gram_frobenius_bound_loose(n: int, width: int, delta: float) -> float:
    """The text's chain for the same quantity: ``4 n sqrt(log(n / delta) / width)``.

    Implied by :func:`gram_frobenius_bound` always except for n = 1 with delta > 2^{-1/31} = 0.978
    (there it can fail: width 1 and delta close to 1).
    """
    return 4.0 * n * math.sqrt(math.log(n / delta) / width)


def gram_width(n: int, lambda_0: float, delta: float) -> float:
    """Width for Lemma 2.1: ``8 n^2 log(2 n^2 / delta) / lambda_0^2``, sharp Hoeffding form.

    From there on ``|H(0) - H_inf|_2 <= lambda_0 / 4`` and ``lambda_min(H(0)) >= 3 lambda_0 / 4``
    with probability at least ``1 - delta``.
    """
    return _ratio(8.0 * n * n * math.log(2.0 * n * n / delta), lambda_0 * lambda_0)


def gram_width_loose(n: int, lambda_0: float, delta: float) -> float:
    """Width for Lemma 2.1 by the text's own chain: ``256 n^2 log(n / delta) / lambda_0^2``.

    See :func:`gram_frobenius_bound_loose` for the corner in which the chain is not valid.
    """
    return _ratio(256.0 * n * n * math.log(n / delta), lambda_0 * lambda_0)


def gram_width_order(n: int, lambda_0: float, delta: float) -> float:
    """Lemma 2.1 as printed, hidden constant 1: ``n^2 log(n / delta) / lambda_0^2``."""
    return _ratio(n * n * math.log(n / delta), lambda_0 * lambda_0)


# --- Lemmas 2.2 and 2.5: how much can flip within a radius -------------------------------------


def flip_probability(radius: float) -> float:
    """``P(A_ir) = P(|Z| <= R) = erf(R / sqrt 2)``: share of (example, neuron) pairs that can flip.

    A pair can change its indicator within distance R of w_r(0) only if ``|w_r(0) . x_i|`` is at
    most ``R |x_i|``, so for non-zero inputs of any norm this is the expected flippable fraction.
    """
    return math.erf(radius / math.sqrt(2.0))


def flip_probability_bound(radius: float) -> float:
    """``2 R / sqrt(2 pi)``, the bound on :func:`flip_probability` used in Lemmas 2.2 and 2.5."""
    return ANTI_CONCENTRATION * radius


def flippable_fraction_bound(radius: float, n: int, width: int, delta: float) -> float:
    """Bound on the flippable fraction that holds for ALL radii at once, w.p. ``1 - delta``.

    ``erf(R / sqrt 2) + sqrt(log(2 n / delta) / (2 width))``, at most 1. Not in the text: its Markov
    bound (:func:`flip_count_bound`) is for a radius fixed in advance, while a run's own
    ``max_r |w_r - w_r(0)|`` is not. For each input the R-dependence is the empirical
    distribution function of ``width`` independent ``|w_r . x_i| / |x_i|``, so the
    Dvoretzky-Kiefer-Wolfowitz inequality with Massart's constant (Ann. Probab. 18, 1990) applies,
    and a union bound over the n inputs.
    """
    slack = math.sqrt(math.log(2.0 * n / delta) / (2.0 * width))
    return min(1.0, flip_probability(radius) + slack)


def flip_count_bound(n: int, width: int, radius: float, delta: float) -> float:
    """Lemma 2.5: ``sum_i |S_i^c| <= C width n R / delta`` w.p. ``1 - delta``, C = 2 / sqrt(2 pi).

    ``S_i^c`` holds the neurons with ``|w_r(0) . x_i| <= R``; R is fixed before drawing W(0).
    """
    return ANTI_CONCENTRATION * width * n * radius / delta


def gram_entry_change_expectation(radius: float) -> float:
    """Lemma 2.2: ``E sup |H_ij - H_ij(0)| <= 4 R / sqrt(2 pi)`` over all W within the radius."""
    return 2.0 * ANTI_CONCENTRATION * radius


def gram_change_bound(n: int, radius: float, delta: float) -> float:
    """Lemma 2.2: ``|H - H(0)|_2 <= 4 n^2 R / (sqrt(2 pi) delta)`` w.p. ``1 - delta``; unit inputs.

    For every W with ``max_r |w_r - w_r(0)| <= R``, the radius fixed before drawing W(0).
    """
    return n * n * gram_entry_change_expectation(radius) / delta


def radius_flow(n: int, lambda_0: float, delta: float) -> float:
    """R of Lemma 2.2 and Theorem 2.2: ``sqrt(2 pi) delta lambda_0 / (16 n^2)``.

    Where :func:`gram_change_bound` equals ``lambda_0 / 4``.
    """
    return math.sqrt(2.0 * math.pi) * delta * lambda_0 / (16.0 * n * n)


def radius_gd(n: int, lambda_0: float, delta: float) -> float:
    """R of Theorem 2.3: ``sqrt(2 pi) delta lambda_0 / (32 n^2)``, half of :func:`radius_flow`.

    The printed ``c lambda_0 / n^2`` lacks delta, without which Lemma 2.5 gives no contraction.
    """
    return 0.5 * radius_flow(n, lambda_0, delta)


# --- Lemmas 2.3 and 2.4, Corollary 2.1: how far training moves a neuron ------------------------


def distance_flow(n: int, width: int, lambda_0: float, residual_norm: float) -> float:
    """R' of Lemma 2.3: ``2 sqrt(n) |y - u(0)| / (sqrt(width) lambda_0)``.

    Bounds ``|w_r(t) - w_r(0)|`` while ``lambda_min(H(s)) >= lambda_0 / 2``. The text prints the
    constant 1; integrating ``exp(-lambda_0 s / 2)``, which is how |y - u(s)| decays, gives 2.
    """
    return _ratio(2.0 * math.sqrt(n) * residual_norm, math.sqrt(width) * lambda_0)


def distance_gd(n: int, width: int, lambda_0: float, residual_norm: float) -> float:
    """R' of Corollary 2.1: ``4 sqrt(n) |y - u(0)| / (sqrt(width) lambda_0)``."""
    return 2.0 * distance_flow(n, width, lambda_0, residual_norm)


def training_width_flow(n: int, lambda_0: float, delta: float, residual_norm: float) -> float:
    """Width for Lemma 2.4: R' < R above ``(512/pi) n^5 |y - u(0)|^2 / (delta^2 lambda_0^4)``."""
    scaled = _ratio(residual_norm, delta * lambda_0 * lambda_0)
    return 512.0 / math.pi * float(n) ** 5 * scaled * scaled


def training_width_gd(n: int, lambda_0: float, delta: float, residual_norm: float) -> float:
    """Width for Theorem 2.3: R' < R above ``(8192/pi) n^5 |y - u(0)|^2 / (delta^2 lambda_0^4)``."""
    return 16.0 * training_width_flow(n, lambda_0, delta, residual_norm)


def training_width_residual_order(n: int, lambda_0: float, delta: float, residual_norm: float) -> float:
    """Lemma 2.4 as printed, hidden constant 1: ``n^5 |y - u(0)|^2 / (lambda_0^4 delta^2)``."""
    return training_width_flow(n, lambda_0, delta, residual_norm) * math.pi / 512.0


def training_width_order(n: int, lambda_0: float, delta: float) -> float:
    """Theorems 2.2 and 2.3 as printed, hidden constant 1: ``n^6 / (lambda_0^4 delta^3)``."""
    squared = lambda_0 * lambda_0
    return _ratio(float(n) ** 6 / delta**3, squared * squared)


def expected_residual_squared(y: ArrayLike, input_norms_squared: ArrayLike) -> float:
    """``E |y - u(0)|^2 = |y|^2 + (1/2) sum_i |x_i|^2`` over W(0) and a, exactly.

    Parameters
    ----------
    y, input_norms_squared : array_like, shape (n,)
        Labels and ``|x_i|^2`` (twice the diagonal of H_inf). The text bounds the second term by n.
    """
    labels = np.asarray(y, dtype=np.float64)
    return float(labels @ labels + 0.5 * np.sum(np.asarray(input_norms_squared, np.float64)))


# --- Theorems 2.2 and 2.3: step size and rate --------------------------------------------------


def step_size_bound(n: int, lambda_0: float) -> float:
    """Largest step size of Theorem 2.3 with its constant: ``lambda_0 / (4 n^2)``."""
    return lambda_0 / (4.0 * n * n)


def step_size_order(n: int, lambda_0: float) -> float:
    """Theorem 2.3 as printed, hidden constant 1: ``lambda_0 / n^2``."""
    return lambda_0 / (n * n)


@overload
def rate_flow(lambda_0: float, time: float) -> float: ...
@overload
def rate_flow(lambda_0: float, time: Float64Array) -> Float64Array: ...
def rate_flow(lambda_0: float, time: float | Float64Array) -> float | Float64Array:
    """Theorem 2.2: bound ``exp(-lambda_0 t)`` on ``|y - u(t)|^2 / |y - u(0)|^2``."""
    with np.errstate(under="ignore"):
        value: Float64Array = np.exp(-lambda_0 * np.asarray(time, dtype=np.float64))
    return value if value.ndim else float(value)


@overload
def rate_gd(lambda_0: float, step_size: float, step: float) -> float: ...
@overload
def rate_gd(lambda_0: float, step_size: float, step: Float64Array) -> Float64Array: ...
def rate_gd(lambda_0: float, step_size: float, step: float | Float64Array) -> float | Float64Array:
    """Theorem 2.3: bound ``(1 - step_size lambda_0 / 2)^k`` on ``|y - u(k)|^2 / |y - u(0)|^2``.

    The base is cut off at 0: no rate is claimed for steps above ``2 / lambda_0``.
    """
    base = max(0.0, 1.0 - 0.5 * step_size * lambda_0)
    with np.errstate(under="ignore"):
        value = np.asarray(np.power(base, np.asarray(step, dtype=np.float64)), dtype=np.float64)
    return value if value.ndim else float(value)


def one_step_factor(n: int, lambda_0: float, delta: float, radius: float, step_size: float) -> float:
    """Theorem 2.3, one step: bound on ``|y - u(k+1)|^2 / |y - u(k)|^2``.

    ``1 - eta lambda_0 + 2 C eta n^2 R / delta + 2 C eta n^{3/2} R / delta + eta^2 n^2``, given
    ``lambda_min(H(k)) >= lambda_0 / 2``, all distances at most R at steps k and k + 1, and the
    event of Lemma 2.5. At most ``1 - eta lambda_0 / 2`` for R of :func:`radius_gd` and a step size
    within :func:`step_size_bound`.
    """
    flips = 2.0 * ANTI_CONCENTRATION * radius / delta * (n * n + n * math.sqrt(n))
    return 1.0 + step_size * (flips - lambda_0 + step_size * n * n)
