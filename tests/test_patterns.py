"""Packed activation patterns: every bit against W X^T >= 0, the class, and its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

import lazygram
from lazygram import PackedPatterns, TwoLayerReLU, activation_patterns
from lazygram.files import write_npz

WIDTHS = [1, 63, 64, 65, 511, 512, 513, 1000]


def random_bool(rng: np.random.Generator, n: int, width: int) -> np.ndarray:
    return rng.random((n, width)) < 0.6


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_are_the_signs_of_the_preactivations(
    isa_level: str, rng: np.random.Generator, width: int, dtype: str
) -> None:
    # Small integers: pre-activations are exact in any order of summation, and often exactly zero.
    W = rng.integers(-2, 3, (width, 6)).astype(dtype)
    X = rng.integers(-2, 3, (300, 6)).astype(dtype)
    patterns = activation_patterns(W, X)
    np.testing.assert_array_equal(patterns.to_bool(), X @ W.T >= 0)
    assert patterns.shape == (300, width)
    assert patterns.bits.shape == (300, -(-width // 512) * 8)
    PackedPatterns(patterns.bits, width)  # checks that the padding is zero


def test_both_zeros_are_active(isa_level: str) -> None:
    X = np.array([[1.0], [-1.0], [0.0], [-0.0]])
    W = np.array([[0.0], [-0.0], [2.0], [-2.0]])
    expected = [[1, 1, 1, 0], [1, 1, 0, 1], [1, 1, 1, 1], [1, 1, 1, 1]]
    np.testing.assert_array_equal(activation_patterns(W, X).to_bool(), np.array(expected, bool))


def test_overflowing_preactivations(isa_level: str) -> None:
    """Infinite pre-activations keep their sign; the input itself is finite."""
    W = np.array([[1e308, 1e308], [-1e308, -1e308]])
    np.testing.assert_array_equal(activation_patterns(W, [[10.0, 10.0]]).to_bool(), [[True, False]])


@pytest.mark.parametrize("antisymmetric", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_seeded_equals_stored(
    isa_level: str, rng: np.random.Generator, antisymmetric: bool, dtype: str
) -> None:
    X = rng.normal(size=(30, 7)).astype(dtype)
    network = TwoLayerReLU(1100, 7, seed=3, dtype=dtype, antisymmetric=antisymmetric)
    seeded = activation_patterns(X=X, width=1100, seed=3, antisymmetric=antisymmetric)
    assert seeded == activation_patterns(network.weights(), X)
    assert seeded == network.patterns(X)


def test_layouts_and_dtypes(rng: np.random.Generator) -> None:
    W, X = rng.integers(-3, 4, (130, 4)), rng.integers(-3, 4, (9, 4))
    expected = activation_patterns(W.astype(float), X.astype(float))
    wide = np.zeros((9, 8))
    wide[:, ::2] = X
    frozen = X.astype(float)
    frozen.flags.writeable = False
    for x in (X, np.asfortranarray(X), wide[:, ::2], frozen, X.tolist(), X.astype(np.float32)):
        assert activation_patterns(np.asfortranarray(W), x) == expected


def test_progress_is_reported_and_may_raise(rng: np.random.Generator) -> None:
    X = rng.normal(size=(200, 50))
    seen: list[tuple[int, int]] = []
    # Wide enough to take several times the 0.1 s between two reports on any machine.
    activation_patterns(X=X, width=2**21, seed=0, progress=lambda done, total: seen.append((done, total)))
    assert seen
    assert all(0 <= done <= total == 4096 for done, total in seen)

    def fail(done: int, total: int) -> None:
        raise LookupError("from the callback")

    for threads in (1, 2):
        with pytest.raises(LookupError, match="from the callback"):
            activation_patterns(X=X, width=2**21, seed=0, progress=fail, threads=threads)


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ({"W": np.ones((2, 3))}, TypeError, "X: is needed"),
        ({"X": np.ones((2, 3))}, TypeError, "W: give either W, or width and seed"),
        ({"X": np.ones((2, 3)), "width": 4}, TypeError, "W: give either W, or width and seed"),
        ({"W": np.ones((2, 3)), "X": np.ones((2, 3)), "seed": 1}, TypeError, "W: give either"),
        ({"W": np.ones((2, 4)), "X": np.ones((2, 3))}, ValueError, "W: 3 columns are needed, got 4"),
        ({"W": np.ones(3), "X": np.ones((2, 3))}, ValueError, "W: a 2-D array"),
        ({"W": np.ones((2, 3)), "X": np.ones(3)}, ValueError, "X: a 2-D array"),
        ({"W": np.ones((2, 3)), "X": [[1, np.nan, 1]]}, ValueError, "X: entry"),
        ({"W": np.full((2, 3), np.inf), "X": np.ones((2, 3))}, ValueError, "W: entry"),
        ({"W": np.ones((2, 3)), "X": np.empty((0, 3))}, ValueError, "X: is empty"),
        ({"W": np.empty((0, 3)), "X": np.ones((2, 3))}, ValueError, "W: is empty"),
        ({"X": np.ones((2, 3)), "width": 0, "seed": 1}, ValueError, "width: must be positive"),
        ({"X": np.ones((2, 3)), "width": 1.5, "seed": 1}, TypeError, "width: an integer"),
        ({"X": np.ones((2, 3)), "width": 5, "seed": -1}, ValueError, "seed: must not be negative"),
        (
            {"X": np.ones((2, 3)), "width": 5, "seed": 1, "antisymmetric": True},
            ValueError,
            "width: must be even",
        ),
        ({"W": np.ones((2, 3)), "X": np.ones((2, 3)), "threads": 0}, ValueError, "threads: must be positive"),
        ({"W": np.ones((2, 3)), "X": np.ones((2, 3)), "threads": "2"}, TypeError, "threads: an integer"),
    ],
)
def test_bad_input(arguments: dict[str, object], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        activation_patterns(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("width", WIDTHS)
def test_class_against_boolean_arrays(isa_level: str, rng: np.random.Generator, width: int) -> None:
    a, b = random_bool(rng, 11, width), random_bool(rng, 11, width)
    a[0], a[1] = True, False
    p, q = PackedPatterns.from_bool(a), PackedPatterns.from_bool(b)
    np.testing.assert_array_equal(p.to_bool(), a)
    np.testing.assert_array_equal(p.count(), a.sum(axis=1))
    np.testing.assert_array_equal(p.flips(q), (a != b).sum(axis=1))
    assert p.count().dtype == p.flips(q).dtype == np.int64
    assert p == PackedPatterns.from_bool(np.asfortranarray(a)) != q
    assert p.width == width
    assert len(p) == 11
    assert p.nbytes == p.bits.nbytes
    assert f"width={width}" in repr(p)
    with pytest.raises(TypeError, match="unhashable"):
        hash(p)


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=140)))
@settings(max_examples=40, deadline=None)
def test_round_trip(mask: np.ndarray) -> None:
    patterns = PackedPatterns.from_bool(mask)
    np.testing.assert_array_equal(patterns.to_bool(), mask)
    np.testing.assert_array_equal(patterns.count(), mask.sum(axis=1))


def test_slicing_by_example(rng: np.random.Generator) -> None:
    a = random_bool(rng, 12, 700)
    p = PackedPatterns.from_bool(a)
    indices = [
        slice(2, 7),
        slice(None, None, 3),
        slice(None, None, -1),
        [0, 3, 3],
        np.arange(12) % 2 == 0,
        ...,
    ]
    for index in indices:
        np.testing.assert_array_equal(p[index].to_bool(), a[index])
        np.testing.assert_array_equal(p[index].count(), a[index].sum(axis=1))
        np.testing.assert_array_equal(
            lazygram.coactivation_counts(p[index]), a[index].astype(int) @ a[index].T.astype(int)
        )
    np.testing.assert_array_equal(p[-1].to_bool(), a[-1:])
    assert np.shares_memory(p[2:5].bits, p.bits)
    with pytest.raises(TypeError, match="index: patterns are sliced by example only"):
        p[0, 1]
    for bad in (None, np.zeros((2, 2), int)):
        with pytest.raises(TypeError, match="index: "):
            p[bad]
    for empty in (slice(5, 5), []):
        with pytest.raises(IndexError, match="index: selects no example"):
            p[empty]
    with pytest.raises(IndexError):
        p[12]


def test_bits_are_checked(rng: np.random.Generator) -> None:
    bits = np.zeros((2, 8), np.uint64)
    assert PackedPatterns(bits, 100).bits is bits
    with pytest.raises(TypeError, match="bits: a numpy array of uint64"):
        PackedPatterns(bits.astype(np.int64), 100)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="bits: a numpy array of uint64"):
        PackedPatterns(bits.astype(">u8"), 100)
    with pytest.raises(ValueError, match=r"bits: shape \(n, 16\) is needed for width 513"):
        PackedPatterns(bits, 513)
    with pytest.raises(ValueError, match="bits: the words of a row must be contiguous"):
        PackedPatterns(np.zeros((2, 16), np.uint64)[:, ::2], 100)
    with pytest.raises(ValueError, match="width: must be positive"):
        PackedPatterns(bits, 0)
    for width, word, bit in ((100, 1, 36), (100, 2, 0), (100, 7, 63), (64, 1, 0), (511, 7, 63), (1, 0, 1)):
        bad = bits.copy()
        bad[1, word] = np.uint64(1) << np.uint64(bit)
        with pytest.raises(ValueError, match=f"bits: a padding .* beyond neuron {width - 1}"):
            PackedPatterns(bad, width)
    good = bits.copy()
    good[1, 1] = np.uint64(1) << np.uint64(35)
    assert PackedPatterns(good, 100).to_bool()[1, 99]


def test_bad_masks_and_partners(rng: np.random.Generator) -> None:
    with pytest.raises(TypeError, match="mask: a boolean array"):
        PackedPatterns.from_bool([[0, 1]])
    for bad in (np.ones(3, bool), np.ones((0, 3), bool), np.ones((3, 0), bool)):
        with pytest.raises(ValueError, match="mask: shape"):
            PackedPatterns.from_bool(bad)
    p = PackedPatterns.from_bool(random_bool(rng, 3, 70))
    with pytest.raises(TypeError, match="other: PackedPatterns are needed, got ndarray"):
        p.flips(p.to_bool())  # type: ignore[arg-type]
    for n, width in ((3, 71), (2, 70)):
        with pytest.raises(ValueError, match=r"other: shape \(3, 70\) is needed"):
            p.flips(PackedPatterns.from_bool(random_bool(rng, n, width)))
    assert p != "patterns"


def test_file(rng: np.random.Generator, tmp_path: Path) -> None:
    p = PackedPatterns.from_bool(random_bool(rng, 6, 600))
    for patterns in (p, p[::2], p[::-1]):
        patterns.save(tmp_path / "p.npz")
        assert PackedPatterns.load(tmp_path / "p.npz") == patterns
    assert [path.name for path in tmp_path.iterdir()] == ["p.npz"]
    write_npz(tmp_path / "other.npz", {"bits": p.bits})
    with pytest.raises(ValueError, match=r"other\.npz: does not hold activation patterns"):
        PackedPatterns.load(tmp_path / "other.npz")
    (tmp_path / "half.npz").write_bytes((tmp_path / "p.npz").read_bytes()[:100])
    with pytest.raises(ValueError, match=r"half\.npz: not a readable \.npz file"):
        PackedPatterns.load(tmp_path / "half.npz")
    bits = p.bits.copy()
    bits[0, -1] = np.uint64(1) << np.uint64(63)
    write_npz(tmp_path / "padding.npz", {"bits": bits, "width": 600})
    with pytest.raises(ValueError, match="bits: a padding"):
        PackedPatterns.load(tmp_path / "padding.npz")
    write_npz(tmp_path / "width.npz", {"bits": p.bits, "width": np.array([600, 600])})
    with pytest.raises(ValueError, match=r"width\.npz: does not hold activation patterns"):
        PackedPatterns.load(tmp_path / "width.npz")
