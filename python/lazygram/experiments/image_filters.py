"""SGD on one convolutional filter over patches of images: runs shared by Figures 6.3(c, d) and 6.4."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lazygram.arrays import Float64
from lazygram.experiments.base import Progress
from lazygram.problems.conv_filter import predict, sgd_pass
from lazygram.problems.image_patches import image_patches

__all__ = ["FilterRun", "PatchedImages", "start_around", "train_filters"]

_KEPT_BYTES = 1 << 28  # patches of smaller sets are made once
_BLOCK = 500  # images of which patches are made at once where they are not kept


@dataclass(frozen=True)
class FilterRun:
    """What SGD gave for filters of the same shape.

    Attributes
    ----------
    w : ndarray, shape (..., p)
        Learned filters.
    log_loss : ndarray, shape (..., epochs + 1)
        Relative loss: ln of ``mean (f(w) - y)^2 / (mean y)^2`` over all images.
    """

    w: Float64
    log_loss: Float64


class PatchedImages:
    """Patches of images, all kept where they are few, else made when they are needed.

    Parameters
    ----------
    images : ndarray, shape (n, height, width)
        Grey images.
    size : int
        Side of a patch.
    """

    def __init__(self, images: Float64, size: int) -> None:
        self._images, self._size = images, size
        self._patches: Float64 | None = None
        one = image_patches(images[:1], size)
        if one.nbytes * len(images) <= _KEPT_BYTES:
            self._patches = image_patches(images, size)

    def __len__(self) -> int:
        return len(self._images)

    def take(self, rows: npt.NDArray[np.int64]) -> Float64:
        """Patches of some images; shape (rows, k, p)."""
        if self._patches is not None:
            return np.asarray(self._patches[rows])
        return image_patches(self._images[rows], self._size)

    def batches(self, order: npt.NDArray[np.int64], size: int) -> Iterator[Float64]:
        """Patches of the images in this order, so many images at once; the last may be fewer."""
        for start in range(0, len(order), size):
            yield self.take(order[start : start + size])

    def predict(self, w: Float64) -> Float64:
        """f(w, Z) of every image for filters of shape (..., p); shape (..., n)."""
        blocks = self.batches(np.arange(len(self)), _BLOCK)
        return np.concatenate([predict(w, Z) for Z in blocks], axis=-1)


def start_around(w_star: Float64, distance: float, direction: Float64) -> Float64:
    """``w* + distance |w*| u``, u the unit vector of `direction`; shapes (..., p)."""
    norm = np.linalg.norm(w_star, axis=-1, keepdims=True)
    return np.asarray(w_star + distance * norm * direction / np.linalg.norm(direction))


def train_filters(
    patches: PatchedImages,
    w0: Float64,
    w_star: Float64,
    *,
    step_size: float,
    batch_size: int,
    epochs: int,
    rng: np.random.Generator,
    tell: Progress,
) -> FilterRun:
    """SGD with a fresh permutation per epoch; all filters see the same batches.

    Parameters
    ----------
    patches : PatchedImages
        Inputs.
    w0, w_star : ndarray, shape (..., p)
        Starts and teachers.
    step_size, batch_size, epochs
        Of SGD; a batch is so many images with all their patches.
    rng : numpy.random.Generator
        Of the permutations.
    tell : callable
        Progress.
    """
    labels = patches.predict(w_star)
    scale = labels.mean(axis=-1) ** 2
    w, curves = w0, []
    for epoch in range(epochs + 1):
        error = patches.predict(w) - labels
        curves.append(np.log(np.maximum((error**2).mean(axis=-1) / scale, np.finfo(np.float64).tiny)))
        if epoch < epochs:
            tell(f"epoch {epoch} of {epochs}", epoch / epochs)
            w = sgd_pass(w, w_star, patches.batches(rng.permutation(len(patches)), batch_size), step_size)
    return FilterRun(w, np.stack(curves, axis=-1))
