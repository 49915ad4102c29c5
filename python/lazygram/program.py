"""Kernel programs: short lists of operations on covariances, run by the compiled core tile by tile.

    layers  --compile-->  Program  --core-->  NNGP kernel, NTK, every layer's Gram matrix
            (lazygram.layers)      tiles of pairs of examples, one triangle if symmetric

A program acts on one current value and a stack of values. A value of a pair of examples (i, j) is the
covariance K of the features (one number per plane: 1 for vectors, the pixels of an image as long as nothing
pools, else pairs of pixels) and Theta_g, the part of the NTK that group g of weights has contributed; each
example alone has variances v_i = K_ii and means b_i = lim m^{-1/2} sum_a x_ia per pixel. What depends on one
example only is computed once, before the pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from lazygram import _core
from lazygram.activations import Activation, Function, get_activation
from lazygram.arrays import Array, Float64, as_examples, as_matrix, check_out, check_positive_int
from lazygram.duals import entry_dual, means
from lazygram.parallel import check_threads, single_threaded_blas

__all__ = ["Program", "Progress", "Run", "check_callback"]

Progress = Callable[[int, int], None]
_TERMS = 256  # of a Hermite series at standard deviations of about 1; about 60 s^2 at others

_Self = TypeVar("_Self", bound="Program")
_Callback = TypeVar("_Callback", bound="Callable[..., Any] | None")


def _sides(value: int | Sequence[int], name: str, axes: int) -> tuple[int, int]:
    """(rows, columns) of a window or stride; along a missing axis a window has one pixel."""
    sides = (value,) * axes if isinstance(value, (int, np.integer)) else tuple(value)
    if len(sides) != axes:
        raise ValueError(f"{name}: one number or {axes} numbers are needed, got {value!r}")
    numbers = [check_positive_int(side, name) for side in sides]
    return (1, numbers[0]) if axes == 1 else (numbers[0], numbers[1])


def check_callback(function: _Callback, name: str) -> _Callback:
    """The function, which may be None."""
    if function is not None and not callable(function):
        raise TypeError(f"{name}: a function is needed, got {type(function).__name__}")
    return function


class _Service:
    """Answers the core: duals and means of activations without a closed form."""

    def __init__(self, activations: Sequence[Activation], tolerance: float) -> None:
        self._activations, self._tolerance = activations, tolerance

    def means(self, activation: int, variances: Float64) -> Float64:
        return means(self._activations[activation], variances)

    def dual(self, activation: int, derivative: int, var1: Float64, var2: Float64) -> Any:
        return entry_dual(self._activations[activation], derivative, var1, var2, tolerance=self._tolerance)


class Program:
    """A kernel as a list of operations; every method appends one and returns the program.

    Parameters
    ----------
    image : tuple of int, optional
        ``(w,)`` or ``(h, w)``: the inputs are images (n, channels, w) or (n, channels, h, w); by default they
        are vectors (n, d). Pixels are numbered row by row.
    normalise_input : bool
        K starts as the mean over channels (coordinates) of the products instead of their sum.

    Notes
    -----
    In the methods, ``v`` are variances, ``b`` means, ``E`` and ``E'`` the expectations of ``phi(u) phi(v)``
    and ``phi'(u) phi'(v)`` under N(0, [[v_i, K], [K, v_j]]). Theta starts as 0, b as zero. At the end one
    plane must be left and the stack be empty.
    """

    def __init__(self, image: Sequence[int] | None = None, normalise_input: bool = False) -> None:
        shape: tuple[int, int] | None = None
        self._axes = 0
        if image is not None:
            if len(image) not in (1, 2):
                raise ValueError(f"image: (w,) or (h, w) is needed, got {tuple(image)!r}")
            sides = [check_positive_int(side, "image") for side in image]
            shape = (1, sides[0]) if len(sides) == 1 else (sides[0], sides[1])
            self._axes = len(sides)
        self.image = None if image is None else tuple(int(side) for side in image)
        self.core = _core.Program(shape, bool(normalise_input))
        self._activations: list[Activation] = []
        self._pixels: list[int] = []  # of the value that each activation acts on
        self._emits: dict[str, int] = {}
        self._means: dict[str, int] = {}
        self._mean_pixels: dict[str, int] = {}

    # --- operations -----------------------------------------------------------------------------

    def affine(
        self: _Self,
        weight: float,
        bias: float = 0.0,
        *,
        train_weight: float | None = None,
        train_bias: float | None = None,
    ) -> _Self:
        """Fresh random weights: Theta <- weight Theta, plus ``train_weight K + train_bias`` as a new group.

        K <- weight K + bias; b <- zero. The training factors default to weight and bias (the NTK
        parameterisation).
        """
        self.core.affine(
            float(weight),
            float(bias),
            float(weight if train_weight is None else train_weight),
            float(bias if train_bias is None else train_bias),
        )
        return self

    def patches(
        self: _Self, size: int | Sequence[int], stride: int | Sequence[int] = 1, padding: str = "SAME"
    ) -> _Self:
        """K_lk <- sum_s K_{nbr(l, s), nbr(k, s)} over the offsets s of a window, Theta likewise.

        A sum: what a convolution averages is divided in the :meth:`affine` that follows. ``padding`` is
        "SAME" (zeros, the odd one behind), "VALID" or "CIRCULAR".
        """
        self.core.patches(*self._window(size, "size"), *self._window(stride, "stride"), padding)
        return self

    def activation(self: _Self, activation: str | Activation | Function, scale: float = 1.0) -> _Self:
        """K <- scale E, Theta <- scale E' Theta, b_i <- sqrt(scale) E phi(sqrt(v_i) Z)."""
        chosen = get_activation(activation)
        value = derivative = None
        if chosen.closed is not None:
            value = chosen.closed(0)
            derivative = chosen.closed(1) if chosen.differentiable else None
        self.core.activation(value, derivative, chosen.differentiable, chosen.name, float(scale))
        self._activations.append(chosen)
        self._pixels.append(self.pixels)
        return self

    def normalise(self: _Self, eps: float = 0.0, pixels: bool = False) -> _Self:
        """K_lk <- f_il f_jk K_lk with f = (v + eps)^{-1/2} (0 for v + eps = 0), Theta likewise, b <- f b.

        ``pixels``: v is averaged over the pixels first.
        """
        self.core.normalise(float(eps), bool(pixels))
        return self

    def dropout(self: _Self, keep: float) -> _Self:
        """v_i <- v_i / keep; pairs of different examples and different pixels are unchanged."""
        self.core.dropout(float(keep))
        return self

    def scale(self: _Self, factor: float) -> _Self:
        """K <- factor^2 K, Theta <- factor^2 Theta, b <- factor b."""
        self.core.scale(float(factor))
        return self

    def push(self: _Self) -> _Self:
        """Put a copy of the current value on the stack."""
        self.core.push()
        return self

    def swap(self: _Self) -> _Self:
        """Exchange the current value and the top of the stack."""
        self.core.swap()
        return self

    def add(self: _Self, alpha: float = 1.0, beta: float = 1.0) -> _Self:
        """current <- alpha current + beta top, independent of each other but for their means:

        K <- alpha^2 K + beta^2 K_top + alpha beta (b_i b_top,j + b_top,i b_j),
        Theta <- alpha^2 Theta + beta^2 Theta_top, b <- alpha b + beta b_top.
        """
        self.core.add(float(alpha), float(beta))
        return self

    def mix(self: _Self, a: float, b: float) -> _Self:
        """Concatenated features: K <- a K + b K_top, Theta likewise."""
        self.core.mix(float(a), float(b))
        return self

    def multiply(self: _Self) -> _Self:
        """Product of independent features: K <- K K_top, Theta <- Theta K_top + K Theta_top."""
        self.core.multiply()
        return self

    def pool(
        self: _Self,
        size: int | Sequence[int] | None = None,
        stride: int | Sequence[int] | None = None,
        padding: str = "VALID",
    ) -> _Self:
        """Averages over windows (default: the whole image); the full window counts also at the border."""
        if size is None:
            window = stride_ = self.core.shape
        else:
            window = self._window(size, "size")
            stride_ = window if stride is None else self._window(stride, "stride")
        self.core.pool(*window, *stride_, padding)
        return self

    def pixel_pairs(self: _Self) -> _Self:
        """Carry K_lk of all pairs of pixels from the start, as programs that pool do anyway.

        What is emitted then has shape (pixels, pixels, n, n2); it costs as many times more as there are
        pixels, in time and in memory.
        """
        # A pool over single pixels changes nothing but what is carried.
        return self if self.image is None else self.pool(1)

    def flatten(self: _Self, weight: float | None = None) -> _Self:
        """K <- weight sum_l K_ll, Theta likewise; the weight defaults to 1 / pixels."""
        height, width = self.core.shape
        self.core.flatten(1.0 / (height * width) if weight is None else float(weight))
        return self

    def emit(self: _Self, name: str) -> _Self:
        """Record K of this place under a name, all planes."""
        self._new_name(name)
        self._emits[name] = self.core.emit()
        return self

    def emit_mean(self: _Self, name: str) -> _Self:
        """Record b of this place under a name."""
        self._new_name(name)
        self._means[name] = self.core.emit_mean()
        self._mean_pixels[name] = self.pixels
        return self

    def _window(self, value: int | Sequence[int], name: str) -> tuple[int, int]:
        if self._axes == 0:
            raise ValueError("patches, pool: the inputs are vectors, not images")
        return _sides(value, name, self._axes)

    def _new_name(self, name: str) -> None:
        if name in self.names or name in ("nngp", "ntk", "grams"):
            raise ValueError(f"name: {name!r} is taken")

    # --- facts ----------------------------------------------------------------------------------

    @property
    def groups(self) -> int:
        """Number of affine() so far."""
        return int(self.core.groups)

    @property
    def names(self) -> tuple[str, ...]:
        """Names given to emit() and emit_mean()."""
        return (*self._emits, *self._means)

    @property
    def pixels(self) -> int:
        """Pixels of the current value."""
        height, width = self.core.shape
        return int(height * width)

    @property
    def dual_bytes(self) -> int:
        """Estimated bytes per example for duals without a closed form, if no two variances are equal."""
        return (
            8
            * _TERMS
            * sum(
                pixels
                * ((activation.closed is None) + (activation.closed is None and activation.differentiable))
                for activation, pixels in zip(self._activations, self._pixels, strict=True)
            )
        )

    def check_outputs(self, names: Sequence[str]) -> None:
        """Raise ValueError unless all are outputs of this program, TypeError for a single text."""
        if isinstance(names, str):
            raise TypeError(f"outputs: a sequence of names is needed, got {names!r}")
        for name in names:
            if name not in ("nngp", "ntk", "grams", *self.names):
                known = ", ".join(("nngp", "ntk", "grams", *self.names))
                raise ValueError(f"outputs: the program has no {name!r}; it has {known}")

    def output_shape(self, name: str, pairs: Sequence[int]) -> tuple[int, ...]:
        """Shape of an output for (n, n2) pairs of examples, or for the n pairs (i, i)."""
        if name in self._means:
            pixels = self._mean_pixels[name]
            return (pairs[0],) if pixels == 1 else (pairs[0], pixels)
        return (*self.leading_shape(name), *pairs)

    def leading_shape(self, name: str) -> tuple[int, ...]:
        """Axes of an output of pairs before those of the examples."""
        if name in ("nngp", "ntk"):
            return ()
        if name == "grams":
            return (self.groups,)
        pixels = int(self.core.emit_pixels(self._emits[name]))
        if pixels == 1:
            return ()
        return (pixels, pixels) if self.core.pairs else (pixels,)

    def core_outputs(self, names: Sequence[str]) -> list[tuple[str, int]]:
        """The core's names of those outputs that are matrices."""
        return [
            ("emitted", self._emits[name]) if name in self._emits else (name, 0)
            for name in names
            if name not in self._means
        ]

    # --- running --------------------------------------------------------------------------------

    def examples(self, X: npt.ArrayLike, X2: npt.ArrayLike | None) -> tuple[Array, Array | None]:
        """Both sets of examples, checked; X2 in the dtype of X."""
        x = as_examples(X, "X", image=self.image)
        return x, None if X2 is None else as_examples(X2, "X2", image=self.image, like=x)

    def prepare(
        self,
        X: npt.ArrayLike,
        X2: npt.ArrayLike | None = None,
        outputs: Sequence[str] = ("nngp", "ntk"),
        *,
        threads: int | None = None,
        progress: Progress | None = None,
        general: bool = False,
    ) -> Run:
        """Everything that depends on single examples; the result computes blocks of pairs on demand.

        ``general``: run every operation on every pair in float64, also where the result depends on the angle
        alone and a table would do.
        """
        return Run(self, X, X2, tuple(outputs), threads, progress, general)

    def evaluate(
        self,
        X: npt.ArrayLike,
        X2: npt.ArrayLike | None = None,
        outputs: Sequence[str] = ("nngp", "ntk"),
        *,
        diagonal: bool = False,
        out: Mapping[str, Array] | None = None,
        threads: int | None = None,
        progress: Progress | None = None,
        general: bool = False,
    ) -> dict[str, Array]:
        """Run the program on all pairs.

        Parameters
        ----------
        X, X2 : array_like, shapes (n, d), (n, channels, w) or (n, channels, h, w)
            Examples; `X2` defaults to `X`.
        outputs : sequence of str
            "nngp" (final K), "ntk" (final sum of Theta), "grams" (final Theta of every group, shape
            (groups, n, n2)) and names of emit (shape (n, n2), (pixels, n, n2), or with pooling
            (pixels, pixels, n, n2)) and emit_mean (shape (n,) or (n, pixels), of X).
        diagonal : bool
            Only pairs (i, i) of X: the last two axes become one. O(n).
        out : mapping of str to ndarray, optional
            Where to put outputs: float32 or float64, of any strides, not sharing memory with the examples.
            An interrupted evaluation leaves some of their tiles written and the others as they were.
        threads : int, optional
            Threads; all by default. The result does not depend on it.
        progress : callable, optional
            Called now and then as ``progress(tiles_done, tiles)``.
        general : bool
            See :meth:`prepare`.

        Returns
        -------
        dict of str to ndarray
            In the dtype of X (float32 or float64), in which pairs are computed too; see
            :class:`~lazygram.kernels.Kernel`. Symmetric bit for bit when X2 is not given.

        Raises
        ------
        TypeError, ValueError
            Bad input; the message names the argument.
        """
        if diagonal and X2 is not None:
            raise ValueError("diagonal: needs X alone, without X2")
        self.check_outputs(outputs)
        given = {} if out is None else dict(out)
        unknown = set(given) - set(outputs)
        if unknown:
            raise ValueError(f"out: {sorted(unknown)} are not among the outputs")
        x, x2 = self.examples(X, X2)
        pairs = (len(x),) if diagonal else (len(x), len(x if x2 is None else x2))
        for name, array in given.items():
            check_out(array, f"out: {name}", self.output_shape(name, pairs), (x,) if x2 is None else (x, x2))
        run = self.prepare(x, x2, outputs, threads=threads, progress=progress, general=general)
        results = {}
        for name in outputs:
            array = given[name] if name in given else np.empty(self.output_shape(name, pairs), run.dtype)
            if name in run.vectors:
                array[...] = run.mean(name)
            elif diagonal:
                array[...] = run.diagonal(name)
            results[name] = array
        if not diagonal and run.matrices:
            run.block(slice(0, run.shape[0]), slice(0, run.shape[1]), results)
        return results


class Run:
    """A program with its examples: blocks of the kernel on demand (made by :meth:`Program.prepare`).

    Attributes
    ----------
    program : Program
        What is run.
    matrices, vectors : tuple of str
        Outputs with one value per pair of examples, and those with one per example.
    shape : tuple of int
        (n, n2).
    dtype : dtype
        That of X, float32 or float64.
    symmetric : bool
        Whether X2 was left away.
    """

    def __init__(
        self,
        program: Program,
        X: npt.ArrayLike,
        X2: npt.ArrayLike | None,
        outputs: tuple[str, ...],
        threads: int | None,
        progress: Progress | None,
        general: bool = False,
    ) -> None:
        program.core.require_complete()
        program.check_outputs(outputs)
        self.program = program
        self._threads, self._progress = check_threads(threads), check_callback(progress, "progress")
        self._again = (X, X2, threads, general)  # for transposed()
        self.matrices = tuple(name for name in outputs if name not in program._means)
        self.vectors = tuple(name for name in outputs if name in program._means)
        x, x2 = program.examples(X, X2)
        self.dtype = x.dtype
        self.shape = (x.shape[0], x.shape[0] if x2 is None else x2.shape[0])
        self.symmetric = x2 is None

        def rows(array: Array) -> Float64:
            return array.reshape(array.shape[0], -1).astype(np.float64, copy=False)

        tolerance = 3e-7 if x.dtype == np.float32 else 4e-15
        self._service = _Service(program._activations, tolerance)
        self._core = _core.Evaluation(
            program.core,
            rows(x),
            None if x2 is None else rows(x2),
            program.core_outputs(outputs),
            self._service,
            self._threads,
            None,
            "general" if general else ("single" if x.dtype == np.float32 else "double"),
        )
        # Entries are at most the root of the product of two of these.
        for name in self.matrices:
            if not self._core.diagonal(self.matrices.index(name)).max() <= np.finfo(self.dtype).max:
                raise ValueError(f"X: {name} overflows {self.dtype}; scale X down or reduce w_std and depth")

    def diagonal(self, name: str) -> Array:
        """Values of pairs (i, i) of X."""
        values = self._core.diagonal(self.matrices.index(name)).astype(self.dtype, copy=False)
        result: Array = values.reshape(*self.program.leading_shape(name), -1)
        return result

    def mean(self, name: str) -> Array:
        """What emit_mean recorded: (n,) or (n, pixels)."""
        values = self._core.mean(self.program._means[name]).astype(self.dtype, copy=False)
        result: Array = values[0] if values.shape[0] == 1 else np.ascontiguousarray(values.T)
        return result

    def transposed(self) -> Run:
        """The same outputs with the two sets of examples exchanged."""
        X, X2, threads, general = self._again
        if X2 is not None:
            X, X2 = X2, X
        outputs = (*self.matrices, *self.vectors)
        return Run(self.program, X, X2, outputs, threads, self._progress, general)

    def product(self, V: Array) -> Array:
        """K V for the only matrix among the outputs, V of shape (n2, k); K is not stored."""
        v = as_matrix(V, "V", dtype=np.float64)
        if v.shape[0] != self.shape[1]:
            raise ValueError(f"V: {self.shape[1]} rows are needed, got {v.shape[0]}")
        out = np.empty((self.shape[0], v.shape[1]))
        with single_threaded_blas():
            self._core.product(0, v, out, self._threads, self._progress)
        return out.astype(self.dtype, copy=False)

    def block(self, rows: slice, cols: slice, out: Mapping[str, Array], progress: bool = True) -> None:
        """Pairs rows x cols into arrays by name, shape (..., rows, cols)."""
        i, j = rows.start, cols.start
        shape = (rows.stop - i, cols.stop - j)
        arrays, copies = [], []
        for name in self.matrices:
            array = out[name]
            item = array.itemsize
            flat: Array
            if any(step % item for step in array.strides):
                flat = np.empty(array.shape, array.dtype)
                copies.append((array, flat))
                array = flat
            # A view for every channel order that NumPy can express; else the core writes into a copy.
            flat = array.reshape(-1, *shape) if array.ndim > 2 else array
            if flat.size and not np.shares_memory(flat, array):
                copies.append((array, flat))
            arrays.append(flat)
        with single_threaded_blas():
            self._core.block(
                i, shape[0], j, shape[1], arrays, self._threads, self._progress if progress else None
            )
        for array, flat in copies:
            array[...] = flat.reshape(array.shape)
