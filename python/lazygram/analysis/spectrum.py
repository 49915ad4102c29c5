"""Extreme eigenvalues of a symmetric matrix, and a proven lower bound on the smallest one.

Two kinds of numbers come out of this file and they must not be confused:

* :func:`eigenvalues`, :func:`lambda_min`, :func:`lambda_max` and :func:`operator_norm` are LAPACK's
  approximations, good to a small multiple of ``n * eps * |A|_2`` but on either side of the truth;
* :func:`certified_lambda_min` is never above the smallest eigenvalue, rounding included, so
  ``certified_lambda_min(H) > 0`` proves that ``H`` is positive definite.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from fractions import Fraction
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray

from lazygram.arrays import as_matrix
from lazygram.parallel import single_threaded_blas

__all__ = [
    "as_symmetric",
    "certified_lambda_min",
    "eigenvalues",
    "gram_spectrum",
    "lambda_max",
    "lambda_min",
    "operator_norm",
]

Float64Array = NDArray[np.float64]

# Unit roundoff of float64 and its smallest normal number, as exact rationals. The latter bounds the
# absolute error of one operation that underflows, even when subnormals are flushed to zero.
_UNIT = Fraction(1, 1 << 53)
_TINY = Fraction(1, 1 << 1022)

_ONE_BLAS_THREAD = 1000


def as_symmetric(A: ArrayLike, name: str = "A") -> Float64Array:
    """Check that a matrix is finite, square and symmetric up to rounding.

    Parameters
    ----------
    A : array_like, shape (n, n)
        Real matrix, ``n >= 1``.
    name : str
        Name of the argument in error messages.

    Returns
    -------
    ndarray, shape (n, n), float64
        The matrix, not symmetrised: everything here reads its lower triangle only.

    Raises
    ------
    TypeError
        If the entries are not real numbers.
    ValueError
        If ``A`` is not square, is empty, has a non-finite entry, or if ``max|A - A.T|`` exceeds
        ``1000 eps max|A|``, eps being that of float32 for a float32 matrix, else of float64.
    """
    kept = as_matrix(A, name)
    if kept.shape[0] != kept.shape[1]:
        raise ValueError(f"{name}: a square matrix is needed, got shape {kept.shape}")
    matrix = np.asarray(kept, dtype=np.float64)
    allowed = 1000.0 * float(np.finfo(kept.dtype).eps)
    # Halves, so that entries near the largest float64 cannot overflow in the difference.
    gap = 2.0 * float(np.abs(0.5 * matrix - 0.5 * matrix.T).max())
    largest = float(np.abs(matrix).max())
    if gap > allowed * largest:
        raise ValueError(
            f"{name}: is not symmetric, max|{name} - {name}.T| = {gap:.3g} with largest entry "
            f"{largest:.3g}; rounding explains a ratio of at most {allowed:.3g}"
        )
    return matrix


def eigenvalues(A: ArrayLike) -> Float64Array:
    """All eigenvalues of a symmetric matrix, ascending.

    Parameters
    ----------
    A : array_like, shape (n, n)
        Symmetric up to rounding; its lower triangle is used.

    Returns
    -------
    ndarray, shape (n,), float64
        Computed in float64 whatever the dtype of ``A``; absolute error a small multiple of
        ``n * eps * |A|_2``.

    Raises
    ------
    TypeError, ValueError
        As :func:`as_symmetric`.
    """
    return _eigvalsh(as_symmetric(A))


def _eigvalsh(matrix: Float64Array, index: int | None = None) -> Float64Array:
    """All eigenvalues, or the one of that index."""
    chosen = None if index is None else [index, index]
    # Small problems gain little from BLAS threads, and lose a multiple of their time to waiting when other
    # work is running.
    threads = single_threaded_blas() if len(matrix) <= _ONE_BLAS_THREAD else nullcontext()
    with threads:
        values = scipy.linalg.eigvalsh(matrix, lower=True, check_finite=False, subset_by_index=chosen)
    return np.asarray(values, dtype=np.float64)


def gram_spectrum(K: ArrayLike, name: str = "K") -> tuple[float, float]:
    """Smallest and largest eigenvalue of a Gram matrix, the smallest 0 where rounding could have made it.

    Parameters
    ----------
    K : array_like, shape (n, n)
        Symmetric positive semi-definite up to rounding of its own dtype.
    name : str
        Name of the argument in error messages.

    Returns
    -------
    lambda_min, lambda_max : float
        Neither is negative.

    Raises
    ------
    TypeError, ValueError
        As :func:`as_symmetric`, or if ``K`` has a clearly negative eigenvalue or diagonal entry.
    """
    matrix = as_symmetric(K, name)
    eps = float(np.finfo(as_matrix(K, name).dtype).eps)
    values = _eigvalsh(matrix)
    smallest, largest = float(values[0]), float(values[-1])
    # A diagonal that is negative, or off-diagonal entries too large for it: not a Gram matrix.
    if float(matrix.diagonal().min()) < 0.0 or smallest < -math.sqrt(eps) * max(largest, 0.0):
        raise ValueError(
            f"{name}: is not positive semi-definite (smallest eigenvalue {smallest:.3g}, "
            f"smallest diagonal entry {float(matrix.diagonal().min()):.3g})"
        )
    noise = matrix.shape[0] * eps * largest
    return (smallest if smallest > noise else 0.0), max(largest, 0.0)


def _one_eigenvalue(matrix: Float64Array, index: int) -> float:
    return float(_eigvalsh(matrix, index)[0])


def lambda_min(A: ArrayLike) -> float:
    """Smallest eigenvalue of a symmetric matrix, to rounding (see :func:`eigenvalues`).

    Parameters
    ----------
    A : array_like, shape (n, n)
        Symmetric up to rounding; its lower triangle is used.

    Returns
    -------
    float
        May lie on either side of the exact value; :func:`certified_lambda_min` never lies above.

    Raises
    ------
    TypeError, ValueError
        As :func:`as_symmetric`.
    """
    return _one_eigenvalue(as_symmetric(A), 0)


def lambda_max(A: ArrayLike) -> float:
    """Largest eigenvalue of a symmetric matrix, to rounding (see :func:`eigenvalues`).

    Parameters
    ----------
    A : array_like, shape (n, n)
        Symmetric up to rounding; its lower triangle is used.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        As :func:`as_symmetric`.
    """
    matrix = as_symmetric(A)
    return _one_eigenvalue(matrix, matrix.shape[0] - 1)


def operator_norm(A: ArrayLike) -> float:
    """Operator (spectral) norm ``|A|_2`` of a symmetric matrix: its largest ``|eigenvalue|``.

    Parameters
    ----------
    A : array_like, shape (n, n)
        Symmetric up to rounding, e.g. ``H(k) - H(0)``; its lower triangle is used.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        As :func:`as_symmetric`.
    """
    values = eigenvalues(A)
    return float(max(abs(values[0]), abs(values[-1])))


def certified_lambda_min(A: ArrayLike, *, entry_error: float = 0.0) -> float:
    r"""Proven lower bound on the smallest eigenvalue of a symmetric matrix.

    Parameters
    ----------
    A : array_like, shape (n, n)
        Symmetric matrix, definite or not. It is taken as exact: float16, float32, float64, bool, or
        integers up to ``2**53``. If it is symmetric only up to rounding, the matrix meant is the
        symmetric one with the lower triangle of ``A``.
    entry_error : float, default 0.0
        Number ``b`` with ``|A_ij - T_ij| <= b`` for all ``i >= j`` and a symmetric matrix ``T``.

    Returns
    -------
    float
        A number not above the smallest eigenvalue of ``T`` (of ``A`` when ``entry_error`` is 0).
        Exact for diagonal ``A`` (before ``entry_error``); otherwise in practice below the true
        value by less than ``(n + 10) eps trace(A - lambda_min I)``, for large n far less, plus
        ``n * entry_error``. ``-inf`` if the bound lies below the float64 range.

    Raises
    ------
    TypeError
        If the entries are not real or cannot be taken over into float64 exactly.
    ValueError
        As :func:`as_symmetric`, or if ``entry_error`` is negative or not finite.

    Notes
    -----
    Rump's verified Cholesky factorisation [1]_, with the error bound taken *a posteriori*. The
    matrix is first scaled by a power of two, so that its largest entry lies in [1/2, 1]. For a
    shift s a little below the approximate smallest eigenvalue put ``B = fl(A - s I)`` and let
    LAPACK factor it, ``B ~ L L^T``. Whatever LAPACK did, ``L L^T`` is positive semi-definite, so

    .. math:: \lambda_{\min}(A) \ge s - \|A - sI - B\|_2 - \|B - L L^T\|_2 .

    The first norm is at most ``u max_i |B_ii|``, u = 2**-53. For the second, ``G = fl(L L^T)`` and
    ``E = fl(B - G)`` are computed; with ``g_k = k u / (1 - k u)`` (Higham [2]_, section 3.1),

    .. math:: |B - L L^T| \le (1 + u)\,|E| + g_{n+1}\,|L|\,|L|^T + \text{underflow}

    entry by entry, for any order of summation, with or without fused multiply-add. The 2-norm of
    E is bounded by its largest absolute row or column sum. The 2-norm of ``|L||L|^T`` is at most
    its largest row sum, found as ``|L| (|L|^T 1)``, and at most its trace ``|L|_F^2``; the smaller
    is taken. These sums of non-negative numbers are inflated by their own rounding bound, and all
    constants are combined as exact fractions and rounded downwards once, at the end.

    Rump's *a priori* form, ``|B - L L^T|_2 <= g_{n+1} / (1 - g_{n+1}) trace(B)`` (Higham, Theorem
    10.3), saves the product ``L L^T`` but is proven for the textbook recursion only: library
    factorisations multiply by reciprocals of pivots and may invert diagonal blocks. The form
    used here assumes nothing of the factorisation, and of the matrix product only that it sums the
    n products of each entry, in any order (so not Strassen's method). Cost: one eigenvalue, a few
    factorisations, one product; memory about five n x n arrays.

    References
    ----------
    .. [1] S. M. Rump, "Verification of positive definiteness", BIT 46 (2006) 433-452.
    .. [2] N. J. Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., SIAM 2002,
       section 3.1 and Theorem 10.3.
    """
    matrix = as_symmetric(A)
    _check_exact(A)
    n = matrix.shape[0]
    error = float(entry_error)
    if not (math.isfinite(error) and error >= 0.0):
        raise ValueError(f"entry_error: must be finite and >= 0, got {entry_error!r}")
    # |T - A|_2 <= n max|T_ij - A_ij|
    perturbation = n * Fraction(error)

    lower = np.tril(matrix, -1)
    if not lower.any():
        return _round_down(Fraction(float(matrix.diagonal().min())) - perturbation)
    lower += lower.T.copy()
    np.fill_diagonal(lower, matrix.diagonal())
    exponent = int(np.frexp(np.abs(lower).max())[1])
    bound = _shifted_bound(np.ldexp(lower, -exponent)) * Fraction(2) ** exponent
    return _round_down(bound - perturbation)


def _check_exact(A: Any) -> None:
    """Refuse entries that float64 cannot hold, because the certificate is about ``A`` itself."""
    by_dlpack = not hasattr(A, "__array__") and hasattr(A, "__dlpack__")
    raw = np.from_dlpack(A) if by_dlpack else np.asarray(A)
    if raw.dtype.kind == "f" and raw.dtype.itemsize > 8:
        raise TypeError(f"A: dtype {raw.dtype} is wider than float64, round it and pass entry_error instead")
    if raw.dtype.kind in "iu" and raw.size and max(-int(raw.min()), int(raw.max())) > 2**53:
        raise TypeError("A: integers beyond 2**53 cannot be taken over into float64 exactly")


def _gamma(k: int) -> Fraction:
    """Higham's ``gamma_k = k u / (1 - k u)`` for float64, exact."""
    return Fraction(k, (1 << 53) - k)


def _shifted_bound(scaled: Float64Array) -> Fraction:
    """Lower bound on lambda_min of an exactly symmetric matrix with largest entry in [1/2, 1]."""
    n: int = scaled.shape[0]
    approximate = _one_eigenvalue(scaled, 0)
    # Start below the usual rounding of the two LAPACK calls, for tightness; growing by 4 must end,
    # at the latest when the shift makes the matrix diagonally dominant.
    step = 2.0 * float(_UNIT) * float(np.abs(scaled).sum(axis=1).max())
    shifted = scaled.copy()
    while True:
        shift = approximate - step
        np.fill_diagonal(shifted, scaled.diagonal() - shift)
        factor, info = scipy.linalg.lapack.dpotrf(shifted, lower=1, clean=1)
        if info == 0 and np.isfinite(factor).all():
            break
        step *= 4.0
    diagonal_rounding = _UNIT * Fraction(float(np.abs(shifted.diagonal()).max()))
    # Scaling down may have pushed entries below the normal range, the subtraction likewise.
    underflow = 2 * n * _TINY
    return Fraction(shift) - diagonal_rounding - underflow - _factor_residual(shifted, factor)


def _factor_residual(B: Float64Array, L: Float64Array) -> Fraction:
    """Upper bound on ``|B - L L^T|_2`` for a symmetric B and any L with entries below n + 2."""
    n: int = B.shape[0]
    product = np.asarray(L @ L.T)
    gap = np.abs(B - product)
    # For entrywise bounds X on a symmetric matrix: |.|_2 <= |(X + X^T)/2|_inf. The computed
    # product need not be exactly symmetric, hence rows and columns.
    gap_norm = max(float(gap.sum(axis=1).max()), float(gap.sum(axis=0).max()))
    magnitude = np.abs(L)
    # Both are upper bounds on | |L||L|^T |_2 once the rounding of their sums is allowed for.
    by_row_sum = float((magnitude @ magnitude.sum(axis=0)).max())
    by_trace = math.fsum(product.diagonal().tolist())

    # A computed sum S^ of non-negative terms obeys S <= S^ / (1 - g): n terms summed of n terms
    # summed, one product in between, hence 2 n + 2 roundings at most.
    inflate = 1 / (1 - _gamma(2 * n + 2))
    residual = (1 + _UNIT) * inflate * Fraction(gap_norm)
    rounding = _gamma(n + 1) * inflate * min(Fraction(by_row_sum), Fraction(by_trace))
    # Every product may lose up to _TINY, or (n + 2) _TINY where subnormal factors count as zero:
    # n products in an entry, n entries in a row. 8 covers the sums and second-order terms.
    underflow = 8 * n * n * (n + 2) * _TINY
    return residual + rounding + underflow


def _round_down(value: Fraction) -> float:
    """Largest float64 not above an exact rational (``-inf`` below the range)."""
    try:
        nearest = float(value)
    except OverflowError:
        # The bound is below some diagonal entry, so only the negative side can overflow.
        return -math.inf
    return nearest if Fraction(nearest) <= value else math.nextafter(nearest, -math.inf)
