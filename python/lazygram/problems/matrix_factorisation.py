"""Asymmetric matrix factorisation: plain, regularised, and of rank 1 in four scalars.

Du (2019), thesis, Section 4.3 and Appendices 4.7 and 4.8 (Du, Hu, Lee 2018). Points are tuples (U, V);
leading axes of both count starts that descend at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from lazygram.arrays import as_matrix, check_positive_float, check_positive_int
from lazygram.optimizers import power_decay

__all__ = [
    "Lemma45",
    "MatrixFactorisation",
    "RankOne",
    "gaussian_factors",
    "lemma_4_5",
    "permitted_schedule",
    "planted_matrix",
    "theorem_4_4_schedule",
]

Float64Array: TypeAlias = npt.NDArray[np.float64]
Factors: TypeAlias = tuple[Float64Array, Float64Array]


def planted_matrix(
    rows: int, columns: int, singular_values: npt.ArrayLike, *, seed: int | np.random.Generator = 0
) -> Float64Array:
    """A matrix with given singular values and random singular vectors.

    Parameters
    ----------
    rows, columns : int
        d_1 and d_2.
    singular_values : array_like, shape (r,)
        At most ``min(rows, columns)`` of them.
    seed : int or numpy.random.Generator
        Of the vectors, orthonormal by QR of normal matrices.

    Returns
    -------
    ndarray, shape (rows, columns)

    Raises
    ------
    ValueError
        If there are too many singular values.
    """
    values = np.asarray(singular_values, dtype=np.float64)
    if values.ndim != 1 or not 1 <= len(values) <= min(rows, columns):
        raise ValueError(f"singular_values: 1 to {min(rows, columns)} are needed, got shape {values.shape}")
    rng = np.random.default_rng(seed)
    left = np.linalg.qr(rng.standard_normal((rows, len(values))))[0]
    right = np.linalg.qr(rng.standard_normal((columns, len(values))))[0]
    return np.asarray(left * values @ right.T)


def gaussian_factors(
    rows: int,
    columns: int,
    rank: int,
    std: float,
    *,
    starts: int | None = None,
    seed: int | np.random.Generator = 0,
) -> Factors:
    """Initial factors with independent N(0, std^2) entries.

    Parameters
    ----------
    rows, columns, rank : int
        Shapes: (rows, rank) and (columns, rank).
    std : float
        Standard deviation (the text calls delta a variance in Theorem 4.5 and means this).
    starts : int, optional
        A first axis of this length.
    seed : int or numpy.random.Generator

    Returns
    -------
    tuple of two ndarrays
    """
    lead = () if starts is None else (check_positive_int(starts, "starts"),)
    scale, rng = check_positive_float(std, "std"), np.random.default_rng(seed)
    U = scale * rng.standard_normal((*lead, rows, rank))
    return U, scale * rng.standard_normal((*lead, columns, rank))


class MatrixFactorisation:
    """``f(U, V) = |U V^T - M|_F^2 / 2``, regularised ``+ |U^T U - V^T V|_F^2 / 8``.

    Parameters
    ----------
    target : array_like, shape (d_1, d_2)
        M.
    regularised : bool, default False
        With the balancing term.

    Raises
    ------
    ValueError
        If `target` is no finite matrix.
    """

    def __init__(self, target: npt.ArrayLike, *, regularised: bool = False) -> None:
        self.target: Float64Array = as_matrix(target, "target", dtype=np.float64)
        self.regularised = regularised

    def residual(self, point: Factors) -> Float64Array:
        """``R = U V^T - M``, shape (..., d_1, d_2)."""
        U, V = self._factors(point)
        return np.asarray(U @ _T(V) - self.target)

    def imbalance(self, point: Factors) -> Float64Array:
        """``U^T U - V^T V``, shape (..., r, r): constant under gradient flow on the plain f."""
        U, V = self._factors(point)
        return np.asarray(_T(U) @ U - _T(V) @ V)

    def value(self, point: Factors) -> Float64Array:
        """f, shape (...)."""
        f = 0.5 * _squares(self.residual(point))
        if self.regularised:
            f = f + 0.125 * _squares(self.imbalance(point))
        return np.asarray(f)

    def gradient(self, point: Factors) -> Factors:
        """Gradient, of the shapes of the factors."""
        U, V = self._factors(point)
        R = self.residual(point)
        along_U, along_V = R @ V, _T(R) @ U
        if self.regularised:
            D = self.imbalance(point)
            along_U, along_V = along_U + 0.5 * U @ D, along_V - 0.5 * V @ D
        return along_U, along_V

    def imbalance_change(self, point: Factors, step_size: float) -> Float64Array:
        """Exact change of the imbalance in one step of gradient descent on the plain f.

        ``eta^2 (V^T R^T R V - U^T R R^T U)``: what flow conserves, descent moves by order eta^2 a step.
        """
        U, V = self._factors(point)
        R = self.residual(point)
        left, right = R @ V, _T(R) @ U
        return np.asarray(step_size**2 * (_T(left) @ left - _T(right) @ right))

    def curvature(self, point: Factors, direction: Factors) -> Float64Array:
        """Hessian form of the plain f: ``2 <R, A B^T> + |U B^T + A V^T|_F^2`` at the direction (A, B).

        Returns
        -------
        ndarray, shape (...)
        """
        U, V = self._factors(point)
        A, B = (np.asarray(part, dtype=np.float64) for part in direction)
        mixed = (self.residual(point) * (A @ _T(B))).sum(axis=(-2, -1))
        return np.asarray(2.0 * mixed + _squares(U @ _T(B) + A @ _T(V)))

    def curvature_bound(self, c: float) -> float:
        """``(6 c + 2) |M|_F``: largest curvature where ``|U|_F^2, |V|_F^2 <= c |M|_F`` (Lemma 4.3)."""
        return float((6.0 * c + 2.0) * np.linalg.norm(self.target))

    def _factors(self, point: Factors) -> Factors:
        if not isinstance(point, tuple) or len(point) != 2:
            raise TypeError("point: a tuple of two arrays (U, V) is needed")
        U, V = (np.asarray(part, dtype=np.float64) for part in point)
        d1, d2 = self.target.shape
        if U.ndim < 2 or V.ndim < 2 or U.shape[-2] != d1 or V.shape[-2] != d2 or U.shape[-1] != V.shape[-1]:
            raise ValueError(
                f"point: shapes (..., {d1}, r) and (..., {d2}, r) are needed, got {U.shape} and {V.shape}"
            )
        return U, V


def theorem_4_4_schedule(epsilon: float, rank: int, norm: float) -> Callable[[int], float]:
    """The literal steps of Theorem 4.4: ``sqrt(epsilon / r) / (100 (t + 1) |M|_F^(3/2))``.

    Their squares have a finite sum, so that the factors stay balanced; they are so small that f hardly moves.
    """
    check_positive_int(rank, "rank")
    eps, size = check_positive_float(epsilon, "epsilon"), check_positive_float(norm, "norm")
    first = float(np.sqrt(eps / rank) / (100.0 * size**1.5))
    return lambda t: first / (t + 1.0)


def permitted_schedule(
    delta: float, norm: float, *, initial: float = 0.3, scale: float = 50.0
) -> Callable[[int], float]:
    """Steps of the order ``t^-(1/2 + delta)``, which Theorem 4.4 permits too.

    ``initial / |M|_F (1 + t / scale)^-(1/2 + delta)``, with `norm` for |M|_F.

    Raises
    ------
    ValueError
        If `delta` is not in (0, 1/2].
    """
    if not 0.0 < delta <= 0.5:
        raise ValueError(f"delta: must be in (0, 1/2], got {delta}")
    return power_decay(initial / check_positive_float(norm, "norm"), scale, 0.5 + delta)


class RankOne:
    """Rank 1, ``M = s_1 u* v*^T``, in four scalars that gradient descent closes in (thesis (4.23)).

    ``a = u . u*``, ``b = v . v*``, ``a_perp = |u - a u*|``, ``b_perp = |v - b v*|``: f is a function of them,
    and its gradient in them gives the exact dynamics of the full iteration. Points are arrays (..., 4).

    Parameters
    ----------
    strength : float
        s_1 > 0.
    """

    def __init__(self, strength: float) -> None:
        self.strength = check_positive_float(strength, "strength")

    @staticmethod
    def project(point: Factors, left: npt.ArrayLike, right: npt.ArrayLike) -> Float64Array:
        """The four scalars, shape (..., 4), of factors (..., d_1, 1), (..., d_2, 1) for unit u*, v*."""
        scalars: list[Any] = []
        for factor, unit in zip(point, (left, right), strict=True):
            vector, direction = np.asarray(factor)[..., 0], np.asarray(unit, dtype=np.float64)
            along = vector @ direction
            across = np.linalg.norm(vector - along[..., None] * direction, axis=-1)
            scalars.append((along, across))
        (a, a_perp), (b, b_perp) = scalars
        return np.stack([a, b, a_perp, b_perp], axis=-1)

    def distance(self, scalars: npt.ArrayLike) -> Float64Array:
        """``|u v^T - M|_F``, without cancellation near 0; shape (...)."""
        a, b, a_perp, b_perp = self._split(scalars)
        parts = [(a * b - self.strength) ** 2, (a * b_perp) ** 2, (a_perp * b) ** 2, (a_perp * b_perp) ** 2]
        return np.asarray(np.sqrt(sum(parts)))

    def value(self, scalars: npt.ArrayLike) -> Float64Array:
        """f, shape (...)."""
        return np.asarray(0.5 * self.distance(scalars) ** 2)

    def gradient(self, scalars: npt.ArrayLike) -> Float64Array:
        """Gradient, shape (..., 4): a step of descent on it is one of the full iteration."""
        a, b, a_perp, b_perp = self._split(scalars)
        u, v, s = a**2 + a_perp**2, b**2 + b_perp**2, self.strength
        return np.stack([v * a - s * b, u * b - s * a, v * a_perp, u * b_perp], axis=-1)

    def signal(self, scalars: npt.ArrayLike) -> Float64Array:
        """``h = a b - s_1``, shape (...)."""
        a, b, _, _ = self._split(scalars)
        return np.asarray(a * b - self.strength)

    def noise(self, scalars: npt.ArrayLike) -> Float64Array:
        """``xi = a_perp^2 + b_perp^2``, shape (...)."""
        _, _, a_perp, b_perp = self._split(scalars)
        return np.asarray(a_perp**2 + b_perp**2)

    def next_signal(self, scalars: npt.ArrayLike, step_size: float) -> Float64Array:
        """h after a step, by its own recursion (thesis (4.24)); shape (...)."""
        a, b, a_perp, b_perp = self._split(scalars)
        h, xi, eta = self.signal(scalars), self.noise(scalars), step_size
        square = a * b * h + (a * b_perp) ** 2 + (b * a_perp) ** 2 + (a_perp * b_perp) ** 2
        factor = 1.0 - eta * (a**2 + b**2) + eta**2 * square
        return np.asarray(factor * h - eta * a * b * xi + eta**2 * self.strength * (a_perp * b_perp) ** 2)

    @staticmethod
    def _split(scalars: npt.ArrayLike) -> tuple[Float64Array, Float64Array, Float64Array, Float64Array]:
        array = np.asarray(scalars, dtype=np.float64)
        if array.ndim == 0 or array.shape[-1] != 4:
            raise ValueError(f"scalars: shape (..., 4) is needed, got {array.shape}")
        return array[..., 0], array[..., 1], array[..., 2], array[..., 3]


class Lemma45(NamedTuple):
    """How often Lemmas 4.5 and 4.6 were violated along trajectories, and how many steps were checked.

    Attributes
    ----------
    admissible : ndarray of bool, shape (starts,)
        Starts that meet the conditions of the proof.
    growth, ratio, noise : int
        Violations before ``a^2 + b^2 >= s_1 / 2``: of ``(1 + c/3)(a + b) <= a' + b' <= (1 + c)(a + b)``, of
        ``|a - b| <= (99/101)(a + b)``, of ``xi <= xi_0``.
    overshoot, contraction : int
        Violations after it: of ``h <= 0``, of ``|h'| <= (1 - c/10)|h| + c xi``.
    checked : tuple of int
        Steps before and after.
    """

    admissible: npt.NDArray[np.bool_]
    growth: int
    ratio: int
    noise: int
    overshoot: int
    contraction: int
    checked: tuple[int, int]

    @property
    def violations(self) -> tuple[int, int, int, int, int]:
        """Growth, ratio, noise, overshoot, contraction."""
        return self.growth, self.ratio, self.noise, self.overshoot, self.contraction


def lemma_4_5(
    trajectory: npt.ArrayLike, strength: float, step: float, initial: float, dim: int, rounding: float = 1e-13
) -> Lemma45:
    """Check the two stages of the proof of Theorem 4.5 along trajectories.

    Parameters
    ----------
    trajectory : array_like, shape (steps + 1, starts, 4)
        Scalars of :class:`RankOne` at all steps.
    strength, step, initial : float
        s_1, ``c_step = eta s_1``, and c_init of the initial standard deviation ``c_init sqrt(s_1 / d)``.
    dim : int
        ``d = max(d_1, d_2)``.
    rounding : float, default 1e-13
        Slack of all inequalities, relative to their scale.

    Returns
    -------
    Lemma45
        Starts count that have ``a_0 b_0 > 0``, |a_0| and |b_0| within 1/10 to 10 of the standard deviation,
        and complements at most ``10 c_init sqrt(s_1)``; where a_0 < 0 both signs are flipped.
    """
    path = np.asarray(trajectory, dtype=np.float64)
    first, scale = path[0], initial * np.sqrt(strength)
    signal = np.abs(first[:, :2])
    met = (first[:, 0] * first[:, 1] > 0) & (first[:, 2:] <= 10.0 * scale).all(axis=1)
    met &= ((signal >= 0.1 * scale / np.sqrt(dim)) & (signal <= 10.0 * scale / np.sqrt(dim))).all(axis=1)
    path = path[:, met]
    a, b = np.moveaxis(path[..., :2] * np.sign(path[0, :, :1]), -1, 0)
    problem = RankOne(strength)
    xi, h = problem.noise(path), problem.signal(path)
    total, tiny = a + b, rounding
    late = np.maximum.accumulate(a**2 + b**2 >= 0.5 * strength, axis=0)
    early = ~late
    before, after = early[:-1], late[:-1]
    grown, now = total[1:], total[:-1]
    growth = (grown < (1.0 + step / 3.0 - tiny) * now) | (grown > (1.0 + step + tiny) * now)
    ratio = np.abs(a - b) > (99.0 / 101.0 + tiny) * total
    bound = (1.0 - 0.1 * step) * np.abs(h[:-1]) + step * xi[:-1]
    return Lemma45(
        met,
        int((growth & before).sum()),
        int((ratio & early).sum()),
        int(((xi > xi[0] * (1.0 + tiny)) & early).sum()),
        int(((h > tiny * strength) & late).sum()),
        int(((np.abs(h[1:]) > bound + tiny * strength) & after).sum()),
        (int(before.sum()), int(after.sum())),
    )


def _T(A: Float64Array) -> Float64Array:
    return np.swapaxes(A, -1, -2)


def _squares(A: Float64Array) -> Float64Array:
    """Squared Frobenius norms."""
    return np.asarray((A * A).sum(axis=(-2, -1)))
