"""Landscape of networks with one wide hidden layer: rank of its features, minimum over the readout, descent.

Essay on the landscape of wide networks (Yu and Chen 1995; Nguyen and Hein 2017): with at least as many
hidden units as examples the features have full rank for almost all weights, and no local minimum is bad.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

from lazygram.arrays import as_matrix, check_positive_int

__all__ = ["Stationary", "TwoLayerSigmoid", "features", "rank_of", "readout_minimum"]

Float64Array: TypeAlias = npt.NDArray[np.float64]


def features(
    W: npt.ArrayLike, X: npt.ArrayLike, activation: Literal["sigmoid", "relu"] = "sigmoid"
) -> Float64Array:
    """``F_1 = s(X W^T)``, shape (..., n, width).

    Parameters
    ----------
    W : array_like, shape (..., width, d)
        Hidden weights; leading axes count draws.
    X : array_like, shape (..., n, d)
        Inputs.
    activation : {"sigmoid", "relu"}

    Raises
    ------
    ValueError
        If `activation` is another.
    """
    fields = np.asarray(X, dtype=np.float64) @ np.swapaxes(np.asarray(W, dtype=np.float64), -1, -2)
    if activation == "sigmoid":
        return np.asarray(expit(fields))
    if activation == "relu":
        return np.asarray(np.maximum(fields, 0.0))
    raise ValueError(f"activation: must be sigmoid or relu, got {activation!r}")


def rank_of(F: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Numerical rank: singular values above ``max(shape) eps`` times the largest; shape (...)."""
    return np.asarray(np.linalg.matrix_rank(np.asarray(F, dtype=np.float64)), dtype=np.int64)


def readout_minimum(F: npt.ArrayLike, Y: npt.ArrayLike) -> float:
    """``min over W_2 of |Y - F W_2^T|_F^2 / 2``: 0 for all Y if and only if F has rank n.

    Parameters
    ----------
    F : array_like, shape (n, width)
    Y : array_like, shape (n, outputs)
    """
    design, labels = as_matrix(F, "F", dtype=np.float64), as_matrix(Y, "Y", dtype=np.float64)
    solution = np.linalg.lstsq(design, labels, rcond=None)[0]
    return float(0.5 * ((labels - design @ solution) ** 2).sum())


@dataclass(frozen=True)
class Stationary:
    """Where a descent ended.

    Attributes
    ----------
    value : float
        The loss.
    gradient_norm : float
        Largest entry of the gradient.
    iterations : int
    """

    value: float
    gradient_norm: float
    iterations: int


class TwoLayerSigmoid:
    """``L(W, a) = sum_i (sum_r a_r s(w_r . x_i) - y_i)^2 / 2`` with both layers free, s the sigmoid.

    Parameters
    ----------
    X : array_like, shape (n, d)
    y : array_like, shape (n,)
    width : int
        Hidden units. Points are vectors: W row by row, then a.
    """

    def __init__(self, X: npt.ArrayLike, y: npt.ArrayLike, width: int) -> None:
        self.X: Float64Array = as_matrix(X, "X", dtype=np.float64)
        self.y = np.asarray(y, dtype=np.float64)
        if self.y.shape != (len(self.X),):
            raise ValueError(f"y: shape ({len(self.X)},) is needed, got {self.y.shape}")
        self.width = check_positive_int(width, "width")
        self.size = self.width * (self.X.shape[1] + 1)

    def value_and_gradient(self, point: Float64Array) -> tuple[float, Float64Array]:
        """Loss and gradient (a vector)."""
        W, a = point[: -self.width].reshape(self.width, -1), point[-self.width :]
        F = expit(self.X @ W.T)
        residual = F @ a - self.y
        to_W = ((residual[:, None] * a) * F * (1.0 - F)).T @ self.X
        return 0.5 * float(residual @ residual), np.concatenate([to_W.ravel(), F.T @ residual])

    def descend(self, start: Float64Array, *, iterations: int = 20000, tolerance: float = 1e-9) -> Stationary:
        """L-BFGS until no entry of the gradient exceeds `tolerance`, or it cannot go on."""
        found = minimize(
            self.value_and_gradient,
            start,
            jac=True,
            method="L-BFGS-B",
            options={
                "maxiter": iterations,
                "maxfun": 2 * iterations,
                "gtol": tolerance,
                "ftol": 0.0,
                "maxcor": 30,
            },
        )
        slope = self.value_and_gradient(found.x)[1]
        return Stationary(float(found.fun), float(np.abs(slope).max()), int(found.nit))
