"""Finite-width networks: the two-layer ReLU network of the core, and deep networks over any array library."""

from typing import TYPE_CHECKING, Any

from lazygram.networks.two_layer import TwoLayerReLU

if TYPE_CHECKING:
    from lazygram.networks.architectures import ConvResidualNetwork, FullyConnectedNetwork, ResidualNetwork
    from lazygram.networks.deep import DeepNetwork, Forward
    from lazygram.networks.deep_relu import DeepReLUNetwork
    from lazygram.networks.sparse import SparseNetwork, convolution_map, dense_map

__all__ = [
    "ConvResidualNetwork",
    "DeepNetwork",
    "DeepReLUNetwork",
    "Forward",
    "FullyConnectedNetwork",
    "ResidualNetwork",
    "SparseNetwork",
    "TwoLayerReLU",
    "convolution_map",
    "dense_map",
]

_MODULES = {
    "ConvResidualNetwork": "architectures",
    "DeepNetwork": "deep",
    "DeepReLUNetwork": "deep_relu",
    "Forward": "deep",
    "FullyConnectedNetwork": "architectures",
    "ResidualNetwork": "architectures",
    "SparseNetwork": "sparse",
    "convolution_map": "sparse",
    "dense_map": "sparse",
}


def __getattr__(name: str) -> Any:
    # Activations need scipy.special, which the two-layer network does without: imported at first use.
    if name in _MODULES:
        from importlib import import_module

        return getattr(import_module(f"lazygram.networks.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'lazygram.networks' has no attribute {name!r}")
