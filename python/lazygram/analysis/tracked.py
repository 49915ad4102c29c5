"""Extreme eigenvalues of a Gram matrix that moves a little at a time, by warm-started LOBPCG.

A run that records its spectrum needs three numbers of H(k) and H(k) - H(0) at every recorded step. LAPACK
takes O(n^3) for each of them. Here the vectors of the last recorded step start a block iteration, the
smallest eigenvalue with the inverse of a Cholesky factor of H(0) as preconditioner, which is nearly exact as
long as H(k) stays near H(0): a few products of n^2 a step. What does not converge is left to LAPACK.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.linalg

from lazygram.analysis.spectrum import as_symmetric, eigenvalues, operator_norm
from lazygram.arrays import Array, Float64
from lazygram.parallel import single_threaded_blas

__all__ = ["RESIDUAL", "TrackedSpectrum", "spectrum_seconds"]

RESIDUAL = 1e-4
"""An eigenpair is accepted when |A v - theta v|_2 <= RESIDUAL |theta|: an eigenvalue of A lies that near."""
_EXACT_UP_TO = 500  # examples up to which LAPACK is as fast
_BLOCK = 4
_ITERATIONS = 60
_PASS = 1.2e-9  # seconds for one entry of a matrix in one product with a block, one thread
_PASSES = 40  # products in all at a recorded step (measured while H moves fast)

Operator = Callable[[Float64], Float64]


class TrackedSpectrum:
    """Smallest and largest eigenvalue of H(k), and ||H(k) - H(0)||_2, step after step.

    Parameters
    ----------
    gram_0 : ndarray, shape (n, n)
        H(0), symmetric.
    exact : bool
        Always LAPACK; also what happens for n up to 500.

    Notes
    -----
    Accepted values have a residual of at most ``RESIDUAL`` relative to themselves. They are Rayleigh
    quotients: lambda_min comes out not below the exact value, lambda_max and the norm not above it, with
    errors of the order of the square of the residual over the gap to the next eigenvalue.

    References
    ----------
    A. V. Knyazev, "Toward the optimal preconditioned eigensolver", SIAM J. Sci. Comput. 23 (2001) 517-541.
    """

    def __init__(self, gram_0: Float64, *, exact: bool = False) -> None:
        self._gram_0 = gram_0
        n = gram_0.shape[0]
        self.exact = exact or n <= _EXACT_UP_TO
        self.fallbacks = 0
        """Eigenvalues that were left to LAPACK."""
        self._factor: Float64 | None = None
        start = np.random.default_rng(0).standard_normal((n, _BLOCK))
        self._blocks = dict.fromkeys(("lambda_min", "lambda_max", "above", "below"), start)

    def extremes(self, H: Float64) -> tuple[float, float]:
        """Smallest and largest eigenvalue of H."""
        if self.exact:
            values = eigenvalues(H)
            return float(values[0]), float(values[-1])
        as_symmetric(H, "H")
        smallest = self._smallest("lambda_min", H, 1.0, self._inverse())
        largest = self._smallest("lambda_max", H, -1.0, None)
        if smallest is None or largest is None:
            self.fallbacks += (smallest is None) + (largest is None)
            values = eigenvalues(H)
            smallest = float(values[0]) if smallest is None else smallest
            largest = -float(values[-1]) if largest is None else largest
        return smallest, -largest

    def change(self, H: Float64) -> float:
        """||H - H(0)||_2."""
        D = H - self._gram_0
        if self.exact or not D.any():
            return operator_norm(D)
        # Both ends: the one that is farther from zero is the norm.
        ends = [self._smallest(name, D, sign, None) for name, sign in (("above", -1.0), ("below", 1.0))]
        if ends[0] is None or ends[1] is None:
            self.fallbacks += 1
            return operator_norm(D)
        return max(-ends[0], -ends[1])

    def state(self) -> dict[str, Array]:
        """Starting vectors, for a run that is resumed to go on bit for bit."""
        return {} if self.exact else {f"spectrum/{name}": block for name, block in self._blocks.items()}

    def restore(self, arrays: dict[str, Array]) -> None:
        """Take the starting vectors of :meth:`state`."""
        for name in self._blocks:
            self._blocks[name] = arrays.get(f"spectrum/{name}", self._blocks[name])

    def _inverse(self) -> Operator | None:
        """Product with the inverse of H(0); None where it has none."""
        if self._factor is None:
            with single_threaded_blas():
                factor, info = scipy.linalg.lapack.dpotrf(self._gram_0, lower=1, clean=0)
            self._factor = factor if info == 0 else np.empty((0, 0))
        if not self._factor.size:
            return None
        factor = self._factor
        return lambda r: np.asarray(scipy.linalg.cho_solve((factor, True), r, check_finite=False))

    def _smallest(self, name: str, A: Float64, sign: float, inverse: Operator | None) -> float | None:
        """Smallest eigenvalue of sign * A; keeps the block for the next time. None: not converged."""
        with single_threaded_blas():
            value, block, converged = _lobpcg(lambda v: sign * (A @ v), self._blocks[name], inverse)
        self._blocks[name] = block
        return value if converged else None


def _lobpcg(product: Operator, start: Float64, inverse: Operator | None) -> tuple[float, Float64, bool]:
    """Smallest eigenvalue of a symmetric operator, the Ritz vectors, and whether the first converged."""
    X = _orthonormal(start)
    AX = product(X)
    values, rotation = np.linalg.eigh(X.T @ AX)
    X, AX = X @ rotation, AX @ rotation
    P = np.empty((X.shape[0], 0))
    for _ in range(_ITERATIONS):
        R = AX - X * values
        if np.linalg.norm(R[:, 0]) <= RESIDUAL * abs(values[0]):
            return float(values[0]), X, True
        W = R if inverse is None else inverse(R)
        # Orthonormalised in this order, so that the space holds X whatever rounding does to the rest.
        Q = _orthonormal(np.concatenate([X, W, P], axis=1))
        AQ = product(Q)
        values, rotation = np.linalg.eigh(Q.T @ AQ)
        values, rotation = values[: X.shape[1]], rotation[:, : X.shape[1]]
        old = rotation.copy()
        old[: X.shape[1]] = 0.0
        X, AX, P = Q @ rotation, AQ @ rotation, Q @ old
    return float(values[0]), X, False


def _orthonormal(block: Float64) -> Float64:
    """Orthonormal columns that span those of `block`, scaled first: residuals become tiny."""
    norms = np.linalg.norm(block, axis=0)
    kept = block[:, norms > 0] / norms[norms > 0]
    return np.asarray(np.linalg.qr(kept)[0])


def spectrum_seconds(n: int) -> float:
    """Thread-seconds of one recorded step, for deciding whether to record by default."""
    return 30e-9 * n**3 / 4 if n <= _EXACT_UP_TO else _PASSES * n * n * _PASS
