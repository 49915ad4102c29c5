"""Gram matrices of a two-layer ReLU network: H at finite width, H_inf and the NTK in the limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from lazygram import _core
from lazygram.arrays import Array, Float64, as_matrix, check_out
from lazygram.parallel import check_threads, single_threaded_blas
from lazygram.patterns import PackedPatterns, activation_patterns

__all__ = ["TwoLayerKernels", "gram_finite", "gram_infinite", "two_layer_kernels"]

Progress = Callable[[int, int], None]


class TwoLayerKernels(NamedTuple):
    """Infinite-width kernels of the two-layer ReLU network, arrays of shape (n, n2)."""

    nngp: Array
    """E[relu(w.x) relu(w.x')]: the covariance of f at initialisation."""
    ntk: Array
    """H_inf + NNGP: the tangent kernel with both layers trained (NTK parameterisation)."""


def gram_finite(
    W: npt.ArrayLike,
    X: npt.ArrayLike,
    X2: npt.ArrayLike | None = None,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Float64:
    """Gram matrix H(W) of a two-layer ReLU network with the first layer trained.

    ``H_ij = (x_i . x_j) #{r : w_r . x_i >= 0 and w_r . x_j >= 0} / width``, from packed patterns and exact
    counts. For a random network of a seed use :meth:`lazygram.TwoLayerReLU.gram`, which never stores W.

    Parameters
    ----------
    W : array_like, shape (width, dim)
        Hidden weights, row r = w_r.
    X, X2 : array_like, shapes (n, dim) and (n2, dim)
        Examples; `X2` defaults to `X`. The patterns are computed in the dtype of `X`.
    threads : int, optional
        Threads; all by default. The result does not depend on it.
    progress : callable, optional
        Called now and then as ``progress(tiles_done, tiles)``.

    Returns
    -------
    ndarray of float64, shape (n, n2)
        Symmetric bit for bit when `X2` is not given.

    Raises
    ------
    TypeError, ValueError
        Bad input; the message names the argument.

    References
    ----------
    Du, thesis (2019), ch. 2, definition of H(t).
    """
    x = as_matrix(X, "X")
    x2 = None if X2 is None else as_matrix(X2, "X2", dtype=x.dtype, columns=x.shape[1])
    patterns = activation_patterns(W, x, threads=threads)
    patterns2 = None if x2 is None else activation_patterns(W, x2, threads=threads)
    return gram_of_patterns(patterns, x, patterns2, x2, threads=threads, progress=progress)


def gram_of_patterns(
    patterns: PackedPatterns,
    X: Array,
    patterns2: PackedPatterns | None = None,
    X2: Array | None = None,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Float64:
    """H from patterns that are at hand, for checked X of shape (n, dim)."""
    x = X.astype(np.float64, copy=False)
    x2 = x if X2 is None else X2.astype(np.float64, copy=False)
    other = patterns if patterns2 is None else patterns2
    out = np.empty((len(patterns), len(other)))
    with single_threaded_blas():
        _core.gram_finite(
            patterns.bits, x, other.bits, x2, patterns.width, out, check_threads(threads), progress
        )
    return out


def _infinite(
    X: npt.ArrayLike,
    X2: npt.ArrayLike | None,
    outputs: dict[str, Array | None],
    threads: int | None,
    progress: Progress | None,
) -> list[Any]:
    """Arrays of the named outputs among "first", "second", "both": those given, new ones for None."""
    x = as_matrix(X, "X", allow_zero_rows=False)
    x2 = x
    if X2 is not None:
        x2 = as_matrix(X2, "X2", dtype=x.dtype, columns=x.shape[1], allow_zero_rows=False)
    shape, out = (x.shape[0], x2.shape[0]), dict[str, Array]()
    for name, array in outputs.items():
        if array is None:
            out[name] = np.empty(shape, x.dtype)
            continue
        check_out(array, "out:", shape, (x, x2))
        if any(np.shares_memory(array, other) for other in out.values()):
            raise ValueError("out: its two arrays share memory")
        if array.dtype != x.dtype or (array.size and array.strides[1] != array.itemsize):
            raise ValueError(f"out: must be {x.dtype}, as X, with contiguous rows")
        out[name] = array
    with single_threaded_blas():
        _core.gram_infinite(
            x,
            x2,
            out.get("first"),
            out.get("second"),
            out.get("both"),
            check_threads(threads),
            progress,
        )
    return [out[name] for name in outputs]


def gram_infinite(
    X: npt.ArrayLike,
    X2: npt.ArrayLike | None = None,
    *,
    trained: Literal["first", "second", "both"] = "first",
    out: Array | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Array:
    """Infinite-width Gram matrix of a two-layer ReLU network, w ~ N(0, I), a_r of mean 0 and variance 1.

    With th the angle between x and x':

    - ``trained="first"``: ``H_inf = x.x' (pi - th) / (2 pi)``, the limit of H(0);
    - ``trained="second"``: ``K_a = |x||x'| (sin th + (pi - th) cos th) / (2 pi)``, also the NNGP kernel;
    - ``trained="both"``: their sum, the full NTK.

    Parameters
    ----------
    X, X2 : array_like, shapes (n, dim) and (n2, dim)
        Examples of any non-zero norm; `X2` defaults to `X`.
    trained : {"first", "second", "both"}
        Which layers gradient descent trains.
    out : ndarray, shape (n, n2), optional
        Where to write, in the dtype of `X`, rows contiguous. Memory in use already saves the time in which
        the system clears new pages, for large n a good part of the whole. Interrupted, some tiles are
        written.
    threads : int, optional
        Threads; all by default. The result does not depend on it.
    progress : callable, optional
        Called now and then as ``progress(tiles_done, tiles)``.

    Returns
    -------
    ndarray, shape (n, n2)
        In the dtype of `X` (float32 or float64). Symmetric bit for bit when `X2` is not given, and then with
        the diagonal ``|x|^2 / 2`` (first, second) or ``|x|^2``. Angles of nearly parallel and antiparallel
        pairs (|cos| > 0.999) are computed from differences of unit vectors; elsewhere the error of an entry
        is a few roundings of ``|x||x'|``, at most about 22 of them near that bound.

    Raises
    ------
    TypeError, ValueError
        Bad input; the message names the argument. A zero row has no direction and is refused.

    References
    ----------
    Du, thesis (2019), ch. 2, definition of H_inf; Cho and Saul, "Kernel methods for deep learning" (2009).
    """
    if trained not in ("first", "second", "both"):
        raise ValueError(f"trained: 'first', 'second' or 'both' is needed, got {trained!r}")
    (result,) = _infinite(X, X2, {trained: out}, threads, progress)
    array: Array = result
    return array


def two_layer_kernels(
    X: npt.ArrayLike,
    X2: npt.ArrayLike | None = None,
    *,
    out: TwoLayerKernels | tuple[Array, Array] | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> TwoLayerKernels:
    """NNGP kernel and NTK (both layers trained) of a two-layer ReLU network in one pass.

    Arguments, accuracy and errors are those of :func:`gram_infinite`; `out` is a pair of arrays.

    Returns
    -------
    TwoLayerKernels
        ``nngp`` (trained="second") and ``ntk`` (trained="both") of :func:`gram_infinite`.
    """
    if out is not None and not (isinstance(out, tuple) and len(out) == 2):
        raise TypeError("out: a pair of arrays is needed, NNGP and NTK")
    second, both = out or (None, None)
    nngp, ntk = _infinite(X, X2, {"second": second, "both": both}, threads, progress)
    return TwoLayerKernels(nngp, ntk)
