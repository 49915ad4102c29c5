"""Gaussian expectations E[phi(u) phi(v)] and E[phi'(u) phi'(v)] over arrays ("dual activations").

    dual(activation, K, var1, var2, derivative)
      closed form in the core ............ relu, erf, gelu, polynomials, sin, exp, ...
      one pair of variances .............. table in rho, made once per (activation, variances)
      many variances, smooth phi ......... Hermite series, coefficients once per distinct variance
      many variances, kinked or steep phi  interpolation in the variances (expectations/interpolation.py)

Variances that agree to rounding count as one, so unit-norm inputs are the table case.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any, Literal, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from lazygram import _core
from lazygram.activations import Activation, Function, get_activation
from lazygram.arrays import Array, Float64, as_real_array
from lazygram.expectations.hermite import Coefficients
from lazygram.expectations.interpolation import Interpolation, interpolated, many_coefficients, many_means
from lazygram.expectations.tables import DualTable, make_table
from lazygram.parallel import check_threads

__all__ = ["AccuracyWarning", "dual", "entry_dual", "means"]

_MAX_TABLES = 16  # pairs of variances that get a table each
_MAX_SERIES_SCALE = 16.0  # above, steep activations need more than expectations.hermite.LONG_TERMS terms
_SLICE = 16384  # distinct variances whose coefficients are held at once
_FEW = 256  # pairs of variances that are integrated sooner than tables would be made
_WARN = 1e-10
_KEPT = 512  # standard deviations: 8 MiB of coefficients at most


class AccuracyWarning(UserWarning):
    """The estimated error of a dual is larger than what the caller may take for granted."""


class _Problem(NamedTuple):
    """One call, checked: two-dimensional views (variances may have strides of 0)."""

    activation: Activation
    derivative: int
    K: Array
    var1: Array
    var2: Array
    out: Array
    threads: int


def _common_dtype(K: Array, *others: Array) -> np.dtype[Any]:
    """float32 if every array is, scalars not counted; float64 otherwise."""
    arrays = [a for a in (K, *others) if a.ndim > 0] or [K]
    return np.dtype(np.float32 if all(a.dtype == np.float32 for a in arrays) else np.float64)


def _two_dimensional(K: Array, var1: Array, var2: Array) -> tuple[Array, Array, Array, tuple[int, ...]]:
    shape = np.broadcast_shapes(K.shape, var1.shape, var2.shape)
    views = [np.broadcast_to(a, shape) for a in (K, var1, var2)]
    # A chunk of the core is part of one row, so many short rows become one long row.
    if len(shape) < 2 or len(shape) > 2 or (shape[1] < 64 < shape[0]):
        views = [a.reshape(1, -1) for a in views]
    K2, p2, q2 = views
    item = K2.dtype.itemsize
    if (K2.shape[1] > 1 and K2.strides[1] != item) or K2.strides[0] % item:
        K2 = np.ascontiguousarray(K2)
    return K2, p2, q2, shape


def _check_covariance(K: Array, var1: Array, var2: Array) -> None:
    """Raises for the first entry that is no covariance, with its index in the broadcast shape."""
    K, var1, var2 = np.broadcast_arrays(K, var1, var2)
    slack = 1e-4 if K.dtype == np.float32 else 1e-10

    def first(bad: Array) -> tuple[int, ...]:
        return tuple(int(k) for k in np.argwhere(bad)[0])

    for name, array in (("K", K), ("var1", var1), ("var2", var2)):
        bad = ~np.isfinite(array)
        if bad.any():
            raise ValueError(f"{name}: entry {first(bad)} is {array[first(bad)]}; must be finite")
    for name, array in (("var1", var1), ("var2", var2)):
        bad = array < 0
        if bad.any():
            raise ValueError(f"{name}: entry {first(bad)} is {array[first(bad)]}; a variance is >= 0")
        bad = array.astype(np.float64) > 1e100
        if bad.any():
            raise ValueError(f"{name}: entry {first(bad)} is above 1e100")
    limit = np.sqrt(var1.astype(np.float64)) * np.sqrt(var2.astype(np.float64))
    bad = np.abs(K) > limit * (1.0 + slack)
    if bad.any():
        at = first(bad)
        raise ValueError(f"K: entry {at} is {K[at]}, beyond sqrt(var1 var2) = {limit[at]}: not a covariance")


def _distinct(
    variance: Array, dtype: np.dtype[Any], tolerance: float | None = None
) -> tuple[Float64, npt.NDArray[np.int32]]:
    """Distinct standard deviations, equal up to rounding counted once, and each entry's index.

    `variance` may have strides of 0: only what is stored is looked at.
    """
    stored = variance[tuple(slice(0, 1) if step == 0 else slice(None) for step in variance.strides)]
    values, inverse = np.unique(stored, return_inverse=True)
    if not (values[0] >= 0.0 and float(values[-1]) <= 1e100):
        raise ValueError("var1, var2: variances must be between 0 and 1e100")
    scales = np.sqrt(values.astype(np.float64))
    scales[values < 1e-150] = 0.0
    if tolerance is None:
        tolerance = 1.2e-7 if dtype == np.float32 else 1e-15
    group = np.zeros(scales.size, dtype=np.int32)
    kept = [scales[0]]
    for i in range(1, scales.size):
        if scales[i] > kept[-1] * (1.0 + tolerance):
            kept.append(scales[i])
        group[i] = len(kept) - 1
    index = group[inverse].reshape(stored.shape)
    return np.array(kept), np.broadcast_to(index, variance.shape)


def _source(activation: Activation, derivative: int) -> tuple[Function, Any, bool]:
    """Function, its closed smoothing, and whether it is only a primitive of what is wanted."""
    if derivative == 0:
        return activation.phi, activation.smoothed, False
    if activation.dphi is not None:
        return activation.dphi, activation.smoothed_derivative, False
    return activation.phi, None, True


@lru_cache(maxsize=256)
def _table(activation: Activation, derivative: int, scale_u: float, scale_v: float) -> DualTable:
    phi, smoothed, primitive = _source(activation, derivative)
    return make_table(phi, activation.kinks, smoothed, scale_u, scale_v, from_primitive=primitive)


@lru_cache(maxsize=64)
def _kept_coefficients(activation: Activation, derivative: int, scales: bytes) -> Coefficients:
    phi, _, primitive = _source(activation, derivative)
    return many_coefficients(phi, np.frombuffer(scales), from_primitive=primitive)


def _coefficients(activation: Activation, derivative: int, scales: Float64) -> Coefficients:
    """Hermite coefficients; those of few scales are kept, because every pass over a kernel asks again."""
    if scales.size <= _KEPT:
        return _kept_coefficients(activation, derivative, scales.tobytes())
    phi, _, primitive = _source(activation, derivative)
    return many_coefficients(phi, scales, from_primitive=primitive)


def means(activation: Activation, variances: Float64) -> Float64:
    """E phi(sqrt(v) Z) for every variance v of an array, each distinct one computed once."""
    scales, index = _distinct(variances, np.dtype(np.float64))
    result: Float64 = many_means(activation.mean, activation.kinks, scales)[index]
    return result


def entry_dual(
    activation: Activation, derivative: int, var1: Float64, var2: Float64, *, tolerance: float
) -> Any:
    """What evaluates E[phi(u) phi(v)] (derivative 1: of phi') for places in two arrays of variances.

    The choice of :func:`dual`, made once for many entries that come later, by the core or in blocks.

    Parameters
    ----------
    activation : Activation
        One without a closed form for this derivative.
    derivative : {0, 1}
        Which dual.
    var1, var2 : ndarray, 1-D
        Variances that u and v can have.
    tolerance : float
        Standard deviations that differ by less, relatively, count as one.

    Returns
    -------
    lazygram._core.Dual, tuple or callable
        A table (one pair of variances); coefficients, lengths and places of a Hermite series of both sides;
        or a function ``(K, var1, var2) -> values`` for whole blocks.
    """
    float64 = np.dtype(np.float64)
    scales1, index1 = _distinct(var1, float64, tolerance)
    scales2, index2 = _distinct(var2, float64, tolerance)
    _, _, primitive = _source(activation, derivative)
    if scales1.size * scales2.size == 1:
        low, high = sorted((float(scales1[0]), float(scales2[0])))
        return _table(activation, derivative, low, high).formula
    if primitive or (not activation.kinks and max(scales1[-1], scales2[-1]) <= _MAX_SERIES_SCALE):
        first = _coefficients(activation, derivative, scales1)
        same = scales1.size == scales2.size and bool(np.all(scales1 == scales2))
        second = first if same else _coefficients(activation, derivative, scales2)
        if primitive or (first.converged and second.converged):
            values1, values2 = _same_terms(first, second)
            return values1, first.length, values2, second.length, index1, index2
    if any(kink != 0.0 for kink in activation.kinks) or scales1.size * scales2.size <= _FEW:
        return lambda K, p, q: dual(activation, K, p, q, derivative, threads=1, return_error=True)[0]
    phi, smoothed, _ = _source(activation, derivative)
    scales, _ = _distinct(np.concatenate([var1, var2]), float64, tolerance)
    return Interpolation(phi, activation.kinks, smoothed, (activation, derivative), scales)


def _closed(problem: _Problem) -> None:
    assert problem.activation.closed is not None
    formula = problem.activation.closed(problem.derivative)
    _core.dual(formula, problem.K, problem.var1, problem.var2, problem.out, problem.threads, None)


def _largest(out: Array) -> float:
    return max(float(np.max(out)), -float(np.min(out))) if out.size else 0.0


def _by_tables(
    problem: _Problem,
    scales1: Float64,
    index1: npt.NDArray[np.int32],
    scales2: Float64,
    index2: npt.NDArray[np.int32],
) -> float:
    error = 0.0
    for i, u in enumerate(scales1):
        for j, v in enumerate(scales2):
            low, high = sorted((float(u), float(v)))
            if scales1.size * scales2.size == 1:
                table = _table(problem.activation, problem.derivative, low, high)
                _core.dual(
                    table.formula, problem.K, problem.var1, problem.var2, problem.out, problem.threads, None
                )
                return table.error
            where = (index1 == i) & (index2 == j)
            if not where.any():
                continue
            table = _table(problem.activation, problem.derivative, low, high)
            value = np.empty((1, int(np.count_nonzero(where))), dtype=problem.K.dtype)
            _core.dual(
                table.formula,
                problem.K[where][None],
                problem.var1[where][None],
                problem.var2[where][None],
                value,
                problem.threads,
                None,
            )
            problem.out[where] = value[0]
            error = max(error, table.error)
    return error


def _same_terms(first: Coefficients, second: Coefficients) -> tuple[Float64, Float64]:
    """Both arrays of coefficients, padded to one number of terms."""
    if first is second:
        return first.values, first.values
    terms = max(first.values.shape[1], second.values.shape[1])
    one, two = (
        np.ascontiguousarray(np.pad(c.values, ((0, 0), (0, terms - c.values.shape[1]))))
        for c in (first, second)
    )
    return one, two


def _by_series(
    problem: _Problem,
    first: Coefficients,
    index1: npt.NDArray[np.int32],
    second: Coefficients,
    index2: npt.NDArray[np.int32],
) -> float:
    values1, values2 = _same_terms(first, second)
    _core.dual_series(
        values1,
        first.length,
        values2,
        second.length,
        problem.K,
        problem.var1,
        problem.var2,
        index1,
        index2,
        problem.out,
        problem.threads,
        None,
    )
    return float(max(np.max(first.error), np.max(second.error)))


def _general(problem: _Problem) -> float:
    """Chooses table, series or interpolation; returns the error estimate."""
    dtype = problem.K.dtype
    stored = [v.size if 0 not in v.strides else max(v.shape) for v in (problem.var1, problem.var2)]
    if max(stored) > _SLICE and problem.K.shape[1] > 1:
        error = 0.0
        rows, cols = problem.K.shape
        axis, size = (0, rows) if rows > 1 else (1, cols)
        step = max(1, min(size // 2, _SLICE))
        if size > 1:
            for begin in range(0, size, step):
                part = [slice(None), slice(None)]
                part[axis] = slice(begin, begin + step)
                at = tuple(part)
                error = max(
                    error,
                    _general(
                        problem._replace(
                            K=problem.K[at], var1=problem.var1[at], var2=problem.var2[at], out=problem.out[at]
                        )
                    ),
                )
            return error
    scales1, index1 = _distinct(problem.var1, dtype)
    scales2, index2 = _distinct(problem.var2, dtype)
    activation, derivative = problem.activation, problem.derivative
    phi, smoothed, primitive = _source(activation, derivative)
    pairs = scales1.size * scales2.size
    largest = max(float(scales1[-1]), float(scales2[-1]))
    if pairs <= _MAX_TABLES and (pairs == 1 or problem.K.size >= 512 * pairs):
        return _by_tables(problem, scales1, index1, scales2, index2)
    if primitive or (not activation.kinks and largest <= _MAX_SERIES_SCALE):
        first = many_coefficients(phi, scales1, from_primitive=primitive)
        same = scales1.size == scales2.size and bool(np.all(scales1 == scales2))
        second = first if same else many_coefficients(phi, scales2, from_primitive=primitive)
        if primitive or (first.converged and second.converged):
            return _by_series(problem, first, index1, second, index2)
    return interpolated(
        phi,
        activation.kinks,
        smoothed,
        (activation, derivative),
        problem.K,
        (scales1, index1, problem.var1),
        (scales2, index2, problem.var2),
        problem.out,
        problem.threads,
    )


@overload
def dual(
    activation: str | Activation | Function,
    K: npt.ArrayLike,
    var1: npt.ArrayLike,
    var2: npt.ArrayLike,
    derivative: int = ...,
    *,
    threads: int | None = ...,
    return_error: Literal[False] = ...,
) -> Array: ...
@overload
def dual(
    activation: str | Activation | Function,
    K: npt.ArrayLike,
    var1: npt.ArrayLike,
    var2: npt.ArrayLike,
    derivative: int = ...,
    *,
    threads: int | None = ...,
    return_error: Literal[True],
) -> tuple[Array, float]: ...
def dual(
    activation: str | Activation | Function,
    K: npt.ArrayLike,
    var1: npt.ArrayLike,
    var2: npt.ArrayLike,
    derivative: int = 0,
    *,
    threads: int | None = None,
    return_error: bool = False,
) -> Array | tuple[Array, float]:
    """E[phi(u) phi(v)] or E[phi'(u) phi'(v)] for (u, v) ~ N(0, [[var1, K], [K, var2]]), elementwise.

    Parameters
    ----------
    activation : str, Activation or callable
        A name of :data:`lazygram.activations.registry`, an object made by one of its constructors, or a
        vectorised function (see :func:`lazygram.activations.custom` for its derivative and kinks).
    K : array_like
        Covariances of u and v (not correlations).
    var1, var2 : array_like
        Variances of u and v; the three broadcast together. Variances below 1e-150 count as zero: then u = 0
        almost surely and the result is phi(0) E phi(v).
    derivative : {0, 1}
        1 for the dual of phi'. ReLU's derivative is 1 at 0, that of the absolute value 0; step and sign
        have none.
    threads : int, optional
        Threads; all by default. The result does not depend on it.
    return_error : bool
        Also return an estimate of the largest absolute error.

    Returns
    -------
    ndarray
        Broadcast shape; float32 if all arrays are float32 (evaluated in float64 and rounded once), else
        float64.
    float
        Only with `return_error`: estimate of the largest absolute error over the array (before the
        rounding to float32).

    Raises
    ------
    ValueError
        Unknown activation; shapes that do not broadcast; a negative or non-finite variance; a covariance
        with ``abs(K) > sqrt(var1 * var2)`` by more than rounding (1e-10 relative, 1e-4 in float32).
    TypeError
        Not real numbers, or an activation that is neither name nor callable.

    Warns
    -----
    AccuracyWarning
        The error estimate exceeds 1e-10 of the largest value and `return_error` is false: a custom
        activation with kinks that were not given.

    Notes
    -----
    Registry activations are accurate to 1e-13 max(abs(value), 1e-3) for the covariance as given in
    floating point, also at correlations of exactly +-1; docs/activations.md has measured errors and the
    exceptions. The result is symmetric: exchanging u and v gives the same bits.

    References
    ----------
    .. [1] Daniely, Frostig, Singer, "Toward deeper understanding of neural networks", NeurIPS 2016.
    .. [2] Cho and Saul, "Kernel methods for deep learning", NeurIPS 2009.

    Examples
    --------
    >>> import lazygram
    >>> float(lazygram.dual("relu", 1.0, 1.0, 1.0))
    0.5
    """
    chosen = get_activation(activation)
    if isinstance(derivative, bool) or derivative not in (0, 1):
        raise ValueError(f"derivative: must be 0 or 1, got {derivative!r}")
    if derivative == 1 and not chosen.differentiable:
        raise ValueError(f"derivative: {chosen.name} is not differentiable, its derivative has no dual")
    arrays = [as_real_array(a, name) for a, name in ((K, "K"), (var1, "var1"), (var2, "var2"))]
    dtype = _common_dtype(*arrays)
    with np.errstate(over="ignore"):
        k, p, q = (a.astype(dtype, copy=False) for a in arrays)
    try:
        k2, p2, q2, shape = _two_dimensional(k, p, q)
    except ValueError:
        raise ValueError(
            f"K, var1, var2: shapes {k.shape}, {p.shape}, {q.shape} do not broadcast together"
        ) from None
    out = np.empty(k2.shape, dtype=dtype)
    problem = _Problem(chosen, int(derivative), k2, p2, q2, out, check_threads(threads))
    error = 0.0
    if out.size:
        try:
            if chosen.closed is not None:
                _closed(problem)
                # Only reported: a pass over the result would cost as much as making it.
                error = 8 * float(np.finfo(np.float64).eps) * _largest(out) if return_error else 0.0
            else:
                error = _general(problem)
        except ValueError:
            _check_covariance(k, p, q)
            raise
    result = out.reshape(shape)
    if return_error:
        return result, error
    if error > _WARN * 1e-3 and error > _WARN * (largest := _largest(out)):
        warnings.warn(
            f"{chosen.name}: the dual's error is estimated at {error:.1e} (largest value {largest:.1e}); "
            "give the activation's kinks to lazygram.activations.custom, or ask for return_error",
            AccuracyWarning,
            stacklevel=2,
        )
    return result
