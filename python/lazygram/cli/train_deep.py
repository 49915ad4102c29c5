"""``lazygram train --arch fc|resnet|conv-resnet|deep-relu``: the deep networks of the texts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np
from click.core import ParameterSource

from lazygram.cli.console import ProgressLine, new_console, number, waiting
from lazygram.cli.data_options import data_choice, default_folder
from lazygram.cli.deep_results import DeepReference, write_deep_results
from lazygram.cli.memory import refuse_too_large, size_text
from lazygram.cli.outcome import run_to_end
from lazygram.cli.params import Factors, ImageSize
from lazygram.data import Dataset
from lazygram.networks import (
    ConvResidualNetwork,
    DeepNetwork,
    DeepReLUNetwork,
    FullyConnectedNetwork,
    ResidualNetwork,
)
from lazygram.training import DecreasingStepSize, Run, StepState, train

__all__ = ["ARCHITECTURES", "TWO_LAYER", "deep_options", "settle_two_layer", "train_deep"]

F = TypeVar("F", bound=Callable[..., Any])

TWO_LAYER = "two-layer"
ARCHITECTURES = (TWO_LAYER, "fc", "resnet", "conv-resnet", "deep-relu")
# Recorded steps when --record-every is not given; Gram matrices of images cost more than steps.
_RECORDS = {"fc": 100, "resnet": 100, "conv-resnet": 20, "deep-relu": 100}
_ONLY_TWO_LAYER = ("layers", "antisymmetric")
_ONLY_DEEP = (
    "depth",
    "activation",
    "c_res",
    "image",
    "patch",
    "reduction",
    "decay",
    "decay_delay",
    "layer_step_sizes",
)
_METHODS = ("gd", "sgd", "flow")
_WIDTH = {TWO_LAYER: 16384, "fc": 512, "resnet": 512, "conv-resnet": 32, "deep-relu": 512}
_DEPTH = {"fc": 2, "resnet": 3, "conv-resnet": 2, "deep-relu": 3}
_EXAMPLES = {"fc": 100, "resnet": 100, "conv-resnet": 20, "deep-relu": 100}  # of the digits
_LOSSES = {"squared-hinge": "squared_hinge"}  # names here that differ from the library's


def deep_options(command: F) -> F:
    """Add the options of deep networks, `--arch` first."""
    options = [
        click.option(
            "--arch",
            type=click.Choice(ARCHITECTURES),
            default=TWO_LAYER,
            show_default=True,
            help="Network: two-layer ReLU, or one of the texts' deep ones.",
        ),
        click.option(
            "--depth", type=click.IntRange(1), help="Hidden layers H of a deep network.  [default: 2 or 3]"
        ),
        click.option("--activation", metavar="NAME", help="Of fc and the ResNets.  [default: softplus]"),
        click.option(
            "--c-res",
            type=click.FloatRange(0, min_open=True),
            help="Of the residual branches.  [default: 0.5]",
        ),
        click.option(
            "--image",
            type=ImageSize(),
            help="Inputs as images, for conv-resnet: [CHANNELSx]HEIGHTxWIDTH.  [default: a square]",
        ),
        click.option("--patch", type=click.IntRange(1), help="Patch of conv-resnet, odd.  [default: 3]"),
        click.option(
            "--reduction",
            type=click.Choice(["sum", "mean"]),
            help="Of the loss of a deep network.  [default: sum; deep-relu: mean]",
        ),
        click.option(
            "--decay",
            type=click.FloatRange(0, min_open=True),
            metavar="POWER",
            help="Decreasing step sizes of a deep network, eta (1 + k/DELAY)^-POWER.  [default: constant]",
        ),
        click.option(
            "--decay-delay", type=click.FloatRange(0, min_open=True), help="DELAY of --decay.  [default: 1]"
        ),
        click.option(
            "--layer-step-sizes",
            type=Factors(),
            help="Deep networks: factors on the step size, one for each of W1, ..., WH and a; 0 freezes.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def settle_two_layer(context: click.Context, options: dict[str, Any]) -> None:
    """Take the options of deep networks out for the two-layer network, refusing those that were given."""
    for name in _ONLY_DEEP:
        if options.pop(name) is not None:
            raise click.UsageError(f"--{name.replace('_', '-')} is for deep networks, not --arch {TWO_LAYER}")
    del options["arch"]
    if options["loss"] not in (None, "quadratic", "logistic"):
        raise click.UsageError(f"--loss {options['loss']} is for deep networks; use quadratic or logistic")
    options["loss"] = options["loss"] or "quadratic"
    options["width"] = options["width"] or _WIDTH[TWO_LAYER]


def train_deep(context: click.Context, options: dict[str, Any]) -> None:
    """Run the command for a deep network."""
    settings = {name: value for name, value in options.items() if value is not None}
    _settle(context, options)
    arch = options["arch"]
    choice = data_choice(options["seed"], options)
    if choice.source == "digits" and choice.n is None:
        # The number that is held out by default goes with the number of training examples.
        choice = dataclasses.replace(choice, n=_EXAMPLES[arch])
    console = new_console()
    data = choice.load()
    shape = _image_shape(options["image"], data.X.shape[1]) if arch == "conv-resnet" else None
    size = f"m{options['width']}-H{options['depth']}"
    stem = f"{data.name}-{arch}-{size}-{options['method']}-seed{options['seed']}"
    folder = default_folder(stem) if options["out"] is None else Path(options["out"])
    if (folder / "history.npz").exists() and not (options["overwrite"] or options["resume"]):
        raise click.UsageError(f"--out: {folder} already holds a run; give another folder or --overwrite")
    need = _bytes(arch, len(data.X), data.X.shape[1], shape, options)
    refuse_too_large(need, f"--width {options['width']} and --depth {options['depth']}")
    network = _network(arch, data.X.shape[1], shape, options)
    if shape is not None:
        data = _as_images(data, shape)
    folder.mkdir(parents=True, exist_ok=True)  # now: a long run must not end with "not allowed"
    console.print(f"data     {data.description}", markup=False)
    console.print(
        f"network  {arch}, width {options['width']}, depth {network.depth}, {network.parameter_count:,} "
        f"weights, "
        f"{network.dtype}, about {size_text(need)} of memory",
        markup=False,
    )
    with waiting(console, "infinite-width and initial Gram matrices"):
        reference = DeepReference.of(network, data, options["layer_step_sizes"])
    texts = [f"lambda_min(NTK) = {number(reference.ntk_lambda_min)}"]
    if reference.lam is not None:
        texts.insert(0, f"lambda_min(K^(H)) = {number(reference.lam)}")
    console.print(f"kernel   {', '.join(texts)}", markup=False)

    rule = options["step_size"]
    if options["decay"] is not None:
        rule = DecreasingStepSize(rule, options["decay"], options["decay_delay"] or 1.0)

    def start() -> Run:
        with ProgressLine(console, "training") as line:
            return train(
                network,
                data.X,
                data.y,
                options["steps"],
                rule,
                loss=options["loss"],
                reduction=options["reduction"],
                method=options["method"],
                batch_size=options["batch_size"],
                layer_step_sizes=options["layer_step_sizes"],
                seed=options["seed"],
                record_every=options["record_every"] or max(1, options["steps"] // _RECORDS[arch]),
                X_test=data.X_test,
                y_test=data.y_test,
                tolerance=options["tolerance"],
                callbacks=(_follow(line),),
                checkpoint=options["checkpoint"],
                checkpoint_every=options["checkpoint_every"],
                resume=options["resume"],
                threads=options["threads"],
            )

    def finish(run: Run) -> None:
        write_deep_results(
            run,
            network,
            folder,
            console,
            arch=arch,
            data=data,
            reference=reference,
            settings=settings,
            step_size=rule,
            save_weights=options["save_weights"],
            full_report=options["full_report"],
        )

    run_to_end(start, finish, folder)
    context.exit(0)


def _settle(context: click.Context, options: dict[str, Any]) -> None:
    """Refuse combinations of options that do not go together, and put in defaults."""
    arch, method = options["arch"], options["method"]
    for name in _ONLY_TWO_LAYER:
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"--{name} is for --arch {TWO_LAYER}, not {arch}")
    if method not in _METHODS:
        raise click.UsageError(
            f"--method {method} is for --arch {TWO_LAYER}; {arch} has {', '.join(_METHODS)}"
        )
    if method == "sgd" and options["batch_size"] is None:
        raise click.UsageError("--method sgd needs --batch-size")
    if method != "sgd" and options["batch_size"] is not None:
        raise click.UsageError(f"--batch-size is for --method sgd, not {method}")
    if method == "flow" and options["dtype"] == "float32":
        raise click.UsageError("--method flow is integrated in double precision: --dtype float64")
    if method == "flow" and (options["checkpoint"] or options["resume"]):
        raise click.UsageError("--method flow cannot be checkpointed; use gd with a small --step-size")
    if method == "flow" and options["decay"] is not None:
        raise click.UsageError("--decay is for gd and sgd: flow has no steps that could shrink")
    if options["decay_delay"] is not None and options["decay"] is None:
        raise click.UsageError("--decay-delay needs --decay POWER")
    if options["checkpoint_every"] is not None and options["checkpoint"] is None:
        raise click.UsageError("--checkpoint-every needs --checkpoint FILE")
    for name, owners in (
        ("activation", ("fc", "resnet", "conv-resnet")),
        ("c_res", ("resnet", "conv-resnet")),
        ("image", ("conv-resnet",)),
        ("patch", ("conv-resnet",)),
    ):
        if options[name] is not None and arch not in owners:
            raise click.UsageError(f"--{name.replace('_', '-')} is for {', '.join(owners)}, not {arch}")
    if options["patch"] is not None and options["patch"] % 2 == 0:
        raise click.UsageError(f"--patch: an odd number is needed, got {options['patch']}")
    defaults = {
        "width": _WIDTH[arch],
        "depth": _DEPTH[arch],
        "activation": "softplus",
        "c_res": 0.5,
        "patch": 3,
        "dtype": "float64",
        "reduction": "mean" if arch == "deep-relu" else "sum",
        "loss": "logistic" if arch == "deep-relu" else "quadratic",
    }
    for name, value in defaults.items():
        if options[name] is None:
            options[name] = value
    options["loss"] = _LOSSES.get(options["loss"], options["loss"])
    factors = options["layer_step_sizes"]
    names = [f"W{h}" for h in range(1, options["depth"] + 1)] + ([] if arch == "deep-relu" else ["a"])
    if factors is not None and (len(factors) != len(names) or not any(factors)):
        raise click.UsageError(
            f"--layer-step-sizes: {len(names)} numbers are needed, not all 0, for {', '.join(names)}"
        )
    if arch == "deep-relu" and options["width"] % 2:
        raise click.UsageError(f"--arch deep-relu needs an even --width, got {options['width']}")


def _image_shape(image: tuple[int, int, int] | None, d: int) -> tuple[int, int, int]:
    """Channels, height, width of an input of d numbers."""
    if image is None:
        side = math.isqrt(d)
        if side * side != d:
            raise click.UsageError(f"--image: {d} numbers are no square; say [CHANNELSx]HEIGHTxWIDTH")
        return 1, side, side
    if math.prod(image) != d:
        raise click.UsageError(f"--image: {'x'.join(map(str, image))} are not {d} numbers")
    return image


def _as_images(data: Dataset, shape: tuple[int, int, int]) -> Dataset:
    test = None if data.X_test is None else data.X_test.reshape(-1, *shape)
    return dataclasses.replace(data, X=data.X.reshape(-1, *shape), X_test=test)


def _network(arch: str, dim: int, shape: tuple[int, int, int] | None, options: dict[str, Any]) -> DeepNetwork:
    width, depth = options["width"], options["depth"]
    shared = {"seed": options["seed"], "dtype": options["dtype"]}
    if arch == "fc":
        return FullyConnectedNetwork(width, dim, depth, options["activation"], **shared)
    if arch == "resnet":
        return ResidualNetwork(width, dim, depth, options["activation"], options["c_res"], **shared)
    if shape is not None:
        return ConvResidualNetwork(
            width,
            shape[0],
            shape[1:],
            depth,
            options["activation"],
            options["c_res"],
            options["patch"],
            **shared,
        )
    return DeepReLUNetwork(width, dim, depth, **shared)


def _bytes(arch: str, n: int, dim: int, shape: tuple[int, int, int] | None, options: dict[str, Any]) -> int:
    """Bytes of a run: weights (start, now, gradients), features and derivatives, Gram matrices."""
    width, depth = options["width"], options["depth"]
    pixels, patch = (1, 1) if shape is None else (shape[1] * shape[2], options["patch"] ** 2)
    inputs = dim if shape is None else shape[0]
    weights = width * patch * (inputs + (depth - 1) * width) + width * pixels
    features = n * width * pixels * (3 * depth + patch)
    size = np.dtype(options["dtype"]).itemsize
    return int(size * (4 * weights + features) + 8 * (4 * depth + 10) * n * n)


def _follow(line: ProgressLine) -> Callable[[StepState], None]:
    """Make a callback that shows a recorded step."""

    def show(state: StepState) -> None:
        parts = [f"step {state.step}/{state.steps}", f"loss {state.loss:.4g}"]
        if "lambda_min" in state.values:
            parts.append(f"lambda_min(NTK) {state.values['lambda_min']:.4g}")
        done = state.step / state.steps if state.steps else 1.0
        line.show("  ".join(parts), done, last=state.step == state.steps)

    return show
