"""Runs experiments: which are finished already, which go first, here or in processes side by side."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from lazygram.arrays import check_positive_int
from lazygram.experiments.base import Progress
from lazygram.experiments.parts import PARTS
from lazygram.experiments.pool import Pool
from lazygram.experiments.records import is_finished
from lazygram.experiments.task import Observer, Task

__all__ = ["available_processors", "run_tasks"]


def available_processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_tasks(
    tasks: Sequence[Task], observer: Observer, *, jobs: int | None = None, force: bool = False
) -> None:
    """Run the experiments that are not finished; one that raises is written down and the others go on.

    Parameters
    ----------
    tasks : sequence of Task
        What to run; each with a folder of its own.
    observer : Observer
        Told what happens.
    jobs : int, optional
        Experiments at a time, each in a process that is held to its share of the processors' threads; a
        single one runs in this process with all of them. By default as many as there are processors.
    force : bool, default False
        Run finished ones again, and do not use finished parts.

    Raises
    ------
    KeyboardInterrupt
        At Ctrl-C, when all processes have ended. Finished experiments and parts are kept.
    ValueError
        If `jobs` is not positive.
    """
    processors = available_processors()
    most = processors if jobs is None else check_positive_int(jobs, "jobs")
    pending = []
    for task in tasks:
        if not force and is_finished(task.experiment, task.parameters, task.folder):
            observer.finished(task, task.record(), True)
            continue
        if force:
            shutil.rmtree(task.folder / PARTS, ignore_errors=True)
        pending.append(task)
    at_once = min(len(pending), most)
    if at_once > 1:
        # The long ones first: none of them is then left to run alone at the end.
        with Pool(at_once, max(1, processors // at_once)) as pool:
            pool.run(sorted(pending, key=lambda task: -task.seconds), observer)
        return
    for task in pending:
        observer.started(task)
        task.perform(_teller(task, observer), processors)
        observer.finished(task, task.record(), False)


def _teller(task: Task, observer: Observer) -> Progress:
    def show(message: str, done: float) -> None:
        observer.progressed(task, message, done)

    return show
