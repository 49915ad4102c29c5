"""Finite random networks of the layers of oracle.py, with exact gradients: what the limits are the limits of.

One forward and one backward pass per draw give the empirical NTK, split by weight layers, and the empirical
NNGP kernel (the covariance of the output given all layers but the last).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from oracle import ACTIVATIONS, c_sigma, window_table

Array = np.ndarray
Layers = Sequence[tuple[Any, ...]]
Backward = Callable[[Array], Array]


class Draw(NamedTuple):
    """Kernels (n, n) of one random network; `grams` has one entry per weight layer, bias included."""

    nngp: Array
    grams: list[Array]

    @property
    def ntk(self) -> Array:
        return sum(self.grams)


class _Network:
    def __init__(self, width: int, parameterisation: str, rng: np.random.Generator) -> None:
        self.width, self.parameterisation, self.rng = width, parameterisation, rng
        self.grams: list[Array] = []
        self.nngp: Array | None = None

    def weights(
        self, x: Array, table: Array, w_std: float, b_std: float | None, width: int
    ) -> tuple[Array, Backward]:
        """z_l = W (patch of x at l) + bias; the patches of `table` (outputs, q), -1 outside."""
        n, channels, pixels = x.shape
        outputs, q = table.shape
        padded = np.concatenate([x, np.zeros((n, channels, 1))], axis=2)
        patches = padded[:, :, table].transpose(0, 3, 1, 2).reshape(n, q * channels, outputs)
        fan_in = q * channels
        W = self.rng.standard_normal((width, fan_in))
        bias = self.rng.standard_normal((width, 1))
        if self.parameterisation == "ntk":
            scale, shift = w_std / np.sqrt(fan_in), b_std or 0.0
        else:
            W, bias = W * w_std / np.sqrt(fan_in), bias * (b_std or 0.0)
            scale, shift = 1.0, 0.0 if b_std is None else 1.0
        slot = len(self.grams)
        self.grams.append(np.zeros((n, n)))
        inner = np.einsum("icl,jck->ijlk", patches, patches)
        self.nngp = w_std**2 / fan_in * inner + (b_std or 0.0) ** 2

        def backward(dz: Array) -> Array:
            self.grams[slot] = np.einsum(
                "ijlk,icl,jck->ij", scale**2 * inner + shift**2, dz, dz, optimize=True
            )
            dpatches = scale * np.einsum("oc,iol->icl", W, dz, optimize=True)
            dpadded = np.zeros_like(padded)
            blocks = dpatches.reshape(n, q, channels, outputs)
            for s in range(q):
                np.add.at(dpadded, (slice(None), slice(None), table[:, s]), blocks[:, s])
            return dpadded[:, :, :pixels]

        return scale * np.einsum("oc,icl->iol", W, patches, optimize=True) + shift * bias, backward

    def layer(
        self, x: Array, image: tuple[int, ...], layer: tuple[Any, ...]
    ) -> tuple[Array, tuple, Backward]:
        kind, *rest = layer
        pixels = x.shape[2]
        if kind in ("dense", "conv"):
            if kind == "dense":
                table = np.arange(pixels)[:, None]
                w_std, b_std, width = rest
            else:
                table, image = window_table(image, *rest[:3])
                w_std, b_std, width = rest[3:]
            y, back = self.weights(x, table, w_std, b_std, width or self.width)
            return y, image, back
        if kind == "act":
            act = ACTIVATIONS[rest[0]]
            return act.phi(x), image, lambda dy: dy * act.dphi(x)
        if kind == "flatten":
            shape = x.shape
            return x.reshape(shape[0], -1, 1), (), lambda dy: dy.reshape(shape)
        if kind in ("gap", "avgpool"):
            table = np.arange(pixels)[None]
            image_out: tuple[int, ...] = ()
            if kind == "avgpool":
                table, image_out = window_table(image, *rest)
            A = np.zeros((len(table), pixels + 1))
            np.add.at(A, (np.arange(len(table))[:, None], table), 1 / table.shape[1])
            A = A[:, :pixels]
            return x @ A.T, image_out, lambda dy: dy @ A
        if kind == "layernorm":
            axes = (1,) if rest[0] == "channels" else (1, 2)
            centred = x - x.mean(axis=axes, keepdims=True)
            norm = np.sqrt(np.mean(centred**2, axis=axes, keepdims=True) + rest[1])
            y = centred / norm

            def unnormalise(dy: Array) -> Array:
                along = np.mean(dy * y, axis=axes, keepdims=True)
                return (dy - dy.mean(axis=axes, keepdims=True) - y * along) / norm

            return y, image, unnormalise
        if kind == "scaled_residual":
            return self.layer(x, image, ("sum", [[], [*rest[0], ("scale", rest[1])]]))
        if kind in ("sum", "product", "concat"):
            parts = [self.run(x, image, branch) for branch in rest[0]]
            cuts = np.cumsum([part[0].shape[1] for part in parts])[:-1]
            if kind == "sum":
                return (
                    sum(part[0] for part in parts),
                    parts[0][1],
                    lambda dy: sum(part[2](dy) for part in parts),
                )
            if kind == "product":
                (a, _, back_a), (b, _, back_b) = parts
                return a * b, image, lambda dy: back_a(dy * b) + back_b(dy * a)
            return (
                np.concatenate([part[0] for part in parts], axis=1),
                parts[0][1],
                lambda dy: sum(
                    part[2](piece) for part, piece in zip(parts, np.split(dy, cuts, axis=1), strict=True)
                ),
            )
        if kind == "scale":
            return rest[0] * x, image, lambda dy: rest[0] * dy
        if kind == "dropout":
            mask = (self.rng.random(x.shape) >= rest[0]) / (1 - rest[0])
            return x * mask, image, lambda dy: dy * mask
        assert kind == "identity", kind
        return x, image, lambda dy: dy

    def run(self, x: Array, image: tuple[int, ...], layers: Layers) -> tuple[Array, tuple, Backward]:
        backs = []
        for item in layers:
            x, image, back = self.layer(x, image, item)
            backs.append(back)

        def backward(dy: Array) -> Array:
            for back in reversed(backs):
                dy = back(dy)
            return dy

        return x, image, backward


def draw(
    X: Array,
    layers: Layers,
    width: int,
    rng: np.random.Generator,
    parameterisation: str = "ntk",
) -> Draw:
    """Kernels of one random network that ends with a "dense" layer (of width 1 here).

    `width` is that of the layers whose own is None.
    """
    network = _Network(width, parameterisation, rng)
    n, channels, *image = X.shape
    *body, last = layers
    assert last[0] == "dense"
    y, _, backward = network.run(
        X.reshape(n, channels, -1), tuple(image), [*body, ("dense", last[1], last[2], 1)]
    )
    assert y.shape == (n, 1, 1)
    nngp = network.nngp
    backward(np.ones_like(y))
    assert nngp is not None
    return Draw(nngp[..., 0, 0], network.grams)


# --- the texts' networks in these layers ------------------------------------------------------------


def fully_connected(dim: int, depth: int, name: str) -> list[tuple[Any, ...]]:
    gain = ("scale", np.sqrt(c_sigma(ACTIVATIONS[name])))
    layers: list[tuple[Any, ...]] = []
    for h in range(depth):
        # The texts' first layer is W x without 1/sqrt(d).
        layers += [("dense", np.sqrt(dim) if h == 0 else 1.0, None, None), ("act", name), gain]
    return [*layers, ("dense", 1.0, None, 1)]


def resnet(dim: int, depth: int, name: str, c_res: float) -> list[tuple[Any, ...]]:
    block = [("dense", 1.0, None, None), ("act", name), ("scale", c_res / depth)]
    skip = ("sum", [[], block])
    return [*fully_connected(dim, 1, name)[:-1], *[skip] * (depth - 1), ("dense", 1.0, None, 1)]


def conv_resnet(
    channels: int, image: Sequence[int], patch: Sequence[int], depth: int, name: str, c_res: float
) -> list[tuple[Any, ...]]:
    one, q = (1,) * len(image), float(np.prod(patch))

    def conv(fan_in: float) -> tuple[Any, ...]:
        return ("conv", tuple(patch), one, "SAME", np.sqrt(fan_in), None, None)

    gain = ("scale", np.sqrt(c_sigma(ACTIVATIONS[name])))
    skip = ("sum", [[], [conv(q), ("act", name), ("scale", c_res / depth)]])
    return [
        conv(q * channels),
        ("act", name),
        gain,
        *[skip] * (depth - 1),
        ("flatten",),
        ("dense", np.sqrt(float(np.prod(image))), None, 1),
    ]
