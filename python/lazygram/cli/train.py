"""``lazygram train``: the main job, from a data set to history, report and figure."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from lazygram.cli.console import (
    ProgressLine,
    new_console,
    number,
    waiting,
)
from lazygram.cli.data_options import data_choice, data_options, default_folder
from lazygram.cli.memory import physical_memory, refuse_too_large, size_text, training_bytes
from lazygram.cli.outcome import run_to_end
from lazygram.cli.params import StepSize
from lazygram.cli.results import Reference, write_results
from lazygram.cli.train_deep import TWO_LAYER, deep_options, settle_two_layer, train_deep
from lazygram.networks.two_layer import TwoLayerReLU
from lazygram.plotting import require_matplotlib
from lazygram.training import METHODS, Run, StepState
from lazygram.training import train as train_network

__all__ = ["train"]

_LONG_PHASE = 1.0  # seconds after which a phase shows how far it is
_RECORDS = 100  # recorded steps when --record-every is not given


@click.command()
@data_options
@deep_options
@click.option(
    "--width",
    type=click.IntRange(1),
    help="Neurons m of a hidden layer.  [default: 16384; deep networks less]",
)
@click.option("--steps", type=click.IntRange(0), default=400, show_default=True, help="Steps of training.")
@click.option(
    "--step-size",
    type=StepSize(),
    metavar="NUMBER|auto",
    default="auto",
    show_default=True,
    help="eta; auto is half the largest stable one of the initial Gram matrix.",
)
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default=METHODS[0],
    show_default=True,
    help="How to train.",
)
@click.option(
    "--loss",
    type=click.Choice(["quadratic", "logistic", "hinge", "squared-hinge", "exponential"]),
    help="All but quadratic need labels +-1; the last three are for deep networks.  "
    "[default: quadratic; deep-relu: logistic]",
)
@click.option(
    "--layers",
    type=click.Choice(["first", "both"]),
    default="first",
    show_default=True,
    help="Layers that are trained; first is the text's.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float64"]),
    help="Precision of weights and pre-activations.  [default: float32, for flow float64]",
)
@click.option("--antisymmetric", is_flag=True, help="Start from f = 0: neurons in pairs of opposite sign.")
@click.option("--batch-size", type=click.IntRange(1), help="Examples of a step of sgd.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of network and data.")
@click.option(
    "--record-every",
    type=click.IntRange(1),
    help=f"Record every so many steps.  [default: about {_RECORDS} times]",
)
@click.option("--tolerance", type=click.FloatRange(0, min_open=True), help="Stop at this training loss.")
@click.option(
    "--checkpoint",
    metavar="FILE",
    help="Keep the state of the run here (written at the end and on Ctrl-C).",
)
@click.option("--checkpoint-every", type=click.IntRange(1), help="Also write it every so many steps.")
@click.option(
    "--resume",
    type=click.Path(exists=True, dir_okay=False),
    help="Go on from a checkpoint of a run with the same options.",
)
@click.option("--threads", type=click.IntRange(1), help="Threads (all by default).")
@click.option(
    "--out",
    metavar="DIR",
    help="Run folder.  [default: runs/DATA-mWIDTH-METHOD-seedSEED, numbered if it exists]",
)
@click.option("--overwrite", is_flag=True, help="Replace the results of another run in --out.")
@click.option("--save-weights", is_flag=True, help="Also write weights.npz (W and a).")
@click.option("--full-report", is_flag=True, help="Print every row of the theory report.")
@click.pass_context
def train(context: click.Context, /, **options: Any) -> None:
    """Train a wide network and compare what it did with the theory.

    Two-layer ReLU networks, or with --arch the texts' deep ones. Tracks Gram matrices, activation
    patterns and distances from the start; writes history.npz, summary.json and figure.png to the run
    folder and prints theory against measurement.

    \b
    Examples:
      lazygram train
      lazygram train --task regression --n 500 --width 32768
      lazygram train --data synthetic --n 200 --steps 100 --step-size 1
      lazygram train --data mnist-idx DIR --classes 0,1 --n 400 --n-test 200
      lazygram train --data points.csv --method sgd --batch-size 32 --steps 2000
      lazygram train --arch resnet --depth 4 --width 256
      lazygram train --arch deep-relu --loss hinge --step-size 0.002
      lazygram train --method event --width 1000000
      lazygram train --steps 2000 --checkpoint run.npz --checkpoint-every 100
      lazygram train --steps 2000 --checkpoint run.npz --resume run.npz

    Exit codes: 0 done, 2 bad input, 3 the loss diverged (history is kept), 130 Ctrl-C (history is
    kept).
    """
    require_matplotlib()  # before the work, not after it
    if options["arch"] != TWO_LAYER:
        return train_deep(context, options)
    settle_two_layer(context, options)
    settings = {name: value for name, value in options.items() if value is not None}
    choice = data_choice(options["seed"], options)
    _check(options)
    console = new_console()

    data = choice.load()
    d = data.X.shape[1]
    stem = f"{data.name}-m{options['width']}-{options['method']}-seed{options['seed']}"
    folder = default_folder(stem) if options["out"] is None else Path(options["out"])
    if (folder / "history.npz").exists() and not (options["overwrite"] or options["resume"]):
        raise click.UsageError(f"--out: {folder} already holds a run; give another folder or --overwrite")
    by_events = options["method"] in ("event", "event-flow")  # they plan, and refuse, by themselves
    need = training_bytes(len(data.X), d, options["width"], options["dtype"], matrices=4)
    if options["method"] not in ("event", "event-flow", "auto"):
        refuse_too_large(need, f"--n {len(data.X)} and --width {options['width']}")
    folder.mkdir(parents=True, exist_ok=True)  # now: a long run must not end with "not allowed"
    console.print(f"data     {data.description}", markup=False)
    network = TwoLayerReLU(
        options["width"],
        d,
        seed=options["seed"],
        dtype=options["dtype"],
        antisymmetric=options["antisymmetric"],
    )
    console.print(
        f"network  width {network.width}, {network.width * d:,} weights, {network.dtype}"
        + ("" if by_events else f", about {size_text(need)} of memory"),
        markup=False,
    )
    with waiting(console, "infinite-width and initial Gram matrix"):
        reference = Reference.of(
            network, data, options["layers"], options["threads"], initial_from_run=by_events
        )
    console.print(
        f"kernel   lambda_0 = {number(reference.lambda_0)}, lambda_max = {number(reference.lambda_max)}",
        markup=False,
    )

    def start() -> Run:
        with ProgressLine(console, "training") as line:
            return train_network(
                network,
                data.X,
                data.y,
                options["steps"],
                options["step_size"],
                loss=options["loss"],
                method=options["method"],
                layers=options["layers"],
                batch_size=options["batch_size"],
                seed=options["seed"],
                record_every=options["record_every"] or max(1, options["steps"] // _RECORDS),
                X_test=data.X_test,
                y_test=data.y_test,
                tolerance=options["tolerance"],
                callbacks=(_follow(line),),
                checkpoint=options["checkpoint"],
                checkpoint_every=options["checkpoint_every"],
                resume=options["resume"],
                threads=options["threads"],
                memory_limit=physical_memory(),
                progress=_inside(line),
            )

    def finish(run: Run) -> None:
        write_results(
            run,
            folder,
            console,
            data=data,
            reference=reference.after(run),
            settings=settings,
            save_weights=options["save_weights"],
            full_report=options["full_report"],
        )

    run_to_end(start, finish, folder)
    context.exit(0)


def _check(options: dict[str, Any]) -> None:
    """Refuse combinations of options that do not go together, and settle the dtype."""
    method = options["method"]
    if method == "sgd" and options["batch_size"] is None:
        raise click.UsageError("--method sgd needs --batch-size")
    if method not in ("sgd", "event") and options["batch_size"] is not None:
        raise click.UsageError(f"--batch-size is for --method sgd or event, not {method}")
    if options["dtype"] is None:
        options["dtype"] = "float64" if method == "flow" else "float32"
    if method == "flow" and options["dtype"] == "float32":
        raise click.UsageError("--method flow is integrated in double precision: --dtype float64")
    if options["checkpoint_every"] is not None and options["checkpoint"] is None:
        raise click.UsageError("--checkpoint-every needs --checkpoint FILE")
    if options["antisymmetric"] and options["width"] % 2:
        raise click.UsageError(f"--antisymmetric needs an even --width, got {options['width']}")


def _inside(line: ProgressLine) -> Callable[[str, float], None]:
    """Make a function that shows how far a long phase is: the forward pass, or a step that takes seconds."""
    last: dict[str, float] = {}

    def show(what: str, share: float) -> None:
        began = last.setdefault(what, time.monotonic())
        if time.monotonic() - began > _LONG_PHASE:
            line.show(f"{what}: {100 * share:.0f}%", 0.0 if what == "forward pass" else line.share)

    return show


def _follow(line: ProgressLine) -> Callable[[StepState], None]:
    """Make a callback that shows a recorded step."""

    def show(state: StepState) -> None:
        parts = [f"step {state.step}/{state.steps}", f"loss {state.loss:.4g}"]
        if "lambda_min" in state.values:
            parts.append(f"lambda_min {state.values['lambda_min']:.4g}")
        if "flips" in state.values:
            parts.append(f"flips {int(state.values['flips']):,}")
        done = state.step / state.steps if state.steps else 1.0
        line.show("  ".join(parts), done, last=state.step == state.steps)

    return show
