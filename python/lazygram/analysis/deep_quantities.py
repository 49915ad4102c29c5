"""Every number of the theory of deep networks for one data set, architecture and width.

The formulas (Du, thesis 2019, chapter 3) are in :mod:`lazygram.analysis.deep_bounds`; here they are evaluated
together on the Gram matrices of all layers, at infinite width and of the initial network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lazygram.analysis import deep_bounds as bounds
from lazygram.analysis.deep_bounds import NetworkConstants
from lazygram.analysis.spectrum import as_symmetric, eigenvalues, gram_spectrum, operator_norm
from lazygram.arrays import as_matrix, as_vector, check_positive_float, check_positive_int

__all__ = [
    "DeepQuantities",
    "LayerGap",
    "deep_quantities",
    "layer_gaps",
    "lipschitz_constant",
    "measured_constants",
]

Float64Array = NDArray[np.float64]


@dataclass(frozen=True)
class LayerGap:
    """How far a Gram matrix (or covariance) of one layer is from its infinite-width limit.

    Attributes
    ----------
    operator : float
        ``|G - lim G|_2``.
    entry : float
        Largest ``|G_ij - lim G_ij|``.
    relative : float
        `entry` over the largest entry of the limit; nan if that is 0.
    lambda_min : float
        Of G.
    """

    operator: float
    entry: float
    relative: float
    lambda_min: float


def layer_gaps(measured: Sequence[ArrayLike], limits: Sequence[ArrayLike]) -> list[LayerGap]:
    """Compare the matrices of a network, layer by layer, with their infinite-width limits.

    Parameters
    ----------
    measured, limits : sequences of array_like, shape (n, n)
        One matrix per layer, in the same order: Gram matrices G^(h)(0), or covariances
        ``<x_i^(h), x_j^(h)>`` and S^(h) (Theorem 3.4).

    Returns
    -------
    list of LayerGap

    Raises
    ------
    TypeError, ValueError
        If the sequences differ in length, or matrices are not symmetric or differ in shape.
    """
    if len(measured) != len(limits):
        raise ValueError(f"measured: {len(limits)} matrices are needed, as in limits, got {len(measured)}")
    gaps = []
    for h, (finite, limit) in enumerate(zip(measured, limits, strict=True), start=1):
        G = as_symmetric(finite, f"measured[{h - 1}]")
        K = as_symmetric(limit, f"limits[{h - 1}]")
        if G.shape != K.shape:
            raise ValueError(f"measured[{h - 1}]: shape {K.shape} is needed, got {G.shape}")
        # From the lower triangles: the two may be symmetric up to rounding only.
        lower = np.tril(G - K)
        gap = lower + np.tril(lower, -1).T
        entry, scale = float(np.abs(gap).max()), float(np.abs(K).max())
        relative = entry / scale if scale > 0.0 else math.nan
        gaps.append(LayerGap(operator_norm(gap), entry, relative, float(eigenvalues(G)[0])))
    return gaps


def lipschitz_constant(
    derivative: Callable[[Any], Any], *, reach: float = 40.0, points: int = 160_001
) -> float:
    """Largest ``|sigma'|`` on a grid of ``[-reach, reach]``.

    Exact for activations whose derivative is monotone or largest at 0 (softplus, tanh, sigmoid, ReLU); else
    low by at most the spacing times the largest ``|sigma''|``, 5e-4 of it by default.
    """
    grid = np.linspace(-reach, reach, points)
    with np.errstate(over="ignore", under="ignore"):
        return float(np.abs(derivative(grid)).max())


def measured_constants(
    constants: NetworkConstants,
    weights: Sequence[ArrayLike],
    readout: ArrayLike,
    features: Sequence[ArrayLike],
) -> NetworkConstants:
    """Put the norms of an initial network in the place of the unspecified constants.

    Parameters
    ----------
    constants : NetworkConstants
        Architecture and activation.
    weights : sequence of array_like, shape (m, fan_in)
        W^(1)(0) .. W^(H)(0).
    readout : array_like, shape (m,) or (m, p)
        a(0).
    features : sequence of array_like, shape (n, m) or (n, m, p)
        x^(1)(0) .. x^(H)(0); the largest of their norms and of the unit inputs is c_{x,0}.

    Returns
    -------
    NetworkConstants

    Raises
    ------
    TypeError, ValueError
        If the arrays have the wrong shape or are not finite.
    """
    if len(weights) != constants.depth or len(features) != constants.depth:
        raise ValueError(
            f"weights, features: {constants.depth} of each are needed, got {len(weights)}, {len(features)}"
        )
    norms = feature_norms(features)
    matrices = [as_matrix(W, f"weights[{h}]", dtype=np.float64) for h, W in enumerate(weights)]
    widths = [len(W) for W in matrices]
    largest = [float(np.linalg.norm(W, 2)) / math.sqrt(m) for W, m in zip(matrices, widths, strict=True)]
    a = np.asarray(readout, dtype=np.float64).reshape(widths[-1], -1)
    return replace(
        constants,
        feature_norm=max(1.0, float(norms.max())),
        weight_norm=max(largest),
        readout_norm=float(np.linalg.norm(a, axis=0).max()) / math.sqrt(widths[-1]),
    )


def feature_norms(features: Sequence[ArrayLike]) -> Float64Array:
    """``|x_i^(h)|`` (Frobenius for a convolution), shape (layers, n)."""
    arrays = [np.asarray(x, dtype=np.float64) for x in features]
    return np.array([np.linalg.norm(x.reshape(len(x), -1), axis=1) for x in arrays])


@dataclass(frozen=True)
class DeepQuantities:
    """Numbers of the theory of deep networks for one data set, architecture, width and delta.

    Attributes
    ----------
    constants : NetworkConstants
        Architecture, activation and norms.
    n, width : int
        Number of examples, width m of the layers.
    delta : float
        Failure probability.
    lam, lam_max : float
        Extreme eigenvalues of K^(H) = lim G^(H)(0), the last hidden layer's: the theorems' rate. ``lam`` is 0
        when it cannot be told from 0 in the precision of the matrix.
    ntk_lambda_min, ntk_lambda_max : float
        Extreme eigenvalues of the sum over all layers, the infinite-width NTK: the rate of the frozen
        dynamics.
    layer_lambda_min : tuple of float
        Smallest eigenvalue of every lim G^(h)(0), h = 1..H+1.
    residual_norm : float
        ``|y - u(0)|_2``.
    width_order, stability_width_order, gram_width_order, norm_width_order : float
        Widths of the theorem with every unspecified constant 1: the largest, and the three it is made of.
    step_size_order : float
        The theorem's step size, constants 1.
    step_size_divergence : float
        ``2 / ntk_lambda_max``: frozen gradient descent diverges from here on.
    radius_order : float
        R within which G^(H) stays near its start, constants 1.
    movement_bound : float
        R' with the constants of ``constants``.
    gram_tolerance : float
        ``lam / 4``.
    initial : tuple of LayerGap or None
        ``G^(h)(0)`` against its limit, h = 1..H+1, if the initial Gram matrices were given.
    smallest_norm, largest_norm : float or None
        Of the features ``x_i^(h)(0)``, if they were given.
    covariance_errors : tuple of float or None
        Theorem 3.4: ``max_ij |<x_i^(h)(0), x_j^(h)(0)> - S^(h)_ij|``, h = 1..H, if they were given.
    propagation_bound : float or None
        What Theorem 3.4 allows for layers up to H - 1, its absolute constant 1; None without its E.
    """

    constants: NetworkConstants
    n: int
    width: int
    delta: float
    lam: float
    lam_max: float
    ntk_lambda_min: float
    ntk_lambda_max: float
    layer_lambda_min: tuple[float, ...]
    residual_norm: float
    width_order: float
    stability_width_order: float
    gram_width_order: float
    norm_width_order: float
    step_size_order: float
    step_size_divergence: float
    radius_order: float
    movement_bound: float
    gram_tolerance: float
    initial: tuple[LayerGap, ...] | None
    smallest_norm: float | None
    largest_norm: float | None
    covariance_errors: tuple[float, ...] | None
    propagation_bound: float | None


def deep_quantities(
    constants: NetworkConstants,
    layer_limits: Sequence[ArrayLike],
    *,
    width: int,
    residual_norm: float,
    delta: float = 0.1,
    layer_grams: Sequence[ArrayLike] | None = None,
    features: Sequence[ArrayLike] | None = None,
    covariance_errors: Sequence[float] | None = None,
    propagation_constant: float | None = None,
) -> DeepQuantities:
    """Evaluate Theorems 3.1-3.4 and their lemmas for given data, architecture and width.

    Parameters
    ----------
    constants : NetworkConstants
        Architecture and norms, see :func:`measured_constants`.
    layer_limits : sequence of H + 1 array_like, shape (n, n)
        lim G^(h)(0) for the hidden layers h = 1..H and the readout, h = H + 1.
    width : int
        m.
    residual_norm : float
        ``|y - u(0)|_2`` of the initial network.
    delta : float, default 0.1
        Failure probability, in (0, 1).
    layer_grams : sequence of H + 1 array_like, shape (n, n), optional
        G^(h)(0) of the initial network.
    features : sequence of H array_like, shape (n, m) or (n, m, p), optional
        x^(1)(0) .. x^(H)(0), for Lemma 3.1.
    covariance_errors : sequence of H float, optional
        Largest errors of the covariances of the features, for Theorem 3.4.
    propagation_constant : float, optional
        E of Theorem 3.4, see :func:`lazygram.analysis.deep_bounds.propagation_constant`.

    Returns
    -------
    DeepQuantities

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong shape or range, or a limit is not positive semi-definite.

    Notes
    -----
    Source: Du (thesis 2019), Theorems 3.1-3.4, Lemmas 3.1-3.5, 3.8-3.12, 3.15-3.19; Du, Lee, Li, Wang,
    Zhai (2019), "Gradient descent finds global minima of deep neural networks".
    """
    depth = constants.depth
    if len(layer_limits) != depth + 1:
        raise ValueError(f"layer_limits: {depth + 1} matrices are needed, got {len(layer_limits)}")
    limits = [as_symmetric(K, f"layer_limits[{h}]") for h, K in enumerate(layer_limits)]
    n = len(limits[0])
    if any(K.shape != (n, n) for K in limits):
        raise ValueError(f"layer_limits: all must have shape {(n, n)}, got {[K.shape for K in limits]}")
    m = check_positive_int(width, "width")
    delta = check_positive_float(delta, "delta")
    if delta >= 1.0:
        raise ValueError(f"delta: must be a probability below 1, got {delta}")
    residual = float(as_vector([residual_norm], "residual_norm")[0])
    if residual < 0.0:
        raise ValueError(f"residual_norm: must not be negative, got {residual}")

    if covariance_errors is not None and len(covariance_errors) != depth:
        raise ValueError(f"covariance_errors: {depth} numbers are needed, got {len(covariance_errors)}")

    spectra = [gram_spectrum(K, f"layer_limits[{h}]") for h, K in enumerate(layer_limits)]
    lam, lam_max = spectra[depth - 1]
    ntk_min, ntk_max = gram_spectrum(np.sum(limits, axis=0), "sum of layer_limits")
    norms = None if features is None else feature_norms(features)
    kind = constants.architecture
    return DeepQuantities(
        constants=constants,
        n=n,
        width=m,
        delta=delta,
        lam=lam,
        lam_max=lam_max,
        ntk_lambda_min=ntk_min,
        ntk_lambda_max=ntk_max,
        layer_lambda_min=tuple(smallest for smallest, _ in spectra),
        residual_norm=residual,
        width_order=bounds.required_width_order(kind, n, depth, lam, delta),
        stability_width_order=bounds.stability_width_order(kind, n, depth, lam),
        gram_width_order=bounds.gram_width_order(n, depth, lam, delta),
        norm_width_order=bounds.norm_width_order(n, delta),
        step_size_order=bounds.step_size_order(kind, n, depth, lam),
        step_size_divergence=math.inf if ntk_max == 0.0 else 2.0 / ntk_max,
        radius_order=bounds.radius_order(kind, n, depth, lam),
        movement_bound=bounds.movement_bound(constants, n, m, lam, residual),
        gram_tolerance=0.25 * lam,
        initial=None if layer_grams is None else tuple(layer_gaps(layer_grams, layer_limits)),
        smallest_norm=None if norms is None else float(norms.min()),
        largest_norm=None if norms is None else float(norms.max()),
        covariance_errors=None if covariance_errors is None else tuple(map(float, covariance_errors)),
        propagation_bound=None
        if propagation_constant is None
        else bounds.propagation_error(propagation_constant, n, m, depth, delta, constants.pixels),
    )
