"""``lazygram reproduce``: published figures, tables and claims, checked against expected numbers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape

from lazygram.cli.console import (
    EXIT_INTERRUPTED,
    EXIT_NOT_MET,
    CommandFailed,
    ProgressBoard,
    new_console,
    new_table,
)
from lazygram.experiments import REGISTRY, Experiment
from lazygram.experiments.records import Record
from lazygram.experiments.report import find_records, write_report
from lazygram.experiments.runner import run_tasks
from lazygram.experiments.settings import parse_assignments
from lazygram.experiments.task import Task
from lazygram.plotting import require_matplotlib

__all__ = ["reproduce"]

_REPORT = "report.html"


@click.command()
@click.argument("experiments", nargs=-1, metavar="[ID|GLOB|all]...")
@click.option("--quick", is_flag=True, help="Smaller sizes with expected numbers of their own.")
@click.option("--out", metavar="DIR", help="Folder of the results.  [default: runs/full or runs/quick]")
@click.option("--jobs", type=click.IntRange(1), help="Experiments at a time.  [default: processors]")
@click.option("--force", is_flag=True, help="Run again what is finished already.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="[ID:]NAME=VALUE",
    help="Change a setting, as in step_size=0.1 or fig2.1:widths=1000,2000; may be repeated.",
)
@click.option("--list", "list_only", is_flag=True, help="List the experiments; with IDs, their settings.")
@click.pass_context
def reproduce(
    context: click.Context,
    /,
    experiments: tuple[str, ...],
    quick: bool,
    out: str | None,
    jobs: int | None,
    force: bool,
    assignments: tuple[str, ...],
    list_only: bool,
) -> None:
    """Reproduce published figures, tables and claims and check them against expected numbers.

    Writes data.npz, results.json, figure.png and figure.svg to DIR/ID, and one report over everything in
    DIR to DIR/report.html. What is finished with the same settings and version is not run again; after
    Ctrl-C the same command goes on where it stopped. An experiment that fails to run does not stop the
    others.

    \b
    Examples:
      lazygram reproduce --list
      lazygram reproduce fig2.1
      lazygram reproduce all --quick --jobs 2
      lazygram reproduce 'fig7.*' thm2 --out results
      lazygram reproduce fig2.1 --set step_size=0.1 --set widths=1000,2000
      lazygram reproduce fig2.1 --list

    Exit codes: 0 every expectation met, 1 not all met or an experiment failed to run, 2 bad input,
    130 Ctrl-C.
    """
    console = new_console()
    if list_only:
        _list(console, experiments)
        return
    if not experiments:
        raise click.UsageError(f"name an experiment, or all: {', '.join(REGISTRY)}")
    chosen = [REGISTRY[name] for name in REGISTRY.select(experiments)]
    changed = parse_assignments(assignments, chosen)
    require_matplotlib()  # before the work, not after it
    preset = "quick" if quick else "full"
    folder = Path("runs") / preset if out is None else Path(out)
    tasks = [
        Task(entry, entry.parameters(quick, changed[entry.id]), folder / entry.id, preset, changed[entry.id])
        for entry in chosen
    ]
    folder.mkdir(parents=True, exist_ok=True)
    records = _run(console, tasks, folder, jobs, force)
    if len(records) > 1:
        _print_summary(console, [records[entry.id] for entry in chosen])
    console.print(f"written  {folder}: {_REPORT}, one folder for each experiment", markup=False)
    context.exit(0 if all(record.verdict == "PASS" for record in records.values()) else EXIT_NOT_MET)


class _Watch:
    """Shows what the runner tells: progress on the board, a table for every experiment that ends."""

    def __init__(self, console: Console, board: ProgressBoard) -> None:
        self._console = console
        self._board = board
        self.records: dict[str, Record] = {}

    def started(self, task: Task) -> None:
        self._board.show(task.experiment.id, "starting", 0.0)

    def progressed(self, task: Task, message: str, done: float) -> None:
        self._board.show(task.experiment.id, message, done)

    def finished(self, task: Task, record: Record, reused: bool) -> None:
        self._board.end(record.id)
        self.records[record.id] = record
        _print_record(self._console, record, reused)
        self._console.file.flush()


def _run(
    console: Console, tasks: list[Task], folder: Path, jobs: int | None, force: bool
) -> dict[str, Record]:
    """Run the tasks and write the report, after Ctrl-C too."""
    with ProgressBoard(console, {task.experiment.id: task.seconds for task in tasks}) as board:
        watch = _Watch(console, board)
        try:
            run_tasks(tasks, watch, jobs=jobs, force=force)
        except KeyboardInterrupt:
            if watch.records:
                write_report(find_records(folder, list(REGISTRY)), folder / _REPORT)
            raise CommandFailed(
                f"interrupted; {len(watch.records)} of {len(tasks)} experiments are finished, other finished "
                f"parts are kept in {folder}; the same command goes on from there",
                EXIT_INTERRUPTED,
            ) from None
    write_report(find_records(folder, list(REGISTRY)), folder / _REPORT)
    return watch.records


def _list(console: Console, patterns: tuple[str, ...]) -> None:
    """Print a line for every experiment, and settings of those that are named."""
    names = REGISTRY.select(patterns) if patterns else list(REGISTRY)
    table = new_table("id", "title", "source", "full", "quick", right=("full", "quick"))
    for name in names:
        entry = REGISTRY[name]
        seconds = (_rough(entry.full_seconds), _rough(entry.quick_seconds))
        table.add_row(*map(escape, (entry.id, entry.title, entry.source, *seconds)))
    console.print(table)
    for name in names if patterns else []:
        _list_settings(console, REGISTRY[name])


def _list_settings(console: Console, entry: Experiment) -> None:
    """Print the settings of an experiment, as --set takes them."""
    table = new_table(f"{entry.id}: setting", "full", "quick", "")
    for setting in dataclasses.fields(entry.full):
        values = [_value(getattr(preset, setting.name)) for preset in (entry.full, entry.quick)]
        told = entry.inferred.get(setting.name)
        table.add_row(*map(escape, (setting.name, *values, f"not in the text: {told}" if told else "")))
    console.print()
    console.print(table)


def _value(value: Any) -> str:
    """Write a value as ``--set`` reads it."""
    if isinstance(value, tuple):
        return ",".join(f"({_value(item)})" if isinstance(item, tuple) else _value(item) for item in value)
    return str(value)


def _rough(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _print_record(console: Console, record: Record, reused: bool) -> None:
    """Print expectations beside measurements, notes, or the error."""
    console.print()
    console.print(f"{record.id}  {record.title}", style="bold", markup=False)
    console.print(f"        {record.source}", markup=False)
    if record.error:
        console.print(f"ERROR  {record.error}", style="bold red", markup=False)
        if record.traceback:
            console.print(f"       traceback: {record.folder / 'error.json'}", markup=False)
        return
    console.print(_rows_table(record))
    for note in record.notes:
        console.print(f"note: {note}", markup=False)
    for correction in record.corrections:
        console.print(f"correction to the text: {correction}", markup=False)
    when = f"from a run of {record.run.get('finished')} (--force runs it again)" if reused else ""
    time = when or f"{record.run.get('seconds', 0.0):.1f} s"
    console.print(f"{record.outcome}; {time}", style="bold", markup=False)


def _rows_table(record: Record) -> Any:
    table = new_table("", "quantity", "expected", "measured", "expectation from")
    for row in record.rows:
        word = "[green]PASS[/green]" if row.passed else "[bold red]FAIL[/bold red]"
        name = f"{row.name} ({row.note})" if row.note else row.name
        texts = (name, row.expected, row.measured, row.source)
        table.add_row(word, *(escape(text) for text in texts))  # "[%]" is no markup
    return table


def _print_summary(console: Console, records: list[Record]) -> None:
    """Print a line for every experiment."""
    table = new_table("", "id", "title", "outcome")
    styles = {"PASS": "green", "FAIL": "bold red", "ERROR": "bold red"}
    for record in records:
        word = f"[{styles[record.verdict]}]{record.verdict}[/]"
        table.add_row(word, *map(escape, (record.id, record.title, record.outcome)))
    console.print()
    console.print(table)
    counts = [f"{sum(r.verdict == word for r in records)} {word}" for word in styles]
    console.print(f"{len(records)} experiments: {', '.join(counts)}", style="bold", markup=False)
