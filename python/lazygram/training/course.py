"""The course of one call of `train`: steps, records, checkpoints, and what is left when it ends."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from lazygram.arrays import Array, Float64
from lazygram.training.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from lazygram.training.history import Recorder
from lazygram.training.result import EventRun, Run, StepState, TrainingFailed, TrainingInterrupted

__all__ = ["Course", "CourseRequest", "Load", "Trainer"]

PathLike = str | os.PathLike[str]
# Gives the checkpoint to go on from, checked against the settings of the trainer; None: there is none.
Load = Callable[[], Checkpoint | None]


@dataclass
class CourseRequest:
    """What the course needs of the arguments of `train`, checked."""

    steps: int
    records: set[int]
    """Steps that are recorded."""
    tolerance: float | None
    callbacks: list[Callable[[Any], Any]]
    checkpoint: PathLike | None
    checkpoint_every: int | None
    resume: PathLike | None


class Trainer(ABC):
    """State of one method for one kind of network. `begin` comes first, then `look`, `advance` in turns."""

    recorder: Recorder
    facts: dict[str, Any]
    """For the summary of the run."""

    @property
    @abstractmethod
    def step(self) -> int:
        """Steps done."""

    @property
    @abstractmethod
    def last_step_size(self) -> float:
        """The step size that led here; at step 0 the first one."""

    @property
    @abstractmethod
    def predictions(self) -> Float64:
        """On the training examples, at this step."""

    @abstractmethod
    def begin(self, load: Load) -> None:
        """Initial state, or that of a checkpoint; also the reference of the recorder: step 0 in any case."""

    def look(self, recording: bool, new: bool) -> bool:
        """Whether the predictions of this step can be looked at; a method may need to be asked for them."""
        return True

    @abstractmethod
    def loss(self) -> float:
        """Of the predictions of this step."""

    @abstractmethod
    def record(self, loss: float) -> dict[str, Any]:
        """Append this step to the history; returns the values by name."""

    @abstractmethod
    def advance(self) -> None:
        """Go on by a step."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What a checkpoint must agree with. Asked for once a run: it hashes the data."""

    @abstractmethod
    def checkpoint_state(self) -> tuple[Array, Array, Mapping[str, Array]]:
        """W, a and whatever else determines the rest of the run."""

    @abstractmethod
    def summary(self) -> dict[str, Any]:
        """Plain facts about the request and its method."""

    @abstractmethod
    def finish(self) -> tuple[Any, Any]:
        """The trained network, or the state of event-driven descent, which can make it."""


class Course:
    """Steps of a trainer until the last one, or until something ends them."""

    def __init__(self, request: CourseRequest, trainer: Trainer) -> None:
        self.request = request
        self.trainer = trainer
        self.began = time.perf_counter()
        self.elapsed_before = 0.0
        trainer.begin(self._load)

    def run(self) -> Run:
        """All steps; history survives whatever ends them."""
        stopped, message = "steps", ""
        try:
            stopped, message = self._loop()
            self._save_checkpoint()
        except KeyboardInterrupt:
            message = f"interrupted after step {self.trainer.step}" + self._save_what_is_there()
            raise TrainingInterrupted(self._result("interrupted", message)) from None
        except Exception as error:
            message = f"failed after step {self.trainer.step}: {error}" + self._save_what_is_there()
            raise TrainingFailed(message, self._result("failed", message)) from error
        return self._result(stopped, message)

    def _loop(self) -> tuple[str, str]:
        # A resumed run has recorded its step already.
        seen = self.trainer.recorder.rows.get("step", [-1])[-1]
        while True:
            new = self.trainer.step != seen
            outcome = self._look(new)
            if outcome is not None:
                return outcome
            if new and self._checkpoint_due():
                self._save_checkpoint()
            if self.trainer.step == self.request.steps:
                return "steps", ""
            with np.errstate(over="ignore", invalid="ignore"):  # divergence is reported by `_look`
                self.trainer.advance()

    def _look(self, new: bool) -> tuple[str, str] | None:
        """Record a new step, and see whether the run is over."""
        request, trainer, step = self.request, self.trainer, self.trainer.step
        recording = step in request.records
        if not trainer.look(recording, new):
            return None
        loss = trainer.loss()
        # A loss that is known by its derivative alone has no value; then the predictions tell.
        diverged = not np.isfinite(loss) and not (
            np.isnan(loss) and bool(np.isfinite(trainer.predictions).all())
        )
        done = request.tolerance is not None and loss <= request.tolerance
        stop = False
        if new and (recording or diverged or done):
            stop = self._record(loss)
        if diverged:
            eta = trainer.last_step_size
            return "diverged", f"the loss is {loss} at step {step}: step size {eta:.6g} is too large"
        if done:
            return "tolerance", f"loss {loss:.6g} <= {request.tolerance:.6g} at step {step}"
        return ("callback", f"a callback asked to stop at step {step}") if stop else None

    def _record(self, loss: float) -> bool:
        """Record a step and show it to the callbacks; whether one of them asks to stop."""
        request, trainer = self.request, self.trainer
        values = trainer.record(loss)
        shown = {name: np.copy(x) if isinstance(x, np.ndarray) else x for name, x in values.items()}
        u = trainer.predictions.copy()
        state = StepState(trainer.step, request.steps, loss, u, shown, self._elapsed())
        wishes = [
            bool(callback(state)) for callback in request.callbacks
        ]  # each is called, whatever the others say
        return any(wishes)

    def _load(self) -> Checkpoint | None:
        if self.request.resume is None:
            return None
        loaded = load_checkpoint(self.request.resume, self._settings, self.request.steps)
        self.elapsed_before = loaded.elapsed
        return loaded

    @cached_property
    def _settings(self) -> dict[str, Any]:
        return self.trainer.settings()

    def _checkpoint_due(self) -> bool:
        every = self.request.checkpoint_every
        step = self.trainer.step
        return every is not None and step > 0 and step % every == 0

    def _save_what_is_there(self) -> str:
        """Checkpoint of a run that ended early; a failure to write it must not hide why, nor lose the run."""
        try:
            self._save_checkpoint()
        except OSError as error:
            return f"; no checkpoint was written: {error}"
        return ""

    def _save_checkpoint(self) -> None:
        if self.request.checkpoint is None:
            return
        trainer = self.trainer
        W, a, more = trainer.checkpoint_state()
        previous = trainer.recorder.previous
        save_checkpoint(
            self.request.checkpoint,
            Checkpoint(
                self._settings,
                trainer.step,
                W,
                a,
                np.empty((0, 0), np.uint64) if previous is None else previous.bits,
                trainer.recorder.history(),
                self._elapsed(),
                {**more, **trainer.recorder.spectrum_state()},
            ),
        )

    def _elapsed(self) -> float:
        return self.elapsed_before + time.perf_counter() - self.began

    def _result(self, stopped: str, message: str) -> Run:
        trainer = self.trainer
        history = trainer.recorder.history()
        losses = history.get("loss", np.empty(0))
        network, event = trainer.finish()
        summary = {
            **trainer.summary(),
            "steps": self.request.steps,
            "steps_done": trainer.step,
            "stopped": stopped,
            "message": message,
            "initial_loss": float(losses[0]) if losses.size else None,
            "final_loss": float(losses[-1]) if losses.size else None,
            "elapsed_seconds": self._elapsed(),
            **trainer.facts,
        }
        return Run(history, summary, network) if event is None else EventRun(history, summary, None, event)
