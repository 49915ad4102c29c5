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
    "FILES",
    "Experiment",
    "ExperimentResult",
    "Progress",
    "Row",
    "at_least",
    "at_most",
    "holds",
    "in_band",
    "ordered",
    "share_of",
    "within_factor",
]

FILES = ("data.npz", "results.json", "figure.png", "figure.svg")
"""What a finished experiment leaves in its folder."""


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
    note : str
        What a reader must know to judge this row; a known reason why it fails belongs here.
    """

    name: str
    source: str
    expected: str
    measured: str
    passed: bool
    low: float | None = None
    high: float | None = None
    value: float | None = None
    note: str = ""


def in_band(name: str, source: str, value: float, low: float, high: float, *, note: str = "") -> Row:
    """Expect ``low <= value <= high`` (NaN fails)."""
    passed = bool(low <= value <= high)
    # As many digits as the band needs to be seen.
    texts = [(f"{low:.{digits}g}", f"{high:.{digits}g}", f"{value:.{digits}g}") for digits in (4, 6, 9)]
    fine = [abs(float(t[0]) - low) + abs(float(t[1]) - high) <= 0.05 * (high - low) for t in texts]
    first, last, measured = texts[fine.index(True)] if True in fine else texts[-1]
    return Row(name, source, f"{first} .. {last}", measured, passed, low, high, float(value), note)


def within_factor(
    name: str, source: str, value: float, expected: float, factor: float, *, note: str = ""
) -> Row:
    """Expect ``expected / factor <= value <= expected * factor``, all positive (NaN fails)."""
    low, high = expected / factor, expected * factor
    passed = bool(low <= value <= high)
    text = f"{expected:.4g} (factor {factor:.3g})"
    return Row(name, source, text, f"{value:.4g}", passed, low, high, float(value), note)


def at_most(name: str, source: str, value: float, high: float, *, note: str = "") -> Row:
    """Expect ``value <= high`` (NaN fails)."""
    passed = bool(value <= high)
    return Row(name, source, f"<= {high:.4g}", f"{value:.4g}", passed, None, high, float(value), note)


def at_least(name: str, source: str, value: float, low: float, *, note: str = "") -> Row:
    """Expect ``value >= low`` (NaN fails)."""
    passed = bool(value >= low)
    return Row(name, source, f">= {low:.4g}", f"{value:.4g}", passed, low, None, float(value), note)


def holds(name: str, source: str, passed: bool, expected: str, measured: str, *, note: str = "") -> Row:
    """Expect a statement that is no single number; both texts as they are to be printed."""
    return Row(name, source, expected, measured, bool(passed), note=note)


def ordered(
    name: str,
    source: str,
    values: Sequence[float],
    *,
    rising: bool,
    slack: float = 0.0,
    ends_only: bool = False,
    note: str = "",
) -> Row:
    """Expect each value to be above (`rising`) or below the one before it.

    Parameters
    ----------
    name, source, note : str
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
    return Row(name, source, expected, measured, passed, note=note)


class Progress(Protocol):
    """Called by a running experiment: what it is doing, and the share of the whole done."""

    def __call__(self, message: str, done: float) -> None:
        """Show it."""


def share_of(progress: Progress | None, start: float, share: float, label: str = "") -> Progress:
    """Progress of one stage of an experiment, as a share of the whole; silent for None.

    Parameters
    ----------
    progress : callable or None
        Of the whole.
    start, share : float
        Where the stage begins and how much of the whole it is, both in 0..1.
    label : str, optional
        Put in front of every message.
    """

    def show(message: str, done: float) -> None:
        if progress is not None:
            text = f"{label}: {message}" if label else message
            progress(text, start + share * min(max(done, 0.0), 1.0))

    return show


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
        Further numbers, for ``results.json`` and the report; a list of dictionaries with equal keys is a
        table.
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
    """A published figure, table or claim that one command reproduces.

    Attributes
    ----------
    id, title : str
        For people: "fig2.1" and a line.
    source : str
        The text and the place in it.
    full, quick : dataclass instances
        Settings at the published size, and at a size for a fast look. Fields are numbers, texts, truth
        values, or tuples of them, so that ``--set`` can change them.
    run : callable
        ``run(parameters, folder, progress) -> ExperimentResult``; `folder` (or None) keeps
        finished parts (:class:`~lazygram.experiments.parts.Parts`), so that an interrupted run goes on
        where it stopped.
    draw : callable
        ``draw(result) -> matplotlib.figure.Figure``.
    full_seconds, quick_seconds : float
        Rough durations with one thread, for the list and for starting long ones first.
    inferred : mapping of str to str
        Settings that the text does not print, and where the value comes from; the report marks them.
    corrections : tuple of str
        Where the text was found to be wrong, and what holds instead.
    """

    id: str
    title: str
    source: str
    full: Any
    quick: Any
    run: Callable[[Any, Path | None, Progress | None], ExperimentResult]
    draw: Callable[[ExperimentResult], Figure]
    full_seconds: float = 60.0
    quick_seconds: float = 5.0
    inferred: Mapping[str, str] = field(default_factory=dict)
    corrections: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in self.inferred:
            if name not in self._settings():
                raise ValueError(f"inferred: {name} is not a setting of {self.id}")

    def _settings(self) -> list[str]:
        return [entry.name for entry in dataclasses.fields(self.full)]

    def parameters(self, quick: bool = False, overrides: Mapping[str, Any] | None = None) -> Any:
        """Take a preset and change some of its settings.

        Raises
        ------
        ValueError
            If a setting does not exist or does not fit; the message names it.
        """
        for name in overrides or {}:
            if name not in self._settings():
                raise ValueError(
                    f"{name} is not a setting of {self.id}; it has {', '.join(self._settings())}"
                )
        return dataclasses.replace(self.quick if quick else self.full, **(overrides or {}))

    def save(
        self,
        result: ExperimentResult,
        folder: str | os.PathLike[str],
        facts: Mapping[str, Any] | None = None,
    ) -> list[Path]:
        """Write ``data.npz``, ``results.json``, ``figure.png`` and ``figure.svg`` to `folder`.

        ``results.json`` comes last: where it is, the others are, and they are of the same run.

        Parameters
        ----------
        result : ExperimentResult
            What :attr:`run` gave.
        folder : path-like
            Where to.
        facts : mapping, optional
            Further facts about the run (duration, version, machine), kept as ``run`` in ``results.json``.

        Returns
        -------
        list of pathlib.Path
            The files written.

        Raises
        ------
        OSError
            If a file cannot be written.
        ImportError
            If matplotlib is missing; the data are written before.
        """
        place = Path(folder)
        data, results = place / "data.npz", place / "results.json"
        results.unlink(missing_ok=True)
        write_npz(data, result.arrays)
        with figure_style():
            figure = self.draw(result)
        drawn = save_figure(figure, place / "figure", (".png", ".svg"))
        texts = {"source": self.source, "inferred": self.inferred, "corrections": self.corrections}
        write_json(results, {**result.to_dict(), **texts, "run": facts or {}})
        return [data, results, *drawn]
