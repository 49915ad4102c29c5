"""Gradient flow: against small steps of gradient descent, its differential equation, and its limits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lazygram import TwoLayerReLU, train


def sphere(n: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(11)
    X = rng.normal(size=(n, dim))
    return X / np.linalg.norm(X, axis=1, keepdims=True), rng.normal(size=n)


@pytest.mark.parametrize("layers", ["first", "both"])
@pytest.mark.parametrize("loss", ["quadratic", "logistic"])
def test_limit_of_gradient_descent(layers: str, loss: str) -> None:
    """Euler steps of size h differ from the flow by about c h; extrapolation removes the first order."""
    X, y = sphere(20, 5)
    if loss == "logistic":
        y = np.sign(y)
    network = TwoLayerReLU(200, 5, seed=1)
    options = {"loss": loss, "layers": layers, "record": ["predictions", "max_distance"]}
    flow = train(network, X, y, 4, 0.25, method="flow", **options)  # type: ignore[arg-type]
    one, two = (
        train(network, X, y, 4 * k, 0.25 / k, record_every=k, **options)  # type: ignore[arg-type]
        for k in (100, 200)
    )
    np.testing.assert_allclose(flow.history["time"], [0, 0.25, 0.5, 0.75, 1.0])
    for name in ("predictions", "max_distance", "loss"):
        error_one = np.abs(one.history[name] - flow.history[name]).max()
        error_two = np.abs(two.history[name] - flow.history[name]).max()
        assert error_two < 0.6 * error_one  # first order
        extrapolated = 2 * two.history[name] - one.history[name]
        np.testing.assert_allclose(extrapolated, flow.history[name], rtol=0, atol=2e-4)


def test_differential_equation() -> None:
    """d|e|^2/dt = -2 e^T H(t) e (spec 1.3), by central differences between recorded times."""
    X, y = sphere(10, 5)
    network = TwoLayerReLU(150, 5, seed=2)
    times = 0.01
    run = train(network, X, y, 40, times, method="flow", record=["predictions", "lambda_min"])
    e = run.history["predictions"] - y
    square = (e**2).sum(axis=1)
    slope = (square[2:] - square[:-2]) / (2 * times)
    # H(t) at the middle times, from networks trained up to there
    for k in (1, 10, 25, 39):
        trained = train(network, X, y, k, times, method="flow", record=["loss"], record_every=k).network
        assert trained is not None
        expected = -2 * e[k] @ trained.gram(X) @ e[k]
        # kinks crossed within +-0.01 change H by O(1/m); the rest is the error of the difference quotient
        assert slope[k - 1] == pytest.approx(expected, rel=0.02)
    assert (np.diff(run.history["loss"]) < 0).all()


def test_recorded_times_do_not_matter() -> None:
    X, y = sphere(10, 5)
    network = TwoLayerReLU(150, 5, seed=2)
    dense = train(network, X, y, 8, 0.1, method="flow", record=["predictions"])
    sparse = train(network, X, y, 8, 0.1, method="flow", record=["predictions"], record_every=[4])
    np.testing.assert_array_equal(sparse.history["step"], [0, 4, 8])
    np.testing.assert_allclose(
        sparse.history["predictions"], dense.history["predictions"][[0, 4, 8]], rtol=0, atol=1e-4
    )
    assert sparse.summary["steps_done"] == 8


def test_the_start_is_not_changed() -> None:
    X, y = sphere(6, 3)
    rng = np.random.default_rng(0)
    W, a = rng.normal(size=(30, 3)), rng.choice([-1.0, 1.0], 30)
    network = TwoLayerReLU.from_weights(W.copy(), a.copy())
    run = train(network, X, y, 2, 0.5, method="flow", layers="both")
    np.testing.assert_array_equal(network.weights(), W)
    np.testing.assert_array_equal(network.signs, a)
    assert run.network is not None
    assert not np.array_equal(run.network.signs, a)


def test_refusals(tmp_path: Path) -> None:
    X, y = sphere(6, 3)
    with pytest.raises(ValueError, match="method: 'flow' needs a float64 network"):
        train(TwoLayerReLU(10, 3, dtype="float32"), X, y, 1, 0.1, method="flow")
    for name in ("checkpoint", "resume"):
        with pytest.raises(ValueError, match="checkpoint: 'flow' cannot be checkpointed"):
            train(TwoLayerReLU(10, 3), X, y, 1, 0.1, method="flow", **{name: tmp_path / "c.npz"})  # type: ignore[arg-type]
