"""What `train` gives back, and what it raises when a run ends early."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lazygram.arrays import Float64
from lazygram.files import read_npz, write_npz
from lazygram.networks.two_layer import TwoLayerReLU
from lazygram.training.events import EventState
from lazygram.training.history import History

__all__ = ["EventRun", "Run", "StepState", "TrainingFailed", "TrainingInterrupted"]


@dataclass(frozen=True)
class StepState:
    """What a callback sees at a recorded step."""

    step: int
    steps: int
    loss: float
    predictions: Float64
    values: dict[str, Any]
    """Everything recorded at this step, by name."""
    elapsed: float
    """Seconds since the run began, earlier parts of a resumed run included."""


@dataclass
class Run:
    """Result of :func:`train`."""

    history: History
    """Recorded quantities by name; the first axis is the recorded steps."""
    summary: dict[str, Any]
    """Plain facts about the run: method, sizes, step size, why it stopped, ..."""
    network: Any = field(default=None, repr=False)
    """The trained network; None after :meth:`load`. With "event" its weights are made when they are asked
    for, which costs a forward pass, and it is None where they would take more than half a gigabyte."""
    event: EventState | None = field(default=None, repr=False)
    """State of method "event" at the end: weights of any rows, H, patterns, distances."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write history and summary (not the weights) to an .npz file, whole or not at all."""
        write_npz(path, {**self.history, "summary": np.array(json.dumps(self.summary))})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Run:
        """Read a file that :meth:`save` wrote.

        Raises
        ------
        ValueError
            The file holds something else.
        """
        arrays = read_npz(path)
        if "summary" not in arrays:
            raise ValueError(f"{os.fspath(path)}: does not hold a run")
        summary = json.loads(str(arrays.pop("summary")))
        return cls(arrays, summary)


class EventRun(Run):
    """A run whose weights exist on request only."""

    _made: TwoLayerReLU | None = None

    @property
    def network(self) -> TwoLayerReLU | None:
        if self._made is None and self.event is not None:
            self._made = self.event.network()
        return self._made

    @network.setter
    def network(self, value: TwoLayerReLU | None) -> None:
        self._made = value


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C during :func:`train`; `run` holds everything recorded until then."""

    def __init__(self, run: Run) -> None:
        super().__init__(f"interrupted at step {run.summary['steps_done']}")
        self.run = run


class TrainingFailed(RuntimeError):
    """A callback or the trainer raised; `run` holds what was recorded, the cause is chained."""

    def __init__(self, message: str, run: Run) -> None:
        super().__init__(message)
        self.run = run
