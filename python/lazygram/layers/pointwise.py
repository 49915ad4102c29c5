"""Layers that act at every channel and pixel alike: Activation, LayerNorm, Dropout, Identity."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lazygram.activations import Activation as Phi
from lazygram.activations import Function, get_activation, text_of
from lazygram.kernels import Program
from lazygram.layers.base import ImpossibleNetwork, Layer, Parameterisation, Value, check_flag, check_std

__all__ = ["Activation", "Dropout", "Identity", "LayerNorm"]


@dataclass(frozen=True, repr=False)
class Activation(Layer):
    """phi at every channel and pixel of Gaussian pre-activations.

    Parameters
    ----------
    activation : str, lazygram.activations.Activation or callable
        A name of :data:`lazygram.activations.registry`, an object made by one of its constructors, or a
        vectorised function (:func:`lazygram.activations.custom` for its derivative and kinks).
    normalised : bool
        Multiply by sqrt(c_sigma), c_sigma = 1 / E[phi(Z)^2]: unit variances stay units.

    Notes
    -----
    With (u, v) ~ N(0, [[K_ii, K_ij], [K_ji, K_jj]]): ``K_ij <- E[phi(u) phi(v)]``,
    ``T_ij <- T_ij E[phi'(u) phi'(v)]``, ``b_i <- E phi(u)``. It must follow a weight layer, or sums, pools
    and norms of them: elsewhere channels are no Gaussians and the limit has no such form.
    """

    activation: str | Phi | Function
    normalised: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "activation", get_activation(self.activation))
        check_flag(self.normalised, "normalised")

    @property
    def phi(self) -> Phi:
        """The activation itself."""
        assert isinstance(self.activation, Phi)
        return self.activation

    def compile(self, program: Program, value: Value, parameterisation: Parameterisation) -> Value:
        if not value.gaussian:
            before = "the input" if value.is_input else "what comes before it"
            raise ImpossibleNetwork(f"{before} is not Gaussian: put Dense or Conv before the activation")
        program.activation(self.phi, scale=self.phi.c_sigma if self.normalised else 1.0)
        return replace(value, gaussian=False, mean="known")

    def __repr__(self) -> str:
        text = text_of(self.phi)
        return f"Activation({text}, normalised=True)" if self.normalised else f"Activation({text})"


@dataclass(frozen=True, repr=False)
class LayerNorm(Layer):
    """Subtraction of the mean over channels and division by their standard deviation.

    Parameters
    ----------
    eps : float
        Added to the variance. Zero variances give zeros also with ``eps=0``.
    pixels : bool
        Take the moments over channels and pixels; by default over the channels of each pixel.

    Notes
    -----
    ``K_ij <- K_ij / sqrt((v_i + eps)(v_j + eps))``, T likewise, v the variance of a channel. The mean over
    infinitely many channels is that of one channel and must be 0, so that it is known to drop out; after an
    activation put Dense or Conv first.
    """

    eps: float = 1e-12
    pixels: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "eps", check_std(self.eps, "eps"))
        check_flag(self.pixels, "pixels")

    def compile(self, program: Program, value: Value, parameterisation: Parameterisation) -> Value:
        if value.mean != "zero":
            raise ImpossibleNetwork("its input must be centred: put Dense or Conv before LayerNorm")
        program.normalise(self.eps, pixels=self.pixels)
        return value


@dataclass(frozen=True, repr=False)
class Dropout(Layer):
    """Channels set to zero at random, the others divided by the probability to stay (training mode).

    Parameters
    ----------
    rate : float
        Probability to be set to zero, 0 <= rate < 1. (neural-tangents calls the probability to stay `rate`.)

    Notes
    -----
    K and T of an example with itself, at the same pixel, are divided by 1 - rate. Different examples have
    different masks, which leaves K_ij and T_ij as they are; examples of `X` and of `X2` count as different.
    At test time dropout does nothing: leave the layer away.
    """

    rate: float

    def __post_init__(self) -> None:
        rate = check_std(self.rate, "rate")
        if rate >= 1.0:
            raise ValueError(f"rate: must be below 1, got {rate}")
        object.__setattr__(self, "rate", rate)

    def compile(self, program: Program, value: Value, parameterisation: Parameterisation) -> Value:
        if value.is_input:
            raise ImpossibleNetwork("an input has finitely many channels: put Dense or Conv before Dropout")
        if self.rate == 0.0:
            return value
        program.dropout(1.0 - self.rate)
        return replace(value, gaussian=False)


@dataclass(frozen=True, repr=False)
class Identity(Layer):
    """Nothing; the skip of a residual block, for instance."""

    def compile(self, program: Program, value: Value, parameterisation: Parameterisation) -> Value:
        return value
