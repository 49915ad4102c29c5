"""How far weights have moved: Frobenius and operator norms of differences, on the device of the weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lazygram.arrays import Float64
from lazygram.networks.backend import Backend

__all__ = ["frobenius_norm", "largest_singular_value"]

# Up to this many rows or columns LAPACK finds all singular values faster than Lanczos finds one.
_SMALL = 96
_ITERATIONS = 200


def frobenius_norm(backend: Backend, array: Any) -> float:
    """sqrt of the sum of squares, summed in float64 where the device has it."""
    return math.sqrt(backend.total(array * array))


def largest_singular_value(backend: Backend, matrix: Any, *, tolerance: float = 1e-10) -> float:
    """Operator norm of a matrix (of a vector: its length).

    Large matrices are multiplied with vectors only, where they live: Lanczos' method on A^T A from a fixed
    start, with full reorthogonalisation. It stops when the residual of the largest Ritz value shows a
    relative error of the norm below `tolerance` (float32: 1e-5).

    Parameters
    ----------
    backend : Backend
        Of the matrix.
    matrix : array, shape (m, n) or (m,)
    tolerance : float
        Bound of the relative error.

    References
    ----------
    Golub, Van Loan, Matrix Computations, section 10.4; Parlett, The symmetric eigenvalue problem, section
    4.5.
    """
    if matrix.ndim == 1:
        return frobenius_norm(backend, matrix)
    if min(matrix.shape) <= _SMALL:
        host = np.asarray(backend.to_numpy(matrix), dtype=np.float64)
        return float(np.linalg.norm(host, 2)) if np.isfinite(host).all() else np.nan
    if backend.dtype == np.float32:
        tolerance = max(tolerance, 1e-5)
    n = matrix.shape[1]
    start = np.cos(np.arange(n) ** 2 + 0.5)  # no eigenvector, and no symmetry of one
    vector: Float64 = start / np.linalg.norm(start)
    basis = np.empty((_ITERATIONS + 1, n))
    diagonal: list[float] = []
    off: list[float] = []
    value = 0.0
    for k in range(min(_ITERATIONS, n)):
        basis[k] = vector
        with np.errstate(over="ignore", invalid="ignore"):  # weights of a run that diverges
            image = backend.matmul(matrix, backend.asarray(vector))
            image = backend.to_numpy(backend.matmul(matrix.T, image)).astype(np.float64)
        if not np.isfinite(image).all():
            return np.nan
        diagonal.append(float(image @ vector))
        for _ in range(2):
            image = image - basis[: k + 1].T @ (basis[: k + 1] @ image)
        beta = float(np.linalg.norm(image))
        T = np.diag(diagonal) + np.diag(off, 1) + np.diag(off, -1)
        values, vectors = np.linalg.eigh(T)
        value = float(values[-1])
        # |A^T A y - value y| = beta |last entry|; the square root halves relative errors.
        if value <= 0.0 or 0.5 * beta * abs(float(vectors[-1, -1])) <= tolerance * value:
            break
        off.append(beta)
        vector = image / beta
    return math.sqrt(max(value, 0.0))
