"""Requests that `train` refuses, and runs that diverge."""

from __future__ import annotations

import numpy as np
import pytest

from lazygram import TwoLayerReLU, train

NET = TwoLayerReLU(10, 2)
X = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
Y = np.array([1.0, -1.0, 0.5])


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        ({"network": "net"}, TypeError, "network: a TwoLayerReLU or deep network is needed, got str"),
        ({"X": X[:, :1]}, ValueError, "X: 2 columns are needed, got 1"),
        ({"X": X[0]}, ValueError, "X: a 2-D array"),
        ({"X": np.empty((0, 2))}, ValueError, "X: is empty"),
        ({"X": X * [[1], [0], [1]]}, ValueError, "X: row 1 is zero"),
        ({"X": np.where(X == 1, np.nan, X)}, ValueError, "X: entry"),
        ({"X": [["a", "b"]]}, TypeError, "X: real numbers"),
        ({"y": Y[:2]}, ValueError, "y: length 3 is needed, got 2"),
        ({"y": np.stack([Y, Y], axis=1)}, ValueError, "y: a 1-D array"),
        ({"y": [1.0, np.inf, 0.0]}, ValueError, r"y: entry \(1,\) is inf"),
        ({"y": [1j, 1, 1]}, TypeError, "y: real numbers"),
        ({"steps": -1}, ValueError, "steps: must not be negative"),
        ({"steps": 1.0}, TypeError, "steps: an integer"),
        ({"step_size": 0.0}, ValueError, "step_size: must be positive"),
        ({"step_size": np.nan}, ValueError, "step_size: must be positive and finite"),
        ({"step_size": "big"}, ValueError, "step_size: a positive number or 'auto' is needed, got 'big'"),
        ({"step_size": None}, TypeError, "step_size: a number"),
        ({"loss": "cubic"}, ValueError, "loss: one of cross_entropy, exponential, hinge, logistic"),
        ({"loss": 3}, TypeError, "loss: a name, an object"),
        ({"loss": lambda u, y: u[:2]}, ValueError, r"loss: dl/du must have the shape of u, \(3,\)"),
        ({"loss": "logistic"}, ValueError, r"y: the logistic loss needs labels -1 and \+1, got 0.5 at 2"),
        ({"method": "adam"}, ValueError, "method: one of gd, sgd, flow"),
        ({"layers": "second"}, ValueError, "layers: 'first' or 'both'"),
        ({"record": "everything"}, ValueError, "record: unknown quantity"),
        ({"record_every": 0}, ValueError, "record_every: must be positive"),
        ({"X_test": X[:, :1]}, ValueError, "X_test: 2 columns are needed"),
        ({"y_test": Y}, ValueError, "y_test: needs X_test"),
        ({"X_test": X, "y_test": Y[:1]}, ValueError, "y_test: length 3 is needed"),
        ({"tolerance": 0}, ValueError, "tolerance: must be positive"),
        ({"tolerance": "1"}, TypeError, "tolerance: a number"),
        ({"callbacks": [3]}, TypeError, "callbacks: callables are needed, got 3"),
        ({"callbacks": 3}, TypeError, "callbacks: "),
        ({"checkpoint_every": 5}, ValueError, "checkpoint_every: needs a file"),
        ({"checkpoint": "c.npz", "checkpoint_every": 0}, ValueError, "checkpoint_every: must be positive"),
        ({"threads": 0}, ValueError, "threads: must be positive"),
        ({"threads": 1.5}, TypeError, "threads: an integer"),
        ({"seed": -3}, ValueError, "seed: must not be negative"),
    ],
)
def test_refusals(changes: dict[str, object], kind: type[Exception], text: str) -> None:
    arguments: dict[str, object] = {"network": NET, "X": X, "y": Y, "steps": 2, "step_size": 0.1} | changes
    with pytest.raises(kind, match=text):
        train(**arguments)  # type: ignore[arg-type]


def test_auto_step_size_that_does_not_exist() -> None:
    class Steep:
        name = "steep"
        curvature = float("inf")

        def value(self, u: np.ndarray, y: np.ndarray) -> float:
            return float(np.exp(u - y).sum())

        def derivative(self, u: np.ndarray, y: np.ndarray) -> np.ndarray:
            return np.exp(u - y)

        def check_labels(self, y: np.ndarray) -> None:
            pass

    with pytest.raises(ValueError, match="step_size: 'auto' needs a loss of bounded curvature"):
        train(NET, X, Y, 2, loss=Steep())
    run = train(NET, X, Y, 2, 0.01, loss=Steep())  # a loss of one's own otherwise
    assert run.summary["loss"] == "steep"
    assert run.history["loss"][2] < run.history["loss"][0]
    dead = TwoLayerReLU.from_weights([[-1.0, -1.0]], [1.0])
    with pytest.raises(ValueError, match="step_size: 'auto' found a zero Gram matrix"):
        train(dead, X, Y, 2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("method", ["gd", "sgd"])
@pytest.mark.parametrize("layers", ["first", "both"])
@pytest.mark.parametrize("step_size", [5.0, 1e3, 1e18, 1e30])
def test_divergence_stops_and_keeps_the_history(
    isa_level: str, rng: np.random.Generator, dtype: str, method: str, layers: str, step_size: float
) -> None:
    """Overflowed weights give NaN pre-activations; the run must stop whichever way they go over."""
    inputs = rng.normal(size=(8, 6))
    network = TwoLayerReLU(40, 6, seed=4, dtype=dtype)
    options = {"method": method, "batch_size": 3 if method == "sgd" else None, "layers": layers}
    run = train(network, inputs, rng.normal(size=8), 3000, step_size, **options)  # type: ignore[arg-type]
    assert run.summary["stopped"] == "diverged"
    assert "is too large" in run.summary["message"]
    loss = run.history["loss"]
    assert np.isfinite(loss[:-1]).all()
    assert not np.isfinite(loss[-1])
    assert len({len(values) for values in run.history.values()}) == 1
    assert run.history["step"][-1] == run.summary["steps_done"] == len(loss) - 1


def test_divergence_of_the_logistic_loss_and_between_records(rng: np.random.Generator) -> None:
    inputs, labels = rng.normal(size=(8, 6)), rng.choice([-1.0, 1.0], 8)
    network = TwoLayerReLU(40, 6, seed=4, dtype="float32")
    run = train(network, inputs, labels, 500, 1e38, loss="logistic", layers="both")
    assert run.summary["stopped"] == "diverged"
    sparse = train(network, inputs, rng.normal(size=8), 3000, 1e3, record_every=1000)
    assert sparse.summary["stopped"] == "diverged"
    assert 0 < sparse.history["step"][-1] < 1000
    assert len(sparse.history["step"]) == 2
