"""A gradient descent step of a deep network against its matrix products alone and torch's autograd."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import numpy as np
from harness import Result, side_by_side

from lazygram.networks import FullyConnectedNetwork
from lazygram.training.deep_state import DeepState


def _torch_step(network: FullyConnectedNetwork, X: np.ndarray, y: np.ndarray) -> Any:
    import torch

    weights = [torch.from_numpy(p.copy()).requires_grad_() for p in network.parameters]
    optimiser = torch.optim.SGD(weights, lr=1e-4)
    scale = math.sqrt(network.c_sigma / network.width)
    x, labels = torch.from_numpy(X), torch.from_numpy(y.astype(np.float32))
    phi = torch.nn.functional.softplus if network.activation.name == "softplus" else torch.relu

    def step() -> None:
        optimiser.zero_grad()
        hidden = x
        for W in weights[:-1]:
            hidden = scale * phi(hidden @ W.T)
        (0.5 * ((hidden @ weights[-1] - labels) ** 2).sum()).backward()
        optimiser.step()

    return step


def _case(activation: str, n: int, d: int, m: int, depth: int, repeats: int) -> Result:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d)).astype(np.float32)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    y = rng.standard_normal(n)
    network = FullyConnectedNetwork(m, d, depth, activation, seed=1, dtype="float32")
    state = DeepState(network, X, factors=[1.0] * (depth + 1), x_test=None)
    weights = [np.array(W) for W in network.parameters[:-1]]
    inputs = [rng.standard_normal((n, W.shape[1]), dtype=np.float32) for W in weights]
    delta = rng.standard_normal((n, m), dtype=np.float32)
    rows, gradients = np.empty_like(delta), [np.empty_like(W) for W in weights]

    def products() -> None:
        """Forward, back-propagated and gradient products of a step, nothing else."""
        for W, z in zip(weights, inputs, strict=True):
            np.matmul(z, W.T, out=rows)
        for W in weights[1:]:
            np.matmul(delta, W, out=rows)
        for z, g in zip(inputs, gradients, strict=True):
            np.matmul(delta.T, z, out=g)

    others: list[tuple[str, Any]] = [("the products alone (NumPy)", products)]
    with suppress(ImportError):
        others.append(("torch, autograd and SGD", _torch_step(network, X, y)))
    mine, rest = side_by_side(("lazygram, step", lambda: state.advance(state.u - y, 1e-4)), others, repeats)
    flops = 2.0 * n * (2 * sum(W.size for W in weights) + sum(W.size for W in weights[1:]))
    facts = {
        "GFLOP of the products": flops / 1e9,
        "GFLOP/s, products alone": flops / 1e9 / rest[0].median,
        "GFLOP/s, whole step": flops / 1e9 / mine.median,
        "share of the GEMM rate": rest[0].median / mine.median,
        "torch": "measured" if len(rest) == 2 else "not installed",
    }
    return Result(
        "deep_step",
        f"{activation}, n={n}, d={d}, m={m}, depth {depth}, float32",
        mine,
        rest,
        ">= 0.70 of the GEMM rate of its flops",
        facts,
    )


def run(repeats: int, quick: bool) -> list[Result]:
    if quick:
        return [_case("softplus", 40, 16, 128, 3, repeats)]
    return [_case(activation, 500, 256, 2048, 5, repeats) for activation in ("softplus", "relu")]
