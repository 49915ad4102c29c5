"""Settings whose types say how their values are checked, and the exponent of a power law."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import numpy as np
import numpy.typing as npt

from lazygram.arrays import check_nonnegative_int, check_positive_float, check_positive_int

__all__ = [
    "Dtype",
    "EvenWidth",
    "EvenWidths",
    "Fraction",
    "Increasing",
    "IncreasingFloats",
    "IncreasingInts",
    "NonNegativeInt",
    "PositiveFloat",
    "PositiveFloats",
    "PositiveIncreasing",
    "PositiveInt",
    "PositiveInts",
    "Seeds",
    "Settings",
    "Some",
    "SomePositiveIncreasing",
    "exponent",
]


class Settings:
    """Base of the parameters of an experiment: dataclasses whose fields are checked as their types say.

    A type ``Annotated[T, check, ...]`` asks for ``check(value, name)``, which raises ValueError or TypeError
    with a message that begins with the name of the field; in a tuple, for every element. What concerns
    several fields stays in a ``__post_init__`` of the subclass, which calls this one first. ``--set`` reads
    values by the plain types.
    """

    def __post_init__(self) -> None:
        for name, hint in typing.get_type_hints(type(self), include_extras=True).items():
            _check(getattr(self, name), hint, name)


def _check(value: Any, hint: Any, name: str) -> None:
    """Apply the checks of a type, from the outside in."""
    if typing.get_origin(hint) is Annotated:
        plain, *checks = typing.get_args(hint)
        for check in checks:
            check(value, name)
        _check(value, plain, name)
    elif typing.get_origin(hint) is tuple:
        element = typing.get_args(hint)[0]  # settings have tuples of one kind only
        for item in value:
            _check(item, element, name)


def _check_some(values: Sequence[Any], name: str) -> None:
    if not len(values):
        raise ValueError(f"{name}: at least one is needed")


def _check_increasing(values: Sequence[float], name: str) -> None:
    if sorted(set(values)) != list(values):
        raise ValueError(f"{name} must be increasing, got {', '.join(map(str, values))}")


def _check_positive_increasing(values: Sequence[float], name: str) -> None:
    if sorted(set(values)) != list(values) or (values and not values[0] > 0):
        raise ValueError(f"{name} must be positive and increasing, got {', '.join(map(str, values))}")


def _check_fraction(value: float, name: str) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name}: must be between 0 and 1, got {value}")


def _check_even(width: int, name: str) -> None:
    if width % 2:
        raise ValueError(f"{name}: must be even, half of v is +1, got {width}")


def _check_dtype(value: str, name: str) -> None:
    if value not in ("float32", "float64"):
        raise ValueError(f"{name} must be float32 or float64, got {value!r}")


T = TypeVar("T")

PositiveInt = Annotated[int, check_positive_int]
NonNegativeInt = Annotated[int, check_nonnegative_int]
PositiveFloat = Annotated[float, check_positive_float]
Fraction = Annotated[float, check_positive_float, _check_fraction]
Dtype = Annotated[str, _check_dtype]
EvenWidth = Annotated[int, check_positive_int, _check_even]

Some = Annotated[tuple[T, ...], _check_some]
Increasing = Annotated[tuple[float, ...], _check_some, _check_increasing]
PositiveInts = tuple[PositiveInt, ...]
PositiveFloats = Annotated[tuple[PositiveFloat, ...], _check_some]
IncreasingInts = Annotated[tuple[PositiveInt, ...], _check_some, _check_increasing]
IncreasingFloats = Annotated[tuple[PositiveFloat, ...], _check_some, _check_increasing]
PositiveIncreasing = Annotated[tuple[float, ...], _check_positive_increasing]  # infinity may be the last
SomePositiveIncreasing = Annotated[PositiveIncreasing, _check_some]
EvenWidths = Annotated[tuple[EvenWidth, ...], _check_some, _check_increasing]
Seeds = Annotated[tuple[NonNegativeInt, ...], _check_some, _check_increasing]


def exponent(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Slope of ``log y`` against ``log x`` by least squares; NaN where it is not defined."""
    across, up = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if len(across) < 2 or not ((across > 0).all() and (up > 0).all() and np.isfinite(up).all()):
        return float("nan")
    centred = np.log(across) - np.log(across).mean()
    return float(centred @ np.log(up) / (centred @ centred))
