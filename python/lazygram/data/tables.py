"""Data sets from the user's own .npz, .npy and .csv files."""

from __future__ import annotations

import csv
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lazygram.data.pool import Pool
from lazygram.files import read_npz, reading_error

__all__ = ["SUFFIXES", "table_pool"]

SUFFIXES = (".npz", ".npy", ".csv")
_NPZ_KEYS = {"X", "y", "X_test", "y_test"}


def table_pool(
    path: str | os.PathLike[str],
    *,
    labels: str | os.PathLike[str] | None = None,
    label_column: str | None = None,
) -> Pool:
    """Read inputs and labels from a file.

    ========  =======================================================================
    ``.npz``  arrays ``X`` (n, d) and ``y`` (n,), optionally ``X_test`` and ``y_test``
    ``.npy``  one array (n, d + 1) whose last column is the label; with `labels`, all
              columns are inputs
    ``.csv``  comma-separated numbers; a first line that is not all numbers is a header; the
              label is the last column, or the one named `label_column`; with `labels`, all
              columns are inputs
    ========  =======================================================================

    Parameters
    ----------
    path : path-like
        The file; its suffix says what it is.
    labels : path-like, optional
        A .npy or .csv file with the labels alone, one per row. Not for .npz.
    label_column : str, optional
        Name of the label's column. Only for .csv with a header.

    Raises
    ------
    OSError
        If a file cannot be opened.
    ValueError
        If a file is not as said above; the message names the file, and the line in a .csv.
    """
    file = Path(path)
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{file}: unknown kind of file, expected one of {', '.join(SUFFIXES)}")
    if label_column is not None and suffix != ".csv":
        raise ValueError(f"label_column is for .csv files, and {file.name} is not one")
    if label_column is not None and labels is not None:
        raise ValueError("give labels or label_column, not both")
    X_test, y_test = None, None
    if suffix == ".npz":
        if labels is not None:
            raise ValueError("labels is for .npy and .csv files; an .npz file brings its own y")
        X, y, X_test, y_test = _from_npz(file)
    elif labels is not None:
        X, y = _table(file)[0], _vector(Path(labels))
        if len(X) != len(y):
            raise ValueError(f"{labels}: {len(y)} labels for {len(X)} rows of {file}")
    else:
        X, y = _split(*_table(file), label_column, file)
    return Pool.whole(
        X,
        y,
        name=file.stem,
        description=f"{file.name}",
        default_task="raw",
        X_test=X_test,
        y_test=y_test,
    )


def _from_npz(
    file: Path,
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any] | None, npt.NDArray[Any] | None]:
    """Take X, y and perhaps X_test, y_test out of an .npz file."""
    arrays = read_npz(file)
    for name in ("X", "y"):
        if name not in arrays:
            known = ", ".join(arrays) or "nothing"
            raise ValueError(f"{file}: has no array named {name} (it has {known})")
    if ("X_test" in arrays) != ("y_test" in arrays):
        raise ValueError(f"{file}: X_test and y_test come together or not at all")
    for name in _NPZ_KEYS & arrays.keys():
        _check_real(arrays[name], f"{file}: {name}")
        expected = 2 if name.startswith("X") else 1
        if expected == 1 and arrays[name].ndim == 2 and arrays[name].shape[1] == 1:
            arrays[name] = arrays[name][:, 0]
        if arrays[name].ndim != expected:
            raise ValueError(f"{file}: {name} must have {expected} axes, its shape is {arrays[name].shape}")
    for X, y in (("X", "y"), ("X_test", "y_test")):
        if X in arrays and len(arrays[X]) != len(arrays[y]):
            raise ValueError(f"{file}: {X} has {len(arrays[X])} rows but {y} {len(arrays[y])}")
    if "X_test" in arrays and arrays["X_test"].shape[1] != arrays["X"].shape[1]:
        raise ValueError(f"{file}: X_test has {arrays['X_test'].shape[1]} columns, X {arrays['X'].shape[1]}")
    return arrays["X"], arrays["y"], arrays.get("X_test"), arrays.get("y_test")


def _table(file: Path) -> tuple[npt.NDArray[Any], list[str] | None]:
    """Read a 2-D array and its column names (None where the file has none)."""
    suffix = file.suffix.lower()
    if suffix == ".csv":
        return _read_csv(file)
    if suffix != ".npy":
        raise ValueError(f"{file}: expected a .npy or .csv file")
    array = _read_npy(file)
    if array.ndim != 2:
        raise ValueError(f"{file}: must have 2 axes (examples, columns), has shape {array.shape}")
    return array, None


def _vector(file: Path) -> npt.NDArray[Any]:
    """Read labels: a 1-D .npy array, or one column of numbers."""
    if file.suffix.lower() == ".npy":
        array = _read_npy(file)
        if array.ndim == 1:
            return array
    array, _ = _table(file)
    if array.shape[1] != 1:
        raise ValueError(f"{file}: labels must be one column, found {array.shape[1]}")
    return array[:, 0]


def _split(
    table: npt.NDArray[Any], header: list[str] | None, label_column: str | None, file: Path
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Part a table into inputs and the label's column."""
    if table.shape[1] < 2:
        raise ValueError(f"{file}: needs at least one input column and one label column")
    column = table.shape[1] - 1
    if label_column is not None:
        if header is None:
            raise ValueError(f"label_column: {file} has no header line")
        if header.count(label_column) != 1:
            raise ValueError(
                f"label_column: {label_column!r} is not the name of one column of {file} "
                f"({', '.join(header)})"
            )
        column = header.index(label_column)
    return np.delete(table, column, axis=1), table[:, column]


def _read_npy(file: Path) -> npt.NDArray[Any]:
    """Read a .npy file without pickle."""
    try:
        with file.open("rb") as handle:
            array = np.load(handle, allow_pickle=False)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{file}: not a readable .npy file: {reading_error(error)}") from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{file}: is an .npz file under another name")
    _check_real(array, str(file))
    return array


def _check_real(array: npt.NDArray[Any], name: str) -> None:
    """Refuse arrays that are not of real numbers."""
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} must hold real numbers, its dtype is {array.dtype}")


def _read_csv(file: Path) -> tuple[npt.NDArray[Any], list[str] | None]:
    """Read comma-separated numbers, naming the line of the first fault."""
    header: list[str] | None = None
    rows: list[list[float]] = []
    width: int | None = None
    try:
        # utf-8-sig: spreadsheets put a byte-order mark first.
        with file.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.reader(handle)
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if width is not None and len(cells) != width:
                    raise ValueError(f"{file}, line {reader.line_num}: {len(cells)} columns, before {width}")
                try:
                    row = [float(cell) for cell in cells]
                except ValueError:
                    if width is None:
                        header = [cell.strip() for cell in cells]
                        width = len(cells)
                        continue
                    raise _bad_cell(cells, f"{file}, line {reader.line_num}") from None
                width = len(cells)
                rows.append(row)
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: not a text file: {error}") from error
    except csv.Error as error:
        raise ValueError(f"{file}: not a comma-separated file: {error}") from error
    if not rows:
        raise ValueError(f"{file}: holds no rows of numbers")
    return np.array(rows), header


def _bad_cell(cells: list[str], place: str) -> ValueError:
    """Make the error for the first cell that is no number."""
    for number, cell in enumerate(cells, start=1):
        try:
            float(cell)
        except ValueError:
            return ValueError(f"{place}: column {number} is {cell!r}, not a number")
    return ValueError(f"{place}: not a row of numbers")
