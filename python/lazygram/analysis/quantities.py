"""Every number of the two-layer ReLU theory for one data set, width and failure probability.

The formulas of Lemmas 2.1-2.5 and Theorems 2.1-2.3 (Du, thesis 2019, chapter 2) are in
:mod:`lazygram.analysis.two_layer_bounds`; here they are evaluated together on a Gram matrix.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lazygram.analysis import two_layer_bounds as bounds
from lazygram.analysis.spectrum import as_symmetric, eigenvalues, gram_spectrum, operator_norm
from lazygram.arrays import as_vector, check_positive_float, check_positive_int

__all__ = ["TwoLayerQuantities", "two_layer_quantities"]

Float64Array = NDArray[np.float64]

# Inputs normalised in float32 have norms off by a few 1e-7.
_NORM_TOLERANCE = 1e-5


@dataclass(frozen=True)
class TwoLayerQuantities:
    """Numbers of the two-layer theory for one data set, width and delta.

    Widths are real numbers, not rounded up; all are ``inf`` and all radii and step sizes 0 when
    ``lambda_0`` is 0. "Sharp" and "explicit" mean a proven constant, "order" the text's
    Omega or O with constant 1, "loose" the text's own chain of inequalities with its constants.

    Attributes
    ----------
    n, width : int
        Number of examples, number of neurons m.
    delta : float
        Failure probability of each of the events that are used.
    failure_probability : float
        Total: ``2 delta`` (Lemma 2.1 and Lemma 2.5, which implies Lemma 2.2) when the residual
        was measured, ``3 delta`` when it was bounded by Markov's inequality; at most 1.
        For a total of p pass ``delta = p / 2`` or ``p / 3``.
    lambda_0, lambda_max : float
        Extreme eigenvalues of H_inf. ``lambda_0`` is 0 when it cannot be told from 0 in the
        precision of H_inf.
    min_input_norm, max_input_norm : float
        Euclidean norms of the inputs, read off the diagonal ``|x_i|^2 / 2`` of H_inf.
    unit_norm : bool
        Whether they are all 1, which Theorems 2.2 and 2.3 assume, to 1e-5.
    residual_norm : float
        ``|y - u(0)|_2``, measured, or ``expected_residual / sqrt(delta)`` if it was not given.
    residual_measured : bool
        Which of the two.
    expected_residual : float or None
        ``sqrt(E |y - u(0)|^2)``, if the labels were given.
    gram_width_sharp, gram_width_loose, gram_width_order : float
        Widths for Lemma 2.1: ``8 n^2 log(2 n^2 / delta) / lambda_0^2``,
        ``256 n^2 log(n / delta) / lambda_0^2``, ``n^2 log(n / delta) / lambda_0^2``.
    gram_entry_bound : float
        Lemma 2.1, bound on ``|H_ij(0) - H_inf_ij| / |x_i . x_j|`` at this width.
    gram_frobenius_bound, gram_frobenius_bound_loose : float
        Lemma 2.1, bounds on ``|H(0) - H_inf|_F`` at this width, sharp and by the text's chain.
    gram_tolerance : float
        ``lambda_0 / 4``: what Lemmas 2.1 and 2.2 allow ``|H(0) - H_inf|_2`` and ``|H - H(0)|_2``.
    initial_gram_distance, initial_gram_frobenius, initial_gram_entry : float or None
        Measured ``|H(0) - H_inf|``, if ``H_0`` was given: operator norm, Frobenius norm, largest
        entry.
    initial_lambda_min : float or None
        Measured ``lambda_min(H(0))``, if ``H_0`` was given.
    radius_flow, radius_gd : float
        R: ``sqrt(2 pi) delta lambda_0 / (16 n^2)`` (Lemma 2.2, Theorem 2.2) and half of it
        (Theorem 2.3).
    distance_flow, distance_gd : float
        R': ``2 sqrt(n) residual_norm / (sqrt(width) lambda_0)`` (Lemma 2.3) and twice it
        (Corollary 2.1).
    training_width_flow, training_width_gd : float
        Widths above which R' < R for this residual: ``(512 / pi) n^5 residual_norm^2 /
        (delta^2 lambda_0^4)`` and 16 times it.
    training_width_residual_order, training_width_order : float
        ``n^5 residual_norm^2 / (lambda_0^4 delta^2)`` (Lemma 2.4) and
        ``n^6 / (lambda_0^4 delta^3)`` (Theorems 2.2 and 2.3).
    required_width_flow, required_width_gd : float
        Width for the whole theorem: the larger of ``gram_width_sharp`` and ``training_width_*``.
    step_size_bound, step_size_order : float
        ``lambda_0 / (4 n^2)`` and ``lambda_0 / n^2`` (Theorem 2.3).
    step_size_divergence : float
        ``2 / lambda_max``: frozen gradient descent diverges from here on.
    flip_probability_flow, flip_probability_gd : float
        Expected fraction of (example, neuron) pairs that can flip within R: ``erf(R / sqrt 2)``.
    flip_count_flow, flip_count_gd : float
        Lemma 2.5, bound ``C width n R / delta`` on ``sum_i |S_i^c|``, C = 2 / sqrt(2 pi).
    """

    n: int
    width: int
    delta: float
    failure_probability: float
    lambda_0: float
    lambda_max: float
    min_input_norm: float
    max_input_norm: float
    unit_norm: bool
    residual_norm: float
    residual_measured: bool
    expected_residual: float | None
    gram_width_sharp: float
    gram_width_loose: float
    gram_width_order: float
    gram_entry_bound: float
    gram_frobenius_bound: float
    gram_frobenius_bound_loose: float
    gram_tolerance: float
    initial_gram_distance: float | None
    initial_gram_frobenius: float | None
    initial_gram_entry: float | None
    initial_lambda_min: float | None
    radius_flow: float
    radius_gd: float
    distance_flow: float
    distance_gd: float
    training_width_flow: float
    training_width_gd: float
    training_width_residual_order: float
    training_width_order: float
    required_width_flow: float
    required_width_gd: float
    step_size_bound: float
    step_size_order: float
    step_size_divergence: float
    flip_probability_flow: float
    flip_probability_gd: float
    flip_count_flow: float
    flip_count_gd: float

    def rate_flow(self, times: ArrayLike) -> Float64Array:
        """Theorem 2.2: ``exp(-lambda_0 t)``, bound on ``|y - u(t)|^2 / |y - u(0)|^2``."""
        return np.asarray(bounds.rate_flow(self.lambda_0, np.asarray(times, dtype=np.float64)))

    def rate_gd(self, step_size: float, steps: ArrayLike) -> Float64Array:
        """Theorem 2.3: ``(1 - step_size lambda_0 / 2)^k``, bound on the same ratio."""
        numbers = np.asarray(steps, dtype=np.float64)
        return np.asarray(bounds.rate_gd(self.lambda_0, step_size, numbers))

    def one_step_factor(self, step_size: float, radius: float | None = None) -> float:
        """Theorem 2.3: contraction factor of one step, at ``radius`` (default ``radius_gd``)."""
        within = self.radius_gd if radius is None else radius
        return bounds.one_step_factor(self.n, self.lambda_0, self.delta, within, step_size)


def two_layer_quantities(
    H_inf: ArrayLike,
    *,
    width: int,
    residual_norm: float | None = None,
    delta: float = 0.1,
    H_0: ArrayLike | None = None,
    y: ArrayLike | None = None,
) -> TwoLayerQuantities:
    """Evaluate Lemmas 2.1-2.5 and Theorems 2.1-2.3 for given data, width and delta.

    Parameters
    ----------
    H_inf : array_like, shape (n, n)
        Infinite-width Gram matrix of the first layer, ``x_i . x_j (pi - angle_ij) / (2 pi)``.
    width : int
        Number of neurons m.
    residual_norm : float, optional
        ``|y - u(0)|_2`` of the initial network. Without it ``y`` is needed, and Markov's
        inequality gives ``sqrt(E |y - u(0)|^2 / delta)`` instead.
    delta : float, default 0.1
        Failure probability of each event, in (0, 1).
    H_0 : array_like, shape (n, n), optional
        Gram matrix of the initial network, for the measured fields.
    y : array_like, shape (n,), optional
        Labels.

    Returns
    -------
    TwoLayerQuantities

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong shape or range; if ``H_inf`` has a clearly negative
        eigenvalue or diagonal entry; if neither ``residual_norm`` nor ``y`` is given.

    Notes
    -----
    Source: Du, "Gradient descent for non-convex problems in modern machine learning" (thesis,
    2019), chapter 2, with the factor 2 of Lemma 2.3 and the delta in R of Theorem 2.3 corrected.
    """
    matrix = as_symmetric(H_inf, "H_inf")
    n = matrix.shape[0]
    m = check_positive_int(width, "width")
    delta = check_positive_float(delta, "delta")
    if delta >= 1.0:
        raise ValueError(f"delta: must be a probability below 1, got {delta}")

    lambda_0, lambda_max = gram_spectrum(H_inf, "H_inf")
    norms_squared = 2.0 * matrix.diagonal()
    norms = np.sqrt(norms_squared)
    expected, residual = _residuals(residual_norm, y, norms_squared, delta)
    measured = residual_norm is not None
    distance, frobenius, entry, initial_min = _initial_gram(H_0, matrix)

    radius_flow = bounds.radius_flow(n, lambda_0, delta)
    radius_gd = bounds.radius_gd(n, lambda_0, delta)
    gram_width = bounds.gram_width(n, lambda_0, delta)
    width_flow = bounds.training_width_flow(n, lambda_0, delta, residual)
    width_gd = bounds.training_width_gd(n, lambda_0, delta, residual)
    return TwoLayerQuantities(
        n=n,
        width=m,
        delta=delta,
        failure_probability=min(1.0, (2 if measured else 3) * delta),
        lambda_0=lambda_0,
        lambda_max=lambda_max,
        min_input_norm=float(norms.min()),
        max_input_norm=float(norms.max()),
        unit_norm=bool(np.abs(norms - 1.0).max() <= _NORM_TOLERANCE),
        residual_norm=residual,
        residual_measured=measured,
        expected_residual=expected,
        gram_width_sharp=gram_width,
        gram_width_loose=bounds.gram_width_loose(n, lambda_0, delta),
        gram_width_order=bounds.gram_width_order(n, lambda_0, delta),
        gram_entry_bound=bounds.gram_entry_bound(n, m, delta),
        gram_frobenius_bound=bounds.gram_frobenius_bound(n, m, delta),
        gram_frobenius_bound_loose=bounds.gram_frobenius_bound_loose(n, m, delta),
        gram_tolerance=0.25 * lambda_0,
        initial_gram_distance=distance,
        initial_gram_frobenius=frobenius,
        initial_gram_entry=entry,
        initial_lambda_min=initial_min,
        radius_flow=radius_flow,
        radius_gd=radius_gd,
        distance_flow=bounds.distance_flow(n, m, lambda_0, residual),
        distance_gd=bounds.distance_gd(n, m, lambda_0, residual),
        training_width_flow=width_flow,
        training_width_gd=width_gd,
        training_width_residual_order=bounds.training_width_residual_order(n, lambda_0, delta, residual),
        training_width_order=bounds.training_width_order(n, lambda_0, delta),
        required_width_flow=max(gram_width, width_flow),
        required_width_gd=max(gram_width, width_gd),
        step_size_bound=bounds.step_size_bound(n, lambda_0),
        step_size_order=bounds.step_size_order(n, lambda_0),
        step_size_divergence=math.inf if lambda_max == 0.0 else 2.0 / lambda_max,
        flip_probability_flow=bounds.flip_probability(radius_flow),
        flip_probability_gd=bounds.flip_probability(radius_gd),
        flip_count_flow=bounds.flip_count_bound(n, m, radius_flow, delta),
        flip_count_gd=bounds.flip_count_bound(n, m, radius_gd, delta),
    )


def _residuals(
    residual_norm: float | None, y: ArrayLike | None, norms_squared: Float64Array, delta: float
) -> tuple[float | None, float]:
    """Expected residual (None without labels) and the residual to use, measured or by Markov."""
    expected: float | None = None
    if y is not None:
        labels = as_vector(y, "y", norms_squared.shape[0], dtype=np.float64)
        expected = math.sqrt(bounds.expected_residual_squared(labels, norms_squared))
    if residual_norm is not None:
        residual = float(residual_norm)
        if not (math.isfinite(residual) and residual >= 0.0):
            raise ValueError(f"residual_norm: must be finite and >= 0, got {residual_norm!r}")
        return expected, residual
    if expected is None:
        raise ValueError("residual_norm: needed, or y to bound |y - u(0)|_2 in probability")
    return expected, expected / math.sqrt(delta)


def _initial_gram(
    H_0: ArrayLike | None, H_inf: Float64Array
) -> tuple[float | None, float | None, float | None, float | None]:
    """Operator, Frobenius and largest-entry distance of H(0) from H_inf, and lambda_min(H(0))."""
    if H_0 is None:
        return None, None, None, None
    initial = as_symmetric(H_0, "H_0")
    if initial.shape != H_inf.shape:
        raise ValueError(f"H_0: shape {H_inf.shape} of H_inf is needed, got {initial.shape}")
    lower = np.tril(initial - H_inf)
    gap = lower + np.tril(lower, -1).T
    return (
        operator_norm(gap),
        float(np.linalg.norm(gap)),
        float(np.abs(gap).max()),
        float(eigenvalues(initial)[0]),
    )
