"""What the figures of all runs share: grid with its caption, the panel of the loss, texts of the axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lazygram.plotting import COLORS, drawable, finish_axes, log_scale, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Curve", "History", "draw_loss", "finish_panels", "new_panels", "not_recorded"]

History = Mapping[str, npt.NDArray[Any]]


class Curve(NamedTuple):
    """A predicted loss at the recorded steps, and how it is drawn."""

    values: npt.NDArray[Any]
    label: str
    style: str
    color: str


def new_panels(
    title: str, rows: int, columns: int, *, width: float, height: float
) -> tuple[Figure, list[Axes]]:
    """Make the grid of a run's figure, with `title` in small letters above its left end."""
    figure, axes = new_figure(rows, columns, width=width, height=height)
    figure.suptitle(title, fontsize=9, color="#444444", x=0.01, ha="left")
    return figure, axes


def not_recorded(place: Axes) -> None:
    """Say that the run has no data for a panel."""
    place.text(0.5, 0.5, "not recorded", ha="center", va="center", transform=place.transAxes)


def draw_loss(
    place: Axes, x: npt.NDArray[Any], history: History, predicted: Sequence[Curve], *, reduction: str
) -> None:
    """Draw the measured loss (a "sum" or "mean"), on test data if there are any, and what was predicted."""
    loss = drawable(history["loss"])
    place.plot(x, loss, color=COLORS["blue"], linewidth=2.2, label="training, measured")
    for curve in predicted:
        place.plot(x, drawable(curve.values), curve.style, color=curve.color, label=curve.label)
    if "test_loss" in history:
        test, count = drawable(history["test_loss"]), history["test_predictions"].shape[1]
        place.plot(x, test, color=COLORS["sky"], linewidth=1.2, label=f"test, {reduction} over {count}")
    log_scale(place, loss, *(np.asarray(curve.values) for curve in predicted))
    place.legend(loc="best")


def finish_panels(
    axes: Sequence[Axes], x: npt.NDArray[Any], texts: Sequence[tuple[str, str]], *, time: bool
) -> None:
    """Set title and ylabel of every panel, and the common x axis: steps, or the time of the flow."""
    for place, (title, label) in zip(axes, texts, strict=True):
        finish_axes(place, title=title, xlabel="time  t" if time else "step  k", ylabel=label)
        if len(x) > 1:
            place.set_xlim(float(x[0]), float(x[-1]))
