"""Figures 6.3(c) and (d) of Du's thesis: SGD learns a filter over images, from closer starts faster.

Section 6.4: MNIST images, labels from a random filter (c) or a Gabor filter (d) over all patches at
stride 1, SGD from starts at several distances from the teacher; drawn is the relative loss, the
logarithm of the squared error over the squared mean label. Without MNIST the digits of scikit-learn
stand in: they show order and shape of the curves, not MNIST's numbers.

The thesis states neither the filter's size, the distances, the step size, the batch nor the Gabor
parameters.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.arrays import Float64
from lazygram.data.images import load_images
from lazygram.experiments.base import Experiment, ExperimentResult, Progress, share_of
from lazygram.experiments.checks import (
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Seeds,
    Settings,
    SomePositiveIncreasing,
)
from lazygram.experiments.fig6_3cd_expected import TEACHERS, Measured, expectations
from lazygram.experiments.image_filters import PatchedImages, start_around, train_filters
from lazygram.experiments.parts import Parts
from lazygram.plotting import caption, finish_axes, new_figure, ordered_colors
from lazygram.problems.image_patches import gabor_filter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT", "Parameters"]


@dataclass(frozen=True)
class Parameters(Settings):
    """Settings of the experiment.

    Attributes
    ----------
    images : str
        "digits", or an IDX file of MNIST's form or a folder with one (labels are not needed).
    n_images : int
        Only so many images; 0 takes all.
    filter_size : int
        Side of the filter.
    wavelength, gabor_degrees, gabor_scale : float
        lambda, t and s of the Gabor filter.
    distances : tuple of float
        |w0 - w*| / |w*|, increasing.
    step_size : float
        eta.
    batch_size, epochs : int
        Images in a batch; epochs.
    seeds : tuple of int
        Of the random teacher, the direction of the starts and the batches; curves are means.
    """

    images: str = "digits"
    n_images: NonNegativeInt = 0
    filter_size: PositiveInt = 5
    wavelength: PositiveFloat = 4.0
    gabor_degrees: float = 45.0
    gabor_scale: PositiveFloat = 2.0
    distances: SomePositiveIncreasing = (0.25, 0.5, 1.0, 1.5)
    step_size: PositiveFloat = 0.5
    batch_size: PositiveInt = 10
    epochs: PositiveInt = 60
    seeds: Seeds = (0, 1, 2)


def run(p: Parameters, folder: Path | None = None, progress: Progress | None = None) -> ExperimentResult:
    """Train from all starts for both teachers and all seeds, and compare.

    Returns
    -------
    ExperimentResult
        Arrays: "epoch", "distances", "seeds", "teachers", "log_loss" (seeds, teachers, distances,
        epochs + 1), "relative_distance" and "cosine" (seeds, teachers, distances, 2: start and end),
        "w_star" (seeds, teachers, p), "w" (seeds, teachers, distances, p).
    """
    images, name = load_images(p.images, p.n_images or None)
    patches = PatchedImages(images, p.filter_size)
    parts, found = Parts(folder), []
    for s, seed in enumerate(p.seeds):
        tell = share_of(progress, s / len(p.seeds), 1 / len(p.seeds), f"seed {seed}")
        settings = {**dataclasses.asdict(p), "seed": seed, "shape": images.shape}
        del settings["seeds"]
        found.append(parts.get(f"seed-{seed}", settings, partial(_train, p, patches, seed, tell)))
    share_of(progress, 0.0, 1.0)("done", 1.0)
    stacked = {key: np.stack([part[key] for part in found]) for key in found[0]}
    told = dataclasses.asdict(p)
    rows, notes = expectations(
        Measured(told, stacked["log_loss"], stacked["relative_distance"], stacked["cosine"])
    )
    if p.images == "digits":
        notes.insert(
            0,
            "scikit-learn's 8 x 8 digits stand in for MNIST: they show the order and the shape of the "
            "curves and say nothing about MNIST's numbers. For MNIST give a path: images=PATH.",
        )
    arrays: dict[str, npt.NDArray[Any]] = {
        "epoch": np.arange(p.epochs + 1),
        "distances": np.array(p.distances),
        "seeds": np.array(p.seeds),
        "teachers": np.array(TEACHERS),
        **stacked,
    }
    summary = {"images": name, "n": len(images), "patches": len(patches.take(np.arange(1))[0])}
    return ExperimentResult(
        EXPERIMENT.id, EXPERIMENT.title, told, rows, arrays, notes + parts.notes(), summary
    )


def _train(p: Parameters, patches: PatchedImages, seed: int, tell: Progress) -> dict[str, Float64]:
    """All starts of both teachers for one seed."""
    rng = np.random.default_rng(seed)
    size = p.filter_size**2
    gabor = gabor_filter(
        p.filter_size,
        wavelength=p.wavelength,
        angle=math.radians(p.gabor_degrees),
        scale=p.gabor_scale,
    )
    teachers = np.stack([rng.standard_normal(size), gabor])
    direction = rng.standard_normal(size)
    w0 = np.stack([start_around(teachers, distance, direction) for distance in p.distances], axis=1)
    w_star = np.broadcast_to(teachers[:, None, :], w0.shape)
    run = train_filters(
        patches,
        w0,
        w_star,
        step_size=p.step_size,
        batch_size=p.batch_size,
        epochs=p.epochs,
        rng=rng,
        tell=tell,
    )
    norm = np.linalg.norm(teachers, axis=-1)[:, None]
    ends = (w0, run.w)
    return {
        "log_loss": run.log_loss,
        "w": run.w,
        "w_star": teachers,
        "relative_distance": np.stack([np.linalg.norm(w - w_star, axis=-1) / norm for w in ends], axis=-1),
        "cosine": np.stack(
            [(w * w_star).sum(axis=-1) / (norm * np.linalg.norm(w, axis=-1)) for w in ends], axis=-1
        ),
    }


def draw(result: ExperimentResult) -> Figure:
    """Draw the relative loss over epochs, one panel per teacher; bands are the range of the seeds."""
    data, p = result.arrays, result.parameters
    figure, axes = new_figure(1, 2, width=9.0, height=3.6)
    colors = ordered_colors(len(p["distances"]))
    for t, (place, teacher) in enumerate(zip(axes, TEACHERS, strict=True)):
        for d, (distance, color) in enumerate(zip(p["distances"], colors, strict=True)):
            curves = data["log_loss"][:, t, d]
            label = rf"$\Vert w_0 - w^*\Vert$ = {distance:g} $\Vert w^*\Vert$"
            place.plot(data["epoch"], curves.mean(axis=0), color=color, label=label)
            place.fill_between(
                data["epoch"], curves.min(axis=0), curves.max(axis=0), color=color, alpha=0.15, lw=0
            )
        finish_axes(
            place,
            title=f"({'cd'[t]}) {teacher.capitalize()} filter",
            xlabel="epoch",
            ylabel="ln relative loss",
        )
        place.set_xlim(0, data["epoch"][-1])
        place.legend(loc="upper right")
    seeds = f"{len(p['seeds'])} seeds" if len(p["seeds"]) > 1 else f"seed {p['seeds'][0]}"
    caption(
        figure,
        f"{result.summary['images']}, n = {result.summary['n']}, {p['filter_size']} x {p['filter_size']} "
        f"filters, k = {result.summary['patches']} patches, step size {p['step_size']:g}, "
        f"batch {p['batch_size']}, {seeds}",
    )
    return figure


EXPERIMENT = Experiment(
    id="fig6.3cd",
    title="Learning one filter by SGD on images: effect of the initialisation",
    source="Du (2019), thesis, Section 6.4, Figures 6.3(c) and 6.3(d)",
    full=Parameters(),
    quick=Parameters(seeds=(0,)),
    run=run,
    draw=draw,
    full_seconds=20.0,
    quick_seconds=5.0,
    inferred={
        "images": "the text has MNIST; without its files the digits of scikit-learn stand in",
        "n_images": "not stated",
        "filter_size": "not stated",
        "wavelength": "not stated",
        "gabor_degrees": "not stated",
        "gabor_scale": "not stated",
        "distances": "not stated ('different initializations')",
        "step_size": "not stated",
        "batch_size": "not stated",
        "epochs": "not stated",
        "seeds": "not stated",
    },
)
