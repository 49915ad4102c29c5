"""Finite-width networks."""

from lazygram.networks.two_layer import TwoLayerReLU

__all__ = ["TwoLayerReLU"]
