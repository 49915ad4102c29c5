"""Figure 5.1(b) of Du's thesis: gradient descent reaches the global minimum, or the spurious one.

Section 5.5.1: a convolutional network with k = 20 patches of length p = 25 and Gaussian input, trained
by Algorithm 1 on the population loss. From one random start (v, a) the four sign patterns are run.
One of them meets the conditions of Theorem 5.3 and succeeds; for most teachers another one ends at
the spurious local minimum. The figure is the logarithm of the prediction error of both.

The thesis states neither |a*| nor the step size; 1 and 0.1 give its time scales.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.arrays import Float64
from lazygram.experiments.base import Experiment, ExperimentResult, Progress, share_of
from lazygram.experiments.checks import PositiveFloat, PositiveInt, Seeds, Settings
from lazygram.experiments.fig5_1_expected import Measured, expectations
from lazygram.experiments.gaussian_cnn_instances import draw_instances
from lazygram.experiments.parts import Parts
from lazygram.plotting import COLORS, caption, finish_axes, new_figure
from lazygram.problems.gaussian_cnn import GaussianCNN, sign_patterns

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT", "Parameters"]

_FAILED = 3.0  # angle beyond which a run counts as having gone to the spurious point
_CHUNK = 1000  # steps between two messages of progress


@dataclass(frozen=True)
class Parameters(Settings):
    """Settings of the experiment.

    Attributes
    ----------
    p, k : int
        Length and number of patches.
    a_norm : float
        |a*|; |w*| is 1.
    step_size : float
        eta.
    steps : int
        Steps drawn.
    end_steps : int
        Steps of all runs, at least `steps`.
    late_steps : int
        Steps of the failed runs, for the slow law of the angle; at least `end_steps`.
    seeds : tuple of int
        One teacher and start each.
    """

    p: PositiveInt = 25
    k: PositiveInt = 20
    a_norm: PositiveFloat = 1.0
    step_size: PositiveFloat = 0.1
    steps: PositiveInt = 500
    end_steps: PositiveInt = 2000
    late_steps: PositiveInt = 20000
    seeds: Seeds = tuple(range(40))

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.steps <= self.end_steps <= self.late_steps:
            raise ValueError("end_steps: must lie between steps and late_steps")


def run(p: Parameters, folder: Path | None = None, progress: Progress | None = None) -> ExperimentResult:
    """Run the four sign patterns of every instance and compare with the expected numbers.

    Returns
    -------
    ExperimentResult
        Arrays: "step" (t,), "seeds" (s,), "loss" (t, 4, s) over the drawn steps in the order of
        :func:`~lazygram.problems.gaussian_cnn.sign_patterns`, "good" and "failed" (4, s) (which
        pattern meets Theorem 5.3's conditions; which ended at the spurious point), "final_angle",
        "final_loss" (4, s), "spurious_loss" (s,), "late_angle" (failed runs,).
    """
    problem, v0, a0 = draw_instances(p.p, p.k, p.a_norm, p.seeds)
    v, a = sign_patterns(v0, a0)
    parts, shared = Parts(folder), {"format": 1, **dataclasses.asdict(p)}
    late = shared.pop("late_steps")
    tell = share_of(progress, 0.0, 0.3, "all runs")
    part = parts.get("runs", shared, partial(_descend, p, problem, v, a, tell))
    failed = part["final_angle"] > _FAILED
    tell = share_of(progress, 0.3, 0.7, "failed runs")
    settings = {**shared, "late_steps": late}
    tail = parts.get("late", settings, partial(_go_on, p, problem, part, failed, tell))
    share_of(progress, 0.0, 1.0)("done", 1.0)

    good = problem.good_start(v, a)
    overlap = np.abs(problem.spurious_overlap)
    owner = np.nonzero(failed)[1]
    distance = np.linalg.norm(part["a"] - problem.spurious_output, axis=-1)
    measured = Measured(
        p=p.p,
        k=p.k,
        step_size=p.step_size,
        a_norm=p.a_norm,
        seeds=p.seeds,
        end_steps=p.end_steps,
        late_steps=p.late_steps,
        good=good,
        failed=failed,
        loss=part["loss"],
        final_angle=part["final_angle"],
        final_loss=part["final_loss"],
        spurious_distance=distance[failed],
        spurious_loss=problem.spurious_loss,
        overlap=overlap,
        late_angle=tail["late_angle"],
        owner=owner,
        largest_ratio=float(problem.ratio[failed.any(axis=0)].max(initial=0.0)),
    )
    rows, notes = expectations(measured)
    arrays: dict[str, npt.NDArray[Any]] = {
        "step": np.arange(p.steps + 1),
        "seeds": np.array(p.seeds),
        "loss": part["loss"],
        "good": good,
        "failed": failed,
        "final_angle": part["final_angle"],
        "final_loss": part["final_loss"],
        "spurious_loss": problem.spurious_loss,
        "late_angle": tail["late_angle"],
    }
    return ExperimentResult(
        EXPERIMENT.id,
        EXPERIMENT.title,
        dataclasses.asdict(p),
        rows,
        arrays,
        notes + parts.notes(),
        {"instances_with_a_failure": int(failed.any(axis=0).sum()), "instances": len(p.seeds)},
    )


def _descend(p: Parameters, problem: GaussianCNN, v: Float64, a: Float64, tell: Progress) -> dict[str, Any]:
    """All runs to `end_steps`, the loss of the drawn steps."""
    tell("descent", 0.0)
    first = problem.descend(v, a, p.step_size, p.steps)
    tell("descent", p.steps / p.end_steps)
    rest = p.end_steps - p.steps
    last = problem.descend(first.v, first.a, p.step_size, rest, record_every=max(rest, 1))
    return {
        "loss": first.loss,
        "v": last.v,
        "a": last.a,
        "final_angle": last.angle[-1],
        "final_loss": last.loss[-1],
    }


def _go_on(
    p: Parameters,
    problem: GaussianCNN,
    part: dict[str, npt.NDArray[Any]],
    failed: npt.NDArray[np.bool_],
    tell: Progress,
) -> dict[str, Any]:
    """The failed runs to `late_steps`."""
    owner = np.nonzero(failed)[1]
    if not len(owner):
        return {"late_angle": np.empty(0)}
    own = GaussianCNN(problem.w_star[owner], problem.a_star[owner])
    v, a = part["v"][failed], part["a"][failed]
    rest = p.late_steps - p.end_steps
    for start in range(0, rest, _CHUNK):
        tell(f"step {p.end_steps + start} of {p.late_steps}", start / rest)
        steps = min(_CHUNK, rest - start)
        run = own.descend(v, a, p.step_size, steps, record_every=steps)
        v, a = run.v, run.a
    return {"late_angle": own.angle(v)}


def draw(result: ExperimentResult) -> Figure:
    """Draw the logarithm of the prediction error: one instance as in the text, then all of them."""
    data = result.arrays
    step, loss = data["step"], np.log(np.maximum(data["loss"], np.finfo(float).tiny))
    good, failed = data["good"], data["failed"]
    figure, axes = new_figure(1, 2, width=9.0, height=3.6)
    shown = int(np.argmax(failed.any(axis=0)))  # the first instance that has a failure
    success = loss[:, np.argmax(good[:, shown]), shown]
    axes[0].plot(step, success, color=COLORS["blue"], label="success case")
    if failed[:, shown].any():
        failure = loss[:, np.argmax(failed[:, shown]), shown]
        axes[0].plot(step, failure, color=COLORS["red"], linestyle="--", label="failure case")
        floor = float(np.log(data["spurious_loss"][shown]))
        axes[0].axhline(floor, color=COLORS["grey"], linestyle=":", linewidth=1, label="spurious minimum")
    title = f"(a) One teacher (seed {data['seeds'][shown]}), two starts"
    label = "ln prediction error"
    finish_axes(axes[0], title=title, xlabel="epoch t", ylabel=label)
    for pattern, instance in zip(*np.nonzero(good), strict=True):
        axes[1].plot(step, loss[:, pattern, instance], color=COLORS["blue"], linewidth=0.6, alpha=0.7)
    for pattern, instance in zip(*np.nonzero(failed), strict=True):
        axes[1].plot(step, loss[:, pattern, instance], color=COLORS["red"], linewidth=0.6, alpha=0.7)
    axes[1].plot([], [], color=COLORS["blue"], label=f"good start, {int(good.sum())} runs")
    axes[1].plot([], [], color=COLORS["red"], label=f"runs to the spurious point, {int(failed.sum())}")
    title = f"(b) All {len(data['seeds'])} teachers"
    finish_axes(axes[1], title=title, xlabel="epoch t", ylabel=label)
    for place in axes:
        place.set_xlim(0, step[-1])
        place.legend(loc="lower left")
    p = result.parameters
    caption(
        figure, f"k = {p['k']}, p = {p['p']}, |w*| = 1, |a*| = {p['a_norm']:g}, step size {p['step_size']:g}"
    )
    return figure


EXPERIMENT = Experiment(
    id="fig5.1",
    title="Two outcomes of gradient descent on the Gaussian CNN: success and failure",
    source="Du (2019), thesis, Sections 5.1 and 5.5.1, Figure 5.1(b)",
    full=Parameters(),
    quick=Parameters(late_steps=2000),
    run=run,
    draw=draw,
    full_seconds=12.0,
    quick_seconds=2.0,
    inferred={
        "a_norm": "not stated; with 1 the slow phase takes about 200 steps, as in the figures",
        "step_size": "not stated; 0.1 gives the figures' time scales",
        "seeds": "the text shows one run of each case",
    },
    corrections=(
        "(5.3): the last term of the population loss is printed without its prefactor 1/(2 pi), which all "
        "terms carry.",
        "Lemma 5.1 leaves out a third kind of stationary point (by its assumption that a is not orthogonal "
        "to a*): the saddle that separates the two outcomes.",
        "Theorem 5.4: phi0 = Theta(1/sqrt(p)) must be cos(phi0); the proof of Theorem 5.5 starts from "
        "a.a* > 0 and must start from a.a* <= 0.",
    ),
)
