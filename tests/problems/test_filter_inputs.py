"""Input laws: quadrature against closed forms, against sampling, and the table of Section 6.5."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad

from lazygram.problems.conv_filter import sample_moments
from lazygram.problems.filter_inputs import (
    GaussianInputs,
    NearbyPatches,
    PolarInputs,
    SphereInputs,
    TruncatedNormalInputs,
)

LAWS: list[PolarInputs] = [
    TruncatedNormalInputs(2, 0.5),
    TruncatedNormalInputs(3, 1.0),
    TruncatedNormalInputs(10, math.inf),
    SphereInputs(4),
    GaussianInputs(3),
]


def filter_at(phi: float, dim: int) -> Any:
    w = np.zeros(dim)
    w[:2] = np.cos(phi), np.sin(phi)
    return w


@pytest.mark.parametrize("phi", [0.0, 0.01, 1.0, np.pi / 2, 2.5, np.pi])
def test_exact_eigenvalues(phi: float) -> None:
    """Circle: (phi -+ sin phi) / (4 pi); N(0, I): (phi -+ sin phi) / (2 pi), and phi / (2 pi) across."""
    near, far = np.array([phi - np.sin(phi), phi + np.sin(phi)]), np.pi - phi
    circle = SphereInputs(2).moments(phi)
    np.testing.assert_allclose(circle.eigenvalues("first"), near / (4 * np.pi), atol=1e-14)
    both = np.array([far - np.sin(phi), far + np.sin(phi)]) / (4 * np.pi)
    np.testing.assert_allclose(circle.eigenvalues(), both, atol=1e-14)
    for dim in (2, 3, 5, 40):
        normal = GaussianInputs(dim).moments(phi)
        across = [] if dim == 2 else [phi]
        np.testing.assert_allclose(
            normal.eigenvalues("first"), np.sort([*near, *across]) / (2 * np.pi), atol=1e-14
        )
        across = [] if dim == 2 else [far]
        expected = np.sort([far - np.sin(phi), far + np.sin(phi), *across]) / (2 * np.pi)
        np.testing.assert_allclose(normal.eigenvalues(), expected, atol=1e-14)


def test_table_of_smoothness() -> None:
    """gamma(0), L(0) for p = 2, and the closed forms m / (2 (p-1)), (1-m) / 2 by another quadrature."""
    table = {0.25: (0.0294, 0.4706), 0.5: (0.0977, 0.4023), 1: (0.1932, 0.3068), 2: (0.2347, 0.2653)}
    for sigma, expected in {**table, 10: (0.2494, 0.2506), math.inf: (0.25, 0.25)}.items():
        values = TruncatedNormalInputs(2, sigma).moments(0.0).eigenvalues()
        np.testing.assert_allclose(values, expected, atol=5.1e-5)
    ratios = [
        values[1] / values[0]
        for values in (TruncatedNormalInputs(2, s).moments(0.0).eigenvalues() for s in (0.25, 0.5, 1, 2, 10))
    ]
    np.testing.assert_allclose(ratios, [16.0, 4.12, 1.59, 1.13, 1.01], atol=0.025)
    for sigma, dim in ((0.01, 2), (0.25, 5), (1.0, 10)):

        def part(power: int, s: float = sigma) -> float:
            end = min(np.pi / 2, 12 * s)
            return float(quad(lambda t: np.sin(t) ** power * np.exp(-0.5 * (t / s) ** 2), 0, end)[0])

        m = part(2) / part(0)
        values = TruncatedNormalInputs(dim, sigma).moments(0.0).eigenvalues()
        expected = np.sort([m / (2 * (dim - 1))] * (dim > 2) + [m / (2 * (dim - 1)), (1 - m) / 2])
        np.testing.assert_allclose(values, expected, rtol=1e-9)


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_density_and_samples_agree(law: PolarInputs, rng: np.random.Generator) -> None:
    assert quad(lambda t: law.density(np.array(t)), 0, np.pi, points=[np.pi / 2])[0] == pytest.approx(1.0)
    Z = law.sample(50_000, rng)
    assert Z.shape == (50_000, 1, law.dim)
    norms2 = (Z**2).sum(axis=-1)
    assert norms2.mean() == pytest.approx(law.squared_length, rel=0.02)
    for phi in (0.7, 2.0):
        exact, w = law.moments(phi), filter_at(phi, law.dim)
        region = (Z @ w >= 0) & (Z[..., 0] >= 0), (Z @ w >= 0) & (Z[..., 0] < 0)
        for inside, plane, across in (
            (region[0], exact.both, exact.both_across),
            (region[1], exact.first, exact.first_across),
        ):
            terms = Z[:, 0, :, None] * Z[:, 0, None, :] * inside[..., None]
            expected = np.zeros((law.dim, law.dim))
            expected[:2, :2] = plane
            for j in range(2, law.dim):
                expected[j, j] = across
            error = terms.std(axis=0) / np.sqrt(len(Z)) + 1e-9
            assert (np.abs(terms.mean(axis=0) - expected) / error).max() < 4.5


@pytest.mark.parametrize(("count", "spread"), [(1, 0.3), (4, 0.3), (3, 2.0), (2, math.inf)])
def test_moments_of_nearby_patches(count: int, spread: float, rng: np.random.Generator) -> None:
    law = NearbyPatches(TruncatedNormalInputs(2, 1.0), count, spread)
    assert (law.dim, law.patches) == (2, count)
    n, phi = 60_000, 1.1
    Z, w, e = law.sample(n, rng), filter_at(phi, 2), np.array([1.0, 0.0])
    np.testing.assert_allclose(np.linalg.norm(Z, axis=-1), 1.0, rtol=1e-12)
    exact = law.moments(phi)
    blocks = [sample_moments(w, e, part) for part in np.split(Z, 30)]
    for name in ("both", "first", "both_first", "both_second", "first_second"):
        values = np.array([getattr(block, name) for block in blocks])
        error = values.std(axis=0, ddof=1) / np.sqrt(30) + 1e-7  # events too rare to be drawn
        assert (np.abs(values.mean(axis=0) - getattr(exact, name)) / error).max() < 5
    if count == 1:
        for name in ("both_first", "both_second", "first_second"):
            np.testing.assert_array_equal(getattr(exact, name), 0)


def test_nearby_patches_in_the_limits() -> None:
    """Identical patches are one patch; independent uniform ones factorise."""
    base = TruncatedNormalInputs(2, 1.0)
    one = base.moments(0.9)
    close = NearbyPatches(base, 20, 1e-4).moments(0.9)
    # A pair is cut apart by a region's edge with probability of the order of the spread.
    np.testing.assert_allclose(close.both, one.both, atol=2e-4)
    np.testing.assert_allclose(close.first, one.first, atol=2e-4)
    phi, k = 0.9, 3
    uniform = NearbyPatches(base, k, math.inf).moments(phi)

    def mean(low: float, high: float) -> Any:
        return np.array([np.sin(high) - np.sin(low), np.cos(low) - np.cos(high)]) / (2 * np.pi)

    half = np.pi / 2
    both, first, second = mean(phi - half, half), mean(half, half + phi), mean(-half, phi - half)
    pairs = (k - 1) / k
    np.testing.assert_allclose(uniform.both_first, pairs * np.outer(both, first), atol=1e-12)
    np.testing.assert_allclose(uniform.first_second, pairs * np.outer(first, second), atol=1e-12)
    circle = SphereInputs(2).moments(phi)
    np.testing.assert_allclose(uniform.both, pairs * np.outer(both, both) + circle.both / k, atol=1e-12)


def test_quadrature_of_nearby_patches_is_converged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the nodes change nothing beyond the stated error."""
    import lazygram.problems.filter_inputs as module

    laws = [NearbyPatches(TruncatedNormalInputs(2, s), 5, s2) for s, s2 in ((1.0, 0.02), (0.1, 0.7))]
    coarse = [law.moments(0.37) for law in laws]
    pieces = module._pieces
    monkeypatch.setattr(module, "_NODES", 96)
    monkeypatch.setattr(module, "_pieces", lambda e, low, high, count=96: pieces(e, low, high, 2 * count))
    for law, old in zip(laws, coarse, strict=True):
        new = law.moments(0.37)
        for name in ("both", "first", "both_first", "both_second", "first_second"):
            np.testing.assert_allclose(getattr(old, name), getattr(new, name), atol=1e-10)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TruncatedNormalInputs(1, 1.0), "dim: must be at least 2"),
        (lambda: TruncatedNormalInputs(2, 0.0), "sigma: must be positive"),
        (lambda: SphereInputs(2).moments(4.0), "phi: an angle"),
        (lambda: NearbyPatches(GaussianInputs(2), 3, 1.0), "base: unit patches"),
        (lambda: NearbyPatches(SphereInputs(2), 0, 1.0), "count: must be positive"),
        (lambda: NearbyPatches(SphereInputs(2), 2, -1.0), "spread: must be positive"),
        (lambda: NearbyPatches(SphereInputs(3), 2, 1.0).moments(1.0), "dim: moments of several"),
        (lambda: NearbyPatches(SphereInputs(2), 2, 1.0).moments(-1.0), "phi: an angle"),
    ],
)
def test_errors_name_the_argument(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
