"""Finished parts of an experiment on disk, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lazygram._core import __version__
from lazygram.files import read_npz, write_npz

__all__ = ["PARTS", "Parts"]

Arrays = dict[str, npt.NDArray[Any]]
PARTS = "parts"  # subfolder of an experiment's folder
_KEY, _SECONDS = "key", "seconds"
_SHOWN = 4  # names in a note


class Parts:
    """Arrays of finished parts, found again if all that they depend on is unchanged.

    Parameters
    ----------
    folder : Path or None
        The experiment's folder; parts lie in its subfolder ``parts``. None keeps nothing.
    format : int, default 1
        Of the arrays; a change makes old files be computed again.

    Attributes
    ----------
    reused : list of str
        Names of the parts that were found.
    seconds : float
        What computing those took at the time.
    """

    def __init__(self, folder: Path | None, format: int = 1) -> None:
        self._folder = None if folder is None else folder / PARTS
        self._format = format
        self.reused: list[str] = []
        self.seconds = 0.0

    def get(
        self, name: str, settings: Mapping[str, Any], compute: Callable[[], Mapping[str, npt.ArrayLike]]
    ) -> Arrays:
        """Take a part from disk, or compute it and keep it.

        Parameters
        ----------
        name : str
            Name of the part and of its file.
        settings : mapping
            Everything the part depends on, fit for JSON. Together with the package's version and `format`
            it must equal what the file was made with.
        compute : callable
            Gives the arrays by name (``key`` and ``seconds`` are taken), when there is no such file or it is
            damaged.

        Returns
        -------
        dict of str to ndarray
        """
        key = json.dumps({"lazygram": __version__, "format": self._format, **settings}, sort_keys=True)
        file = None if self._folder is None else self._folder / f"{name}.npz"
        if file is not None and file.exists():
            try:
                found = read_npz(file)
            except ValueError:  # damaged: compute it again
                found = {}
            if str(found.pop(_KEY, "")) == key:
                self.reused.append(name)
                self.seconds += float(found.pop(_SECONDS, 0.0))
                return found
        began = time.perf_counter()
        arrays = {entry: np.asarray(value) for entry, value in compute().items()}
        if file is not None:
            write_npz(file, {**arrays, _KEY: key, _SECONDS: time.perf_counter() - began})
        return arrays

    def notes(self) -> list[str]:
        """A line for the reader, if parts were reused."""
        if not self.reused:
            return []
        shown = ", ".join(self.reused[:_SHOWN])
        more = f" and {len(self.reused) - _SHOWN} more" if len(self.reused) > _SHOWN else ""
        origin = f"an earlier, interrupted or equal run, {self.seconds:.1f} s of computing"
        return [f"Taken from {origin}: {shown}{more}."]
