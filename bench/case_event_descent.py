"""Exact gradient descent, event-driven, against the dense loops (torch and one GEMM a step through K)."""

from __future__ import annotations

import resource
from typing import Any

import numpy as np
from harness import Result, Timing, side_by_side

from lazygram import TwoLayerReLU, train

_DENSE_STEPS = 2  # a dense step always costs the same: few are timed, the rest is a product
_PANEL = 512


def _data(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d)).astype(np.float32)
    return X / np.linalg.norm(X, axis=1, keepdims=True), rng.standard_normal(n)


def _scaled(timing: Timing, factor: float, note: str) -> Timing:
    return Timing(timing.name, [factor * s for s in timing.seconds], note)


def _against_dense(n: int, d: int, m: int, steps: int, repeats: int) -> Result:
    X, y = _data(n, d)
    network = TwoLayerReLU(m, d, seed=1, dtype="float32")
    W, a = network.weights(), network.signs
    K, c = X @ X.T, np.float32(0.5 / m**0.5)

    def ours() -> Any:
        return train(network, X, y, steps, 0.5, method="event")

    def through_kernel() -> float:
        """Pre-activations updated by one product with K instead of two with X: best for n <= d."""
        z = X @ W.T
        for _ in range(_DENSE_STEPS):
            rho = (np.maximum(z, 0) @ a / m**0.5 - y).astype(np.float32)
            z -= K @ ((z >= 0) * rho[:, None]) * (c * a)
        return float(z[0, 0])

    others = [(f"NumPy, K instead of W, {_DENSE_STEPS} steps", through_kernel)]
    try:
        import torch

        x, w, sign, label = (torch.from_numpy(v) for v in (X, W.copy(), a, y.astype(np.float32)))

        def torch_loop() -> float:
            v = w.clone()
            for _ in range(_DENSE_STEPS):
                z = x @ v.T
                rho = torch.relu(z) @ sign / m**0.5 - label
                v -= c * sign[:, None] * (((z >= 0) * rho[:, None]).T @ x)
            return float(v[0, 0])

        others.append((f"torch float32, {_DENSE_STEPS} steps", torch_loop))
    except ImportError:
        pass
    mine, rest = side_by_side(("lazygram, event", ours), others, repeats)
    run = ours()
    facts = {
        "pairs looked at per pair": run.summary["engine"]["due_pairs"] / (m * n),
        "final loss": run.summary["final_loss"],
        **{name: value for name, value in run.summary["engine"].items() if name.endswith("seconds")},
        "torch": "measured" if len(rest) == 2 else "not installed",
    }
    note = f"x {steps / _DENSE_STEPS:g} for {steps} steps"
    scaled = [_scaled(timing, steps / _DENSE_STEPS, note) for timing in rest]
    return Result(
        "event_descent",
        f"n={n}, d={d}, m={m}, {steps} steps, float32, initial forward pass included",
        mine,
        scaled,
        ">= 100x the dense torch loop at m=100,000 and 100 steps, >= 1000x at 2,000",
        facts,
    )


def _against_product(n: int, d: int, m: int, steps: int, repeats: int) -> Result:
    X, y = _data(n, d)
    network = TwoLayerReLU(m, d, seed=1, dtype="float32")
    panel = network.weights(slice(0, _PANEL))

    def product() -> None:
        """W(0) X^T at full speed: the product of one panel, once for each."""
        for _ in range(m // _PANEL):
            X @ panel.T

    mine, rest = side_by_side(
        ("lazygram, event", lambda: train(network, X, y, steps, 0.5, method="event")),
        [("the one GEMM W(0) X^T", product)],
        repeats,
        slow={"lazygram, event", "the one GEMM W(0) X^T"} if m >= 1_000_000 else (),
    )
    facts = {"peak memory of the process, bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0}
    return Result(
        "event_descent_wide",
        f"n={n}, d={d}, m={m}, {steps} steps, float32",
        mine,
        rest,
        "<= 4x the one GEMM; peak memory < 4 GB",
        facts,
    )


def run(repeats: int, quick: bool) -> list[Result]:
    if quick:
        return [_against_dense(60, 40, 4096, 20, repeats), _against_product(60, 40, 8192, 20, repeats)]
    results = [_against_dense(1000, 1000, 100_000, 100, repeats)]
    results.append(_against_dense(1000, 1000, 10_000, 2000, repeats))
    results.append(_against_product(1000, 1000, 1_000_000, 100, 1))
    # How cost grows, one axis at a time.
    for n, d, m, steps in (
        (1000, 100, 10_000, 100),
        (1000, 100, 100_000, 100),
        (250, 100, 100_000, 100),
        (1000, 20, 100_000, 100),
        (1000, 100, 100_000, 1000),
    ):
        results.append(_against_dense(n, d, m, steps, repeats))
    return results
