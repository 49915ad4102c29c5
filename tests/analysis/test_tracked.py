"""Tracked extreme eigenvalues against LAPACK: while a matrix moves, resumed, and where iterations fail."""

from __future__ import annotations

import numpy as np
import pytest

from lazygram.analysis import TrackedSpectrum
from lazygram.analysis import tracked as module

N = 120


@pytest.fixture(autouse=True)
def small_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """LAPACK is not asked for matrices of N rows."""
    monkeypatch.setattr(module, "_EXACT_UP_TO", 100)


def moving(rng: np.random.Generator, steps: int, size: float) -> list[np.ndarray]:
    """Gram matrices of a network whose patterns change: K o C / m with C from fewer and fewer bits."""
    X = rng.standard_normal((N, 40))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    K = X @ X.T
    active = X @ rng.standard_normal((40, 3000)) >= 0
    out = []
    for _ in range(steps):
        bits = active.astype(np.float32)
        out.append(K * (bits @ bits.T).astype(np.float64) / 3000)
        active ^= rng.random(active.shape) < size
    return out


def relative(ours: float, exact: float) -> float:
    return abs(ours - exact) / abs(exact)


def test_follows_lapack_while_the_matrix_moves(rng: np.random.Generator) -> None:
    matrices = moving(rng, 4, 2e-3)
    tracked = TrackedSpectrum(matrices[0])
    assert not tracked.exact
    assert tracked.change(matrices[0]) == 0.0
    for H in matrices:
        exact = np.linalg.eigvalsh(H)
        smallest, largest = tracked.extremes(H)
        # Rayleigh quotients: squares of the residual over the gap, on the known side up to rounding.
        rounding = N * np.finfo(float).eps * exact[-1]
        assert -rounding <= smallest - exact[0] <= 1e-5 * exact[0]
        assert -rounding <= exact[-1] - largest <= 1e-5 * exact[-1]
        if H is not matrices[0]:
            norm = np.abs(np.linalg.eigvalsh(H - matrices[0])).max()
            assert relative(tracked.change(H), norm) < 1e-5
    assert tracked.fallbacks == 0


def test_state_continues_bitwise(rng: np.random.Generator) -> None:
    first, second, third = moving(rng, 3, 1e-3)
    whole, part = TrackedSpectrum(first), TrackedSpectrum(first)
    for tracked in (whole, part):
        tracked.extremes(second)
        tracked.change(second)
    rest = TrackedSpectrum(first)
    rest.restore(part.state())
    assert rest.extremes(third) == whole.extremes(third)
    assert rest.change(third) == whole.change(third)


def test_what_does_not_converge_is_left_to_lapack(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = moving(rng, 2, 1e-3)
    monkeypatch.setattr(module, "_ITERATIONS", 1)
    tracked = TrackedSpectrum(first)
    exact = np.linalg.eigvalsh(second)
    np.testing.assert_allclose(tracked.extremes(second), [exact[0], exact[-1]], rtol=1e-10)
    norm = np.abs(np.linalg.eigvalsh(second - first)).max()
    assert tracked.change(second) == pytest.approx(norm, rel=1e-10)
    assert tracked.fallbacks == 3


def test_singular_and_small_matrices(rng: np.random.Generator) -> None:
    v = rng.standard_normal((N, 3))
    singular = v @ v.T
    smallest, largest = TrackedSpectrum(singular).extremes(singular)
    exact = np.linalg.eigvalsh(v.T @ v)[-1]
    assert largest == pytest.approx(exact, rel=1e-6)
    assert abs(smallest) < 1e-9 * exact
    small = np.array([[2.0, 1.0], [1.0, 2.0]])
    assert TrackedSpectrum(small).exact
    assert TrackedSpectrum(small).extremes(small) == pytest.approx((1.0, 3.0), rel=1e-15)
    assert TrackedSpectrum(small).change(small + np.diag([0.0, -0.5])) == 0.5
    assert TrackedSpectrum(singular, exact=True).exact
