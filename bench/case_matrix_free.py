"""K @ v without storing K: two-layer ReLU NTK, against the bare product on the same tiles."""

from __future__ import annotations

import numpy as np
from harness import Result, side_by_side
from scipy.linalg.blas import dgemm, sgemm

from lazygram.kernels import Kernel, Program

_EDGE = 256  # the engine's tile


class TwoLayer(Kernel):
    """Dense - ReLU - Dense, both layers trained, inner products not normalised."""

    def program(self, shape: tuple[int, ...]) -> Program:
        return Program().affine(1.0).activation("relu").affine(1.0)


def run(repeats: int, quick: bool) -> list[Result]:
    sizes = [(3000, 16)] if quick else [(20_000, 64), (20_000, 256), (100_000, 64)]
    return [_one(n, d, np.float32, 1 if n > 50_000 else repeats) for n, d in sizes] + [
        _one(sizes[0][0], sizes[0][1], np.float64, repeats)
    ]


def _one(n: int, d: int, dtype: type, repeats: int) -> Result:
    X = np.random.default_rng(0).standard_normal((n, d)).astype(dtype)
    v = np.random.default_rng(1).standard_normal(n).astype(dtype)
    operator = TwoLayer().operator(X)
    alone = TwoLayer().operator(X, threads=1)
    gemm = sgemm if dtype is np.float32 else dgemm
    tile = np.empty((_EDGE, _EDGE), dtype, order="F")
    unit = np.ascontiguousarray(X / np.linalg.norm(X, axis=1, keepdims=True))
    blocks = [unit[i : i + _EDGE].T for i in range(0, n - n % _EDGE, _EDGE)]

    def products() -> None:
        """The products of the tiles of one triangle, one after the other on one thread."""
        for i, left in enumerate(blocks):
            for right in blocks[i:]:
                gemm(1.0, right, left, 0.0, tile, trans_a=1, overwrite_c=1)

    def bands() -> np.ndarray:
        norms = np.linalg.norm(X, axis=1)
        out = np.empty(n, dtype)
        for i in range(0, n, 1000):
            size = norms[i : i + 1000, None] * norms
            c = np.clip(X[i : i + 1000] @ X.T / size, -1, 1)
            rest = np.pi - np.arccos(c)
            out[i : i + 1000] = (size * (np.sqrt(1 - c * c) + 2 * rest * c) / (2 * np.pi)) @ v
        return out

    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        sides = [
            ("the products of these tiles, 1 thread", products),
            ("lazygram, 2 threads", lambda: operator @ v),
        ]
        if n <= 20_000:
            sides.append(("NumPy in bands of 1000 rows, 1 thread", bands))
        ours, rest = side_by_side(("lazygram K @ v, 1 thread", lambda: alone @ v), sides, repeats)
    facts = {
        "share of the product's own rate": rest[0].median / ours.median,
        "entries per second, 2 threads": n * n / rest[1].median,
        "planned MiB": TwoLayer().plan(X.shape, dtype=dtype, stored=False).total / 2**20,
        "MiB of the stored kernel": n * n * X.itemsize / 2**20,
    }
    name = np.dtype(dtype).name
    target = ">= 60 % of the product's own rate, memory O(n d)"
    return Result("matrix_free", f"n={n}, d={d}, {name}", ours, rest, target, facts)
