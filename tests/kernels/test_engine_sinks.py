"""Where a kernel goes: arrays of any layout, callbacks, products, reductions; memory, progress, Ctrl-C."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import scipy.sparse.linalg

from lazygram.kernels import Kernel, KernelPair, Program


class Deep(Kernel):
    """Three ReLU layers; with a bias the program cannot go by angles."""

    def __init__(self, bias: float = 0.0) -> None:
        self.bias = bias

    def program(self, shape: tuple[int, ...]) -> Program:
        if len(shape) == 1:
            program = Program(normalise_input=True)
        else:
            program = Program(shape[1:]).patches(3)
        for _ in range(2):
            program.affine(2.0, self.bias).activation("relu")
        if len(shape) > 1:
            program.flatten()
        return program.affine(1.0)


SHAPES = [(0.0, (700, 5)), (0.1, (300, 5)), (0.1, (70, 2, 9))]


@pytest.fixture(params=SHAPES, ids=["angles", "general", "images"])
def problem(request: pytest.FixtureRequest, rng: np.random.Generator) -> tuple[Deep, np.ndarray]:
    bias, shape = request.param
    return Deep(bias), rng.standard_normal(shape)


def test_out_of_every_layout(problem: tuple[Deep, np.ndarray], tmp_path: pathlib.Path) -> None:
    kernel, x = problem
    n = len(x)
    expected = kernel.ntk(x)
    big = np.full((2 * n, 3 * n), -1.0)
    structured = np.zeros((n, n), dtype=[("flag", "u1"), ("value", "f8")])
    layouts = {
        "plain": np.empty((n, n)),
        "fortran": np.empty((n, n), order="F"),
        "gaps": big[::2, ::3],
        "backwards": np.empty((n, n))[::-1, ::-1],
        "unaligned": structured["value"],
        "memmap": np.memmap(tmp_path / "kernel", dtype=np.float64, mode="w+", shape=(n, n)),
    }
    for name, out in layouts.items():
        assert kernel.ntk(x, out=out) is out, name
        np.testing.assert_array_equal(out, expected)
    assert (big[1::2] == -1).all()
    assert (big[::2, 1::3] == -1).all()
    single = np.empty((n, n), np.float32)
    kernel.ntk(x, out=single)
    np.testing.assert_array_equal(single, expected.astype(np.float32))
    pair = kernel.nngp_and_ntk(x, out=(np.empty((n, n)), np.empty((n, n))))
    assert isinstance(pair, KernelPair)
    np.testing.assert_allclose(pair.ntk, expected, rtol=1e-13)
    np.testing.assert_allclose(pair.nngp, kernel.nngp(x), rtol=1e-13)
    np.testing.assert_array_equal(kernel.ntk(x, diagonal=True), np.diag(expected))
    for bad, error in (
        (np.empty((n, n + 1)), ValueError),
        (np.empty((n, n), int), TypeError),
        ([[0.0]], TypeError),
        (np.broadcast_to(np.zeros(n), (n, n)), ValueError),
    ):
        with pytest.raises(error, match="out: ntk"):
            kernel.ntk(x, out=bad)
    for bad, error in ((np.empty((n, n)), ValueError), (np.empty(n, int), TypeError), ([0.0] * n, TypeError)):
        with pytest.raises(error, match="out: ntk"):
            kernel.ntk(x, diagonal=True, out=bad)
    for pair in (single, (single,), (single, single, single)):
        with pytest.raises(TypeError, match="out: a pair of arrays"):
            kernel.nngp_and_ntk(x, out=pair)


def test_out_may_not_be_the_examples(rng: np.random.Generator) -> None:
    """Rows of X are read until the last tile is written."""
    both = rng.standard_normal((40, 80))
    x, beside = both[:, :40], both[:, 40:]
    expected = Deep(0.1).ntk(x)
    alone = x.copy()
    for examples in ((alone,), (x, alone)):
        with pytest.raises(ValueError, match="out: ntk shares memory with the examples"):
            Deep(0.1).ntk(*examples, out=alone)
    np.testing.assert_array_equal(alone, x)
    Deep(0.1).ntk(x, out=beside)
    np.testing.assert_array_equal(beside, expected)


def test_blocks_and_reductions(problem: tuple[Deep, np.ndarray], rng: np.random.Generator) -> None:
    kernel, x = problem
    y = x[: len(x) // 3] + 0.5
    for other in (None, y):
        full = kernel.ntk(x, other)
        tolerance = 1e-12 * np.abs(full).max()
        seen = np.full(full.shape, np.nan)

        def take(rows: slice, cols: slice, block: np.ndarray, seen: np.ndarray = seen) -> None:
            seen[rows, cols] = block
            if seen.shape[0] == seen.shape[1]:
                seen[cols, rows] = block.T

        kernel.blocks(x, take, other, edge=64)
        np.testing.assert_allclose(seen, full, rtol=0, atol=tolerance)
        np.testing.assert_allclose(kernel.row_sums(x, other), full.sum(axis=1), rtol=1e-12)
        top = kernel.top_k(x, 5, other)
        order = np.argsort(-full, axis=1, kind="stable")[:, :5]
        np.testing.assert_allclose(
            top.values, np.take_along_axis(full, order, axis=1), rtol=0, atol=tolerance
        )
        np.testing.assert_allclose(
            np.take_along_axis(full, top.columns, axis=1), top.values, rtol=0, atol=tolerance
        )

        operator = kernel.operator(x, other)
        assert isinstance(operator, scipy.sparse.linalg.LinearOperator)
        assert operator.shape == full.shape
        assert operator.dtype == full.dtype
        for k in (1, 4):
            v, w = rng.standard_normal((full.shape[1], k)), rng.standard_normal((full.shape[0], k))
            np.testing.assert_allclose(operator @ v, full @ v, rtol=0, atol=100 * tolerance)
            np.testing.assert_allclose(operator.T @ w, full.T @ w, rtol=0, atol=100 * tolerance)
        np.testing.assert_allclose(operator @ v[:, 0], full @ v[:, 0], rtol=0, atol=100 * tolerance)
    np.testing.assert_array_equal(kernel.operator(x).diagonal(), kernel.ntk(x, diagonal=True))
    with pytest.raises(ValueError, match="diagonal"):
        operator.diagonal()
    with pytest.raises(ValueError, match="k: at most"):
        kernel.top_k(x, len(x) + 1)
    with pytest.raises(ValueError, match="kind"):
        kernel.operator(x, kind="gram")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="callback: a function"):
        kernel.blocks(x, None)  # type: ignore[arg-type]
    for call in (kernel.ntk, kernel.row_sums):
        with pytest.raises(TypeError, match="progress: a function"):
            call(x, progress=1)  # type: ignore[operator]


def test_operator_solves(rng: np.random.Generator) -> None:
    x = rng.standard_normal((200, 20))
    y = rng.standard_normal(200)
    kernel = Deep(0.1)
    solution, code = scipy.sparse.linalg.cg(kernel.operator(x), y, rtol=1e-10, maxiter=500)
    assert code == 0
    np.testing.assert_allclose(solution, np.linalg.solve(kernel.ntk(x), y), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_do_not_matter(problem: tuple[Deep, np.ndarray], dtype: type) -> None:
    kernel, x = problem
    x = x.astype(dtype)
    one, three = kernel.ntk(x, threads=1), kernel.ntk(x, threads=3)
    np.testing.assert_array_equal(one, three)
    assert one.dtype == dtype
    v = np.ones(len(x))
    np.testing.assert_array_equal(kernel.operator(x, threads=1) @ v, kernel.operator(x, threads=3) @ v)


def test_progress_and_errors_of_callbacks(problem: tuple[Deep, np.ndarray]) -> None:
    kernel, x = problem
    seen: list[tuple[int, int]] = []
    kernel.blocks(
        x, lambda rows, cols, block: None, edge=50, progress=lambda done, total: seen.append((done, total))
    )
    assert [done for done, _ in seen] == list(range(1, seen[-1][1] + 1))

    class Stop(Exception):
        pass

    def fail(*_: object) -> None:
        raise Stop

    with pytest.raises(Stop):
        kernel.blocks(x, fail)


@pytest.mark.parametrize("bias", [0.0, 0.1])
def test_control_c(bias: float) -> None:
    x = np.random.default_rng(0).standard_normal((60000, 8))
    operator = Deep(bias).operator(x)  # minutes of work
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            operator @ np.ones(60000)
    finally:
        timer.cancel()


def test_refused_when_it_does_not_fit() -> None:
    x = np.zeros((3, 2))
    plan = Deep().plan((10_000_000, 2))
    assert not plan.fits
    assert plan.output == 8 * 10**14
    assert plan.total == plan.inputs + plan.examples + plan.duals + plan.scratch + plan.output
    assert "output" in str(plan)
    assert Deep().plan((10_000_000, 2), stored=False).output == 0
    assert Deep().plan((100, 2), 50, outputs=("nngp", "ntk"), dtype=np.float32).output == 2 * 4 * 5000
    wide = np.broadcast_to(x[:1], (3_000_000, 2))
    with pytest.raises(MemoryError, match="operator"):
        Deep().ntk(wide)


@pytest.mark.parametrize(
    ("arguments", "settings", "error", "message"),
    [
        (((5,),), {}, ValueError, r"shape: \(n, d\), .* got \(5,\)"),
        ((5,), {}, ValueError, "shape: .* got 5"),
        (((0, 4),), {}, ValueError, "shape: must be positive"),
        (((5, 4), 0), {}, ValueError, "n2: must be positive"),
        (((5, 4),), {"outputs": ["kernel"]}, ValueError, "outputs: the program has no 'kernel'; it has nngp"),
        (((5, 4),), {"outputs": "ntk"}, TypeError, "outputs: a sequence of names"),
        (((5, 4),), {"dtype": "real"}, TypeError, "dtype: not a dtype"),
        (((5, 4),), {"threads": 0}, ValueError, "threads: must be positive"),
    ],
)
def test_bad_plans(arguments: tuple, settings: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Deep().plan(*arguments, **settings)


SCRIPT = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from test_engine_sinks import Deep
def peak():  # VmHWM: ru_maxrss also counts the process that started this one
    with open("/proc/self/status") as status:
        return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
kernel = Deep(float(sys.argv[2]))
kernel.operator(np.ones((600, 3)), threads=2) @ np.ones(600)  # threads start, libraries load
x = np.random.default_rng(0).standard_normal((8000, 256)).astype(sys.argv[3])
v = np.ones(8000)
before = peak()
y = kernel.operator(x, threads=2) @ v
plan = kernel.plan(x.shape, dtype=x.dtype, stored=False, threads=2)
print(peak() - before, plan.total, np.isfinite(y).all())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(("bias", "dtype"), [(0.0, "float32"), (0.0, "float64"), (0.1, "float64")])
def test_memory_of_an_operator_is_the_plan(bias: float, dtype: str) -> None:
    here = str(pathlib.Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, here, str(bias), dtype], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    grown, planned, finite = done.stdout.split()
    assert finite == "True"
    assert int(grown) < int(planned) + 4 * 2**20
    assert int(planned) < 64 * 2**20  # the stored kernel: 512 MB in float64
