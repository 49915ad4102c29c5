"""One experiment to run: with which settings, where to, and the run itself with its errors written down."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from lazygram.experiments.base import Experiment, Progress
from lazygram.experiments.records import ERROR_FILE, Record, load_record, run_facts, write_error

__all__ = ["Observer", "Task"]


@dataclass(frozen=True)
class Task:
    """One experiment to run.

    Attributes
    ----------
    experiment : Experiment
        Its functions must be importable by name, for it to reach another process.
    parameters : dataclass instance
        Settings of this run.
    folder : Path
        Where its files go.
    preset : {"full", "quick"}
        Where the settings started from.
    changed : mapping
        Those that differ from the preset on purpose.
    """

    experiment: Experiment
    parameters: Any
    folder: Path
    preset: str = "full"
    changed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Rough duration, for the order and for progress over all."""
        entry = self.experiment
        return entry.quick_seconds if self.preset == "quick" else entry.full_seconds

    def perform(self, progress: Progress, threads: int) -> None:
        """Run the experiment here and write its files, or the error that it raised; Ctrl-C passes through.

        `threads` is what it may use, for the record.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        try:
            result = self.experiment.run(self.parameters, self.folder, progress)
            facts = self._facts(time.perf_counter() - began, threads)
            self.experiment.save(result, self.folder, facts)
        except Exception as error:
            text = " ".join(f"{type(error).__name__}: {error}".split())
            self.failed(text, traceback.format_exc(), time.perf_counter() - began, threads)
        else:
            (self.folder / ERROR_FILE).unlink(missing_ok=True)

    def failed(self, error: str, trace: str, seconds: float, threads: int) -> None:
        """Write down that the experiment did not come to an end."""
        facts = self._facts(seconds, threads)
        write_error(self.experiment, self.parameters, self.folder, error, trace, facts)

    def record(self) -> Record:
        """Read what it left.

        Raises
        ------
        OSError
            If there is nothing.
        """
        record = load_record(self.folder)
        if record is None:
            raise OSError(f"{self.folder}: no results of {self.experiment.id}")
        return record

    def _facts(self, seconds: float, threads: int) -> dict[str, Any]:
        return run_facts(self.experiment, self.preset, self.changed, seconds, threads)


class Observer(Protocol):
    """Told what happens; every call comes from the thread that runs the tasks."""

    def started(self, task: Task) -> None:
        """An experiment began."""

    def progressed(self, task: Task, message: str, done: float) -> None:
        """What it is doing, and its share done in 0..1."""

    def finished(self, task: Task, record: Record, reused: bool) -> None:
        """It ended, well or with an error, or its results were there already."""
