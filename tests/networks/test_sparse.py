"""Sparse, shared weights: maps, convolutions, and the balancing identities at every parameter value."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import correlate

from lazygram.networks import SparseNetwork, convolution_map, dense_map
from lazygram.problems import balancing


def gradients(network: SparseNetwork, rng: np.random.Generator) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """dL/dv_h and dL/dW_h of the loss sum cos(f), a differentiable loss like any other."""
    X = rng.normal(size=(9, network.dim))
    forward = network.forward(X)
    weight = -np.sin(forward.outputs)
    shared = network.backward(forward, weight)
    dense = SparseNetwork.from_parameters(
        [W.ravel() for W in network.matrices()],
        [dense_map(*W.shape) for W in network.matrices()],
        network.activations,
    )
    full = dense.backward(dense.forward(X), weight)
    return shared, [g.reshape(W.shape) for g, W in zip(full, network.matrices(), strict=True)]


def test_matrix_has_the_weights_where_the_map_says(rng: np.random.Generator) -> None:
    places = np.array([[0, 2, 1], [3, 2, 0]])
    network = SparseNetwork.from_parameters([np.array([5.0, 7.0, 11.0])], [places])
    np.testing.assert_array_equal(network.matrices()[0], [[0, 7, 5], [11, 7, 0]])
    np.testing.assert_array_equal(network.predict([[1.0, 10.0, 100.0]]), [[570.0, 81.0]])


def test_gradient_adds_up_over_places(rng: np.random.Generator) -> None:
    places = np.array([[0, 2, 1], [3, 2, 0], [2, 1, 1]])
    network = SparseNetwork([places, dense_map(2, 3)], seed=1)
    shared, full = gradients(network, rng)
    expected = [full[0][places == k].sum() for k in (1, 2, 3)]
    np.testing.assert_allclose(shared[0], expected, rtol=1e-13)
    np.testing.assert_allclose(shared[1], full[1].ravel(), rtol=1e-13)


@pytest.mark.parametrize(("image", "patch"), [((7,), (3,)), ((4, 5), (3, 3)), ((4, 5), (1, 3))])
def test_convolution_map_is_a_convolution(
    image: tuple[int, ...], patch: tuple[int, ...], rng: np.random.Generator
) -> None:
    places = convolution_map(2, 3, image, patch)
    q, p = int(np.prod(patch)), int(np.prod(image))
    assert places.shape == (3 * p, 2 * p)
    assert places.max() == 3 * 2 * q
    filters = rng.normal(size=(3, 2, *patch))
    network = SparseNetwork.from_parameters([filters.ravel()], [places])
    x = rng.normal(size=(2, *image))
    expected = [sum(correlate(x[c], filters[o, c], mode="same") for c in range(2)) for o in range(3)]
    np.testing.assert_allclose(network.predict([x.ravel()])[0], np.ravel(expected), rtol=1e-12, atol=1e-13)


def balanced(a: float, b: float) -> None:
    assert abs(a - b) <= 1e-13 * max(1.0, abs(a), abs(b))


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "identity"])
def test_balancing_of_dense_layers(activation: str, rng: np.random.Generator) -> None:
    """Neuron by neuron and layer by layer, for positively homogeneous activations."""
    network = SparseNetwork([dense_map(6, 5), dense_map(4, 6), dense_map(3, 4)], activation, seed=2)
    W = network.matrices()
    _, g = gradients(network, rng)
    for h in range(2):
        inflow, outflow = (W[h] * g[h]).sum(axis=1), (W[h + 1] * g[h + 1]).sum(axis=0)
        for a, b in zip(inflow, outflow, strict=True):
            balanced(a, b)
        balanced((W[h] * g[h]).sum(), (W[h + 1] * g[h + 1]).sum())
        gap = np.abs(W[h + 1].T @ g[h + 1] - g[h] @ W[h].T).max()
        # The matrix identity holds for a linear gap and fails for ReLU.
        assert gap <= 1e-13 * np.abs(g[h] @ W[h].T).max() if activation == "identity" else gap > 1e-3


def test_balancing_of_shared_weights(rng: np.random.Generator) -> None:
    """<v_h, dL/dv_h> is the same for all layers: convolutions, and a map without any structure."""
    maps = [
        convolution_map(2, 4, (3, 4)),
        convolution_map(4, 3, (3, 4), (1, 3)),
        rng.permutation(np.arange(20 * 36) % 91).reshape(20, 36),
        dense_map(2, 20),
    ]
    network = SparseNetwork(maps, ["relu", "leaky_relu", "relu"], seed=5)
    g, _ = gradients(network, rng)
    flows = [float(v @ d) for v, d in zip(network.parameters, g, strict=True)]
    for flow in flows[1:]:
        balanced(flows[0], flow)
    assert abs(flows[0]) > 0.1
    smooth = SparseNetwork(maps, "softplus", seed=5)
    g, _ = gradients(smooth, rng)
    flows = [float(v @ d) for v, d in zip(smooth.parameters, g, strict=True)]
    assert max(flows) - min(flows) > 1e-3  # softplus is not homogeneous


def test_the_objective_of_the_balancing_theorem_is_this_network(rng: np.random.Generator) -> None:
    """Two pieces of code that share none: a NumPy function of the weights, and the network."""
    maps = [convolution_map(1, 2, (6,), (3,)), balancing.sparse_map(5, 12, 0.5, seed=1), dense_map(3, 5)]
    np.testing.assert_array_equal(maps[0], balancing.convolution_map(6, 1, 2, 3))
    network = SparseNetwork(maps, ["relu", "identity"], seed=2)
    X, y = rng.standard_normal((8, 6)), rng.standard_normal((8, 3))
    forward = network.forward(X)
    gradients = network.backward(forward, (forward.outputs - y) / len(y))
    objective = balancing.HomogeneousNetwork(X, y, (0.0, 1.0), maps)
    assert objective.value(network.parameters) == pytest.approx(
        0.5 * np.sum((forward.outputs - y) ** 2) / len(y), rel=1e-14
    )
    for ours, theirs in zip(gradients, objective.gradient(network.parameters), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-13 * np.abs(theirs).max())


def test_scales_of_the_initialisation() -> None:
    places = [dense_map(200, 100), dense_map(1, 200)]
    v1, v2 = SparseNetwork(places, seed=1).parameters
    assert abs(v1.std() * np.sqrt(100 / 2) - 1) < 0.03
    w1, w2 = SparseNetwork(places, seed=1, scales=[0.5, 2.0]).parameters
    np.testing.assert_allclose(w1 / v1, 0.5 / np.sqrt(2 / 100), rtol=1e-12)
    np.testing.assert_allclose(w2 / v2, 2.0 / np.sqrt(2 / 200), rtol=1e-12)
    with pytest.raises(ValueError, match="scales: 2 numbers"):
        SparseNetwork(places, scales=[1.0])
