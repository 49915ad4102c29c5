"""The bounds of the theory of deep networks as plain functions of n, width, depth and lambda.

Setting (Du, thesis 2019, chapter 3; Du, Lee, Li, Wang, Zhai 2019): fully connected networks, ResNets and
convolutional ResNets of depth H, all layers and the readout a trained on ``(1/2) sum_i (f(x_i) - y_i)^2``,
all weights N(0, 1), unit-norm inputs, a smooth activation with Lipschitz constant L. Throughout

    n       number of training examples            lam     lambda_min(K^(H)), K^(H) = lim G^(H)(0)
    depth   H, number of hidden layers             delta   failure probability

The theorems leave almost all constants unspecified. Names ending in ``_order`` are their "Omega(...)"
or "O(...)" with every hidden constant, 2^{O(H)} and poly(p) set to 1: they compare sizes and widths, they
prove nothing. :func:`movement_bound` is different: all its constants are known or measured. A lam of 0 is
allowed everywhere: required widths become infinite, step sizes 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lazygram.analysis.spectrum import as_symmetric

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "NetworkConstants",
    "gram_width_order",
    "growth",
    "movement_bound",
    "norm_width_order",
    "pairwise_lambda_min",
    "propagation_constant",
    "propagation_error",
    "radius_order",
    "required_width_order",
    "stability_width_order",
    "step_size_order",
]

Float64Array = NDArray[np.float64]

Architecture = Literal["fc", "resnet", "conv-resnet"]
ARCHITECTURES: tuple[Architecture, ...] = ("fc", "resnet", "conv-resnet")


@dataclass(frozen=True)
class NetworkConstants:
    """What the bounds need to know of an architecture and its initial weights.

    Attributes
    ----------
    architecture : {"fc", "resnet", "conv-resnet"}
        Which theorem: 3.1, 3.2, 3.3.
    depth : int
        H.
    c_sigma : float
        ``1 / E[sigma(Z)^2]``.
    lipschitz : float
        L, the largest ``|sigma'|``.
    value_at_zero : float
        ``sigma(0)``.
    c_res : float
        Of the residual branches; not used by "fc".
    pixels, patch : int
        p and q, both 1 without convolution.
    feature_norm : float
        c_{x,0}: the largest ``|x_i^(h)(0)|``; Lemma 3.1 has 2.
    weight_norm : float
        c_{w,0}: the largest ``|W^(h)(0)|_2 / sqrt(width)``.
    readout_norm : float
        a_{2,0}: ``|a(0)|_2 / sqrt(width)`` (the largest of all pixels for a convolution).

    Raises
    ------
    ValueError
        If the architecture is unknown or a number is out of its range; the message names it.
    """

    architecture: Architecture
    depth: int
    c_sigma: float
    lipschitz: float
    value_at_zero: float = 0.0
    c_res: float = 0.5
    pixels: int = 1
    patch: int = 1
    feature_norm: float = 2.0
    weight_norm: float = 2.0
    readout_norm: float = 1.0

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise ValueError(
                f"architecture: one of {', '.join(ARCHITECTURES)} is needed, got {self.architecture!r}"
            )
        for name in ("depth", "pixels", "patch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be positive, got {getattr(self, name)}")
        for name in ("c_sigma", "lipschitz", "c_res", "feature_norm", "weight_norm", "readout_norm"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0.0):
                raise ValueError(f"{name}: must be positive and finite, got {value}")
        if self.architecture != "conv-resnet" and (self.pixels, self.patch) != (1, 1):
            raise ValueError(f"pixels, patch: must be 1 for {self.architecture}")


def _ratio(numerator: float, denominator: float) -> float:
    """Quotient of non-negative numbers; anything over zero is infinite (a void requirement)."""
    return math.inf if denominator == 0.0 else numerator / denominator


# --- Required widths and step sizes: orders --------------------------------------------------------


def stability_width_order(architecture: Architecture, n: int, depth: int, lam: float) -> float:
    """Width that keeps G^(H) near its start during training, constants 1.

    Theorem 3.1 ``n^4/lam^4``; 3.2 ``max(n^4/(lam^4 H^6), n^2/(lam^2 H^2))``; 3.3
    ``max(n^4/(lam^4 H^6), n^4/(lam^4 H^2))``. The factors 2^{O(H)} and poly(p) are left out.
    """
    # n/lam first: n^4 and lam^4 apart would leave the float range together.
    ratio = _ratio(float(n), lam)
    if architecture == "fc":
        return ratio**4
    first = (ratio / depth) ** 4 / float(depth) ** 2
    if architecture == "resnet":
        return max(first, (ratio / depth) ** 2)
    return max(first, ratio**4 / float(depth) ** 2)


def norm_width_order(n: int, delta: float) -> float:
    """Width that keeps the norms of all features near 1 (Lemmas 3.1, 3.8, 3.15), constants 1: ``n/delta``."""
    return n / delta


def gram_width_order(n: int, depth: int, lam: float, delta: float) -> float:
    """Width for ``|G^(H)(0) - K^(H)|_2 <= lam/4`` (Lemmas 3.2, 3.9, 3.16), constants 1.

    ``n^2 log(H n/delta)/lam^2``.
    """
    return _ratio(float(n), lam) ** 2 * math.log(depth * n / delta)


def required_width_order(architecture: Architecture, n: int, depth: int, lam: float, delta: float) -> float:
    """Width of the whole theorem, constants 1: the largest of the three above."""
    return max(
        stability_width_order(architecture, n, depth, lam),
        norm_width_order(n, delta),
        gram_width_order(n, depth, lam, delta),
    )


def step_size_order(architecture: Architecture, n: int, depth: int, lam: float) -> float:
    """Step size of the theorem, constants 1: ``lam/n^2`` for 3.1, ``lam H^2/n^2`` for 3.2 and 3.3."""
    order = lam / (n * n)
    return order if architecture == "fc" else order * depth * depth


def radius_order(architecture: Architecture, n: int, depth: int, lam: float) -> float:
    """R of Lemmas 3.4, 3.11, 3.18 on ``|W^(h)(k) - W^(h)(0)|_F / sqrt(width)``, constants 1.

    Within it ``|G^(H)(k) - G^(H)(0)|_2 <= lam/4``: ``lam/n`` for a fully connected network,
    ``lam H^2/n`` for ResNets.
    """
    order = lam / n
    return order if architecture == "fc" else order * depth * depth


# --- Movement of the weights: known constants ------------------------------------------------------


def growth(constants: NetworkConstants) -> float:
    """Factor by which the layers can amplify, as it enters R' and Q' of Lemmas 3.5, 3.12, 3.19.

    Fully connected ``c_x^H`` with ``c_x = max(2 sqrt(c_sigma) L c_w, 1)``; ResNet
    ``c_res L e^{2 c_res c_w L} / H``; convolutional ``c_res L sqrt(p q) e^{2 c_res c_w L sqrt(q)} / H``.
    ``inf`` beyond the float range.
    """
    c = constants
    if c.architecture == "fc":
        base = max(2.0 * math.sqrt(c.c_sigma) * c.lipschitz * c.weight_norm, 1.0)
        exponent = c.depth * math.log(base)
        factor = 1.0
    else:
        exponent = 2.0 * c.c_res * c.weight_norm * c.lipschitz * math.sqrt(c.patch)
        factor = c.c_res * c.lipschitz * math.sqrt(c.pixels * c.patch) / c.depth
    return factor * math.exp(exponent) if exponent < 700.0 else math.inf


def movement_bound(
    constants: NetworkConstants, n: int, width: int, lam: float, residual_norm: float
) -> float:
    """R': bound on ``|W^(h)(k) - W^(h)(0)|_F / sqrt(width)`` and ``|a(k) - a(0)|_2 / sqrt(width)``.

    ``16 c_{x,0} a_{2,0} growth sqrt(n) |y - u(0)|_2 / (lam sqrt(width))`` while the loss falls by
    ``(1 - eta lam/2)`` a step and norms stay within twice their initial values (Lemmas 3.5, 3.12, 3.19).
    The 1/H of the ResNets comes from their residual branches: it is justified for layers 2..H only.
    """
    c = constants
    scale = 16.0 * c.feature_norm * c.readout_norm * growth(c)
    return _ratio(scale * math.sqrt(n) * residual_norm, lam * math.sqrt(width))


# --- Theorem 3.4: propagation of the initial perturbation -----------------------------------------


def propagation_constant(
    constants: NetworkConstants, *, covariance: float, mean: float, dual_lipschitz: float
) -> float:
    """E of Theorem 3.4 with its absolute constant set to 1.

    ``prod_{h=2}^{H-1} (A_h + Lam_h W_h + C_h A_h B W_h + C_h A_h sqrt(W_h M))`` times
    ``max(W_1 sqrt((1 + C_1^2) M^2), sqrt(C_1^2 M))``.

    Parameters
    ----------
    constants : NetworkConstants
        Gives A_h = 0 (fully connected) or 1, W_h = 2 or 1 + q, and C_h = |rho(0)| + sup|rho'| of
        ``rho = sqrt(c_sigma) sigma`` (first layer, fully connected) or ``(c_res/H) sigma``.
    covariance : float
        Largest entry of the (patch-aggregated) covariances: M = 1 + 100 times it.
    mean : float
        Largest ``|b^(h)|``: B = 1 + 100 times it.
    dual_lipschitz : float
        Lipschitz constant of ``(p, q, r) -> E[sigma(u) sigma(v)]`` in the largest entry, over the
        variances and covariances that occur; Lam_h is it times ``c_sigma`` or ``(c_res/H)^2``.

    Notes
    -----
    Source: Du (thesis 2019), Theorem 3.4, with A_h without the printed "1 +", which contradicts the remark
    after the theorem (0 for fully connected networks, 1 for ResNets).
    """
    c = constants
    M, B = 1.0 + 100.0 * covariance, 1.0 + 100.0 * mean
    slope = abs(c.value_at_zero) + c.lipschitz
    W = 1.0 + c.patch
    C_1 = math.sqrt(c.c_sigma) * slope
    if c.architecture == "fc":
        factor = dual_lipschitz * c.c_sigma * W
    else:
        branch = c.c_res / c.depth
        C = branch * slope
        factor = 1.0 + dual_lipschitz * branch**2 * W + C * B * W + C * math.sqrt(W * M)
    first = max(W * math.sqrt(1.0 + C_1**2) * M, C_1 * math.sqrt(M))
    return float(first * factor ** max(0, c.depth - 2))


def propagation_error(
    constant: float, n: int, width: int, depth: int, delta: float, pixels: int = 1
) -> float:
    """Theorem 3.4: bound on ``max_ij |S^_ij - S_ij|``, all layers: ``E sqrt(log(H n p/delta)/width)``."""
    return constant * math.sqrt(math.log(depth * n * pixels / delta) / width)


def pairwise_lambda_min(S: ArrayLike) -> float:
    """Smallest eigenvalue of all 2 x 2 principal submatrices of a covariance matrix.

    What the theory carries from layer to layer: for h >= 1 it is at least that of
    ``S^(1) - b^(1) b^(1)T`` (Lemma 3.25 with the first layer, which has no skip, taken out).

    Parameters
    ----------
    S : array_like, shape (n, n)
        Symmetric, n >= 2.

    Raises
    ------
    TypeError, ValueError
        If ``S`` is not a finite symmetric matrix or has one row only.
    """
    matrix = as_symmetric(S, "S")
    if len(matrix) < 2:
        raise ValueError("S: at least two rows are needed")
    lower = np.tril_indices(len(matrix), -1)
    p, q = matrix.diagonal()[lower[0]], matrix.diagonal()[lower[1]]
    r = matrix[lower]
    half_gap = np.hypot(0.5 * (p - q), r)
    # det / lambda_max where it is accurate: the difference of the closed form cancels.
    largest = 0.5 * (p + q) + half_gap
    with np.errstate(divide="ignore", invalid="ignore"):
        smallest = np.where(largest > 0.0, (p * q - r * r) / largest, 0.5 * (p + q) - half_gap)
    return float(smallest.min())
