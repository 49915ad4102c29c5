"""Threads: how many a call uses, and the BLAS pool held to one thread while the core runs its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from threadpoolctl import ThreadpoolController

from lazygram.arrays import check_positive_int

__all__ = ["check_threads", "single_threaded_blas"]


@lru_cache(maxsize=1)
def _controller() -> ThreadpoolController:
    # Scanning the loaded libraries takes milliseconds; the BLAS that the core calls is loaded by then.
    return ThreadpoolController().select(user_api="blas")


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Hold every loaded BLAS to one thread: the core calls it from many tiles at once."""
    with _controller().limit(limits=1):
        yield


def check_threads(threads: int | None) -> int:
    """Number of threads for the core: 0 (all that OpenMP gives) for None, else a positive int."""
    return 0 if threads is None else check_positive_int(threads, "threads")
