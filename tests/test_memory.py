"""Memory is a contract: the Gram matrix of a wide network needs its bits and its result, not m x n floats."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import sys
import numpy as np
import lazygram
def peak():  # VmHWM: ru_maxrss also counts the process that started this one
    with open("/proc/self/status") as status:
        return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
n, d, m = (int(x) for x in sys.argv[1:])
X = np.random.default_rng(0).normal(size=(n, d))
# Libraries load and threads start here: several tiles and panels, but tiny ones.
lazygram.TwoLayerReLU(4096, 4, seed=0).gram(X[:260, :4])
before = peak()
H = lazygram.TwoLayerReLU(m, d, seed=1).gram(X)
assert H.shape == (n, n)
print(peak() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(("n", "d", "m"), [(500, 100, 16384), (1000, 100, 65536)])
def test_gram_of_a_wide_network(n: int, d: int, m: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(n), str(d), str(m)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    result = m * n / 8 + 8 * n**2  # the packed patterns and H
    assert 0.5 * result < int(done.stdout) < 3 * result  # the lower bound: the measure measures something
    assert 3 * result < 8 * m * n  # what a dense W X^T alone would take
