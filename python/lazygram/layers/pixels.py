"""Layers that take pixels together: Flatten, GlobalAvgPool, AvgPool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lazygram.kernels import Program
from lazygram.layers.base import (
    ImpossibleNetwork,
    Layer,
    Padding,
    Parameterisation,
    Value,
    check_padding,
    check_window,
    windows,
)

__all__ = ["AvgPool", "Flatten", "GlobalAvgPool"]


@dataclass(frozen=True, repr=False)
class Flatten(Layer):
    """All pixels of all channels beside each other: ``K <- mean over l of K_ll``, T likewise.

    Without pooling anywhere only the pixel diagonals K_ll are carried, which costs as many numbers as there
    are pixels and not their square.
    """

    def compile(self, program: Program, value: Value, parameterisation: Parameterisation) -> Value:
        if value.image is None:
            return value
        program.flatten()
        return replace(
            value,
            width=None if value.width is None else value.width * value.pixels,
            image=None,
            # A mixture of the pixels' variances, not one Gaussian.
            gaussian=False,
            mean="zero" if value.mean == "zero" else "unknown",
        )


@dataclass(frozen=True, repr=False)
class GlobalAvgPool(Layer):
    """Mean over all pixels: ``K <- mean over l, k of K_lk``, T likewise. Pixel pairs are carried."""

    def compile(self, program: Program, value: Value, parameterisation: Parameterisation) -> Value:
        if value.image is None:
            raise ImpossibleNetwork("needs pixels: an input of shape (n, channels, p) or (n, channels, h, w)")
        program.pool()
        return replace(value, image=None)


@dataclass(frozen=True, repr=False)
class AvgPool(Layer):
    """Mean over windows of pixels, divided by the window's size also where it leaves the image.

    Parameters
    ----------
    window : int or tuple of int
        Pixels of the window; an int means the same along every axis.
    stride : int or tuple of int, optional
        Distance of its places; the window's size by default. (neural-tangents' default is 1.)
    padding : {"VALID", "SAME", "CIRCULAR"}
        As in :class:`Conv`.

    Notes
    -----
    ``K_lk <- mean over the windows of l and k of K``, T and b likewise. Pixel pairs are carried.
    """

    window: int | Sequence[int]
    stride: int | Sequence[int] | None = None
    padding: Padding = "VALID"

    def __post_init__(self) -> None:
        object.__setattr__(self, "window", check_window(self.window, "window"))
        if self.stride is not None:
            object.__setattr__(self, "stride", check_window(self.stride, "stride"))
        check_padding(self.padding)

    def compile(self, program: Program, value: Value, parameterisation: Parameterisation) -> Value:
        stride = self.window if self.stride is None else self.stride
        window, steps, image = windows(self.window, stride, self.padding, value, "window")
        program.pool(window, steps, self.padding)
        return replace(value, image=image)
