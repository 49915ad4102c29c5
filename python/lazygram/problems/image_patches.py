"""Patches of images and Gabor filters: the inputs and a teacher for filters on real data."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lazygram.arrays import Float64, as_stack, check_positive_float, check_positive_int

__all__ = ["gabor_filter", "image_patches"]


def image_patches(images: Any, size: int) -> Float64:
    """All square patches at stride 1, one row each.

    Parameters
    ----------
    images : array_like, shape (n, height, width)
        Grey images.
    size : int
        Side of a patch.

    Returns
    -------
    ndarray of float64, shape (n, k, size * size)
        k = (height - size + 1)(width - size + 1) patches, row by row. A copy of that size (size^2
        times the images): take it for the images of a minibatch, not for all of a large set.

    Raises
    ------
    TypeError, ValueError
        If the images are not such an array, or smaller than a patch.
    """
    images = as_stack(images, "images", None, None)
    if images.ndim != 3:
        raise ValueError(f"images: shape (n, height, width) is needed, got {images.shape}")
    size = check_positive_int(size, "size")
    n, height, width = images.shape
    if size > min(height, width):
        raise ValueError(f"size: patches of side {size} do not fit into images of {height} x {width}")
    windows = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(1, 2))
    return windows.reshape(n, -1, size * size)


def gabor_filter(
    size: int, *, wavelength: float = 4.0, angle: float = math.pi / 4, scale: float = 2.0
) -> Float64:
    """Gabor filter ``exp(-(x^2 + y^2) / (2 s^2)) cos(2 pi x' / lambda)``, ``x' = x cos t + y sin t``.

    Parameters
    ----------
    size : int
        Side; x runs along columns, y along rows, both from the middle.
    wavelength, angle, scale : float
        lambda in pixels, t in radians, s in pixels.

    Returns
    -------
    ndarray of float64, shape (size * size,)
        Rows one after the other, not normalised: its largest entry is 1 for odd sizes.
    """
    size = check_positive_int(size, "size")
    wavelength, scale = check_positive_float(wavelength, "wavelength"), check_positive_float(scale, "scale")
    place = np.arange(size) - (size - 1) / 2
    y, x = np.meshgrid(place, place, indexing="ij")
    along = x * math.cos(angle) + y * math.sin(angle)
    wave = np.exp(-(x**2 + y**2) / (2 * scale**2)) * np.cos(2 * np.pi * along / wavelength)
    return np.asarray(wave.ravel())
