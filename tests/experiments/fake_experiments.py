"""Tiny experiments that pass, fail, raise, crash or wait, for the tests of what runs experiments."""

from __future__ import annotations

import dataclasses
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lazygram.experiments.base import Experiment, ExperimentResult, Progress, at_most, in_band, share_of
from lazygram.experiments.parts import Parts
from lazygram.plotting import new_figure


@dataclass(frozen=True)
class Parameters:
    """Settings of every kind that ``--set`` reads."""

    value: float = 1.0
    repeats: int = 2
    mode: Literal["work", "raise", "crash", "wait"] = "work"
    widths: tuple[int, ...] = (1, 2)
    shapes: tuple[tuple[int, ...], ...] = ((1, 2), (3,))
    limit: float | None = None
    flag: bool = False
    text: str = "a"

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise ValueError(f"repeats: must be positive, got {self.repeats}")


def run(p: Parameters, folder: Path | None = None, progress: Progress | None = None) -> ExperimentResult:
    """Square `value` some times; leave one line for every part that is computed in ``computed.txt``."""
    parts, squares = Parts(folder), []
    for k in range(p.repeats):
        share_of(progress, k / p.repeats, 1 / p.repeats, f"part {k}")("squaring", 0.5)
        squares.append(parts.get(f"part-{k}", {"value": p.value, "k": k}, lambda k=k: _square(p, k, folder)))
        if p.mode == "raise":
            raise RuntimeError("no <such> luck")
        if p.mode == "crash":
            os._exit(7)
        if p.mode == "wait" and k == 0:
            (folder / "waiting").write_text(str(os.getpid()))
            time.sleep(60)
    facts = {"threads": np.array(int(os.environ.get("OMP_NUM_THREADS", "0")))}
    value = float(squares[0]["square"])
    rows = [
        in_band("square & <value>", "by hand", value, 0.5, 1.5, note="known <reason>"),
        at_most("square", "by hand", value, 2.0),
    ]
    arrays = {**squares[0], **facts, "x": np.arange(5)}
    notes = ["a <note>", *parts.notes()]
    return ExperimentResult(
        "fake", "Fake & title", dataclasses.asdict(p), rows, arrays, notes, {"pid": os.getpid()}
    )


def _square(p: Parameters, k: int, folder: Path | None) -> dict[str, Any]:
    if folder is not None:
        with (folder / "computed.txt").open("a") as handle:
            handle.write(f"{k}\n")
    return {"square": np.array(p.value**2)}


def draw(result: ExperimentResult) -> Any:
    """Draw a line."""
    figure, axes = new_figure(1, 1, width=3, height=2)
    axes[0].plot(result.arrays["x"], result.arrays["x"] * float(result.arrays["square"]))
    return figure


def _run_as(name: str) -> Experiment:
    return Experiment(
        id=name,
        title="Fake & title",
        source="nowhere <at all>",
        full=Parameters(),
        quick=Parameters(repeats=1),
        run=_RUNS[name],
        draw=draw,
        full_seconds=30.0,
        quick_seconds=float(len(name)),
        inferred={"value": "chosen & <invented>"},
        corrections=("1 must be <2>.",),
    )


def run_one(p: Parameters, folder: Path | None = None, progress: Progress | None = None) -> ExperimentResult:
    """As fake.one."""
    return dataclasses.replace(run(p, folder, progress), id="fake.one")


def run_two(p: Parameters, folder: Path | None = None, progress: Progress | None = None) -> ExperimentResult:
    """As fake.two."""
    return dataclasses.replace(run(p, folder, progress), id="fake.two")


def run_three(
    p: Parameters, folder: Path | None = None, progress: Progress | None = None
) -> ExperimentResult:
    """As fake.three."""
    return dataclasses.replace(run(p, folder, progress), id="fake.three")


_RUNS = {"fake.one": run_one, "fake.two": run_two, "fake.three": run_three}
ONE, TWO, THREE = map(_run_as, _RUNS)
