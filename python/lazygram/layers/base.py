"""What every layer is made of: the value between two layers, the error of layers that do not fit, checks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Literal, TypeAlias

import numpy as np

from lazygram.arrays import check_positive_int
from lazygram.kernels import Program

__all__ = [
    "Branch",
    "ImpossibleNetwork",
    "Layer",
    "Padding",
    "Parameterisation",
    "Value",
    "check_branch",
    "check_flag",
    "check_number",
    "check_padding",
    "check_std",
    "check_window",
    "compile_chain",
    "windows",
]

Parameterisation: TypeAlias = Literal["ntk", "standard"]
Padding: TypeAlias = Literal["SAME", "VALID", "CIRCULAR"]
Branch: TypeAlias = "Layer | Sequence[Layer]"


@dataclass(frozen=True)
class Value:
    """What is known of a tensor between two layers, for every example.

    Attributes
    ----------
    width : int or None
        Channels; None where a layer's width was not given and tends to infinity.
    image : tuple of int or None
        Pixels per axis; None for a vector.
    gaussian : bool
        Channels are independent centred Gaussians, which an activation needs.
    mean : {"zero", "known", "unknown"}
        What is known of b, the mean over channels.
    fresh : bool
        A weight layer lies on every path from the start of the branch: independent of its input.
    is_input : bool
        Nothing but pixels has been touched yet: finitely many channels, not at random.
    """

    width: int | None
    image: tuple[int, ...] | None
    gaussian: bool = False
    mean: Literal["zero", "known", "unknown"] = "unknown"
    fresh: bool = False
    is_input: bool = True

    @property
    def pixels(self) -> int:
        return int(np.prod(self.image)) if self.image is not None else 1

    @property
    def text(self) -> str:
        """Shape as text, channels first."""
        width = "width" if self.width is None else str(self.width)
        return " x ".join([width, *(str(size) for size in self.image or ())])


class ImpossibleNetwork(ValueError):
    """Layers that do not fit together; the message begins with the place of the layer that does not fit."""

    def __init__(self, reason: str, place: str = "") -> None:
        super().__init__(f"{place}: {reason}" if place else reason)
        self.reason, self.place = reason, place

    def inside(self, place: str) -> ImpossibleNetwork:
        """The same error seen from a list of layers or branches around the place."""
        return ImpossibleNetwork(self.reason, place + self.place)


class Layer(ABC):
    """One step of a network; subclasses are plain immutable settings."""

    @abstractmethod
    def compile(self, program: Program, value: Value, parameterisation: Parameterisation) -> Value:
        """Add this layer's operations to `program` and say what comes out.

        Parameters
        ----------
        program : Program
            Operations so far; changed.
        value : Value
            The tensor that comes in.
        parameterisation : {"ntk", "standard"}
            Of the weight layers.

        Raises
        ------
        ImpossibleNetwork
            The layer has no closed limit for this input, or does not fit its shape.
        """

    def __repr__(self) -> str:
        parts = []
        for setting in fields(self):  # type: ignore[arg-type]
            value = getattr(self, setting.name)
            if setting.default is MISSING:
                parts.append(repr(value))
            elif value != setting.default:
                parts.append(f"{setting.name}={value!r}")
        return f"{type(self).__name__}({', '.join(parts)})"

    def tree(self, indent: str = "") -> list[str]:
        """Lines of the architecture as text."""
        return [f"{indent}{self!r}"]


def compile_chain(
    layers: Sequence[Layer], program: Program, value: Value, parameterisation: Parameterisation, name: str
) -> list[Value]:
    """Compile layers one after the other; values[k] comes out of layers[k]. Errors are placed at name[k]."""
    values = []
    for k, layer in enumerate(layers):
        try:
            value = layer.compile(program, value, parameterisation)
        except ImpossibleNetwork as error:
            raise error.inside(f"{name}[{k}]") from None
        values.append(value)
    return values


# --- checks of settings -----------------------------------------------------------------------------


def check_number(value: float, name: str) -> float:
    if isinstance(value, (bool, np.bool_, str, bytes)):
        raise TypeError(f"{name}: a number is needed, got {value!r}")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: a number is needed, got {value!r}") from None
    if not np.isfinite(number):
        raise ValueError(f"{name}: must be finite, got {number}")
    return number


def check_std(value: float, name: str) -> float:
    number = check_number(value, name)
    if number < 0:
        raise ValueError(f"{name}: must not be negative, got {number}")
    return number


def check_flag(value: bool, name: str) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: True or False is needed, got {value!r}")
    return bool(value)


def check_window(value: int | Sequence[int], name: str) -> int | tuple[int, ...]:
    if isinstance(value, (list, tuple)):
        if not 1 <= len(value) <= 2:
            raise ValueError(f"{name}: one or two numbers are needed, got {value!r}")
        return tuple(check_positive_int(size, name) for size in value)
    return check_positive_int(value, name)


def _per_axis(value: int | tuple[int, ...], image: tuple[int, ...], name: str) -> tuple[int, ...]:
    sizes = (value,) * len(image) if isinstance(value, int) else value
    if len(sizes) != len(image):
        raise ImpossibleNetwork(f"{name} {sizes} has {len(sizes)} axes, the input's pixels {image}")
    return sizes


def check_padding(padding: str) -> Padding:
    if padding not in ("SAME", "VALID", "CIRCULAR"):
        raise ValueError(f"padding: 'SAME', 'VALID' or 'CIRCULAR' is needed, got {padding!r}")
    return padding  # type: ignore[return-value]


def _window_places(
    image: tuple[int, ...], window: tuple[int, ...], stride: tuple[int, ...], padding: Padding
) -> tuple[int, ...]:
    """Places of a window per axis: ceil(size / stride), or with VALID those where it lies inside."""
    if padding != "VALID":
        return tuple(-(-size // step) for size, step in zip(image, stride, strict=True))
    if any(w > size for w, size in zip(window, image, strict=True)):
        raise ImpossibleNetwork(f"a window of {window} does not fit into {image} pixels without padding")
    return tuple((size - w) // step + 1 for size, w, step in zip(image, window, stride, strict=True))


def check_branch(branch: Branch, name: str) -> tuple[Layer, ...]:
    """The layers of a branch: a layer, or a list of them; an empty list is the identity."""
    if isinstance(branch, Layer):
        return (branch,)
    if not isinstance(branch, (list, tuple)):
        raise TypeError(f"{name}: a layer or a list of layers is needed, got {type(branch).__name__}")
    for k, layer in enumerate(branch):
        if not isinstance(layer, Layer):
            got = f"the class {layer.__name__}" if isinstance(layer, type) else type(layer).__name__
            raise TypeError(f"{name}[{k}]: a layer is needed, got {got}")
    return tuple(branch)


def windows(
    window: int | Sequence[int], stride: int | Sequence[int], padding: Padding, value: Value, name: str
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Window and stride for each axis of the input, and the pixels that come out."""
    if value.image is None:
        raise ImpossibleNetwork("needs pixels: an input of shape (n, channels, p) or (n, channels, h, w)")
    assert isinstance(window, (int, tuple))
    assert isinstance(stride, (int, tuple))
    sizes = _per_axis(window, value.image, name)
    steps = _per_axis(stride, value.image, "stride")
    return sizes, steps, _window_places(value.image, sizes, steps, padding)
