"""Reader of the IDX files in which MNIST and its relatives come, plain or gzipped."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

from lazygram.data.pool import Pool

__all__ = ["find_idx", "mnist_pool", "read_idx"]

_CHUNK = 1 << 24  # bytes read at once
# Third byte of the magic number; IDX numbers are big-endian.
_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Read one IDX file (uncompressed, or gzipped if its name ends in .gz).

    The format: two zero bytes, a byte for the type of the numbers, a byte for the number of
    axes, the axes' lengths as big-endian 32-bit integers, then the numbers, big-endian, last axis
    fastest.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    ndarray
        Of the shape and type that the file states, in the machine's byte order.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is not an IDX file, is shorter or longer than its header says, or is damaged; the
        message names `path`.
    """
    name = os.fspath(path)
    try:
        with _open(Path(path)) as handle:
            return _read(handle, name)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{name}: damaged or truncated gzip file: {error}") from error


def _open(path: Path) -> IO[bytes]:
    """Open for reading, through gzip where the name says so."""
    if path.suffix == ".gz":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    return path.open("rb")


def _read(handle: IO[bytes], name: str) -> npt.NDArray[Any]:
    """Parse header and numbers of an open IDX file."""
    magic = handle.read(4)
    if len(magic) < 4:
        raise ValueError(f"{name}: truncated: {len(magic)} bytes, an IDX file has at least 4")
    if magic[:2] != b"\0\0" or magic[2] not in _DTYPES:
        raise ValueError(
            f"{name}: not an IDX file: its magic number is 0x{magic.hex()}, expected 0x0000TTNN "
            f"with type TT one of {', '.join(f'{code:02x}' for code in _DTYPES)}"
        )
    dtype, axes = np.dtype(_DTYPES[magic[2]]), magic[3]
    if axes == 0:
        raise ValueError(f"{name}: not an IDX array: its header states no axes")
    header = handle.read(4 * axes)
    if len(header) < 4 * axes:
        raise ValueError(f"{name}: truncated: the header ends before its {axes} axis lengths")
    shape = struct.unpack(f">{axes}I", header)
    expected = math.prod(shape) * dtype.itemsize
    body = _read_up_to(handle, expected + 1)  # one byte more, to see a longer file
    if len(body) < expected:
        raise ValueError(
            f"{name}: truncated: shape {shape} needs {expected} bytes of data, found {len(body)}"
        )
    if len(body) > expected:
        raise ValueError(f"{name}: has more data than its shape {shape} ({expected} bytes)")
    flat = np.frombuffer(body, dtype=dtype, count=math.prod(shape))
    return flat.reshape(shape).astype(dtype.newbyteorder("="))


def _read_up_to(handle: IO[bytes], size: int) -> bytearray:
    """Read `size` bytes or to the end, never reserving memory that a forged header asks for."""
    body = bytearray()
    while len(body) < size and (chunk := handle.read(min(size - len(body), _CHUNK))):
        body += chunk
    return body


def mnist_pool(folder: str | os.PathLike[str]) -> Pool:
    """Read MNIST, or a data set in its format, from a folder of IDX files.

    Wanted are ``train-images-idx3-ubyte`` and ``train-labels-idx1-ubyte``; if there is also
    ``t10k-images-idx3-ubyte`` with its labels it becomes the test part. Names with a dot
    (``train-images.idx3-ubyte``) and gzipped files (``.gz`` appended) are found too.

    Parameters
    ----------
    folder : path-like
        The folder.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If the folder or one of its files is missing; the message lists the names looked for.
    ValueError
        If a file is damaged or images and labels do not belong together.
    """
    place = Path(folder)
    if not place.exists():
        raise FileNotFoundError(f"{place}: no such folder")
    if not place.is_dir():
        raise NotADirectoryError(f"{place}: not a folder; mnist-idx wants the folder of IDX files")
    X, y = _part(place, "train")
    X_test, y_test = None, None
    if _find(place, "t10k-images", 3) or _find(place, "t10k-labels", 1):
        X_test, y_test = _part(place, "t10k")
        if X_test.shape[1] != X.shape[1]:
            raise ValueError(f"{place}: test images have {X_test.shape[1]} pixels, train images {X.shape[1]}")
    return Pool.whole(
        X,
        y,
        name=place.resolve().name or "mnist",
        description=f"IDX images of {place.resolve().name}",
        default_task="classes",
        X_test=X_test,
        y_test=y_test,
    )


def _names(stem: str, axes: int) -> list[str]:
    """List the names under which a file is looked for."""
    plain = [f"{stem}-idx{axes}-ubyte", f"{stem}.idx{axes}-ubyte"]
    return plain + [f"{name}.gz" for name in plain]


def _find(place: Path, stem: str, axes: int) -> Path | None:
    """Find a file under one of its names."""
    found = (place / name for name in _names(stem, axes))
    return next((path for path in found if path.is_file()), None)


def find_idx(place: Path, stem: str, axes: int) -> Path:
    """Find a file of a folder under one of its names.

    Raises
    ------
    FileNotFoundError
        If it has none of them; the message lists them.
    """
    path = _find(place, stem, axes)
    if path is None:
        raise FileNotFoundError(f"{place}: has none of {', '.join(_names(stem, axes))}")
    return path


def _part(place: Path, part: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Read images (as rows of pixels) and labels of one part, "train" or "t10k"."""
    found = []
    for stem, axes in ((f"{part}-images", 3), (f"{part}-labels", 1)):
        path = find_idx(place, stem, axes)
        array = read_idx(path)
        if array.ndim != axes:
            raise ValueError(f"{path}: has {array.ndim} axes, expected {axes}")
        if array.size == 0:
            raise ValueError(f"{path}: holds no examples (shape {array.shape})")
        found.append(array)
    images, labels = found
    if len(images) != len(labels):
        raise ValueError(f"{place}: {len(images)} {part} images but {len(labels)} labels")
    return images.reshape(len(images), -1), labels
