"""A gradient descent step of a deep network against its matrix products alone and torch's autograd."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from harness import Result, side_by_side

from lazygram.networks import (
    ConvResidualNetwork,
    DeepNetwork,
    DeepReLUNetwork,
    FullyConnectedNetwork,
    ResidualNetwork,
)
from lazygram.training.deep_state import DeepState

_ACTIVATIONS = ("softplus", "relu", "tanh", "gelu", "silu", "erf")


def _torch_step(network: FullyConnectedNetwork, X: np.ndarray, y: np.ndarray) -> Any:
    import torch

    weights = [torch.from_numpy(p.copy()).requires_grad_() for p in network.parameters]
    optimiser = torch.optim.SGD(weights, lr=1e-4)
    scale = math.sqrt(network.c_sigma / network.width)
    x, labels = torch.from_numpy(X), torch.from_numpy(y.astype(np.float32))
    functions = {"erf": torch.erf, "tanh": torch.tanh}
    phi = functions.get(network.activation.name) or getattr(torch.nn.functional, network.activation.name)

    def step() -> None:
        optimiser.zero_grad()
        hidden = x
        for W in weights[:-1]:
            hidden = scale * phi(hidden @ W.T)
        (0.5 * ((hidden @ weights[-1] - labels) ** 2).sum()).backward()
        optimiser.step()

    return step


def _products(network: DeepNetwork, X: np.ndarray) -> tuple[Callable[[], None], float]:
    """Forward, back-propagated and gradient products of a step, nothing else; and their flops."""
    assert isinstance(network, (FullyConnectedNetwork, ResidualNetwork, ConvResidualNetwork, DeepReLUNetwork))
    features = network._propagate(network._examples(X, "X"), None).features
    inputs = [np.array(network._inputs(h, x)) for h, x in enumerate(features[:-1])]
    weights = [np.ascontiguousarray(network._matrix(h)) for h in range(network.depth)]
    deltas = [np.ones((len(z), len(W)), z.dtype) for z, W in zip(inputs, weights, strict=True)]
    forward = [np.empty_like(delta) for delta in deltas]
    back, gradients = [np.empty_like(z) for z in inputs], [np.empty_like(W) for W in weights]

    def products() -> None:
        for z, W, out in zip(inputs, weights, forward, strict=True):
            np.matmul(z, W.T, out=out)
        for delta, W, out in zip(deltas[1:], weights[1:], back[1:], strict=True):
            np.matmul(delta, W, out=out)
        for delta, z, out in zip(deltas, inputs, gradients, strict=True):
            np.matmul(delta.T, z, out=out)

    sizes = [2.0 * len(z) * W.size for z, W in zip(inputs, weights, strict=True)]
    return products, 3 * sum(sizes) - sizes[0]


def _case(name: str, network: DeepNetwork, n: int, repeats: int) -> Result:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, network.dim)).astype(np.float32)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    y = rng.standard_normal(n)
    state = DeepState(
        network, network._examples(X, "X"), factors=[1.0] * len(network.parameters), x_test=None
    )
    products, flops = _products(network, X)
    others: list[tuple[str, Any]] = [("the products alone (NumPy)", products)]
    if isinstance(network, FullyConnectedNetwork):
        with suppress(ImportError):
            others.append(("torch, autograd and SGD", _torch_step(network, X, y)))
    mine, rest = side_by_side(("lazygram, step", lambda: state.advance(state.u - y, 1e-6)), others, repeats)
    facts = {
        "GFLOP of the products": flops / 1e9,
        "GFLOP/s, products alone": flops / 1e9 / rest[0].median,
        "GFLOP/s, whole step": flops / 1e9 / mine.median,
        "share of the GEMM rate": rest[0].median / mine.median,
    }
    return Result(
        "deep_step",
        f"{name}, n={n}, {network.parameter_count / 1e6:.1f} M weights, depth {network.depth}, float32",
        mine,
        rest,
        ">= 0.70 of the GEMM rate of its flops",
        facts,
    )


def run(repeats: int, quick: bool) -> list[Result]:
    small = {"seed": 1, "dtype": "float32"}
    if quick:
        return [_case("fully connected, softplus", FullyConnectedNetwork(128, 16, 3, **small), 40, repeats)]
    results = [
        _case(f"fully connected, {name}", FullyConnectedNetwork(2048, 256, 5, name, **small), 500, repeats)
        for name in _ACTIVATIONS
    ]
    others: list[tuple[str, DeepNetwork, int]] = [
        ("ResNet, softplus", ResidualNetwork(2048, 256, 5, **small), 500),
        ("deep ReLU (Zou)", DeepReLUNetwork(2048, 256, 5, **small), 500),
        ("convolutional ResNet, softplus, 8 x 8 x 3", ConvResidualNetwork(256, 3, (8, 8), 4, **small), 64),
    ]
    return results + [_case(name, network, n, repeats) for name, network, n in others]
