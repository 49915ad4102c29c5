"""Networks of oracle.py (lists of tuples) as layers of the package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lazygram import Sequential
from lazygram.layers import (
    Activation,
    AvgPool,
    Conv,
    Dense,
    Dropout,
    FanInConcat,
    FanInProduct,
    FanInSum,
    Flatten,
    GlobalAvgPool,
    Identity,
    Layer,
    LayerNorm,
    Residual,
)


def layer(description: Sequence[Any]) -> Layer:
    kind, *rest = description
    if kind == "dense":
        return Dense(rest[0], rest[1], width=rest[2])
    if kind == "conv":
        window, stride, padding, w_std, b_std, width = rest
        return Conv(tuple(window), tuple(stride), padding, w_std, b_std, width=width)
    if kind == "act":
        return Activation(rest[0])
    if kind == "avgpool":
        window, stride, padding = rest
        return AvgPool(tuple(window), tuple(stride), padding)
    if kind == "layernorm":
        return LayerNorm(rest[1], pixels=rest[0] != "channels")
    if kind == "dropout":
        return Dropout(rest[0])
    if kind == "scaled_residual":
        return Residual(layers(rest[0]), scale=rest[1])
    if kind in ("sum", "product"):
        return (FanInSum if kind == "sum" else FanInProduct)([layers(branch) for branch in rest[0]])
    if kind == "concat":
        return FanInConcat([layers(branch) for branch in rest[0]], rest[1] if len(rest) > 1 else None)
    return {"flatten": Flatten, "gap": GlobalAvgPool, "identity": Identity}[kind]()


def layers(descriptions: Sequence[Sequence[Any]]) -> list[Layer]:
    return [layer(description) for description in descriptions]


def sequential(descriptions: Sequence[Sequence[Any]], parameterisation: str = "ntk") -> Sequential:
    return Sequential(layers(descriptions), parameterisation=parameterisation)
