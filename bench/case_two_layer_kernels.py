"""Two-layer NTK and NNGP against one symmetric rank-k product, NumPy by hand, and a plain memory fill."""

from __future__ import annotations

import numpy as np
from harness import Result, peer, side_by_side
from scipy.linalg.blas import dsyrk, ssyrk

from lazygram import gram_infinite, two_layer_kernels


def run(repeats: int, quick: bool) -> list[Result]:
    n, d = (400, 32) if quick else (5000, 256)
    return [_one(n, d, np.float32, repeats), _one(n, d, np.float64, repeats)]


def _one(n: int, d: int, dtype: type, repeats: int) -> Result:
    X = np.random.default_rng(0).standard_normal((n, d)).astype(dtype)
    syrk = ssyrk if dtype is np.float32 else dsyrk

    def by_hand() -> tuple[np.ndarray, np.ndarray]:
        norms = np.linalg.norm(X, axis=1)
        unit = X / norms[:, None]
        c = np.clip(unit @ unit.T, -1, 1)
        theta = np.arccos(c)
        scale = np.outer(norms, norms) / dtype(2 * np.pi)
        product = c * (dtype(np.pi) - theta)
        nngp = scale * (np.sin(theta) + product)
        return nngp, scale * product + nngp

    def two_fills() -> None:
        for _ in range(2):
            np.empty((n, n), dtype).fill(1)

    at_hand = (np.empty((n, n), dtype), np.empty((n, n), dtype))
    triangle = np.zeros((n, n), dtype, order="F")
    others = [
        ("one syrk (one triangle)", lambda: syrk(1.0, X.T, trans=1)),
        ("X @ X.T (both triangles)", lambda: X @ X.T),
        ("NumPy by hand", by_hand),
        ("filling two n x n arrays", two_fills),
        ("lazygram, H_inf alone", lambda: gram_infinite(X)),
        ("lazygram NNGP + NTK into arrays at hand", lambda: two_layer_kernels(X, out=at_hand)),
        ("syrk into an array at hand", lambda: syrk(1.0, X.T, trans=1, c=triangle, overwrite_c=1)),
    ]
    ours, rest = side_by_side(("lazygram NNGP + NTK", lambda: two_layer_kernels(X)), others, repeats)
    if dtype is np.float32:
        rest += peer(repeats, "kernels", n, d)
    name = np.dtype(dtype).name
    return Result("two_layer_kernels", f"n={n}, d={d}, {name}", ours, rest, "<= 1.3x one syrk")
