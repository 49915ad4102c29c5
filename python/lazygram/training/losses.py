"""Losses as sums over examples: value, derivative in the prediction, bound of the curvature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from lazygram.arrays import Float64

__all__ = [
    "ExponentialLoss",
    "HingeLoss",
    "LogisticLoss",
    "Loss",
    "QuadraticLoss",
    "SquaredHingeLoss",
    "get_loss",
]


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


class _MarginLoss:
    """A loss of the margin y_i u_i alone, for labels -1 and +1."""

    name: str

    def check_labels(self, y: Float64) -> None:
        """Labels must be -1 or +1."""
        wrong = np.flatnonzero(np.abs(y) != 1.0)
        if wrong.size:
            raise ValueError(
                f"y: the {self.name} loss needs labels -1 and +1, got {y[wrong[0]]} at {int(wrong[0])}"
            )


@dataclass(frozen=True)
class LogisticLoss(_MarginLoss):
    """L(u) = sum_i log(1 + exp(-y_i u_i)), the cross-entropy of labels -1 and +1."""

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


@dataclass(frozen=True)
class HingeLoss(_MarginLoss):
    """L(u) = sum_i max(1 - y_i u_i, 0); at margin 1 the derivative is taken as 0."""

    name: str = "hinge"
    curvature: float = np.inf

    def value(self, u: Float64, y: Float64) -> float:
        """L(u)."""
        with np.errstate(over="ignore", invalid="ignore"):
            return float(np.maximum(1.0 - y * u, 0.0).sum())

    def derivative(self, u: Float64, y: Float64) -> Float64:
        """-y_i where y_i u_i < 1, else 0."""
        return np.where(y * u < 1.0, -y, 0.0)


@dataclass(frozen=True)
class SquaredHingeLoss(_MarginLoss):
    """L(u) = (1/2) sum_i max(1 - y_i u_i, 0)^2."""

    name: str = "squared_hinge"
    curvature: float = 1.0

    def value(self, u: Float64, y: Float64) -> float:
        """L(u)."""
        with np.errstate(over="ignore", invalid="ignore"):
            gap = np.maximum(1.0 - y * u, 0.0)
            return 0.5 * float(gap @ gap)

    def derivative(self, u: Float64, y: Float64) -> Float64:
        """-y_i max(1 - y_i u_i, 0)."""
        return -y * np.maximum(1.0 - y * u, 0.0)


@dataclass(frozen=True)
class ExponentialLoss(_MarginLoss):
    """L(u) = sum_i exp(-y_i u_i), of unbounded curvature."""

    name: str = "exponential"
    curvature: float = np.inf

    def value(self, u: Float64, y: Float64) -> float:
        """L(u)."""
        with np.errstate(over="ignore", invalid="ignore"):
            return float(np.exp(-y * u).sum())

    def derivative(self, u: Float64, y: Float64) -> Float64:
        """-y_i exp(-y_i u_i)."""
        with np.errstate(over="ignore"):
            result: Float64 = -y * np.exp(-y * u)
        return result


_LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (QuadraticLoss(), LogisticLoss(), HingeLoss(), SquaredHingeLoss(), ExponentialLoss())
}


def get_loss(loss: str | Loss | Any) -> Loss:
    """Loss by name or any object with the methods of :class:`Loss`.

    Names: "quadratic", "logistic", "hinge", "squared_hinge", "exponential". All are sums over examples,
    without 1/n.

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
