"""Per-layer Gram matrices of a deep network against torch.func, neural-tangents and the formula by hand."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from harness import Result, Timing, peer, side_by_side

from lazygram.networks import FullyConnectedNetwork

# Examples of a block, tuned at n=500, m=2048, depth 5: larger ones gain nothing or run out
# of memory. torch.func keeps the derivatives of all examples in one layer (8 GB there).
_TORCH_BLOCK = 125
_TANGENTS_BLOCK = 100
_FEW = 8  # examples on which all sides are compared with float64
_JACOBIAN = "torch.func, vmap(grad) by layer"


def _data(n: int, d: int) -> np.ndarray:
    X = np.random.default_rng(0).standard_normal((n, d)).astype(np.float32)
    return X / np.linalg.norm(X, axis=1, keepdims=True)


class _Torch:
    """What a user of PyTorch would write: once with torch.func, once with the structure known."""

    def __init__(self, network: FullyConnectedNetwork, X: np.ndarray) -> None:
        import torch

        self.torch = torch
        self.weights = [torch.from_numpy(p.copy()) for p in network.parameters]
        self.scale = math.sqrt(network.c_sigma / network.width)
        self.x = torch.from_numpy(X)

    def _output(self, layer: Any, h: int, example: Any) -> Any:
        parameters = [*self.weights[:h], layer, *self.weights[h + 1 :]]
        for W in parameters[:-1]:
            example = self.scale * self.torch.nn.functional.softplus(W @ example)
        return parameters[-1] @ example

    def jacobian(self, h: int, rows: Any) -> Any:
        """df(x_i)/dW^(h+1), one row each."""
        func = self.torch.func
        J = func.vmap(func.grad(self._output), (None, None, 0))(self.weights[h], h, rows)
        return J.reshape(len(rows), -1)

    def by_jacobian(self) -> list[Any]:
        """J J^T layer by layer: every Jacobian once, products of pairs of blocks i >= j."""
        return [self._layer([self.jacobian(h, b) for b in self._blocks()]) for h in range(len(self.weights))]

    def _blocks(self) -> Any:
        return self.x.split(_TORCH_BLOCK)

    def _layer(self, J: list[Any]) -> Any:
        n = len(self.x)
        G = self.torch.empty(n, n)
        ends = np.cumsum([0, *map(len, J)])
        for i in range(len(J)):
            for j in range(i + 1):
                rows, columns = slice(ends[i], ends[i + 1]), slice(ends[j], ends[j + 1])
                product = J[i] @ J[j].T
                G[rows, columns] = product
                G[columns, rows] = product.T
        return G

    def sampled_seconds(self) -> tuple[float, str]:
        """Time of :meth:`by_jacobian` from one Jacobian block and one product of an m x m layer."""
        blocks = self._blocks()
        N, layers, m = len(blocks), len(self.weights) - 2, self.weights[1].shape[0]
        J = self.jacobian(1, blocks[0])
        once = _seconds(lambda: self.jacobian(1, blocks[-1]))
        product = _seconds(lambda: J @ J.T)
        pairs = N * (N + 1) // 2
        # The first layer counts as the share of an m x m one that it is.
        layers_worth = layers + self.weights[0].shape[1] / m
        note = f"1 of {N} Jacobian blocks, 1 of {pairs} products of 1 of {layers + 1} layers measured, scaled"
        return layers_worth * (N * once + pairs * product), note

    def by_hand(self) -> list[Any]:
        """Features' Gram matrices times those of the back-propagated derivatives."""
        torch, scale = self.torch, self.scale
        features, slopes = [self.x], []
        for W in self.weights[:-1]:
            u = features[-1] @ W.T
            features.append(scale * torch.nn.functional.softplus(u))
            slopes.append(scale * torch.sigmoid(u))
        grams = [features[-1] @ features[-1].T]
        g = self.weights[-1].expand_as(slopes[-1])
        for x, slope, W in zip(features[-2::-1], slopes[::-1], self.weights[-2::-1], strict=True):
            delta = slope * g
            grams.append((x @ x.T) * (delta @ delta.T))
            g = delta @ W
        return grams[::-1]


def _seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _tangents(n: int, d: int, m: int, depth: int) -> list[Timing]:
    """neural-tangents on pairs of blocks of examples, two of them measured."""
    block = min(_TANGENTS_BLOCK, n // 2)
    N = math.ceil(n / block)
    pairs = N * (N + 1) // 2
    note = f"2 of {pairs} pairs of blocks of {block} examples measured, scaled"
    return [
        Timing(timing.name, [pairs * s for s in timing.seconds], note)
        for timing in peer(2, "deep_gram", block, d, m, depth)
    ]


def _errors(network: FullyConnectedNetwork, theirs: _Torch) -> dict[str, float]:
    """Largest error of each side against the network in float64, relative to a layer's largest entry."""
    x = theirs.x.numpy()
    exact = FullyConnectedNetwork(network.width, network.dim, network.depth, seed=1).layer_grams(x)
    sides = {
        "ours": network.layer_grams(x),
        "by hand": [G.numpy() for G in theirs.by_hand()],
        "torch.func": [G.numpy() for G in theirs.by_jacobian()],
    }
    return {
        f"largest relative error, {side}": max(
            float(np.abs(G - E).max() / E.max()) for G, E in zip(grams, exact, strict=True)
        )
        for side, grams in sides.items()
    }


def _case(n: int, d: int, m: int, depth: int, repeats: int, *, whole: bool) -> Result:
    network = FullyConnectedNetwork(m, d, depth, seed=1, dtype="float32")
    X = _data(n, d)
    others: list[tuple[str, Any]] = []
    rest: list[Timing] = []
    facts: dict[str, Any] = {}
    try:
        theirs, few = _Torch(network, X), _Torch(network, X[:_FEW])
    except ImportError:
        theirs = None
        facts["torch"] = "not installed"
    if theirs is not None:
        others.append(("torch, the structured formula by hand", theirs.by_hand))
        if whole:
            others.append((_JACOBIAN, theirs.by_jacobian))
        facts |= _errors(network, few)
    mine, rest = side_by_side(
        ("lazygram, layer_grams", lambda: network.layer_grams(X)), others, repeats, slow={_JACOBIAN}
    )
    if theirs is not None and not whole:
        seconds, note = theirs.sampled_seconds()
        rest.append(Timing(_JACOBIAN, [seconds], note))
    rest += _tangents(n, d, m, depth)
    facts["the Jacobian would be, GB"] = n * network.parameter_count * 4 / 1e9
    return Result(
        "deep_gram",
        f"G^(1..{depth + 1}), fully connected softplus, n={n}, d={d}, m={m}, depth {depth}, float32",
        mine,
        rest,
        ">= 20x torch.func and neural-tangents",
        facts,
    )


def run(repeats: int, quick: bool) -> list[Result]:
    if quick:
        return [_case(40, 16, 128, 3, repeats, whole=True)]
    return [
        _case(200, 64, 512, 5, repeats, whole=True),
        _case(500, 256, 2048, 5, repeats, whole=False),
    ]
