"""TwoLayerReLU: predictions by the formula, weights on demand, and what its arguments may be."""

from __future__ import annotations

import numpy as np
import pytest

from lazygram import TwoLayerReLU


def reference(W: np.ndarray, a: np.ndarray, X: np.ndarray) -> np.ndarray:
    return np.maximum(X.astype(float) @ W.astype(float).T, 0) @ a.astype(float) / np.sqrt(len(a))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", [1, 31, 512, 513, 1100])
@pytest.mark.parametrize("n", [1, 300])
def test_predictions(isa_level: str, rng: np.random.Generator, dtype: str, width: int, n: int) -> None:
    X = rng.normal(size=(n, 6)).astype(dtype)
    network = TwoLayerReLU(width, 6, seed=4, dtype=dtype)
    expected = reference(network.weights(), network.signs, X)
    # Rounding of pre-activations of size 1 to 5, averaged over the neurons; sums are float64.
    tolerance = 40 * np.finfo(dtype).eps
    for threads in (1, 2):
        u = network.predict(X, threads=threads)
        assert u.dtype == np.float64
        assert u.shape == (n,)
        np.testing.assert_allclose(u, expected, rtol=0, atol=tolerance)
    stored = TwoLayerReLU.from_weights(network.weights(), network.signs)
    np.testing.assert_array_equal(stored.predict(X), u)
    np.testing.assert_array_equal(stored.gram(X), network.gram(X))
    assert stored.patterns(X) == network.patterns(X)


def test_variance_at_initialisation(rng: np.random.Generator) -> None:
    """E f(x)^2 = |x|^2 / 2 exactly; mean square over seeds within 4.5 standard errors."""
    x = rng.normal(size=(1, 5))
    squares = [TwoLayerReLU(256, 5, seed=s).predict(x)[0] ** 2 for s in range(400)]
    error = np.std(squares) / np.sqrt(400)
    assert abs(np.mean(squares) - (x**2).sum() / 2) < 4.5 * error


def test_antisymmetric_network_is_zero(isa_level: str, rng: np.random.Generator) -> None:
    X = rng.normal(size=(20, 5))
    for width in (1022, 2048):  # up to the rounding of a sum of 2048 terms of size 1, over sqrt(2048)
        zero = TwoLayerReLU(width, 5, seed=1, antisymmetric=True).predict(X)
        np.testing.assert_allclose(zero, 0, rtol=0, atol=1e-13)
    network = TwoLayerReLU(2048, 5, seed=1, antisymmetric=True)
    assert network.antisymmetric
    half = TwoLayerReLU(1024, 5, seed=1)
    np.testing.assert_array_equal(network.gram(X), half.gram(X))


def test_weights() -> None:
    network = TwoLayerReLU(20, 3, seed=1)
    W = network.weights()
    assert W.shape == (20, 3)
    for rows in (slice(2, 5), slice(None, None, -3), slice(30, 40), [1, -1], np.array([3]), np.uint8([7, 2])):
        np.testing.assert_array_equal(network.weights(rows), W[rows])
    np.testing.assert_array_equal(network.weights(4), W[4:5])
    np.testing.assert_array_equal(network.weights(np.int64(-20)), W[:1])
    stored = TwoLayerReLU.from_weights(W, network.signs)
    for rows in (None, 4, -1, slice(2, 5), [1, -1]):
        np.testing.assert_array_equal(stored.weights(rows), network.weights(rows))
    for other in (network, stored):  # copies: changing them changes nothing
        other.weights()[:] = 0
        other.signs[:] = 0
        np.testing.assert_array_equal(other.weights(), W)
        assert set(np.unique(other.signs)) == {-1.0, 1.0}
        for bad in (20, -21, [0, 20]):
            with pytest.raises(IndexError, match="rows: out of range for width 20"):
                other.weights(bad)
        for wrong in (1.5, "a", [[1, 2]], [True] * 20):
            with pytest.raises(TypeError, match="rows: an int, a slice or a 1-D array"):
                other.weights(wrong)  # type: ignore[arg-type]


def test_very_wide_networks_cost_nothing_until_used() -> None:
    network = TwoLayerReLU(10**12, 4, seed=3)
    assert network.weights([0, 10**12 - 1]).shape == (2, 4)
    assert network.width == 10**12
    assert repr(network) == "TwoLayerReLU(width=1000000000000, dim=4, seed=3, dtype=float64)"


def test_inputs_are_converted_to_the_dtype_of_the_network(rng: np.random.Generator) -> None:
    X = rng.normal(size=(5, 3))
    single = TwoLayerReLU(30, 3, dtype=np.float32)
    np.testing.assert_array_equal(single.predict(X), single.predict(X.astype(np.float32)))
    double = TwoLayerReLU(30, 3)
    np.testing.assert_array_equal(double.predict(np.ones((1, 3), int)), double.predict(np.ones((1, 3))))
    frozen = X.copy()
    frozen.flags.writeable = False
    for x in (np.asfortranarray(X), frozen, np.repeat(X, 2, axis=1)[:, ::2], X.tolist()):
        np.testing.assert_array_equal(double.predict(x), double.predict(X))


def test_properties_of_stored_networks(rng: np.random.Generator) -> None:
    W = rng.normal(size=(30, 3)).astype(np.float32)
    network = TwoLayerReLU.from_weights(W, np.ones(30))
    assert (network.width, network.dim, network.dtype, network.seed) == (30, 3, np.float32, None)
    assert network.signs.dtype == np.float32
    assert not network.antisymmetric
    assert "from_weights" in repr(network)
    assert TwoLayerReLU.from_weights([[1, 2]], [1]).dtype == np.float64


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ({"width": 0}, ValueError, "width: must be positive"),
        ({"width": -1}, ValueError, "width: must not be negative"),
        ({"width": 2.0}, TypeError, "width: an integer"),
        ({"width": 2**63}, ValueError, "width: must be below 2"),
        ({"dim": 0}, ValueError, "dim: must be positive"),
        ({"dim": "3"}, TypeError, "dim: an integer"),
        ({"seed": -1}, ValueError, "seed: must not be negative"),
        ({"seed": 1.0}, TypeError, "seed: an int or numpy.random.Generator"),
        ({"dtype": "float16"}, ValueError, "dtype: float32 or float64 is needed, got 'float16'"),
        ({"dtype": "nonsense"}, ValueError, "dtype: float32 or float64"),
        ({"dtype": None}, ValueError, "dtype: float32 or float64"),
        ({"width": 3, "antisymmetric": True}, ValueError, "width: must be even"),
    ],
)
def test_bad_networks(arguments: dict[str, object], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        TwoLayerReLU(**({"width": 4, "dim": 3} | arguments))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("W", "a", "kind", "text"),
    [
        (np.ones(3), [1.0], ValueError, "W: a 2-D array"),
        (np.ones((0, 3)), [], ValueError, "W: is empty"),
        (np.ones((2, 3)), [1.0], ValueError, "a: length 2 is needed, got 1"),
        (np.ones((2, 3)), [1.0, np.nan], ValueError, r"a: entry \(1,\) is nan"),
        ([[np.inf]], [1.0], ValueError, r"W: entry \(0, 0\) is inf"),
        (np.ones((2, 3)), ["a", "b"], TypeError, "a: real numbers"),
        ([[1j]], [1.0], TypeError, "W: real numbers"),
    ],
)
def test_bad_weights(W: object, a: object, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        TwoLayerReLU.from_weights(W, a)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["predict", "patterns", "gram"])
def test_bad_examples(method: str) -> None:
    call = getattr(TwoLayerReLU(4, 3), method)
    for bad, kind, text in (
        (np.ones((2, 2)), ValueError, "X: 3 columns are needed, got 2"),
        (np.ones(3), ValueError, "X: a 2-D array"),
        (np.ones((0, 3)), ValueError, "X: is empty"),
        ([[1, np.nan, 2]], ValueError, r"X: entry \(0, 1\) is nan"),
        ([["a", "b", "c"]], TypeError, "X: real numbers"),
    ):
        with pytest.raises(kind, match=text):
            call(bad)
    with pytest.raises(ValueError, match="threads: must be positive"):
        call(np.ones((1, 3)), threads=0)
    with pytest.raises(ValueError, match="threads: at most"):
        call(np.ones((1, 3)), threads=10**6)
    if method == "gram":
        with pytest.raises(ValueError, match="X2: 3 columns are needed, got 4"):
            call(np.ones((1, 3)), np.ones((1, 4)))
