"""Step sizes of a run: constant, a function of the step, or a list of numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from lazygram.arrays import check_positive_float

__all__ = ["DecreasingStepSize", "StepSize", "StepSizes"]

StepSize: TypeAlias = float | str | Callable[[int], float] | Iterable[float]


@dataclass(frozen=True)
class DecreasingStepSize:
    """Schedule ``eta_k = step_size (1 + k/delay)^-power``.

    Attributes
    ----------
    step_size : float or "auto"
        eta_0; "auto" is what :func:`lazygram.train` chooses for a constant one (deep networks).
    power : float
        Positive. Steps are summable above 1, their squares above 1/2.
    delay : float
        Steps after which eta has fallen by 2^-power.

    Raises
    ------
    TypeError, ValueError
        A number is not positive and finite; the message names it.

    References
    ----------
    Du, thesis (2019), Theorem 4.4: steps of order k^-(1/2+delta).
    """

    step_size: float | Literal["auto"]
    power: float
    delay: float = 1.0

    def __post_init__(self) -> None:
        if self.step_size != "auto":
            check_positive_float(self.step_size, "step_size")
        check_positive_float(self.power, "power")
        check_positive_float(self.delay, "delay")

    def __call__(self, step: int) -> float:
        if isinstance(self.step_size, str):
            raise ValueError("step_size: 'auto' is settled by a run only; give a number")
        return float(self.step_size * (1.0 + step / self.delay) ** -self.power)

    def __str__(self) -> str:
        return f"{self.step_size:.6g} (1 + k/{self.delay:g})^-{self.power:g}"


class StepSizes:
    """eta_k for k = 0, 1, ...; `constant` is the number if there is one, `text` a schedule that has a name.

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
        self.text: str | None = None
        if isinstance(step_size, DecreasingStepSize):
            self.text = str(step_size)
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
