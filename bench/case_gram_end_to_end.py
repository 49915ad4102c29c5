"""H(0) from X and a seed against a masked GEMM by hand, the one GEMM it needs, and a torch Jacobian."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from harness import Result, peer, side_by_side

from lazygram import TwoLayerReLU

# Peak memory needs a process of its own: growth by one call after a tiny call has loaded everything. VmHWM,
# because ru_maxrss also counts the process that started this one.
_MEMORY = """
import numpy as np
from lazygram import TwoLayerReLU
def peak():
    with open("/proc/self/status") as status:
        return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
n, d, m = {n}, {d}, {m}
X = np.random.default_rng(0).standard_normal((n, d)).astype(np.float32)
TwoLayerReLU(600, d, seed=1, dtype="float32").gram(X[:300])
before = peak()
TwoLayerReLU(m, d, seed=1, dtype="float32").gram(X)
print(peak() - before)
"""


def _peak(n: int, d: int, m: int) -> int:
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY.format(n=n, d=d, m=m)], check=True, capture_output=True, text=True
    )
    return int(done.stdout)


def run(repeats: int, quick: bool) -> list[Result]:
    sizes = [(100, 20, 2048)] if quick else [(500, 100, 16384), (1000, 100, 65536)]
    return [_one(n, d, m, repeats) for n, d, m in sizes]


def _one(n: int, d: int, m: int, repeats: int) -> Result:
    X = np.random.default_rng(0).standard_normal((n, d)).astype(np.float32)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    network = TwoLayerReLU(m, d, seed=1, dtype="float32")
    W = network.weights()

    def by_hand() -> np.ndarray:
        active = (X @ W.T >= 0).astype(np.float32)
        return (X @ X.T) * (active @ active.T) / m

    assert np.abs(network.gram(X) - by_hand()).max() < 1e-3
    others = [("masked GEMM by hand (NumPy)", by_hand), ("the GEMM X W^T alone", lambda: X @ W.T)]
    facts: dict[str, float | str] = {}
    try:
        import torch

        torch.set_num_threads(2)
        x, a = torch.from_numpy(X), torch.from_numpy(network.signs)

        def jacobian() -> torch.Tensor:
            def f(weights: torch.Tensor, one: torch.Tensor) -> torch.Tensor:
                return torch.relu(weights @ one) @ a / m**0.5

            weights = torch.from_numpy(W)
            rows = torch.func.vmap(torch.func.jacrev(f), (None, 0))(weights, x).reshape(n, -1)
            return rows @ rows.T

        if n * m * d * 4 < 4e9:
            others.append(("torch.func Jacobian", jacobian))
    except ImportError:
        facts["torch"] = "not installed"
    ours, rest = side_by_side(
        ("lazygram", lambda: network.gram(X)), others, repeats, slow={"torch.func Jacobian"}
    )
    if n * m * d * 4 < 4e9:
        rest += peer(1, "gram", n, d, m)
    limit = 3 * (m * n / 8 + 8 * n * n)
    facts["peak memory, bytes"] = float(_peak(n, d, m))
    facts["peak memory allowed, bytes"] = float(limit)
    target = (
        ">= 2.5x by hand, >= 300x neural-tangents; <= 1.5x the one GEMM; peak memory < 3 (m n / 8 + 8 n^2)"
    )
    return Result("gram_end_to_end", f"n={n}, d={d}, m={m}, float32", ours, rest, target, facts)
