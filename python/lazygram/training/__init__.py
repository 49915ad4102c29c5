"""Gradient descent, stochastic gradient descent and gradient flow with recorded history."""

from lazygram.training.linearised import LinearisedRun, train_linearised
from lazygram.training.losses import (
    CrossEntropyLoss,
    DerivativeLoss,
    ExponentialLoss,
    HingeLoss,
    LogisticLoss,
    Loss,
    QuadraticLoss,
    SquaredHingeLoss,
    check_loss,
    get_loss,
)
from lazygram.training.request import METHODS
from lazygram.training.result import Run, StepState, TrainingFailed, TrainingInterrupted
from lazygram.training.run import train
from lazygram.training.schedules import DecreasingStepSize

__all__ = [
    "METHODS",
    "CrossEntropyLoss",
    "DecreasingStepSize",
    "DerivativeLoss",
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
    "check_loss",
    "get_loss",
    "train",
    "train_linearised",
]
