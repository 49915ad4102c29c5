"""Infinite-width kernels against mpmath, spot values, Monte Carlo, and what is known of their spectrum."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lazygram import gram_infinite, two_layer_kernels


def reference(x: np.ndarray, y: np.ndarray) -> tuple[mpmath.mpf, mpmath.mpf, mpmath.mpf]:
    """(H_inf, K_a, |x||y|) of the given floating-point numbers with 60 digits."""
    with mpmath.workdps(60):
        u, v = [mpmath.mpf(float(t)) for t in x], [mpmath.mpf(float(t)) for t in y]
        nx, ny = mpmath.sqrt(mpmath.fdot(u, u)), mpmath.sqrt(mpmath.fdot(v, v))
        minus = mpmath.sqrt(sum((a / nx - b / ny) ** 2 for a, b in zip(u, v, strict=True)))
        plus = mpmath.sqrt(sum((a / nx + b / ny) ** 2 for a, b in zip(u, v, strict=True)))
        theta = 2 * mpmath.atan2(minus, plus)
        first = mpmath.fdot(u, v) * (mpmath.pi - theta) / (2 * mpmath.pi)
        second = nx * ny * (mpmath.sin(theta) + (mpmath.pi - theta) * mpmath.cos(theta)) / (2 * mpmath.pi)
        return first, second, nx * ny


def worst(
    X: np.ndarray, X2: np.ndarray | None = None, threads: int | None = None
) -> tuple[float, float, float]:
    """Largest errors of H_inf, K_a and their sum in units of eps |x||x'|."""
    Y = X if X2 is None else X2
    first = gram_infinite(X, X2, threads=threads)
    second = gram_infinite(X, X2, trained="second", threads=threads)
    both = gram_infinite(X, X2, trained="both", threads=threads)
    eps = float(np.finfo(X.dtype).eps)
    errors = np.zeros(3)
    for i, x in enumerate(X):
        for j, y in enumerate(Y):
            h, k, scale = reference(x, y)
            here = [
                abs(mpmath.mpf(float(value[i, j])) - expected) / (eps * scale)
                for value, expected in ((first, h), (second, k), (both, h + k))
            ]
            errors = np.maximum(errors, [float(e) for e in here])
    return float(errors[0]), float(errors[1]), float(errors[2])


# The documented error: a few roundings of |x||x'|, about 22 (1 / sin th at |cos| = 0.999) near the switch.
LIMIT = 30


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("dim", [1, 2, 3, 17])
def test_random_inputs(isa_level: str, rng: np.random.Generator, dtype: str, dim: int) -> None:
    X = (rng.normal(size=(9, dim)) * rng.uniform(0.1, 5, (9, 1))).astype(dtype)
    X2 = rng.normal(size=(5, dim)).astype(dtype)
    for errors in (worst(X, threads=2), worst(X, X2, threads=1)):
        assert max(errors) < LIMIT


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nearly_parallel_and_antiparallel(isa_level: str, dtype: str) -> None:
    """Angles from 0 to past the switch at |cos| = 0.999 (0.0447), both ends, unequal norms."""
    angles = [0.0, 1e-15, 1e-12, 1e-9, 1e-6, 1e-4, 1e-2, 0.0447, 0.0448, 0.05]
    x = np.array([1.0, 2.0, 3.0]) / math.sqrt(14)
    v = np.array([3.0, 0.0, -1.0]) / math.sqrt(10)
    rows = [f * (math.cos(t) * x + math.sin(t) * v) for t in angles for f in (1.0, -2.5)]
    assert max(worst(np.array(rows).astype(dtype))) < LIMIT


@pytest.mark.parametrize("psi", [1e-2, 1e-4, 1e-6, 1e-9])
def test_relative_accuracy_near_antiparallel(isa_level: str, psi: float) -> None:
    """K_a is about |x||y| psi^3 / (6 pi) there and must not be lost in the rounding of |x||y|."""
    X = np.array([[2.0, 0.0], [-3 * math.cos(psi), 3 * math.sin(psi)]])
    expected = float(reference(X[0], X[1])[1])
    got = gram_infinite(X, trained="second")[0, 1]
    # psi itself is known to a few roundings of the unit vectors: relative error 3 d psi / psi.
    assert abs(got - expected) <= expected * (1e-14 + 3 * 4.5e-16 / psi)


@pytest.mark.parametrize("factor", [1e-150, 1e-30, 1e30, 1e150])
def test_tiny_and_huge_norms(isa_level: str, rng: np.random.Generator, factor: float) -> None:
    X = rng.normal(size=(5, 4))
    assert max(worst(factor * X)) < LIMIT
    assert max(worst(X, factor * X)) < LIMIT
    single = X.astype(np.float32)
    assert max(worst(single, np.float32(1e15) * single)) < LIMIT


def test_spot_values_of_the_specification() -> None:
    X = (1.3 * np.sin(1.7 * np.arange(1, 13))).reshape(4, 3)
    H, K = gram_infinite(X), gram_infinite(X, trained="second")
    np.testing.assert_allclose(H[0, :2], [1.610429034674, 0.549265779444], rtol=0, atol=6e-13)
    np.testing.assert_allclose(K[0, :2], [1.610429034674, 0.904245365819], rtol=0, atol=6e-13)


def test_values_by_hand() -> None:
    X = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0], [-1.0, 0.0]])
    H, K = gram_infinite(X), gram_infinite(X, trained="second")
    np.testing.assert_allclose(H.diagonal(), [0.5, 2.0, 9.0, 0.5], rtol=2e-16)
    np.testing.assert_allclose(H[0], [0.5, 0.0, 3 * 3 / 8, 0.0], rtol=0, atol=1e-15)
    np.testing.assert_allclose(
        K[0], [0.5, 2 / (2 * np.pi), (3 + 9 * np.pi / 4) / (2 * np.pi), 0.0], rtol=0, atol=1e-15
    )


def test_monte_carlo(rng: np.random.Generator) -> None:
    """The expectations themselves: every entry within 5 standard errors."""
    X = rng.normal(size=(5, 3)) * [[0.5], [0.8], [1.0], [1.5], [2.0]]
    samples = 400_000
    Z = rng.normal(size=(samples, 3)) @ X.T
    for trained, values in (("first", (Z >= 0).astype(float)), ("second", np.maximum(Z, 0))):
        weight = X @ X.T if trained == "first" else np.ones((5, 5))
        mean = values.T @ values / samples
        error = np.sqrt(np.maximum((values**2).T @ values**2 / samples - mean**2, 0) / samples)
        deviation = np.abs(weight * mean - gram_infinite(X, trained=trained))  # type: ignore[arg-type]
        assert (deviation <= 5 * np.abs(weight) * error + 1e-12).all()


def lambda_min(X: np.ndarray, trained: str = "first") -> float:
    return float(np.linalg.eigvalsh(gram_infinite(X, trained=trained))[0])  # type: ignore[arg-type]


def test_positivity() -> None:
    """When H_inf is singular: positive multiples, or antiparallel pairs of linearly dependent directions."""
    angles = np.array([0.3, 1.5, 2.6])
    plane = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert lambda_min(np.concatenate([plane[:1], -plane[:1]])) == pytest.approx(0.5, abs=1e-15)
    assert lambda_min(np.concatenate([plane[:2], -plane[:2]])) > 0.01
    assert abs(lambda_min(np.concatenate([plane, -plane]))) < 4e-15
    space = np.array([[1.0, 0, 0], [0, 1, 0.2], [0.3, 0, 1], [0.5, -0.7, 0.4]])
    space /= np.linalg.norm(space, axis=1, keepdims=True)
    assert lambda_min(np.concatenate([space[:3], -space[:3]])) > 0.05
    assert abs(lambda_min(np.concatenate([space, -space]))) < 4e-15
    assert abs(lambda_min(np.stack([space[0], space[3], 2 * space[3]]))) < 4e-15
    assert lambda_min(space) > 0.05


def test_antiparallel_pair_is_exactly_diagonal() -> None:
    np.testing.assert_array_equal(gram_infinite([[3.0, 4.0], [-3.0, -4.0]]), [[12.5, 0.0], [0.0, 12.5]])


@given(st.integers(1, 12), st.integers(1, 6), st.integers(0, 2**32), st.sampled_from(["float32", "float64"]))
@settings(max_examples=50, deadline=None)
def test_properties(n: int, dim: int, seed: int, dtype: str) -> None:
    rng = np.random.default_rng(seed)
    X = (rng.normal(size=(n, dim)) * rng.uniform(0.5, 2, (n, 1))).astype(dtype)
    if rng.random() < 0.5:
        X = np.concatenate([X, X, -X])  # parallel and antiparallel pairs
    n = len(X)
    eps = float(np.finfo(dtype).eps)
    norms = np.linalg.norm(X.astype(float), axis=1)
    scale = norms.max() ** 2
    kernels = two_layer_kernels(X)
    first, second = gram_infinite(X), gram_infinite(X, trained="second")
    np.testing.assert_array_equal(kernels.nngp, second)
    np.testing.assert_array_equal(kernels.ntk, gram_infinite(X, trained="both"))
    np.testing.assert_allclose(kernels.ntk, first + second, rtol=0, atol=4 * eps * scale)
    for K, factor in ((first, 1), (second, 1), (kernels.ntk, 2)):
        assert K.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(K, K.T)
        np.testing.assert_allclose(K.diagonal(), factor * norms**2 / 2, rtol=4 * eps)
        assert (np.abs(K) <= factor * np.outer(norms, norms) / 2 * (1 + 4 * eps)).all()
        assert np.linalg.eigvalsh(K.astype(float))[0] >= -40 * n * eps * scale
        order = rng.permutation(n)
        np.testing.assert_allclose(
            gram_infinite(X[order], trained={1: "first", 2: "both"}[factor]) if K is not second
            else gram_infinite(X[order], trained="second"),
            K[np.ix_(order, order)], rtol=0, atol=60 * eps * scale,
        )  # fmt: skip
    assert (second >= 0).all()
    # homogeneous of degree 1 in each argument; powers of two are exact
    np.testing.assert_array_equal(gram_infinite(4 * X, X), 4 * gram_infinite(X, X.copy()))
    # invariant under rotation
    Q = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
    rotated = (X.astype(float) @ Q).astype(dtype)
    np.testing.assert_allclose(gram_infinite(rotated), first, rtol=0, atol=(60 + 8 * dim) * eps * scale)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_several_tiles(isa_level: str, rng: np.random.Generator, dtype: str) -> None:
    """Every entry of a matrix of several tiles, square and rectangular, by the plain formula."""
    X, X2 = rng.normal(size=(1030, 5)).astype(dtype), rng.normal(size=(517, 5)).astype(dtype)
    eps = float(np.finfo(dtype).eps)
    for Y in (None, X2):
        y = (X if Y is None else Y).astype(float)
        dots = X.astype(float) @ y.T
        norms = np.outer(np.linalg.norm(X.astype(float), axis=1), np.linalg.norm(y, axis=1))
        theta = np.arccos(np.clip(dots / norms, -1, 1))
        first = dots * (np.pi - theta) / (2 * np.pi)
        second = norms * (np.sin(theta) + (np.pi - theta) * np.cos(theta)) / (2 * np.pi)
        # arccos of a rounded cosine: the reference itself is only good to sqrt(eps) next to the ends
        bound = (LIMIT * eps + 1e-8) * norms
        for trained, expected in (("first", first), ("second", second), ("both", first + second)):
            values = gram_infinite(X, Y, trained=trained)  # type: ignore[arg-type]
            assert (np.abs(values - expected) <= bound).all()
            if Y is None:
                np.testing.assert_array_equal(values, values.T)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_into_arrays_at_hand(rng: np.random.Generator, dtype: str) -> None:
    X, X2 = rng.normal(size=(300, 5)).astype(dtype), rng.normal(size=(41, 5)).astype(dtype)
    for second in (None, X2):
        cols = 300 if second is None else 41
        frame = np.full((300, cols + 3), 7.0, dtype)
        out = frame[:, 1 : cols + 1]
        assert gram_infinite(X, second, out=out) is out
        assert np.array_equal(out, gram_infinite(X, second))
        assert np.all(frame[:, [0, cols + 1, cols + 2]] == 7.0)
        pair = (np.empty((300, cols), dtype), np.empty((300, cols), dtype))
        kernels = two_layer_kernels(X, second, out=pair)
        assert kernels.nngp is pair[0]
        assert kernels.ntk is pair[1]
        assert np.array_equal(kernels, two_layer_kernels(X, second))


def test_errors_of_arrays_at_hand() -> None:
    X, good = np.ones((3, 3)), np.empty((3, 3))
    bad = {
        "out: needs shape": np.empty((3, 2)),
        "out: must be a NumPy array": [[0.0] * 3] * 3,
        "out: must be float32 or float64": np.empty((3, 3), int),
        "out: must be float64, as X, with contiguous rows": np.empty((3, 3), np.float32),
        "with contiguous rows": np.empty((3, 3), order="F"),
        "out: shares memory with the examples": X,
    }
    for message, out in bad.items():
        with pytest.raises((TypeError, ValueError), match=message):
            gram_infinite(X, out=out)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="its two arrays share memory"):
        two_layer_kernels(X, out=(good, good))
    with pytest.raises(TypeError, match="out: a pair of arrays"):
        two_layer_kernels(X, out=good)  # type: ignore[arg-type]


def test_layouts_and_dtypes(rng: np.random.Generator) -> None:
    X = rng.normal(size=(6, 4))
    expected = gram_infinite(X)
    frozen = X.copy()
    frozen.flags.writeable = False
    for x in (
        np.asfortranarray(X),
        np.repeat(X, 2, axis=0)[::2],
        np.repeat(X, 2, axis=1)[:, ::2],
        frozen,
        X.tolist(),
    ):
        np.testing.assert_array_equal(gram_infinite(x), expected)
    integers = rng.integers(1, 5, (4, 3))
    np.testing.assert_array_equal(gram_infinite(integers), gram_infinite(integers.astype(float)))
    mixed = gram_infinite(X.astype(np.float32), X)  # the dtype of X decides
    assert mixed.dtype == np.float32


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        (([[0.0, 0.0]],), ValueError, "X: row 0 is zero and has no direction"),
        (([[1.0, 0.0]], [[1.0, 1.0], [0.0, -0.0]]), ValueError, "X2: row 1 is zero"),
        (([[1.0, 0.0]], [[1.0]]), ValueError, "X2: 2 columns are needed, got 1"),
        ((np.ones((0, 2)),), ValueError, "X: is empty"),
        ((np.ones(2),), ValueError, "X: a 2-D array"),
        (([[np.nan, 1.0]],), ValueError, r"X: entry \(0, 0\) is nan"),
        (([[1.0, 1.0]], [[1.0, np.inf]]), ValueError, r"X2: entry \(0, 1\) is inf"),
        (([[1j]],), TypeError, "X: real numbers"),
    ],
)
def test_bad_input(arguments: tuple[object, ...], kind: type[Exception], text: str) -> None:
    for function in (gram_infinite, two_layer_kernels):
        with pytest.raises(kind, match=text):
            function(*arguments)


def test_bad_options() -> None:
    with pytest.raises(ValueError, match="trained: 'first', 'second' or 'both' is needed, got 'all'"):
        gram_infinite([[1.0]], trained="all")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="threads: must be positive"):
        gram_infinite([[1.0]], threads=0)
