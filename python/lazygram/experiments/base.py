"""What an experiment is: presets, a run, expected numbers with bands, a figure, files."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from lazygram.files import write_json, write_npz
from lazygram.plotting import figure_style, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Experiment",
    "ExperimentResult",
    "Progress",
    "Row",
    "at_most",
    "in_band",
    "ordered",
]


@dataclass(frozen=True)
class Row:
    """One expectation beside what was measured.

    Attributes
    ----------
    name : str
        What was measured, with its width or other setting.
    source : str
        Where the expectation comes from.
    expected, measured : str
        Both as printed.
    passed : bool
        Whether the measurement is as expected.
    low, high, value : float or None
        The band and the measurement as numbers, where they are single numbers.
    """

    name: str
    source: str
    expected: str
    measured: str
    passed: bool
    low: float | None = None
    high: float | None = None
    value: float | None = None


def in_band(name: str, source: str, value: float, low: float, high: float) -> Row:
    """Expect ``low <= value <= high`` (NaN fails)."""
    passed = bool(low <= value <= high)
    return Row(name, source, f"{low:.4g} .. {high:.4g}", f"{value:.4g}", passed, low, high, float(value))


def at_most(name: str, source: str, value: float, high: float) -> Row:
    """Expect ``value <= high`` (NaN fails)."""
    passed = bool(value <= high)
    return Row(name, source, f"<= {high:.4g}", f"{value:.4g}", passed, None, high, float(value))


def ordered(
    name: str,
    source: str,
    values: Sequence[float],
    *,
    rising: bool,
    slack: float = 0.0,
    ends_only: bool = False,
) -> Row:
    """Expect each value to be above (`rising`) or below the one before it.

    Parameters
    ----------
    name, source : str
        As in :class:`Row`.
    values : sequence of float
        In the order of the quantity that should move them.
    rising : bool
        The direction.
    slack : float, default 0
        How far a neighbour may go the other way, for values whose seed spread is known to exceed
        their differences; the last must still be beyond the first.
    ends_only : bool, default False
        Compare only the first with the last.
    """
    steps = np.diff(np.asarray(values, dtype=np.float64))
    steps = steps if rising else -steps  # their sum is last minus first
    neighbours = ends_only or (steps > -slack).all()
    passed = bool(neighbours and (len(steps) == 0 or steps.sum() > 0))
    expected = "increasing" if rising else "decreasing"
    if ends_only:
        expected = "last above first" if rising else "last below first"
    elif slack > 0:
        expected += f", neighbours to {slack:.2g}"
    arrow = " < " if rising else " > "
    sign = [arrow if step > 0 else " !" + arrow.strip() + " " for step in steps]
    texts = [f"{value:.4g}" for value in values]
    measured = texts[0] + "".join(s + t for s, t in zip(sign, texts[1:], strict=True))
    return Row(name, source, expected, measured, passed)


class Progress(Protocol):
    """Called by a running experiment: what it is doing, and the share of the whole done."""

    def __call__(self, message: str, done: float) -> None:
        """Show it."""


@dataclass
class ExperimentResult:
    """What came out of an experiment.

    Attributes
    ----------
    id, title : str
        Of the experiment.
    parameters : dict
        All settings of this run.
    rows : list of Row
        Expected beside measured.
    arrays : dict of str to ndarray
        The data of the figure.
    notes : list of str
        What a reader must know to judge the result.
    summary : dict
        Further numbers, for ``results.json``.
    """

    id: str
    title: str
    parameters: dict[str, Any]
    rows: list[Row]
    arrays: dict[str, npt.NDArray[Any]]
    notes: list[str] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether every expectation was met."""
        return all(row.passed for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the arrays, for JSON."""
        return {
            "experiment": self.id,
            "title": self.title,
            "passed": self.passed,
            "parameters": self.parameters,
            "rows": [dataclasses.asdict(row) for row in self.rows],
            "notes": self.notes,
            "summary": self.summary,
        }


@dataclass(frozen=True)
class Experiment:
    """A published figure or table that one command reproduces.

    Attributes
    ----------
    id, title : str
        For people: "fig2.1" and a line.
    source : str
        The text and the place in it.
    full, quick : dataclass instances
        Settings at the published size, and at a size for a fast look.
    run : callable
        ``run(parameters, folder, progress) -> ExperimentResult``; `folder` (or None) keeps
        finished parts, so that an interrupted run goes on where it stopped.
    draw : callable
        ``draw(result) -> matplotlib.figure.Figure``.
    """

    id: str
    title: str
    source: str
    full: Any
    quick: Any
    run: Callable[[Any, Path | None, Progress | None], ExperimentResult]
    draw: Callable[[ExperimentResult], Figure]

    def parameters(self, quick: bool = False, overrides: Mapping[str, Any] | None = None) -> Any:
        """Take a preset and change some of its settings.

        Raises
        ------
        ValueError
            If a setting does not exist or does not fit; the message names it.
        """
        preset = self.quick if quick else self.full
        known = [entry.name for entry in dataclasses.fields(preset)]
        for name in overrides or {}:
            if name not in known:
                raise ValueError(f"{name} is not a setting of {self.id}; it has {', '.join(known)}")
        return dataclasses.replace(preset, **(overrides or {}))

    def save(self, result: ExperimentResult, folder: str | os.PathLike[str]) -> list[Path]:
        """Write ``data.npz``, ``results.json``, ``figure.png`` and ``figure.svg`` to `folder`.

        Returns
        -------
        list of pathlib.Path
            The files written.

        Raises
        ------
        OSError
            If a file cannot be written.
        ImportError
            If matplotlib is missing; the data and results are written before.
        """
        place = Path(folder)
        write_npz(place / "data.npz", result.arrays)
        write_json(place / "results.json", result.to_dict())
        with figure_style():
            figure = self.draw(result)
        drawn = save_figure(figure, place / "figure", (".png", ".svg"))
        return [place / "data.npz", place / "results.json", *drawn]
