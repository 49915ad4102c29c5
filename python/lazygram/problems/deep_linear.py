"""Deep linear networks: the loss of a product of matrices, and its global minimum in closed form.

Essay, the landscape of deep linear networks (Kawaguchi 2016): all local minima are global.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from lazygram.arrays import as_matrix, check_positive_int

__all__ = ["DeepLinear"]

Float64Array: TypeAlias = npt.NDArray[np.float64]


class DeepLinear:
    """``L(W_1..W_H) = |Y - X (W_H ... W_1)^T|_F^2 / 2``.

    Points are tuples (W_1, ..., W_H) of arrays (..., d_h, d_{h-1}); leading axes count starts. The examples
    enter by ``X^T X`` and ``Y^T X`` alone, so that a step costs nothing that grows with n.

    Parameters
    ----------
    X : array_like, shape (n, d_0)
    Y : array_like, shape (n, d_H)
        Inputs and labels, one example a row.

    Raises
    ------
    ValueError
        If the arrays are not finite matrices with as many rows.
    """

    def __init__(self, X: npt.ArrayLike, Y: npt.ArrayLike) -> None:
        self.X: Float64Array = as_matrix(X, "X", dtype=np.float64)
        self.Y: Float64Array = as_matrix(Y, "Y", dtype=np.float64)
        if len(self.X) != len(self.Y):
            raise ValueError(f"Y: {len(self.X)} rows are needed, got {len(self.Y)}")
        self._second, self._cross = self.X.T @ self.X, self.Y.T @ self.X

    def product(self, point: Sequence[Float64Array]) -> Float64Array:
        """``W_H ... W_1``, shape (..., d_H, d_0)."""
        return reduce(lambda below, matrix: matrix @ below, point)

    def value(self, point: Sequence[Float64Array]) -> Float64Array:
        """The loss, shape (...)."""
        residual = self.Y - self.X @ np.swapaxes(self.product(point), -1, -2)
        return np.asarray(0.5 * (residual**2).sum(axis=(-2, -1)))

    def gradient(self, point: Sequence[Float64Array]) -> tuple[Float64Array, ...]:
        """Gradients with respect to the W_h."""
        count = len(point)
        below: list[Float64Array] = [point[0]]  # W_h ... W_1
        for matrix in point[1:]:
            below.append(matrix @ below[-1])
        above = below[-1] @ self._second - self._cross  # (W_H ... W_{h+1})^T times the product's gradient
        gradients: list[Float64Array] = []
        for h in range(count - 1, -1, -1):
            gradients.append(above @ np.swapaxes(below[h - 1], -1, -2) if h > 0 else above)
            above = np.swapaxes(point[h], -1, -2) @ above
        return tuple(reversed(gradients))

    def minimum(self, bottleneck: int) -> float:
        """Global minimum if the narrowest layer has `bottleneck` units.

        ``(|Y|^2 - sum_{i <= p} s_i(Q^T Y)^2) / 2``, Q an orthonormal basis of the column space of X, s_i the
        singular values: the best approximation of rank p (Eckart, Young) of the projected labels.
        """
        p = check_positive_int(bottleneck, "bottleneck")
        left, values, _ = np.linalg.svd(self.X, full_matrices=False)
        basis = left[:, values > values[0] * max(self.X.shape) * np.finfo(float).eps]
        explained = np.linalg.svd(basis.T @ self.Y, compute_uv=False)[:p]
        return float(0.5 * ((self.Y**2).sum() - (explained**2).sum()))
