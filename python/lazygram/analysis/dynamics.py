"""What training would do if the Gram matrix never moved: predictions, losses, limit, step sizes.

With the quadratic loss ``L = (1/2) |u - y|^2`` (no 1/n) and a constant Gram matrix H the
predictions u of a network obey linear equations that one eigen-decomposition solves for all times:

    gradient flow      du/dt = H (y - u)                 u(t) = y + V exp(-t Lam) V^T (u(0) - y)
    gradient descent   u(k+1) = u(k) - eta H (u(k) - y)  u(k) = y + V (1 - eta Lam)^k V^T (u(0) - y)

H = V Lam V^T is usually the infinite-width matrix or the one of the initial network. The formulas
are special to the quadratic loss: with any other the residual is not linear in u and they do not
apply. For what happens at points outside the training set see :func:`kernel_predict`.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray

from lazygram.analysis.spectrum import as_symmetric, lambda_max
from lazygram.arrays import as_matrix, as_vector, check_positive_float

__all__ = [
    "FrozenDynamics",
    "divergence_step_size",
    "frozen_flow",
    "frozen_gd",
    "frozen_loss_curve",
    "kernel_predict",
    "stable_step_size",
]

Float64Array = NDArray[np.float64]


class FrozenDynamics:
    """Training under a constant Gram matrix, quadratic loss: decomposed once, asked many times.

    Parameters
    ----------
    H : array_like, shape (n, n)
        Symmetric Gram matrix on the training inputs; singular or indefinite is allowed (components
        of the residual in its null space never move). Its lower triangle is used.
    u0 : array_like, shape (n,)
        Predictions before training.
    y : array_like, shape (n,)
        Labels.

    Attributes
    ----------
    eigenvalues : ndarray, shape (n,), float64
        Of ``H``, ascending.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong shape or dtype, is not finite, or ``H`` is not symmetric.

    Notes
    -----
    Normalisation: loss ``(1/2) sum_i (u_i - y_i)^2``, weights move along its negative gradient with
    unit speed (flow) or ``step_size`` (descent). Source: Du (thesis 2019), equation 2.6 with H
    frozen; Arora, Du, Hu, Li, Wang (2019), "Fine-grained analysis of optimization and
    generalization for overparameterized two-layer neural networks", for descent.
    """

    def __init__(self, H: ArrayLike, u0: ArrayLike, y: ArrayLike) -> None:
        matrix = as_symmetric(H, "H")
        n = matrix.shape[0]
        self._y = _vector(y, "y", n)
        residual = _vector(u0, "u0", n) - self._y
        values, vectors = scipy.linalg.eigh(matrix, lower=True, check_finite=False)
        self.eigenvalues: Float64Array = values
        self._vectors: Float64Array = vectors
        self._coefficients: Float64Array = vectors.T @ residual

    def gd(self, step_size: float, steps: ArrayLike) -> Float64Array:
        """Predictions after gradient descent steps; arguments as in :func:`frozen_gd`.

        Returns
        -------
        ndarray, shape (len(steps), n), float64
        """
        return self._predictions(self._gd_factors(step_size, steps))

    def flow(self, times: ArrayLike) -> Float64Array:
        """Predictions at times of gradient flow; arguments as in :func:`frozen_flow`.

        Returns
        -------
        ndarray, shape (len(times), n), float64
        """
        return self._predictions(self._flow_factors(times))

    def gd_loss(self, step_size: float, steps: ArrayLike) -> Float64Array:
        """Quadratic loss after gradient descent steps, accurate also far below rounding of u.

        Returns
        -------
        ndarray, shape (len(steps),), float64
            ``inf`` where a diverging loss exceeds the float64 range.
        """
        return self._losses(self._gd_factors(step_size, steps))

    def flow_loss(self, times: ArrayLike) -> Float64Array:
        """Quadratic loss at times of gradient flow, accurate also far below rounding of u.

        Returns
        -------
        ndarray, shape (len(times),), float64
        """
        return self._losses(self._flow_factors(times))

    def _gd_factors(self, step_size: float, steps: ArrayLike) -> Float64Array:
        eta = check_positive_float(step_size, "step_size")
        powers = _steps(steps)[:, None]
        decay = eta * self.eigenvalues[None, :]
        with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
            # (1 - x)^k amplifies the rounding of 1 - x by k. For x < 1/2 log1p avoids that
            # rounding; for 1/2 <= x <= 2 the difference 1 - x is exact.
            small = np.exp(powers * np.log1p(-np.minimum(decay, 0.5)))
            factors = np.where(decay < 0.5, small, np.power(1.0 - decay, powers))
        return np.asarray(factors, dtype=np.float64)

    def _flow_factors(self, times: ArrayLike) -> Float64Array:
        instants = _vector(times, "times")
        if (instants < 0.0).any():
            raise ValueError(f"times: must not be negative, got {float(instants.min())}")
        with np.errstate(over="ignore", under="ignore"):
            return np.asarray(np.exp(-instants[:, None] * self.eigenvalues[None, :]))

    def _scaled(self, factors: Float64Array) -> Float64Array:
        """Residual in the eigenbasis; a component that is absent stays absent (0 * inf = 0)."""
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            return np.where(self._coefficients == 0.0, 0.0, factors * self._coefficients)

    def _predictions(self, factors: Float64Array) -> Float64Array:
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            return np.asarray(self._y + self._scaled(factors) @ self._vectors.T)

    def _losses(self, factors: Float64Array) -> Float64Array:
        with np.errstate(over="ignore", under="ignore"):
            return np.asarray(0.5 * np.square(self._scaled(factors)).sum(axis=1))


def frozen_gd(H: ArrayLike, u0: ArrayLike, y: ArrayLike, step_size: float, steps: ArrayLike) -> Float64Array:
    """Predictions of gradient descent under a constant Gram matrix (quadratic loss only).

    Parameters
    ----------
    H : array_like, shape (n, n)
        Symmetric Gram matrix.
    u0, y : array_like, shape (n,)
        Predictions before training, labels.
    step_size : float
        Positive. Nothing requires it to be stable: above ``2 / lambda_max(H)`` the result grows as
        the iteration itself would.
    steps : array_like of int, shape (k,)
        Step numbers, each >= 0, in any order; for example ``range(101)`` or
        ``run.history["step"]``.

    Returns
    -------
    ndarray, shape (k, n), float64
        Row j is ``u(steps[j])``. Rows beyond the float64 range are not finite.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong shape, dtype or range, or ``H`` is not symmetric.

    See Also
    --------
    FrozenDynamics : the same without decomposing ``H`` again for every call.
    """
    return FrozenDynamics(H, u0, y).gd(step_size, steps)


def frozen_flow(H: ArrayLike, u0: ArrayLike, y: ArrayLike, times: ArrayLike) -> Float64Array:
    """Predictions of gradient flow under a constant Gram matrix (quadratic loss only).

    Parameters
    ----------
    H : array_like, shape (n, n)
        Symmetric Gram matrix.
    u0, y : array_like, shape (n,)
        Predictions before training, labels.
    times : array_like, shape (k,)
        Times >= 0, in any order. Descent with step size eta reaches time ``eta * k`` at step k.

    Returns
    -------
    ndarray, shape (k, n), float64
        Row j is ``u(times[j])``.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong shape, dtype or range, or ``H`` is not symmetric.
    """
    return FrozenDynamics(H, u0, y).flow(times)


def frozen_loss_curve(
    H: ArrayLike,
    u0: ArrayLike,
    y: ArrayLike,
    *,
    step_size: float | None = None,
    steps: ArrayLike | None = None,
    times: ArrayLike | None = None,
) -> Float64Array:
    """Loss ``(1/2) |u - y|^2`` under a constant Gram matrix, for descent or for flow.

    Parameters
    ----------
    H : array_like, shape (n, n)
        Symmetric Gram matrix.
    u0, y : array_like, shape (n,)
        Predictions before training, labels.
    step_size, steps : float and array_like of int, optional
        Given together for gradient descent, as in :func:`frozen_gd`.
    times : array_like, optional
        Given alone for gradient flow, as in :func:`frozen_flow`.

    Returns
    -------
    ndarray, shape (k,), float64
        Relative accuracy does not suffer as the loss gets small: it is summed in the eigenbasis,
        not formed from ``u - y``.

    Raises
    ------
    TypeError, ValueError
        If neither or both kinds of argument are given, or one is invalid.
    """
    dynamics = FrozenDynamics(H, u0, y)
    if times is not None and step_size is None and steps is None:
        return dynamics.flow_loss(times)
    if times is None and step_size is not None and steps is not None:
        return dynamics.gd_loss(step_size, steps)
    raise ValueError("step_size, steps, times: give either step_size and steps (descent) or times (flow)")


def kernel_predict(
    K_test: ArrayLike,
    H: ArrayLike,
    y: ArrayLike,
    u0: ArrayLike | None = None,
    f0_test: ArrayLike | None = None,
    *,
    ridge: float = 0.0,
) -> Float64Array:
    r"""Predictor at new points of a kernel, or of an infinitely wide network after training.

    Computes ``f0_test + K_test (H + ridge I)^{-1} (y - u0)``.

    Parameters
    ----------
    K_test : array_like, shape (n_test, n)
        Kernel between the test points (rows) and the training points.
    H : array_like, shape (n, n)
        The same kernel on the training points, symmetric positive definite (with the ridge).
    y : array_like, shape (n,)
        Labels.
    u0, f0_test : array_like, shapes (n,) and (n_test,), optional
        Predictions of the untrained network at the training and at the test points, both or
        neither. Left out they are zero, which is right for kernel regression and for a network with
        antisymmetric initialisation. For an ordinary initial network they must be given: its
        f_0 is of order one at any width, and the bare ``K H^{-1} y`` does not become right.
    ridge : float, default 0.0
        Non-negative multiple of the identity added to ``H``: kernel ridge regression with penalty
        ``ridge * |f|^2`` beside ``sum (f(x_i) - y_i)^2``.

    Returns
    -------
    ndarray, shape (n_test,), float64

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong shape or dtype, is not finite, or ``H`` is not symmetric.
    numpy.linalg.LinAlgError
        If ``H + ridge I`` is not positive definite, or so close to singular (reciprocal condition
        number below float64 precision) that the solution would carry no correct digit.

    Notes
    -----
    Solved by Cholesky factorisation. ``K_test`` and ``H`` must have the same normalisation; for the
    first layer of a two-layer ReLU network both are ``x.x' (pi - angle) / (2 pi)``. Source: limit
    of the frozen dynamics carried to a test point; Arora, Du, Hu, Li, Salakhutdinov, Wang (2019),
    "On exact computation with an infinitely wide neural net", with the ``f_0`` terms kept.
    """
    matrix = as_symmetric(H, "H")
    n = matrix.shape[0]
    cross: Float64Array = as_matrix(K_test, "K_test", dtype=np.float64, columns=n)
    target = _vector(y, "y", n)
    if (u0 is None) != (f0_test is None):
        raise ValueError("u0, f0_test: they belong together, give both or neither")
    shrinkage = float(ridge)
    if not (np.isfinite(shrinkage) and shrinkage >= 0.0):
        raise ValueError(f"ridge: must be finite and >= 0, got {ridge!r}")
    if u0 is not None:
        target = target - _vector(u0, "u0", n)
    prediction = cross @ _solve_positive_definite(matrix, shrinkage, target)
    if f0_test is not None:
        prediction = prediction + _vector(f0_test, "f0_test", cross.shape[0])
    return np.asarray(prediction, dtype=np.float64)


def stable_step_size(H: ArrayLike) -> float:
    """Step size ``1 / lambda_max(H)``: what ``step_size="auto"`` stands for.

    Under a constant H no component of the residual then changes sign, the stiffest one is removed
    in one step, and there is a factor 2 in hand before descent diverges.

    Parameters
    ----------
    H : array_like, shape (n, n)
        Symmetric Gram matrix with at least one positive eigenvalue.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        If ``H`` is not a finite symmetric matrix or has no positive eigenvalue.
    """
    largest = lambda_max(as_symmetric(H, "H"))
    if not largest > 0.0:
        raise ValueError(f"H: no eigenvalue is positive (largest: {largest:.3g}), no step changes the loss")
    with np.errstate(over="ignore"):
        return float(np.float64(1.0) / largest)


def divergence_step_size(H: ArrayLike) -> float:
    """Step size ``2 / lambda_max(H)`` from which on frozen gradient descent does not converge.

    At exactly this value the top component alternates in sign for ever; above it, it grows.

    Parameters
    ----------
    H : array_like, shape (n, n)
        Symmetric Gram matrix with at least one positive eigenvalue.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        As :func:`stable_step_size`.
    """
    return 2.0 * stable_step_size(H)


def _solve_positive_definite(H: Float64Array, ridge: float, b: Float64Array) -> Float64Array:
    """Solve ``(H + ridge I) x = b`` by Cholesky, refusing numerically singular matrices."""
    system = H.copy()
    np.fill_diagonal(system, system.diagonal() + ridge)
    norm = float(np.abs(np.tril(system) + np.tril(system, -1).T).sum(axis=0).max())
    label = "H" if ridge == 0.0 else f"H + {ridge:.3g} I"
    try:
        factor = scipy.linalg.cholesky(system, lower=True, check_finite=False)
    except np.linalg.LinAlgError:
        smallest = float(scipy.linalg.eigvalsh(system, lower=True, subset_by_index=[0, 0])[0])
        raise np.linalg.LinAlgError(
            f"{label} is not positive definite (smallest eigenvalue about {smallest:.3g}): two "
            "inputs may be positive multiples of each other, or one is zero; pass a larger ridge"
        ) from None
    reciprocal, _ = scipy.linalg.lapack.dpocon(factor, norm, uplo="L")
    if not reciprocal > np.finfo(np.float64).eps:
        raise np.linalg.LinAlgError(
            f"{label} is singular to working precision (reciprocal condition number "
            f"{float(reciprocal):.3g}): remove repeated inputs or pass a larger ridge"
        )
    return np.asarray(scipy.linalg.cho_solve((factor, True), b, check_finite=False))


def _vector(values: ArrayLike, name: str, length: int | None = None) -> Float64Array:
    return as_vector(values, name, length, dtype=np.float64)


def _steps(steps: ArrayLike) -> Float64Array:
    """Step numbers as float64, so that a power with them takes the floating-point path."""
    kind = np.asarray(steps).dtype.kind
    if np.size(steps) and kind not in "iu":
        raise TypeError(f"steps: integers are needed, got dtype {np.asarray(steps).dtype}")
    numbers = _vector(steps, "steps")
    if (numbers < 0.0).any():
        raise ValueError(f"steps: must not be negative, got {int(numbers.min())}")
    return numbers
