"""Two classes on the unit sphere, a given distance apart, last coordinate constant (Zou et al., 2018)."""

from __future__ import annotations

import math

import numpy as np

from lazygram.arrays import check_nonnegative_int, check_positive_float, check_positive_int
from lazygram.data.pool import Dataset
from lazygram.data.synthetic import unit_sphere
from lazygram.random import seed_to_int

__all__ = ["separated_sphere", "separation"]

_ATTEMPTS = 10_000  # rejected draws in a row before the separation is called too large


def separated_sphere(
    n: int,
    dim: int,
    *,
    mu: float = 0.5,
    separation: float = 0.3,
    n_test: int = 0,
    seed: int | np.random.Generator = 0,
) -> Dataset:
    """Make data of Zou et al.'s Assumptions 3.4 and 3.5.

    Points are ``(sqrt(1 - mu^2) z, mu)`` with z uniform on the unit sphere of R^{dim-1}, labels +-1 with
    equal probability; a point closer than `separation` to one of the other label is drawn again, with its
    label.

    Parameters
    ----------
    n : int
        Training examples.
    dim : int
        Dimension d of the inputs, at least 3.
    mu : float, default 0.5
        Last coordinate of every input, in (0, 1); it stands for a bias.
    separation : float, default 0.3
        phi: smallest distance between inputs of different labels.
    n_test : int, default 0
        Held-out examples, drawn after the training part and under the same condition. Labels are noise:
        nothing can be learnt about them.
    seed : int or numpy.random.Generator, default 0
        The same seed gives the same data.

    Returns
    -------
    Dataset
        With the task "classes". Both labels occur if n >= 2 (the second example takes the missing one).

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or so many points so far apart were not found; the message names it.

    References
    ----------
    Zou, Cao, Zhou, Gu, "Stochastic gradient descent optimizes over-parameterized deep ReLU networks", 2018,
    Assumptions 3.4 and 3.5. The paper has no experiments; this construction is this package's.
    """
    n, dim = check_positive_int(n, "n"), check_positive_int(dim, "dim")
    n_test = check_nonnegative_int(n_test, "n_test")
    mu, phi = check_positive_float(mu, "mu"), check_positive_float(separation, "separation")
    if dim < 3:
        raise ValueError(f"dim: must be at least 3, got {dim}")
    if mu >= 1.0:
        raise ValueError(f"mu: must be below 1, got {mu}")
    radius = math.sqrt(1.0 - mu * mu)
    if phi > 2.0 * radius:
        raise ValueError(f"separation: points are at most {2.0 * radius:.3g} apart, got {phi}")
    rng = np.random.default_rng(seed_to_int(seed))
    total = n + n_test
    X, y = np.empty((total, dim)), np.empty(total)
    X[:, -1] = mu
    for k in range(total):
        for _ in range(_ATTEMPTS):
            X[k, :-1] = radius * unit_sphere(1, dim - 1, rng)[0]
            y[k] = rng.choice((-1.0, 1.0)) if k != 1 else -y[0]
            others = X[:k][y[:k] != y[k]]
            if not len(others) or np.linalg.norm(others - X[k], axis=1).min() >= phi:
                break
        else:
            raise ValueError(
                f"separation: no place for point {k + 1} of {total} at distance {phi:g} was found in "
                f"{_ATTEMPTS} draws; take it smaller, or fewer points, or a larger dim"
            )
    held_out = n_test > 0
    return Dataset(
        X[:n],
        y[:n],
        X[n:] if held_out else None,
        y[n:] if held_out else None,
        name="separated",
        description=f"{n} points on the unit sphere of R^{dim}, last coordinate {mu:g}, random labels +-1, "
        f"classes at least {phi:g} apart",
        task="classes",
    )


def separation(X: np.ndarray, y: np.ndarray) -> float:
    """Smallest distance between rows of `X` with different labels `y`; inf with one label only."""
    smallest = math.inf
    for k in range(1, len(X)):
        others = X[:k][y[:k] != y[k]]
        if len(others):
            smallest = min(smallest, float(np.linalg.norm(others - X[k], axis=1).min()))
    return smallest
