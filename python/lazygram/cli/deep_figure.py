"""The figure of a deep network's run: loss, and layer by layer eigenvalues, movement, patterns,
linearisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.cli.panels import Curve, History, draw_loss, finish_panels, new_panels, not_recorded
from lazygram.plotting import COLORS, drawable, figure_style, log_scale, ordered_colors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["deep_figure"]
_FROZEN = {
    "initial": ("linearised, frozen $G(0)$", ":", COLORS["black"]),
    "infinite": ("linearised, infinite-width NTK", "--", COLORS["red"]),
}


def deep_figure(
    history: History,
    title: str,
    *,
    names: Sequence[str],
    limits: Sequence[float] | None = None,
    initial_gaps: Sequence[float] | None = None,
    linearised: Mapping[str, npt.NDArray[Any]] | None = None,
    distances: Mapping[str, npt.NDArray[Any]] | None = None,
    reduction: str = "sum",
    time: bool = False,
) -> Figure:
    """Draw the six panels of a run.

    Parameters
    ----------
    history : mapping of str to ndarray
        As recorded by :func:`lazygram.train`; panels without data say so.
    title : str
        One line above the panels.
    names : sequence of str
        Of the parameters, "W1", ..., "a".
    limits : sequence of float, optional
        lambda_min of the limits of their Gram matrices.
    initial_gaps : sequence of float, optional
        Distances of the initial Gram matrices from these limits.
    linearised : mapping of str to ndarray, optional
        Losses of the linearised networks "initial" and "infinite" at the recorded steps.
    distances : mapping of str to ndarray, optional
        "distance_NAME" and "test_distance_NAME" of them.
    reduction : {"sum", "mean"}
        Of the losses.
    time : bool, default False
        Draw over the time of the flow instead of steps.
    """
    x = history["time"] if time else history["step"]
    predicted = [Curve(values, *_FROZEN[name]) for name, values in (linearised or {}).items()]
    with figure_style():
        figure, axes = new_panels(title, 2, 3, width=13.0, height=6.4)
        draw_loss(axes[0], x, history, predicted, reduction=reduction)
        _layers(axes[1], x, history, "layer_lambda_min", names, limits, log=True)
        _layers(axes[2], x, history, "layer_gram_change", names, initial_gaps, "$G^{(h)}(0)$ from its limit")
        _layers(axes[3], x, history, "layer_movement", names)
        _layers(axes[4], x, history, "pattern_change", names, percent=True)
        _distances(axes[5], x, distances or {})
        texts = (
            ("Training loss", "loss"),
            ("Smallest eigenvalue of every layer's Gram matrix", r"$\lambda_{\min}(G^{(h)})$"),
            ("Change of every layer's Gram matrix", r"$\Vert G^{(h)}-G^{(h)}(0)\Vert_2$"),
            ("Movement of the weights", r"$\Vert W^{(h)}-W^{(h)}(0)\Vert_F\,/\,\Vert W^{(h)}(0)\Vert_F$"),
            ("Activation patterns that differ from the start", "changed [%]"),
            ("Distance from the linearised network", r"rms difference / rms of $u(0)-y$"),
        )
        finish_panels(axes, x, texts, time=time)
    return figure


def _layers(
    place: Axes,
    x: npt.NDArray[Any],
    history: History,
    name: str,
    names: Sequence[str],
    levels: Sequence[float] | None = None,
    what: str = "infinite width",
    *,
    log: bool = False,
    percent: bool = False,
) -> None:
    """One curve per layer; a level of it as a dashed line in its colour, `what` in the legend."""
    if name not in history:
        return not_recorded(place)
    values = drawable(history[name]) * (100.0 if percent else 1.0)
    for layer, color in zip(range(values.shape[1]), ordered_colors(len(names)), strict=False):
        place.plot(x, values[:, layer], color=color, label=names[layer])
        if levels is not None:
            place.axhline(levels[layer], color=color, linestyle="--", linewidth=0.9)
    if levels is not None:
        place.plot([], [], "--", color=COLORS["black"], linewidth=0.9, label=what)
    if log:
        log_scale(place, values, np.asarray(levels if levels is not None else [], dtype=np.float64))
    else:
        place.set_ylim(bottom=0)
    place.legend(loc="best", ncols=2)


def _distances(place: Axes, x: npt.NDArray[Any], distances: Mapping[str, npt.NDArray[Any]]) -> None:
    if not distances:
        return not_recorded(place)
    for name in ("initial", "infinite"):
        label, _, color = _FROZEN[name]
        for prefix, style, text in (("distance_", "-", ""), ("test_distance_", ":", ", test")):
            if prefix + name in distances:
                place.plot(x, drawable(distances[prefix + name]), style, color=color, label=label + text)
    place.set_ylim(bottom=0)
    place.legend(loc="best")
