"""Balance of homogeneous networks: identities to 1e-13, exact changes, sparse and shared weights."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from lazygram.optimizers import gradient_descent
from lazygram.problems.balancing import (
    HomogeneousNetwork,
    convolution_map,
    layer_balance,
    layer_identity,
    linear_balance,
    linear_identity,
    neuron_balance,
    neuron_change,
    neuron_identity,
    sparse_map,
)

SHAPES = ((7, 5), (6, 7), (4, 6), (2, 4))


def weights_of(rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.standard_normal(shape) for shape in SHAPES]


def logistic(outputs: np.ndarray) -> tuple[float, np.ndarray]:
    signs = np.where(np.arange(outputs.size).reshape(outputs.shape) % 3 == 0, -1.0, 1.0)
    return float(np.logaddexp(0, -signs * outputs).sum()), -signs / (1 + np.exp(signs * outputs))


@pytest.mark.parametrize("loss", ["quadratic", "logistic"])
@pytest.mark.parametrize("slopes", [(0.0, 0.0, 0.0), (0.1, 0.5, 0.0), (0.0, 1.0, 0.0)])
def test_identities_hold_at_every_point(
    loss: str, slopes: tuple[float, ...], rng: np.random.Generator
) -> None:
    labels = logistic if loss == "logistic" else rng.standard_normal((30, 2))
    net = HomogeneousNetwork(rng.standard_normal((30, 5)), labels, slopes)
    weights = weights_of(rng)
    gradients = net.gradient(weights)
    # Rounding of sums of products: 1e-16 times the largest of them, and a few.
    scale = max(float(np.abs(w * g).sum()) for w, g in zip(weights, gradients, strict=True))
    for gap in neuron_identity(weights, gradients):
        assert np.abs(gap).max() < 1e-13 * scale
    assert np.abs(layer_identity(weights, gradients)).max() < 1e-13 * scale
    linear = [np.abs(linear_identity(weights, gradients, h)).max() for h in (1, 2, 3)]
    for h, slope in enumerate(slopes):
        if slope == 1.0:
            assert linear[h] < 1e-13 * scale
        else:
            assert linear[h] > 1e-3 * scale  # the linear gap's identity is false for ReLU


def test_gradient_is_the_difference_of_the_loss(rng: np.random.Generator) -> None:
    maps = [convolution_map(5, 2, 3, 3), sparse_map(8, 15, 0.4, seed=1), None]
    net = HomogeneousNetwork(rng.standard_normal((12, 10)), rng.standard_normal((12, 2)), (0.0, 0.2), maps)
    weights = [rng.standard_normal(18), rng.standard_normal(int(maps[1].max())), rng.standard_normal((2, 8))]
    gradients = net.gradient(weights)
    h = 1e-6
    for layer, gradient in enumerate(gradients):
        for k in range(0, gradient.size, 3):
            moved = [[w.copy() for w in weights] for _ in range(2)]
            moved[0][layer].flat[k] += h
            moved[1][layer].flat[k] -= h
            slope = (net.value(moved[0]) - net.value(moved[1])) / (2 * h)
            assert gradient.flat[k] == pytest.approx(slope, abs=2e-8 * max(1, abs(net.value(weights))))


def test_shared_and_sparse_weights_balance_by_layers_only(rng: np.random.Generator) -> None:
    maps = [convolution_map(6, 1, 2, 3), convolution_map(6, 2, 2, 5), sparse_map(3, 12, 0.5, seed=2)]
    net = HomogeneousNetwork(rng.standard_normal((20, 6)), rng.standard_normal((20, 3)), (0.0, 0.0), maps)
    weights = [rng.standard_normal(6), rng.standard_normal(20), rng.standard_normal(int(maps[2].max()))]
    gradients = net.gradient(weights)
    scale = max(float(np.abs(w * g).sum()) for w, g in zip(weights, gradients, strict=True))
    assert np.abs(layer_identity(weights, gradients)).max() < 1e-13 * scale
    # Neuron by neuron the vectors of a convolution have no meaning: columns of the matrices do not balance.
    full = net.matrices(weights)
    spread = [
        np.where(places == 0, 0.0, np.append(0.0, g / np.bincount(places.ravel())[1:])[places])
        for places, g in zip(maps, gradients, strict=True)
    ]
    assert max(np.abs(gap).max() for gap in neuron_identity(full, spread)) > 1e-3 * scale


def test_convolution_map_is_a_convolution(rng: np.random.Generator) -> None:
    v, x = rng.standard_normal((3, 2, 3)), rng.standard_normal((2, 7))
    W = np.append(0.0, v.ravel())[convolution_map(7, 2, 3, 3)]
    expected = np.array([sum(np.correlate(x[c], v[o, c], mode="same") for c in range(2)) for o in range(3)])
    np.testing.assert_allclose((W @ x.ravel()).reshape(3, 7), expected, atol=1e-14)
    assert (sparse_map(40, 50, 0.3) > 0).mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / 2000))
    assert sparse_map(1, 1, 1e-9).max() == 1


def test_change_in_a_step_is_exact(rng: np.random.Generator) -> None:
    net = HomogeneousNetwork(rng.standard_normal((9, 5)), rng.standard_normal((9, 2)), (0.0, 1.0, 0.3))
    weights, eta = weights_of(rng), 0.013
    gradients = net.gradient(weights)
    moved = [w - eta * g for w, g in zip(weights, gradients, strict=True)]
    for before, after, change in zip(
        neuron_balance(weights), neuron_balance(moved), neuron_change(gradients, eta), strict=True
    ):
        np.testing.assert_allclose(after - before, change, atol=1e-12 * np.abs(before).max())
    # Layer and linear balances add up the neurons' (trace).
    sums = [balance.sum() for balance in neuron_balance(weights)]
    np.testing.assert_allclose(layer_balance(weights), sums, rtol=1e-12)
    traces = [np.trace(linear_balance(a, b)) for a, b in pairwise(weights)]
    np.testing.assert_allclose(traces, sums, rtol=1e-12)


def test_drift_is_of_the_order_of_the_step_size(rng: np.random.Generator) -> None:
    net = HomogeneousNetwork(rng.standard_normal((20, 5)), rng.standard_normal((20, 2)), (0.0, 0.0, 0.0))
    start = tuple(0.5 * w for w in weights_of(rng))
    drifts = []
    for eta in (0.02, 0.01, 0.005):
        run = gradient_descent(net.gradient, start, eta, round(4 / eta), record_every=10**6)
        drifts.append(np.abs(layer_balance(run.point) - layer_balance(start)).max())
    assert np.log2(drifts[0] / drifts[2]) / 2 == pytest.approx(1.0, abs=0.3)


def test_arguments_are_checked(rng: np.random.Generator) -> None:
    weights = weights_of(rng)
    with pytest.raises(ValueError, match="do not follow each other"):
        neuron_balance([weights[0], weights[2]])
    with pytest.raises(ValueError, match="gradients: must have the shapes"):
        neuron_identity(weights, weights[::-1])
    with pytest.raises(ValueError, match="layer: must be below"):
        linear_identity(weights, weights, 4)
    with pytest.raises(ValueError, match="patch: must be odd"):
        convolution_map(5, 1, 1, 4)
    with pytest.raises(ValueError, match="density: must be in"):
        sparse_map(2, 2, 0.0)
    with pytest.raises(ValueError, match=r"maps: one per layer \(2\)"):
        HomogeneousNetwork(np.ones((2, 2)), np.ones((2, 1)), (0.0,), [None])
    net = HomogeneousNetwork(np.ones((2, 2)), np.ones((2, 1)), (0.0,), [np.ones((1, 2), dtype=int), None])
    with pytest.raises(ValueError, match=r"weights: layer 1 needs shape \(1,\), got \(2,\)"):
        net.value([np.ones(2), np.ones((1, 1))])
