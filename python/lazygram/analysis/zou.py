"""What Zou et al.'s Theorems 5.1 and 5.3 are about, measured on a deep ReLU network given as arrays.

:class:`ReLUState` holds a network at one set of weights with its features; :func:`initial_quantities`
measures Theorem 5.1 (i)-(viii) on it, :func:`region_quantities` Theorem 5.3 between it and perturbed weights,
which :func:`random_perturbation` and :func:`adversarial_perturbation` make. Every quantity is divided by
what the theorem states it in, so that it is the constant that the theorem leaves unspecified.

Normalisation: f(x) = v^T s(W_L^T ... s(W_1^T x)), W_l of shape (m_{l-1}, m_l) with N(0, 2/m_l) entries,
v = +-1, ``L_S = (1/n) sum_i l(y_i f(x_i))``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lazygram.analysis import zou_bounds as bounds
from lazygram.arrays import as_matrix, as_vector, check_positive_float, check_positive_int
from lazygram.random import seed_to_int

__all__ = [
    "InitialQuantities",
    "ReLUState",
    "RegionQuantities",
    "adversarial_perturbation",
    "gradient_norms",
    "initial_quantities",
    "random_perturbation",
    "region_quantities",
    "spectral_norm",
]

Float64Array = NDArray[np.float64]

_DENSE = 200  # below, a full decomposition is faster than iterating
_ITERATION_TOLERANCE = 1e-4  # of the squared norm


@dataclass(frozen=True)
class ReLUState:
    """A deep ReLU network at given weights, with its features and patterns on some examples.

    Attributes
    ----------
    weights : tuple of ndarray, shapes (m_{l-1}, m_l)
        W_1 .. W_L.
    v : ndarray, shape (m_L,)
        Output weights.
    features : tuple of ndarray, shapes (n, m_l)
        x_0 .. x_L, one example a row.
    preactivations : tuple of ndarray, shapes (n, m_l)
        ``x_{l-1} W_l``, l = 1..L.
    """

    weights: tuple[Float64Array, ...]
    v: Float64Array
    features: tuple[Float64Array, ...]
    preactivations: tuple[Float64Array, ...]

    @classmethod
    def at(cls, weights: Sequence[ArrayLike], v: ArrayLike, X: ArrayLike) -> ReLUState:
        """Evaluate a network.

        Parameters
        ----------
        weights : sequence of array_like, shapes (m_{l-1}, m_l)
            W_1 .. W_L.
        v : array_like, shape (m_L,)
            Output weights.
        X : array_like, shape (n, m_0)
            Examples.

        Raises
        ------
        TypeError, ValueError
            If the shapes do not fit together or an entry is not finite.
        """
        x: Float64Array = as_matrix(X, "X", dtype=np.float64)
        if not len(weights):
            raise ValueError("weights: at least one layer is needed")
        matrices: list[Float64Array] = []
        features, preactivations = [x], []
        for layer, given in enumerate(weights):
            W: Float64Array = as_matrix(given, f"weights[{layer}]", dtype=np.float64)
            if W.shape[0] != x.shape[1]:
                raise ValueError(f"weights[{layer}]: {x.shape[1]} rows are needed, got {W.shape[0]}")
            preactivations.append(x @ W)
            x = np.maximum(preactivations[-1], 0.0)
            matrices.append(W)
            features.append(x)
        output = as_vector(v, "v", x.shape[1], dtype=np.float64)
        return cls(tuple(matrices), output, tuple(features), tuple(preactivations))

    def with_weights(self, weights: Sequence[ArrayLike]) -> ReLUState:
        """Evaluate other weights on the same examples, with the same output weights."""
        return ReLUState.at(weights, self.v, self.features[0])

    @property
    def n(self) -> int:
        """Number of examples."""
        return len(self.features[0])

    @property
    def depth(self) -> int:
        """L."""
        return len(self.weights)

    @property
    def width(self) -> int:
        """m, the smallest width."""
        return min(int(W.shape[1]) for W in self.weights)

    @cached_property
    def outputs(self) -> Float64Array:
        """Predictions f(x_i), shape (n,)."""
        return np.asarray(self.features[-1] @ self.v)

    @cached_property
    def patterns(self) -> tuple[NDArray[np.bool_], ...]:
        """Sigma_l: which nodes are active (pre-activation > 0), shapes (n, m_l)."""
        return tuple(u > 0.0 for u in self.preactivations)

    @cached_property
    def backward(self) -> tuple[Float64Array, ...]:
        """``v^T prod_{r=L..l+1} Sigma_r W_r^T``, the derivative of f in x_l, l = 0..L; shapes (n, m_l)."""
        vectors = [np.broadcast_to(self.v, self.features[-1].shape)]
        for W, active in zip(reversed(self.weights), reversed(self.patterns), strict=True):
            vectors.append((vectors[-1] * active) @ W.T)
        return tuple(reversed(vectors))


def spectral_norm(matrix: Float64Array) -> float:
    """Largest singular value: dense for small matrices, else by Lanczos iteration to a relative 5e-5."""
    if min(matrix.shape) <= _DENSE:
        return float(np.linalg.norm(matrix, 2))
    if not matrix.any():
        return 0.0
    return _lanczos_norm([matrix], [])


def _lanczos_norm(matrices: Sequence[Float64Array], masks: Sequence[NDArray[np.bool_]]) -> float:
    """Norm of ``x -> W_b^T D_{b-1} W_{b-1}^T ... D_a W_a^T x`` without forming the product."""

    def forward(x: Float64Array) -> Float64Array:
        for k, W in enumerate(matrices):
            x = x @ W
            if k < len(masks):
                x = x * masks[k]
        return x

    def adjoint(x: Float64Array) -> Float64Array:
        for k in range(len(matrices) - 1, -1, -1):
            if k < len(masks):
                x = x * masks[k]
            x = matrices[k] @ x
        return x

    size = matrices[0].shape[0]
    if size <= _DENSE:
        return math.sqrt(
            max(0.0, float(np.linalg.norm(np.array([adjoint(forward(e)) for e in np.eye(size)]), 2)))
        )
    # Imported here: `import lazygram` does without it.
    from scipy.sparse.linalg import LinearOperator, eigsh

    square = LinearOperator((size, size), matvec=lambda x: adjoint(forward(np.ravel(x))), dtype=np.float64)
    # A fixed start, so that the same network gives the same digits.
    start = np.random.default_rng(0).standard_normal(size)
    value = eigsh(square, k=1, which="LA", v0=start, tol=_ITERATION_TOLERANCE, return_eigenvectors=False)
    return math.sqrt(max(0.0, float(value[0])))


# --- Theorem 5.1: the initial network --------------------------------------------------------------


@dataclass(frozen=True)
class InitialQuantities:
    """Theorem 5.1 on one initial network; arrays have one entry per layer where they say so.

    Attributes
    ----------
    norm_deviation : ndarray, shape (L,)
        (i) ``max_i ||x_l,i| - 1|``.
    weight_norms : ndarray, shape (L,)
        (i) ``|W_l|_2``: about ``sqrt(2) (1 + sqrt(m_{l-1}/m_l))``.
    separation : ndarray, shape (L + 1,)
        (ii) smallest ``|x_l,i/|x_l,i| - x_l,j/|x_l,j||`` over pairs of different labels, l = 0..L; inf if
        there are none.
    output_max, output_std : float
        (iii) Largest ``|f(x_i)|`` and root mean square over the examples.
    small_counts : ndarray, shape (L,)
        (iv) ``max_i #{j : |<w_l,j, x_l-1,i>| <= beta} / (m_l^{3/2} beta)``; 2 is the theorem's bound and
        1/sqrt(pi) the expectation for norm 1 and small beta.
    product_norm : float
        (v) ``max |W_b^T prod_{r=a..b-1} Sigma_r W_r^T|_2 / L`` over a < b and the examples looked at; nan
        with one layer.
    sparse_sup : ndarray, shape (L, sparsities)
        (vi) ``max_i sup v^T (prod_{r=l..L} Sigma_r W_r^T) a / (L sqrt(s log M))`` over s-sparse unit a.
    node_fraction : ndarray, shape (draws,)
        (viii) Share of the last layer's nodes whose gradient
        ``|(1/n) sum_i a_i y_i sigma'(<w_j, x_i>) x_{L-1,i}|`` is at least `node_threshold` times
        ``max(a)/n``, for random a >= 0.
    beta : float
    sparsities : tuple of int
    node_threshold : float
        The settings.
    """

    norm_deviation: Float64Array
    weight_norms: Float64Array
    separation: Float64Array
    output_max: float
    output_std: float
    small_counts: Float64Array
    product_norm: float
    sparse_sup: Float64Array
    node_fraction: Float64Array
    beta: float
    sparsities: tuple[int, ...]
    node_threshold: float


def initial_quantities(
    state: ReLUState,
    y: ArrayLike,
    *,
    beta: float | None = None,
    sparsities: Sequence[int] = (1, 16, 64),
    examples: int | None = None,
    node_threshold: float = 0.1,
    node_draws: int = 20,
    seed: int | np.random.Generator = 0,
) -> InitialQuantities:
    """Measure Theorem 5.1 (i)-(viii) on an initial network.

    Parameters
    ----------
    state : ReLUState
        At the initial weights.
    y : array_like, shape (n,)
        Labels, +-1.
    beta : float, optional
        Threshold of (iv); ``0.1/sqrt(m)`` by default.
    sparsities : sequence of int
        s of (vi); values above m_{l-1} count as m_{l-1}.
    examples : int, optional
        For the norms of products (v), the first that many examples; all by default.
    node_threshold : float, default 0.1
        C' of (viii).
    node_draws : int, default 20
        Random vectors a for (viii), entries uniform in [0, 1).
    seed : int or numpy.random.Generator
        Of these vectors.

    Returns
    -------
    InitialQuantities

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong shape or range.
    """
    labels = _labels(y, state.n)
    threshold = check_positive_float(0.1 / math.sqrt(state.width) if beta is None else beta, "beta")
    chosen = tuple(check_positive_int(s, "sparsities") for s in sparsities)
    looked_at = state.n if examples is None else min(state.n, check_positive_int(examples, "examples"))
    draws = check_positive_int(node_draws, "node_draws")
    level = check_positive_float(node_threshold, "node_threshold")
    rng = np.random.default_rng(seed_to_int(seed))

    norms = [np.linalg.norm(x, axis=1) for x in state.features]
    counts = []
    for u in state.preactivations:
        m = u.shape[1]
        counts.append(int((np.abs(u) <= threshold).sum(axis=1).max()) / (m**1.5 * threshold))
    fractions = [_node_fraction(state, labels * rng.random(state.n), level) for _ in range(draws)]
    return InitialQuantities(
        norm_deviation=np.array([np.abs(norm - 1.0).max() for norm in norms[1:]]),
        weight_norms=np.array([spectral_norm(W) for W in state.weights]),
        separation=np.array([_separation(x, labels) for x in state.features]),
        output_max=float(np.abs(state.outputs).max()),
        output_std=float(np.sqrt(np.mean(state.outputs**2))),
        small_counts=np.array(counts),
        product_norm=_product_norm(state, looked_at),
        sparse_sup=_sparse_sup(state, chosen),
        node_fraction=np.array(fractions),
        beta=threshold,
        sparsities=chosen,
        node_threshold=level,
    )


def _labels(y: ArrayLike, n: int) -> Float64Array:
    labels: Float64Array = as_vector(y, "y", n, dtype=np.float64)
    wrong = np.flatnonzero(np.abs(labels) != 1.0)
    if wrong.size:
        raise ValueError(f"y: labels -1 and +1 are needed, got {labels[wrong[0]]} at {int(wrong[0])}")
    return labels


def _separation(x: Float64Array, labels: Float64Array) -> float:
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    positive, negative = unit[labels > 0], unit[labels < 0]
    if not len(positive) or not len(negative):
        return math.inf
    return float(np.linalg.norm(positive[:, None, :] - negative[None, :, :], axis=2).min())


def _product_norm(state: ReLUState, examples: int) -> float:
    largest = math.nan
    for first in range(state.depth - 1):
        for last in range(first + 1, state.depth):
            for i in range(examples):
                masks = [active[i] for active in state.patterns[first:last]]
                norm = _lanczos_norm(state.weights[first : last + 1], masks)
                largest = np.fmax(largest, norm)
    return float(largest) / state.depth


def _sparse_sup(state: ReLUState, sparsities: tuple[int, ...]) -> Float64Array:
    M = max(W.shape[1] for W in state.weights)
    table = np.empty((state.depth, len(sparsities)))
    for layer in range(state.depth):
        # A linear form over s-sparse unit vectors: the norm of its s largest entries.
        squares = np.sort(state.backward[layer] ** 2, axis=1)[:, ::-1]
        for k, s in enumerate(sparsities):
            largest = math.sqrt(float(squares[:, :s].sum(axis=1).max()))
            table[layer, k] = largest / (state.depth * math.sqrt(s * math.log(M)))
    return table


def _node_fraction(state: ReLUState, signed: Float64Array, level: float) -> float:
    """Share of nodes with a gradient of at least ``level max|signed| / n``; `signed` is a_i y_i."""
    x = state.features[-2]
    S = signed[:, None] * state.patterns[-1]
    # |sum_i s_ij x_i|^2 for every node j through the Gram matrix of the features.
    squares = np.einsum("ij,ij->j", S, (x @ x.T) @ S)
    return float(np.mean(np.sqrt(np.maximum(squares, 0.0)) >= level * np.abs(signed).max()))


# --- Theorem 5.3: the perturbation region ----------------------------------------------------------


def random_perturbation(
    state: ReLUState, tau: float, seed: int | np.random.Generator = 0
) -> list[Float64Array]:
    """Weights with a Gaussian direction of operator norm `tau` added to every layer.

    Parameters
    ----------
    state : ReLUState
        The centre.
    tau : float
        ``|W~_l - W_l|_2``.
    seed : int or numpy.random.Generator
        Of the direction.

    Returns
    -------
    list of ndarray, shapes (m_{l-1}, m_l)
    """
    radius = check_positive_float(tau, "tau")
    rng = np.random.default_rng(seed_to_int(seed))
    moved = []
    for W in state.weights:
        direction = rng.standard_normal(W.shape)
        moved.append(W + (radius / spectral_norm(direction)) * direction)
    return moved


def adversarial_perturbation(state: ReLUState, tau: float, example: int = 0) -> list[Float64Array]:
    """Weights whose first layer is moved by a rank-one matrix that flips as many nodes as `tau` allows.

    The smallest pre-activations z_j of one example are turned over, ``-2^-20`` of each beyond 0, until
    ``sum_j z_j^2`` reaches ``tau^2 |x|^2``: no perturbation of the first layer of that operator norm flips
    more nodes of the example, up to that 2^-20. About ``(3/pi)^{1/3} m tau^{2/3}`` of them.

    Parameters
    ----------
    state : ReLUState
        The centre.
    tau : float
        Operator norm of the perturbation of layer 1; the other layers stay.
    example : int, default 0
        The example whose pattern is attacked.

    Returns
    -------
    list of ndarray, shapes (m_{l-1}, m_l)
    """
    radius = check_positive_float(tau, "tau")
    if not 0 <= example < state.n:
        raise ValueError(f"example: must be in 0..{state.n - 1}, got {example}")
    x, z = state.features[0][example], state.preactivations[0][example]
    beyond = 1.0 + 2.0**-20
    order = np.argsort(np.abs(z))
    spent = np.cumsum((beyond * z[order]) ** 2)
    squared = float(x @ x)
    flipped = order[: int(np.searchsorted(spent, radius**2 * squared, side="right"))]
    change = np.zeros_like(z)
    change[flipped] = -beyond * z[flipped]
    return [state.weights[0] + np.outer(x, change) / squared, *state.weights[1:]]


@dataclass(frozen=True)
class RegionQuantities:
    """Theorem 5.3 between a centre W and perturbed weights W~.

    Attributes
    ----------
    tau : float
        ``max_l |W~_l - W_l|_2``, measured.
    weight_norm : float
        (i) ``max_l |W~_l|_2``.
    lipschitz : ndarray, shape (L,)
        (ii) ``max_i |x~_l,i - x_l,i| / sum_{r<=l} |W~_r - W_r|_2``, nan before the first layer that moved;
        the theorem bounds it by C L.
    pattern_change : ndarray, shape (L,)
        (iii) ``max_i`` share of nodes whose activation differs, over ``tau^{2/3}``; C L^{4/3} in the theorem.
    touched : float
        (iv) Share of the last layer's nodes that differ for some example, over ``n tau^{2/3}``.
    gradient_floor : float
        (vii) ``|grad_{W_L}|_F^2`` at W~ over ``(m phi/n^5) (sum_i |l'_i|)^2``.
    gradient_ceiling : float
        (viii) ``max_l |grad_{W_l}|_2`` at W~ over ``(L^2 sqrt(m)/n) sum_i |l'_i|``.
    """

    tau: float
    weight_norm: float
    lipschitz: Float64Array
    pattern_change: Float64Array
    touched: float
    gradient_floor: float
    gradient_ceiling: float


def region_quantities(
    centre: ReLUState, perturbed: ReLUState, y: ArrayLike, slopes: ArrayLike, separation: float
) -> RegionQuantities:
    """Measure Theorem 5.3 at weights near a centre.

    Parameters
    ----------
    centre, perturbed : ReLUState
        The same examples and output weights.
    y : array_like, shape (n,)
        Labels, +-1.
    slopes : array_like, shape (n,)
        ``l'(y_i f_{W~}(x_i))``, not all 0.
    separation : float
        phi.

    Returns
    -------
    RegionQuantities

    Raises
    ------
    TypeError, ValueError
        If the states do not belong together or an argument has the wrong shape or range.
    """
    shapes = [W.shape for W in centre.weights]
    if shapes != [W.shape for W in perturbed.weights] or centre.n != perturbed.n:
        raise ValueError("perturbed: must have the layers and examples of centre")
    labels, phi = _labels(y, centre.n), check_positive_float(separation, "separation")
    l_prime: Float64Array = as_vector(slopes, "slopes", centre.n, dtype=np.float64)
    slope_sum = float(np.abs(l_prime).sum())
    if slope_sum == 0.0:
        raise ValueError("slopes: all are 0, the gradient vanishes")
    pairs = zip(centre.weights, perturbed.weights, strict=True)
    moved = np.array([spectral_norm(new - old) for old, new in pairs])
    tau = float(moved.max())
    if tau == 0.0:
        raise ValueError("perturbed: has the weights of centre")
    reach = np.cumsum(moved)
    shifts = np.array(
        [
            np.linalg.norm(new - old, axis=1).max()
            for old, new in zip(centre.features[1:], perturbed.features[1:], strict=True)
        ]
    )
    flips = [old != new for old, new in zip(centre.patterns, perturbed.patterns, strict=True)]
    norms, frobenius = gradient_norms(perturbed, labels * l_prime)
    n, m, L = centre.n, centre.width, centre.depth
    return RegionQuantities(
        tau=tau,
        weight_norm=max(spectral_norm(W) for W in perturbed.weights),
        lipschitz=np.where(reach > 0.0, shifts, np.nan) / np.where(reach > 0.0, reach, 1.0),
        pattern_change=np.array([flip.mean(axis=1).max() for flip in flips]) / tau ** (2.0 / 3.0),
        touched=float(flips[-1].any(axis=0).mean()) / (n * tau ** (2.0 / 3.0)),
        gradient_floor=float(frobenius[-1]) ** 2 / bounds.gradient_floor(n, m, phi, slope_sum),
        gradient_ceiling=float(norms.max()) / bounds.gradient_ceiling(n, m, L, slope_sum),
    )


def gradient_norms(state: ReLUState, signed_slopes: ArrayLike) -> tuple[Float64Array, Float64Array]:
    """Operator and Frobenius norms of the gradients of ``(1/n) sum_i l(y_i f(x_i))`` in W_1 .. W_L.

    Parameters
    ----------
    state : ReLUState
        Where the gradient is taken.
    signed_slopes : array_like, shape (n,)
        ``y_i l'(y_i f(x_i))``.

    Returns
    -------
    operator, frobenius : ndarray, shape (L,)
        Through thin QR factors of the rank-n gradients, which are never formed.
    """
    rho: Float64Array = as_vector(signed_slopes, "signed_slopes", state.n, dtype=np.float64) / state.n
    operator, frobenius = [], []
    for layer in range(state.depth):
        # grad = sum_i rho_i x_{l-1,i} (g_l,i Sigma_l,i)^T = A^T B, with A and B of n rows.
        A = rho[:, None] * state.features[layer]
        B = state.backward[layer + 1] * state.patterns[layer]
        product = _triangle(A) @ _triangle(B).T
        operator.append(float(np.linalg.norm(product, 2)))
        frobenius.append(float(np.linalg.norm(product)))
    return np.array(operator), np.array(frobenius)


def _triangle(A: Float64Array) -> Float64Array:
    """R of ``A^T = Q R``: norms of products with A^T are those with R."""
    return np.asarray(np.linalg.qr(A.T, mode="r"))
