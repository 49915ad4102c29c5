"""Files written whole or not at all, and read back without pickle."""

from __future__ import annotations

import json
import math
import os
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["atomic_path", "read_npz", "reading_error", "write_json", "write_npz", "write_text"]

_serial = count()


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path` that replaces it when the block succeeds.

    A reader sees the old file or the new one, never half of one: the temporary file lies in the
    same folder (so that the replacement is one rename) and is removed when the block raises, by
    Ctrl-C too.

    Parameters
    ----------
    path : path-like
        Where the file is to be. Missing parent folders are made.

    Yields
    ------
    pathlib.Path
        An existing, empty file with the same suffix as `path`, to be written by the caller.

    Raises
    ------
    OSError
        If the folder or the file cannot be written; its file name is `path`.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{target.stem}.{os.getpid()}.{next(_serial)}{target.suffix}"
    try:
        # os.open honours the umask (tempfile makes files that only their owner can read).
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        try:
            yield temporary
            with temporary.open("rb") as handle:
                os.fsync(handle.fileno())
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        # A full disk comes without a name, and nobody knows the temporary one.
        if error.errno is None or error.filename not in (None, os.fspath(temporary), temporary):
            raise
        raise OSError(error.errno, error.strerror, os.fspath(target)) from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` (UTF-8) to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all.

    NumPy scalars and arrays become numbers and lists; numbers that JSON does not have (NaN,
    infinities) become null, so that every JSON reader can open the file.
    """
    write_text(path, json.dumps(_plain(value), indent=2, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    """Reduce `value` to what JSON has."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_npz(path: str | os.PathLike[str], arrays: Mapping[str, Any]) -> None:
    """Write named arrays to an uncompressed .npz file, whole or not at all.

    Unlike :func:`numpy.savez` it never pickles, keeps the name `path` as it is, and gives the
    same bytes for the same arrays.

    Raises
    ------
    ValueError
        If an array has dtype object.
    """
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, value in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")  # carries a fixed date
            with archive.open(member, "w", force_zip64=True) as handle:
                np.lib.format.write_array(handle, np.asanyarray(value), allow_pickle=False)


def read_npz(
    path: str | os.PathLike[str], only: Collection[str] | None = None
) -> dict[str, np.ndarray[Any, Any]]:
    """Read the arrays of an .npz file, all or those named in `only`, never unpickling anything.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is not an .npz file, is damaged, or holds pickled objects; the message names `path`.
    """
    try:
        # Opened here: NumPy leaves a file open when it turns out not to be an archive.
        with open(path, "rb") as handle:
            loaded = np.load(handle, allow_pickle=False)
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                raise ValueError("it holds a single array (.npy), not named ones")
            with loaded as archive:
                return {name: archive[name] for name in archive.files if only is None or name in only}
    except (ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{os.fspath(path)}: not a readable .npz file: {reading_error(error)}") from error


def reading_error(error: Exception) -> str:
    """Say why NumPy could not read a file, without its advice to unpickle what it does not know."""
    return "it holds no arrays of numbers" if "pickle" in str(error) else str(error)
