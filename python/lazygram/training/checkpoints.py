"""Checkpoints: everything a run needs to go on as if it had not stopped, in one .npz file."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lazygram.arrays import Array
from lazygram.files import read_npz, write_npz
from lazygram.training.history import History

__all__ = ["Checkpoint", "checkpoint_setting", "fingerprint", "load_checkpoint", "save_checkpoint"]

_FORMAT = 1


@dataclass
class Checkpoint:
    """State of a run between two steps."""

    settings: dict[str, Any]
    """What must be the same to go on: network, data, loss, method, step size, ..."""
    step: int
    W: Array
    a: Array
    previous_bits: Array
    """Patterns at the last recorded step (for "flips"); shape (0, 0) when not recorded."""
    history: History
    elapsed: float
    engine: dict[str, Array] = field(default_factory=dict)
    """State of a trainer that has no weights (W and a are then empty)."""


def fingerprint(*arrays: Array) -> str:
    """Short hash of shapes, dtypes and contents."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def save_checkpoint(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Write `checkpoint`, whole or not at all."""
    meta = {
        "format": _FORMAT,
        "settings": checkpoint.settings,
        "step": checkpoint.step,
        "elapsed": checkpoint.elapsed,
    }
    arrays = {f"history/{name}": values for name, values in checkpoint.history.items()}
    arrays |= {f"engine/{name}": values for name, values in checkpoint.engine.items()}
    arrays |= {
        "meta": np.array(json.dumps(meta)),
        "W": checkpoint.W,
        "a": checkpoint.a,
        "previous_bits": checkpoint.previous_bits,
    }
    write_npz(path, arrays)


def load_checkpoint(path: str | os.PathLike[str], settings: dict[str, Any], steps: int) -> Checkpoint:
    """Read a checkpoint and see that it belongs to a run with these settings, and not beyond `steps`.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        Not a checkpoint, or one of another run (the message names the first setting that differs), or
        already past `steps`.
    """
    arrays = read_npz(path)
    where = os.fspath(path)
    if not {"meta", "W", "a", "previous_bits"} <= set(arrays):
        raise ValueError(f"resume: {where} is not a checkpoint of lazygram")
    meta = json.loads(str(arrays["meta"]))
    if meta["format"] != _FORMAT:
        raise ValueError(f"resume: {where} has format {meta['format']}, this version reads {_FORMAT}")
    for name, value in settings.items():
        if meta["settings"].get(name) != value:
            raise ValueError(
                f"resume: {where} belongs to another run: its {name} is "
                f"{meta['settings'].get(name)!r}, here it is {value!r}"
            )
    if meta["step"] > steps:
        raise ValueError(f"steps: the checkpoint is already at step {meta['step']}")
    history = _with_prefix(arrays, "history/")
    return Checkpoint(
        meta["settings"],
        meta["step"],
        arrays["W"],
        arrays["a"],
        arrays["previous_bits"],
        history,
        meta["elapsed"],
        _with_prefix(arrays, "engine/"),
    )


def checkpoint_setting(path: str | os.PathLike[str], name: str) -> Any:
    """One setting of the run that wrote a checkpoint; None where there is none.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        Not a checkpoint.
    """
    arrays = read_npz(path, only=("meta",))
    if "meta" not in arrays:
        raise ValueError(f"resume: {os.fspath(path)} is not a checkpoint of lazygram")
    return json.loads(str(arrays["meta"]))["settings"].get(name)


def _with_prefix(arrays: dict[str, Array], prefix: str) -> dict[str, Array]:
    return {k[len(prefix) :]: v for k, v in arrays.items() if k.startswith(prefix)}
