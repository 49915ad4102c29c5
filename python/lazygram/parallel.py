"""Threads: how many a call uses, and the BLAS pool held to one thread while the core runs its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from threadpoolctl import ThreadpoolController

from lazygram.arrays import check_positive_int

__all__ = ["check_threads", "single_threaded_blas"]

# OpenMP ends the process when the system refuses a thread; no machine gains from more than this.
_MOST_THREADS = 1024


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
    """Number of threads for the core: 0 (all that OpenMP gives) for None, else an int from 1 to 1024."""
    if threads is None:
        return 0
    number = check_positive_int(threads, "threads")
    if number > _MOST_THREADS:
        raise ValueError(f"threads: at most {_MOST_THREADS}, got {number}")
    return number
