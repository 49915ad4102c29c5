"""Figures in one style: drawn off screen with matplotlib, imported only when one is drawn."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lazygram.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COLORS",
    "caption",
    "drawable",
    "figure_style",
    "finish_axes",
    "log_scale",
    "log_ticks",
    "new_figure",
    "ordered_colors",
    "require_matplotlib",
    "save_figure",
]

# Okabe and Ito's colours (2008), distinguishable with every common colour blindness; yellow is
# left out because it is too light for a line on white.
COLORS = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "blue": "#0072B2",
    "red": "#D55E00",
    "purple": "#CC79A7",
    "grey": "#7F7F7F",
}

_HUGE = 1e150

_STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#444444",
    "axes.grid": True,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "figure.dpi": 100,
    "font.size": 9,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "legend.fontsize": 8,
    "legend.frameon": True,
    "legend.framealpha": 0.9,
    "legend.edgecolor": "none",
    "lines.linewidth": 1.5,
    "savefig.dpi": 150,
    "svg.hashsalt": "lazygram",  # equal figures give equal files
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}


def require_matplotlib() -> None:
    """Check that matplotlib can be imported.

    Raises
    ------
    ImportError
        If it cannot; the message says how to install it.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            'figures need matplotlib, which is not installed: pip install "lazygram[cli]"'
        ) from error


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw with lazygram's style inside the block; settings of the caller come back after it."""
    require_matplotlib()
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        yield


def new_figure(rows: int, columns: int, *, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Make a figure with a grid of axes, row by row.

    The figure belongs to no window system and no pyplot state, so that drawing works without a
    display, in any thread, and leaves nothing behind.

    Parameters
    ----------
    rows, columns : int
        The grid.
    width, height : float
        Size in inches.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, list(axes.ravel())


def ordered_colors(count: int) -> list[str]:
    """Give `count` colours for an ordered quantity (widths), dark to light, colour-blind safe."""
    require_matplotlib()
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    # The top of viridis is too light on white.
    places = np.linspace(0.0, 0.82, count) if count > 1 else np.array([0.3])
    return [to_hex(colormaps["viridis"](place)) for place in places]


def finish_axes(axes: Axes, *, title: str, xlabel: str, ylabel: str) -> None:
    """Set the texts of a panel."""
    axes.set_title(title)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)


def drawable(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Make values fit to draw: what is not finite becomes a gap, huge ones are cut off.

    Diverging runs come near the end of the float64 range, where matplotlib's margins overflow.
    """
    floats = np.asarray(values, dtype=np.float64)
    return np.where(np.isfinite(floats), np.clip(floats, -_HUGE, _HUGE), np.nan)


def log_scale(axes: Axes, *curves: npt.NDArray[np.float64]) -> None:
    """Make the y axis logarithmic if some value of `curves` is positive.

    A range of a few roundings, which matplotlib cannot scale, is widened.
    """
    values = np.concatenate([drawable(curve).ravel() for curve in curves])
    values = values[values > 0]
    if not len(values):
        return
    axes.set_yscale("log")
    low, high = float(values.min()), float(values.max())
    if high < 1.001 * low:
        axes.set_ylim(low / 2, high * 2)


def log_ticks(axes: Axes, values: Sequence[float] | npt.NDArray[Any]) -> None:
    """Make the x axis logarithmic with ticks at `values` alone, which matplotlib would crowd with others."""
    axes.set_xscale("log")
    axes.set_xticks([float(value) for value in values], [f"{value:g}" for value in values])
    axes.set_xticks([], minor=True)


def caption(figure: Figure, text: str) -> None:
    """Say in small grey letters at the upper right which settings the figure shows."""
    figure.suptitle(text, fontsize=9, color="#444444", x=0.995, ha="right")


def save_figure(
    figure: Figure, path: str | os.PathLike[str], suffixes: Sequence[str] = (".png",)
) -> list[Path]:
    """Write a figure, one file per suffix, each whole or not at all.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure.
    path : path-like
        Where to, without suffix.
    suffixes : sequence of str
        From ``".png"``, ``".svg"``, ``".pdf"``.

    Returns
    -------
    list of pathlib.Path
        The files written.
    """
    written = []
    for suffix in suffixes:
        target = Path(f"{os.fspath(path)}{suffix}")
        metadata = {"Date": None} if suffix == ".svg" else None
        with figure_style(), atomic_path(target) as temporary:
            figure.savefig(temporary, metadata=metadata)
        written.append(target)
    return written
