"""A small problem and the training loop of the text in plain NumPy, which the trainers are compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest


class Problem(NamedTuple):
    """Unit-norm inputs, labels and test points."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


@pytest.fixture
def problem() -> Problem:
    rng = np.random.default_rng(7)
    X = rng.normal(size=(19, 9))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return Problem(X[:12], rng.normal(size=12), X[12:], rng.normal(size=7))


def numpy_training(
    W: np.ndarray,
    a: np.ndarray,
    X: np.ndarray,
    y: np.ndarray,
    steps: int,
    eta: float,
    *,
    layers: str = "first",
    loss: str = "quadratic",
    batch: Callable[[int], np.ndarray] | None = None,
    X_test: np.ndarray | None = None,
    spectra: bool = True,
) -> dict[str, np.ndarray]:
    """Gradient descent (or SGD on the batches that `batch` names) by the formulas of the text, float64."""
    W, a, W0, n, m = W.copy(), a.copy(), W.copy(), len(X), len(W)
    rows: list[dict[str, Any]] = []
    for k in range(steps + 1):
        Z = X @ W.T
        M = Z >= 0
        u = (Z * M) @ a / np.sqrt(m)
        H = (X @ X.T) * (M.astype(float) @ M.T) / m
        first = rows[0] if rows else {"H": H, "M": M}
        distance = np.sqrt(((W - W0) ** 2).sum(axis=1))
        spectrum = np.linalg.eigvalsh(H) if spectra else [np.nan]
        rows.append({
            "step": k, "time": k * eta, "predictions": u, "H": H, "M": M,
            "loss": ((u - y) ** 2).sum() / 2 if loss == "quadratic" else np.log1p(np.exp(-y * u)).sum(),
            "lambda_min": spectrum[0], "lambda_max": spectrum[-1],
            "gram_change": np.abs(np.linalg.eigvalsh(H - first["H"])).max() if spectra else np.nan,
            "pattern_change": (first["M"] != M).mean(),
            "flips": (rows[-1]["M"] != M).sum() if rows else 0,
            "max_distance": distance.max(), "mean_distance": distance.mean(),
        })  # fmt: skip
        if X_test is not None:
            rows[-1]["test_predictions"] = np.maximum(X_test @ W.T, 0) @ a / np.sqrt(m)
        chosen = np.arange(n) if batch is None else batch(k)
        rho = u - y if loss == "quadratic" else -y / (1 + np.exp(y * u))
        rho = rho[chosen] * (n / len(chosen))
        gradient_W = a[:, None] * ((M[chosen] * rho[:, None]).T @ X[chosen]) / np.sqrt(m)
        gradient_a = (Z * M)[chosen].T @ rho / np.sqrt(m)
        W -= eta * gradient_W
        if layers == "both":
            a -= eta * gradient_a
    history = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return history | {"W": W + eta * gradient_W, "a": a + eta * gradient_a * (layers == "both")}


@pytest.fixture
def numpy_loop() -> Callable[..., dict[str, np.ndarray]]:
    return numpy_training
