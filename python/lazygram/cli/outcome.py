"""How a training run ends for the shell: results are kept whatever happened, the exit code says what."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from lazygram.cli.console import EXIT_BAD_INPUT, EXIT_DIVERGED, EXIT_INTERRUPTED, CommandFailed
from lazygram.training import Run, TrainingFailed, TrainingInterrupted

__all__ = ["run_to_end"]


def run_to_end(start: Callable[[], Run], finish: Callable[[Run], None], folder: Path) -> None:
    """Train, then write and print what there is, after success and failure alike.

    Parameters
    ----------
    start : callable
        Trains and returns the run.
    finish : callable
        Writes and prints a run; called once, if anything was recorded.
    folder : Path
        The run folder, removed again if nothing came of it.

    Raises
    ------
    CommandFailed
        After an interruption, a divergence, or when files or memory gave out.
    """

    def keep(run: Run) -> None:
        if len(run.history.get("step", ())):
            finish(run)

    try:
        run = start()
    except TrainingInterrupted as stop:
        keep(stop.run)
        raise CommandFailed(
            f"{stop.run.summary['message']}; what was recorded is in {folder}", EXIT_INTERRUPTED
        ) from None
    except TrainingFailed as failure:
        keep(failure.run)
        if isinstance(failure.__cause__, (OSError, MemoryError)):
            raise CommandFailed(str(failure), EXIT_BAD_INPUT) from None
        raise
    finally:
        if not any(folder.iterdir()) and sys.exc_info()[0] is not None:
            folder.rmdir()  # nothing was recorded: leave no empty folder behind
    keep(run)
    if run.summary["stopped"] == "diverged":
        raise CommandFailed(
            f"diverged: {run.summary['message']}; what was recorded is in {folder}", EXIT_DIVERGED
        )
