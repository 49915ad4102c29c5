"""lazygram: the Gram matrices that govern gradient descent in wide networks, and the descent itself."""

from lazygram._core import __version__
from lazygram.config import config, show_config
from lazygram.gram import TwoLayerKernels, gram_finite, gram_infinite, two_layer_kernels
from lazygram.networks.two_layer import TwoLayerReLU
from lazygram.patterns import PackedPatterns, activation_patterns, coactivation_counts
from lazygram.training import (
    LogisticLoss,
    Loss,
    QuadraticLoss,
    Run,
    StepState,
    TrainingFailed,
    TrainingInterrupted,
    train,
)

__all__ = [
    "LogisticLoss",
    "Loss",
    "PackedPatterns",
    "QuadraticLoss",
    "Run",
    "StepState",
    "TrainingFailed",
    "TrainingInterrupted",
    "TwoLayerKernels",
    "TwoLayerReLU",
    "__version__",
    "activation_patterns",
    "coactivation_counts",
    "config",
    "gram_finite",
    "gram_infinite",
    "show_config",
    "train",
    "two_layer_kernels",
]
