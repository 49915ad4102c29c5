"""Per-layer Gram matrices of a deep network against torch.func and neural-tangents' empirical NTK."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from harness import Result, Timing, peer, side_by_side

from lazygram.networks import FullyConnectedNetwork

_BLOCK = 64  # examples whose derivatives in one layer are held at a time by the Jacobian's side


def _data(n: int, d: int) -> np.ndarray:
    X = np.random.default_rng(0).standard_normal((n, d)).astype(np.float32)
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def _torch_side(network: FullyConnectedNetwork, X: np.ndarray) -> Any:
    """Jacobian contraction by torch.func, layer by layer, in blocks of examples that fit into memory."""
    import torch

    weights = [torch.from_numpy(p.copy()) for p in network.parameters]
    scale = math.sqrt(network.c_sigma / network.width)
    x = torch.from_numpy(X)

    def f(layer: torch.Tensor, h: int, example: torch.Tensor) -> torch.Tensor:
        parameters = [*weights[:h], layer, *weights[h + 1 :]]
        for W in parameters[:-1]:
            example = scale * torch.nn.functional.softplus(W @ example)
        return parameters[-1] @ example

    def jacobian(h: int, rows: torch.Tensor) -> torch.Tensor:
        J = torch.func.vmap(torch.func.grad(f), (None, None, 0))(weights[h], h, rows)
        return J.reshape(len(rows), -1)

    def grams() -> list[torch.Tensor]:
        blocks = x.split(_BLOCK)
        out = []
        for h in range(len(weights)):
            rows = []
            for block in blocks:
                J = jacobian(h, block)
                rows.append(torch.cat([J @ (J if b is block else jacobian(h, b)).T for b in blocks], 1))
            out.append(torch.cat(rows))
        return out

    return grams


def _case(n: int, d: int, m: int, depth: int, repeats: int, peer_repeats: int) -> Result:
    network = FullyConnectedNetwork(m, d, depth, seed=1, dtype="float32")
    X = _data(n, d)
    others: list[tuple[str, Any]] = []
    facts: dict[str, Any] = {}
    try:
        theirs = _torch_side(network, X)
        others.append(("torch.func, Jacobian by layer", theirs))
        for ours, other in zip(network.layer_grams(X[:8]), _torch_side(network, X[:8])(), strict=True):
            difference = np.abs(ours - other.numpy()).max() / np.abs(ours).max()
            facts["largest relative difference"] = max(
                float(difference), facts.get("largest relative difference", 0.0)
            )
    except ImportError:
        facts["torch"] = "not installed"
    name = "torch.func, Jacobian by layer"
    mine, rest = side_by_side(
        ("lazygram, layer_grams", lambda: network.layer_grams(X)), others, repeats, slow={name}
    )
    rest += [
        Timing("neural-tangents (own process)", timing.seconds, "blocks of 50 examples")
        for timing in peer(peer_repeats, "deep_gram", n, d, m, depth)
    ]
    numbers = n * network.parameter_count * 4 / 1e9
    facts["the Jacobian would be, GB"] = numbers
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
        return [_case(40, 16, 128, 3, repeats, 1)]
    return [_case(200, 64, 512, 5, repeats, 1), _case(500, 256, 2048, 5, repeats, 1)]
