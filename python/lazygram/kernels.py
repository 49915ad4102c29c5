"""Kernels of wide networks: NNGP, NTK, full, in blocks, as an operator, with the memory stated beforehand.

    Kernel (an architecture)  --program(shape)-->  Program  --prepare-->  Run  --blocks of pairs-->  sink
                                                                            a new array, out= (also a memmap),
                                                                            a callback, K @ V, row sums, top k

A subclass says how it compiles (:meth:`Kernel.program`); everything else is here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse.linalg import LinearOperator

from lazygram import _core
from lazygram.arrays import Array, as_real_array, check_positive_int
from lazygram.parallel import check_threads
from lazygram.program import Program, Progress, Run, check_callback

__all__ = ["Kernel", "KernelOperator", "KernelPair", "Plan", "Program", "TopK", "check_shape"]

Kind = Literal["nngp", "ntk"]
_EDGE = 2048  # of the blocks that callbacks and reductions see


class KernelPair(NamedTuple):
    """NNGP kernel and NTK of one pass, arrays of shape (n, n2)."""

    nngp: Array
    """Covariance of the network's output at initialisation."""
    ntk: Array
    """Neural tangent kernel in the architecture's parameterisation."""


class TopK(NamedTuple):
    """Largest entries of every row of a kernel, in decreasing order."""

    values: Array
    """(n, k)."""
    columns: npt.NDArray[np.int64]
    """(n, k); of equal values the one with the smaller column first."""


@dataclass(frozen=True)
class Plan:
    """Memory of one evaluation in bytes.

    Attributes
    ----------
    inputs : int
        float64 copies of the examples.
    examples : int
        What depends on single examples.
    duals : int
        Hermite coefficients of activations without a closed form, one set per variance; an estimate for
        standard deviations of about 1, and nothing is needed where variances are equal.
    scratch : int
        Tiles, all threads together.
    output : int
        The arrays that are returned.
    total : int
        Their sum.
    available : int
        What the machine has free now (0 where that is not known).
    """

    inputs: int
    examples: int
    duals: int
    scratch: int
    output: int
    available: int

    @property
    def total(self) -> int:
        return self.inputs + self.examples + self.duals + self.scratch + self.output

    @property
    def fits(self) -> bool:
        """Whether the total is available."""
        return self.available == 0 or self.total <= self.available

    def __str__(self) -> str:
        parts = ("inputs", "examples", "duals", "scratch", "output", "total", "available")
        return ", ".join(f"{name} {getattr(self, name) / 2**20:.1f} MiB" for name in parts)


def _available_memory() -> int:
    """Bytes that can be had without swapping; 0 where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable"):
                    return 1024 * int(line.split()[1])
    except OSError:
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 0


def _blocks(count: int, edge: int) -> Iterator[slice]:
    for begin in range(0, count, edge):
        yield slice(begin, min(count, begin + edge))


class KernelOperator(LinearOperator):  # type: ignore[misc]
    """K(X, X2) as a linear operator that never stores K: every product computes it anew, tile by tile.

    Attributes
    ----------
    shape : tuple of int
        (n, n2).
    dtype : dtype
        That of X; sums are accumulated in float64.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        super().__init__(run.dtype, run.shape)

    def _matmat(self, V: Array) -> Array:
        return self._run.product(V)

    def _matvec(self, v: Array) -> Array:
        result: Array = self._run.product(np.asarray(v).reshape(-1, 1))[:, 0]
        return result

    def _adjoint(self) -> LinearOperator:
        if self._run.symmetric:
            return self
        return KernelOperator(self._run.transposed())

    def diagonal(self) -> Array:
        """K(x_i, x_i), O(n); only for one set of examples."""
        if not self._run.symmetric:
            raise ValueError("diagonal: the operator is not square in one set of examples")
        return self._run.diagonal(self._run.matrices[0])


class Kernel:
    """Base class of architectures: what compiles to a :class:`Program` has these kernels.

    Arguments shared by the methods
    -------------------------------
    X, X2 : array_like, shapes (n, d), (n, channels, w) or (n, channels, h, w)
        Examples of any norm, float32 or float64 (others become float64); `X2` defaults to `X`. The result has
        the dtype of X. float32: pairs are computed in float32, to 3e-6 of ``sqrt(K_ii K_jj)``, and in
        float64 where inputs nearly coincide; what depends on one example, the diagonal with it, is computed
        in float64 and rounded once.
    threads : int, optional
        Threads; all by default. The result does not depend on it.
    progress : callable, optional
        Called now and then as ``progress(tiles_done, tiles)``; Ctrl-C stops the computation.
    """

    def program(self, shape: tuple[int, ...]) -> Program:
        """The program for examples of this shape: (d,), (channels, w) or (channels, h, w)."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it compiles")

    def nngp(
        self,
        X: npt.ArrayLike,
        X2: npt.ArrayLike | None = None,
        *,
        diagonal: bool = False,
        out: Array | None = None,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> Array:
        """Covariance of the network's output over random weights, shape (n, n2), or (n,) with `diagonal`.

        Parameters
        ----------
        X, X2, threads, progress
            See :class:`Kernel`.
        diagonal : bool
            Only K(x_i, x_i), O(n); without X2.
        out : ndarray, optional
            float32 or float64 array of the result's shape and any strides (also np.memmap) to write into.

        Raises
        ------
        TypeError, ValueError
            Bad input; the message names the argument.
        MemoryError
            The plan does not fit into the memory that is free.
        """
        return self._one("nngp", X, X2, diagonal, out, threads, progress)

    def ntk(
        self,
        X: npt.ArrayLike,
        X2: npt.ArrayLike | None = None,
        *,
        diagonal: bool = False,
        out: Array | None = None,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> Array:
        """Neural tangent kernel in the architecture's parameterisation; arguments as for :meth:`nngp`.

        Notes
        -----
        Symmetric bit for bit when X2 is not given. Inner products are rounded once, so that a dual's slope
        1/sqrt(1 - rho^2) leaves an error of up to 3e-8 (of the diagonal, float64) for inputs that nearly
        coincide but do not; repeated inputs have the value of the diagonal. Dense networks of ReLU-like
        activations without biases, and all dense networks on inputs of one norm, are functions of the angle
        alone: they are tabulated once (error below 1e-13, float32: 3e-6 of the diagonal), their depth costs
        nothing per entry, and angles of near pairs come from differences of unit vectors.
        """
        return self._one("ntk", X, X2, diagonal, out, threads, progress)

    def nngp_and_ntk(
        self,
        X: npt.ArrayLike,
        X2: npt.ArrayLike | None = None,
        *,
        diagonal: bool = False,
        out: tuple[Array, Array] | None = None,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> KernelPair:
        """Both kernels in one pass; arguments as for :meth:`nngp`, `out` a pair of arrays."""
        given = None
        if out is not None:
            if not isinstance(out, (tuple, list)) or len(out) != 2:
                raise TypeError("out: a pair of arrays, for nngp and for ntk, is needed")
            given = dict(zip(("nngp", "ntk"), out, strict=True))
        outputs = self._evaluate(
            X, X2, ("nngp", "ntk"), diagonal=diagonal, out=given, threads=threads, progress=progress
        )
        return KernelPair(outputs["nngp"], outputs["ntk"])

    def operator(
        self,
        X: npt.ArrayLike,
        X2: npt.ArrayLike | None = None,
        kind: Kind = "ntk",
        *,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> KernelOperator:
        """The kernel as a ``scipy.sparse.linalg.LinearOperator``: products with O(n d) memory."""
        return KernelOperator(self._run(X, X2, (_check_kind(kind),), threads, progress))

    def blocks(
        self,
        X: npt.ArrayLike,
        callback: Callable[[slice, slice, Array], Any],
        X2: npt.ArrayLike | None = None,
        *,
        kind: Kind = "ntk",
        edge: int = _EDGE,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Hand the kernel over block by block: ``callback(rows, cols, block)``, in order, on this thread.

        Parameters
        ----------
        X, X2, threads, progress
            See :class:`Kernel`.
        callback : callable
            Gets two slices and an array of their shape, which it may keep. Without X2 only blocks on and
            above the diagonal come (``cols.start >= rows.start``); the others are their transposes.
        kind : {"ntk", "nngp"}
            Which kernel.
        edge : int
            Rows and columns of a block.
        """
        step = check_positive_int(edge, "edge")
        if check_callback(callback, "callback") is None:
            raise TypeError("callback: a function is needed, got None")
        check_callback(progress, "progress")
        run = self._run(X, X2, (_check_kind(kind),), threads, None)
        pairs = [
            (rows, cols)
            for rows in _blocks(run.shape[0], step)
            for cols in _blocks(run.shape[1], step)
            if not run.symmetric or cols.start >= rows.start
        ]
        for done, (rows, cols) in enumerate(pairs):
            block = np.empty((rows.stop - rows.start, cols.stop - cols.start), run.dtype)
            run.block(rows, cols, {kind: block})
            callback(rows, cols, block)
            if progress is not None:
                progress(done + 1, len(pairs))

    def row_sums(
        self,
        X: npt.ArrayLike,
        X2: npt.ArrayLike | None = None,
        *,
        kind: Kind = "ntk",
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> Array:
        """sum_j K(x_i, x2_j) for every i, without storing K."""
        operator = self.operator(X, X2, kind, threads=threads, progress=progress)
        result: Array = operator @ np.ones(operator.shape[1], operator.dtype)
        return result

    def top_k(
        self,
        X: npt.ArrayLike,
        k: int,
        X2: npt.ArrayLike | None = None,
        *,
        kind: Kind = "ntk",
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> TopK:
        """The k largest entries of every row, without storing K. Without X2 the diagonal counts too."""
        count = check_positive_int(k, "k")
        check_callback(progress, "progress")
        run = self._run(X, X2, (_check_kind(kind),), threads, None)
        n, n2 = run.shape
        if count > n2:
            raise ValueError(f"k: at most {n2} columns, got {count}")
        values = np.empty((n, count), run.dtype)
        columns = np.empty((n, count), np.int64)
        bands = list(_blocks(n, _EDGE))
        for done, rows in enumerate(bands):
            height = rows.stop - rows.start
            best = np.empty((height, 0), run.dtype)
            where = np.empty((height, 0), np.int64)
            for cols in _blocks(n2, _EDGE):
                block = np.empty((height, cols.stop - cols.start), run.dtype)
                run.block(rows, cols, {kind: block})
                best = np.concatenate([best, block], axis=1)
                at = np.broadcast_to(np.arange(cols.start, cols.stop), block.shape)
                where = np.concatenate([where, at], axis=1)
                order = np.argsort(-best, axis=1, kind="stable")[:, :count]
                best = np.take_along_axis(best, order, axis=1)
                where = np.take_along_axis(where, order, axis=1)
            values[rows], columns[rows] = best, where
            if progress is not None:
                progress(done + 1, len(bands))
        return TopK(values, columns)

    def plan(
        self,
        shape: Sequence[int],
        n2: int | None = None,
        *,
        outputs: Sequence[str] = ("ntk",),
        dtype: npt.DTypeLike = np.float64,
        stored: bool = True,
        threads: int | None = None,
    ) -> Plan:
        """Memory that an evaluation needs, before it starts.

        Parameters
        ----------
        shape : sequence of int
            Shape of X: (n, d), (n, channels, w) or (n, channels, h, w).
        n2 : int, optional
            Number of examples X2; None for the symmetric problem.
        outputs : sequence of str
            As in :meth:`Program.evaluate`.
        dtype : dtype
            Of X and of the outputs.
        stored : bool
            False for operators, callbacks and reductions, which keep no matrix.
        threads : int, optional
            Threads.

        Raises
        ------
        TypeError, ValueError
            Bad arguments, outputs that the program does not have, or a shape that it does not fit.
        """
        sides = check_shape(shape, "(n, d), (n, channels, w) or (n, channels, h, w)", 2)
        program = self.program(sides[1:])
        program.check_outputs(outputs)
        others = None if n2 is None else check_positive_int(n2, "n2")
        try:
            kept = np.dtype(dtype)
        except TypeError:
            raise TypeError(f"dtype: not a dtype, got {dtype!r}") from None
        return _plan(program, sides, others, tuple(outputs), kept, stored, threads)

    # --- for subclasses -------------------------------------------------------------------------

    def _evaluate(
        self,
        X: npt.ArrayLike,
        X2: npt.ArrayLike | None,
        outputs: Sequence[str],
        *,
        copies: int = 1,
        diagonal: bool = False,
        out: Mapping[str, Array] | None = None,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> dict[str, Array]:
        """Named outputs (see :meth:`Program.evaluate`), of which the caller will hold so many copies."""
        program, x = self._compiled(X)
        if not diagonal:
            n2 = None if X2 is None else len(as_real_array(X2, "X2"))
            stored = tuple(name for name in outputs if out is None or name not in out)
            plan = _plan(program, x.shape, n2, tuple(outputs), x.dtype, stored, threads)
            _require_memory(replace(plan, output=copies * plan.output))
        return program.evaluate(
            x, X2, outputs, diagonal=diagonal, out=out, threads=threads, progress=progress
        )

    def _compiled(self, X: npt.ArrayLike) -> tuple[Program, Array]:
        x = as_real_array(X, "X")
        if x.ndim not in (2, 3, 4):
            raise ValueError(
                f"X: shape (n, d), (n, channels, w) or (n, channels, h, w) is needed, got {x.shape}"
            )
        if x.size == 0:
            raise ValueError(f"X: is empty, shape {x.shape}")
        return self.program(x.shape[1:]), x

    def _run(
        self,
        X: npt.ArrayLike,
        X2: npt.ArrayLike | None,
        outputs: tuple[str, ...],
        threads: int | None,
        progress: Progress | None,
    ) -> Run:
        program, x = self._compiled(X)
        n2 = None if X2 is None else len(as_real_array(X2, "X2"))
        _require_memory(_plan(program, x.shape, n2, outputs, x.dtype, False, threads))
        return program.prepare(x, X2, outputs, threads=threads, progress=progress)

    def _one(
        self,
        kind: str,
        X: npt.ArrayLike,
        X2: npt.ArrayLike | None,
        diagonal: bool,
        out: Array | None,
        threads: int | None,
        progress: Progress | None,
    ) -> Array:
        given = None if out is None else {kind: out}
        outputs = self._evaluate(
            X, X2, (kind,), diagonal=diagonal, out=given, threads=threads, progress=progress
        )
        return outputs[kind]


def check_shape(shape: Sequence[int], wanted: str, axes: int) -> tuple[int, ...]:
    """`axes` to axes + 2 positive numbers."""
    if not isinstance(shape, (tuple, list)) or not axes <= len(shape) <= axes + 2:
        raise ValueError(f"shape: {wanted} is needed, got {shape!r}")
    return tuple(check_positive_int(side, "shape") for side in shape)


def _check_kind(kind: str) -> str:
    if kind not in ("nngp", "ntk"):
        raise ValueError(f"kind: 'ntk' or 'nngp' is needed, got {kind!r}")
    return kind


def _plan(
    program: Program,
    shape: Sequence[int],
    n2: int | None,
    outputs: tuple[str, ...],
    dtype: np.dtype[Any],
    stored: bool | tuple[str, ...],
    threads: int | None,
) -> Plan:
    n, others = shape[0], 0 if n2 is None else n2
    features = int(np.prod(shape[1:]))
    kept = dtype if dtype in (np.float32, np.float64) else np.dtype(np.float64)
    examples, scratch = _core.evaluation_memory(
        program.core,
        features,
        n,
        others,
        program.core_outputs(outputs),
        check_threads(threads),
        dtype == np.float32,
    )
    inputs = 8 * features * (n + others) if dtype != np.float64 else 0
    names = outputs if stored is True else (() if stored is False else stored)
    entries = sum(math.prod(program.output_shape(name, (n, others or n))) for name in names)
    output = entries * kept.itemsize
    duals = program.dual_bytes * (n + others)
    return Plan(inputs, int(examples), duals, int(scratch), output, _available_memory())


def _require_memory(plan: Plan) -> None:
    if not plan.fits:
        raise MemoryError(
            f"this kernel needs {plan.total / 2**30:.2f} GiB ({plan}); take fewer examples at once, pass "
            "out= a memmap, or use operator(), blocks(), row_sums() or top_k(), which do not store the matrix"
        )
