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
from lazygram.training.losses import CrossEntropyLoss, DerivativeLoss, check_loss

if TYPE_CHECKING:
    from lazygram.duals import AccuracyWarning, dual

__all__ = [
    "AccuracyWarning",
    "CrossEntropyLoss",
    "DerivativeLoss",
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


def __getattr__(name: str) -> Any:
    # Needs scipy.special, which the rest of the package does without: imported at first use.
    if name in ("AccuracyWarning", "dual"):
        from lazygram import duals

        return getattr(duals, name)
    raise AttributeError(f"module 'lazygram' has no attribute {name!r}")
