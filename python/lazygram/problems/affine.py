"""Moves an objective to another place and scale: F(x) = f((x - centre) / scale)."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from lazygram.arrays import as_vector, check_positive_float

__all__ = ["Affine", "Objective"]

Float64Array = npt.NDArray[np.float64]


class Objective(Protocol):
    """A function of points of shape (..., d)."""

    def value(self, x: npt.ArrayLike, /) -> Float64Array:
        """Values, shape (...)."""

    def gradient(self, x: npt.ArrayLike, /) -> Float64Array:
        """Gradients, shape (..., d)."""

    def hessian(self, x: npt.ArrayLike, /) -> Float64Array:
        """Hessians, shape (..., d, d)."""


class Affine:
    """``F(x) = f((x - centre) / scale)`` (Corollary 7.2 of Du's thesis).

    Gradient descent on F with step size eta is that on f with ``eta / scale^2``: to see f's behaviour on the
    cube ``centre + [-R, R]^d`` descend with ``scale^2`` times its step size.

    Parameters
    ----------
    objective : Objective
        f.
    centre : array_like, shape (d,)
    scale : float
        R > 0.

    Raises
    ------
    ValueError
        If `centre` is no finite vector or `scale` not positive.
    """

    def __init__(self, objective: Objective, centre: npt.ArrayLike, scale: float) -> None:
        self.objective = objective
        self.centre = as_vector(centre, "centre", dtype=np.float64)
        self.scale = check_positive_float(scale, "scale")

    def value(self, x: npt.ArrayLike) -> Float64Array:
        """F at points of shape (..., d); shape (...)."""
        return self.objective.value(self._inner(x))

    def gradient(self, x: npt.ArrayLike) -> Float64Array:
        """Gradient of F, of the shape of `x`."""
        return self.objective.gradient(self._inner(x)) / self.scale

    def hessian(self, x: npt.ArrayLike) -> Float64Array:
        """Hessian of F, shape (..., d, d)."""
        return self.objective.hessian(self._inner(x)) / self.scale**2

    def _inner(self, x: npt.ArrayLike) -> Float64Array:
        return np.asarray((np.asarray(x, dtype=np.float64) - self.centre) / self.scale)
