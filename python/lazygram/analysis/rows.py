"""Rows "predicted / measured / holds" of a theory report: how they are made from a run, and printed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

__all__ = [
    "Recorded",
    "TheoryRow",
    "at_least",
    "at_most",
    "descent_log_rate",
    "format_report",
    "rate_row",
    "worst",
]

Float64Array = NDArray[np.float64]


@dataclass(frozen=True)
class TheoryRow:
    """One condition or conclusion of the theory beside what was measured.

    Attributes
    ----------
    name : str
        What the row is about.
    source : str
        Lemma or theorem; "order" marks a hidden constant set to 1, "not in the text" the rest.
    condition : str
        The inequality, with its measured side first.
    predicted : float
        Right-hand side: the required, allowed or claimed value.
    measured : float or None
        Left-hand side as measured; None if the run did not record it.
    holds : bool or None
        Whether the inequality held, at every recorded step where it is about all steps.
    """

    name: str
    source: str
    condition: str
    predicted: float
    measured: float | None
    holds: bool | None


class Recorded:
    """Checked view of the arrays of a run; a non-finite value counts as infinitely bad.

    Parameters
    ----------
    history : mapping of str to array_like
        Recorded arrays, first axis the recorded steps, the first of them step 0.
    flow : bool
        The steps are named "time", not "step".
    dtype : dtype
        Precision of the run. Losses below ``(64 eps)^2`` times the initial one are its rounding floor.

    Raises
    ------
    ValueError
        If the steps (times) are missing, do not start at 0 or do not increase; the methods raise it
        for arrays of another length.
    """

    def __init__(self, history: Mapping[str, ArrayLike], flow: bool, dtype: DTypeLike) -> None:
        axis = "time" if flow else "step"
        self.name = axis
        if axis not in history:
            raise ValueError(f"history: has no {axis!r}, only {sorted(history)}")
        self.axis: Float64Array = np.asarray(history[axis], dtype=np.float64)
        if self.axis.ndim != 1 or self.axis.size == 0 or self.axis[0] != 0.0:
            raise ValueError(f"history[{axis!r}]: must be a vector that starts at 0")
        if (np.diff(self.axis) <= 0.0).any():
            raise ValueError(f"history[{axis!r}]: must increase")
        self._history = history
        self.floor = (64.0 * float(np.finfo(dtype).eps)) ** 2

    def get(self, name: str) -> Float64Array | None:
        """Array (records,) of that name, None if it was not recorded."""
        if name not in self._history:
            return None
        values = np.asarray(self._history[name], dtype=np.float64)
        if values.shape != self.axis.shape:
            raise ValueError(f"history[{name!r}]: shape {self.axis.shape} is needed, got {values.shape}")
        return values

    def layers(self, name: str) -> Float64Array | None:
        """Array (records, layers) of that name, None if it was not recorded."""
        if name not in self._history:
            return None
        values = np.asarray(self._history[name], dtype=np.float64)
        if values.ndim != 2 or values.shape[0] != self.axis.size or values.shape[1] == 0:
            raise ValueError(
                f"history[{name!r}]: shape ({self.axis.size}, layers) is needed, got {values.shape}"
            )
        return values

    def first(self, name: str) -> float | None:
        """Value at step 0."""
        values = self.get(name)
        return None if values is None else float(values[0])

    def largest(self, name: str) -> float | None:
        """Largest value of the run."""
        values = self.get(name)
        return None if values is None else worst(values)

    def distance(self) -> tuple[float | None, bool]:
        """Largest distance of a neuron over the run, and whether that is only an upper bound."""
        exact, bound = self.get("max_distance"), self.largest("max_distance_bound")
        if bound is None or (exact is not None and not np.isnan(exact).any()):
            return self.largest("max_distance"), False
        return bound, True

    def smallest(self, name: str) -> float | None:
        """Smallest value of the run."""
        values = self.get(name)
        return None if values is None else -worst(-values)

    def log_loss(self) -> Float64Array | None:
        """``log(loss / initial loss)``, the rounding floor at -inf, anything not finite at +inf."""
        loss = self.get("loss")
        if loss is None:
            return None
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            ratio = np.where(loss == loss[0], 1.0, loss / loss[0])
            if loss[0] == 0.0:
                ratio = np.where(loss == 0.0, 0.0, np.inf)
            ratio = np.where(np.isfinite(ratio), ratio, np.inf)
            return np.asarray(np.log(np.where(ratio <= self.floor, 0.0, ratio)))

    def slowest_log_rate(self) -> float | None:
        """Slowest mean contraction per unit of time since the start, over all recorded points.

        At most a claimed ``log_rate`` exactly when the bound holds at every one of them.
        """
        log_loss = self.log_loss()
        if log_loss is None or self.axis.size < 2:
            return None
        return float((log_loss[1:] / self.axis[1:]).max())

    def largest_one_step_factor(self) -> float | None:
        """Largest contraction factor of the loss per step between neighbouring records."""
        log_loss = self.log_loss()
        if log_loss is None:
            return None
        # Between two records more than a step apart a bound per step holds for the geometric mean.
        live = np.isfinite(log_loss[:-1])
        gaps = np.diff(self.axis)[live]
        if not gaps.size:
            return None
        with np.errstate(invalid="ignore"):
            drops = log_loss[1:][live] - log_loss[:-1][live]
        return _exp(float((drops / gaps).max()))


def worst(values: Float64Array) -> float:
    """Largest of the values, anything not finite counted as infinite."""
    return float(np.where(np.isfinite(values), values, np.inf).max())


def at_most(name: str, source: str, condition: str, predicted: float, measured: float | None) -> TheoryRow:
    """Row for ``measured <= predicted``."""
    holds = None if measured is None else bool(measured <= predicted)
    return TheoryRow(name, source, condition, float(predicted), measured, holds)


def at_least(name: str, source: str, condition: str, predicted: float, measured: float | None) -> TheoryRow:
    """Row for ``measured >= predicted``."""
    holds = None if measured is None else bool(measured >= predicted)
    return TheoryRow(name, source, condition, float(predicted), measured, holds)


def descent_log_rate(lambda_0: float, step_size: float) -> float:
    """``log(1 - step_size lambda_0 / 2)``; -inf for steps of ``2 / lambda_0`` and above.

    No rate is claimed for such steps, and -inf is met by a zero loss only.
    """
    base = 1.0 - 0.5 * step_size * lambda_0
    return math.log(base) if base > 0.0 else -math.inf


def rate_row(name: str, source: str, condition: str, log_rate: float, run: Recorded) -> TheoryRow:
    """Row for a loss that at every record is at most ``exp(log_rate t)`` times the initial one.

    Predicted and measured are factors per step (unit of time), measured the slowest mean since the start.
    """
    slowest = run.slowest_log_rate()
    measured = None if slowest is None else _exp(slowest)
    holds = None if slowest is None else bool(slowest <= log_rate + 4.0 * np.finfo(np.float64).eps)
    return TheoryRow(
        f"{name}, every recorded {run.name}", source, condition, math.exp(log_rate), measured, holds
    )


def format_report(rows: Sequence[TheoryRow]) -> str:
    """Plain-text table of a report, one line a row.

    Parameters
    ----------
    rows : sequence of TheoryRow

    Returns
    -------
    str
        Columns: name, condition (measured side first), predicted, measured, holds (yes, no, or
        "-" where the run did not record it), source. No trailing newline.
    """
    header = ("quantity", "condition", "predicted", "measured", "holds", "source")
    words = {True: "yes", False: "no", None: "-"}
    table = [header] + [
        (
            row.name,
            row.condition,
            _number(row.predicted),
            _number(row.measured),
            words[row.holds],
            row.source,
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in table) for column in range(len(header))]
    numeric = {2, 3}
    lines = [
        "  ".join(
            cell.rjust(width) if column in numeric else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _number(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "-"
    # A contraction factor of 1 - 1e-7 should not read "1".
    if 1e-12 < abs(value - 1.0) < 1e-3:
        return f"1{value - 1.0:+.2e}"
    return f"{value:.4g}"


def _exp(value: float) -> float:
    return math.exp(value) if value < 700.0 else math.inf
