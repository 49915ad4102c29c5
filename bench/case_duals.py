"""Duals: softplus, tanh, SiLU against a 2-D quadrature per entry; all activations: ns per entry, error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from harness import Result, Timing, peer, side_by_side

from lazygram import dual
from lazygram.activations import get_activation, registry

REFERENCE = Path(__file__).parents[1] / "tests" / "duals" / "reference.json"


def by_hand(name: str, K: np.ndarray, degree: int = 25) -> tuple[np.ndarray, np.ndarray]:
    """Both duals at unit variance, a degree x degree Gauss-Hermite rule per entry (ElementwiseNumerical)."""
    a = get_activation(name)
    x, w = np.polynomial.hermite_e.hermegauss(degree)
    w = w / w.sum()
    first, second = a.phi(x), a.dphi(x)
    value, slope = np.zeros_like(K), np.zeros_like(K)
    rest = np.sqrt(np.maximum(1.0 - K * K, 0.0))
    for i in range(degree):
        for j in range(degree):
            v = K * x[i] + rest * x[j]
            value += (w[i] * w[j] * first[i]) * a.phi(v)
            slope += (w[i] * w[j] * second[i]) * a.dphi(v)
    return value, slope


def run(repeats: int, quick: bool) -> list[Result]:
    n = 60 if quick else 1000
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 16))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    K = np.clip(X @ X.T, -1.0, 1.0)
    np.fill_diagonal(K, 1.0)
    results = []
    for name in ("softplus", "tanh", "silu"):
        # By hand: a tenth of the rows, or one repeat would take a minute.
        part = K[: max(1, n // 10)]
        hand = ("2-D Gauss-Hermite per entry, x10 rows", lambda name=name, part=part: by_hand(name, part))
        ours, others = side_by_side(
            ("lazygram, both duals", lambda name=name: (dual(name, K, 1.0, 1.0), dual(name, K, 1.0, 1.0, 1))),
            [hand],
            repeats,
            slow=[hand[0]],
        )
        scaled = [
            Timing(t.name, [s * n / part.shape[0] for s in t.seconds], "scaled to n rows") for t in others
        ]
        scaled += peer(1, "dual", name, n)
        value, slope = by_hand(name, part)
        facts: dict[str, Any] = {
            "max error by hand": float(np.max(np.abs(value - dual(name, part, 1.0, 1.0)))),
            "max error by hand, derivative": float(np.max(np.abs(slope - dual(name, part, 1.0, 1.0, 1)))),
        }
        results.append(
            Result("duals", f"{name}, n={n}, float64", ours, scaled, ">= 1000x, error <= 1e-13", facts)
        )
    results += [_table(K, repeats)]
    return results


def measured_errors() -> dict[str, tuple[float, float]]:
    """Largest |error| / max(|value|, 1e-3) against tests/duals/reference.json, standard deviations <= 3."""
    table = json.loads(REFERENCE.read_text(encoding="utf-8"))
    errors = {}
    for case, both in table["values"].items():
        p, q, r = np.array(table["smooth_inputs" if case in table["smooth"] else "inputs"]).T
        at = np.maximum(p, q) <= 9.0
        name, _, text = case.partition(":")
        activation = registry[name](*(float(t) for t in text.split(",") if t))
        worst = [np.nan, np.nan]
        for order, truth in enumerate(both):
            if truth is None:
                continue
            value = dual(activation, r[at], p[at], q[at], order)
            wanted = np.array(truth)[at]
            worst[order] = float(np.max(np.abs(value - wanted) / np.maximum(np.abs(wanted), 1e-3)))
        errors[case] = (worst[0], worst[1])
    return errors


def _table(K: np.ndarray, repeats: int) -> Result:
    """Every activation on one thread: ns per entry (unit variance) and error; beside a copy of the array."""
    import time

    facts: dict[str, Any] = {}
    errors = measured_errors()
    copy: list[float] = []
    relu: list[float] = []
    for name in sorted(registry):
        text = []
        for order in (0, 1) if get_activation(name).differentiable else (0,):
            dual(name, K, 1.0, 1.0, order, threads=1)
            seconds = []
            for _ in range(max(3, repeats)):
                start = time.perf_counter()
                dual(name, K, 1.0, 1.0, order, threads=1)
                seconds.append(time.perf_counter() - start)
                if name == "relu" and order == 0:
                    start = time.perf_counter()
                    K.copy()
                    copy.append(time.perf_counter() - start)
            if name == "relu" and order == 0:
                relu = seconds
            error = max(both[order] for case, both in errors.items() if case.partition(":")[0] == name)
            text.append(f"{float(np.median(seconds)) / K.size * 1e9:6.1f} ns/entry, error {error:7.1e}")
        facts[f"{name:20}"] = "   |  phi': ".join(text)
    return Result(
        "duals_table",
        f"all activations, {K.shape[0]} x {K.shape[0]}, float64, 1 thread (relu timed against a copy)",
        Timing("lazygram relu", relu),
        [Timing("copy of the array", copy)],
        "order 10 ns per entry and thread",
        facts,
    )
