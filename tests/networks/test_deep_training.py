"""Training of deep networks against a loop in NumPy; step sizes, losses, flow, checkpoints, interruption."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import lazygram
from lazygram import Run, StepState, TrainingFailed, TrainingInterrupted, train
from lazygram.networks import (
    ConvResidualNetwork,
    DeepNetwork,
    DeepReLUNetwork,
    FullyConnectedNetwork,
    ResidualNetwork,
    SparseNetwork,
    dense_map,
)
from lazygram.training import DecreasingStepSize
from lazygram.training.dense import batch_indices

STEPS, ETA = 6, 0.05

NETWORKS: dict[str, Callable[..., DeepNetwork]] = {
    "fc": lambda **kw: FullyConnectedNetwork(15, 6, 2, seed=3, **kw),
    "residual": lambda **kw: ResidualNetwork(12, 6, 3, seed=3, **kw),
    "conv": lambda **kw: ConvResidualNetwork(5, 2, 3, 2, seed=3, **kw),
    "relu": lambda **kw: DeepReLUNetwork([10, 8], 6, seed=3, **kw),
}


class Data(SimpleNamespace):
    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


@pytest.fixture
def data(rng: np.random.Generator) -> Data:
    X = rng.normal(size=(12, 6))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return Data(X=X[:7], y=rng.normal(size=7), X_test=X[7:], y_test=rng.normal(size=5))


def numpy_loop(
    name: str, network: DeepNetwork, data: Data, reference: SimpleNamespace, *,
    factors: Any = None, etas: Any = None, batch: Any = None, slope: Any = None, value: Any = None,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Gradient descent by the formulas of the text, one example and one explicit Jacobian at a time."""
    softplus, sigmoid = (lambda z: np.logaddexp(0, z)), (lambda z: 1 / (1 + np.exp(-z)))
    options = {
        "c_sigma": 1 / reference.expectation(softplus, 1, 1, 1),
        "c_res": 0.5,
        "image": (3,),
        "patch": (3,),
    }
    W = [p.copy() for p in network.parameters]
    W_0 = [p.copy() for p in W]
    factors = [1.0] * len(W) if factors is None else factors
    etas = [ETA] * (STEPS + 1) if etas is None else etas
    slope = (lambda u, y: u - y) if slope is None else slope
    value = (lambda u, y: ((u - y) ** 2).sum() / 2) if value is None else value
    n = len(data.y)
    rows: list[dict[str, Any]] = []
    for k in range(STEPS + 1):
        shaped = data.X.reshape(n, 2, 3) if name == "conv" else data.X
        examples = [reference.gradient(name, W, x, softplus, sigmoid, **options) for x in shaped]
        u = np.array([f for f, _, _ in examples])
        J = [np.stack([g[h].ravel() for _, _, g in examples]) for h in range(len(W))]
        G = [j @ j.T for j in J]
        signs = [np.stack([us[h].ravel() > 0 for _, us, _ in examples]) for h in range(network.depth)]
        first = rows[0] if rows else {"G": G, "signs": signs}
        rho = slope(u, data.y)
        gradient = [rho @ j for j in J]
        moved = [a - b for a, b in zip(W, W_0, strict=True)]
        rows.append({
            "step": k, "time": sum(etas[:k]), "loss": value(u, data.y), "predictions": u,
            "layer_lambda_min": np.array([np.linalg.eigvalsh(g)[0] for g in G]),
            "layer_gram_change": np.array([
                np.linalg.norm(a - b, 2) for a, b in zip(G, first["G"], strict=True)
            ]),
            "lambda_min": np.linalg.eigvalsh(sum(G))[0], "lambda_max": np.linalg.eigvalsh(sum(G))[-1],
            "gram_change": np.linalg.norm(sum(G) - sum(first["G"]), 2),
            "layer_distance": np.array([np.linalg.norm(d) for d in moved]),
            "layer_movement": np.array([
                np.linalg.norm(d) / np.linalg.norm(w) for d, w in zip(moved, W_0, strict=True)
            ]),
            "layer_movement_op": np.array([np.linalg.norm(d, 2) for d in moved]),
            "pattern_change": np.array([(a != b).mean() for a, b in zip(signs, first["signs"], strict=True)]),
            "gradient_norm": np.array([np.linalg.norm(g) for g in gradient]),
            "G": G, "signs": signs,
        })  # fmt: skip
        if batch is not None:
            chosen = batch(k)
            rho = slope(u[chosen], data.y[chosen]) * n / len(chosen)
            gradient = [rho @ j[chosen] for j in J]
        for h in range(len(W)):
            W[h] = W[h] - etas[k] * factors[h] * gradient[h].reshape(W[h].shape)
    keep = [key for key in rows[0] if key not in ("G", "signs")]
    return {key: np.array([row[key] for row in rows]) for key in keep}


def assert_same(history: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    for key, values in expected.items():
        # A few hundred operations a step over six steps; changes are differences of larger numbers.
        scale = max(1.0, np.abs(values).max())
        np.testing.assert_allclose(history[key], values, rtol=0, atol=2e-12 * scale, err_msg=key)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradient_descent_is_the_loop(name: str, data: Data, reference: SimpleNamespace) -> None:
    network = NETWORKS[name]()
    before = [p.copy() for p in network.parameters]
    run = train(network, data.X, data.y, STEPS, ETA)
    assert_same(run.history, numpy_loop(name, network, data, reference))
    for a, b in zip(network.parameters, before, strict=True):
        np.testing.assert_array_equal(a, b)  # training changes a copy
    np.testing.assert_allclose(run.network.predict(data.X), run.history["predictions"][-1], rtol=1e-13)
    assert run.summary["stopped"] == "steps"
    assert run.summary["parameter_names"] == network.parameter_names


@pytest.mark.parametrize("name", ["fc", "relu"])
def test_layer_step_sizes_and_schedules(name: str, data: Data, reference: SimpleNamespace) -> None:
    network = NETWORKS[name]()
    factors = [0.0, 2.0, 0.5][: len(network.parameters)]
    etas = [ETA / (1 + k) for k in range(STEPS + 1)]
    by_list = train(network, data.X, data.y, STEPS, etas, layer_step_sizes=factors)
    assert_same(by_list.history, numpy_loop(name, network, data, reference, factors=factors, etas=etas))
    np.testing.assert_array_equal(by_list.network.parameters[0], network.parameters[0])
    assert (by_list.history["layer_distance"][:, 0] == 0).all()
    by_rule = train(network, data.X, data.y, STEPS, lambda k: ETA / (1 + k), layer_step_sizes=factors)
    np.testing.assert_array_equal(by_rule.history["loss"], by_list.history["loss"])
    np.testing.assert_array_equal(by_rule.history["step_size"], [etas[0], *etas[:STEPS]])


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_sgd_is_the_loop(reduction: str, data: Data, reference: SimpleNamespace) -> None:
    """Batches without replacement; the mean's gradient is (1/B) sum over the batch, as in Zou et al."""
    network = NETWORKS["fc"]()
    n = len(data.y)
    scale = 1.0 if reduction == "sum" else 1.0 / n
    run = train(
        network, data.X, data.y, STEPS, ETA, method="sgd", batch_size=3, seed=11, reduction=reduction
    )  # fmt: skip
    expected = numpy_loop(
        "fc", network, data, reference,
        batch=lambda k: batch_indices(11, k, n, 3),
        slope=lambda u, y: (u - y) * scale, value=lambda u, y: scale * ((u - y) ** 2).sum() / 2,
    )  # fmt: skip
    assert_same(run.history, expected)


LOSSES = {
    "logistic": (lambda z: np.log1p(np.exp(-z)), lambda z: -1 / (1 + np.exp(z))),
    "hinge": (lambda z: np.maximum(1 - z, 0), lambda z: -1.0 * (z < 1.0)),
    "squared_hinge": (lambda z: np.maximum(1 - z, 0) ** 2 / 2, lambda z: -np.maximum(1 - z, 0)),
    "exponential": (lambda z: np.exp(-z), lambda z: -np.exp(-z)),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_margin_losses(loss: str, data: Data, reference: SimpleNamespace) -> None:
    data.y = np.sign(data.y)
    network, (value, slope) = NETWORKS["relu"](), LOSSES[loss]
    run = train(network, data.X, data.y, STEPS, ETA, loss=loss, reduction="mean")
    expected = numpy_loop(
        "relu", network, data, reference,
        slope=lambda u, y: y * slope(y * u) / len(y), value=lambda u, y: value(y * u).mean(),
    )  # fmt: skip
    assert_same(run.history, expected)


def test_flow_of_the_readout_is_exponential(data: Data) -> None:
    """With a alone in training f is linear in it: u(t) = y + exp(-G t)(u(0) - y)."""
    network = FullyConnectedNetwork(40, 6, 2, seed=1)
    run = train(
        network, data.X, data.y, 4, 0.25, method="flow", layer_step_sizes=[0, 0, 1], record=["predictions"]
    )  # fmt: skip
    values, vectors = np.linalg.eigh(network.layer_grams(data.X)[-1])
    for k, u in enumerate(run.history["predictions"]):
        decay = vectors @ (np.exp(-0.25 * k * values)[:, None] * vectors.T)
        exact = data.y + decay @ (network.predict(data.X) - data.y)
        np.testing.assert_allclose(u, exact, rtol=0, atol=1e-5)  # local errors of 1e-6, few steps
    np.testing.assert_array_equal(run.history["time"], 0.25 * np.arange(5))


def test_flow_is_the_limit_of_small_steps(data: Data) -> None:
    network = NETWORKS["residual"]()
    options: dict[str, Any] = {"record": ["predictions"], "record_every": [0]}
    flow = train(network, data.X, data.y, 1, 0.5, method="flow", **options).history["predictions"][-1]
    coarse, fine = (
        train(network, data.X, data.y, steps, 0.5 / steps, **options).history["predictions"][-1]
        for steps in (200, 400)
    )
    # The error of Euler's method is c eta + O(eta^2): extrapolated, it falls by another factor eta.
    assert np.abs(2 * fine - coarse - flow).max() < 0.02 * np.abs(fine - flow).max() + 1e-5


@pytest.mark.parametrize("method", ["gd", "sgd"])
@pytest.mark.parametrize("name", ["fc", "conv", "relu"])
def test_resume_is_bitwise(name: str, method: str, data: Data, tmp_path: Path) -> None:
    network, file = NETWORKS[name](), tmp_path / "run.npz"
    options: dict[str, Any] = {"method": method, "X_test": data.X_test, "y_test": data.y_test}
    options |= {"batch_size": 3} if method == "sgd" else {}

    def eta(k: int) -> float:
        return ETA / (1 + 0.1 * k)

    whole = train(network, data.X, data.y, 9, eta, record_every=2, **options)
    train(network, data.X, data.y, 4, eta, record_every=2, checkpoint=file, **options)
    run = train(network, data.X, data.y, 9, eta, record_every=2, resume=file, **options)
    assert set(run.history) == set(whole.history)
    for key, values in whole.history.items():
        np.testing.assert_array_equal(run.history[key], values, err_msg=key)
    for a, b in zip(run.network.parameters, whole.network.parameters, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="resume: the step size before step 2 was"):
        train(network, data.X, data.y, 9, lambda k: ETA, record_every=2, resume=file, **options)
    with pytest.raises(ValueError, match=r"resume: .* belongs to another run: its data"):
        train(network, data.X, data.y + 1, 9, eta, resume=file, **options)
    other = network.with_parameters([2 * p for p in network.parameters])
    with pytest.raises(ValueError, match="its network is"):
        train(other, data.X, data.y, 9, eta, resume=file, **options)


def test_interruption_keeps_the_run(data: Data, tmp_path: Path) -> None:
    network, file = NETWORKS["fc"](), tmp_path / "run.npz"

    def stop(state: StepState) -> None:
        if state.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(TrainingInterrupted, match="interrupted at step 3") as caught:
        train(network, data.X, data.y, 8, ETA, callbacks=stop, checkpoint=file)
    whole = train(network, data.X, data.y, 8, ETA)
    np.testing.assert_array_equal(caught.value.run.history["loss"], whole.history["loss"][:4])
    resumed = train(network, data.X, data.y, 8, ETA, resume=file)
    np.testing.assert_array_equal(resumed.history["gradient_norm"], whole.history["gradient_norm"])


@pytest.mark.parametrize("where", ["_propagate", "_gradients", "_deltas"])
def test_interruption_inside_a_step(
    where: str, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step is done or not: Ctrl-C in its middle leaves a checkpoint that goes on bit for bit."""
    network, file = NETWORKS["fc"](), tmp_path / "run.npz"
    whole = train(network, data.X, data.y, 8, ETA, record=["predictions"])
    original = getattr(FullyConnectedNetwork, where)
    for call in range(4, 9):
        left = call

        def interrupted(*arguments: Any) -> Any:
            nonlocal left
            left -= 1
            result = original(*arguments)
            if left == 0:
                raise KeyboardInterrupt
            return result

        monkeypatch.setattr(FullyConnectedNetwork, where, interrupted)
        with pytest.raises(TrainingInterrupted):
            train(network, data.X, data.y, 8, ETA, record=["predictions"], checkpoint=file)
        monkeypatch.undo()
        run = train(network, data.X, data.y, 8, ETA, record=["predictions"], resume=file)
        np.testing.assert_array_equal(run.history["predictions"], whole.history["predictions"])


def test_failing_callback(data: Data) -> None:
    with pytest.raises(TrainingFailed, match="division") as caught:
        train(NETWORKS["fc"](), data.X, data.y, 3, ETA, callbacks=lambda state: 1 / 0)
    assert caught.value.run.summary["stopped"] == "failed"


def test_stopping(data: Data) -> None:
    network = NETWORKS["fc"]()
    whole = train(network, data.X, data.y, 20, ETA, record=["loss"])
    target = float(whole.history["loss"][7])
    run = train(network, data.X, data.y, 20, ETA, record=["loss"], tolerance=target)
    assert run.summary["stopped"] == "tolerance"
    assert run.summary["steps_done"] == 7
    asked = train(network, data.X, data.y, 20, ETA, record=["loss"], callbacks=lambda s: s.step >= 5)
    assert (asked.summary["stopped"], asked.summary["steps_done"]) == ("callback", 5)


@pytest.mark.parametrize("name", ["fc", "residual", "conv"])
def test_divergence_is_reported(name: str, data: Data) -> None:
    run = train(NETWORKS[name](), data.X, data.y, 60, 1e6)
    assert run.summary["stopped"] == "diverged"
    assert "step size 1e+06 is too large" in run.summary["message"]
    assert not np.isfinite(run.history["loss"][-1])


def test_auto_step_size(data: Data) -> None:
    network = NETWORKS["residual"]()
    run = train(network, data.X, data.y, 0)
    assert run.summary["step_size"] == pytest.approx(
        1 / np.linalg.eigvalsh(network.gram(data.X))[-1], rel=1e-12
    )
    grams = network.layer_grams(data.X)
    factors = [1.0, 0.0, 3.0, 0.5]
    run = train(
        network, data.X, np.sign(data.y), 0, loss="logistic", reduction="mean", layer_step_sizes=factors
    )
    weighted = sum(f * G for f, G in zip(factors, grams, strict=True))
    assert run.summary["step_size"] == pytest.approx(4 * 7 / np.linalg.eigvalsh(weighted)[-1], rel=1e-12)


def test_saved_run(data: Data, tmp_path: Path) -> None:
    run = train(NETWORKS["relu"](), data.X, data.y, 3, ETA, X_test=data.X_test, y_test=data.y_test)
    run.save(tmp_path / "run.npz")
    loaded = Run.load(tmp_path / "run.npz")
    assert loaded.summary == json.loads(json.dumps(run.summary))
    np.testing.assert_array_equal(loaded.history["layer_movement"], run.history["layer_movement"])
    e = run.history["test_predictions"][-1] - data.y_test
    assert run.history["test_loss"][-1] == pytest.approx(0.5 * e @ e, rel=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("library", ["torch", "array_api_strict"])
@pytest.mark.parametrize("name", NETWORKS)
def test_other_libraries_train_alike(name: str, library: str, dtype: str, data: Data, tmp_path: Path) -> None:
    pytest.importorskip("array_api_compat")
    pytest.importorskip(library)
    ours = train(NETWORKS[name](dtype=dtype), data.X, data.y, STEPS, ETA)
    network = NETWORKS[name](dtype=dtype, xp=library)
    theirs = train(network, data.X, data.y, STEPS, ETA)
    for key, values in ours.history.items():
        scale = max(1.0, np.abs(values).max())
        tolerance = 1e-11 if dtype == "float64" else 5e-5
        np.testing.assert_allclose(theirs.history[key], values, rtol=0, atol=tolerance * scale, err_msg=key)
    assert all(type(p) is type(network.parameters[0]) for p in theirs.network.parameters)
    file = tmp_path / "run.npz"
    train(network, data.X, data.y, 2, ETA, checkpoint=file)
    resumed = train(network, data.X, data.y, STEPS, ETA, resume=file)
    np.testing.assert_array_equal(resumed.history["loss"], theirs.history["loss"])
    batches = train(network, data.X, data.y, STEPS, ETA, method="sgd", batch_size=3)
    by_numpy = train(NETWORKS[name](dtype=dtype), data.X, data.y, STEPS, ETA, method="sgd", batch_size=3)
    np.testing.assert_allclose(batches.history["loss"], by_numpy.history["loss"], rtol=1e-3)


def test_sparse_network_trains(data: Data) -> None:
    places = np.array([[0, 2, 1, 3, 1, 2], [3, 2, 0, 1, 0, 1], [2, 1, 1, 4, 4, 4]])
    network = SparseNetwork([places, dense_map(1, 3)], seed=2)
    run = train(network, data.X, data.y, 200, 0.02)
    assert (np.diff(run.history["loss"]) < 0).all()
    norms = [[float(v @ v) for v in net.parameters] for net in (network, run.network)]
    # |v_1|^2 - |v_2|^2 is conserved by the flow; descent adds eta^2 times gradients.
    assert abs((norms[1][0] - norms[1][1]) - (norms[0][0] - norms[0][1])) < 0.05 * abs(
        norms[1][0] - norms[0][0]
    )


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "event"}, ValueError, "method: one of gd, sgd, flow"),
        ({"layers": "both"}, ValueError, "layers: only for two-layer"),
        ({"memory_limit": 1}, ValueError, "memory_limit: only"),
        ({"reduction": "max"}, ValueError, "reduction: 'sum' or 'mean'"),
        ({"loss": "cross_entropy"}, ValueError, "loss: deep networks have one output"),
        ({"record": ["flips"]}, ValueError, "record: unknown quantity 'flips'"),
        ({"layer_step_sizes": [1.0]}, ValueError, "layer_step_sizes: 3 numbers are needed"),
        ({"layer_step_sizes": [1.0, -1.0, 1.0]}, ValueError, "layer_step_sizes: must not be negative"),
        ({"step_size": [0.1, 0.1]}, ValueError, "step_size: 5 numbers are needed, got 2"),
        ({"step_size": lambda k: -1.0}, ValueError, r"step_size\(0\): must be positive"),
        ({"step_size": "fast"}, ValueError, "step_size: a number, a schedule or 'auto'"),
        ({"loss": "exponential", "step_size": "auto"}, ValueError, "y: the exponential loss needs labels"),
        ({"batch_size": 2}, ValueError, "batch_size: only for method 'sgd'"),
        ({"method": "sgd"}, ValueError, "batch_size: is needed"),
        ({"method": "flow", "checkpoint": "x"}, ValueError, "checkpoint: 'flow'"),
        ({"method": "flow", "step_size": [0.1] * 5}, ValueError, "step_size: 'flow' needs one number"),
        ({"y_test": [1.0]}, ValueError, "y_test: needs X_test"),
        ({"X_test": np.ones((2, 5))}, ValueError, "X_test: 6 columns"),
        ({"checkpoint_every": 2}, ValueError, "checkpoint_every: needs a file"),
        ({"callbacks": 3}, TypeError, "callbacks: a callable"),
        ({"threads": 0}, ValueError, "threads: must be positive"),
    ],
)  # fmt: skip
def test_errors(options: dict[str, Any], error: type[Exception], message: str, data: Data) -> None:
    with pytest.raises(error, match=message):
        train(NETWORKS["fc"](), data.X, data.y, 5, **({"step_size": ETA} | options))


def test_networks_that_cannot_be_trained(data: Data) -> None:
    from lazygram import TwoLayerReLU

    with pytest.raises(TypeError, match="network: a TwoLayerReLU or deep network is needed, got int"):
        train(3, data.X, data.y, 1, ETA)
    with pytest.raises(ValueError, match="network: training needs a single output"):
        train(SparseNetwork([dense_map(2, 6)]), data.X, data.y, 1, ETA)
    with pytest.raises(ValueError, match="'flow' needs a float64 network"):
        train(NETWORKS["fc"](dtype="float32"), data.X, data.y, 1, ETA, method="flow")
    with pytest.raises(ValueError, match="step_size: 'auto' needs a loss of bounded curvature"):
        train(NETWORKS["fc"](), data.X, np.sign(data.y), 1, loss="hinge")
    two = TwoLayerReLU(8, 6)
    with pytest.raises(ValueError, match="layer_step_sizes: only for deep networks"):
        train(two, data.X, data.y, 1, ETA, layer_step_sizes=[1.0])
    with pytest.raises(ValueError, match="reduction: a two-layer network"):
        train(two, data.X, data.y, 1, ETA, reduction="mean")
    with pytest.raises(TypeError, match="step_size: schedules are for deep networks"):
        train(two, data.X, data.y, 1, [ETA])


@pytest.mark.parametrize("method", ["gd", "sgd"])
def test_decreasing_step_sizes(method: str, data: Data, tmp_path: Path) -> None:
    """The schedule is the list of its numbers, "auto" is what a constant step would be, and it resumes."""
    X, y = data.X, data.y
    network = FullyConnectedNetwork(12, X.shape[1], 2, seed=1)
    rule = DecreasingStepSize("auto", power=0.75, delay=3.0)
    options: dict[str, Any] = {"method": method, "batch_size": 3 if method == "sgd" else None}
    run = lazygram.train(network, X, y, 8, rule, **options)
    first = lazygram.train(network, X, y, 0, "auto", **options).summary["step_size"]
    numbers = [first * (1 + k / 3) ** -0.75 for k in range(8)]
    listed = lazygram.train(network, X, y, 8, numbers, **options)
    np.testing.assert_allclose(run.history["loss"], listed.history["loss"], rtol=1e-12)
    np.testing.assert_allclose(run.history["time"], np.cumsum([0.0, *numbers]), rtol=1e-12)
    assert run.summary["step_size"] is None
    assert run.summary["schedule"] == f"{first:.6g} (1 + k/3)^-0.75"
    lazygram.train(network, X, y, 5, rule, checkpoint=tmp_path / "c.npz", **options)
    rest = lazygram.train(network, X, y, 8, rule, resume=tmp_path / "c.npz", **options)
    for p, q in zip(rest.network.parameters, run.network.parameters, strict=True):
        np.testing.assert_array_equal(p, q)
    other = DecreasingStepSize("auto", power=0.5, delay=3.0)
    with pytest.raises(ValueError, match="resume: the step size before step"):
        lazygram.train(network, X, y, 8, other, resume=tmp_path / "c.npz", **options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1.0, 1.0), "step_size: "),
        (("fast", 1.0), "step_size: "),
        ((1.0, 0.0), "power: "),
        ((1.0, 1.0, 0.0), "delay: "),
    ],
)
def test_decreasing_step_sizes_are_checked(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        DecreasingStepSize(*arguments)
    with pytest.raises(ValueError, match="step_size: 'auto' is settled by a run"):
        DecreasingStepSize("auto", 1.0)(3)
