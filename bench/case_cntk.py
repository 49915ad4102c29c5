"""Convolutional NTK: 5 ReLU convolutions 3x3 on 8x8 images, pooled and flattened, against neural-tangents."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from typing import Any

import numpy as np
from case_fc_ntk import best
from harness import Peer, Result, Timing

from lazygram.kernels import Program

DTYPES = ("float32", "float64")


def network(depth: int, side: int, pooled: bool) -> Program:
    """Conv(3x3, SAME, w_std=sqrt 2) - ReLU, `depth` times, GlobalAvgPool or Flatten, Dense."""
    program = Program((side, side), normalise_input=True)
    for _ in range(depth):
        program.patches(3).affine(2.0 / 9).activation("relu")
    return (program.pool() if pooled else program.flatten()).affine(1.0)


def run(repeats: int, quick: bool) -> list[Result]:
    sizes = [(8, 4, 2, True), (16, 4, 2, False)] if quick else [(64, 8, 5, True), (128, 8, 5, False)]
    results = [result for size in sizes for result in _rows(*size, repeats)]
    results[-1].facts |= _axes(quick)
    return results


def _rows(n: int, side: int, depth: int, pooled: bool, repeats: int) -> list[Result]:
    """Ours in float32 and in float64, each against the better of neural-tangents' two, in the same rounds."""
    program = network(depth, side, pooled)
    X = np.random.default_rng(0).standard_normal((n, 3, side, side))
    inputs = {dtype: X.astype(dtype) for dtype in DTYPES}
    ours: dict[str, list[float]] = {dtype: [] for dtype in DTYPES}
    theirs: dict[str, list[float]] = {}
    with ExitStack() as stack:
        peers: dict[str, Peer] = {}
        if os.environ.get("LAZYGRAM_PEER_PYTHON"):
            arguments = ("cntk", n, side, depth, int(pooled))
            peers = {dtype: stack.enter_context(Peer(*arguments, dtype)) for dtype in DTYPES}
            theirs = {dtype: [peer.seconds()] for dtype, peer in peers.items()}
            better = min(theirs, key=lambda dtype: theirs[dtype][0])
            theirs[better].clear()
        for turn in range(-1, repeats):  # the first round warms up
            for dtype in DTYPES:
                time.sleep(0.1)
                began = time.perf_counter()
                for _ in range(3):  # one call is short against the other side's
                    program.evaluate(inputs[dtype], outputs=("ntk",))
                if turn >= 0:
                    ours[dtype].append((time.perf_counter() - began) / 3)
            if peers and turn >= 0:
                time.sleep(0.1)
                theirs[better].append(peers[better].seconds())
    title = f"n={n}, {side}x{side}x3, {depth} layers, {'pooled' if pooled else 'flattened'}"
    target = f">= {40 if pooled else 20}x neural-tangents' better precision"
    # The better one first: it has as many rounds as we.
    rest = [
        Timing(f"neural-tangents {dtype}", theirs[dtype])
        for dtype in sorted(theirs, key=lambda dtype: dtype != better)
    ]
    results = []
    for dtype in DTYPES:
        facts = {"microseconds per entry": 1e6 * float(np.median(ours[dtype])) / n**2}
        if rest:
            facts["microseconds per entry, neural-tangents"] = rest[0].median / n**2 * 1e6
        results.append(
            Result("cntk", f"{title}, {dtype}", Timing("lazygram NTK", ours[dtype]), rest, target, facts)
        )
    return results


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
