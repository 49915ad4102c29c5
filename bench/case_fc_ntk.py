"""NTK of a fully connected ReLU network with 20 hidden layers, against others and by hand."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from harness import Result, peer, side_by_side
from scipy.linalg.blas import dsyrk, ssyrk

from lazygram.kernels import Program


def network(depth: int, d: int) -> Program:
    """Dense(w_std=sqrt 2) - ReLU, `depth` times, and a last Dense; inputs averaged as the field does."""
    program = Program(normalise_input=True)
    for _ in range(depth):
        program.affine(2.0).activation("relu")
    return program.affine(1.0)


def by_hand(xp: Any, X: Any, depth: int) -> Any:
    """What a practitioner writes: one pass over whole n x n arrays per layer. xp is numpy or torch."""
    K = X @ X.T / X.shape[1]
    theta = xp.zeros_like(K)
    for _ in range(depth):
        theta, K = 2 * theta + 2 * K, 2 * K
        v = xp.sqrt(xp.diagonal(K))
        size = v[:, None] * v[None, :]
        c = xp.clip(K / size, -1, 1)
        angle = xp.arccos(c)
        theta = theta * ((np.pi - angle) / (2 * np.pi))
        K = size * (xp.sqrt(1 - c * c) + (np.pi - angle) * c) / (2 * np.pi)
    return theta + K


def best(call: Any, repeats: int = 3) -> float:
    call()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def run(repeats: int, quick: bool) -> list[Result]:
    n, d, depth = (200, 16, 3) if quick else (2000, 256, 20)
    results = [_one(n, d, depth, dtype, repeats, quick) for dtype in (np.float32, np.float64)]
    results[-1].facts |= _axes(quick)
    return results


def _one(n: int, d: int, depth: int, dtype: type, repeats: int, quick: bool) -> Result:
    X = np.random.default_rng(0).standard_normal((n, d)).astype(dtype)
    program = network(depth, d)
    syrk = ssyrk if dtype is np.float32 else dsyrk
    others = [
        ("one syrk (one triangle)", lambda: syrk(1.0, X.T, trans=1)),
        (
            "lazygram, every layer on every pair",
            lambda: program.evaluate(X, outputs=("ntk",), general=True),
        ),
        ("NumPy by hand", lambda: by_hand(np, X, depth)),
    ]
    try:
        import torch

        tensor = torch.from_numpy(X)
        others.append(("torch by hand", lambda: by_hand(torch, tensor, depth)))
    except ImportError:
        pass
    ours, rest = side_by_side(
        ("lazygram NTK", lambda: program.evaluate(X, outputs=("ntk",))),
        others,
        repeats,
        slow=() if quick else ("NumPy by hand",),
    )
    name = np.dtype(dtype).name
    rest += peer(repeats, "fc", n, d, depth, name)
    facts = {"GFLOP/s of the product alone": n * n * d / ours.median / 1e9}
    return Result("fc_ntk", f"n={n}, d={d}, {depth} layers, {name}", ours, rest, ">= 40x the best", facts)


def _axes(quick: bool) -> dict[str, Any]:
    """Seconds along one axis at a time, float32: table, and every layer on every pair."""
    n, d, depth = (200, 16, 3) if quick else (1000, 64, 10)

    def seconds(n: int, d: int, depth: int, general: bool) -> float:
        X = np.random.default_rng(0).standard_normal((n, d)).astype(np.float32)
        program = network(depth, d)
        return best(lambda: program.evaluate(X, outputs=("ntk",), general=general))

    facts: dict[str, Any] = {}
    for name, sizes in (
        ("depth 5, 10, 20, 40", [(n, d, k * depth // 2) for k in (1, 2, 4, 8)]),
        ("n x 1, 2, 4", [(k * n, d, depth) for k in (1, 2, 4)]),
        ("d x 1, 4, 16", [(n, k * d, depth) for k in (1, 4, 16)]),
    ):
        for general in (False, True):
            figures = ", ".join(f"{seconds(*size, general) * 1e3:.2f}" for size in sizes)
            facts[f"ms, {name}, {'every layer' if general else 'by angle'}"] = figures
    return facts
