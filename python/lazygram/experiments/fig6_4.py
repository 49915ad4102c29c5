"""Figure 6.4 of Du's thesis: true filters beside those that SGD learned from images.

Section 6.4: pairs of a teacher and the learned filter on one colour scale, (a) for random filters,
(b) for Gabor filters. Data and training are those of Figures 6.3(c, d); the starts lie at the distance
|w*| from the teacher, so that little of its pattern is left in them.
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
from lazygram.experiments.base import Experiment, ExperimentResult, Progress, Row, at_least, share_of
from lazygram.experiments.checks import NonNegativeInt, PositiveFloat, PositiveInt, Seeds, Settings, Some
from lazygram.experiments.image_filters import PatchedImages, start_around, train_filters
from lazygram.experiments.parts import Parts
from lazygram.plotting import caption, new_figure
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
        Side of the filters.
    seeds : tuple of int
        One random teacher each.
    gabor_degrees : tuple of float
        One Gabor teacher each: its angle t.
    wavelength, gabor_scale : float
        lambda and s of the Gabor filters.
    distance : float
        |w0 - w*| / |w*|.
    step_size : float
        eta.
    batch_size, epochs : int
        Images in a batch; epochs.
    seed : int
        Of the directions of the starts and of the batches.
    """

    images: str = "digits"
    n_images: NonNegativeInt = 0
    filter_size: PositiveInt = 5
    seeds: Seeds = (0, 1, 2, 3)
    gabor_degrees: Some[float] = (0.0, 45.0, 90.0, 135.0)
    wavelength: PositiveFloat = 4.0
    gabor_scale: PositiveFloat = 2.0
    distance: PositiveFloat = 1.0
    step_size: PositiveFloat = 0.5
    batch_size: PositiveInt = 10
    epochs: PositiveInt = 60
    seed: NonNegativeInt = 0


def run(p: Parameters, folder: Path | None = None, progress: Progress | None = None) -> ExperimentResult:
    """Train for all teachers and compare the learned filters with them.

    Returns
    -------
    ExperimentResult
        Arrays: "w_star", "w0", "w" (teachers, p), random ones first, "cosine" (teachers, 2: start and
        end), "relative_distance" (teachers,), "log_loss" (teachers, epochs + 1).
    """
    images, name = load_images(p.images, p.n_images or None)
    parts = Parts(folder)
    tell = share_of(progress, 0.0, 1.0)
    settings = {**dataclasses.asdict(p), "shape": images.shape}
    part = parts.get("filters", settings, partial(_train, p, images, tell))
    tell("done", 1.0)
    w_star, w0, w = part["w_star"], part["w0"], part["w"]
    norm = np.linalg.norm(w_star, axis=1)

    def cosine(filters: Float64) -> Float64:
        return np.asarray((filters * w_star).sum(axis=1) / (norm * np.linalg.norm(filters, axis=1)))

    cosines = np.stack([cosine(w0), cosine(w)], axis=1)
    told = dataclasses.asdict(p)
    arrays: dict[str, npt.NDArray[Any]] = {
        **part,
        "cosine": cosines,
        "relative_distance": np.linalg.norm(w - w_star, axis=1) / norm,
    }
    notes = []
    if p.images == "digits":
        notes.append(
            "scikit-learn's 8 x 8 digits stand in for MNIST; for MNIST give a path: images=PATH. The "
            "learned filters keep of their start what the patches do not see."
        )
    summary = {"images": name, "n": len(images)}
    rows = _rows(p, cosines)
    return ExperimentResult(
        EXPERIMENT.id, EXPERIMENT.title, told, rows, arrays, notes + parts.notes(), summary
    )


def _train(p: Parameters, images: Float64, tell: Progress) -> dict[str, Float64]:
    size = p.filter_size**2
    teachers = [np.random.default_rng(seed).standard_normal(size) for seed in p.seeds]
    teachers += [
        gabor_filter(p.filter_size, wavelength=p.wavelength, angle=math.radians(angle), scale=p.gabor_scale)
        for angle in p.gabor_degrees
    ]
    w_star = np.stack(teachers)
    # Not the generator of a random teacher, which would lie in its direction.
    rng = np.random.default_rng([p.seed, len(teachers)])
    w0 = np.stack([start_around(teacher, p.distance, rng.standard_normal(size)) for teacher in w_star])
    run = train_filters(
        PatchedImages(images, p.filter_size),
        w0,
        w_star,
        step_size=p.step_size,
        batch_size=p.batch_size,
        epochs=p.epochs,
        rng=rng,
        tell=tell,
    )
    return {"w_star": w_star, "w0": w0, "w": run.w, "log_loss": run.log_loss}


def _rows(p: Parameters, cosines: Float64) -> list[Row]:
    """The learned filters have similar patterns: cosines above 0.9, and above those of the starts."""
    names = [f"random filter {seed}" for seed in p.seeds]
    names += [f"Gabor filter at {angle:g} degrees" for angle in p.gabor_degrees]
    rows = []
    for name, (start, end) in zip(names, cosines, strict=True):
        text = f"{name}: cosine of learned and true filter"
        source = "thesis 6.4, text; NumPy reference"
        rows.append(at_least(text, source, float(end), 0.9, note=f"{start:.3f} at the start"))
    return rows


def draw(result: ExperimentResult) -> Figure:
    """Draw pairs of true and learned filter on one colour scale, random ones above."""
    data, p = result.arrays, result.parameters
    counts = len(p["seeds"]), len(p["gabor_degrees"])
    columns = max(counts)
    figure, axes = new_figure(2, 2 * columns, width=1.35 * 2 * columns, height=3.4)
    side = p["filter_size"]
    for row, count in enumerate(counts):
        for column in range(columns):
            pair = axes[2 * (row * columns + column) : 2 * (row * columns + column) + 2]
            for place in pair:
                place.axis("off")
            if column >= count:
                continue
            which = row * counts[0] + column
            largest = float(np.abs(data["w_star"][which]).max())
            for place, values, title in zip(
                pair,
                (data["w_star"][which], data["w"][which]),
                ("true", f"learned, cos {data['cosine'][which, 1]:.3f}"),
                strict=True,
            ):
                place.imshow(values.reshape(side, side), cmap="gray", vmin=-largest, vmax=largest)
                place.set_title(title, fontsize=8, loc="center")
    axes[0].text(-0.15, 0.5, "(a) random", transform=axes[0].transAxes, rotation=90, va="center", ha="right")
    below = axes[2 * columns]
    below.text(-0.15, 0.5, "(b) Gabor", transform=below.transAxes, rotation=90, va="center", ha="right")
    caption(
        figure,
        f"{result.summary['images']}, n = {result.summary['n']}, {p['epochs']} epochs from a start at "
        rf"$\Vert w_0 - w^*\Vert$ = {p['distance']:g} $\Vert w^*\Vert$",
    )
    return figure


EXPERIMENT = Experiment(
    id="fig6.4",
    title="True filters and those learned by SGD on images",
    source="Du (2019), thesis, Section 6.4, Figure 6.4",
    full=Parameters(),
    quick=Parameters(seeds=(0, 1), gabor_degrees=(0.0, 45.0)),
    run=run,
    draw=draw,
    full_seconds=8.0,
    quick_seconds=5.0,
    inferred={
        "images": "the text has MNIST; without its files the digits of scikit-learn stand in",
        "n_images": "not stated",
        "filter_size": "not stated",
        "seeds": "the random filters are not given",
        "gabor_degrees": "the Gabor filters' parameters are not given",
        "wavelength": "not stated",
        "gabor_scale": "not stated",
        "distance": "not stated",
        "step_size": "not stated",
        "batch_size": "not stated",
        "epochs": "not stated",
        "seed": "not stated",
    },
)
