"""The one rule for inputs: what arrays may be, and what is said when they are not.

float32 and float64 are kept; integers, booleans and other real dtypes become float64. Anything that
NumPy can read (the array protocol, nested lists) or that speaks DLPack is accepted; the result is
C-contiguous and never written to. Empty, non-finite, complex or wrongly shaped input raises an error that
names the argument.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Float64: TypeAlias = npt.NDArray[np.float64]

__all__ = [
    "Array",
    "Float64",
    "as_examples",
    "as_matrix",
    "as_real_array",
    "as_stack",
    "as_vector",
    "check_nonnegative_int",
    "check_out",
    "check_positive_float",
    "check_positive_int",
]


def as_real_array(value: Any, name: str) -> Array:
    """`value` as an array of real numbers, dtype and shape as they are.

    Raises
    ------
    TypeError
        Not real numbers.
    ValueError
        Ragged.
    """
    if not hasattr(value, "__array__") and hasattr(value, "__dlpack__"):
        value = np.from_dlpack(value)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name}: not a rectangular array of numbers ({error})") from None
    if array.dtype == object or array.dtype.kind not in "biuf":
        raise TypeError(f"{name}: real numbers are needed, got dtype {array.dtype}")
    return array


def _as_float(value: Any, name: str, dtype: npt.DTypeLike | None) -> Array:
    array = as_real_array(value, name)
    if dtype is None:
        dtype = array.dtype if array.dtype in (np.float32, np.float64) else np.float64
    if array.dtype != dtype:
        with np.errstate(over="ignore"):  # an overflow becomes inf, which is reported below
            array = array.astype(dtype)
    return array


def _check_finite(array: Array, name: str) -> None:
    finite = np.isfinite(array)
    if not finite.all():
        where = tuple(int(k) for k in np.argwhere(~finite)[0])
        raise ValueError(f"{name}: entry {where} is {array[where]}; all entries must be finite")


def as_matrix(
    value: Any,
    name: str,
    *,
    dtype: npt.DTypeLike | None = None,
    columns: int | None = None,
    allow_zero_rows: bool = True,
) -> Array:
    """Checked, C-contiguous 2-D array of float32 or float64.

    Parameters
    ----------
    value : array_like
        Input; a 1-D array is refused, not guessed at.
    name : str
        How error messages call it.
    dtype : dtype, optional
        Convert to this dtype; by default float32 and float64 are kept and the rest becomes float64.
    columns : int, optional
        Required number of columns.
    allow_zero_rows : bool
        If false, a row of zeros (which has no direction) is an error.

    Raises
    ------
    TypeError
        Not real numbers.
    ValueError
        Wrong number of dimensions or columns, empty, non-finite, or a zero row where none is allowed.
    """
    array = _as_float(value, name, dtype)
    if array.ndim != 2:
        raise ValueError(f"{name}: a 2-D array (examples x features) is needed, got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name}: is empty, shape {array.shape}")
    if columns is not None and array.shape[1] != columns:
        raise ValueError(f"{name}: {columns} columns are needed, got {array.shape[1]}")
    _check_finite(array, name)
    if not allow_zero_rows:
        zero = np.flatnonzero(~array.any(axis=1))
        if zero.size:
            raise ValueError(f"{name}: row {int(zero[0])} is zero and has no direction")
    return np.ascontiguousarray(array)


def as_examples(
    value: Any, name: str, *, image: tuple[int, ...] | None = None, like: Array | None = None
) -> Array:
    """Checked, C-contiguous examples: (n, d) vectors or (n, channels, \\*image) images, float32 or float64.

    Parameters
    ----------
    value : array_like
        Input.
    name : str
        How error messages call it.
    image : tuple of int, optional
        Shape of the images; None for vectors.
    like : ndarray, optional
        Other examples, whose dtype and shape (but for their number) these must have.

    Raises
    ------
    TypeError
        Not real numbers.
    ValueError
        Wrong shape, empty, or non-finite.
    """
    array = _as_float(value, name, None if like is None else like.dtype)
    expected = "(n, d)" if image is None else f"(n, channels, {', '.join(str(side) for side in image)})"
    shape = () if image is None else image
    if array.ndim != 2 + len(shape) or array.shape[2:] != shape:
        raise ValueError(f"{name}: shape {expected} is needed, got {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name}: is empty, shape {array.shape}")
    if like is not None and array.shape[1] != like.shape[1]:
        what = "columns" if image is None else "channels"
        raise ValueError(f"{name}: {like.shape[1]} {what} are needed, got {array.shape[1]}")
    _check_finite(array, name)
    return np.ascontiguousarray(array)


def as_vector(
    value: Any, name: str, length: int | None = None, *, dtype: npt.DTypeLike | None = None
) -> Array:
    """Checked, contiguous 1-D array of float32 or float64; a single column is flattened.

    Raises
    ------
    TypeError
        Not real numbers.
    ValueError
        Wrong shape or length, empty or non-finite.
    """
    array = _as_float(value, name, dtype)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"{name}: a 1-D array is needed, got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name}: is empty")
    if length is not None and array.shape[0] != length:
        raise ValueError(f"{name}: length {length} is needed, got {array.shape[0]}")
    _check_finite(array, name)
    return np.ascontiguousarray(array)


def as_stack(value: Any, name: str, *shape: int | None) -> Float64:
    """Checked float64 array whose last axes have the given lengths, after any number of leading axes.

    Parameters
    ----------
    value : array_like
        Input; the leading axes count independent runs.
    name : str
        How error messages call it.
    *shape : int or None
        Lengths of the last axes; None is any length but 0.

    Raises
    ------
    TypeError
        Not real numbers.
    ValueError
        Too few axes, another length, empty or non-finite.
    """
    array = _as_float(value, name, np.float64)
    last = array.shape[array.ndim - len(shape) :] if array.ndim >= len(shape) else ()
    if len(last) != len(shape) or any(
        want not in (None, have) for want, have in zip(shape, last, strict=True)
    ):
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise ValueError(f"{name}: last axes ({wanted}) are needed, got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name}: is empty, shape {array.shape}")
    _check_finite(array, name)
    return array


def check_nonnegative_int(value: Any, name: str, *, limit: int = 2**63) -> int:
    """`value` as a plain int in [0, limit), limit a power of two; errors name `name`."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: an integer is needed, got {value!r}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: an integer is needed, got {value!r}") from None
    if number < 0:
        raise ValueError(f"{name}: must not be negative, got {number}")
    if number >= limit:
        raise ValueError(f"{name}: must be below 2**{limit.bit_length() - 1}, got {number}")
    return number


def check_positive_int(value: Any, name: str) -> int:
    """`value` as a plain int >= 1; TypeError or ValueError naming `name` otherwise."""
    number = check_nonnegative_int(value, name)
    if number == 0:
        raise ValueError(f"{name}: must be positive, got 0")
    return number


def check_positive_float(value: Any, name: str) -> float:
    """`value` as a finite float > 0; TypeError or ValueError naming `name` otherwise."""
    if isinstance(value, (bool, np.bool_, str, bytes)):
        raise TypeError(f"{name}: a number is needed, got {value!r}")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: a number is needed, got {value!r}") from None
    if not (number > 0 and np.isfinite(number)):
        raise ValueError(f"{name}: must be positive and finite, got {number}")
    return number


def check_out(array: Any, name: str, shape: tuple[int, ...], inputs: Sequence[Array]) -> None:
    """Whether results of this shape can be written to `array` while `inputs` are read; errors say `name`."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array, got {type(array).__name__}")
    if array.shape != shape:
        raise ValueError(f"{name} needs shape {shape}, got {array.shape}")
    if array.dtype not in (np.float32, np.float64):
        raise TypeError(f"{name} must be float32 or float64, got {array.dtype}")
    if not array.flags.writeable:
        raise ValueError(f"{name} is read-only")
    if any(np.shares_memory(array, x) for x in inputs):
        raise ValueError(f"{name} shares memory with the examples, which are read until the end")
