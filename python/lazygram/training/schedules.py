"""Step sizes of a run: constant, a function of the step, or a list of numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from lazygram.arrays import check_positive_float

__all__ = ["StepSize", "StepSizes"]

StepSize: TypeAlias = float | str | Callable[[int], float] | Iterable[float]


class StepSizes:
    """eta_k for k = 0, 1, ...

    Parameters
    ----------
    step_size : float, callable or list of float
        The same number at every step; a function of the step; or at least `steps` numbers.
    steps : int
        Steps that will be asked for.

    Raises
    ------
    TypeError, ValueError
        Not a positive number; a list that is too short.
    """

    def __init__(self, step_size: float | Callable[[int], float] | Iterable[float], steps: int) -> None:
        self.constant: float | None = None
        self._rule: Callable[[int], float] | None = None
        self._list: list[float] = []
        if callable(step_size):
            self._rule = step_size
            check_positive_float(step_size(0), "step_size(0)")
        elif isinstance(step_size, Iterable):
            self._list = [check_positive_float(eta, "step_size") for eta in step_size]
            if len(self._list) < max(steps, 1):
                raise ValueError(f"step_size: {max(steps, 1)} numbers are needed, got {len(self._list)}")
        else:
            self.constant = check_positive_float(step_size, "step_size")

    def __getitem__(self, step: int) -> float:
        if self.constant is not None:
            return self.constant
        if self._rule is not None:
            return check_positive_float(self._rule(step), f"step_size({step})")
        return self._list[step]

    def before(self, step: int) -> float:
        """The step size that led to `step`; at the start that of the first step."""
        return self[max(step - 1, 0)]
