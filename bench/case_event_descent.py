"""Exact gradient descent, event-driven, against the dense loops (torch and one GEMM a step through K).

Besides the cases of run.py: how cost grows with width, examples, dimension, steps and outputs, as a plain
table, and one very wide run by itself,

    python bench/case_event_descent.py --axis width [--long]
    python bench/case_event_descent.py --once 1e7 [--steps 100] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from harness import Result, Timing, machine, side_by_side

from lazygram import TwoLayerReLU, train

_DENSE_STEPS = 2  # a dense step always costs the same: few are timed, the rest is a product
_PANEL = 512


def _data(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d)).astype(np.float32)
    return X / np.linalg.norm(X, axis=1, keepdims=True), rng.standard_normal(n)


def _scaled(timing: Timing, factor: float, note: str) -> Timing:
    return Timing(timing.name, [factor * s for s in timing.seconds], note)


def _dense_loops(n: int, d: int, m: int) -> list[tuple[str, Callable[[], float]]]:
    """The loops that a practitioner would write, _DENSE_STEPS steps each; torch's where it is installed."""
    X, y = _data(n, d)
    network = TwoLayerReLU(m, d, seed=1, dtype="float32")
    W, a = network.weights(), network.signs
    K, c = X @ X.T, np.float32(0.5 / m**0.5)

    def through_kernel() -> float:
        """Pre-activations updated by one product with K instead of two with X: best for n <= d."""
        z = X @ W.T
        for _ in range(_DENSE_STEPS):
            rho = (np.maximum(z, 0) @ a / m**0.5 - y).astype(np.float32)
            z -= K @ ((z >= 0) * rho[:, None]) * (c * a)
        return float(z[0, 0])

    loops = [(f"NumPy, K instead of W, {_DENSE_STEPS} steps", through_kernel)]
    try:
        import torch
    except ImportError:
        return loops
    x, w, sign, label, k = (torch.from_numpy(v) for v in (X, W.copy(), a, y.astype(np.float32), K))

    def torch_loop() -> float:
        v = w.clone()
        for _ in range(_DENSE_STEPS):
            z = x @ v.T
            rho = torch.relu(z) @ sign / m**0.5 - label
            v -= c * sign[:, None] * (((z >= 0) * rho[:, None]).T @ x)
        return float(v[0, 0])

    def torch_through_kernel() -> float:
        z = x @ w.T
        for _ in range(_DENSE_STEPS):
            rho = torch.relu(z) @ sign / m**0.5 - label
            z -= (k @ ((z >= 0) * rho[:, None])) * (c * sign)
        return float(z[0, 0])

    return [
        *loops,
        (f"torch float32, {_DENSE_STEPS} steps", torch_loop),
        (f"torch, K instead of W, {_DENSE_STEPS} steps", torch_through_kernel),
    ]


def _against_dense(n: int, d: int, m: int, steps: int, repeats: int) -> Result:
    X, y = _data(n, d)
    network = TwoLayerReLU(m, d, seed=1, dtype="float32")
    others = _dense_loops(n, d, m)

    def ours() -> Any:
        return train(network, X, y, steps, 0.5, method="event")

    mine, rest = side_by_side(("lazygram, event", ours), others, repeats)
    run = ours()
    facts = {
        "pairs looked at per pair": run.summary["engine"]["due_pairs"] / (m * n),
        "final loss": run.summary["final_loss"],
        **{name: value for name, value in run.summary["engine"].items() if name.endswith("seconds")},
        "torch": "measured" if len(rest) == 3 else "not installed",
    }
    note = f"x {steps / _DENSE_STEPS:g} for {steps} steps"
    scaled = [_scaled(timing, steps / _DENSE_STEPS, note) for timing in rest]
    return Result(
        "event_descent",
        f"n={n}, d={d}, m={m}, {steps} steps, float32, initial forward pass included",
        mine,
        scaled,
        ">= 100x the dense torch loop at m=100,000 and 100 steps, >= 1000x at 2,000",
        facts,
    )


def _against_product(n: int, d: int, m: int, steps: int, repeats: int) -> Result:
    X, y = _data(n, d)
    network = TwoLayerReLU(m, d, seed=1, dtype="float32")
    panel = network.weights(slice(0, _PANEL))

    def product() -> None:
        """W(0) X^T at full speed: the product of one panel, once for each."""
        for _ in range(m // _PANEL):
            X @ panel.T

    mine, rest = side_by_side(
        ("lazygram, event", lambda: train(network, X, y, steps, 0.5, method="event")),
        [("the one GEMM W(0) X^T", product)],
        repeats,
        slow={"lazygram, event", "the one GEMM W(0) X^T"} if m >= 1_000_000 else (),
    )
    facts = {"peak memory of the process, bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0}
    return Result(
        "event_descent_wide",
        f"n={n}, d={d}, m={m}, {steps} steps, float32",
        mine,
        rest,
        "<= 4x the one GEMM; peak memory < 4 GB",
        facts,
    )


def run(repeats: int, quick: bool) -> list[Result]:
    if quick:
        return [_against_dense(60, 40, 4096, 20, repeats), _against_product(60, 40, 8192, 20, repeats)]
    return [
        _against_dense(1000, 1000, 100_000, 100, repeats),
        _against_dense(1000, 1000, 10_000, 2000, repeats),
        _against_product(1000, 1000, 1_000_000, 100, 1),
    ]


# How cost grows, one axis at a time: (n, d, m, steps, outputs). The second list only with --long.
_AXES: dict[str, tuple[list[tuple[int, ...]], list[tuple[int, ...]]]] = {
    "width": (
        [(1000, 100, m, 100, 1) for m in (10_000, 30_000, 100_000)],
        [(1000, 100, m, 100, 1) for m in (300_000, 1_000_000)],
    ),
    "examples": (
        [(n, 100, 30_000, 100, 1) for n in (125, 250, 500, 1000)],
        [(2000, 100, 30_000, 100, 1)],
    ),
    "dimension": (
        [(1000, d, 30_000, 100, 1) for d in (20, 100, 300)],
        [(1000, 1000, 30_000, 100, 1), (1000, 1000, 100_000, 100, 1), (1000, 1000, 1_000_000, 100, 1)],
    ),
    "steps": (
        [(1000, 100, 10_000, steps, 1) for steps in (10, 100, 500)],
        [(1000, 100, 10_000, 2000, 1), (1000, 1000, 10_000, 2000, 1), (1000, 1000, 100_000, 2000, 1)],
    ),
    "outputs": (
        [(500, 100, 10_000, 50, outputs) for outputs in (1, 2, 10)],
        [(1000, 100, 100_000, 100, 10)],
    ),
}
_DENSE_BYTES = 6 << 30  # above this the dense loops are left out: three matrices m x n, W twice


def _axis_row(n: int, d: int, m: int, steps: int, outputs: int) -> dict[str, Any]:
    """One row of a table: ours in full, a step of the dense loops times the number of steps.

    The step size is "auto", half the limit of stability: 0.5, that of the cases, diverges for d far below n.
    """
    X, y = _data(n, d)
    network = TwoLayerReLU(m, d, seed=1, dtype="float32", outputs=outputs)
    targets = y if outputs == 1 else np.random.default_rng(1).standard_normal((n, outputs))
    record = {"record": "loss", "record_every": steps}
    began = time.perf_counter()
    result = train(network, X, targets, steps, method="event", **record)
    row: dict[str, Any] = {"n": n, "d": d, "m": m, "steps": steps, "outputs": outputs}
    row["event"] = time.perf_counter() - began
    engine = result.summary["engine"]
    row |= {
        name: engine[f"{name}_seconds"] for name in ("setup", "matrix_pass", "evaluate", "apply", "counts")
    }
    row["looks"] = engine["due_pairs"] / (m * n)
    row["flips"] = engine["flips"] / (m * n)
    if outputs > 1 or 4 * (3 * m * n + 2 * m * d) > _DENSE_BYTES:
        return row
    for name, loop in _dense_loops(n, d, m):
        began = time.perf_counter()
        loop()
        row[name.split(",")[0] + (", K" if "K instead" in name else "")] = (
            (time.perf_counter() - began) * steps / _DENSE_STEPS
        )
    return row


def axis(name: str, long: bool) -> list[dict[str, Any]]:
    """Print the table of an axis, a row as soon as it is there."""
    rows = []
    for sizes in _AXES[name][0] + (_AXES[name][1] if long else []):
        rows.append(_axis_row(*sizes))
        print(
            "  ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in rows[-1].items()),
            flush=True,
        )
    return rows


def once(m: int, n: int, d: int, steps: int, folder: Path) -> None:
    """One very wide run: progress on the way, history, summary and peak memory at the end."""
    X, y = _data(n, d)
    began = time.perf_counter()
    shown = [0.0]

    def progress(what: str, share: float) -> None:
        now = time.perf_counter() - began
        if now - shown[0] > 10:
            shown[0] = now
            print(f"{now:8.1f} s  {what}: {100 * share:.0f} %", flush=True)

    def step(state: Any) -> None:
        print(
            f"{state.elapsed:8.1f} s  step {state.step}/{state.steps}  loss {state.loss:.6g}  "
            f"flips {state.values['flips']}",
            flush=True,
        )

    network = TwoLayerReLU(m, d, seed=1, dtype="float32")
    result = train(
        network, X, y, steps, 0.5, method="event", record=("loss", "predictions", "pattern_change", "flips",
        "max_distance_bound"), callbacks=step, progress=progress,
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    result.save(folder / "history.npz")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    facts = {"seconds": time.perf_counter() - began, "peak_bytes": peak, **result.summary}
    (folder / "summary.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(facts, indent=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--axis", choices=[*_AXES, "all"])
    parser.add_argument("--long", action="store_true", help="also the rows that take minutes")
    parser.add_argument(
        "--once", type=lambda text: int(float(text)), metavar="WIDTH", help="one run by itself"
    )
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--dim", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("runs/event_once"), help="folder of --once")
    parser.add_argument("--json", type=Path, help="write the tables to this file")
    options = parser.parse_args()
    if options.once:
        once(options.once, options.n, options.dim, options.steps, options.out)
    tables = {name: axis(name, options.long) for name in _AXES if options.axis in (name, "all")}
    if options.json:
        text = json.dumps({"machine": machine(), "tables": tables}, indent=2)
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
