"""Essay, Figure 1: wider convolutional networks fit the training set in fewer steps and generalise no worse.

The essay's networks and images (CIFAR-10) are not at hand. Stand-in: a small convolutional network whose
numbers of filters are multiplied by a width factor, on synthetic images of ten classes (a smooth template
each, shifted at random, with noise), trained by SGD with momentum until no training image is classified
wrongly. It shows the direction of the effects and nothing about the essay's numbers.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.arrays import check_positive_float, check_positive_int
from lazygram.experiments.base import Experiment, ExperimentResult, Progress, Row, at_most, ordered, share_of
from lazygram.experiments.checks import check_floats, check_seeds
from lazygram.experiments.parts import Parts
from lazygram.optimizers import minibatches, sgd
from lazygram.plotting import COLORS, finish_axes, new_figure
from lazygram.problems.conv_classifier import ConvClassifier, template_images

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPERIMENT", "Parameters"]

_TEXT = "essay, Figure 1"


@dataclass(frozen=True)
class Parameters:
    """Settings of the experiment.

    Attributes
    ----------
    factors : tuple of float
        Width factors: 4 and 8 filters times the factor.
    train, test : int
        Images.
    noise : float
        Standard deviation of the images' noise; templates have mean square 1.
    step_size, momentum : float
    batch : int
        Images of a step.
    epochs : int
        At most; training ends at the first epoch after which no training image is wrong.
    seeds : tuple of int
        One run of every width per seed, of images, weights and batches; curves are means.
    """

    factors: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
    train: int = 400
    test: int = 2000
    noise: float = 1.2
    step_size: float = 0.03
    momentum: float = 0.9
    batch: int = 50
    epochs: int = 500
    seeds: tuple[int, ...] = (0, 1, 2)

    def __post_init__(self) -> None:
        for name in ("train", "test", "batch", "epochs"):
            check_positive_int(getattr(self, name), name)
        for name in ("noise", "step_size"):
            check_positive_float(getattr(self, name), name)
        if not 0.0 <= self.momentum < 1.0:
            raise ValueError(f"momentum: must be in [0, 1), got {self.momentum}")
        if self.batch > self.train:
            raise ValueError(f"batch: must be at most train = {self.train}, got {self.batch}")
        check_floats(self.factors, "factors", increasing=True)
        check_seeds(self.seeds, "seeds")


def run(
    parameters: Parameters, folder: Path | None = None, progress: Progress | None = None
) -> ExperimentResult:
    """Train every width for every seed and compare with the essay's statements.

    Parameters
    ----------
    parameters : Parameters
        Settings.
    folder : Path, optional
        Where finished networks are kept.
    progress : callable, optional
        Shown what is being computed.

    Returns
    -------
    ExperimentResult
        Arrays of shape (seeds, factors): "iterations", "train_error" and "test_error" (shares) at the end.
    """
    p = parameters
    parts = Parts(folder)
    shape = (len(p.seeds), len(p.factors))
    arrays: dict[str, npt.NDArray[Any]] = {
        name: np.full(shape, np.nan) for name in ("iterations", "train_error", "test_error")
    }
    # A width costs about its square; so does its share of the progress.
    costs = np.array([1.0 + factor**2 for factor in p.factors])
    done, total = 0.0, float(costs.sum() * len(p.seeds))
    for s, seed in enumerate(p.seeds):
        for w, factor in enumerate(p.factors):
            tell = share_of(progress, done / total, costs[w] / total, f"seed {seed}, width factor {factor:g}")
            settings = {**dataclasses.asdict(p), "factors": 0, "seeds": 0, "factor": factor, "seed": seed}
            part = parts.get(
                f"factor-{factor:g}-seed-{seed}", settings, partial(_train, p, factor, seed, tell)
            )
            for name, values in arrays.items():
                values[s, w] = float(part[name])
            done += costs[w]
    arrays["factors"] = np.array(p.factors)
    notes = [
        "Not the essay's data: synthetic images in place of CIFAR-10, a small network in place of its own. "
        "Only the direction of the effects is compared.",
        *parts.notes(),
    ]
    rows = _expectations(p, arrays)
    return ExperimentResult(EXPERIMENT.id, EXPERIMENT.title, dataclasses.asdict(p), rows, arrays, notes)


def _train(p: Parameters, factor: float, seed: int, tell: Progress) -> dict[str, npt.ArrayLike]:
    X, labels, templates = template_images(p.train, noise=p.noise, seed=np.random.default_rng([seed, 0]))
    test, test_labels, _ = template_images(
        p.test, noise=p.noise, seed=np.random.default_rng([seed, 1]), templates=templates
    )
    net = ConvClassifier(factor)
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
    rows = [at_most("largest training error at the end", _TEXT, float(arrays["train_error"].max()), 0.0)]
    few = [
        float(count)
        for factor, count in zip(p.factors, arrays["iterations"].mean(axis=0), strict=True)
        if factor <= 4
    ]
    if len(few) > 1:
        rows.append(ordered("iterations to zero training error, by width up to 4", _TEXT, few, rising=False))
    errors = arrays["test_error"].mean(axis=0).tolist()
    if len(errors) > 1:
        rows.append(ordered("test error, by width", _TEXT, errors, rising=False, slack=0.02))
    return rows


def draw(result: ExperimentResult) -> Figure:
    """Draw errors and iterations against the width factor."""
    a, p = result.arrays, result.parameters
    figure, axes = new_figure(1, 2, width=9.0, height=3.5)
    curves = (
        (axes[0], 100 * a["test_error"], COLORS["red"], "test"),
        (axes[0], 100 * a["train_error"], COLORS["blue"], "training"),
        (axes[1], a["iterations"], COLORS["blue"], "mean"),
    )
    for place, values, color, label in curves:
        place.plot(a["factors"], values.mean(axis=0), "o-", color=color, label=label)
        place.plot(a["factors"], values.T, ".", color=color, alpha=0.5, markersize=5)
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
    figure.suptitle(
        f"synthetic images, {p['train']} for training; {len(p['seeds'])} seeds (dots)",
        fontsize=9,
        color="#444444",
        x=0.995,
        ha="right",
    )
    return figure


EXPERIMENT = Experiment(
    id="essay.width",
    title="Errors and iterations of a convolutional network against its width",
    source="Golikov (2019), essay, Figure 1",
    full=Parameters(),
    quick=Parameters(factors=(0.25, 1.0, 4.0), seeds=(0, 1)),
    run=run,
    draw=draw,
    full_seconds=30.0,
    quick_seconds=5.0,
    inferred={
        "train": "a stand-in for the essay's 4000 images of CIFAR-10",
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
