"""``lazygram reproduce``: a published figure at full size, checked against expected numbers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape

from lazygram.cli.console import (
    EXIT_INTERRUPTED,
    EXIT_NOT_MET,
    CommandFailed,
    ProgressLine,
    new_console,
    new_table,
)
from lazygram.cli.params import Integers
from lazygram.experiments import REGISTRY, ExperimentResult, get_experiment
from lazygram.plotting import require_matplotlib

__all__ = ["reproduce"]


@click.command()
@click.argument("experiment", required=False, metavar="EXPERIMENT")
@click.option("--quick", is_flag=True, help="A smaller size with expected numbers of its own.")
@click.option("--out", metavar="DIR", help="Folder of the results.  [default: runs/EXPERIMENT]")
@click.option("--width", "widths", type=Integers(), help="Widths m, as in 1000,2000.")
@click.option("--step-size", type=click.FloatRange(0, min_open=True), help="eta.")
@click.option("--steps", type=click.IntRange(1), help="Epochs of gradient descent.")
@click.option("--seed", "seeds", type=Integers(), help="Seeds; curves are their mean.")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), help="Precision.")
@click.option("--list", "list_only", is_flag=True, help="List the experiments and stop.")
@click.pass_context
def reproduce(
    context: click.Context,
    /,
    experiment: str | None,
    quick: bool,
    out: str | None,
    list_only: bool,
    **overrides: Any,
) -> None:
    """Reproduce a published figure and check it against expected numbers.

    Writes data.npz, results.json, figure.png and figure.svg. Finished parts are kept: after Ctrl-C
    the same command goes on where it stopped.

    \b
    Examples:
      lazygram reproduce --list
      lazygram reproduce fig2.1
      lazygram reproduce fig2.1 --quick --out results
      lazygram reproduce fig2.1 --step-size 0.1 --width 1000,2000

    Exit codes: 0 every expectation met, 1 not all met, 2 bad input, 130 Ctrl-C.
    """
    console = new_console()
    if list_only:
        for entry in REGISTRY.values():
            console.print(f"{entry.id}  {entry.title} ({entry.source})", markup=False)
        return
    if experiment is None:
        raise click.UsageError(f"name an experiment: {', '.join(REGISTRY)}")
    require_matplotlib()  # before the work, not after it
    chosen = get_experiment(experiment)
    given = {name: value for name, value in overrides.items() if value is not None}
    parameters = chosen.parameters(quick, given)
    folder = Path("runs") / f"{chosen.id}{'-quick' if quick else ''}" if out is None else Path(out)
    folder.mkdir(parents=True, exist_ok=True)

    console.print(f"{chosen.id}  {chosen.title}", style="bold", markup=False)
    console.print(f"        {chosen.source}", markup=False)
    began = time.perf_counter()
    try:
        with ProgressLine(console, chosen.id) as line:
            result = chosen.run(parameters, folder, lambda text, done: line.show(text, done))
    except KeyboardInterrupt:
        raise CommandFailed(
            f"interrupted; finished parts are in {folder}, the same command goes on from there",
            EXIT_INTERRUPTED,
        ) from None
    written = chosen.save(result, folder)
    _print(console, result)
    console.print(f"{time.perf_counter() - began:.1f} s", markup=False)
    console.print(f"written  {folder}: {', '.join(path.name for path in written)}", markup=False)
    context.exit(0 if result.passed else EXIT_NOT_MET)


def _print(console: Console, result: ExperimentResult) -> None:
    """Print expectations beside measurements, and the notes."""
    table = new_table("", "quantity", "expected", "measured", "expectation from")
    for row in result.rows:
        word = "[green]PASS[/green]" if row.passed else "[bold red]FAIL[/bold red]"
        texts = (row.name, row.expected, row.measured, row.source)
        table.add_row(word, *(escape(text) for text in texts))  # "[%]" is no markup
    console.print()
    console.print(table)
    console.print()
    for note in result.notes:
        console.print(f"note: {note}", markup=False)
    failed = sum(not row.passed for row in result.rows)
    verdict = "all met" if failed == 0 else f"{failed} not met"
    console.print(f"{len(result.rows)} expectations, {verdict}", style="bold", markup=False)
