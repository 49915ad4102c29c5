"""Gradient descent against the loop in plain NumPy: every recorded quantity at every step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lazygram import TwoLayerReLU, gram_infinite, train
from lazygram.training.history import QUANTITIES

Loop = Callable[..., dict[str, np.ndarray]]


@pytest.mark.parametrize("layers", ["first", "both"])
@pytest.mark.parametrize("loss", ["quadratic", "logistic"])
@pytest.mark.parametrize("threads", [1, 2])
def test_float64(isa_level: str, problem, numpy_loop: Loop, layers: str, loss: str, threads: int) -> None:  # type: ignore[no-untyped-def]
    X, y, X_test, y_test = problem
    if loss == "logistic":
        y, y_test = np.sign(y), np.sign(y_test)
    network = TwoLayerReLU(700, 9, seed=3)
    run = train(
        network,
        X,
        y,
        25,
        0.7,
        loss=loss,
        layers=layers,
        X_test=X_test,
        y_test=y_test,
        threads=threads,  # type: ignore[arg-type]
    )
    expected = numpy_loop(
        network.weights(), network.signs, X, y, 25, 0.7, layers=layers, loss=loss, X_test=X_test
    )
    assert expected["flips"].sum() > 0  # otherwise nothing below would test the patterns
    assert set(run.history) == {"step", "time", "test_predictions", "test_loss", *QUANTITIES}
    for name in ("step", "flips", "pattern_change", "time"):
        np.testing.assert_array_equal(run.history[name], expected[name], err_msg=name)
    for name in (*QUANTITIES, "test_predictions"):
        # 25 steps of a contraction: rounding errors of a few eps a step add up
        np.testing.assert_allclose(run.history[name], expected[name], rtol=1e-11, atol=1e-12, err_msg=name)
    u_test = expected["test_predictions"]
    test_loss = (
        ((u_test - y_test) ** 2).sum(axis=1) / 2
        if loss == "quadratic"
        else np.log1p(np.exp(-y_test * u_test)).sum(axis=1)
    )
    np.testing.assert_allclose(run.history["test_loss"], test_loss, rtol=1e-11)
    assert run.network is not None
    np.testing.assert_allclose(run.network.weights(), expected["W"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(run.network.signs, expected["a"], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(run.network.patterns(X).to_bool(), expected["M"][-1])
    np.testing.assert_allclose(run.network.predict(X), run.history["predictions"][-1], rtol=0, atol=1e-13)


@pytest.mark.parametrize("layers", ["first", "both"])
def test_float32(isa_level: str, problem, numpy_loop: Loop, layers: str) -> None:  # type: ignore[no-untyped-def]
    """Weights of size 1 in float32: errors of about eps = 1.2e-7 a step in each weight, averaged."""
    X, y, *_ = problem
    network = TwoLayerReLU(600, 9, seed=3, dtype="float32")
    x = X.astype(np.float32)
    run = train(network, x, y, 20, 0.5, layers=layers)  # type: ignore[arg-type]
    expected = numpy_loop(
        network.weights().astype(float),
        network.signs.astype(float),
        x.astype(float),
        y,
        20,
        0.5,
        layers=layers,
    )
    for name in ("loss", "predictions", "max_distance", "mean_distance"):
        np.testing.assert_allclose(run.history[name], expected[name], rtol=2e-5, atol=2e-5, err_msg=name)
    # A pre-activation within rounding of zero may fall on the other side: one bit of 12 * 600 is 1.4e-4.
    np.testing.assert_allclose(run.history["pattern_change"], expected["pattern_change"], rtol=0, atol=3e-4)
    np.testing.assert_allclose(run.history["lambda_min"], expected["lambda_min"], rtol=0, atol=1e-3)
    assert run.network is not None
    assert run.network.dtype == np.float32


def test_several_panels_and_blocks(numpy_loop: Loop, rng: np.random.Generator) -> None:
    """More examples than a block (256) and more neurons than a panel (512), neither a multiple."""
    X = rng.normal(size=(300, 4))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    y = rng.normal(size=300)
    network = TwoLayerReLU(1030, 4, seed=1)
    run = train(network, X, y, 3, 0.01, record=["predictions", "flips", "max_distance"])
    expected = numpy_loop(network.weights(), network.signs, X, y, 3, 0.01, spectra=False)
    for name in ("predictions", "flips", "max_distance", "loss"):
        np.testing.assert_allclose(run.history[name], expected[name], rtol=1e-12, atol=1e-12)


def test_given_weights_and_real_output_weights(numpy_loop: Loop, rng: np.random.Generator, problem) -> None:  # type: ignore[no-untyped-def]
    X, y, *_ = problem
    W, a = rng.normal(size=(50, 9)), rng.normal(size=50)
    network = TwoLayerReLU.from_weights(W.copy(), a.copy())
    run = train(network, X, y, 10, 0.3)
    expected = numpy_loop(W, a, X, y, 10, 0.3)
    np.testing.assert_allclose(run.history["predictions"], expected["predictions"], rtol=1e-11, atol=1e-12)
    np.testing.assert_array_equal(network.weights(), W)  # training does not change the network it starts from
    np.testing.assert_array_equal(network.signs, a)


def test_step_is_minus_the_gradient(problem) -> None:  # type: ignore[no-untyped-def]
    """One step of size 1 against central differences of the loss in every weight of both layers."""
    X, y, *_ = problem
    network = TwoLayerReLU(6, 9, seed=5)
    W, a, h = network.weights(), np.array(network.signs), 1e-6
    assert np.abs(X @ W.T).min() > 10 * h
    after = train(network, X, y, 1, 1.0, layers="both", record=["loss"]).network
    assert after is not None

    def loss(W: np.ndarray, a: np.ndarray) -> float:
        return float(((np.maximum(X @ W.T, 0) @ a / np.sqrt(6) - y) ** 2).sum() / 2)

    for moved, start, which in ((after.weights(), W, 0), (after.signs, a, 1)):
        for index in np.ndindex(start.shape):
            shift = np.zeros_like(start)
            shift[index] = h
            plus, minus = (loss(*((W + s * shift, a) if which == 0 else (W, a + s * shift))) for s in (1, -1))
            assert start[index] - moved[index] == pytest.approx((plus - minus) / (2 * h), abs=2e-8)


def test_linear_regime_of_a_single_example() -> None:
    """One example: e(k+1) = (1 - eta H(k)) e(k) exactly, over every step that changes no pattern."""
    network = TwoLayerReLU(2000, 2, seed=0)
    run = train(network, [[0.6, 0.8]], [1.0], 15, 0.5)
    quiet = run.history["flips"][1:] == 0
    assert quiet.sum() > 5
    e = run.history["predictions"][:, 0] - 1.0
    expected = (1 - 0.5 * run.history["lambda_min"][:-1]) * e[:-1]
    np.testing.assert_allclose(e[1:][quiet], expected[quiet], rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("layers", ["first", "both"])
@pytest.mark.parametrize("loss", ["quadratic", "logistic"])
def test_auto_step_size(problem, layers: str, loss: str) -> None:  # type: ignore[no-untyped-def]
    X, y, *_ = problem
    y = np.sign(y)
    network = TwoLayerReLU(800, 9, seed=2)
    run = train(network, X, y, 30, loss=loss, layers=layers)  # type: ignore[arg-type]
    M = X @ network.weights().T >= 0
    largest = np.linalg.eigvalsh((X @ X.T) * (M.astype(float) @ M.T) / 800)[-1]
    if layers == "both":
        largest += np.linalg.eigvalsh(gram_infinite(X, trained="second"))[-1]
    curvature = {"quadratic": 1.0, "logistic": 0.25}[loss]
    assert run.summary["step_size"] == pytest.approx(1 / (curvature * largest), rel=1e-12)
    assert (np.diff(run.history["loss"]) < 0).all()


def test_auto_step_size_with_large_output_weights(rng: np.random.Generator, problem) -> None:  # type: ignore[no-untyped-def]
    X, y, *_ = problem
    network = TwoLayerReLU.from_weights(rng.normal(size=(400, 9)), 5.0 * rng.choice([-1, 1], 400))
    run = train(network, X, y, 20)
    assert run.summary["step_size"] == pytest.approx(1 / (25 * run.history["lambda_max"][0]), rel=1e-9)
    assert (np.diff(run.history["loss"]) < 0).all()


def test_summary(problem) -> None:  # type: ignore[no-untyped-def]
    X, y, *_ = problem
    network = TwoLayerReLU(900, 9, seed=2)
    run = train(network, X, y, 5, 0.25)
    limit = gram_infinite(X)
    M = X @ network.weights().T >= 0
    H0 = (X @ X.T) * (M.astype(float) @ M.T) / 900
    summary = run.summary
    assert summary["lambda0"] == pytest.approx(np.linalg.eigvalsh(limit)[0], rel=1e-9)
    assert summary["gram_initial_distance"] == pytest.approx(np.linalg.norm(H0 - limit, 2), rel=1e-9)
    assert summary["initial_loss"] == run.history["loss"][0]
    assert summary["final_loss"] == run.history["loss"][-1]
    facts = {
        "method": "gd", "loss": "quadratic", "layers": "first", "width": 900, "dim": 9, "n": 12,
        "dtype": "float64", "seed": 2, "batch_size": None, "step_size": 0.25, "steps": 5, "steps_done": 5,
        "stopped": "steps", "message": "",
    }  # fmt: skip
    assert {name: summary[name] for name in facts} == facts
    assert summary["elapsed_seconds"] > 0


@pytest.mark.parametrize(("width", "expected"), [(256, 0.044), (1024, 0.019)])
def test_linearisation_gap_of_the_specification(width: int, expected: float) -> None:
    """sup_k |u(k) - u_frozen(k)| / |e(0)|, n = d = 30, mean of three seeds, within a factor 2 (spec 1.3)."""
    gaps = []
    for seed in range(3):
        rng = np.random.default_rng(100 + seed)
        X = rng.normal(size=(30, 30))
        X /= np.linalg.norm(X, axis=1, keepdims=True)
        y = rng.normal(size=30)
        values, vectors = np.linalg.eigh(gram_infinite(X))
        eta = 1 / values[-1]
        run = train(
            TwoLayerReLU(width, 30, seed=seed), X, y, 400, eta, record=["predictions"], record_every=2
        )
        u, e0 = run.history["predictions"], run.history["predictions"][0] - y
        powers = (1 - eta * values) ** run.history["step"][:, None]
        frozen = y + (powers * (vectors.T @ e0)) @ vectors.T
        gaps.append(np.linalg.norm(u - frozen, axis=1).max() / np.linalg.norm(e0))
    assert expected / 2 < np.mean(gaps) < 2 * expected
