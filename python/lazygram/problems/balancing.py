"""What gradient flow conserves in homogeneous networks: balance of neurons, layers and shared weights.

Du (2019), thesis, Section 4.2 (Du, Hu, Lee 2018). A network is ``f^(1) = W_1 x``,
``f^(h) = W_h s_{h-1}(f^(h-1))`` with positively homogeneous s: ReLU, leaky ReLU, identity. The functions here
take plain lists of weights and of the loss's gradients; that the *identities* vanish holds at every parameter
value and for every differentiable loss, and is why the *balances* are constant under gradient flow. With
shared or missing weights, ``W_h[i, j] = v_h[map_h[i, j]]``, those of whole layers hold, for the vectors v_h.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from lazygram.arrays import as_matrix, check_positive_int

__all__ = [
    "HomogeneousNetwork",
    "convolution_map",
    "layer_balance",
    "layer_identity",
    "linear_balance",
    "linear_identity",
    "neuron_balance",
    "neuron_change",
    "neuron_identity",
    "sparse_map",
]

Float64Array: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]
Arrays: TypeAlias = Sequence[Float64Array]
LossOfOutputs: TypeAlias = Callable[[Float64Array], tuple[float, Float64Array]]


def neuron_balance(weights: Arrays) -> list[Float64Array]:
    """``|W_h[i, :]|^2 - |W_{h+1}[:, i]|^2`` of every hidden neuron, one array for each hidden layer.

    Parameters
    ----------
    weights : sequence of ndarray
        W_1, ..., W_H, of shapes (m_h, m_{h-1}).

    Raises
    ------
    ValueError
        If the shapes do not fit each other.
    """
    layers = _chain(weights)
    return [np.asarray((low**2).sum(axis=1) - (high**2).sum(axis=0)) for low, high in pairwise(layers)]


def layer_balance(weights: Arrays) -> Float64Array:
    """``|W_h|_F^2 - |W_{h+1}|_F^2``, shape (H - 1,); with shared weights of the vectors v_h."""
    squares = np.array([np.vdot(w, w) for w in weights])
    return np.asarray(squares[:-1] - squares[1:])


def linear_balance(low: Float64Array, high: Float64Array) -> Float64Array:
    """``W_h W_h^T - W_{h+1}^T W_{h+1}``, constant where the activation between the two is the identity."""
    return np.asarray(low @ low.T - high.T @ high)


def neuron_identity(weights: Arrays, gradients: Arrays) -> list[Float64Array]:
    """``sum_j W_h[i, j] g_h[i, j] - sum_k W_{h+1}[k, i] g_{h+1}[k, i]``: 0 for every hidden neuron.

    Parameters
    ----------
    weights, gradients : sequence of ndarray
        W_1..W_H and ``g_h = dL / dW_h``.

    Returns
    -------
    list of ndarray
        One for each hidden layer.
    """
    layers, slopes = _chain(weights), _alike(weights, gradients)
    products = [w * g for w, g in zip(layers, slopes, strict=True)]
    return [np.asarray(low.sum(axis=1) - high.sum(axis=0)) for low, high in pairwise(products)]


def layer_identity(weights: Arrays, gradients: Arrays) -> Float64Array:
    """``<W_h, g_h> - <W_{h+1}, g_{h+1}>``, shape (H - 1,): 0; with shared weights for ``<v_h, dL/dv_h>``."""
    inner = np.array([np.vdot(w, g) for w, g in zip(weights, _alike(weights, gradients), strict=True)])
    return np.asarray(inner[:-1] - inner[1:])


def linear_identity(weights: Arrays, gradients: Arrays, layer: int) -> Float64Array:
    """``W_{h+1}^T g_{h+1} - g_h W_h^T``: 0 where the activation after layer h = 1, 2, ... is the identity.

    Raises
    ------
    ValueError
        If there is no such pair of layers.
    """
    h = check_positive_int(layer, "layer")
    layers, slopes = _chain(weights), _alike(weights, gradients)
    if h >= len(layers):
        raise ValueError(f"layer: must be below the number of layers {len(layers)}, got {h}")
    return np.asarray(layers[h].T @ slopes[h] - slopes[h - 1] @ layers[h - 1].T)


def neuron_change(gradients: Arrays, step_size: float) -> list[Float64Array]:
    """Exact change of :func:`neuron_balance` in a step of gradient descent.

    ``eta^2 (|g_h[i, :]|^2 - |g_{h+1}[:, i]|^2)``: of second order, so that the drift until a fixed time is
    O(eta).
    """
    return [step_size**2 * change for change in neuron_balance(gradients)]


class HomogeneousNetwork:
    """A homogeneous network with data and a loss, as a function of its weights.

    Parameters
    ----------
    X : array_like, shape (n, d)
        Inputs.
    loss : callable or array_like of shape (n, p)
        ``loss(outputs) -> (value, d value / d outputs)`` for outputs (n, p); or the labels of the quadratic
        loss ``sum |f(x_i) - y_i|^2 / (2 n)``.
    slopes : sequence of float
        Of the H - 1 activations for negative arguments: 0 ReLU, 1 identity, between them leaky ReLU. At 0 the
        derivative is 1.
    maps : sequence of (ndarray of int, or None), optional
        For each layer the indices of its shared weights: shape (m_h, m_{h-1}), 0 where there is no
        connection, k for entry k - 1 of the vector v_h. None: every weight its own.

    Raises
    ------
    ValueError
        If shapes or indices do not fit.

    Notes
    -----
    An objective: value and gradient at any list of weights, for the optimisers, in NumPy alone as all of
    ``problems``. :class:`lazygram.networks.SparseNetwork` has the same layers as a network that holds its
    weights, on any array library, with Gram matrices and training; the tests hold one against the other.
    """

    def __init__(
        self,
        X: npt.ArrayLike,
        loss: LossOfOutputs | npt.ArrayLike,
        slopes: Sequence[float],
        maps: Sequence[IntArray | None] | None = None,
    ) -> None:
        self.X: Float64Array = as_matrix(X, "X", dtype=np.float64)
        self.slopes = tuple(float(slope) for slope in slopes)
        if callable(loss):
            self._loss: LossOfOutputs = loss
        else:
            self._loss = _quadratic(as_matrix(loss, "loss", dtype=np.float64))
        layers = len(self.slopes) + 1
        self.maps: list[IntArray | None] = [None] * layers if maps is None else list(maps)
        if len(self.maps) != layers:
            raise ValueError(f"maps: one per layer ({layers}) is needed, got {len(self.maps)}")
        for h, places in enumerate(self.maps):
            if places is not None and (places.ndim != 2 or places.min() < 0):
                raise ValueError(f"maps: that of layer {h + 1} must be a matrix of indices >= 0")

    def matrices(self, weights: Arrays) -> list[Float64Array]:
        """The weights as matrices W_h, with shared ones put in their places."""
        if len(weights) != len(self.maps):
            raise ValueError(f"weights: {len(self.maps)} arrays are needed, got {len(weights)}")
        made = []
        for h, (values, places) in enumerate(zip(weights, self.maps, strict=True)):
            if places is None:
                made.append(values)
            elif values.shape != (places.max(),):
                raise ValueError(f"weights: layer {h + 1} needs shape ({places.max()},), got {values.shape}")
            else:
                made.append(np.append(0.0, values)[places])
        return _chain(made)

    def value(self, weights: Arrays) -> float:
        """The loss."""
        return self._loss(self._forward(self.matrices(weights))[-1])[0]

    def gradient(self, weights: Arrays) -> tuple[Float64Array, ...]:
        """Gradients with respect to the weights, of their shapes."""
        matrices = self.matrices(weights)
        fields = self._forward(matrices)
        delta = self._loss(fields[-1])[1]
        gradients: list[Float64Array] = []
        for h in range(len(matrices) - 1, -1, -1):
            below = self.X if h == 0 else self._activate(fields[h - 1], self.slopes[h - 1])
            gradients.append(self._gather(delta.T @ below, h))
            if h > 0:
                slope = np.where(fields[h - 1] >= 0, 1.0, self.slopes[h - 1])
                delta = (delta @ matrices[h]) * slope
        return tuple(reversed(gradients))

    def _forward(self, matrices: Arrays) -> list[Float64Array]:
        """f^(1), ..., f^(H), each (n, m_h)."""
        fields = [self.X @ matrices[0].T]
        for matrix, slope in zip(matrices[1:], self.slopes, strict=True):
            fields.append(self._activate(fields[-1], slope) @ matrix.T)
        return fields

    @staticmethod
    def _activate(z: Float64Array, slope: float) -> Float64Array:
        return np.asarray(np.where(z >= 0, z, slope * z))

    def _gather(self, gradient: Float64Array, layer: int) -> Float64Array:
        places = self.maps[layer]
        if places is None:
            return gradient
        sums = np.bincount(places.ravel(), gradient.ravel(), minlength=int(places.max()) + 1)
        return np.asarray(sums[1:], dtype=np.float64)


def convolution_map(length: int, inputs: int, outputs: int, patch: int) -> IntArray:
    """Shared weights of a one-dimensional convolution with stride 1 and zero padding.

    Parameters
    ----------
    length, inputs, outputs : int
        Pixels and channels; vectors are channel-major.
    patch : int
        Odd number of pixels in a patch.

    Returns
    -------
    ndarray of int64, shape (outputs * length, inputs * length)
        For :class:`HomogeneousNetwork`: indices 1..outputs * inputs * patch.

    Raises
    ------
    ValueError
        If `patch` is even.
    """
    size = check_positive_int(patch, "patch")
    if size % 2 == 0:
        raise ValueError(f"patch: must be odd, got {size}")
    offset = np.arange(length)[None, :] - np.arange(length)[:, None] + size // 2
    inside = (offset >= 0) & (offset < size)
    channel = (np.arange(outputs)[:, None] * inputs + np.arange(inputs)) * size + 1
    places = np.where(inside[None, :, None, :], channel[:, None, :, None] + offset[None, :, None, :], 0)
    return np.asarray(places.reshape(outputs * length, inputs * length), dtype=np.int64)


def sparse_map(rows: int, columns: int, density: float, *, seed: int | np.random.Generator = 0) -> IntArray:
    """Connections kept at random with probability `density`, each with a weight of its own.

    Returns
    -------
    ndarray of int64, shape (rows, columns)
        At least one connection.
    """
    if not 0.0 < density <= 1.0:
        raise ValueError(f"density: must be in (0, 1], got {density}")
    kept = np.random.default_rng(seed).random((rows, columns)) < density
    kept.flat[0] |= not kept.any()
    return np.where(kept, np.cumsum(kept).reshape(kept.shape), 0)


def _quadratic(labels: Float64Array) -> LossOfOutputs:
    def loss(outputs: Float64Array) -> tuple[float, Float64Array]:
        residual = outputs - labels
        return float(0.5 * np.vdot(residual, residual) / len(labels)), residual / len(labels)

    return loss


def _chain(weights: Arrays) -> list[Float64Array]:
    layers = [np.asarray(w) for w in weights]
    if not layers or any(w.ndim != 2 for w in layers):
        raise ValueError("weights: matrices are needed, at least one")
    for low, high in pairwise(layers):
        if high.shape[1] != low.shape[0]:
            raise ValueError(f"weights: shapes {low.shape} and {high.shape} do not follow each other")
    return layers


def _alike(weights: Arrays, gradients: Arrays) -> list[Float64Array]:
    slopes = [np.asarray(g) for g in gradients]
    if [g.shape for g in slopes] != [np.shape(w) for w in weights]:
        raise ValueError("gradients: must have the shapes of the weights")
    return slopes
