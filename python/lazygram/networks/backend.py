"""Array libraries of the deep networks: what NumPy, PyTorch, CuPy and others do differently, in one place.

NumPy needs nothing but itself; every other library is spoken to through array-api-compat, imported when such
an array turns up. Arrays stay in the namespace, on the device and of the dtype of the network.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from lazygram import _core
from lazygram.arrays import Array, as_matrix, as_real_array

__all__ = [
    "Backend",
    "Buffers",
    "backend_of",
    "check_dtype",
    "elementwise_threads",
    "get_backend",
    "on_host",
]

# Elementwise passes go over this many numbers at a time: few enough for temporaries to stay in cache.
_BLOCK = 1 << 16

_threads: ContextVar[int | None] = ContextVar("elementwise threads", default=None)


class Backend:
    """A namespace, a device and a dtype, and the operations that depend on them."""

    def __init__(self, xp: Any, dtype: np.dtype[Any], device: Any = None) -> None:
        self.xp = xp
        self.dtype = dtype
        self.is_numpy = xp is np
        self.native_dtype = dtype if self.is_numpy else getattr(xp, dtype.name)
        self.device = device
        module = "numpy" if self.is_numpy else xp.__name__
        self.name = module.removeprefix("array_api_compat.").split(".")[0]
        self.has_out = self.name in ("numpy", "cupy", "torch")
        self._widest = xp.float64 if self.is_numpy or _has_float64(xp, device) else self.native_dtype

    def owns(self, value: Any) -> bool:
        """Whether `value` is an array of this namespace."""
        if self.is_numpy:
            return isinstance(value, np.ndarray)
        compat = _compat()
        return compat.is_array_api_obj(value) and compat.array_namespace(value) is self.xp

    def asarray(self, values: Any) -> Any:
        """`values` (NumPy, or of this namespace) with the device and dtype of this backend."""
        if self.is_numpy:
            return np.asarray(values, dtype=self.dtype)
        if isinstance(values, np.ndarray):
            values = np.array(values)  # own memory: some libraries share it, and refuse it when read-only
        return self.xp.asarray(values, dtype=self.native_dtype, device=self.device)

    def indices(self, values: Array) -> Any:
        """A NumPy array of integers as indices of this namespace."""
        if self.is_numpy:
            return values.astype(np.intp)
        return self.xp.asarray(np.array(values, dtype=np.int64), device=self.device)

    def to_numpy(self, array: Any) -> Array:
        """`array` on the host, as a NumPy array; it may share memory."""
        return as_real_array(on_host(array), "array")

    def matrix(self, value: Any, name: str, columns: int) -> Any:
        """Checked matrix of examples; an array of this namespace never leaves its device."""
        if self.is_numpy or not self.owns(value):
            # NumPy in between: everything with the array protocol or DLPack is accepted.
            return self.asarray(as_matrix(on_host(value), name, dtype=self.dtype, columns=columns))
        xp = self.xp
        if not (xp.isdtype(value.dtype, "real floating") or xp.isdtype(value.dtype, "integral")):
            raise TypeError(f"{name}: real numbers are needed, got dtype {value.dtype}")
        if value.ndim != 2:
            raise ValueError(f"{name}: a 2-D array (examples x features) is needed, got shape {value.shape}")
        if 0 in value.shape:
            raise ValueError(f"{name}: is empty, shape {tuple(value.shape)}")
        if value.shape[1] != columns:
            raise ValueError(f"{name}: {columns} columns are needed, got {value.shape[1]}")
        array = self.asarray(value)
        if not bool(xp.all(xp.isfinite(array))):
            raise ValueError(f"{name}: all entries must be finite")
        return array

    def total(self, array: Any) -> float:
        """Sum of all entries, added up in float64 where the device has it."""
        return float(self.xp.sum(array, dtype=self._widest))

    def zeros(self, shape: tuple[int, ...]) -> Any:
        """Zeros of this dtype and device."""
        if self.is_numpy:
            return np.zeros(shape, self.dtype)
        return self.xp.zeros(shape, dtype=self.native_dtype, device=self.device)

    def cast(self, array: Any) -> Any:
        """A boolean or numeric array in this dtype."""
        if self.is_numpy:
            return array.astype(self.dtype)
        return self.xp.astype(array, self.native_dtype)

    def concat(self, arrays: Sequence[Any], axis: int) -> Any:
        """Arrays one after the other."""
        return (np.concatenate if self.is_numpy else self.xp.concat)(arrays, axis=axis)

    def permute(self, array: Any, axes: tuple[int, ...]) -> Any:
        """Axes in another order, a view where the library has views."""
        return np.transpose(array, axes) if self.is_numpy else self.xp.permute_dims(array, axes)

    def matmul(self, a: Any, b: Any, out: Any = None) -> Any:
        """Matrix product, into `out` where one is given."""
        if out is None:
            return self.xp.matmul(a, b)
        return self.xp.matmul(a, b, out=out)

    def rowwise(self, function: Callable[..., Any], *arrays: Any, out: Any = None) -> Any:
        """`function`, which acts entry by entry, of arrays of one shape.

        NumPy evaluates an expression one full pass per operation, on one thread; here it goes over blocks of
        rows that stay in cache, so that memory is read and written once, on several threads (NumPy lets go of
        the GIL). Their number changes nothing: every entry is computed alone.
        """
        first = arrays[0]
        if not self.is_numpy or first.size <= _BLOCK:
            result = function(*arrays)
            if out is None:
                return result
            out[...] = result
            return out
        if out is None:
            out = np.empty(first.shape, self.dtype)
        rows = max(1, _BLOCK * first.shape[0] // first.size)
        blocks = [slice(begin, begin + rows) for begin in range(0, first.shape[0], rows)]
        warnings = np.geterr()  # kept by NumPy for each thread

        def evaluate(part: list[slice]) -> None:
            with np.errstate(**warnings):
                for block in part:
                    out[block] = function(*(array[block] for array in arrays))

        workers = min(_threads.get() or _core.max_threads(), len(blocks))
        begun = [_pool(workers - 1).submit(evaluate, blocks[k::workers]) for k in range(1, workers)]
        try:
            evaluate(blocks[::workers])
        finally:
            wait(begun)  # after Ctrl-C, too: `out` may be used again
        for done in begun:
            done.result()
        return out

    def special(self, name: str) -> Callable[[Any], Any]:
        """A special function of SciPy's naming, which the array API does not have.

        Raises
        ------
        NotImplementedError
            The library of this backend is not known to have it.
        """
        where = {"numpy": "scipy.special", "torch": "torch.special", "cupy": "cupyx.scipy.special"}
        if self.name not in where:
            raise NotImplementedError(
                f"activation: {name} is not part of the array API; "
                f"use NumPy, PyTorch or CuPy arrays, not {self.name}"
            )
        function: Callable[[Any], Any] = getattr(importlib.import_module(where[self.name]), name)
        return function

    def __repr__(self) -> str:
        device = "" if self.is_numpy else f", device={str(self.device)!r}"
        return f"xp={self.name!r}{device}"


class Buffers:
    """Arrays by name that are made once and used again, for loops in which every shape repeats."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._arrays: dict[str, Any] = {}

    def get(self, name: str, shape: tuple[int, ...]) -> Any:
        """The array of this name and shape; None where the library cannot write into given arrays."""
        if not self._backend.has_out:
            return None
        array = self._arrays.get(name)
        if array is None or tuple(array.shape) != shape:
            array = self._arrays[name] = self._backend.zeros(shape)
        return array


@contextmanager
def elementwise_threads(threads: int | None) -> Iterator[None]:
    """Threads of elementwise passes over NumPy arrays in this block; all of OpenMP's by default."""
    token = _threads.set(threads)
    try:
        yield
    finally:
        _threads.reset(token)


@lru_cache(maxsize=1)
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, "lazygram")


os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork


def check_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """float32 or float64; ValueError naming `dtype` otherwise."""
    try:
        result = np.dtype(object if dtype is None else dtype)
    except TypeError:
        result = np.dtype(object)
    if result not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"dtype: float32 or float64 is needed, got {dtype!r}")
    return result


def get_backend(xp: Any, dtype: npt.DTypeLike, device: Any) -> Backend:
    """Backend for a namespace: None or "numpy", another library's name, or its module.

    Raises
    ------
    TypeError, ValueError
        Neither a namespace nor a name; a device for NumPy; a dtype other than float32 and float64.
    ModuleNotFoundError
        The library, or array-api-compat, is not installed.
    """
    number = check_dtype(dtype)
    if isinstance(xp, str):
        try:
            xp = np if xp == "numpy" else importlib.import_module(xp)
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(f"xp: the array library {xp!r} cannot be imported ({error})") from None
    if xp is None or xp is np or getattr(xp, "__name__", "") == "array_api_compat.numpy":
        if device not in (None, "cpu"):
            raise ValueError(f"device: NumPy arrays live on the cpu, got {device!r}")
        return Backend(np, number)
    if not hasattr(xp, "asarray"):
        raise TypeError(f"xp: an array namespace or its name is needed, got {xp!r}")
    compat = _compat()
    # The namespace that goes with the library's arrays: array-api-compat's wrapper where one is needed.
    try:
        zero = xp.asarray([0]) if device is None else xp.asarray([0], device=device)
    except (
        Exception
    ) as error:  # libraries raise what they like here: AssertionError, RuntimeError, ValueError
        raise ValueError(f"device: {getattr(xp, '__name__', xp)} refuses {device!r} ({error})") from error
    namespace, where = compat.array_namespace(zero), compat.device(zero)
    if number == np.float64 and not _has_float64(namespace, where):
        raise ValueError(f"dtype: {where} has no float64, use float32")
    return Backend(namespace, number, where)


def backend_of(arrays: Sequence[Any], name: str) -> Backend:
    """Backend of given arrays: NumPy for whatever is no array of another library.

    Raises
    ------
    ValueError
        The arrays are of different libraries or devices, or neither float32 nor float64.
    """
    foreign = [a for a in arrays if not isinstance(a, np.ndarray) and hasattr(a, "__dlpack__")]
    if not foreign:
        dtypes = [np.asarray(a).dtype for a in arrays]
        single = all(dtype == np.float32 for dtype in dtypes)
        return Backend(np, np.dtype(np.float32 if single else np.float64))
    compat = _compat()
    if len(foreign) != len(arrays):
        raise ValueError(f"{name}: arrays of one library are needed")
    try:
        xp = compat.array_namespace(*arrays)
    except TypeError as error:
        raise ValueError(f"{name}: arrays of one library are needed ({error})") from None
    devices = {str(compat.device(array)) for array in arrays}
    if len(devices) > 1:
        raise ValueError(f"{name}: arrays on one device are needed, got {', '.join(sorted(devices))}")
    for dtype in (np.dtype(np.float64), np.dtype(np.float32)):
        if all(array.dtype == getattr(xp, dtype.name) for array in arrays):
            return Backend(xp, dtype, compat.device(arrays[0]))
    raise ValueError(f"{name}: float32 or float64 arrays are needed, all of one dtype")


def on_host(array: Any) -> Any:
    """What NumPy can read: no derivative attached (PyTorch), not on a device (PyTorch, CuPy, others).

    Whatever is no array of a library, None included, comes back as it is.
    """
    if isinstance(array, np.ndarray):
        return array
    for method in ("detach", "cpu"):
        if hasattr(array, method):
            array = getattr(array, method)()
    if hasattr(array, "__cuda_array_interface__") and hasattr(array, "get"):
        return array.get()
    if hasattr(array, "__array_namespace__") and hasattr(array, "to_device"):
        # The standard has no word for the host: a library's default device is the one NumPy reads from.
        default = array.__array_namespace__().__array_namespace_info__().default_device()
        if default is not None and array.device != default:
            return array.to_device(default)
    return array


def _has_float64(xp: Any, device: Any) -> bool:
    """Whether the device computes in double precision; some accelerators do not."""
    try:
        xp.zeros((1,), dtype=xp.float64, device=device)
    except (TypeError, ValueError, RuntimeError):
        return False
    return True


def _compat() -> Any:
    try:
        return importlib.import_module("array_api_compat")
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "arrays of other libraries than NumPy need the package array-api-compat: "
            "pip install 'lazygram[arrays]'"
        ) from None
