"""Layers with parameters: Dense and Conv, in both parameterisations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lazygram.arrays import check_positive_int
from lazygram.kernels import Program
from lazygram.layers.base import (
    ImpossibleNetwork,
    Layer,
    Padding,
    Parameterisation,
    Value,
    check_flag,
    check_padding,
    check_std,
    check_window,
    windows,
)

__all__ = ["Conv", "Dense"]


@dataclass(frozen=True, repr=False)
class _Weights(Layer):
    """Settings that Dense and Conv share, and the change of K and T by fresh weights."""

    def _weigh(
        self,
        program: Program,
        value: Value,
        parameterisation: Parameterisation,
        settings: tuple[float, float | None, int | None, bool],
        window: int,
    ) -> Value:
        """Weights over `window` pixels of every channel; the program's K is summed over the window."""
        w_std, b_std, width, trained = settings
        weight, bias = w_std**2 / window, 0.0 if b_std is None else b_std**2
        if not trained:
            program.affine(weight, bias, train_weight=0.0, train_bias=0.0)
        elif parameterisation == "ntk":
            program.affine(weight, bias)
        elif value.width is None:
            raise ImpossibleNetwork(
                'the "standard" parameterisation needs the width of the layer that comes before: give width='
            )
        else:
            # Weights are the variables: the gradient to them is the input itself, not divided by
            # sqrt(fan_in), and that to a bias is 1.
            program.affine(
                weight, bias, train_weight=float(value.width), train_bias=0.0 if b_std is None else 1.0
            )
        return replace(value, width=width, gaussian=True, mean="zero", fresh=True, is_input=False)


@dataclass(frozen=True, repr=False)
class Dense(_Weights):
    """Fully connected layer: z = w_std W x / sqrt(channels) + b_std beta, at every pixel of an image.

    On an image it mixes channels, like a convolution with a filter of one pixel; put :class:`Flatten` or a
    pooling layer before it to read all pixels.

    Parameters
    ----------
    w_std : float
        Standard deviation of a weight times the square root of the fan-in.
    b_std : float or None
        Standard deviation of the biases; None means that there are none. With ``b_std=0.0`` and
        parameterisation "standard" they start at zero and are trained.
    width : int, optional
        Number of outputs. Needed only by parameterisation "standard", where the next weight layer's part of
        the tangent kernel is proportional to it, and by :class:`FanInConcat` of unequal widths.
    trained : bool
        If false, the layer keeps its random weights and adds nothing to the tangent kernel.

    Notes
    -----
    ``K <- w_std^2 K + b_std^2``; ``T <- w_std^2 T + (w_std^2 K + b_std^2)`` ("ntk") or
    ``T <- w_std^2 T + channels K + 1{bias}`` ("standard"), K the covariance before the layer [1]_ [2]_.

    References
    ----------
    .. [1] Jacot, Gabriel, Hongler, "Neural tangent kernel", NeurIPS 2018.
    .. [2] Sohl-Dickstein, Novak, Schoenholz, Lee, "On the infinite width limit of neural networks with a
       standard parameterization", arXiv:2001.07301.
    """

    w_std: float = 1.0
    b_std: float | None = None
    width: int | None = None
    trained: bool = True

    def __post_init__(self) -> None:
        _check_weights(self)

    def compile(self, program: Program, value: Value, parameterisation: Parameterisation) -> Value:
        settings = (self.w_std, self.b_std, self.width, self.trained)
        return self._weigh(program, value, parameterisation, settings, 1)


@dataclass(frozen=True, repr=False)
class Conv(_Weights):
    """Convolution: all channels of a window of pixels, with fresh Gaussian filters shared by its places.

    Parameters
    ----------
    filter : int or tuple of int
        Pixels of the window; an int means the same along every axis.
    stride : int or tuple of int
        Distance of its places.
    padding : {"SAME", "VALID", "CIRCULAR"}
        Zeros around the image so that there are ceil(size / stride) places per axis (an odd number of zeros
        has one more after the image); none; or the image continued periodically.
    w_std, b_std, width, trained
        As in :class:`Dense`; the fan-in is the number of channels times that of the window's pixels.

    Notes
    -----
    ``K_lk <- w_std^2 / q sum_s K_{l+s, k+s} + b_std^2`` over the q offsets of the window, terms outside the
    image left out; T likewise, plus its own part as in :class:`Dense` (fan-in q times the channels) [1]_.

    References
    ----------
    .. [1] Arora, Du, Hu, Li, Salakhutdinov, Wang, "On exact computation with an infinitely wide neural net",
       NeurIPS 2019 (CNTK).
    """

    filter: int | Sequence[int]
    stride: int | Sequence[int] = 1
    padding: Padding = "SAME"
    w_std: float = 1.0
    b_std: float | None = None
    width: int | None = None
    trained: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "filter", check_window(self.filter, "filter"))
        object.__setattr__(self, "stride", check_window(self.stride, "stride"))
        check_padding(self.padding)
        _check_weights(self)

    def compile(self, program: Program, value: Value, parameterisation: Parameterisation) -> Value:
        window, stride, image = windows(self.filter, self.stride, self.padding, value, "filter")
        program.patches(window, stride, self.padding)
        settings = (self.w_std, self.b_std, self.width, self.trained)
        made = self._weigh(program, value, parameterisation, settings, int(np.prod(window)))
        return replace(made, image=image)


def _check_weights(layer: Dense | Conv) -> None:
    object.__setattr__(layer, "w_std", check_std(layer.w_std, "w_std"))
    if layer.b_std is not None:
        object.__setattr__(layer, "b_std", check_std(layer.b_std, "b_std"))
    check_flag(layer.trained, "trained")
    if layer.width is not None:
        object.__setattr__(layer, "width", check_positive_int(layer.width, "width"))
