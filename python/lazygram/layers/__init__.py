"""Layers of infinitely wide networks and the networks that are lists of them.

Every layer adds the operations of its limit to a :class:`lazygram.kernels.Program`, which carries the
covariance K of a channel for two examples, the tangent kernel T, and the mean b of a channel. docs/kernels.md
has the table of formulas, in both parameterisations.

    base.py         Value (what is known of a tensor), Layer, errors, checks
    weights.py      Dense, Conv                         the only layers with parameters
    pointwise.py    Activation, LayerNorm, Dropout, Identity
    pixels.py       Flatten, GlobalAvgPool, AvgPool
    branches.py     Residual, FanInSum, FanInProduct, FanInConcat
    sequential.py   Sequential: a list of layers as a kernel
"""

from lazygram.layers.base import Layer
from lazygram.layers.branches import FanInConcat, FanInProduct, FanInSum, Residual
from lazygram.layers.pixels import AvgPool, Flatten, GlobalAvgPool
from lazygram.layers.pointwise import Activation, Dropout, Identity, LayerNorm
from lazygram.layers.sequential import Sequential
from lazygram.layers.weights import Conv, Dense

__all__ = [
    "Activation",
    "AvgPool",
    "Conv",
    "Dense",
    "Dropout",
    "FanInConcat",
    "FanInProduct",
    "FanInSum",
    "Flatten",
    "GlobalAvgPool",
    "Identity",
    "Layer",
    "LayerNorm",
    "Residual",
    "Sequential",
]
