"""K @ v without storing K: two-layer ReLU NTK, against the bare product on the same tiles."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
from harness import Result, Timing, side_by_side
from scipy.linalg.blas import dgemm, sgemm
from threadpoolctl import threadpool_limits

from lazygram.kernels import Kernel, Program

_EDGE = 256  # the engine's tile
_FEW = 16  # of very many rows of tiles, products of one in so many are timed

# Growth by one product after a tiny one has loaded everything, in a process of its own. VmHWM, because
# ru_maxrss also counts the process that started this one.
_PEAK = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from case_matrix_free import TwoLayer
def peak():
    with open("/proc/self/status") as status:
        return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
n, d, name = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
TwoLayer().operator(np.ones((8, d), name)) @ np.ones(8, name)
X = np.random.default_rng(0).standard_normal((n, d), np.float32).astype(name, copy=False)
v = np.ones(n, name)
before = peak()
TwoLayer().operator(X) @ v
print(peak() - before)
"""


class TwoLayer(Kernel):
    """Dense - ReLU - Dense, both layers trained, inner products not normalised."""

    def program(self, shape: tuple[int, ...]) -> Program:
        return Program().affine(1.0).activation("relu").affine(1.0)


def run(repeats: int, quick: bool) -> list[Result]:
    sizes = [(3000, 16)] if quick else [(20_000, 64), (20_000, 256)]
    results = [_one(n, d, np.float32, repeats) for n, d in sizes]
    results.append(_one(*sizes[0], np.float64, repeats))
    return results if quick else [*results, _large(100_000, 64, min(repeats, 2))]


class _Sides:
    """Ours and the products of the same tiles, on one thread."""

    def __init__(self, n: int, d: int, dtype: type) -> None:
        self.X = np.random.default_rng(0).standard_normal((n, d)).astype(dtype)
        self.v = np.random.default_rng(1).standard_normal(n).astype(dtype)
        self.operator = TwoLayer().operator(self.X)
        self.alone = TwoLayer().operator(self.X, threads=1)
        unit = np.ascontiguousarray(self.X / np.linalg.norm(self.X, axis=1, keepdims=True))
        self.blocks = [unit[i : i + _EDGE].T for i in range(0, n - n % _EDGE, _EDGE)]
        self.tile = np.empty((_EDGE, _EDGE), dtype, order="F")
        self.gemm = sgemm if dtype is np.float32 else dgemm

    def products(self, step: int = 1) -> int:
        """The products of the tiles of one triangle, of every step-th row of tiles; returns how many."""
        count = 0
        for i in range(0, len(self.blocks), step):
            for right in self.blocks[i:]:
                self.gemm(1.0, right, self.blocks[i], 0.0, self.tile, trans_a=1, overwrite_c=1)
                count += 1
        return count

    def facts(self, bare: float, one: float, all_threads: float) -> dict[str, float]:
        n, d = self.X.shape
        name = np.dtype(self.X.dtype).name
        plan = TwoLayer().plan(self.X.shape, dtype=name, stored=False)
        folder = __file__.rpartition("/")[0] or "."
        command = [sys.executable, "-c", _PEAK, folder, str(n), str(d), name]
        peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return {
            "share of the product's own rate": bare / one,
            "entries per second, 1 thread": n * n / one,
            "entries per second, 2 threads": n * n / all_threads,
            "planned MiB": plan.total / 2**20,
            "measured MiB": int(peak) / 2**20,
            "MiB of X": self.X.nbytes / 2**20,
            "MiB of the stored kernel": n * n * self.X.itemsize / 2**20,
        }


_TARGET = ">= 60 % of the product's own rate, memory O(n d)"


def _one(n: int, d: int, dtype: type, repeats: int) -> Result:
    sides = _Sides(n, d, dtype)

    def bands() -> np.ndarray:
        X, v = sides.X, sides.v
        norms = np.linalg.norm(X, axis=1)
        out = np.empty(n, dtype)
        for i in range(0, n, 1000):
            size = norms[i : i + 1000, None] * norms
            c = np.clip(X[i : i + 1000] @ X.T / size, -1, 1)
            rest = np.pi - np.arccos(c)
            out[i : i + 1000] = (size * (np.sqrt(1 - c * c) + 2 * rest * c) / (2 * np.pi)) @ v
        return out

    by_hand = "NumPy in bands of 1000 rows, 1 thread"
    others: list[tuple[str, Callable[[], object]]] = [
        ("the products of these tiles, 1 thread", sides.products),
        ("lazygram, 2 threads", lambda: sides.operator @ sides.v),
    ]
    if d <= 64 and dtype is np.float32:
        others.append((by_hand, bands))
    with threadpool_limits(1):
        ours, rest = side_by_side(
            ("lazygram K @ v, 1 thread", lambda: sides.alone @ sides.v), others, repeats, slow=[by_hand]
        )
    facts = sides.facts(rest[0].median, ours.median, rest[1].median)
    return Result("matrix_free", f"n={n}, d={d}, {np.dtype(dtype).name}", ours, rest, _TARGET, facts)


def _large(n: int, d: int, repeats: int) -> Result:
    """So many tiles that only some of their products are timed, before and after each of ours."""
    sides = _Sides(n, d, np.float32)
    tiles = len(sides.blocks) * (len(sides.blocks) + 1) // 2

    def seconds(call: Callable[[], object]) -> float:
        began = time.perf_counter()
        call()
        return time.perf_counter() - began

    def some() -> float:
        began = time.perf_counter()
        timed = sides.products(_FEW)
        return (time.perf_counter() - began) * tiles / timed

    one, both, bare = [], [], []
    with threadpool_limits(1):
        sides.products(_FEW)
        for _ in range(repeats):
            before = some()
            one.append(seconds(lambda: sides.alone @ sides.v))
            bare.append((before + some()) / 2)
            both.append(seconds(lambda: sides.operator @ sides.v))
    ours = Timing("lazygram K @ v, 1 thread", one)
    rest = [
        Timing("the products of these tiles, 1 thread", bare, f"one row of tiles in {_FEW}, scaled"),
        Timing("lazygram, 2 threads", both),
    ]
    facts = sides.facts(rest[0].median, ours.median, rest[1].median)
    return Result("matrix_free", f"n={n}, d={d}, float32", ours, rest, _TARGET, facts)
