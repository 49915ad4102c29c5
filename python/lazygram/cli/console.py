"""Output of the commands: texts, tables, and progress on a terminal or as plain lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

__all__ = [
    "EXIT_BAD_INPUT",
    "EXIT_DIVERGED",
    "EXIT_INTERRUPTED",
    "EXIT_NOT_MET",
    "CommandFailed",
    "ProgressBoard",
    "ProgressLine",
    "new_console",
    "new_table",
    "number",
    "waiting",
]

EXIT_NOT_MET = 1
EXIT_BAD_INPUT = 2
EXIT_DIVERGED = 3
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it

_PLAIN_WIDTH = 160  # of tables where there is no terminal to ask
# Plain lines of progress come after this share of the work or this time, whichever is first.
_PLAIN_SHARE, _PLAIN_SECONDS = 0.1, 20.0


class CommandFailed(Exception):
    """Ends a command with one line on stderr and an exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def new_console(*, stderr: bool = False) -> Console:
    """Console on the standard streams as they are now (they may have been replaced)."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PLAIN_WIDTH
    return Console(file=stream, width=width, highlight=False, soft_wrap=False, emoji=False)


def new_table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """Make a plain table, the columns named in `right` aligned to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table


def number(value: float | None) -> str:
    """Write a number for people; "-" where there is none."""
    if value is None or value != value:
        return "-"
    # A contraction factor of 1 - 1e-6 should not read "1".
    if 1e-12 < abs(value - 1.0) < 1e-3:
        return f"1 {'+' if value > 1 else '-'} {abs(value - 1.0):.2e}"
    return f"{value:.4g}"


class ProgressLine:
    """Progress of one long computation: a live bar on a terminal, else a line now and then.

    Use as a context manager; :meth:`show` gives the share done and a text.
    """

    def __init__(self, console: Console, label: str) -> None:
        self._console = console
        self._label = label
        self._live: Progress | None = None
        self._task: TaskID | None = None
        self._share = 0.0
        self._shown = (-float("inf"), -float("inf"), "")  # time, share and text of the last line

    def __enter__(self) -> ProgressLine:
        if self._console.is_terminal:
            self._live = _live_bars(self._console)
            self._live.start()
            self._task = self._live.add_task(self._label, total=1.0, state="")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    @property
    def share(self) -> float:
        """The share done that was shown last."""
        return self._share

    def show(self, text: str, done: float, *, last: bool = False) -> None:
        """Show `text` and the share `done` in 0..1; `last` prints a plain line in any case."""
        self._share = done
        if self._live is not None and self._task is not None:
            self._live.update(self._task, completed=done, state=text)
            return
        now = time.monotonic()
        when, share, before = self._shown
        due = last or now - when >= _PLAIN_SECONDS or done - share >= _PLAIN_SHARE - 1e-9
        if text == before or not due:
            return
        self._shown = (now, done, text)
        self._console.print(f"{self._label} {100 * done:3.0f}%  {text}", markup=False)
        self._console.file.flush()


class ProgressBoard:
    """Progress of several long computations, some at the same time, and of all together.

    Live bars on a terminal, one for all and one for each that is running; else a line for each now and then.
    Use as a context manager.

    Parameters
    ----------
    console : rich.console.Console
        Where to.
    weights : mapping of str to float
        What there is to do, and how much work each is.
    """

    def __init__(self, console: Console, weights: Mapping[str, float]) -> None:
        self._console = console
        self._weights = weights
        self._done = dict.fromkeys(weights, 0.0)
        self._when = dict.fromkeys(weights, time.monotonic())  # of the last plain line
        self._ended: set[str] = set()
        self._live: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._all: TaskID | None = None

    def __enter__(self) -> ProgressBoard:
        if self._console.is_terminal:
            self._live = _live_bars(self._console)
            self._live.start()
            self._all = self._live.add_task("all", total=1.0, state="")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    @property
    def share(self) -> float:
        """Share of everything that is done, in 0..1."""
        total = sum(self._weights.values())
        return sum(self._weights[name] * done for name, done in self._done.items()) / total if total else 1.0

    def show(self, name: str, text: str, done: float) -> None:
        """Say what `name` is doing, and the share of it that is done, in 0..1."""
        self._done[name] = done
        if self._live is not None:
            if name not in self._tasks:
                self._tasks[name] = self._live.add_task(name, total=1.0, state="")
            self._live.update(self._tasks[name], completed=done, state=text)
            self._show_all()
        elif time.monotonic() - self._when[name] >= _PLAIN_SECONDS:
            self._when[name] = time.monotonic()
            self._console.print(f"{name} {100 * done:3.0f}%  {text}", markup=False)
            self._console.file.flush()

    def end(self, name: str) -> None:
        """Take `name` off the board: it is done."""
        self._done[name] = 1.0
        self._ended.add(name)
        if self._live is not None:
            if name in self._tasks:
                self._live.remove_task(self._tasks.pop(name))
            self._show_all()

    def _show_all(self) -> None:
        if self._live is not None and self._all is not None:
            state = f"{len(self._ended)} of {len(self._weights)} done"
            self._live.update(self._all, completed=self.share, state=state)


def _live_bars(console: Console) -> Progress:
    """Bars that disappear when they are done."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[state]}"),
        console=console,
        transient=True,
    )


@contextmanager
def waiting(console: Console, text: str) -> Iterator[None]:
    """Show that something is under way which cannot say how far it is."""
    if console.is_terminal:
        with console.status(text):
            yield
    else:
        yield
