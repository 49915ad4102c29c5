"""Figure 5.2 of Du's thesis: two phases of convergence, in four measures.

Section 5.5.1: k = 20 patches of length p = 25, |w*| = 1, Gaussian input, Algorithm 1 on the population
loss from the sign pattern that meets Theorem 5.3's conditions. Drawn are the logarithms of the angle
between v and w*, of |a - a*|, of |1.a - 1.a*| and of the prediction error: a quick drop of the
third, a slow phase of about 200 steps, then fast linear convergence of all four.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.experiments.base import Experiment, ExperimentResult, Progress, share_of
from lazygram.experiments.checks import PositiveFloat, PositiveInt, Seeds, Settings
from lazygram.experiments.fig5_2_expected import Measured, expectations
from lazygram.experiments.gaussian_cnn_instances import draw_instances
from lazygram.experiments.parts import Parts
from lazygram.plotting import COLORS, caption, finish_axes, new_figure
from lazygram.problems.gaussian_cnn import sign_patterns

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT", "Parameters"]

_MEASURES = ("angle", "output_distance", "sum_gap", "loss")
_LABELS = (
    r"angle between $v$ and $w^*$",
    r"$\Vert a - a^*\Vert$",
    r"$|1^\top a - 1^\top a^*|$",
    "prediction error",
)
_DRAWN = 400  # steps of the text's figure


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
        Steps, of which the text draws the first 400.
    seeds : tuple of int
        One teacher and start each; the first is drawn alone.
    """

    p: PositiveInt = 25
    k: PositiveInt = 20
    a_norm: PositiveFloat = 1.0
    step_size: PositiveFloat = 0.1
    steps: PositiveInt = 1000
    seeds: Seeds = tuple(range(40))


def run(p: Parameters, folder: Path | None = None, progress: Progress | None = None) -> ExperimentResult:
    """Descend from the good start of every instance and compare with the expected numbers.

    Returns
    -------
    ExperimentResult
        Arrays: "step" (t,), "seeds" (s,), and of shape (t, s) "angle", "output_distance", "sum_gap",
        "loss".
    """
    tell = share_of(progress, 0.0, 1.0)
    tell("descent", 0.0)
    parts = Parts(folder)
    part = parts.get("runs", dataclasses.asdict(p), partial(_descend, p))
    tell("done", 1.0)
    rows, notes = expectations(
        Measured(p.k, p.step_size, p.a_norm, p.seeds, *(part[name] for name in _MEASURES))
    )
    arrays: dict[str, npt.NDArray[Any]] = {
        "step": np.arange(p.steps + 1),
        "seeds": np.array(p.seeds),
        **{name: part[name] for name in _MEASURES},
    }
    parameters_told = dataclasses.asdict(p)
    return ExperimentResult(
        EXPERIMENT.id, EXPERIMENT.title, parameters_told, rows, arrays, notes + parts.notes()
    )


def _descend(p: Parameters) -> dict[str, Any]:
    problem, v0, a0 = draw_instances(p.p, p.k, p.a_norm, p.seeds)
    v, a = sign_patterns(v0, a0)
    pattern = np.argmax(problem.good_start(v, a), axis=0)
    each = np.arange(len(p.seeds))
    run = problem.descend(v[pattern, each], a[pattern, each], p.step_size, p.steps)
    return {name: getattr(run, name) for name in _MEASURES}


def draw(result: ExperimentResult) -> Figure:
    """Draw the four logarithms for the first seed as in the text, and the range over all seeds."""
    data = result.arrays
    step = data["step"][: _DRAWN + 1]
    figure, axes = new_figure(1, 2, width=9.0, height=3.6)
    colors = [COLORS[name] for name in ("blue", "red", "green", "purple")]
    for name, label, color in zip(_MEASURES, _LABELS, colors, strict=True):
        curves = np.log(np.maximum(data[name][: _DRAWN + 1], np.finfo(float).tiny))
        axes[0].plot(step, curves[:, 0], color=color, label=label)
        axes[1].plot(step, np.median(curves, axis=1), color=color, label=label)
        axes[1].fill_between(step, curves.min(axis=1), curves.max(axis=1), color=color, alpha=0.12, lw=0)
    title = f"(a) One run (seed {data['seeds'][0]})"
    finish_axes(axes[0], title=title, xlabel="epoch t", ylabel="ln of the measure")
    title = f"(b) Median and range of {len(data['seeds'])} teachers"
    finish_axes(axes[1], title=title, xlabel="epoch t", ylabel="ln of the measure")
    for place in axes:
        place.set_xlim(0, step[-1])
        place.legend(loc="lower left")
    p = result.parameters
    caption(
        figure, f"k = {p['k']}, p = {p['p']}, |w*| = 1, |a*| = {p['a_norm']:g}, step size {p['step_size']:g}"
    )
    return figure


EXPERIMENT = Experiment(
    id="fig5.2",
    title="Two phases of gradient descent on the Gaussian CNN",
    source="Du (2019), thesis, Section 5.5.1, Figure 5.2",
    full=Parameters(),
    quick=Parameters(),
    run=run,
    draw=draw,
    full_seconds=2.0,
    quick_seconds=2.0,
    inferred={
        "a_norm": "not stated; with 1 the slow phase takes about 200 steps, as in the figure",
        "step_size": "not stated; 0.1 gives the figure's time scales",
        "seeds": "the text shows one run",
    },
    corrections=(
        "In the first steps only |1.a - 1.a*| drops quickly; the prediction error does so only for teachers "
        "with a large (1.a*)^2/|a*|^2.",
        "The proof of Lemma 5.6 ends in sin^2(phi) where it must be sin^3(phi).",
    ),
)
