"""Co-activation Gram from packed patterns against float32 ssyrk and a packed-bit peer, at every ISA level."""

from __future__ import annotations

import time

import numpy as np
from harness import Result, side_by_side
from scipy.linalg.blas import ssyrk

from lazygram import PackedPatterns, _core, coactivation_counts


def run(repeats: int, quick: bool) -> list[Result]:
    n, width = (256, 4096) if quick else (1024, 65536)
    mask = np.random.default_rng(0).random((n, width)) < 0.5
    patterns = PackedPatterns.from_bool(mask)
    floats = mask.astype(np.float32)
    products = n * n / 2 * width

    others = [("float32 ssyrk (2 threads)", lambda: ssyrk(1.0, floats.T, trans=1))]
    facts: dict[str, float | str] = {}
    try:
        import numkong

        packed = np.packbits(mask, axis=1, bitorder="big")
        others.append(
            ("NumKong dots_symmetric (1 thread)", lambda: numkong.dots_symmetric(packed, dtype="uint1"))
        )
        theirs = np.triu(np.asarray(numkong.dots_symmetric(packed, dtype="uint1")))
        facts["NumKong agrees"] = str(bool((theirs == np.triu(coactivation_counts(patterns))).all()))
        others.append(("lazygram (1 thread)", lambda: coactivation_counts(patterns, threads=1)))
    except ImportError:
        facts["NumKong"] = "not installed"
    ours, rest = side_by_side(
        ("lazygram (2 threads)", lambda: coactivation_counts(patterns, threads=2)), others, repeats
    )
    facts["bit-products per second, 2 threads"] = products / ours.median
    for level in _core.isa_available():
        _core.isa_force(level)
        times = []
        for _ in range(repeats):
            began = time.process_time()
            coactivation_counts(patterns, threads=1)
            times.append(time.process_time() - began)
        facts[f"bit-products per CPU second and core, {level}"] = products / min(times)
    _core.isa_force("")
    target = (
        "exact; >= 12x ssyrk, >= 3x NumKong at equal threads, >= 100 bit-products a cycle and core on AVX2"
    )
    return [Result("coactivation", f"n={n}, m={width}", ours, rest, target, facts)]
