"""Deep linear networks and wide sigmoid networks: differences, closed-form minimum, ranks."""

from __future__ import annotations

import numpy as np
import pytest

from lazygram.optimizers import gradient_descent
from lazygram.problems.deep_linear import DeepLinear
from lazygram.problems.wide_sigmoid import TwoLayerSigmoid, features, rank_of, readout_minimum


def test_deep_linear_gradient(rng: np.random.Generator) -> None:
    problem = DeepLinear(rng.standard_normal((20, 4)), rng.standard_normal((20, 3)))
    point = tuple(rng.standard_normal((2, *shape)) for shape in ((5, 4), (2, 5), (3, 2)))
    gradients, h = problem.gradient(point), 1e-5
    direction = tuple(rng.standard_normal(part.shape) for part in point)
    up, down = (
        problem.value(tuple(p + s * h * d for p, d in zip(point, direction, strict=True))) for s in (1, -1)
    )
    along = sum((g * d).sum(axis=(1, 2)) for g, d in zip(gradients, direction, strict=True))
    np.testing.assert_allclose(along, (up - down) / (2 * h), rtol=1e-6)


def test_deep_linear_minimum(rng: np.random.Generator) -> None:
    """Against least squares without a bottleneck, and against descent with one."""
    X, Y = rng.standard_normal((20, 4)), rng.standard_normal((20, 3))
    problem = DeepLinear(X, Y)
    residual = Y - X @ np.linalg.lstsq(X, Y, rcond=None)[0]
    assert problem.minimum(3) == pytest.approx(0.5 * (residual**2).sum(), rel=1e-13)
    assert problem.minimum(9) == problem.minimum(3)
    start = (rng.standard_normal((4, 1, 4)), rng.standard_normal((4, 3, 1)))
    run = gradient_descent(problem.gradient, start, 5e-3, 4000, batched=True, record_every=4000)
    np.testing.assert_allclose(problem.value(run.point), problem.minimum(1), rtol=1e-11)
    # Inputs of a lower rank: a copied column explains nothing new.
    doubled = DeepLinear(np.hstack([X, X[:, :1]]), Y)
    assert doubled.minimum(2) == pytest.approx(problem.minimum(2), rel=1e-13)
    with pytest.raises(ValueError, match="Y: 20 rows are needed, got 19"):
        DeepLinear(X, Y[1:])


def test_rank_of_features(rng: np.random.Generator) -> None:
    X = rng.standard_normal((12, 5))
    wide = 3 * rng.standard_normal((12, 5))
    assert rank_of(features(wide, X)) == 12
    assert rank_of(features(wide[:7], X)) == 7
    twice = X.copy()
    twice[3] = twice[8]
    assert rank_of(features(wide, twice)) == 11
    assert rank_of(features(np.zeros((12, 5)), X)) == 1
    # One-sided input in one dimension: ReLU features of one sign are all multiples of x.
    assert rank_of(features(np.ones((4, 1)), np.arange(1.0, 5.0)[:, None], "relu")) == 1
    np.testing.assert_allclose(features(wide, X), 1 / (1 + np.exp(-X @ wide.T)), rtol=1e-14)
    with pytest.raises(ValueError, match="activation: must be sigmoid or relu"):
        features(wide, X, "tanh")  # type: ignore[arg-type]


def test_readout_minimum(rng: np.random.Generator) -> None:
    F, Y = rng.standard_normal((9, 4)), rng.standard_normal((9, 2))
    Q = np.linalg.qr(F)[0]
    assert readout_minimum(F, Y) == pytest.approx(0.5 * ((Y - Q @ (Q.T @ Y)) ** 2).sum(), rel=1e-13)
    assert readout_minimum(rng.standard_normal((9, 9)), Y) < 1e-20


def test_two_layer_sigmoid(rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((8, 3)), rng.standard_normal(8)
    problem = TwoLayerSigmoid(X, y, 4)
    point = rng.standard_normal(problem.size)
    value, gradient = problem.value_and_gradient(point)
    W, a = point[:12].reshape(4, 3), point[12:]
    assert value == pytest.approx(0.5 * ((features(W, X) @ a - y) ** 2).sum(), rel=1e-13)
    h = 1e-6
    slope = [
        (problem.value_and_gradient(point + e)[0] - problem.value_and_gradient(point - e)[0]) / (2 * h)
        for e in h * np.eye(problem.size)
    ]
    np.testing.assert_allclose(gradient, slope, atol=1e-8)
    wide = TwoLayerSigmoid(X, y, 10)
    found = wide.descend(2 * rng.standard_normal(wide.size))
    assert found.value < 1e-12
    narrow = problem.descend(point, iterations=500)
    assert narrow.value < value
    with pytest.raises(ValueError, match=r"y: shape \(8,\)"):
        TwoLayerSigmoid(X, y[:3], 2)
