"""Finite-width Gram matrix H = (X X^T) o C / m against NumPy, its properties, and its limit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lazygram import TwoLayerReLU, gram_finite, gram_infinite

EPS = np.finfo(float).eps


def reference(W: np.ndarray, X: np.ndarray, X2: np.ndarray | None = None) -> np.ndarray:
    """H of the definition, in the given dtype for the patterns and float64 for the rest."""
    X2 = X if X2 is None else X2
    M, M2 = X @ W.T >= 0, X2 @ W.T >= 0
    counts = M.astype(float) @ M2.astype(float).T
    return (X.astype(float) @ X2.astype(float).T) * counts / len(W)


def assert_close(H: np.ndarray, expected: np.ndarray, X: np.ndarray, X2: np.ndarray) -> None:
    """A few roundings of |x||x'| per entry: inner products of `dim` terms in any order."""
    norms = np.linalg.norm(X.astype(float), axis=1), np.linalg.norm(X2.astype(float), axis=1)
    bound = (X.shape[1] + 4) * EPS * np.outer(*norms)
    assert (np.abs(H - expected) <= bound).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("n", "n2"), [(1, 1), (3, 40), (40, 3), (130, 129)])
@pytest.mark.parametrize("width", [1, 513, 1000])
def test_definition(
    isa_level: str, rng: np.random.Generator, dtype: str, n: int, n2: int, width: int
) -> None:
    # Quarters of small integers: exact pre-activations, so that no sign depends on rounding.
    W = rng.integers(-8, 9, (width, 5)).astype(dtype) / 4
    X = rng.integers(-8, 9, (n, 5)).astype(dtype) / 4
    X2 = rng.integers(-8, 9, (n2, 5)).astype(dtype) / 4
    for threads in (1, 2):
        H = gram_finite(W, X, threads=threads)
        assert H.dtype == np.float64
        np.testing.assert_array_equal(H, H.T)
        assert_close(H, reference(W, X), X, X)
        assert_close(gram_finite(W, X, X2, threads=threads), reference(W, X, X2), X, X2)


def test_hand_computed() -> None:
    W = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [1.0, -1.0]]
    X = [[1.0, 1.0], [2.0, -1.0]]
    # active: x1 by w1, w2, w4 (0 counts); x2 by w1, w4
    np.testing.assert_array_equal(gram_finite(W, X), [[2 * 3 / 4, 1 * 2 / 4], [1 * 2 / 4, 5 * 2 / 4]])


def test_network_gram_is_the_same(isa_level: str, rng: np.random.Generator) -> None:
    X, X2 = rng.normal(size=(20, 6)), rng.normal(size=(9, 6))
    for dtype in ("float32", "float64"):
        x, x2 = X.astype(dtype), X2.astype(dtype)
        network = TwoLayerReLU(1300, 6, seed=2, dtype=dtype)
        np.testing.assert_array_equal(network.gram(x), gram_finite(network.weights(), x))
        np.testing.assert_array_equal(network.gram(x, x2), gram_finite(network.weights(), x, x2))


def test_gradients_give_the_gram_matrix(rng: np.random.Generator) -> None:
    """H_ij = <df(x_i)/dW, df(x_j)/dW> with a_r = +-1, by central differences of predict."""
    network = TwoLayerReLU(12, 3, seed=4)
    W, a, X = network.weights(), network.signs, rng.normal(size=(5, 3))
    step = 1e-6
    assert np.abs(X @ W.T).min() > 10 * step  # no kink within a step
    jacobian = np.empty((5, 36))
    for k in range(36):
        shift = np.zeros(36)
        shift[k] = step
        plus, minus = (TwoLayerReLU.from_weights(W + s * shift.reshape(12, 3), a).predict(X) for s in (1, -1))
        jacobian[:, k] = (plus - minus) / (2 * step)
    np.testing.assert_allclose(jacobian @ jacobian.T, network.gram(X), rtol=0, atol=1e-8)


def test_concentration_around_the_limit(rng: np.random.Generator) -> None:
    """Entrywise Hoeffding bound of Lemma 2.1 with delta = 1e-9."""
    n = 30
    X = rng.normal(size=(n, 8))
    X *= rng.uniform(0.5, 2, (n, 1))
    for width in (1000, 100_000):
        H = TwoLayerReLU(width, 8, seed=width).gram(X)
        bound = np.abs(X @ X.T) * np.sqrt(np.log(2 * n**2 / 1e-9) / (2 * width))
        assert (np.abs(H - gram_infinite(X)) <= bound).all()


def test_large_width_without_bias() -> None:
    """Mean over independent seeds against H_inf, with the binomial standard error of every entry."""
    X = np.random.default_rng(0).normal(size=(6, 3))
    limit, dots = gram_infinite(X), X @ X.T
    share = limit / dots
    width, repeats = 2**16, 20
    mean = np.mean([TwoLayerReLU(width, 3, seed=s).gram(X) for s in range(repeats)], axis=0)
    error = np.abs(dots) * np.sqrt(share * (1 - share) / (width * repeats))
    assert (np.abs(mean - limit) < 4.5 * error + 1e-15).all()


@given(st.integers(1, 20), st.integers(1, 6), st.integers(1, 700), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_properties(n: int, dim: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    W, X = rng.normal(size=(width, dim)), rng.normal(size=(n, dim))
    H = gram_finite(W, X)
    norms = np.linalg.norm(X, axis=1)
    slack = 1 + 10 * EPS
    np.testing.assert_array_equal(H, H.T)
    assert np.linalg.eigvalsh(H)[0] >= -n * 20 * EPS * (norms**2).max()
    assert (np.abs(H) <= np.outer(norms, norms) * slack).all()
    assert (np.abs(H) <= np.sqrt(np.outer(H.diagonal(), H.diagonal())) * slack + 1e-300).all()
    share = (X @ W.T >= 0).mean(axis=1)
    np.testing.assert_allclose(H.diagonal(), norms**2 * share, rtol=20 * EPS, atol=0)
    order = rng.permutation(n)
    np.testing.assert_allclose(
        gram_finite(W, X[order]), H[np.ix_(order, order)], rtol=0, atol=20 * EPS * norms.max() ** 2
    )
    np.testing.assert_allclose(gram_finite(W[::-1], X), H, rtol=0, atol=20 * EPS * norms.max() ** 2)
    np.testing.assert_allclose(gram_finite(2 * W, 4 * X), 16 * H, rtol=1e-14, atol=0)


def test_zero_rows_give_zeros(isa_level: str, rng: np.random.Generator) -> None:
    X = rng.normal(size=(5, 3))
    X[2] = 0
    H = gram_finite(rng.normal(size=(100, 3)), X)
    assert not H[2].any()
    assert not H[:, 2].any()


def test_layouts(rng: np.random.Generator) -> None:
    W, X = rng.normal(size=(90, 4)), rng.normal(size=(8, 4))
    expected = gram_finite(W, X)
    frozen = X.copy()
    frozen.flags.writeable = False
    for x in (np.asfortranarray(X), np.repeat(X, 2, axis=0)[::2], frozen, X.tolist()):
        np.testing.assert_array_equal(gram_finite(np.asfortranarray(W), x), expected)
    np.testing.assert_array_equal(gram_finite(W, np.ones((2, 4), int)), gram_finite(W, np.ones((2, 4))))


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ((np.ones((2, 3)), np.ones((4, 2))), ValueError, "W: 2 columns are needed, got 3"),
        ((np.ones((2, 3)), np.ones((4, 3)), np.ones((4, 2))), ValueError, "X2: 3 columns are needed, got 2"),
        ((np.ones((2, 3)), np.ones(3)), ValueError, "X: a 2-D array"),
        ((np.ones((2, 3)), np.ones((1, 3)), np.ones(3)), ValueError, "X2: a 2-D array"),
        ((np.ones((2, 3)), np.ones((0, 3))), ValueError, "X: is empty"),
        ((np.ones((2, 3)), [[np.nan] * 3]), ValueError, r"X: entry \(0, 0\) is nan"),
        ((np.ones((2, 3)), np.ones((1, 3)), [[np.inf] * 3]), ValueError, r"X2: entry \(0, 0\) is inf"),
        (([["a"]], np.ones((1, 1))), TypeError, "W: real numbers"),
    ],
)
def test_bad_input(arguments: tuple[object, ...], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        gram_finite(*arguments)  # type: ignore[arg-type]
