"""Convolutional NTK: 5 ReLU convolutions 3x3 on 8x8 images, pooled and flattened, against neural-tangents."""

from __future__ import annotations

from typing import Any

import numpy as np
from case_fc_ntk import best
from harness import Result, peer, side_by_side

from lazygram.kernels import Program


def network(depth: int, side: int, pooled: bool) -> Program:
    """Conv(3x3, SAME, w_std=sqrt 2) - ReLU, `depth` times, GlobalAvgPool or Flatten, Dense."""
    program = Program((side, side), normalise_input=True)
    for _ in range(depth):
        program.patches(3).affine(2.0 / 9).activation("relu")
    return (program.pool() if pooled else program.flatten()).affine(1.0)


def run(repeats: int, quick: bool) -> list[Result]:
    sizes = [(8, 4, 2, True), (16, 4, 2, False)] if quick else [(64, 8, 5, True), (128, 8, 5, False)]
    results = [_one(*size, dtype, repeats) for size in sizes for dtype in ("float32", "float64")]
    results[-1].facts |= _axes(quick)
    return results


def _one(n: int, side: int, depth: int, pooled: bool, dtype: str, repeats: int) -> Result:
    X = np.random.default_rng(0).standard_normal((n, 3, side, side)).astype(dtype)
    program = network(depth, side, pooled)
    ours, rest = side_by_side(("lazygram NTK", lambda: program.evaluate(X, outputs=("ntk",))), [], repeats)
    rest += peer(1 if pooled else repeats, "cntk", n, side, depth, int(pooled), dtype)
    facts = {"microseconds per entry": ours.median / n**2 * 1e6}
    if rest:
        facts["microseconds per entry, neural-tangents"] = rest[0].median / n**2 * 1e6
    title = f"n={n}, {side}x{side}x3, {depth} layers, {'pooled' if pooled else 'flattened'}, {dtype}"
    target = ">= 40x the better of float32 and float64" if pooled else ">= 20x"
    return Result("cntk", title, ours, rest, target, facts)


def _axes(quick: bool) -> dict[str, Any]:
    """Microseconds per entry along one axis at a time."""
    facts: dict[str, Any] = {}
    for pooled, n in ((True, 16), (False, 96)):
        n = 4 if quick else n

        def per_entry(side: int, depth: int, n: int = n, pooled: bool = pooled) -> float:
            X = np.random.default_rng(0).standard_normal((n, 3, side, side))
            program = network(depth, side, pooled)
            return best(lambda: program.evaluate(X, outputs=("ntk",)), 2) / n**2 * 1e6

        kind = "pooled" if pooled else "flattened"
        sides = (2, 4) if quick else (4, 8, 16)
        facts[f"us per entry, {kind}, sides {sides}"] = ", ".join(f"{per_entry(s, 3):.3g}" for s in sides)
        facts[f"us per entry, {kind}, depth 2, 4, 8"] = ", ".join(f"{per_entry(4, d):.3g}" for d in (2, 4, 8))
    return facts
