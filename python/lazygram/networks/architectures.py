"""The deep architectures of the text at finite width: fully connected, residual, convolutional residual.

Scalings, initialisation and read-out are those of Du, thesis (2019), ch. 3 (Du, Lee, Li, Wang, Zhai, ICML
2019): all weights and the read-out a are iid N(0, 1) and all are trained; c_sigma = 1 / E[sigma(Z)^2] keeps
norms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lazygram.activations import Activation, get_activation
from lazygram.arrays import Array, check_positive_float, check_positive_int
from lazygram.networks.backend import backend_of, get_backend
from lazygram.networks.layered import ConvolutionalLayers, LayeredNetwork
from lazygram.networks.patches import Patches, check_image, check_patch
from lazygram.random import seed_to_int, standard_normals

__all__ = ["ConvResidualNetwork", "FullyConnectedNetwork", "ResidualNetwork"]

ActivationLike = str | Activation | Callable[[Any], Any]


class _GaussianNetwork(LayeredNetwork):
    """A chain whose weights and read-out are iid N(0, 1), with one width for all layers."""

    _width: int
    _dim: int
    _c_sigma: float

    def _draw(self, seed: int | np.random.Generator, dtype: npt.DTypeLike, xp: Any, device: Any) -> None:
        backend = get_backend(xp, dtype, device)
        key = seed_to_int(seed)
        shapes = [shape if len(shape) == 2 else (1, *shape) for shape in self._shapes()]
        drawn = standard_normals(key, [(s[0], s[1]) for s in shapes], backend.dtype)
        self._assume(
            [backend.asarray(W.reshape(shape)) for W, shape in zip(drawn, self._shapes(), strict=True)],
            backend,
            key,
        )

    def _take(self, parameters: Sequence[Any]) -> None:
        self._assume(*self._check_parameters(list(parameters)), None)

    def _describe(self, width: int, dim: int, depth: int, activation: ActivationLike) -> None:
        self._width = check_positive_int(width, "width")
        self._dim = check_positive_int(dim, "dim")
        self.activation = get_activation(activation)
        self._c_sigma = self.activation.c_sigma
        self._set_scales(check_positive_int(depth, "depth"))

    def _set_scales(self, depth: int) -> None:
        self._scales = (math.sqrt(self._c_sigma / self._width),) * depth
        self._skips = (False,) * depth

    def _shapes(self) -> list[tuple[int, ...]]:
        m = self._width
        return [(m, self._dim), *(((m, m),) * (self.depth - 1)), (m,)]

    @property
    def width(self) -> int:
        """Neurons (convolution: channels) of every hidden layer, m."""
        return self._width

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return (self._dim,)

    @property
    def c_sigma(self) -> float:
        """1 / E[sigma(Z)^2], Z ~ N(0, 1)."""
        return self._c_sigma

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(width={self.width}, dim={self.dim}, depth={self.depth}, "
            f"activation={self.activation!r}, {self._details()}{self._origin()})"
        )

    def _details(self) -> str:
        return ""


class _Residual(_GaussianNetwork):
    """Skip connections from layer 2 on, with branches of size c_res / depth."""

    _c_res: float

    def _set_scales(self, depth: int) -> None:
        super()._set_scales(depth)
        branch = self._c_res / (depth * math.sqrt(self._width))
        self._scales = (self._scales[0], *((branch,) * (depth - 1)))
        self._skips = (False, *((True,) * (depth - 1)))

    @property
    def c_res(self) -> float:
        """Size of the residual branches."""
        return self._c_res

    def _details(self) -> str:
        return f"c_res={self.c_res:g}, "


class FullyConnectedNetwork(_GaussianNetwork):
    """Fully connected network of the text.

    ``x^(h) = sqrt(c_sigma / width) sigma(W^(h) x^(h-1))``, h = 1..depth, ``f(x) = a . x^(depth)``.

    Parameters
    ----------
    width : int
        Neurons of every hidden layer, m.
    dim : int
        Input dimension d.
    depth : int
        Number of hidden layers H.
    activation : str, Activation or callable
        As in :func:`lazygram.activations.get_activation`; a callable must work on arrays of `xp`.
    seed : int or numpy.random.Generator
        Same seed, same network, for every library, device and dtype (float32 weights are the float64 ones
        rounded). The first layer is the one that :class:`lazygram.TwoLayerReLU` draws from the same seed.
    dtype : {"float64", "float32"}
        Of parameters and everything computed.
    xp : str or namespace, optional
        Array library: None or "numpy", "torch", "cupy", or the module of another array-API library (needs
        array-api-compat).
    device : optional
        As the library names it.

    Raises
    ------
    TypeError, ValueError
        Bad input; the message names the argument.

    References
    ----------
    Du, thesis (2019), ch. 3, fully connected networks.
    """

    def __init__(
        self,
        width: int,
        dim: int,
        depth: int = 2,
        activation: ActivationLike = "softplus",
        *,
        seed: int | np.random.Generator = 0,
        dtype: npt.DTypeLike = "float64",
        xp: Any = None,
        device: Any = None,
    ) -> None:
        self._describe(width, dim, depth, activation)
        self._draw(seed, dtype, xp, device)

    @classmethod
    def from_parameters(
        cls, parameters: Sequence[Any], activation: ActivationLike = "softplus"
    ) -> FullyConnectedNetwork:
        """Network with parameters W^(1) (m, d), W^(2), ..., W^(H) (m, m), a (m,); sizes are read off them.

        Raises
        ------
        TypeError, ValueError
            Bad input; the message names the argument.
        """
        network = cls.__new__(cls)
        network._describe(*_sizes(parameters), activation)
        network._take(parameters)
        return network


class ResidualNetwork(_Residual):
    """Residual network of the text.

    ``x^(1) = sqrt(c_sigma / width) sigma(W^(1) x)``, then
    ``x^(h) = x^(h-1) + c_res / (depth sqrt(width)) sigma(W^(h) x^(h-1))``, ``f(x) = a . x^(depth)``.

    Parameters
    ----------
    width, dim, depth, activation, seed, dtype, xp, device
        As for :class:`FullyConnectedNetwork`.
    c_res : float
        Size of the residual branches, positive (the text: below 1).

    Raises
    ------
    TypeError, ValueError
        Bad input; the message names the argument.

    References
    ----------
    Du, thesis (2019), ch. 3, ResNet.
    """

    def __init__(
        self,
        width: int,
        dim: int,
        depth: int = 3,
        activation: ActivationLike = "softplus",
        c_res: float = 0.5,
        *,
        seed: int | np.random.Generator = 0,
        dtype: npt.DTypeLike = "float64",
        xp: Any = None,
        device: Any = None,
    ) -> None:
        self._c_res = check_positive_float(c_res, "c_res")
        self._describe(width, dim, depth, activation)
        self._draw(seed, dtype, xp, device)

    @classmethod
    def from_parameters(
        cls, parameters: Sequence[Any], activation: ActivationLike = "softplus", c_res: float = 0.5
    ) -> ResidualNetwork:
        """Network with given parameters, shaped as for :class:`FullyConnectedNetwork`.

        Raises
        ------
        TypeError, ValueError
            Bad input; the message names the argument.
        """
        network = cls.__new__(cls)
        network._c_res = check_positive_float(c_res, "c_res")
        network._describe(*_sizes(parameters), activation)
        network._take(parameters)
        return network


class ConvResidualNetwork(ConvolutionalLayers, _Residual):
    """Convolutional residual network of the text, for images of one or two axes.

    With phi the patches of an image (odd window, stride 1, zero outside, every channel):
    ``x^(1) = sqrt(c_sigma / width) sigma(W^(1) phi(x))``,
    ``x^(h) = x^(h-1) + c_res / (depth sqrt(width)) sigma(W^(h) phi(x^(h-1)))``, ``f(x) = <a, x^(depth)>``
    with one weight for every channel and pixel (no pooling).

    Parameters
    ----------
    width : int
        Channels of every hidden layer, m.
    channels : int
        Channels of the input.
    image : int or tuple of int
        Pixels: (p,) or (height, width).
    depth, activation, seed, dtype, xp, device
        As for :class:`FullyConnectedNetwork`.
    c_res : float
        Size of the residual branches, positive.
    patch : int or tuple of int
        Odd size of the window, along each axis.

    Notes
    -----
    Examples have shape (n, channels, *image), (n, channels, pixels) or flattened (n, channels x pixels).
    Columns of W^(h) are channel-major: index channel x q + offset.

    Raises
    ------
    TypeError, ValueError
        Bad input; the message names the argument.

    References
    ----------
    Du, thesis (2019), ch. 3, convolutional ResNet.
    """

    def __init__(
        self,
        width: int,
        channels: int,
        image: int | Iterable[int],
        depth: int = 2,
        activation: ActivationLike = "softplus",
        c_res: float = 0.5,
        patch: int | Iterable[int] = 3,
        *,
        seed: int | np.random.Generator = 0,
        dtype: npt.DTypeLike = "float64",
        xp: Any = None,
        device: Any = None,
    ) -> None:
        self._describe_images(channels, image, patch, c_res)
        self._describe(width, self._channels * math.prod(self._image), depth, activation)
        self._draw(seed, dtype, xp, device)

    @classmethod
    def from_parameters(
        cls,
        parameters: Sequence[Any],
        activation: ActivationLike = "softplus",
        c_res: float = 0.5,
        *,
        image: int | Iterable[int],
        patch: int | Iterable[int] = 3,
    ) -> ConvResidualNetwork:
        """Network with parameters W^(1) (m, channels q), W^(2), ..., W^(H) (m, m q), a (m, pixels).

        Raises
        ------
        TypeError, ValueError
            Bad input; the message names the argument.
        """
        width, columns, depth = _sizes(parameters)
        network = cls.__new__(cls)
        axes = check_image(image)
        q = math.prod(check_patch(patch, len(axes)))
        if columns % q:
            raise ValueError(f"parameters: W1 has {columns} columns, not a multiple of the patch size {q}")
        network._describe_images(columns // q, axes, patch, c_res)
        network._describe(width, network._channels * math.prod(axes), depth, activation)
        network._take(parameters)
        return network

    def _describe_images(
        self, channels: int, image: int | Iterable[int], patch: int | Iterable[int], c_res: float
    ) -> None:
        self._channels = check_positive_int(channels, "channels")
        self._image = check_image(image)
        self._patch = check_patch(patch, len(self._image))
        self._c_res = check_positive_float(c_res, "c_res")

    def _prepare(self) -> None:
        super()._prepare()
        self._patches = Patches(self._image, self._patch, self._backend)

    def _shapes(self) -> list[tuple[int, ...]]:
        m, q = self._width, math.prod(self._patch)
        return [(m, q * self._channels), *(((m, q * m),) * (self.depth - 1)), (m, math.prod(self._image))]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(channels, *image)."""
        return (self._channels, *self._image)

    @property
    def channels(self) -> int:
        """Channels of the input."""
        return self._channels

    @property
    def image(self) -> tuple[int, ...]:
        """Pixels along each axis."""
        return self._image

    @property
    def patch(self) -> tuple[int, ...]:
        """Size of the window along each axis."""
        return self._patch

    @property
    def neighbours(self) -> Array:
        """Pixel at offset s of the patch around pixel l, -1 outside; shape (pixels, patch size)."""
        return np.array(self._patches.neighbours)

    def __repr__(self) -> str:
        return (
            f"ConvResidualNetwork(width={self.width}, channels={self.channels}, image={self.image}, "
            f"depth={self.depth}, activation={self.activation!r}, c_res={self.c_res:g}, patch={self.patch}, "
            f"{self._origin()})"
        )


def _sizes(parameters: Sequence[Any]) -> tuple[int, int, int]:
    """(rows of W1, columns of W1, number of layers) of W1, ..., WH, a."""
    if len(parameters) < 2:
        raise ValueError(f"parameters: at least W1 and a are needed, got {len(parameters)} arrays")
    backend_of(parameters, "parameters")
    shape = np.shape(parameters[0])
    if len(shape) != 2:
        raise ValueError(f"parameters: W1 must be a matrix, got shape {tuple(shape)}")
    return int(shape[0]), int(shape[1]), len(parameters) - 1
