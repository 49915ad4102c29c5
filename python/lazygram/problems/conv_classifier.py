"""A small convolutional classifier of any width, and synthetic images for it.

Stand-in for the essay's figure of test error against width, whose images (CIFAR) are not at hand:
conv 3x3 (4w filters) - ReLU - conv 3x3 (8w) - ReLU - 2x2 average pool - linear, cross-entropy. Convolutions
are one matrix product each, over patches laid out as rows.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from lazygram.arrays import Array, check_positive_float, check_positive_int

__all__ = ["ConvClassifier", "template_images"]

Float32Array: TypeAlias = npt.NDArray[np.float32]
IntArray: TypeAlias = npt.NDArray[np.int64]
Weights: TypeAlias = tuple[Array, ...]

_PATCH = 3


def template_images(
    examples: int,
    *,
    classes: int = 10,
    channels: int = 3,
    size: int = 8,
    noise: float = 1.2,
    shift: int = 1,
    seed: int | np.random.Generator = 0,
    templates: Float32Array | None = None,
) -> tuple[Float32Array, IntArray, Float32Array]:
    """Images of a smooth template per class, shifted at random, with noise.

    Parameters
    ----------
    examples : int
        Number of images; classes are drawn uniformly.
    classes, channels, size : int
        Number of classes, of channels, and pixels along a side.
    noise : float
        Standard deviation of the noise added to every pixel; templates have mean square 1.
    shift : int
        Cyclic shifts are uniform in {-shift..shift} along both axes.
    seed : int or numpy.random.Generator
    templates : ndarray, shape (classes, size, size, channels), optional
        Those of another draw, for test images of the same classes.

    Returns
    -------
    images : ndarray of float32, shape (examples, size, size, channels)
    labels : ndarray of int64, shape (examples,)
    templates : ndarray of float32

    Notes
    -----
    A template is a random sum of the four lowest cyclic frequencies along each axis.
    """
    count = check_positive_int(examples, "examples")
    rng = np.random.default_rng(seed)
    if templates is None:
        angle = 2.0 * np.pi * np.arange(size) / size
        waves = np.stack([np.ones(size), np.cos(angle), np.sin(angle), np.cos(2 * angle)])
        amplitude = rng.standard_normal((classes, 4, 4, channels))
        smooth = np.einsum("cijk,ix,jy->cxyk", amplitude, waves, waves)
        smooth /= np.sqrt((smooth**2).mean(axis=(1, 2, 3), keepdims=True))
        templates = smooth.astype(np.float32)
    labels = rng.integers(0, len(templates), count)
    rows, columns = rng.integers(-shift, shift + 1, (2, count))
    place = np.arange(size)
    down = (place[None, :] - rows[:, None]) % size
    right = (place[None, :] - columns[:, None]) % size
    clean = templates[labels[:, None, None], down[:, :, None], right[:, None, :]]
    images = clean + check_positive_float(noise, "noise") * rng.standard_normal(clean.shape)
    return images.astype(np.float32), labels, templates


class ConvClassifier:
    """The network as a function of its weights; see the module.

    Parameters
    ----------
    width : float
        Width factor w: ``4 w`` and ``8 w`` filters, rounded, at least one.
    classes, channels, size : int
        As in :func:`template_images`; `size` even.
    """

    def __init__(self, width: float, *, classes: int = 10, channels: int = 3, size: int = 8) -> None:
        factor = check_positive_float(width, "width")
        self.filters = (max(1, round(4 * factor)), max(1, round(8 * factor)))
        self.classes = check_positive_int(classes, "classes")
        self.channels = check_positive_int(channels, "channels")
        self.size = check_positive_int(size, "size")
        if self.size % 2:
            raise ValueError(f"size: must be even, got {size}")

    def initial(self, seed: int | np.random.Generator = 0, dtype: npt.DTypeLike = np.float32) -> Weights:
        """Weights N(0, 2 / fan-in) of the convolutions, N(0, 1 / fan-in) of the readout, zero biases.

        Returns
        -------
        tuple of ndarray
            Filters (9 * channels, filters), biases, filters, biases, readout, biases.
        """
        rng = np.random.default_rng(seed)
        pooled = self.filters[1] * (self.size // 2) ** 2
        shapes = [
            (_PATCH**2 * self.channels, self.filters[0]),
            (_PATCH**2 * self.filters[0], self.filters[1]),
            (pooled, self.classes),
        ]
        weights: list[Array] = []
        for (rows, columns), gain in zip(shapes, (2.0, 2.0, 1.0), strict=True):
            weights.append((np.sqrt(gain / rows) * rng.standard_normal((rows, columns))).astype(dtype))
            weights.append(np.zeros(columns, dtype=dtype))
        return tuple(weights)

    def scores(self, weights: Weights, images: Array) -> Array:
        """Class scores, shape (examples, classes)."""
        return self._forward(weights, images)[-1]

    def errors(self, weights: Weights, images: Array, labels: IntArray) -> float:
        """Share of images that are classified wrongly."""
        return float((self.scores(weights, images).argmax(axis=1) != labels).mean())

    def loss(self, weights: Weights, images: Array, labels: IntArray) -> float:
        """Mean cross-entropy."""
        scores = self.scores(weights, images)
        top = scores.max(axis=1, keepdims=True)
        total = top[:, 0] + np.log(np.exp(scores - top).sum(axis=1))
        return float((total - scores[np.arange(len(labels)), labels]).mean())

    def gradient(self, weights: Weights, images: Array, labels: IntArray) -> Weights:
        """Gradient of the mean cross-entropy, of the shapes of the weights."""
        patches, first, again, second, pooled, scores = self._forward(weights, images)
        n, half = len(images), self.size // 2
        delta = np.exp(scores - scores.max(axis=1, keepdims=True))
        delta /= delta.sum(axis=1, keepdims=True)
        delta[np.arange(n), labels] -= 1.0
        delta /= n
        to_readout, to_scores = pooled.T @ delta, delta.sum(axis=0)
        spread = (delta @ weights[4].T).reshape(n, half, 1, half, 1, -1) * np.asarray(0.25, delta.dtype)
        grid = np.broadcast_to(spread, (n, half, 2, half, 2, self.filters[1]))
        delta = grid.reshape(second.shape) * (second > 0)
        flat = delta.reshape(-1, self.filters[1])
        to_second, to_second_bias = again.T @ flat, flat.sum(axis=0)
        # The adjoint of a convolution is one with the filters turned around and channels exchanged.
        turned = weights[2].reshape(_PATCH, _PATCH, self.filters[0], self.filters[1])[::-1, ::-1]
        turned = turned.transpose(0, 1, 3, 2).reshape(-1, self.filters[0])
        delta = (_patches(delta) @ turned).reshape(first.shape) * (first > 0)
        flat = delta.reshape(-1, self.filters[0])
        return (patches.T @ flat, flat.sum(axis=0), to_second, to_second_bias, to_readout, to_scores)

    def _forward(self, weights: Weights, images: Array) -> tuple[Array, ...]:
        """Patches, hidden layer, its patches, second hidden layer, pooled, scores."""
        if images.ndim != 4 or images.shape[1:] != (self.size, self.size, self.channels):
            raise ValueError(
                f"images: shape (n, {self.size}, {self.size}, {self.channels}) is needed, got {images.shape}"
            )
        n, side = len(images), self.size
        patches = _patches(images)
        first = np.maximum(patches @ weights[0] + weights[1], 0).reshape(n, side, side, -1)
        again = _patches(first)
        second = np.maximum(again @ weights[2] + weights[3], 0).reshape(n, side, side, -1)
        pooled = second.reshape(n, side // 2, 2, side // 2, 2, -1).mean(axis=(2, 4)).reshape(n, -1)
        return patches, first, again, second, pooled, pooled @ weights[4] + weights[5]


def _patches(fields: Array) -> Array:
    """3x3 patches with zero padding as rows: (n, side, side, c) -> (n side^2, 9 c)."""
    n, side = fields.shape[:2]
    padded = np.pad(fields, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (_PATCH, _PATCH), axis=(1, 2))
    return np.ascontiguousarray(windows.transpose(0, 1, 2, 4, 5, 3)).reshape(n * side * side, -1)
