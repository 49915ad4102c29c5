"""Gradient descent, stochastic gradient descent and gradient flow with recorded history."""

from lazygram.training.linearised import LinearisedRun, train_linearised
from lazygram.training.losses import (
    ExponentialLoss,
    HingeLoss,
    LogisticLoss,
    Loss,
    QuadraticLoss,
    SquaredHingeLoss,
    get_loss,
)
from lazygram.training.run import (
    METHODS,
    Run,
    StepState,
    TrainingFailed,
    TrainingInterrupted,
    train,
)

__all__ = [
    "METHODS",
    "ExponentialLoss",
    "HingeLoss",
    "LinearisedRun",
    "LogisticLoss",
    "Loss",
    "QuadraticLoss",
    "Run",
    "SquaredHingeLoss",
    "StepState",
    "TrainingFailed",
    "TrainingInterrupted",
    "get_loss",
    "train",
    "train_linearised",
]
