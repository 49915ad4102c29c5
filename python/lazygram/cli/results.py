"""What a training run leaves: history, summary, figure, weights, and theory against measurement."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console

import lazygram
from lazygram.analysis import (
    FrozenDynamics,
    TheoryRow,
    eigenvalues,
    theory_report,
    two_layer_quantities,
)
from lazygram.cli.console import new_table, number
from lazygram.cli.figure import run_figure
from lazygram.data import Dataset
from lazygram.files import write_json, write_npz
from lazygram.gram import gram_infinite
from lazygram.networks.two_layer import TwoLayerReLU
from lazygram.plotting import save_figure
from lazygram.training.result import Run

__all__ = ["Reference", "accuracy", "print_report", "write_results"]

Float64Array = npt.NDArray[np.float64]
# Rows of the theory report that the short table leaves out, by a word of their name or source.
_LONG_ONLY = (
    "order",
    "loose",
    "(proof)",
    "Markov",
    "entries",
    "this width",
    "measured distance",
    "bounded distance",
)


@dataclass(frozen=True)
class Reference:
    """Gram matrices that a run is compared with, made before it starts.

    `gram_infinite` belongs to the layers that are trained; `gram_initial` is H(0) of the first
    layer, None when both layers are trained. `first_infinite` is H_inf in either case.
    """

    gram_infinite: Float64Array
    gram_initial: Float64Array | None
    first_infinite: Float64Array
    lambda_0: float
    lambda_max: float

    @classmethod
    def of(
        cls, network: TwoLayerReLU, data: Dataset, layers: str, threads: int | None, *, initial_from_run: bool
    ) -> Reference:
        """Compute them for a network that has not been trained yet.

        With `initial_from_run` H(0) is left to the run, whose forward pass gives it: see :meth:`after`.
        """
        first = np.asarray(gram_infinite(data.X, threads=threads), dtype=np.float64)
        limit, initial = first, None
        if layers == "both":
            limit = np.asarray(gram_infinite(data.X, trained="both", threads=threads))
        elif not initial_from_run:
            initial = network.gram(data.X, threads=threads)
        values = eigenvalues(first)
        return cls(limit, initial, first, float(values[0]), float(values[-1]))

    def after(self, run: Run) -> Reference:
        """With the H(0) that an event-driven run leaves."""
        if run.event is None or run.event.gram_0 is None:
            return self
        return dataclasses.replace(self, gram_initial=run.event.gram_0)


def write_results(
    run: Run,
    folder: Path,
    console: Console,
    *,
    data: Dataset,
    reference: Reference,
    settings: Mapping[str, Any],
    save_weights: bool,
    full_report: bool,
) -> None:
    """Write the files of a run, whole or not at all each, and print the report.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    flow = run.summary["method"] in ("flow", "event-flow")
    frozen = _frozen_losses(run, data, reference)
    rows = _theory(run, data, reference, flow)
    run.save(folder / "history.npz")
    if frozen:
        write_npz(folder / "predicted.npz", {"step": run.history["step"], **frozen})
    summary = {
        "lazygram": lazygram.__version__,
        "run": run.summary,
        "data": {"name": data.name, "description": data.description, "task": data.task},
        "settings": settings,
        "lambda_0": reference.lambda_0,
        "lambda_max": reference.lambda_max,
        "test_accuracy": accuracy(run, data),
        "theory": [dataclasses.asdict(row) for row in rows],
        "isa": lazygram.config()["isa_used"],
    }
    write_json(folder / "summary.json", summary)
    if save_weights and run.network is not None:
        weights = {"W": run.network.weights(), "a": run.network.signs}
        write_npz(folder / "weights.npz", weights)
    labels = {
        "frozen_loss_infinite": r"predicted, frozen $H^\infty$"
        if _first_layer(run)
        else "predicted, frozen infinite-width NTK",
        "frozen_loss_initial": r"predicted, frozen $H(0)$",
    }
    figure = run_figure(
        run.history,
        f"{data.name}: n = {run.summary['n']}, d = {run.summary['dim']}, "
        f"m = {run.summary['width']}, {run.summary['method']}, "
        f"step size {run.summary['step_size']:.3g}",
        lambda_0=reference.lambda_0,
        frozen={labels[name]: curve for name, curve in frozen.items()},
        time=flow,
    )
    save_figure(figure, folder / "figure")
    _print(run, folder, console, data, rows, full_report)


def _first_layer(run: Run) -> bool:
    """Whether only the first layer was trained, as in the text."""
    return bool(run.summary["layers"] == "first")


def _frozen_losses(run: Run, data: Dataset, reference: Reference) -> dict[str, Float64Array]:
    """Losses that constant Gram matrices predict at the recorded steps (quadratic loss only)."""
    if run.summary["loss"] != "quadratic" or run.summary["batch_size"] is not None:
        return {}
    start = run.history["predictions"][0]
    if not np.isfinite(start).all():
        return {}
    found = {}
    for name, gram in (
        ("frozen_loss_infinite", reference.gram_infinite),
        ("frozen_loss_initial", reference.gram_initial),
    ):
        if gram is None:
            continue
        dynamics = FrozenDynamics(gram, start, data.y)
        if run.summary["method"] in ("flow", "event-flow"):
            found[name] = dynamics.flow_loss(run.history["time"])
        else:
            found[name] = dynamics.gd_loss(run.summary["step_size"], run.history["step"])
    return found


def _theory(run: Run, data: Dataset, reference: Reference, flow: bool) -> list[TheoryRow]:
    """Compare with Chapter 2, whose setting is the quadratic loss, the first layer, full batches."""
    fits = run.summary["loss"] == "quadratic" and _first_layer(run)
    if not fits or run.summary["batch_size"] is not None or not np.isfinite(run.history["loss"][0]):
        return []
    quantities = two_layer_quantities(
        reference.first_infinite,
        width=run.summary["width"],
        residual_norm=float(np.sqrt(2.0 * run.history["loss"][0])),
        H_0=reference.gram_initial,
        y=data.y,
    )
    return theory_report(
        quantities,
        step_size=None if flow else run.summary["step_size"],
        history=run.history,
        flow=flow,
        dtype=np.dtype(run.summary["dtype"]),
    )


def accuracy(run: Run, data: Dataset) -> float | None:
    """Share of test examples with the right sign, for two classes."""
    if data.task != "classes" or data.y_test is None or "test_predictions" not in run.history:
        return None
    predictions = run.history["test_predictions"][-1]
    return float(np.mean(np.where(predictions >= 0, 1.0, -1.0) == data.y_test))


def _print(
    run: Run,
    folder: Path,
    console: Console,
    data: Dataset,
    rows: list[TheoryRow],
    full_report: bool,
) -> None:
    """Print result, theory against measurement, and where the files are."""
    summary = run.summary
    seconds = summary["elapsed_seconds"]
    console.print(
        f"result   loss {number(summary['initial_loss'])} -> {number(summary['final_loss'])} in "
        f"{summary['steps_done']} steps of {summary['step_size']:.4g}, {seconds:.1f} s",
        markup=False,
    )
    print_report(run, folder, console, data, rows, full_report)


def print_report(
    run: Run,
    folder: Path,
    console: Console,
    data: Dataset,
    rows: list[TheoryRow],
    full_report: bool,
) -> None:
    """Print test accuracy, theory against measurement, and where the files are."""
    share = accuracy(run, data)
    if share is not None and data.y_test is not None:
        right = round(share * len(data.y_test))
        console.print(f"test     {right} of {len(data.y_test)} right", markup=False)
    if rows:
        table = new_table(
            "theory", "source", "predicted", "measured", "holds", right=("predicted", "measured")
        )
        words = {True: "yes", False: "no", None: "-"}
        for row in rows:
            if full_report or not any(word in row.name + row.source for word in _LONG_ONLY):
                table.add_row(
                    row.condition,
                    row.source,
                    number(row.predicted),
                    number(row.measured),
                    words[row.holds],
                )
        console.print()
        console.print(table, markup=False)
        console.print(
            "The theorems' conditions are sufficient, not necessary: widths and step sizes that "
            "miss them by far\ncommonly behave as the theorems conclude.",
            style="dim",
        )
    console.print()
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    console.print(f"written  {folder}: {', '.join(names)}", markup=False)
