"""Matrix factorisation: differences, identities to 1e-13, four scalars against the full iteration."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lazygram.optimizers import gradient_descent
from lazygram.problems.matrix_factorisation import (
    MatrixFactorisation,
    RankOne,
    gaussian_factors,
    lemma_4_5,
    permitted_schedule,
    planted_matrix,
    theorem_4_4_schedule,
)


def as_vector(point: Any) -> np.ndarray:
    return np.concatenate([part.ravel() for part in point])


def test_planted_matrix_has_its_singular_values() -> None:
    M = planted_matrix(7, 5, [3.0, 2.0, 0.5], seed=3)
    assert M.shape == (7, 5)
    # QR is orthonormal to a few roundings.
    np.testing.assert_allclose(np.linalg.svd(M, compute_uv=False), [3, 2, 0.5, 0, 0], atol=1e-14)


@pytest.mark.parametrize("regularised", [False, True])
def test_gradient_is_the_difference_of_the_value(regularised: bool, rng: np.random.Generator) -> None:
    f = MatrixFactorisation(rng.standard_normal((6, 5)), regularised=regularised)
    U, V = rng.standard_normal((4, 6, 2)), rng.standard_normal((4, 5, 2))
    A, B = rng.standard_normal((4, 6, 2)), rng.standard_normal((4, 5, 2))
    h = 1e-4
    along = f.gradient((U, V))
    expected = (along[0] * A).sum(axis=(1, 2)) + (along[1] * B).sum(axis=(1, 2))
    # f is a quartic polynomial in h: five points are exact but for rounding 1e-16 * |f| / h ~ 1e-10.
    at = [f.value((U + k * h * A, V + k * h * B)) for k in (-2, -1, 1, 2)]
    slope = (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * h)
    np.testing.assert_allclose(expected, slope, rtol=1e-8)
    if not regularised:
        middle = f.value((U, V))
        curvature = (-at[0] + 16 * at[1] - 30 * middle + 16 * at[2] - at[3]) / (12 * h**2)
        np.testing.assert_allclose(f.curvature((U, V), (A, B)), curvature, rtol=1e-5)


def test_imbalance_moves_by_the_exact_second_order_term(rng: np.random.Generator) -> None:
    f = MatrixFactorisation(rng.standard_normal((8, 6)))
    point = (rng.standard_normal((3, 8, 4)), rng.standard_normal((3, 6, 4)))
    eta = 0.07
    step = tuple(x - eta * g for x, g in zip(point, f.gradient(point), strict=True))
    change = f.imbalance((step[0], step[1])) - f.imbalance(point)
    scale = np.abs(f.imbalance((step[0], step[1]))).max()
    np.testing.assert_allclose(change, f.imbalance_change(point, eta), atol=1e-13 * scale)


def test_curvature_is_bounded_on_balls(rng: np.random.Generator) -> None:
    """Largest eigenvalue of the whole Hessian, built from the form by polarisation."""
    M = rng.standard_normal((4, 3))
    f, norm = MatrixFactorisation(M), np.linalg.norm(M)
    for c in (0.5, 2.0, 8.0):
        U, V = rng.standard_normal((4, 2)), rng.standard_normal((3, 2))
        U *= np.sqrt(c * norm) / np.linalg.norm(U)
        V *= np.sqrt(c * norm) / np.linalg.norm(V)
        basis = [(e[:8].reshape(4, 2), e[8:].reshape(3, 2)) for e in np.eye(14)]

        def form(A: np.ndarray, B: np.ndarray, U: np.ndarray = U, V: np.ndarray = V) -> float:
            return float(f.curvature((U, V), (A, B)))

        H = np.array([[(form(a + c, b + d) - form(a - c, b - d)) / 4 for c, d in basis] for a, b in basis])
        h = 1e-6
        for k in (0, 5, 9, 13):
            up, down = (f.gradient((U + s * h * basis[k][0], V + s * h * basis[k][1])) for s in (1, -1))
            np.testing.assert_allclose(H[k], (as_vector(up) - as_vector(down)) / (2 * h), atol=1e-7)
        assert np.linalg.eigvalsh(H)[-1] <= f.curvature_bound(c)


def test_rank_one_scalars_are_the_full_iteration(rng: np.random.Generator) -> None:
    s1, d1, d2, eta = 2.0, 30, 20, 0.05
    left, right = (np.linalg.qr(rng.standard_normal((d, 1)))[0] for d in (d1, d2))
    full = MatrixFactorisation(s1 * left @ right.T)
    reduced = RankOne(s1)
    start = gaussian_factors(d1, d2, 1, 0.05, starts=6, seed=1)
    scalars = RankOne.project(start, left[:, 0], right[:, 0])
    record = {"four": lambda p: RankOne.project(p, left[:, 0], right[:, 0]), "f": full.value}
    run = gradient_descent(full.gradient, start, eta, 250, batched=True, record=record)
    small = gradient_descent(
        reduced.gradient, scalars, eta, 250, batched=True, record={"four": np.copy, "f": reduced.value}
    )
    np.testing.assert_allclose(small.history["four"], run.history["four"], atol=1e-13)
    np.testing.assert_allclose(small.history["f"], run.history["f"], atol=1e-13)
    h = reduced.signal(small.history["four"])
    np.testing.assert_allclose(reduced.next_signal(small.history["four"], eta)[:-1], h[1:], atol=1e-13)
    assert (reduced.distance(small.point) < 1e-3).sum() >= 3


def test_rank_one_gradient_is_the_difference_of_the_value(rng: np.random.Generator) -> None:
    f, x, h = RankOne(1.7), rng.standard_normal((20, 4)), 1e-5
    slope = (f.value(x[:, None] + h * np.eye(4)) - f.value(x[:, None] - h * np.eye(4))) / (2 * h)
    np.testing.assert_allclose(f.gradient(x), slope, atol=1e-8)  # h^2 times third derivatives


def test_lemma_counts_what_is_violated() -> None:
    s1, c, init, d = 2.0, 0.1, 0.05, 60
    scale = init * np.sqrt(s1 / d)
    start = (
        np.array([[1.0, 0.7, 7, 6], [-1, -2, 7, 6], [1, -1, 7, 6], [0.01, 1, 7, 6], [1, 1, 90, 6]]) * scale
    )
    f = RankOne(s1)
    run = gradient_descent(f.gradient, start, c / s1, 400, batched=True, record={"x": np.copy})
    path = run.history["x"]
    told = lemma_4_5(path, s1, c, init, d)
    assert told.admissible.sum() == 2  # the others have mixed signs, a small signal, a large complement
    assert told.violations == (0, 0, 0, 0, 0)
    assert sum(told.checked) == 2 * 400
    # A trajectory with another step size, or with its time reversed, violates each of them.
    fast = lemma_4_5(path[::3], s1, c, init, d)
    assert fast.growth > 0
    assert fast.contraction == 0
    assert lemma_4_5(path, s1, 40 * c, init, d).growth > 0
    slow = path[:2].repeat(200, axis=0)
    assert lemma_4_5(slow, s1, c, init, d).growth == 2 * 398
    over = path.copy()
    over[-1, :, :2] *= 1.01
    told = lemma_4_5(over, s1, c, init, d)
    assert told.overshoot == 2
    assert told.contraction == 2
    wide = path.copy()
    wide[5, :, 0] *= 1000
    wide[3, :, 3] *= 1.1
    told = lemma_4_5(wide, 1e9, c, init * np.sqrt(s1 / 1e9), d)
    assert told.ratio == 2
    assert told.noise == 2


def test_schedules() -> None:
    eta = theorem_4_4_schedule(0.01, 4, 2.0)
    assert eta(0) == pytest.approx(0.05 / (100 * 2**1.5), rel=1e-15)
    assert eta(9) == pytest.approx(eta(0) / 10, rel=1e-15)
    eta = permitted_schedule(0.25, 2.0)
    assert eta(0) == pytest.approx(0.15)
    assert eta(150) == pytest.approx(0.15 / 4**0.75, rel=1e-14)
    with pytest.raises(ValueError, match=r"delta: must be in \(0, 1/2\]"):
        permitted_schedule(0.6, 1.0)


def test_arguments_are_checked() -> None:
    f = MatrixFactorisation(np.eye(3))
    with pytest.raises(ValueError, match=r"point: shapes \(..., 3, r\)"):
        f.value((np.ones((2, 1)), np.ones((3, 1))))
    with pytest.raises(TypeError, match="point: a tuple of two arrays"):
        f.gradient(np.ones((3, 1)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"scalars: shape \(..., 4\)"):
        RankOne(1.0).value(np.ones(3))
    with pytest.raises(ValueError, match="singular_values: 1 to 2"):
        planted_matrix(2, 3, [1, 2, 3])
    with pytest.raises(ValueError, match="std: must be positive"):
        gaussian_factors(2, 2, 1, 0.0)
