"""The figure of a training run: loss, smallest eigenvalue, pattern changes, distances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.cli.panels import Curve, History, draw_loss, finish_panels, new_panels, not_recorded
from lazygram.plotting import COLORS, drawable, figure_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["run_figure"]


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
    argument = "t" if time else "k"
    styles = (("--", COLORS["red"]), (":", COLORS["black"]))
    predicted = [
        Curve(values, label, *style)
        for (label, values), style in zip((frozen or {}).items(), styles, strict=False)
    ]
    with figure_style():
        figure, axes = new_panels(title, 2, 2, width=9.5, height=6.2)
        draw_loss(axes[0], x, history, predicted, reduction="sum")
        _smallest(axes[1], x, history, lambda_0, argument)
        _patterns(axes[2], x, history)
        _distances(axes[3], x, history)
        texts = (
            ("Training loss", "loss"),
            (f"Smallest eigenvalue of H({argument})", r"$\lambda_{\min}$"),
            ("Activation patterns that differ from the start", "patterns changed [%]"),
            ("Distance of the neurons from the start", rf"$\Vert w_r({argument}) - w_r(0)\Vert_2$"),
        )
        finish_panels(axes, x, texts, time=time)
    return figure


def _smallest(
    place: Axes,
    x: npt.NDArray[Any],
    history: History,
    lambda_0: float | None,
    argument: str,
) -> None:
    if "lambda_min" not in history:
        return not_recorded(place)
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
        return not_recorded(place)
    place.plot(x, 100.0 * drawable(history["pattern_change"]), color=COLORS["blue"])
    place.set_ylim(bottom=0)


def _distances(place: Axes, x: npt.NDArray[Any], history: History) -> None:
    if "max_distance" not in history and "mean_distance" not in history:
        return not_recorded(place)
    for name, label, color in (
        ("max_distance", "largest of all neurons", COLORS["blue"]),
        ("mean_distance", "mean", COLORS["green"]),
    ):
        if name in history:
            place.plot(x, drawable(history[name]), color=color, label=label)
    place.set_ylim(bottom=0)
    place.legend(loc="best")
