"""The deep ReLU network of Zou, Cao, Zhou and Gu: He initialisation, a fixed read-out of +1 and -1."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lazygram.activations import get_activation
from lazygram.arrays import check_positive_int
from lazygram.networks.backend import Backend, get_backend
from lazygram.networks.elementwise import Elementwise, strict_relu
from lazygram.networks.layered import LayeredNetwork
from lazygram.random import seed_to_int, standard_normals

__all__ = ["DeepReLUNetwork"]


class DeepReLUNetwork(LayeredNetwork):
    """Deep ReLU network ``f(x) = v^T s(W_L^T s(W_{L-1}^T ... s(W_1^T x)))`` with W_1, ..., W_L trained.

    ``W_l`` has shape (m_{l-1}, m_l) with m_0 = dim and entries N(0, 2 / m_l) at initialisation; v is fixed,
    its first half +1 and its second half -1. The derivative of s at 0 is 0.

    Parameters
    ----------
    width : int or list of int
        m_1 = ... = m_L, with `depth`; or the list m_1, ..., m_L. m_L must be even.
    dim : int
        Input dimension d.
    depth : int, optional
        Number of hidden layers L; needed when `width` is one number.
    seed, dtype, xp, device
        As for :class:`FullyConnectedNetwork`. Row j of the seed's normals for layer l is column j of W_l, the
        weights of neuron j.

    Raises
    ------
    TypeError, ValueError
        Bad input; the message names the argument.

    References
    ----------
    Zou, Cao, Zhou, Gu, Gradient descent optimizes over-parameterized deep ReLU networks, Machine Learning
    2020.
    """

    def __init__(
        self,
        width: int | Iterable[int],
        dim: int,
        depth: int | None = None,
        *,
        seed: int | np.random.Generator = 0,
        dtype: npt.DTypeLike = "float64",
        xp: Any = None,
        device: Any = None,
    ) -> None:
        if isinstance(width, Iterable):
            widths = tuple(check_positive_int(m, "width") for m in width)
            if depth is not None and check_positive_int(depth, "depth") != len(widths):
                raise ValueError(f"depth: {len(widths)} widths are given, got depth {depth}")
        elif depth is None:
            raise ValueError("depth: is needed when width is one number")
        else:
            widths = (check_positive_int(width, "width"),) * check_positive_int(depth, "depth")
        self._describe(check_positive_int(dim, "dim"), widths)
        backend = get_backend(xp, dtype, device)
        key = seed_to_int(seed)
        drawn = standard_normals(key, [(m, before) for before, m in self._shapes()], backend.dtype)
        scaled = [np.ascontiguousarray(W.T) * backend.dtype.type(math.sqrt(2.0 / W.shape[0])) for W in drawn]
        self._assume([backend.asarray(W) for W in scaled], backend, key)

    @classmethod
    def from_parameters(cls, parameters: Sequence[Any]) -> DeepReLUNetwork:
        """Network with given W_1, ..., W_L, shapes (m_{l-1}, m_l); v follows from m_L.

        Raises
        ------
        TypeError, ValueError
            Bad input; the message names the argument.
        """
        shapes = [tuple(np.shape(W)) for W in parameters]
        if not shapes or any(len(shape) != 2 for shape in shapes):
            raise ValueError(f"parameters: matrices W_1, ..., W_L are needed, got shapes {shapes}")
        network = cls.__new__(cls)
        network._describe(int(shapes[0][0]), tuple(int(shape[1]) for shape in shapes))
        network._assume(*network._check_parameters(list(parameters)), None)
        return network

    def _describe(self, dim: int, widths: tuple[int, ...]) -> None:
        if not widths:
            raise ValueError("width: at least one layer is needed")
        if widths[-1] % 2:
            raise ValueError(
                f"width: the last one must be even, half of v is +1 and half -1, got {widths[-1]}"
            )
        self._dim, self._widths = dim, widths
        self._scales = (1.0,) * len(widths)
        self._skips = (False,) * len(widths)
        self.activation = get_activation("relu")

    def _prepare(self) -> None:
        super()._prepare()
        self._v = self._backend.asarray(np.repeat([1.0, -1.0], self._widths[-1] // 2))

    def _make_elementwise(self, backend: Backend) -> Elementwise:
        return strict_relu(backend)

    def _shapes(self) -> list[tuple[int, ...]]:
        return list(zip((self._dim, *self._widths[:-1]), self._widths, strict=True))

    def _matrix(self, h: int) -> Any:
        return self._parameters[h].T

    def _weight_gradient(self, h: int, delta: Any, z: Any, out: Any) -> Any:
        return self._backend.matmul(z.T, delta, out)

    def _readout(self) -> Any:
        return self._backend.xp.reshape(self._v, (1, -1))

    def _positive(self, u: Any) -> Any:
        return u > 0.0

    @property
    def widths(self) -> tuple[int, ...]:
        """m_1, ..., m_L."""
        return self._widths

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return (self._dim,)

    @property
    def parameter_names(self) -> list[str]:
        """W1, ..., WL."""
        return [f"W{layer}" for layer in range(1, self.depth + 1)]

    @property
    def v(self) -> Any:
        """The fixed read-out, shape (m_L,)."""
        return self._v

    def __repr__(self) -> str:
        return f"DeepReLUNetwork(width={list(self._widths)}, dim={self._dim}, {self._origin()})"
