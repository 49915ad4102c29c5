"""Two starts from which even one saddle takes long: a thin band around it, and a start far away.

Du (2019), thesis, Section 7.3.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lazygram.arrays import as_real_array

__all__ = ["FarStart", "ThinBand"]

Float64Array = npt.NDArray[np.float64]


class ThinBand:
    """``f(x) = x_1^2 - x_2^2``: from ``|x_2| = (1 + 2 eta)^(-n)`` it takes n steps to leave ``[-1, 1]^2``."""

    def value(self, x: npt.ArrayLike) -> Float64Array:
        """f at points of shape (..., 2); shape (...)."""
        point = _points(x)
        return np.asarray(point[..., 0] ** 2 - point[..., 1] ** 2)

    def gradient(self, x: npt.ArrayLike) -> Float64Array:
        """Gradient, of the shape of `x`."""
        return np.asarray(_points(x) * np.array([2.0, -2.0]))

    def hessian(self, x: npt.ArrayLike) -> Float64Array:
        """Hessian, shape (..., 2, 2)."""
        return np.array(np.broadcast_to(np.diag([2.0, -2.0]), (*_points(x).shape, 2)))


class FarStart:
    """The saddle of :class:`ThinBand` behind a long slope, on which x_2 halves in each step.

    ``-4 x_1 + x_2^2 - 23/6`` for ``x_1 < -2``, ``x_1^2 - x_2^2`` for ``x_1 > -1``, between them a connector
    that makes f twice continuously differentiable. The text prints no ``-23/6``; without it the branches
    differ by so much that a connector would have to fall more steeply than both. On the slope a step of
    size 1/4 adds 1 to x_1 and halves x_2.
    """

    def value(self, x: npt.ArrayLike) -> Float64Array:
        """f at points of shape (..., 2); shape (...)."""
        one, other = self._split(x)
        u = np.clip(one + 2.0, 0.0, 1.0)
        far = -4.0 * one + other**2 - 23.0 / 6.0
        between = 25.0 / 6.0 - 4.0 * u + 4.0 / 3.0 * u**3 - 0.5 * u**4 + (1.0 - 2.0 * _blend(u)) * other**2
        return self._choose(one, far, between, one**2 - other**2)

    def gradient(self, x: npt.ArrayLike) -> Float64Array:
        """Gradient, of the shape of `x`."""
        one, other = self._split(x)
        u = np.clip(one + 2.0, 0.0, 1.0)
        between = -4.0 + 4.0 * u**2 - 2.0 * u**3 - 60.0 * (u * (1.0 - u)) ** 2 * other**2
        first = self._choose(one, np.full_like(one, -4.0), between, 2.0 * one)
        second = 2.0 * (1.0 - 2.0 * _blend(u)) * other  # 2 x_2 before, -2 x_2 after the connector
        return np.stack([first, second], axis=-1)

    def hessian(self, x: npt.ArrayLike) -> Float64Array:
        """Hessian, shape (..., 2, 2)."""
        one, other = self._split(x)
        u = np.clip(one + 2.0, 0.0, 1.0)
        curved = 8.0 * u - 6.0 * u**2 - 120.0 * u * (1.0 - u) * (1.0 - 2.0 * u) * other**2
        first = self._choose(one, np.zeros_like(one), curved, np.full_like(one, 2.0))
        mixed = -120.0 * (u * (1.0 - u)) ** 2 * other
        rows = [np.stack([first, mixed], axis=-1), np.stack([mixed, 2.0 * (1.0 - 2.0 * _blend(u))], axis=-1)]
        return np.stack(rows, axis=-2)

    @staticmethod
    def _split(x: npt.ArrayLike) -> tuple[Float64Array, Float64Array]:
        point = _points(x)
        return point[..., 0], point[..., 1]

    @staticmethod
    def _choose(
        one: Float64Array, far: Float64Array, between: Float64Array, near: Float64Array
    ) -> Float64Array:
        return np.asarray(np.where(one < -2.0, far, np.where(one < -1.0, between, near)))


def _blend(u: Float64Array) -> Float64Array:
    """From 0 to 1 with two continuous derivatives."""
    return np.asarray(u**3 * (10.0 + u * (6.0 * u - 15.0)))


def _points(x: npt.ArrayLike) -> Float64Array:
    array = np.asarray(as_real_array(x, "x"), dtype=np.float64)
    if array.ndim == 0 or array.shape[-1] != 2:
        raise ValueError(f"x: shape (..., 2) is needed, got {array.shape}")
    return array
