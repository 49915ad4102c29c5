"""Gradient descent, stochastic gradient descent and gradient flow with recorded history."""

from lazygram.training.losses import (
    CrossEntropyLoss,
    DerivativeLoss,
    LogisticLoss,
    Loss,
    QuadraticLoss,
    check_loss,
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
    "CrossEntropyLoss",
    "DerivativeLoss",
    "LogisticLoss",
    "Loss",
    "QuadraticLoss",
    "Run",
    "StepState",
    "TrainingFailed",
    "TrainingInterrupted",
    "check_loss",
    "get_loss",
    "train",
]
