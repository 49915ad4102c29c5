"""Gradient descent, stochastic gradient descent and gradient flow with recorded history."""

from lazygram.training.losses import LogisticLoss, Loss, QuadraticLoss, get_loss
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
    "LogisticLoss",
    "Loss",
    "QuadraticLoss",
    "Run",
    "StepState",
    "TrainingFailed",
    "TrainingInterrupted",
    "get_loss",
    "train",
]
