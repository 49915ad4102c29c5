"""What all deep networks share: parameters, checked inputs, predictions, the sum of layer Gram matrices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from lazygram.networks.backend import Backend, Buffers, backend_of

__all__ = ["DeepNetwork", "Forward", "Pass", "symmetrised"]

Network = TypeVar("Network", bound="DeepNetwork")


@dataclass(frozen=True)
class Forward:
    """What a forward pass leaves: outputs, and features and pre-activations of every layer."""

    outputs: Any
    """f(x_i), shape (n,)."""
    features: list[Any]
    """x^(0), ..., x^(H): (n, width), for convolutions (n, channels, pixels)."""
    preactivations: list[Any]
    """u^(1), ..., u^(H), shaped like the features."""


@dataclass
class Pass:
    """A forward pass like :class:`Forward`, in the layout of the network's products."""

    outputs: Any
    features: list[Any]
    preactivations: list[Any]


def symmetrised(gram: Any) -> Any:
    """The symmetric part: blocks of a product and their mirror images differ by rounding."""
    return 0.5 * (gram + gram.T)


class DeepNetwork(ABC):
    """A network f(x; W_1, W_2, ...) with one number (some: a vector) per example, and its derivatives.

    Subclasses say how their parameters are shaped and implement the passes; arrays live in the namespace
    ``xp``, on ``device``, with ``dtype``. Networks are not changed by anything; :meth:`with_parameters` makes
    another one of the same architecture.
    """

    _backend: Backend
    _parameters: list[Any]
    _seed: int | None

    @property
    @abstractmethod
    def depth(self) -> int:
        """Number of hidden layers H."""

    @property
    @abstractmethod
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example."""

    @property
    @abstractmethod
    def parameter_names(self) -> list[str]:
        """Names of the parameters, in their order."""

    @abstractmethod
    def _shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the parameters."""

    @abstractmethod
    def _assume(self, parameters: list[Any], backend: Backend, seed: int | None) -> None:
        """Take these parameters, already checked, as they are."""

    @abstractmethod
    def _propagate(self, x: Any, buffers: Buffers | None) -> Pass:
        """Forward pass of checked examples; with `buffers` its arrays are overwritten by the next one."""

    @abstractmethod
    def _deltas(self, done: Pass, weight: Any, buffers: Buffers | None) -> list[Any]:
        """weight_i df(x_i)/du^(h), for all h, in the layout of the pass; weight None stands for ones."""

    @abstractmethod
    def _gradients(self, done: Pass, weight: Any, deltas: list[Any], into: Callable[[int], Any]) -> list[Any]:
        """sum_i weight_i df(x_i)/dW for all parameters; `into(k)` is where number k goes, or None."""

    @abstractmethod
    def forward(self, X: Any) -> Forward:
        """Outputs, features and pre-activations of all layers.

        Parameters
        ----------
        X : array_like, shape (n, dim) or (n, *input_shape)
            Examples. Arrays of the network's own library stay on their device.

        Raises
        ------
        TypeError, ValueError
            Bad input; the message names the argument.
        """

    @abstractmethod
    def backpropagate(self, forward: Forward) -> list[Any]:
        """Derivatives delta^(h) = df(x_i)/du^(h), h = 1..H, shaped like the pre-activations."""

    @abstractmethod
    def backward(self, forward: Forward, dloss_du: Any) -> list[Any]:
        """Gradient of a loss in every parameter, in the order of :attr:`parameters`.

        Parameters
        ----------
        forward : Forward
            Of the examples in question.
        dloss_du : array_like, shape (n,)
            Derivative of the loss in each output.

        Raises
        ------
        ValueError
            `forward` is of a network with other layers, or `dloss_du` has another shape.
        """

    @abstractmethod
    def layer_grams(self, X: Any, X2: Any = None) -> list[Any]:
        """Gram matrices G^(h)_ij = <df(x_i)/dW^(h), df(x'_j)/dW^(h)>, one for each parameter.

        Computed from inner products of features and of back-propagated derivatives, n^2 m operations a layer;
        the n x (number of parameters) Jacobian is never formed.

        Parameters
        ----------
        X, X2 : array_like
            Examples; X2 = X by default.

        Returns
        -------
        list of array, shape (n, n2)
            Exactly symmetric without X2.

        Raises
        ------
        TypeError, ValueError
            Bad input, or an activation without a derivative; the message names the argument.
        """

    @abstractmethod
    def _grams(self, one: Pass, deltas: list[Any], two: Pass) -> list[Any]:
        """Gram matrices of two passes, `deltas` those of the first with weight None."""

    @abstractmethod
    def _signs(self, done: Pass) -> list[Any]:
        """Signs of the pre-activations of every hidden layer, boolean, in the layout of the pass."""

    @abstractmethod
    def patterns(self, X: Any) -> list[Any]:
        """Signs of the pre-activations, boolean, shaped like them, for every hidden layer: u >= 0."""

    @property
    def parameters(self) -> list[Any]:
        """The parameters, layer by layer (the arrays themselves; not to be changed)."""
        return list(self._parameters)

    @property
    def parameter_count(self) -> int:
        """Number of trained numbers."""
        return sum(int(np.prod(shape)) for shape in self._shapes())

    @property
    def dim(self) -> int:
        """Numbers per example."""
        return int(np.prod(self.input_shape))

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64, as NumPy names it."""
        return self._backend.dtype

    @property
    def xp(self) -> Any:
        """Array namespace of the parameters."""
        return self._backend.xp

    @property
    def device(self) -> Any:
        """Device of the parameters; None for NumPy."""
        return self._backend.device

    @property
    def seed(self) -> int | None:
        """Seed as a 64-bit integer; None for a network made from arrays."""
        return self._seed

    def predict(self, X: Any) -> Any:
        """Outputs f(x_i), an array of the network's namespace, shape (n,)."""
        return self._propagate(self._examples(X, "X"), None).outputs

    def gram(self, X: Any, X2: Any = None) -> Any:
        """Empirical NTK, the sum of :meth:`layer_grams`, shape (n, n2)."""
        layers = self.layer_grams(X, X2)
        total = layers[0]
        for layer in layers[1:]:
            total = total + layer
        return total

    def with_parameters(self: Network, parameters: Sequence[Any]) -> Network:
        """Network of this architecture with other parameters, in the order and shapes of :attr:`parameters`.

        NumPy arrays keep a dtype of float32 or float64, the rest becomes float64; arrays of other libraries
        are taken as they are, so that derivatives can be taken through them.

        Raises
        ------
        ValueError
            Wrong number, shapes, or arrays of several libraries, devices or dtypes.
        """
        return self._replaced(self._check_parameters(list(parameters)))

    def _replaced(self: Network, taken: tuple[list[Any], Backend]) -> Network:
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._assume(*taken, None)
        return other

    def _trusted(self: Network, parameters: list[Any]) -> Network:
        """The same with parameters of this backend, which need not be finite after divergence."""
        return self._replaced((parameters, self._backend))

    def _check_parameters(self, parameters: list[Any]) -> tuple[list[Any], Backend]:
        shapes, names = self._shapes(), self.parameter_names
        if len(parameters) != len(shapes):
            raise ValueError(
                f"parameters: {len(shapes)} arrays are needed ({', '.join(names)}), got {len(parameters)}"
            )
        backend = backend_of(parameters, "parameters")
        checked = []
        for name, shape, value in zip(names, shapes, parameters, strict=True):
            array = np.ascontiguousarray(backend.asarray(value)) if backend.is_numpy else value
            if tuple(array.shape) != shape:
                raise ValueError(f"parameters: {name} has shape {tuple(array.shape)}, {shape} is needed")
            if backend.is_numpy and not np.isfinite(array).all():
                raise ValueError(f"parameters: {name} has entries that are not finite")
            checked.append(array)
        return checked, backend

    def _examples(self, X: Any, name: str) -> Any:
        """Checked examples, one row each."""
        shape = getattr(X, "shape", None)
        if shape is None:
            X = np.asarray(X)
            shape = X.shape
        if len(self.input_shape) > 1 and len(shape) > 2:
            flat = (self.input_shape[0], int(np.prod(self.input_shape[1:])))
            if tuple(shape[1:]) not in (self.input_shape, flat):
                raise ValueError(
                    f"{name}: shape (n, {', '.join(map(str, self.input_shape))}) is needed, "
                    f"got {tuple(shape)}"
                )
            X = X.reshape((shape[0], self.dim))
        return self._backend.matrix(X, name, self.dim)

    def _check_forward(self, forward: Forward, widths: list[int]) -> None:
        """Refuse the forward pass of a network with other layers."""
        found = [int(u.shape[1]) for u in forward.preactivations]
        if found != widths:
            raise ValueError(f"forward: layers of {widths} neurons are needed, got {found}")

    def _weights(self, value: Any, n: int, name: str) -> Any:
        """Checked vector of one number per example, in the backend."""
        array = self._backend.asarray(value if self._backend.owns(value) else np.asarray(value))
        if tuple(array.shape) != (n,):
            raise ValueError(f"{name}: shape ({n},) is needed, got {tuple(array.shape)}")
        return array

    def _origin(self) -> str:
        """End of the repr: where the parameters come from, and where they live."""
        origin = "from_parameters" if self._seed is None else f"seed={self._seed}"
        return f"{origin}, dtype={self.dtype}, {self._backend!r}"
