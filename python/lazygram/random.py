"""The one rule for seeds: an int or a numpy Generator becomes a 64-bit Philox key."""

from __future__ import annotations

import numpy as np

from lazygram.arrays import check_nonnegative_int

__all__ = ["seed_to_int"]


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
