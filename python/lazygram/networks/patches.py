"""Patches of images: the table of neighbours, patch matrices, their adjoint, and patch sums of covariances.

An image is (n, pixels, channels) here. The patch of a pixel is the window of odd size around it, stride 1,
zero outside; ``neighbours[l, s]`` is the pixel at offset s of the patch centred at l, -1 outside (Du, thesis,
ch. 3, with the window described by a table, for one and two axes alike).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from lazygram.arrays import check_positive_int
from lazygram.networks.backend import Backend

__all__ = ["Patches", "check_image", "check_patch", "neighbour_table"]


def check_image(image: int | Iterable[int]) -> tuple[int, ...]:
    """Sizes of the axes of an image, one or two; an int is an image of one axis."""
    axes = _sizes(image, "image")
    if len(axes) not in (1, 2):
        raise ValueError(f"image: one or two axes are needed, got {axes}")
    return axes


def check_patch(patch: int | Iterable[int], axes: int) -> tuple[int, ...]:
    """Odd sizes of the window, one for each axis; an int is used for every axis."""
    sizes = _sizes(patch, "patch")
    if not isinstance(patch, Iterable):
        sizes *= axes
    if len(sizes) != axes:
        raise ValueError(f"patch: {axes} sizes are needed, one for each axis of the image, got {sizes}")
    for size in sizes:
        if size % 2 == 0:
            raise ValueError(f"patch: odd sizes are needed, got {size}")
    return sizes


def _sizes(value: int | Iterable[int], name: str) -> tuple[int, ...]:
    values = tuple(value) if isinstance(value, Iterable) else (value,)
    return tuple(check_positive_int(size, name) for size in values)


def neighbour_table(image: tuple[int, ...], patch: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Pixel at offset s of the patch around pixel l, -1 outside; shape (pixels, patch size), row-major."""
    table = np.full((int(np.prod(image)), int(np.prod(patch))), -1, dtype=np.int64)
    offsets = list(itertools.product(*(range(-(q // 2), q // 2 + 1) for q in patch)))
    for pixel, place in enumerate(itertools.product(*(range(size) for size in image))):
        for s, offset in enumerate(offsets):
            other = tuple(a + b for a, b in zip(place, offset, strict=True))
            if all(0 <= a < size for a, size in zip(other, image, strict=True)):
                table[pixel, s] = np.ravel_multi_index(other, image)
    return table


class Patches:
    """The map phi of a convolution, its adjoint, and phi(x)^T phi(x') from x^T x', on one backend."""

    def __init__(self, image: tuple[int, ...], patch: tuple[int, ...], backend: Backend) -> None:
        self.neighbours = neighbour_table(image, patch)
        self._image, self._patch = image, patch
        self.pixels, self.size = self.neighbours.shape
        self._backend = backend
        outside = self.neighbours < 0
        # A zero pixel at the end stands for everything outside.
        self._gather = backend.indices(np.where(outside, self.pixels, self.neighbours).ravel())
        # Pixels whose patch has offset s inside the image, and the pixels that stand there, axis by axis.
        self._overlaps = [
            tuple(_overlap(size, o) for o, size in zip(offset, image, strict=True))
            for offset in itertools.product(*(range(-(q // 2), q // 2 + 1) for q in patch))
        ]

    def gather(self, x: Any) -> Any:
        """Patches of (n, pixels, channels) as rows: (n pixels, size channels), offset-major columns."""
        n, _, channels = x.shape
        b = self._backend
        padded = b.concat([x, b.zeros((n, 1, channels))], 1)
        taken = b.xp.take(padded, self._gather, axis=1)
        return b.xp.reshape(taken, (n * self.pixels, self.size * channels))

    def adjoint(self, rows: Any) -> Any:
        """Adjoint of :meth:`gather`: (n pixels, size channels) to (n, pixels, channels)."""
        b = self._backend
        channels = rows.shape[1] // self.size
        n = rows.shape[0] // self.pixels
        split = b.xp.reshape(rows, (n, *self._image, self.size, channels))
        total = b.zeros((n, *self._image, channels))
        rest = slice(None)
        for s, overlap in enumerate(self._overlaps):
            centres, places = zip(*overlap, strict=True)
            source, target = (rest, *centres, s, rest), (rest, *places, rest)
            total[target] += split[source]
        return b.xp.reshape(total, (n, self.pixels, channels))

    def covariance(self, S: Any) -> Any:
        """sum_s S[nbr[l, s], nbr[k, s]] for pixel covariances S (n, pixels, n2, pixels), zero outside.

        Both pixels move by the same offset, so the sum over a window factors into one sum along each axis.
        """
        b, xp, image = self._backend, self._backend.xp, self._image
        shape = tuple(S.shape)
        S = xp.reshape(S, (shape[0], *image, shape[2], *image))
        for axis, (size, window) in enumerate(zip(image, self._patch, strict=True)):
            total = S.copy() if b.is_numpy else xp.asarray(S, copy=True)
            for offset in range(1, min(window // 2, size - 1) + 1):
                low, high = self._both(axis, slice(0, size - offset)), self._both(axis, slice(offset, size))
                total[low] += S[high]
                total[high] += S[low]
            S = total
        return xp.reshape(S, shape)

    def _both(self, axis: int, part: slice) -> tuple[slice, ...]:
        """A part of one axis of both pixels."""
        pixel = [slice(None)] * (1 + len(self._image))
        pixel[1 + axis] = part
        return (*pixel, *pixel)


def _overlap(size: int, offset: int) -> tuple[slice, slice]:
    """Pixels of an axis whose neighbour at `offset` is inside, and those neighbours."""
    inside = max(0, size - abs(offset))
    return slice(max(0, -offset), max(0, -offset) + inside), slice(max(0, offset), max(0, offset) + inside)
