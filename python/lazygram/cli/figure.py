"""The figure of a training run: loss, smallest eigenvalue, pattern changes, distances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.plotting import (
    COLORS,
    drawable,
    figure_style,
    finish_axes,
    log_scale,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["run_figure"]

History = Mapping[str, npt.NDArray[Any]]


def run_figure(
    history: History,
    title: str,
    *,
    lambda_0: float | None = None,
    frozen: Mapping[str, npt.NDArray[np.float64]] | None = None,
    time: bool = False,
) -> Figure:
    """Draw the four panels of a run.

    Parameters
    ----------
    history : mapping of str to ndarray
        As recorded by :func:`lazygram.train`; panels without data say so.
    title : str
        One line above the panels.
    lambda_0 : float, optional
        Smallest eigenvalue of the infinite-width matrix, drawn with its half.
    frozen : mapping of str to ndarray, optional
        Predicted losses at the recorded steps, by label.
    time : bool, default False
        Draw over the time of the flow instead of steps.
    """
    x = history["time"] if time else history["step"]
    xlabel = "time  t" if time else "step  k"
    argument = "t" if time else "k"
    with figure_style():
        figure, axes = new_figure(2, 2, width=9.5, height=6.2)
        figure.suptitle(title, fontsize=9, color="#444444", x=0.01, ha="left")
        _loss(axes[0], x, history, frozen or {})
        _smallest(axes[1], x, history, lambda_0, argument)
        _patterns(axes[2], x, history)
        _distances(axes[3], x, history)
        labels = (
            "loss",
            r"$\lambda_{\min}$",
            "patterns changed [%]",
            rf"$\Vert w_r({argument}) - w_r(0)\Vert_2$",
        )
        titles = (
            "Training loss",
            f"Smallest eigenvalue of H({argument})",
            "Activation patterns that differ from the start",
            "Distance of the neurons from the start",
        )
        for place, name, label in zip(axes, titles, labels, strict=True):
            finish_axes(place, title=name, xlabel=xlabel, ylabel=label)
            if len(x) > 1:
                place.set_xlim(float(x[0]), float(x[-1]))
    return figure


def _missing(place: Axes) -> None:
    place.text(0.5, 0.5, "not recorded", ha="center", va="center", transform=place.transAxes)


def _loss(
    place: Axes,
    x: npt.NDArray[Any],
    history: History,
    frozen: Mapping[str, npt.NDArray[np.float64]],
) -> None:
    loss = drawable(history["loss"])
    place.plot(x, loss, color=COLORS["blue"], linewidth=2.2, label="training, measured")
    styles = (("--", COLORS["red"]), (":", COLORS["black"]))
    for (label, curve), (style, color) in zip(frozen.items(), styles, strict=False):
        place.plot(x, drawable(curve), style, color=color, label=label)
    if "test_loss" in history:
        test, count = drawable(history["test_loss"]), history["test_predictions"].shape[1]
        place.plot(x, test, color=COLORS["sky"], linewidth=1.2, label=f"test, sum over {count}")
    log_scale(place, loss, *frozen.values())
    place.legend(loc="best")


def _smallest(
    place: Axes,
    x: npt.NDArray[Any],
    history: History,
    lambda_0: float | None,
    argument: str,
) -> None:
    if "lambda_min" not in history:
        return _missing(place)
    measured = drawable(history["lambda_min"])
    place.plot(x, measured, color=COLORS["blue"], label=rf"$\lambda_{{\min}}(H({argument}))$")
    top = float(np.nanmax(measured, initial=0.0))
    if lambda_0 is not None:
        place.axhline(
            lambda_0, color=COLORS["red"], linestyle="--", label=r"$\lambda_0 = \lambda_{\min}(H^\infty)$"
        )
        place.axhline(lambda_0 / 2, color=COLORS["orange"], linestyle=":", label=r"$\lambda_0 / 2$")
        top = max(top, lambda_0)
    if top > 0:
        # From zero, so that the eye compares with lambda_0 / 2; head room for the legend.
        place.set_ylim(min(0.0, float(np.nanmin(measured, initial=0.0))), 1.12 * top)
    place.legend(loc="lower left")


def _patterns(place: Axes, x: npt.NDArray[Any], history: History) -> None:
    if "pattern_change" not in history:
        return _missing(place)
    place.plot(x, 100.0 * drawable(history["pattern_change"]), color=COLORS["blue"])
    place.set_ylim(bottom=0)


def _distances(place: Axes, x: npt.NDArray[Any], history: History) -> None:
    if "max_distance" not in history and "mean_distance" not in history:
        return _missing(place)
    for name, label, color in (
        ("max_distance", "largest of all neurons", COLORS["blue"]),
        ("mean_distance", "mean", COLORS["green"]),
    ):
        if name in history:
            place.plot(x, drawable(history[name]), color=color, label=label)
    place.set_ylim(bottom=0)
    place.legend(loc="best")
