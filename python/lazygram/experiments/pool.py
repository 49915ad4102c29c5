"""Processes that run experiments side by side: threads shared out, Ctrl-C passed on, crashes survived.

Each process takes one experiment after the other through a pipe and sends back messages:

    parent -> process    a pickled Task; nothing more (the pipe is closed) ends the process
    process -> parent    ("progress", message, done)  ("done",)  ("error", text, traceback)

Results travel as files. Processes are spawned, not forked: OpenMP and BLAS do not survive a fork, and read
their number of threads from the environment when they are loaded.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import time
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from types import FrameType, TracebackType
from typing import Any

from threadpoolctl import threadpool_limits

from lazygram.experiments.task import Observer, Task

__all__ = ["Pool"]

# Read by OpenMP and by the BLAS libraries of NumPy and SciPy when they are loaded.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")
_PROGRESS_SECONDS = 0.1  # between two messages of one experiment
_GRACE_SECONDS = 20.0  # for a process to come to a halt after Ctrl-C


class Pool:
    """Runs tasks in `size` processes of `threads` threads each; a context manager.

    Leaving the block ends the processes: quietly when they are idle; after Ctrl-C or another exception by
    SIGINT, and by force if they are not gone after a while or at a second Ctrl-C.
    """

    def __init__(self, size: int, threads: int) -> None:
        self._size = size
        self._threads = threads
        self._workers: list[_Worker] = []

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for worker in self._workers:
                worker.stop(interrupt=kind is not None)
            until = time.monotonic() + _GRACE_SECONDS
            for worker in self._workers:
                worker.process.join(max(0.0, until - time.monotonic()))
        finally:
            for worker in self._workers:
                worker.kill()

    def run(self, tasks: Sequence[Task], observer: Observer) -> None:
        """Run the tasks in this order; returns when all have ended."""
        queue = deque(tasks)
        while queue or any(worker.task for worker in self._workers):
            for worker in self._idle(len(queue)):
                self._begin(worker, queue.popleft(), observer)
            busy = {worker.connection: worker for worker in self._workers if worker.task}
            ready = wait(list(busy))
            for worker in [busy[connection] for connection in busy if connection in ready]:
                self._receive(worker, observer)

    def _idle(self, wanted: int) -> Iterator[_Worker]:
        """Up to `wanted` workers without a task, started if there are not enough yet."""
        idle = [worker for worker in self._workers if not worker.task]
        while len(idle) < wanted and len(self._workers) < self._size:
            worker = _Worker(self._threads)
            self._workers.append(worker)
            idle.append(worker)
        yield from idle[:wanted]

    def _begin(self, worker: _Worker, task: Task, observer: Observer) -> None:
        """Hand a task over; one with functions that another process cannot find has failed."""
        observer.started(task)
        try:
            request = pickle.dumps(task)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            task.failed(f"{type(error).__name__}: {error}", traceback.format_exc(), 0.0, self._threads)
            observer.finished(task, task.record(), False)
            return
        worker.begin(task, request)

    def _receive(self, worker: _Worker, observer: Observer) -> None:
        """Take one message; the end of a pipe means that the process died."""
        task = worker.running
        try:
            kind, *values = worker.connection.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            worker.kill()
            self._workers.remove(worker)
            task.failed(worker.cause_of_death(), "", worker.seconds, self._threads)
            observer.finished(task, task.record(), False)
            return
        if kind == "progress":
            observer.progressed(task, *values)
            return
        if kind == "error":  # it could not even begin
            task.failed(values[0], values[1], worker.seconds, self._threads)
        worker.task = None
        observer.finished(task, task.record(), False)


class _Worker:
    """A process, its pipe and what it is doing."""

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.task: Task | None = None
        self._began = 0.0
        self.process = context.Process(target=_serve, args=(theirs, threads), daemon=True)
        with _environment(threads), _sigint_blocked():
            self.process.start()
        theirs.close()

    @property
    def running(self) -> Task:
        """The task, which it must have."""
        assert self.task is not None
        return self.task

    @property
    def seconds(self) -> float:
        """Time since the task began."""
        return time.perf_counter() - self._began

    def begin(self, task: Task, request: bytes) -> None:
        """Give it a task, pickled."""
        self.task = task
        self._began = time.perf_counter()
        with contextlib.suppress(OSError):  # it died: the next message says so
            self.connection.send_bytes(request)

    def stop(self, interrupt: bool) -> None:
        """Ask the process to end: by closing the pipe, which an idle one waits for, and by SIGINT."""
        self.connection.close()
        if interrupt and self.process.is_alive() and self.process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        """End the process at once, if it has not ended."""
        self.connection.close()
        if self.process.is_alive():
            self.process.kill()
        self.process.join()

    def cause_of_death(self) -> str:
        """Why a process that should be running is not."""
        code = self.process.exitcode
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            hint = " (commonly: not enough memory)" if name == "SIGKILL" else ""
            return f"its process was ended by {name}{hint}"
        return f"its process ended with code {code}"


@contextlib.contextmanager
def _environment(threads: int) -> Iterator[None]:
    """Environment for processes with so many threads, taken back after the block."""
    wanted = dict.fromkeys(_THREADS, str(threads))
    # Waiting threads would take the processor from the other processes.
    wanted["OMP_WAIT_POLICY"] = "passive"
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Block Ctrl-C; a process started inside inherits that, and unblocks it when it can handle it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# --- in the process ------------------------------------------------------------------------------


def _interrupt_once(number: int, frame: FrameType | None) -> None:
    # Ctrl-C in a terminal reaches every process, and the parent passes its own on: one is enough.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _serve(connection: Connection[Any, Any], threads: int) -> None:
    """Run one task after the other until the pipe closes or Ctrl-C."""
    try:
        signal.signal(signal.SIGINT, _interrupt_once)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        with threadpool_limits(limits=threads):
            while True:
                connection.send(_answer(connection, connection.recv_bytes(), threads))
    except (KeyboardInterrupt, EOFError, OSError):
        return  # finished parts are on disk; the parent knows


def _answer(connection: Connection[Any, Any], request: bytes, threads: int) -> tuple[str, ...]:
    """Run one task and say how it ended."""
    shown = -_PROGRESS_SECONDS

    def tell(message: str, done: float) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown >= _PROGRESS_SECONDS:
            shown = now
            try:
                connection.send(("progress", message, done))
            except OSError:  # nobody listens any more: no fault of the experiment
                raise KeyboardInterrupt from None

    try:
        task: Task = pickle.loads(request)
        task.perform(tell, threads)
    except Exception as error:
        return "error", f"{type(error).__name__}: {error}", traceback.format_exc()
    return ("done",)
