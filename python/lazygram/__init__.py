"""lazygram: the Gram matrices that govern gradient descent in wide networks, and the descent itself."""

from typing import TYPE_CHECKING, Any

from lazygram._core import __version__
from lazygram.config import config, show_config
from lazygram.gram import TwoLayerKernels, gram_finite, gram_infinite, two_layer_kernels
from lazygram.networks.two_layer import TwoLayerReLU
from lazygram.patterns import PackedPatterns, activation_patterns, coactivation_counts
from lazygram.training import (
    CrossEntropyLoss,
    DerivativeLoss,
    ExponentialLoss,
    HingeLoss,
    LogisticLoss,
    Loss,
    QuadraticLoss,
    Run,
    SquaredHingeLoss,
    StepState,
    TrainingFailed,
    TrainingInterrupted,
    check_loss,
    train,
)

if TYPE_CHECKING:
    from lazygram.architectures import ConvResNet, FullyConnected, ResNet
    from lazygram.duals import AccuracyWarning, dual
    from lazygram.layers import Sequential
    from lazygram.networks import (
        ConvResidualNetwork,
        DeepNetwork,
        DeepReLUNetwork,
        FullyConnectedNetwork,
        ResidualNetwork,
        SparseNetwork,
    )

__all__ = [
    "AccuracyWarning",
    "ConvResNet",
    "ConvResidualNetwork",
    "CrossEntropyLoss",
    "DeepNetwork",
    "DeepReLUNetwork",
    "DerivativeLoss",
    "ExponentialLoss",
    "FullyConnected",
    "FullyConnectedNetwork",
    "HingeLoss",
    "LogisticLoss",
    "Loss",
    "PackedPatterns",
    "QuadraticLoss",
    "ResNet",
    "ResidualNetwork",
    "Run",
    "Sequential",
    "SparseNetwork",
    "SquaredHingeLoss",
    "StepState",
    "TrainingFailed",
    "TrainingInterrupted",
    "TwoLayerKernels",
    "TwoLayerReLU",
    "__version__",
    "activation_patterns",
    "check_loss",
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
    "ConvResidualNetwork": "lazygram.networks",
    "DeepNetwork": "lazygram.networks",
    "DeepReLUNetwork": "lazygram.networks",
    "FullyConnected": "lazygram.architectures",
    "FullyConnectedNetwork": "lazygram.networks",
    "ResNet": "lazygram.architectures",
    "ResidualNetwork": "lazygram.networks",
    "Sequential": "lazygram.layers",
    "SparseNetwork": "lazygram.networks",
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
