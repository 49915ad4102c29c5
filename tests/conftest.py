"""Fixtures that the whole suite shares: every instruction-set level, a seeded generator."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import numpy as np
import pytest

# Threads of OpenMP spin between two calls by default: on a busy machine that slows tiny problems twentyfold.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from lazygram import _core

# A shell starts background jobs with SIGINT ignored, and child processes inherit that: without a handler of
# this process no test of Ctrl-C could work there.
if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=_core.isa_available())
def isa_level(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction-set level of this machine in turn; the automatic choice is restored afterwards."""
    _core.isa_force(request.param)
    yield request.param
    _core.isa_force("")


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator that is the same in every test."""
    return np.random.default_rng(20240601)
