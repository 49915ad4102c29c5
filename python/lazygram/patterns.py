"""Packed activation patterns of a two-layer ReLU network: one bit per (example, neuron) pair.

The pattern of example i is the row of bits M_ri = 1{w_r . x_i >= 0}, r = 0 .. width-1. Rows are stored with
neuron r at bit r % 64 of 64-bit word r // 64, padded with zero bits to whole cache lines.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from lazygram import _core
from lazygram.arrays import Array, as_matrix, check_positive_int
from lazygram.files import read_npz, write_npz
from lazygram.parallel import check_threads, single_threaded_blas
from lazygram.random import seed_to_int

__all__ = ["PackedPatterns", "activation_patterns", "coactivation_counts"]


class PackedPatterns:
    """Activation patterns of `n` examples over `width` neurons, one bit each.

    Made by :func:`activation_patterns`, :meth:`from_bool` or :meth:`load`. Slicing by example
    (``p[2:5]``, ``p[::2]``, ``p[[0, 3]]``) gives patterns again; a plain slice shares memory.

    Parameters
    ----------
    bits : ndarray of uint64, shape (n, words)
        Packed rows; padding bits beyond `width` must be zero. Used as it is, never converted; rows
        may be strided.
    width : int
        Number of neurons.

    Raises
    ------
    TypeError
        `bits` is not an array of uint64.
    ValueError
        Wrong shape, or a padding bit is set.
    """

    def __init__(self, bits: npt.NDArray[np.uint64], width: int) -> None:
        width = check_positive_int(width, "width")
        if not isinstance(bits, np.ndarray) or bits.dtype != np.uint64:
            raise TypeError("bits: a numpy array of uint64 is needed")
        words = _core.pattern_words(width)
        if bits.ndim != 2 or bits.shape[1] != words:
            raise ValueError(f"bits: shape (n, {words}) is needed for width {width}, got {bits.shape}")
        if bits.strides[1] != 8:
            raise ValueError("bits: the words of a row must be contiguous")
        if width % 64 and (bits[:, width // 64] >> np.uint64(width % 64)).any():
            raise ValueError(f"bits: a padding bit beyond neuron {width - 1} is set")
        if bits[:, -(-width // 64) :].any():
            raise ValueError(f"bits: a padding word beyond neuron {width - 1} is not zero")
        self._bits = bits
        self._width = width

    @classmethod
    def _trusted(cls, bits: npt.NDArray[np.uint64], width: int) -> PackedPatterns:
        patterns = cls.__new__(cls)
        patterns._bits = bits
        patterns._width = width
        return patterns

    @classmethod
    def from_bool(cls, mask: npt.ArrayLike) -> PackedPatterns:
        """Pack a boolean array of shape (n, width).

        Raises
        ------
        TypeError
            Not boolean.
        ValueError
            Not 2-D, or empty.
        """
        array = np.asarray(mask)
        if array.dtype != np.bool_:
            raise TypeError(f"mask: a boolean array is needed, got dtype {array.dtype}")
        if array.ndim != 2 or array.size == 0:
            raise ValueError(f"mask: shape (n, width) is needed, got {array.shape}")
        n, width = array.shape
        packed = np.zeros((n, 8 * _core.pattern_words(width)), np.uint8)
        packed[:, : -(-width // 8)] = np.packbits(array, axis=1, bitorder="little")
        return cls._trusted(packed.view("<u8").astype(np.uint64, copy=False), width)

    @property
    def bits(self) -> npt.NDArray[np.uint64]:
        """The packed rows, shape (n, words), uint64 (no copy)."""
        return self._bits

    @property
    def width(self) -> int:
        """Number of neurons."""
        return self._width

    @property
    def shape(self) -> tuple[int, int]:
        """(number of examples, width)."""
        return self._bits.shape[0], self._width

    @property
    def nbytes(self) -> int:
        """Bytes of the packed rows."""
        return int(self._bits.nbytes)

    def __len__(self) -> int:
        return int(self._bits.shape[0])

    def __getitem__(self, index: Any) -> PackedPatterns:
        if isinstance(index, tuple):
            raise TypeError("index: patterns are sliced by example only; use to_bool() for neurons")
        rows = self._bits[index]
        if rows.ndim == 1:  # one example
            rows = rows[np.newaxis]
        if rows.ndim != 2:
            raise TypeError("index: an int, a slice, or a 1-D array of ints or booleans is needed")
        if rows.shape[0] == 0:
            raise IndexError("index: selects no example")
        return PackedPatterns._trusted(rows, self._width)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PackedPatterns):
            return NotImplemented
        return self.shape == other.shape and np.array_equal(self._bits, other._bits)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"PackedPatterns(examples={len(self)}, width={self._width}, {self.nbytes} bytes)"

    def count(self, *, threads: int | None = None) -> npt.NDArray[np.int64]:
        """Number of active neurons of each example, int64, shape (n,)."""
        out = np.empty(len(self), np.int64)
        _core.pattern_counts(self._bits, out, check_threads(threads))
        return out

    def flips(self, other: PackedPatterns, *, threads: int | None = None) -> npt.NDArray[np.int64]:
        """Number of neurons of each example whose bit differs from `other`, int64, shape (n,).

        Raises
        ------
        ValueError
            The shapes differ.
        """
        if not isinstance(other, PackedPatterns):
            raise TypeError(f"other: PackedPatterns are needed, got {type(other).__name__}")
        if self.shape != other.shape:
            raise ValueError(f"other: shape {self.shape} is needed, got {other.shape}")
        out = np.empty(len(self), np.int64)
        _core.pattern_differences(self._bits, other._bits, out, check_threads(threads))
        return out

    def to_bool(self) -> npt.NDArray[np.bool_]:
        """Unpacked patterns, bool, shape (n, width): eight bytes of memory for each byte of bits."""
        rows = np.ascontiguousarray(self._bits).astype("<u8", copy=False).view(np.uint8)
        return np.unpackbits(rows, axis=1, count=self._width, bitorder="little").view(np.bool_)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to an .npz file, whole or not at all, without pickle."""
        write_npz(path, {"bits": np.ascontiguousarray(self._bits), "width": np.int64(self._width)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PackedPatterns:
        """Read a file that :meth:`save` wrote.

        Raises
        ------
        ValueError
            The file holds something else.
        """
        data = read_npz(path)
        if set(data) != {"bits", "width"} or data["width"].shape or data["width"].dtype.kind not in "iu":
            raise ValueError(f"{os.fspath(path)}: does not hold activation patterns")
        return cls(data["bits"], int(data["width"]))


def activation_patterns(
    W: npt.ArrayLike | None = None,
    X: npt.ArrayLike | None = None,
    *,
    width: int | None = None,
    seed: int | np.random.Generator | None = None,
    antisymmetric: bool = False,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PackedPatterns:
    """Packed activation patterns M_ri = 1{w_r . x_i >= 0}.

    Pre-activations are made a panel of 512 neurons at a time; an array of width x n floats never
    exists. With `width` and `seed` instead of `W` the weights w_r ~ N(0, I) of that seed are made panel
    by panel too (the ones of ``TwoLayerReLU(width, dim, seed=seed)``).

    Parameters
    ----------
    W : array_like, shape (width, dim), optional
        Hidden weights, row r = w_r.
    X : array_like, shape (n, dim)
        Examples. float32 input gives pre-activations in float32, anything else in float64.
    width, seed : int, optional
        Instead of `W`: the random initial network of that seed.
    antisymmetric : bool
        With `seed`: the second half of the neurons repeats the first.
    threads : int, optional
        Threads; all by default. The result does not depend on it.
    progress : callable, optional
        Called now and then as ``progress(panels_done, panels)``.

    Returns
    -------
    PackedPatterns
        Of shape (n, width).

    Raises
    ------
    TypeError, ValueError
        Bad input; the message names the argument.

    References
    ----------
    Du, thesis (2019), ch. 2: the indicator in the gradient and in H(t).
    """
    if X is None:
        raise TypeError("X: is needed")
    x = as_matrix(X, "X")
    source: Any
    if W is not None:
        if width is not None or seed is not None or antisymmetric:
            raise TypeError("W: give either W, or width and seed, not both")
        source = as_matrix(W, "W", dtype=x.dtype, columns=x.shape[1])
        width = source.shape[0]
    else:
        if width is None or seed is None:
            raise TypeError("W: give either W, or width and seed")
        width = check_positive_int(width, "width")
        source = _core.RandomNetwork(seed_to_int(seed), width, x.shape[1], antisymmetric)
    return patterns_of(source, width, x, threads=threads, progress=progress)


def patterns_of(
    source: Any,
    width: int,
    X: Array,
    *,
    threads: int | None,
    progress: Callable[[int, int], None] | None = None,
) -> PackedPatterns:
    """Patterns for checked input; `source` is a weight matrix of X's dtype or a `_core.RandomNetwork`."""
    bits = np.empty((X.shape[0], _core.pattern_words(width)), np.uint64)
    with single_threaded_blas():
        _core.activation_patterns(source, X, bits, check_threads(threads), progress)
    return PackedPatterns._trusted(bits, width)


def coactivation_counts(
    patterns: PackedPatterns,
    other: PackedPatterns | None = None,
    *,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> npt.NDArray[np.int64]:
    """Exact co-activation counts C_ij = #{r : M_ri = 1 and M'_rj = 1}.

    Parameters
    ----------
    patterns, other : PackedPatterns
        Of shapes (n, width) and (n2, width); `other` defaults to `patterns`.
    threads : int, optional
        Threads; all by default. The result does not depend on it, nor on the instruction-set level.
    progress : callable, optional
        Called now and then as ``progress(tiles_done, tiles)``.

    Returns
    -------
    ndarray of int64, shape (n, n2)
        Exact for any width.

    Raises
    ------
    TypeError, ValueError
        Not patterns, or the widths differ.
    """
    if not isinstance(patterns, PackedPatterns):
        raise TypeError(f"patterns: PackedPatterns are needed, got {type(patterns).__name__}")
    if other is None:
        other = patterns
    if not isinstance(other, PackedPatterns):
        raise TypeError(f"other: PackedPatterns are needed, got {type(other).__name__}")
    if patterns.width != other.width:
        raise ValueError(f"other: width {patterns.width} is needed, got {other.width}")
    out = np.empty((len(patterns), len(other)), np.int64)
    _core.coactivation_counts(patterns.bits, other.bits, out, check_threads(threads), progress)
    return out
