"""What the texts say of training wide deep networks: linear rate, lazy layers, zero training error."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lazygram import Run, train
from lazygram.networks import DeepReLUNetwork, FullyConnectedNetwork, ResidualNetwork


def softplus(x: Any) -> Any:
    return np.logaddexp(0.0, x)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("kind", ["fc", "residual"])
def test_linear_rate_and_lazy_layers(kind: str, rng: np.random.Generator, reference: SimpleNamespace) -> None:
    """Du et al., Theorems 3.1 and 3.2: L(k) <= (1 - eta lambda / 2)^k L(0), and layers that hardly move."""
    n, H, steps = 10, 2 if kind == "fc" else 3, 400
    X = rng.normal(size=(n, n))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    y = rng.normal(size=n)
    limits = reference.limit_grams(kind, X[:, :, None], H, softplus, sigmoid, 0.5)
    rates = [np.linalg.eigvalsh(limits[H - 1])[0], np.linalg.eigvalsh(sum(limits))[0]]
    eta = 0.5 / np.linalg.eigvalsh(sum(limits))[-1]
    moved, changes = [], []
    for width in (64, 256):
        make = FullyConnectedNetwork if kind == "fc" else ResidualNetwork
        history = train(
            make(width, n, H, seed=1), X, y, steps, eta,
            record=["layer_distance", "layer_gram_change"], record_every=20,
        ).history  # fmt: skip
        loss = history["loss"]
        assert (np.diff(loss) < 0).all()
        for rate in rates:
            assert (loss <= (1 - eta * rate / 2) ** history["step"] * loss[0] * (1 + 1e-12)).all()
        moved.append(history["layer_distance"][-1])
        changes.append(history["layer_gram_change"][-1])
    # |W(k) - W(0)|_F does not grow with the width (the text's sqrt(m) times relative movement is stable).
    assert (np.abs(np.log(moved[1] / moved[0])) < np.log(1.4)).all()
    # ||G(k) - G(0)|| falls with the width, like m^(-1/2) or faster.
    assert (changes[1] < 0.7 * changes[0]).all()
    if kind == "residual":
        assert (
            moved[1][1:H] < 0.25 * moved[1][0]
        ).all()  # the branches carry a factor c_res / H, layer 1 does not


@pytest.fixture
def separated(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Unit inputs, last coordinate 1/2, other labels 0.2 apart (Zou et al., Assumptions 3.4 and 3.5)."""
    points: list[np.ndarray] = []
    labels: list[float] = []
    while len(points) < 20:
        x = rng.normal(size=9)
        x = np.append(x * np.sqrt(0.75) / np.linalg.norm(x), 0.5)
        label = 1.0 if rng.random() < 0.5 else -1.0
        if all(
            np.linalg.norm(x - p) >= 0.2 for p, other in zip(points, labels, strict=True) if other != label
        ):
            points.append(x)
            labels.append(label)
    return np.array(points), np.array(labels)


def zou_run(width: int, data: tuple[np.ndarray, np.ndarray], **options: Any) -> Run:
    network = DeepReLUNetwork(width, 10, 3, seed=2)
    return train(
        network, *data, 2000, 1.0 / width, reduction="mean", tolerance=0.05,
        record=["loss", "predictions", "layer_movement_op", "pattern_change"], **options,
    )  # fmt: skip


def test_deep_relu_reaches_zero_training_error(separated: tuple[np.ndarray, np.ndarray]) -> None:
    """Zou et al., Theorem 3.8, with cross-entropy: wider means less movement, fewer changed signs."""
    runs = {width: zou_run(width, separated, loss="logistic", record_every=10) for width in (64, 256)}
    for run in runs.values():
        assert run.summary["stopped"] == "tolerance"
        assert (np.diff(run.history["loss"]) < 0).all()
        assert (run.history["predictions"][-1] * separated[1] > 0).all()
    ends = {
        m: (r.history["layer_movement_op"][-1].max(), r.history["pattern_change"][-1].mean())
        for m, r in runs.items()
    }
    # Movement like m^(-1/2), patterns like m^(-1/3): factors 2 and 1.6 for four times the width.
    assert 1.5 < ends[64][0] / ends[256][0] < 2.9
    assert 1.1 < ends[64][1] / ends[256][1] < 2.3


@pytest.mark.parametrize("batch_size", [1, 5])
def test_deep_relu_by_sgd(batch_size: int, separated: tuple[np.ndarray, np.ndarray]) -> None:
    run = zou_run(
        64, separated, loss="logistic", method="sgd", batch_size=batch_size, seed=4, record_every=100
    )
    assert run.summary["stopped"] == "tolerance"
    assert (run.history["predictions"][-1] * separated[1] > 0).all()
