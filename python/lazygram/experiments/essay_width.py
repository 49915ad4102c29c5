"""Essay, Figure 1: wider convolutional networks fit the training set sooner and generalise no worse.

The essay's networks and images (CIFAR-10) are not at hand. Stand-in: a small convolutional network whose
numbers of filters are multiplied by a width factor, on synthetic images of ten classes (a smooth template
each, shifted at random, with noise) and on scikit-learn's 8 x 8 digits, trained by SGD with momentum until no
training image is classified wrongly. It shows the direction of the effects and nothing about the essay's
numbers.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.data.digits import digits_pool
from lazygram.experiments.base import Experiment, ExperimentResult, Progress, Row, at_most, ordered, share_of
from lazygram.experiments.checks import IncreasingFloats, PositiveFloat, PositiveInt, Seeds, Settings
from lazygram.experiments.parts import Parts
from lazygram.optimizers import minibatches, sgd
from lazygram.plotting import COLORS, caption, finish_axes, new_figure
from lazygram.problems.conv_classifier import ConvClassifier, template_images

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT", "Parameters"]

IMAGES = ("templates", "digits")
_TEXT = "essay, Figure 1"
_QUANTITIES = ("iterations", "train_error", "test_error")


@dataclass(frozen=True)
class Parameters(Settings):
    """Settings of the experiment.

    Attributes
    ----------
    factors : tuple of float
        Width factors: 4 and 8 filters times the factor.
    images : tuple of {"templates", "digits"}
        What to classify.
    train, test : int
        Images; of the digits at most the 1797 there are.
    noise : float
        Standard deviation of the synthetic images' noise; templates have mean square 1.
    step_size, momentum : float
    batch : int
        Images of a step.
    epochs : int
        At most; training ends at the first epoch after which no training image is wrong.
    seeds : tuple of int
        One run of every width per seed, of images, weights and batches; curves are means.
    """

    factors: IncreasingFloats = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
    images: tuple[str, ...] = IMAGES
    train: PositiveInt = 400
    test: PositiveInt = 2000
    noise: PositiveFloat = 1.2
    step_size: PositiveFloat = 0.03
    momentum: float = 0.9
    batch: PositiveInt = 50
    epochs: PositiveInt = 500
    seeds: Seeds = (0, 1, 2)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.momentum < 1.0:
            raise ValueError(f"momentum: must be in [0, 1), got {self.momentum}")
        if self.batch > self.train:
            raise ValueError(f"batch: must be at most train = {self.train}, got {self.batch}")
        if not self.images or not set(self.images) <= set(IMAGES):
            raise ValueError(f"images: one or more of {', '.join(IMAGES)} are needed, got {self.images}")


def run(p: Parameters, folder: Path | None = None, progress: Progress | None = None) -> ExperimentResult:
    """Train every width for every seed and compare with the essay's statements.

    Returns
    -------
    ExperimentResult
        Arrays of shape (images, seeds, factors): "iterations", "train_error" and "test_error" (shares) at the
        end.
    """
    parts = Parts(folder)
    shape = (len(p.images), len(p.seeds), len(p.factors))
    arrays: dict[str, npt.NDArray[Any]] = {name: np.full(shape, np.nan) for name in _QUANTITIES}
    # A width costs about its square; so does its share of the progress.
    costs = [1.0 + factor**2 for factor in p.factors]
    done, total = 0.0, sum(costs) * shape[0] * shape[1]
    for place in np.ndindex(shape):
        images, seed, factor = p.images[place[0]], p.seeds[place[1]], p.factors[place[2]]
        label = f"{images}, seed {seed}, width factor {factor:g}"
        tell = share_of(progress, done / total, costs[place[2]] / total, label)
        chosen = {"images": images, "seed": seed, "factors": factor, "seeds": 0}
        part = parts.get(
            f"{images}-factor-{factor:g}-seed-{seed}",
            {**dataclasses.asdict(p), **chosen},
            partial(_train, p, images, factor, seed, tell),
        )
        for name, values in arrays.items():
            values[place] = float(part[name])
        done += costs[place[2]]
    arrays["factors"] = np.array(p.factors)
    notes = [
        "Not the essay's data: synthetic images in place of CIFAR-10, a small network in place of its own. "
        "Only the direction of the effects is compared.",
        *parts.notes(),
    ]
    rows = _expectations(p, arrays)
    return ExperimentResult(EXPERIMENT.id, EXPERIMENT.title, dataclasses.asdict(p), rows, arrays, notes)


def _data(p: Parameters, images: str, seed: int) -> tuple[npt.NDArray[Any], ...]:
    """Training images and labels, test images and labels."""
    if images == "templates":
        X, labels, templates = template_images(p.train, noise=p.noise, seed=np.random.default_rng([seed, 0]))
        rng = np.random.default_rng([seed, 1])
        test, test_labels, _ = template_images(p.test, noise=p.noise, seed=rng, templates=templates)
        return X, labels, test, test_labels
    pool = digits_pool()
    if p.train >= len(pool.X):
        raise ValueError(f"train: must be below the {len(pool.X)} digits there are, got {p.train}")
    order = np.random.default_rng([seed, 0]).permutation(len(pool.X))[: p.train + p.test]
    digits = pool.X[order].reshape(-1, 8, 8, 1).astype(np.float32)
    digits = (digits - digits[: p.train].mean()) / digits[: p.train].std()
    classes = pool.y[order].astype(np.int64)
    return digits[: p.train], classes[: p.train], digits[p.train :], classes[p.train :]


def _train(p: Parameters, images: str, factor: float, seed: int, tell: Progress) -> dict[str, npt.ArrayLike]:
    X, labels, test, test_labels = _data(p, images, seed)
    net = ConvClassifier(factor, channels=X.shape[-1])
    epoch = -(-p.train // p.batch)

    def perfect(t: int, weights: Any) -> bool:
        return t % epoch == 0 and net.errors(weights, X, labels) == 0.0

    def show(t: int, weights: Any) -> None:
        tell(f"epoch {t // epoch}", min(1.0, t / epoch / 100))

    found = sgd(
        lambda weights, batch: net.gradient(weights, X[batch], labels[batch]),
        net.initial(np.random.default_rng([seed, 2])),
        p.step_size,
        p.epochs * epoch,
        draw=minibatches(p.train, p.batch),
        seed=np.random.default_rng([seed, 3]),
        momentum=p.momentum,
        stop=perfect,
        record_every=epoch,
        callback=show,
    )
    return {
        "iterations": found.steps,
        "train_error": net.errors(found.point, X, labels),
        "test_error": net.errors(found.point, test, test_labels),
    }


def _expectations(p: Parameters, arrays: dict[str, npt.NDArray[Any]]) -> list[Row]:
    """Statements of the essay; iterations are compared up to factor 4, beyond which they level off."""
    rows = []
    narrow = [factor <= 4 for factor in p.factors]
    for k, images in enumerate(p.images):
        wrong = float(arrays["train_error"][k].max())
        rows.append(at_most(f"{images}: largest training error at the end", _TEXT, wrong, 0.0))
        counts = arrays["iterations"][k].mean(axis=0)[narrow].tolist()
        if len(counts) > 1:
            name = f"{images}: iterations to zero training error, by width up to 4"
            rows.append(ordered(name, _TEXT, counts, rising=False))
        errors = arrays["test_error"][k].mean(axis=0).tolist()
        if len(errors) > 1:
            rows.append(ordered(f"{images}: test error, by width", _TEXT, errors, rising=False, slack=0.02))
    return rows


def draw(result: ExperimentResult) -> Figure:
    """Draw errors and iterations against the width factor."""
    a, p = result.arrays, result.parameters
    figure, axes = new_figure(1, 2, width=9.0, height=3.5)
    colors = {"templates": COLORS["blue"], "digits": COLORS["orange"]}
    for k, images in enumerate(p["images"]):
        for place, name, factor in ((axes[0], "test_error", 100.0), (axes[1], "iterations", 1.0)):
            values, color = factor * a[name][k], colors[images]
            label = f"{images}, test" if place is axes[0] else images
            place.plot(a["factors"], values.mean(axis=0), "o-", color=color, label=label)
            place.plot(a["factors"], values.T, ".", color=color, alpha=0.5, markersize=5)
    wrong = 100.0 * a["train_error"].max(axis=(0, 1))
    axes[0].plot(a["factors"], wrong, "s--", color=COLORS["grey"], label="training, all", markersize=4)
    for place in axes:
        place.set_xscale("log", base=2)
        place.set_xticks(a["factors"], [f"{factor:g}" for factor in a["factors"]])
        place.minorticks_off()
        place.legend(loc="upper right")
    axes[1].set_yscale("log")
    finish_axes(axes[0], title="(a) Errors at the end", xlabel="width factor", ylabel="error [%]")
    finish_axes(
        axes[1], title="(b) Iterations to zero training error", xlabel="width factor", ylabel="iterations"
    )
    caption(figure, f"{p['train']} training images; {len(p['seeds'])} seeds (dots)")
    return figure


EXPERIMENT = Experiment(
    id="essay.width",
    title="Errors and iterations of a convolutional network against its width",
    source="Golikov (2019), essay, Figure 1",
    full=Parameters(),
    quick=Parameters(factors=(0.5, 1.0, 4.0), seeds=(0, 1)),
    run=run,
    draw=draw,
    full_seconds=20.0,
    quick_seconds=5.0,
    inferred={
        "images": "stand-ins for CIFAR-10",
        "train": "a stand-in for the essay's 4000 images",
        "test": "a stand-in",
        "noise": "a stand-in",
        "step_size": "not in the essay",
        "momentum": "not in the essay",
        "batch": "not in the essay",
    },
    corrections=(
        "The essay infers from the gradient of one neuron, of order m^(-1/2), that wide networks become "
        "stationary sooner. The full gradient has the squared norm e^T H e, which does not depend on m.",
    ),
)
