"""Losses as sums over examples: value, derivative in the predictions, bound of the curvature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from lazygram.arrays import Float64, as_matrix, as_real_array, as_vector

__all__ = [
    "CrossEntropyLoss",
    "DerivativeLoss",
    "ExponentialLoss",
    "HingeLoss",
    "LogisticLoss",
    "Loss",
    "QuadraticLoss",
    "SquaredHingeLoss",
    "as_targets",
    "check_loss",
    "get_loss",
]


@runtime_checkable
class Loss(Protocol):
    """What `train` needs of a loss L(u) = sum_i l(u_i, y_i).

    u and y are (n,), or (n, outputs) for a network of several outputs.
    """

    @property
    def name(self) -> str:
        """Short name, kept in summaries and checkpoints."""

    @property
    def curvature(self) -> float:
        """Upper bound of the second derivative of l in u (of the Hessian's eigenvalues); inf if none."""

    def value(self, u: Float64, y: Float64) -> float:
        """L(u)."""

    def derivative(self, u: Float64, y: Float64) -> Float64:
        """dl/du at every example, shape of u."""

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
            e = (u - y).ravel()
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
                f"y: the {self.name} loss needs labels -1 and +1, got {y.flat[wrong[0]]} at {int(wrong[0])}"
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
            return 0.5 * float(np.square(gap).sum())

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


@dataclass(frozen=True)
class CrossEntropyLoss:
    """L(u) = sum_i (log sum_o exp(u_io) - sum_o y_io u_io), y_i a probability vector (one-hot for classes).

    The softmax cross-entropy up to the entropy of the labels, which is zero for classes.
    """

    name: str = "cross_entropy"
    curvature: float = 0.5  # of diag(p) - p p^T: for p = (1/2, 1/2, 0, ...)

    def value(self, u: Float64, y: Float64) -> float:
        """L(u)."""
        with np.errstate(over="ignore", invalid="ignore"):  # divergence shows as a non-finite loss
            shifted = u - u.max(axis=1, keepdims=True)
            # The rows of y sum to one, so a shift of u_i changes nothing.
            return float((np.log(np.exp(shifted).sum(axis=1)) - (y * shifted).sum(axis=1)).sum())

    def derivative(self, u: Float64, y: Float64) -> Float64:
        """softmax(u_i) - y_i."""
        with np.errstate(over="ignore", invalid="ignore"):
            weights = np.exp(u - u.max(axis=1, keepdims=True))
            result: Float64 = weights / weights.sum(axis=1, keepdims=True) - y
        return result

    def check_labels(self, y: Float64) -> None:
        """Rows must be probabilities, one for each of at least two outputs."""
        if y.ndim != 2:
            raise ValueError("y: the cross-entropy loss needs a network of several outputs (outputs=)")
        # 1e-6 lets float32 probabilities pass.
        wrong = np.flatnonzero((y < 0).any(axis=1) | (np.abs(y.sum(axis=1) - 1.0) > 1e-6))
        if wrong.size:
            raise ValueError(f"y: row {int(wrong[0])} is not a probability vector or a class")


@dataclass(frozen=True)
class DerivativeLoss:
    """A loss given by a function dl/du(u, y), which is all that descent needs.

    Parameters
    ----------
    function : callable
        ``function(u, y) -> dl/du``: arrays of the shape of u in, one of that shape out.
    loss : callable, optional
        ``loss(u, y) -> float``, the sum over the examples. Without it the recorded loss is nan.
    curvature : float, default inf
        Upper bound of the second derivative, for ``step_size="auto"``.
    name : str
        Kept in summaries and checkpoints: a run resumes only under the same name.
    """

    function: Callable[[Float64, Float64], npt.ArrayLike]
    loss: Callable[[Float64, Float64], float] | None = None
    curvature: float = float("inf")
    name: str = "own"

    def value(self, u: Float64, y: Float64) -> float:
        """L(u), or nan."""
        return float("nan") if self.loss is None else float(self.loss(u, y))

    def derivative(self, u: Float64, y: Float64) -> Float64:
        """What the function says, its shape checked."""
        result = np.asarray(self.function(u, y), np.float64)
        if result.shape != u.shape:
            raise ValueError(f"loss: dl/du must have the shape of u, {u.shape}, got {result.shape}")
        return result

    def check_labels(self, y: Float64) -> None:
        """Any finite labels will do."""


def as_targets(y: npt.ArrayLike, name: str, n: int, outputs: int) -> Float64:
    """Labels as float64 in the shape of the predictions.

    For several outputs a vector of integers 0 .. outputs-1 names classes and becomes one-hot rows.

    Raises
    ------
    TypeError, ValueError
        Wrong shape, or no such class.
    """
    if outputs == 1:
        return as_vector(y, name, length=n, dtype=np.float64)
    labels = as_real_array(y, name)
    if labels.ndim == 1 and labels.dtype.kind in "iu":
        if labels.shape[0] != n:
            raise ValueError(f"{name}: length {n} is needed, got {labels.shape[0]}")
        if labels.min() < 0 or labels.max() >= outputs:
            raise ValueError(f"{name}: classes 0 .. {outputs - 1} are needed for {outputs} outputs")
        return np.eye(outputs)[labels]
    if labels.ndim != 2 or labels.shape != (n, outputs):
        raise ValueError(
            f"{name}: shape ({n}, {outputs}) or {n} integer classes are needed, got {labels.shape}"
        )
    return as_matrix(labels, name, dtype=np.float64)


def check_loss(
    loss: str | Loss | Callable[[Float64, Float64], npt.ArrayLike],
    y: npt.ArrayLike,
    *,
    seed: int = 0,
    tolerance: float = 1e-5,
) -> float:
    """Compare the derivative of a loss with central differences of its value, along random directions.

    Parameters
    ----------
    loss : name, Loss or callable
        As `train` takes it; a bare derivative has no value to be compared with.
    y : array_like, shape (n,) or (n, outputs)
        Labels.
    seed : int
        Of the points and directions.
    tolerance : float
        Largest relative difference that passes; central differences with steps of 1e-5 leave some 1e-9 for
        a smooth loss.

    Returns
    -------
    float
        The largest relative difference found.

    Raises
    ------
    ValueError
        The derivative has the wrong shape, the loss no value, or they disagree.
    """
    checked = get_loss(loss)
    targets = np.asarray(y, np.float64)
    checked.check_labels(targets)
    generator = np.random.default_rng(seed)
    worst, h = 0.0, 1e-5
    for _ in range(8):
        u, along = generator.standard_normal((2, *targets.shape))
        slope = np.asarray(checked.derivative(u, targets))
        if slope.shape != u.shape:
            raise ValueError(f"loss: dl/du must have the shape of u, {u.shape}, got {slope.shape}")
        difference = (checked.value(u + h * along, targets) - checked.value(u - h * along, targets)) / (2 * h)
        if np.isnan(difference):
            raise ValueError("loss: has no value that its derivative could be compared with")
        size = float(np.abs(slope * along).sum())
        worst = max(worst, abs(difference - float((slope * along).sum())) / max(size, 1e-300))
    if worst > tolerance:
        raise ValueError(f"loss: its derivative differs from that of its value by a factor 1 +- {worst:.2g}")
    return worst


_LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        QuadraticLoss(),
        LogisticLoss(),
        HingeLoss(),
        SquaredHingeLoss(),
        ExponentialLoss(),
        CrossEntropyLoss(),
    )
}


def get_loss(loss: str | Loss | Any) -> Loss:
    """Loss by name, any object with the methods of :class:`Loss`, or a function dl/du(u, y).

    Names: "quadratic", "logistic", "hinge", "squared_hinge", "exponential", "cross_entropy". All are sums
    over examples, without 1/n.

    Raises
    ------
    ValueError
        Unknown name.
    TypeError
        None of these.
    """
    if isinstance(loss, str):
        if loss not in _LOSSES:
            raise ValueError(f"loss: one of {', '.join(sorted(_LOSSES))} is needed, got {loss!r}")
        return _LOSSES[loss]
    if isinstance(loss, Loss) and not isinstance(loss, type):
        return loss
    if callable(loss) and not isinstance(loss, type):
        return DerivativeLoss(loss, name=getattr(loss, "__name__", type(loss).__name__))
    raise TypeError(
        f"loss: a name, an object like lazygram.Loss or a function dl/du(u, y) is needed, got {loss!r}"
    )
