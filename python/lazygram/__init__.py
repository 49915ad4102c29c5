"""lazygram: the Gram matrices that govern gradient descent in wide networks, and the descent itself."""

from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from lazygram.architectures import ConvResNet, FullyConnected, ResNet
    from lazygram.duals import AccuracyWarning, dual
    from lazygram.layers import Sequential

__all__ = [
    "AccuracyWarning",
    "ConvResNet",
    "FullyConnected",
    "LogisticLoss",
    "Loss",
    "PackedPatterns",
    "QuadraticLoss",
    "ResNet",
    "Run",
    "Sequential",
    "StepState",
    "TrainingFailed",
    "TrainingInterrupted",
    "TwoLayerKernels",
    "TwoLayerReLU",
    "__version__",
    "activation_patterns",
    "coactivation_counts",
    "config",
    "dual",
    "gram_finite",
    "gram_infinite",
    "show_config",
    "train",
    "two_layer_kernels",
]


# Need scipy.special, which the rest of the package does without: imported at first use.
_LATE = {
    "AccuracyWarning": "lazygram.duals",
    "ConvResNet": "lazygram.architectures",
    "FullyConnected": "lazygram.architectures",
    "ResNet": "lazygram.architectures",
    "Sequential": "lazygram.layers",
    "dual": "lazygram.duals",
}


_LATE_MODULES = ("activations", "layers")


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _LATE:
        return getattr(import_module(_LATE[name]), name)
    if name in _LATE_MODULES:
        return import_module(f"lazygram.{name}")
    raise AttributeError(f"module 'lazygram' has no attribute {name!r}")
