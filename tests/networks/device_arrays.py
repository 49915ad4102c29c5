"""An array library in the manner of CuPy without a GPU: NumPy underneath, and nothing leaves unasked.

As with CuPy, ``np.asarray`` of an array raises TypeError, an operation between an array and one of NumPy
raises, scalars of NumPy are taken, and ``get()`` is the way to the host. Unlike CuPy, NumPy's functions
refuse the arrays as well.
"""

from __future__ import annotations

import types
from typing import Any

import numpy as np

_REFUSED = "Implicit conversion to a NumPy array is not allowed. Please use `.get()`"


class DeviceArray:
    """What `cupy.ndarray` looks like from outside; the device is a name."""

    __array_ufunc__ = None

    def __init__(self, values: np.ndarray) -> None:
        self._values = np.asarray(values)

    def __array__(self, *_args: Any, **_options: Any) -> np.ndarray:
        raise TypeError(_REFUSED)

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return xp

    __dlpack__ = __array__

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {"shape": self.shape, "typestr": self.dtype.str, "version": 3}

    def get(self) -> np.ndarray:
        return self._values.copy()

    device = "fake:0"
    shape = property(lambda self: self._values.shape)
    ndim = property(lambda self: self._values.ndim)
    size = property(lambda self: self._values.size)
    dtype = property(lambda self: self._values.dtype)
    T = property(lambda self: DeviceArray(self._values.T))

    def reshape(self, *shape: Any) -> DeviceArray:
        return DeviceArray(self._values.reshape(*shape))

    def __len__(self) -> int:
        return len(self._values)

    def __float__(self) -> float:
        return float(self._values)

    def __bool__(self) -> bool:
        return bool(self._values)

    def __getitem__(self, key: Any) -> DeviceArray:
        return DeviceArray(self._values[_inside(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self._values[_inside(key)] = _inside(value)


def _inside(value: Any) -> Any:
    """The NumPy array behind a device array; TypeError for one of NumPy's own."""
    if isinstance(value, DeviceArray):
        return value._values
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(value, (list, tuple)):
        return type(value)(_inside(part) for part in value)
    return value


def _outside(value: Any) -> Any:
    return DeviceArray(value) if isinstance(value, (np.ndarray, np.generic)) else value


def _operator(name: str) -> Any:
    def call(self: DeviceArray, *others: Any) -> Any:
        result = getattr(self._values, name)(*map(_inside, others))
        if result is NotImplemented:
            return result
        return self if name.startswith("__i") and name != "__invert__" else _outside(result)

    return call


for _name in ("add", "sub", "mul", "truediv", "pow", "matmul", "and", "or", "xor"):
    for _form in (f"__{_name}__", f"__r{_name}__", f"__i{_name}__"):
        setattr(DeviceArray, _form, _operator(_form))
for _name in ("lt", "le", "gt", "ge", "eq", "ne", "neg", "abs", "invert"):
    setattr(DeviceArray, f"__{_name}__", _operator(f"__{_name}__"))


class _Namespace(types.ModuleType):
    """NumPy's functions on device arrays."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(np, name)
        return found if isinstance(found, type) or not callable(found) else on_device(found)

    def asarray(self, values: Any, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Any:
        own = values._values if isinstance(values, DeviceArray) else values
        shared = isinstance(values, DeviceArray) and not copy
        return DeviceArray(np.asarray(own, dtype=dtype) if shared else np.array(own, dtype=dtype))

    def zeros(self, shape: Any, dtype: Any = None, device: Any = None) -> DeviceArray:
        return DeviceArray(np.zeros(shape, dtype))


def on_device(function: Any) -> Any:
    """A function of NumPy or SciPy that takes and gives device arrays."""

    def call(*args: Any, **options: Any) -> Any:
        result = function(*map(_inside, args), **{name: _inside(value) for name, value in options.items()})
        return [_outside(part) for part in result] if isinstance(result, list) else _outside(result)

    return call


xp = _Namespace("cupy")
