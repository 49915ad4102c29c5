"""Losses as sums over examples: value, derivative in the prediction, bound of the curvature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from lazygram.arrays import Float64

__all__ = ["LogisticLoss", "Loss", "QuadraticLoss", "get_loss"]


@runtime_checkable
class Loss(Protocol):
    """What `train` needs of a loss L(u) = sum_i l(u_i, y_i)."""

    @property
    def name(self) -> str:
        """Short name, kept in summaries and checkpoints."""

    @property
    def curvature(self) -> float:
        """Upper bound of the second derivative of l in u; inf if there is none."""

    def value(self, u: Float64, y: Float64) -> float:
        """L(u)."""

    def derivative(self, u: Float64, y: Float64) -> Float64:
        """dl/du at every example, shape (n,)."""

    def check_labels(self, y: Float64) -> None:
        """Raise ValueError naming `y` when the labels do not suit the loss."""


@dataclass(frozen=True)
class QuadraticLoss:
    """L(u) = (1/2) sum_i (u_i - y_i)^2, without 1/n (Du, thesis, ch. 2)."""

    name: str = "quadratic"
    curvature: float = 1.0

    def value(self, u: Float64, y: Float64) -> float:
        """L(u)."""
        with np.errstate(over="ignore", invalid="ignore"):  # divergence shows as a non-finite loss
            e = u - y
            return 0.5 * float(e @ e)

    def derivative(self, u: Float64, y: Float64) -> Float64:
        """u - y."""
        return u - y

    def check_labels(self, y: Float64) -> None:
        """Any finite labels will do."""


@dataclass(frozen=True)
class LogisticLoss:
    """L(u) = sum_i log(1 + exp(-y_i u_i)) for labels -1 and +1."""

    name: str = "logistic"
    curvature: float = 0.25

    def value(self, u: Float64, y: Float64) -> float:
        """L(u)."""
        with np.errstate(over="ignore", invalid="ignore"):  # divergence shows as a non-finite loss
            return float(np.logaddexp(0.0, -y * u).sum())

    def derivative(self, u: Float64, y: Float64) -> Float64:
        """-y_i / (1 + exp(y_i u_i))."""
        with np.errstate(over="ignore"):  # exp overflows to inf and the quotient is then exactly 0
            result: Float64 = -y / (1.0 + np.exp(y * u))
        return result

    def check_labels(self, y: Float64) -> None:
        """Labels must be -1 or +1."""
        wrong = np.flatnonzero(np.abs(y) != 1.0)
        if wrong.size:
            raise ValueError(
                f"y: the logistic loss needs labels -1 and +1, got {y[wrong[0]]} at {int(wrong[0])}"
            )


_LOSSES: dict[str, Loss] = {"quadratic": QuadraticLoss(), "logistic": LogisticLoss()}


def get_loss(loss: str | Loss | Any) -> Loss:
    """Loss by name ("quadratic", "logistic") or any object with the methods of :class:`Loss`.

    Raises
    ------
    ValueError
        Unknown name.
    TypeError
        Neither a name nor a loss.
    """
    if isinstance(loss, str):
        if loss not in _LOSSES:
            raise ValueError(f"loss: one of {', '.join(sorted(_LOSSES))} is needed, got {loss!r}")
        return _LOSSES[loss]
    if isinstance(loss, Loss) and not isinstance(loss, type):
        return loss
    raise TypeError(f"loss: a name or an object like lazygram.Loss is needed, got {loss!r}")
