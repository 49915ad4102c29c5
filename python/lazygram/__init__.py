"""lazygram: the Gram matrices that govern gradient descent in wide networks, and the descent itself."""

from typing import TYPE_CHECKING, Any

from lazygram._core import __version__
from lazygram.config import config, show_config
from lazygram.gram import TwoLayerKernels, gram_finite, gram_infinite, two_layer_kernels
from lazygram.networks.two_layer import TwoLayerReLU
from lazygram.patterns import PackedPatterns, activation_patterns, coactivation_counts
from lazygram.training import (
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
    train,
)
from lazygram.training.losses import CrossEntropyLoss, DerivativeLoss, check_loss

if TYPE_CHECKING:
    from lazygram.duals import AccuracyWarning, dual
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
    "ConvResidualNetwork",
    "CrossEntropyLoss",
    "DeepNetwork",
    "DeepReLUNetwork",
    "DerivativeLoss",
    "ExponentialLoss",
    "FullyConnectedNetwork",
    "HingeLoss",
    "LogisticLoss",
    "Loss",
    "PackedPatterns",
    "QuadraticLoss",
    "ResidualNetwork",
    "Run",
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


_DEEP = (
    "ConvResidualNetwork",
    "DeepNetwork",
    "DeepReLUNetwork",
    "FullyConnectedNetwork",
    "ResidualNetwork",
    "SparseNetwork",
)


def __getattr__(name: str) -> Any:
    # Needs scipy.special, which the rest of the package does without: imported at first use.
    if name in ("AccuracyWarning", "dual"):
        from lazygram import duals

        return getattr(duals, name)
    if name in _DEEP:
        from lazygram import networks

        return getattr(networks, name)
    raise AttributeError(f"module 'lazygram' has no attribute {name!r}")
