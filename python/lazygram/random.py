"""The one rule for seeds: an int or a numpy Generator becomes a 64-bit Philox key; normals made from it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from lazygram import _core
from lazygram.arrays import Array, check_nonnegative_int

__all__ = ["seed_to_int", "standard_normals"]


def seed_to_int(seed: int | np.random.Generator, name: str = "seed") -> int:
    """64-bit integer of a seed.

    Parameters
    ----------
    seed : int or numpy.random.Generator
        An int in [0, 2**64) is used as it is; from a generator one 64-bit integer is drawn, so it advances.
    name : str
        How error messages call it.

    Raises
    ------
    TypeError
        Neither an int nor a Generator.
    ValueError
        Negative or not below 2**64.
    """
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(0, 2**64, dtype=np.uint64))
    try:
        return check_nonnegative_int(seed, name, limit=2**64)
    except TypeError:
        raise TypeError(f"{name}: an int or numpy.random.Generator is needed, got {seed!r}") from None


def standard_normals(
    seed: int, shapes: Iterable[tuple[int, int]], dtype: npt.DTypeLike = np.float64
) -> list[Array]:
    """Independent standard normal matrices of given shapes, from one Philox stream.

    The rows of all matrices follow one another in the stream of the seed, the one that
    :class:`lazygram.TwoLayerReLU` takes its weights from: the first matrix equals the weights of a two-layer
    network of this seed and shape, and adding a layer at the end leaves the others as they are. float32
    normals are the float64 ones rounded.
    """
    matrices = []
    begin = 0
    for rows, columns in shapes:
        out: Array = np.empty((rows, columns), dtype)
        _core.RandomNetwork(seed, begin + rows, columns, False).weights(begin, out)
        begin += rows
        matrices.append(out)
    return matrices
