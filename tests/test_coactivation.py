"""Exact co-activation counts against a product of integer matrices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lazygram import PackedPatterns, _core, coactivation_counts


def random_bool(rng: np.random.Generator, n: int, width: int) -> np.ndarray:
    return rng.random((n, width)) < 0.7


@pytest.mark.parametrize("n", [1, 2, 3, 5, 33, 64, 65, 127, 129, 200])
def test_one_set(isa_level: str, rng: np.random.Generator, n: int) -> None:
    a = random_bool(rng, n, 777)
    expected = a.astype(int) @ a.T.astype(int)
    for threads in (1, 2, 3):
        counts = coactivation_counts(PackedPatterns.from_bool(a), threads=threads)
        assert counts.dtype == np.int64
        np.testing.assert_array_equal(counts, expected)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (5, 129), (130, 67)])
@pytest.mark.parametrize("width", [1, 512, 513, 5000])
def test_two_sets(isa_level: str, rng: np.random.Generator, shape: tuple[int, int], width: int) -> None:
    a, b = random_bool(rng, shape[0], width), random_bool(rng, shape[1], width)
    p, q = PackedPatterns.from_bool(a), PackedPatterns.from_bool(b)
    expected = a.astype(int) @ b.T.astype(int)
    for threads in (1, 2):
        np.testing.assert_array_equal(coactivation_counts(p, q, threads=threads), expected)
    np.testing.assert_array_equal(coactivation_counts(q, p), expected.T)


@pytest.mark.parametrize("width", [65_000, 65_408, 65_536, 131_000, 300_000])
def test_full_rows_pass_every_counter(isa_level: str, width: int) -> None:
    """Counters of 8 and 16 bits inside the kernels must be emptied before they overflow."""
    p = PackedPatterns.from_bool(np.ones((5, width), bool))
    np.testing.assert_array_equal(coactivation_counts(p), np.full((5, 5), width))
    np.testing.assert_array_equal(p.count(), width)


def test_counts_above_2_31() -> None:
    """2^31 + 2^29 neurons, one row of bits seen three times through a stride of 0."""
    width = 2**31 + 2**29
    rows = np.broadcast_to(np.full((1, width // 64), ~np.uint64(0)), (3, width // 64))
    patterns = PackedPatterns._trusted(rows, width)  # the check of the constructor would read it all
    np.testing.assert_array_equal(coactivation_counts(patterns), np.full((3, 3), width))
    np.testing.assert_array_equal(patterns.count(), width)


def test_strided_rows(isa_level: str, rng: np.random.Generator) -> None:
    a = random_bool(rng, 41, 1500)
    p = PackedPatterns.from_bool(a)
    repeated = PackedPatterns(np.broadcast_to(p.bits[3], (7, p.bits.shape[1])), 1500)
    wide = np.full((41, 40), ~np.uint64(0))
    wide[:, 5 : 5 + p.bits.shape[1]] = p.bits
    inner = PackedPatterns(wide[:, 5 : 5 + p.bits.shape[1]], 1500)
    integers = a.astype(int)
    np.testing.assert_array_equal(coactivation_counts(inner), integers @ integers.T)
    np.testing.assert_array_equal(coactivation_counts(repeated), a[3].sum())
    np.testing.assert_array_equal(coactivation_counts(repeated, p), np.tile(integers[3] @ integers.T, (7, 1)))
    np.testing.assert_array_equal(coactivation_counts(p[::-2], p), integers[::-2] @ integers.T)


@given(st.integers(1, 70), st.integers(1, 1200), st.integers(0, 2**32), st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_properties(n: int, width: int, seed: int, share: float) -> None:
    a = np.random.default_rng(seed).random((n, width)) < share
    p = PackedPatterns.from_bool(a)
    counts = coactivation_counts(p)
    np.testing.assert_array_equal(counts, counts.T)
    np.testing.assert_array_equal(counts.diagonal(), p.count())
    assert (counts <= np.minimum.outer(p.count(), p.count())).all()
    # |a xor b| = |a| + |b| - 2 |a and b|
    np.testing.assert_array_equal(
        p.flips(p[::-1]), (p.count() + p.count()[::-1] - 2 * counts[range(n), range(n)[::-1]])
    )
    order = np.random.default_rng(seed).permutation(n)
    np.testing.assert_array_equal(coactivation_counts(p[order]), counts[np.ix_(order, order)])
    np.testing.assert_array_equal(
        coactivation_counts(PackedPatterns.from_bool(a[:, ::-1])), counts
    )  # neurons have no order


def test_bad_input(rng: np.random.Generator) -> None:
    p = PackedPatterns.from_bool(random_bool(rng, 3, 70))
    with pytest.raises(TypeError, match="patterns: PackedPatterns are needed, got ndarray"):
        coactivation_counts(p.bits)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="other: PackedPatterns are needed, got list"):
        coactivation_counts(p, [p])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="other: width 70 is needed, got 71"):
        coactivation_counts(p, PackedPatterns.from_bool(random_bool(rng, 3, 71)))
    with pytest.raises(ValueError, match="threads: must not be negative"):
        coactivation_counts(p, threads=-1)


def test_progress() -> None:
    seen: list[tuple[int, int]] = []
    wide = PackedPatterns._trusted(np.zeros((600, 8 * 512), np.uint64), 512 * 512)
    _core.isa_force("baseline")  # slow enough to be seen
    try:
        coactivation_counts(wide, progress=lambda done, total: seen.append((done, total)))
    finally:
        _core.isa_force("")
    assert seen
    assert all(0 <= done <= total == 15 for done, total in seen)
