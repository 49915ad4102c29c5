"""Memory a command will need, said beforehand, and refused when the machine does not have it."""

from __future__ import annotations

import os

import numpy as np

__all__ = ["gram_bytes", "physical_memory", "refuse_too_large", "size_text", "training_bytes"]


def gram_bytes(n: int, d: int, matrices: int) -> int:
    """Bytes for `matrices` Gram matrices of n examples and what their spectra take.

    The proven eigenvalue bound holds about five n x n arrays at a time.
    """
    return 8 * ((matrices + 6) * n * n + 2 * n * d)


def training_bytes(n: int, d: int, width: int, dtype: str, matrices: int) -> int:
    """Bytes of a training run: Gram matrices, weights (now, next, a panel), packed patterns."""
    patterns = 4 * n * width // 8
    return gram_bytes(n, d, matrices) + 3 * width * d * np.dtype(dtype).itemsize + patterns


def size_text(size: int) -> str:
    """Write a number of bytes for people."""
    return f"{size / 2**30:.2g} GiB" if size >= 2**30 else f"{max(1, round(size / 2**20))} MiB"


def refuse_too_large(size: int, what: str) -> None:
    """Refuse what cannot fit, instead of being killed by the system half way.

    Raises
    ------
    ValueError
        If the machine has less memory than `size`; the message names `what`.
    """
    total = physical_memory()
    if total is not None and size > total:
        raise ValueError(
            f"{what} need about {size_text(size)} of memory, this machine has {size_text(total)}"
        )


def physical_memory() -> int | None:
    """Bytes of memory of this machine, None where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
