"""Activations on arrays of any namespace: phi and phi' of every registered one as array-API expressions.

:mod:`lazygram.activations` evaluates in float64 with NumPy and SciPy, for expectations. Networks need the
same functions in the dtype, in the library and on the device of their arrays. Each pair below keeps full
accuracy in both tails and clips instead of branching: `where` of NumPy costs as much as eight exponentials.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lazygram.activations import SELU_ALPHA, SELU_GAIN, Activation
from lazygram.networks.backend import Backend

__all__ = ["Elementwise", "elementwise", "strict_relu"]

Function = Callable[[Any], Any]
Parameters = Mapping[str, float]


class Elementwise:
    """phi and phi' for arrays of one backend."""

    def __init__(self, name: str, phi: Function, dphi: Function | None) -> None:
        self.name = name
        self.phi = phi
        self._dphi = dphi

    @property
    def dphi(self) -> Function:
        """phi'.

        Raises
        ------
        ValueError
            The activation has no derivative that gradients could be made of.
        """
        if self._dphi is None:
            raise ValueError(
                f"activation: {self.name} has no derivative, which gradients and Gram matrices need"
            )
        return self._dphi


def elementwise(activation: Activation, backend: Backend) -> Elementwise:
    """phi and phi' of `activation` for arrays of `backend`.

    A custom callable is called with the arrays themselves, and must return arrays of the same library.
    """
    if isinstance(activation.phi, np.polynomial.Polynomial):
        coefficients = [float(c) for c in activation.phi.coef]
        slopes = [float(c) for c in activation.phi.deriv().coef]
        return Elementwise(activation.name, _horner(coefficients), _horner(slopes))
    if activation.name in _TABLE:
        phi, dphi = _TABLE[activation.name](backend, activation.parameters)
        return Elementwise(activation.name, phi, dphi)
    dphi = None if activation.dphi is None else _checked(activation.dphi, "dphi", activation.name, backend)
    return Elementwise(activation.name, _checked(activation.phi, "phi", activation.name, backend), dphi)


def strict_relu(backend: Backend) -> Elementwise:
    """ReLU whose derivative is 1{x > 0}, 0 at 0, as Zou et al. define it."""
    return Elementwise("relu", _positive_part(backend), lambda x: backend.cast(x > 0.0))


def _checked(function: Function, which: str, name: str, backend: Backend) -> Function:
    def call(x: Any) -> Any:
        value = function(x)
        if not backend.owns(value) or tuple(value.shape) != tuple(x.shape):
            raise TypeError(
                f"activation: {which} of {name} must map an array of {backend.name} to one of "
                f"the same shape, got {type(value).__name__}"
            )
        return backend.cast(value)

    return call


def _horner(coefficients: list[float]) -> Function:
    def value(x: Any) -> Any:
        result = x * 0.0 + coefficients[-1]
        for c in reversed(coefficients[:-1]):
            result = result * x + c
        return result

    return value


def _positive_part(b: Backend) -> Function:
    if b.is_numpy:
        return lambda x: np.maximum(x, 0)
    return lambda x: b.xp.clip(x, 0.0, None)


def _negative_part(b: Backend) -> Function:
    if b.is_numpy:
        return lambda x: np.minimum(x, 0)
    return lambda x: b.xp.clip(x, None, 0.0)


def _decay(b: Backend) -> Function:
    """exp(-|x|), which neither overflows nor loses digits."""
    return lambda x: b.xp.exp(-b.xp.abs(x))


def _sigmoid(b: Backend) -> Function:
    """1 / (1 + exp(-x)), as accurate in both tails as exp is; its argument is kept below overflow."""
    xp = b.xp
    most = 0.99 * math.log(float(np.finfo(b.dtype).max))
    if b.is_numpy:
        return lambda x: 1.0 / (1.0 + np.exp(np.minimum(-x, most)))
    return lambda x: 1.0 / (1.0 + xp.exp(xp.clip(-x, None, most)))


def _sigmoid_slope(b: Backend) -> Function:
    decay = _decay(b)

    def value(x: Any) -> Any:
        e = decay(x)
        return e / ((1.0 + e) * (1.0 + e))

    return value


def _relu_pair(b: Backend, _: Parameters) -> tuple[Function, Function]:
    return _positive_part(b), lambda x: b.cast(x >= 0.0)


def _leaky_relu(b: Backend, parameters: Parameters) -> tuple[Function, Function]:
    a, positive, negative = parameters["slope"], _positive_part(b), _negative_part(b)
    return lambda x: positive(x) + a * negative(x), lambda x: (1.0 - a) * b.cast(x >= 0.0) + a


def _absolute(b: Backend, _: Parameters) -> tuple[Function, Function]:
    return b.xp.abs, b.xp.sign


def _step(b: Backend, _: Parameters) -> tuple[Function, None]:
    return lambda x: b.cast(x >= 0.0), None


def _sign(b: Backend, _: Parameters) -> tuple[Function, None]:
    return b.xp.sign, None


def _rectified_monomial(b: Backend, parameters: Parameters) -> tuple[Function, Function]:
    n, positive = int(parameters["degree"]), _positive_part(b)

    def slope(x: Any) -> Any:
        active = b.cast(x >= 0.0)
        return active if n == 1 else n * active * positive(x) ** (n - 1)

    return lambda x: positive(x) ** n, slope


def _erf(b: Backend, parameters: Parameters) -> tuple[Function, Function]:
    c, erf = parameters["scale"], b.special("erf")
    return lambda x: erf(c * x), lambda x: 2.0 * c / math.sqrt(math.pi) * b.xp.exp(-((c * x) ** 2))


def _wave(b: Backend, w: float, phase: float, a: float) -> tuple[Function, Function]:
    return lambda x: a * b.xp.cos(w * x + phase), lambda x: -a * w * b.xp.sin(w * x + phase)


def _sine(b: Backend, parameters: Parameters) -> tuple[Function, Function]:
    w = parameters["frequency"]
    return lambda x: b.xp.sin(w * x), lambda x: w * b.xp.cos(w * x)


def _exponential(b: Backend, parameters: Parameters) -> tuple[Function, Function]:
    c = parameters["rate"]
    return lambda x: b.xp.exp(c * x), lambda x: c * b.xp.exp(c * x)


def _gaussian(b: Backend, parameters: Parameters) -> tuple[Function, Function]:
    c = parameters["width"]

    def phi(x: Any) -> Any:
        return b.xp.exp(-0.5 * (x / c) ** 2)

    return phi, lambda x: -x / c**2 * phi(x)


def _gelu(b: Backend, _: Parameters) -> tuple[Function, Function]:
    erfc, xp = b.special("erfc"), b.xp
    density = 1.0 / math.sqrt(2.0 * math.pi)

    def normal_cdf(x: Any) -> Any:
        return 0.5 * erfc(-math.sqrt(0.5) * x)  # PyTorch's ndtr cancels in the left tail

    return lambda x: x * normal_cdf(x), lambda x: normal_cdf(x) + x * (density * xp.exp(-0.5 * x * x))


def _softplus(b: Backend, parameters: Parameters) -> tuple[Function, Function]:
    beta, xp, decay = parameters["beta"], b.xp, _decay(b)
    positive, sigmoid = _positive_part(b), _sigmoid(b)
    if beta == 1.0:
        return lambda x: positive(x) + xp.log1p(decay(x)), sigmoid
    return lambda x: positive(x) + xp.log1p(decay(beta * x)) / beta, lambda x: sigmoid(beta * x)


def _logistic(b: Backend, _: Parameters) -> tuple[Function, Function]:
    return _sigmoid(b), _sigmoid_slope(b)


def _tanh(b: Backend, _: Parameters) -> tuple[Function, Function]:
    slope = _sigmoid_slope(b)
    return b.xp.tanh, lambda x: 4.0 * slope(2.0 * x)  # sech^2 without the cancellation of 1 - tanh^2


def _silu(b: Backend, _: Parameters) -> tuple[Function, Function]:
    sigmoid = _sigmoid(b)

    def dphi(x: Any) -> Any:
        gate = sigmoid(x)
        return gate * (1.0 + x * (1.0 - gate))

    return lambda x: x * sigmoid(x), dphi


def _mish(b: Backend, _: Parameters) -> tuple[Function, Function]:
    sigmoid, xp = _sigmoid(b), b.xp

    def excess(x: Any) -> Any:
        """n = e^x (e^x + 2), for which tanh(log(1 + e^x)) = n / (n + 2); beyond 20 the quotient is 1."""
        e = xp.exp(xp.clip(x, None, 20.0))
        return e * (e + 2.0)

    def phi(x: Any) -> Any:
        n = excess(x)
        return x * (n / (n + 2.0))

    def dphi(x: Any) -> Any:
        n = excess(x)
        gate = n / (n + 2.0)
        return gate + x * sigmoid(x) * (1.0 + gate) * (2.0 / (n + 2.0))

    return phi, dphi


def _exponential_linear(b: Backend, alpha: float, gain: float) -> tuple[Function, Function]:
    xp, positive, negative = b.xp, _positive_part(b), _negative_part(b)
    return (
        lambda x: gain * positive(x) + (gain * alpha) * xp.expm1(negative(x)),
        lambda x: (gain * (1.0 - alpha)) * b.cast(x >= 0.0) + (gain * alpha) * xp.exp(negative(x)),
    )


def _clipped(b: Backend, slope: float, low: float, high: float, shift: float) -> tuple[Function, Function]:
    edge = high / slope - shift / slope
    return (
        lambda x: b.xp.clip(slope * x + shift, low, high),
        lambda x: slope * b.cast(b.xp.abs(x) < edge),
    )


_TABLE: dict[str, Callable[[Backend, Parameters], tuple[Function, Function | None]]] = {
    "relu": _relu_pair,
    "leaky_relu": _leaky_relu,
    "abs": _absolute,
    "step": _step,
    "sign": _sign,
    "rectified_monomial": _rectified_monomial,
    "erf": _erf,
    "sin": _sine,
    "cos": lambda b, p: _wave(b, p["frequency"], 0.0, 1.0),
    "fourier": lambda b, p: _wave(b, p["frequency"], p["phase"], p["amplitude"]),
    "exp": _exponential,
    "gaussian": _gaussian,
    "gelu": _gelu,
    "softplus": _softplus,
    "sigmoid": _logistic,
    "tanh": _tanh,
    "silu": _silu,
    "mish": _mish,
    "elu": lambda b, p: _exponential_linear(b, p["alpha"], 1.0),
    "selu": lambda b, _: _exponential_linear(b, SELU_ALPHA, SELU_GAIN),
    "hard_tanh": lambda b, _: _clipped(b, 1.0, -1.0, 1.0, 0.0),
    "hard_sigmoid": lambda b, _: _clipped(b, 1.0 / 6.0, 0.0, 1.0, 0.5),
}
