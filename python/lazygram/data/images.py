"""Grey images without labels: scikit-learn's digits, or an IDX file of MNIST's form."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lazygram.arrays import check_positive_int
from lazygram.data.digits import digits_pool
from lazygram.data.idx import find_idx, read_idx

__all__ = ["load_images"]


def load_images(
    source: str | os.PathLike[str] = "digits", n: int | None = None
) -> tuple[npt.NDArray[np.float64], str]:
    """Load images with values in [0, 1].

    Parameters
    ----------
    source : str or path-like
        ``"digits"`` (scikit-learn's 1797 images of 8 x 8), ``"mnist-idx:PATH"`` or just the path: an
        IDX file of unsigned bytes with three axes, or a folder that holds
        ``train-images-idx3-ubyte`` (names with a dot and gzipped files are found too). Labels are
        not needed.
    n : int, optional
        Only the first `n` images.

    Returns
    -------
    images : ndarray of float64, shape (n, height, width)
    name : str
        What they are, for figures.

    Raises
    ------
    OSError
        If the file is missing or cannot be read.
    ImportError
        If scikit-learn is needed and missing.
    ValueError
        If a file does not hold images, or has fewer than `n`; the message names it.
    """
    if n is not None:
        n = check_positive_int(n, "n")
    if os.fspath(source) == "digits":
        pool = digits_pool()
        images, largest, name = pool.X.reshape(-1, 8, 8), 16.0, "scikit-learn digits"
    else:
        place = Path(os.fspath(source).removeprefix("mnist-idx:"))
        if place.is_dir():
            place = find_idx(place, "train-images", 3)
        images, largest, name = read_idx(place), 255.0, f"IDX images of {place.resolve().parent.name}"
        if images.ndim != 3 or images.dtype != np.uint8 or images.size == 0:
            raise ValueError(
                f"{place}: images are bytes with three axes, this is {images.dtype} of shape {images.shape}"
            )
    if n is not None and n > len(images):
        raise ValueError(f"n: {n} images wanted, {os.fspath(source)} has {len(images)}")
    return images[:n].astype(np.float64) / largest, name
