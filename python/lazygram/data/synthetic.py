"""Inputs uniform on the unit sphere with standard normal labels (thesis, Section 2.4)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lazygram.arrays import check_nonnegative_int, check_positive_int
from lazygram.data.pool import Dataset
from lazygram.random import seed_to_int

__all__ = ["synthetic", "unit_sphere"]


def unit_sphere(n: int, dim: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Draw `n` points uniformly on the unit sphere of R^dim; shape (n, dim), float64."""
    X = rng.standard_normal((n, dim))
    norms = np.linalg.norm(X, axis=1, keepdims=True)
    # A normal vector of norm zero has probability zero, and (dim = 1, float64) about 1e-300.
    X /= norms
    return X


def synthetic(n: int, dim: int, *, n_test: int = 0, seed: int | np.random.Generator = 0) -> Dataset:
    """Make the synthetic data of the thesis: unit-sphere inputs, N(0, 1) labels.

    Parameters
    ----------
    n : int
        Training examples.
    dim : int
        Dimension d of the inputs. The sphere S^{d-1} needs d >= 2: for d = 1 it has two points.
    n_test : int, default 0
        Held-out examples, drawn after the training part, which does not depend on their number.
        Their labels are noise too: nothing can be learnt about them.
    seed : int or numpy.random.Generator, default 0
        The same seed gives the same data.

    Returns
    -------
    Dataset
        `X` of shape (n, dim), `y` of shape (n,), float64.

    Raises
    ------
    TypeError, ValueError
        If `n`, `dim` or `n_test` is not such a number; the message names it.

    References
    ----------
    S. S. Du, *Gradient Descent for Non-convex Problems in Modern Machine Learning*, thesis,
    Carnegie Mellon University, 2019, Section 2.4.
    """
    n = check_positive_int(n, "n")
    dim = check_positive_int(dim, "dim")
    if dim < 2:
        raise ValueError(f"dim must be at least 2 for points on a sphere, got {dim}")
    n_test = check_nonnegative_int(n_test, "n_test")
    rng = np.random.default_rng(seed_to_int(seed))
    X, y = unit_sphere(n, dim, rng), rng.standard_normal(n)
    X_test, y_test = None, None
    if n_test:
        X_test, y_test = unit_sphere(n_test, dim, rng), rng.standard_normal(n_test)
    return Dataset(
        X,
        y,
        X_test,
        y_test,
        name="synthetic",
        description=f"{n} points uniform on the unit sphere of R^{dim}, labels N(0, 1)",
    )
