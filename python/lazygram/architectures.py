"""Infinitely wide networks of the texts: fully connected, ResNet and convolutional ResNet, layer by layer.

With all weights and the read-out a N(0, 1), layers h = 1 .. H and the read-out as layer H + 1:

    FullyConnected  x^(h) = sqrt(c_sigma / m) phi(W^(h) x^(h-1)),                     f = a . x^(H)
    ResNet          x^(1) as above, x^(h) = x^(h-1) + c_res / (H sqrt(m)) phi(W^(h) x^(h-1)),  h >= 2
    ConvResNet      the same with W^(h) acting on patches of q pixels,                f = <a, x^(H)>

The limits of their covariances S^(h), means b^(h) and Gram matrices G^(h) follow one recursion, which each
class writes down as a :class:`lazygram.kernels.Program`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from lazygram.activations import Activation, Function, get_activation, text_of
from lazygram.arrays import Array, check_positive_float, check_positive_int
from lazygram.kernels import Kernel, Plan, Program
from lazygram.program import Progress

__all__ = ["ConvResNet", "FullyConnected", "ResNet"]

Pixels: TypeAlias = Literal["diagonal", "pairs"]


class _DeepNetwork(Kernel, ABC):
    """The recursion over layers and the methods that the three architectures share."""

    def __init__(self, depth: int, activation: str | Activation | Function) -> None:
        self._depth = check_positive_int(depth, "depth")
        self._activation = get_activation(activation)

    @property
    def depth(self) -> int:
        """Number H of hidden layers."""
        return self._depth

    @property
    def activation(self) -> Activation:
        """The activation phi."""
        return self._activation

    @property
    def c_sigma(self) -> float:
        """1 / E[phi(Z)^2], Z ~ N(0, 1): unit inputs keep unit norm through a layer."""
        return self._activation.c_sigma

    @abstractmethod
    def _start(self, shape: tuple[int, ...]) -> Program:
        """Program that begins with S^(0), after a check of the shape of an example."""

    @abstractmethod
    def _hidden(self, program: Program, h: int, trained: bool) -> None:
        """x^(h) from x^(h-1), with the covariance of W^(h) x^(h-1) emitted as "A<h>"."""

    def _before_read_out(self, program: Program) -> None:
        """From x^(H) to the vector that `a` multiplies."""

    def _compile(self, shape: tuple[int, ...], trained: int | None, pixel_pairs: bool) -> Program:
        """The whole network, with layer `trained` trained alone or, for None, all of them."""
        program = self._start(shape)
        if pixel_pairs:
            program.pixel_pairs()
        program.emit("S0")
        for h in range(1, self._depth + 1):
            self._hidden(program, h, trained in (None, h))
            program.emit(f"S{h}").emit_mean(f"b{h}")
        self._before_read_out(program)
        return _affine(program, trained in (None, self._depth + 1))

    def program(self, shape: tuple[int, ...]) -> Program:
        """Program for examples of a shape, all layers trained.

        Raises
        ------
        ValueError
            The shape is not one of this network's inputs.
        """
        return self._compile(shape, None, False)

    def plan(
        self,
        shape: Sequence[int],
        n2: int | None = None,
        *,
        pixels: Pixels = "diagonal",
        **settings: Any,
    ) -> Plan:
        """Memory that an evaluation needs, before it starts.

        Parameters
        ----------
        shape, n2, **settings
            As in :meth:`lazygram.kernels.Kernel.plan`. Among `outputs` may be "grams" (of all layers) and,
            with the number of a layer, "S0" .. "SH" (covariances), "A1" .. "AH" (those of pre-activations)
            and "b1" .. "bH" (means).
        pixels : {"diagonal", "pairs"}
            As in :meth:`layer_covariances`.
        """
        return Kernel.plan(_Variant(self, pixels=pixels), shape, n2, **settings)

    def layer_covariances(
        self,
        X: npt.ArrayLike,
        X2: npt.ArrayLike | None = None,
        *,
        pixels: Pixels = "diagonal",
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> list[Array]:
        """Covariances S^(0), ..., S^(H): limits of <x_i^(h), x_j^(h)> (the texts' K^(h) for h < H).

        Parameters
        ----------
        X, X2 : array_like
            Examples; `X2` defaults to `X`.
        pixels : {"diagonal", "pairs"}
            Of images, p pixels each: covariances of pixel l of one example with pixel l of the other, or of
            all pairs of pixels, the texts' p x p matrix, which takes p times the time and memory.
        threads : int, optional
            Threads; all by default. The result does not depend on it.
        progress : callable, optional
            Called now and then as ``progress(tiles_done, tiles)``.

        Returns
        -------
        list of ndarray
            H + 1 arrays (n, n2); of a convolutional network (p, n, n2) or (p, p, n, n2).

        Raises
        ------
        TypeError, ValueError
            Bad input; the message names the argument.
        MemoryError
            The arrays do not fit; ``plan(X.shape, outputs=("S0", ..., "SH"), pixels=pixels)`` says how large
            they are.
        """
        names = [f"S{h}" for h in range(self._depth + 1)]
        variant = _Variant(self, pixels=pixels)
        made = variant._evaluate(X, X2, names, threads=threads, progress=progress)
        return [made[name] for name in names]

    def b(self, X: npt.ArrayLike, *, threads: int | None = None) -> list[Array]:
        """Means b^(1), ..., b^(H): limits of m^{-1/2} sum_r x_r^(h).

        Parameters
        ----------
        X : array_like
            Examples.
        threads : int, optional
            Threads; all by default.

        Returns
        -------
        list of ndarray
            H arrays (n,); of a convolutional network (n, pixels).
        """
        names = [f"b{h}" for h in range(1, self._depth + 1)]
        made = self._evaluate(X, None, names, threads=threads, diagonal=True)
        return [made[name] for name in names]

    def pair_covariances(
        self,
        X: npt.ArrayLike,
        X2: npt.ArrayLike | None = None,
        *,
        pixels: Pixels = "diagonal",
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> list[Array]:
        """Matrices A^(1), ..., A^(H): covariances of the pre-activations of a neuron for two examples.

        Parameters
        ----------
        X, X2, pixels, threads, progress
            As in :meth:`layer_covariances`.

        Returns
        -------
        list of ndarray
            H arrays (n, n2, 2, 2), ``A_ij = [[S_ii, S_ij], [S_ji, S_jj]]`` with S = S^(h-1). In a
            convolutional network S is summed over patches first, ``P(S)_lk = sum_s S_{l+s, k+s}``:
            (p, n, n2, 2, 2) at pixel l of both, or with ``pixels="pairs"`` the texts' 2p x 2p matrices,
            (n, n2, 2p, 2p).

        Raises
        ------
        TypeError, ValueError, MemoryError
            As in :meth:`layer_covariances`; these arrays are four times as large.
        """
        names = [f"A{h}" for h in range(1, self._depth + 1)]
        variant = _Variant(self, pixels=pixels)
        cross = variant._evaluate(X, X2, names, copies=5, threads=threads, progress=progress)
        own = variant._evaluate(X, None, names, diagonal=True, threads=threads)
        own2 = own if X2 is None else variant._evaluate(X2, None, names, diagonal=True, threads=threads)
        return [_pair_matrices(cross[name], own[name], own2[name]) for name in names]

    def layer_grams(
        self, X: npt.ArrayLike, X2: npt.ArrayLike | None = None, *, threads: int | None = None
    ) -> list[Array]:
        """Limits of the Gram matrices G^(1)(0), ..., G^(H+1)(0) of every layer; their sum is :meth:`ntk`.

        ``G^(h)_ij`` is the inner product of the gradients of f(x_i) and f(x_j) to W^(h); the last is that of
        the read-out.

        Parameters
        ----------
        X, X2 : array_like
            Examples; `X2` defaults to `X`.
        threads : int, optional
            Threads; all by default.

        Returns
        -------
        list of ndarray
            H + 1 arrays (n, n2).
        """
        return list(self._evaluate(X, X2, ["grams"], threads=threads)["grams"])

    def layer_gram(self, h: int, X: npt.ArrayLike, X2: npt.ArrayLike | None = None, **settings: Any) -> Array:
        """Limit of the Gram matrix G^(h)(0) of one layer, 1 <= h <= H + 1, without the others.

        Parameters
        ----------
        h : int
            Layer; H + 1 is the read-out.
        X, X2, **settings
            As in :meth:`ntk`.

        Returns
        -------
        ndarray, shape (n, n2)
        """
        layer = check_positive_int(h, "h")
        if layer > self._depth + 1:
            raise ValueError(f"h: between 1 and {self._depth + 1}, got {layer}")
        return _Variant(self, trained=layer).ntk(X, X2, **settings)

    def last_hidden_gram(self, X: npt.ArrayLike, X2: npt.ArrayLike | None = None, **settings: Any) -> Array:
        """The texts' K^(H): the limit of G^(H)(0), whose smallest eigenvalue their theorems need.

        Parameters
        ----------
        X, X2, **settings
            As in :meth:`ntk`.

        Returns
        -------
        ndarray, shape (n, n2)
            ``c S^(H-1) o E[phi'(u) phi'(v)]`` with c = c_sigma (fully connected, or H = 1) or (c_res / H)^2,
            the expectation taken with covariances S^(H-1).

        Notes
        -----
        The printed definitions take the expectation with the covariances of one layer before; the limit of
        the network has those of layer H - 1.
        """
        return self.layer_gram(self._depth, X, X2, **settings)

    def _settings(self) -> list[str]:
        return [str(self._depth), text_of(self._activation)]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._settings())})"


def _pair_matrices(K: Array, left: Array, right: Array) -> Array:
    """[[left, K], [K^T, right]] for every pair: K (..., n, n2), left (..., n), right (..., n2)."""
    *pixels, n, n2 = K.shape
    if len(pixels) < 2:
        A = np.empty((*K.shape, 2, 2), K.dtype)
        A[..., 0, 1] = A[..., 1, 0] = K
        A[..., 0, 0], A[..., 1, 1] = left[..., :, None], right[..., None, :]
        return A
    p = pixels[0]
    A = np.empty((n, n2, 2 * p, 2 * p), K.dtype)
    A[..., :p, p:], A[..., p:, :p] = K.transpose(2, 3, 0, 1), K.transpose(2, 3, 1, 0)
    A[..., :p, :p] = left.transpose(2, 0, 1)[:, None]
    A[..., p:, p:] = right.transpose(2, 0, 1)
    return A


class _Variant(Kernel):
    """A network with one layer trained, whose tangent kernel is that layer's Gram matrix, or all pixels."""

    def __init__(
        self, network: _DeepNetwork, *, trained: int | None = None, pixels: Pixels = "diagonal"
    ) -> None:
        if pixels not in ("diagonal", "pairs"):
            raise ValueError(f"pixels: 'diagonal' or 'pairs' is needed, got {pixels!r}")
        self._network, self._trained, self._pixels = network, trained, pixels

    def program(self, shape: tuple[int, ...]) -> Program:
        return self._network._compile(shape, self._trained, self._pixels == "pairs")


def _affine(program: Program, trained: bool) -> Program:
    """Weights N(0, 1) of the texts."""
    own = 1.0 if trained else 0.0
    return program.affine(1.0, train_weight=own, train_bias=0.0)


def _given(shape: tuple[int, ...]) -> str:
    return f"(n, {', '.join(map(str, shape))})"


def _vectors(network: Kernel, shape: tuple[int, ...]) -> Program:
    if len(shape) != 1:
        raise ValueError(f"X: {type(network).__name__} needs shape (n, d), got {_given(shape)}")
    return Program()


class FullyConnected(_DeepNetwork):
    """Deep fully connected network of the texts, in the limit of infinite width.

    ``x^(h) = sqrt(c_sigma / m) phi(W^(h) x^(h-1))`` for h = 1 .. depth, ``x^(0) = x``, ``f = a . x^(H)``, all
    entries N(0, 1), all layers trained. The first layer is not divided by sqrt(d): S^(0) = X X^T.

    Parameters
    ----------
    depth : int
        Number H of hidden layers.
    activation : str, Activation or callable
        phi; smooth in the texts' theorems.

    Notes
    -----
    ``S^(h) = c_sigma E[phi(u) phi(v)]``, (u, v) with covariances A^(h) of S^(h-1);
    ``G^(h) = c_sigma S^(h-1) o D^(h) o prod_{k > h} c_sigma D^(k)``, D^(k) = E[phi'(u) phi'(v)].

    References
    ----------
    .. [1] Du, thesis (2019), ch. 3; Du, Lee, Li, Wang, Zhai, ICML 2019, section 5.

    Examples
    --------
    >>> import lazygram
    >>> network = lazygram.FullyConnected(3, "relu")
    >>> [G.round(3).tolist() for G in network.layer_grams([[1.0, 0.0]])]
    [[[1.0]], [[1.0]], [[1.0]], [[1.0]]]
    """

    def __init__(self, depth: int, activation: str | Activation | Function = "softplus") -> None:
        super().__init__(depth, activation)

    def _start(self, shape: tuple[int, ...]) -> Program:
        return _vectors(self, shape)

    def _hidden(self, program: Program, h: int, trained: bool) -> None:
        _affine(program.emit(f"A{h}"), trained).activation(self._activation, scale=self.c_sigma)


class _Residual(_DeepNetwork):
    """Layers after the first are added to a skip connection."""

    def __init__(self, depth: int, activation: str | Activation | Function, c_res: float) -> None:
        super().__init__(depth, activation)
        self._c_res = check_positive_float(c_res, "c_res")

    @property
    def c_res(self) -> float:
        """Factor of the residual branches, which are divided by `depth`."""
        return self._c_res

    @abstractmethod
    def _gather(self, program: Program) -> Program:
        """From x^(h-1) to what W^(h) multiplies."""

    def _hidden(self, program: Program, h: int, trained: bool) -> None:
        if h > 1:
            program.push()
        self._gather(program).emit(f"A{h}")
        _affine(program, trained).activation(self._activation, scale=self.c_sigma if h == 1 else 1.0)
        if h > 1:
            program.add(self._c_res / self._depth, 1.0)

    def _settings(self) -> list[str]:
        return [*super()._settings(), f"c_res={self._c_res:g}"]


class ResNet(_Residual):
    """Deep residual network of the texts, in the limit of infinite width.

    ``x^(1) = sqrt(c_sigma / m) phi(W^(1) x)``, ``x^(h) = x^(h-1) + c_res / (H sqrt(m)) phi(W^(h) x^(h-1))``
    for h = 2 .. H, ``f = a . x^(H)``, all entries N(0, 1), all layers trained.

    Parameters
    ----------
    depth : int
        Number H of hidden layers.
    activation : str, Activation or callable
        phi.
    c_res : float
        Factor of the branches; 0 < c_res < 1 in the theorems.

    Notes
    -----
    With a = c_res / H, mu_i = E phi(u_i) and (u, v) with covariances A^(h) of S^(h-1)::

        S^(h)_ij = S^(h-1)_ij + a (b_i mu_j + mu_i b_j) + a^2 E[phi(u) phi(v)],   b = b^(h-1)
        b^(h)_i  = b^(h-1)_i + a mu_i,          b^(1)_i = sqrt(c_sigma) E phi(u_i)
        G^(h)    = t_h S^(h-1) o D^(h) o prod_{k > h} (1 + t_k D^(k)),   t_1 = c_sigma, t_h = a^2

    b_i of one example goes with mu_j of the other; the printed definition pairs b_i with mu_i.

    References
    ----------
    .. [1] Du, thesis (2019), ch. 3; Du, Lee, Li, Wang, Zhai, ICML 2019, section 6.
    """

    def __init__(
        self, depth: int, activation: str | Activation | Function = "softplus", c_res: float = 0.5
    ) -> None:
        super().__init__(depth, activation, c_res)

    def _start(self, shape: tuple[int, ...]) -> Program:
        return _vectors(self, shape)

    def _gather(self, program: Program) -> Program:
        return program


class ConvResNet(_Residual):
    """Deep convolutional residual network of the texts, in the limit of infinitely many channels.

    As :class:`ResNet` with W^(h) acting on patches of q pixels of all channels, stride 1, zeros outside the
    image; ``f = <a, x^(H)>`` reads every pixel with a weight of its own, without pooling.

    Parameters
    ----------
    depth : int
        Number H of hidden layers.
    activation : str, Activation or callable
        phi.
    c_res : float
        Factor of the branches, divided by `depth`.
    image : tuple of int, optional
        Pixels (p,) or (height, width) of the inputs; those of `X` by default.
    patch : int or tuple of int
        Odd sizes of the patch around a pixel; an int means the same along every axis. It may be larger than
        the image.

    Notes
    -----
    Inputs are (n, channels, p) or (n, channels, height, width). ``S^(0)_lk = sum over c of x_cl x'_ck``;
    ``P(S)_lk = sum_s S_{l+s, k+s}`` pairs equal offsets of two patches; S^(h), b^(h) are those of
    :class:`ResNet` for every pair of pixels, with covariances of P(S^(h-1)). Gram matrices need the diagonal
    l = k alone, which is all that is computed unless ``pixels="pairs"`` is asked for.

    The printed definition 3.3 differs: in truth the first layer is summed over patches as well, the skip adds
    S^(h-1) and not P(S^(h-1)), and K^(H) has the factor (c_res / H)^2.

    References
    ----------
    .. [1] Du, thesis (2019), ch. 3, definition 3.3; Du, Lee, Li, Wang, Zhai, ICML 2019, definition 7.1.
    """

    def __init__(
        self,
        depth: int,
        activation: str | Activation | Function = "softplus",
        c_res: float = 0.5,
        image: Sequence[int] | None = None,
        patch: int | Sequence[int] = 3,
    ) -> None:
        super().__init__(depth, activation, c_res)
        self._image = None if image is None else _check_sizes(image, "image")
        self._one_size = isinstance(patch, (int, np.integer))
        self._patch = _check_sizes([patch] if self._one_size else patch, "patch")
        if any(size % 2 == 0 for size in self._patch):
            raise ValueError(f"patch: odd sizes are needed, got {patch!r}")
        if self._image is not None:
            self._sizes(self._image)

    @property
    def image(self) -> tuple[int, ...] | None:
        """Pixels per axis, if they were given."""
        return self._image

    @property
    def patch(self) -> tuple[int, ...]:
        """Sizes of the patch, one for all axes or one for each."""
        return self._patch

    def _sizes(self, image: tuple[int, ...]) -> tuple[int, ...]:
        sizes = self._patch * len(image) if self._one_size else self._patch
        if len(sizes) != len(image):
            raise ValueError(f"patch: {self._patch} does not fit {len(image)}-dimensional images")
        return sizes

    def _start(self, shape: tuple[int, ...]) -> Program:
        if len(shape) not in (2, 3):
            raise ValueError(
                "X: ConvResNet needs shape (n, channels, p) or (n, channels, height, width), "
                f"got {_given(shape)}"
            )
        if self._image is not None and shape[1:] != self._image:
            raise ValueError(f"X: images of {self._image} pixels are needed, got {shape[1:]}")
        self._sizes(shape[1:])
        return Program(shape[1:])

    def _gather(self, program: Program) -> Program:
        return program.patches(self._patch[0] if self._one_size else self._patch)

    def _before_read_out(self, program: Program) -> None:
        program.flatten(1.0)

    def _settings(self) -> list[str]:
        settings = super()._settings()
        if self._image is not None:
            settings.append(f"image={self._image}")
        return [*settings, f"patch={self._patch[0] if self._one_size else self._patch}"]


def _check_sizes(sizes: Any, name: str) -> tuple[int, ...]:
    if not isinstance(sizes, (list, tuple)) or not 1 <= len(sizes) <= 2:
        raise ValueError(f"{name}: one or two numbers are needed, got {sizes!r}")
    return tuple(check_positive_int(size, name) for size in sizes)
