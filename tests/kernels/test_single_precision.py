"""float32 kernels: against references in float64, between near and opposite inputs, at odd sizes, by plan."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import oracle
import pytest
from compose import sequential
from kernel_networks import CASES, RELU, Case, conv, dense, inputs

Array = np.ndarray
RECORDED = json.loads(pathlib.Path(__file__).with_name("neural_tangents.json").read_text())["cases"]

# Of sqrt(K_ii K_jj). Roundings of float32, 6e-8 each, add up to about 2e-7 in a correlation and grow in an
# angle by one over its sine, of which the engine allows 0.02; what is nearer is computed in float64.
BOUND = 3e-6

CONVOLUTIONS = {
    "flattened": [conv(3, 3, w_std=1.4, b_std=0.1), RELU] * 3 + [("flatten",), dense()],
    "pooled": [conv(3, 3, w_std=1.4), RELU] * 3 + [("gap",), dense()],
    "pooled-strides": [
        conv(3, 3, w_std=1.4, b_std=0.1),
        RELU,
        conv(2, 2, stride=2, padding="CIRCULAR", w_std=1.4),
        RELU,
        ("gap",),
        dense(),
    ],
}


def assert_single(made: Array, wanted: Array, rows: Array, columns: Array) -> None:
    """`made` is float32 and within BOUND of `wanted`, whose examples alone have `rows` and `columns`."""
    assert made.dtype == np.float32
    error = np.abs(made.astype(np.float64) - wanted)
    assert np.all(error <= BOUND * np.sqrt(np.outer(rows, columns)) + 1e-30)


@pytest.mark.parametrize("name", CASES)
def test_against_the_oracle(name: str) -> None:
    """X is rounded first, so that both sides have the same inputs."""
    case: Case = CASES[name]
    X = inputs(*case.shape).astype(np.float32)
    layers = case.layers(8)
    wanted = oracle.kernels(X.astype(np.float64), layers, case.parameterisation)
    network = sequential(layers, case.parameterisation)
    made, block = network.nngp_and_ntk(X), network.nngp_and_ntk(X[:2], X[1:])
    for kind in ("nngp", "ntk"):
        truth = getattr(wanted, kind)
        own = np.diag(truth)
        assert_single(getattr(made, kind), truth, own, own)
        # Examples alone meet as a pair here: dropout, and nothing else, would tell.
        if "dropout" not in name:
            assert_single(getattr(block, kind), truth[:2, 1:], own[:2], own[1:])


@pytest.mark.parametrize("name", RECORDED)
def test_against_neural_tangents(name: str) -> None:
    """Recorded for float64 inputs, which are rounded here: 6e-8 more in each."""
    case: dict[str, Any] = RECORDED[name]
    network = sequential(case["layers"], case["parameterisation"])
    made = network.nngp_and_ntk(inputs(*case["shape"]).astype(np.float32))
    for key in ("nngp", "ntk"):
        wanted = np.array(case[key])
        assert_single(getattr(made, key), wanted, np.diag(wanted), np.diag(wanted))


def odd_images() -> Array:
    """Repeated, opposite, scaled, near, zero and partly zero images among others."""
    X = np.random.default_rng(5).standard_normal((24, 2, 4, 6))
    X[1], X[2], X[3], X[4], X[5] = X[0], -X[0], 5 * X[0], 1e-3 * X[0], 0
    for k in range(8):
        X[6 + k] = (-1) ** k * X[0]
        X[6 + k, 1, 2, 3] += 0.1**k
    X[14, :, :2], X[15, :, :, 1:] = 0, 0
    X[16] = 1.0  # all pixels the same
    X[17] = np.arange(48).reshape(2, 4, 6) / 48  # and nearly
    return X.astype(np.float32)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_odd_images(name: str, isa_level: str) -> None:
    X = odd_images()
    network = sequential(CONVOLUTIONS[name])
    made, exact = network.nngp_and_ntk(X), network.nngp_and_ntk(X.astype(np.float64))
    other = network.ntk(X[::-1], X)
    for kind in ("nngp", "ntk"):
        K, wanted = getattr(made, kind), getattr(exact, kind)
        own = np.diag(wanted)
        assert_single(K, wanted, own, own)
        np.testing.assert_array_equal(K, K.T)
        np.testing.assert_array_equal(np.diag(K), own.astype(np.float32))
        # A float32 matrix of norm at most its trace, every entry within BOUND.
        smallest = np.linalg.eigvalsh(K.astype(np.float64))[0]
        assert smallest >= -BOUND * np.trace(wanted)
    own = np.diag(exact.ntk)
    assert_single(other, exact.ntk[::-1], own[::-1], own)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_near_images_against_the_oracle(name: str) -> None:
    X = odd_images()[[0, 2, 3, 7, 12, 14, 17]]
    wanted = oracle.kernels(X.astype(np.float64), CONVOLUTIONS[name])
    made = sequential(CONVOLUTIONS[name]).nngp_and_ntk(X)
    for kind in ("nngp", "ntk"):
        truth = getattr(wanted, kind)
        own = np.diag(truth)
        # A repeated direction is right to the square root of a rounding of float64 in both.
        assert_single(getattr(made, kind), truth, own, own)


@pytest.mark.parametrize("hidden", [1, 4])
def test_near_vectors(hidden: int, isa_level: str) -> None:
    """Unequal norms and biases: layer by layer, not by a table of angles."""
    X = odd_images().reshape(24, -1)[:, :7]
    network = sequential([dense(1.4, 0.3), RELU] * hidden + [dense()])
    K, wanted = network.ntk(X), network.ntk(X.astype(np.float64))
    own = np.diag(wanted)
    assert_single(K, wanted, own, own)
    np.testing.assert_array_equal(K, K.T)


@pytest.mark.parametrize("scale", [1e-18, 1e-6, 1e5, 1e12])
def test_sizes_of_inputs(scale: float) -> None:
    """Beyond the range of float32 the result, if it is within, is as good."""
    X = (inputs(5, 2, 4, 4) * scale).astype(np.float32)
    layers = [conv(1, 1), ("layernorm", "channels", 0.0), *CONVOLUTIONS["flattened"]]
    wanted = sequential(layers).ntk(X.astype(np.float64))
    assert_single(sequential(layers).ntk(X), wanted, np.diag(wanted), np.diag(wanted))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_blocks_products_and_threads(name: str, dtype: type) -> None:
    X = np.random.default_rng(6).standard_normal((45, 2, 4, 6)).astype(dtype)
    network = sequential(CONVOLUTIONS[name])
    K = network.ntk(X, threads=1)
    np.testing.assert_array_equal(network.ntk(X, threads=3), K)
    np.testing.assert_array_equal(network.ntk(X, diagonal=True), np.diag(K))
    tolerance = 1e-6 * K.max() if dtype == np.float32 else 1e-14 * K.max()
    np.testing.assert_allclose(network.ntk(X[:10], X[10:]), K[:10, 10:], rtol=0, atol=tolerance)
    v = np.ones(45)
    np.testing.assert_allclose(network.operator(X) @ v, K @ v, rtol=0, atol=100 * tolerance)


SCRIPT = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from compose import sequential
from test_single_precision import CONVOLUTIONS
def peak():  # VmHWM: ru_maxrss also counts the process that started this one
    with open("/proc/self/status") as status:
        return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
network = sequential(CONVOLUTIONS[sys.argv[2]])
network.operator(np.ones((60, 3, 2, 2)), threads=2) @ np.ones(60)  # threads start, libraries load
n = int(sys.argv[4])
x = np.random.default_rng(0).standard_normal((n, 3, 12, 12)).astype(sys.argv[3])
v = np.ones((n, 1))
plan = network.plan(x.shape, 2, dtype=x.dtype, stored=False, threads=2)
before = peak()
y = network.operator(x, x[:2], threads=2) @ v[:2]
print(peak() - before, plan.total, np.isfinite(y).all())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "n"), [("flattened", 4000), ("pooled", 200)])
def test_memory_is_the_plan(name: str, n: int, dtype: str) -> None:
    here = str(pathlib.Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, here, name, dtype, str(n)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    grown, planned, finite = done.stdout.split()
    assert finite == "True"
    assert int(grown) < int(planned) + 4 * 2**20
    assert int(planned) < 2 * int(grown) + 8 * 2**20
