"""State of a deep network in training: parameters, forward pass, the step that changes them; flow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lazygram.arrays import Float64
from lazygram.networks.backend import Buffers
from lazygram.networks.deep import DeepNetwork, Pass

__all__ = ["DeepFlowState", "DeepState"]


class _Now(NamedTuple):
    """Everything that changes with a step. Replaced as one object, so that Ctrl-C finds it whole."""

    step: int
    time: float
    parameters: list[Any]
    u: Float64


class DeepState:
    """Parameters, predictions and the last forward pass of a network in training.

    Two sets of parameters besides the initial one: gradients are written into the spare set and turned into
    the new parameters there, so an interrupted step leaves the state before it whole, and no step allocates.
    The arrays of the forward pass are used again by the next one.
    """

    def __init__(
        self,
        initial: DeepNetwork,
        x: Any,
        *,
        factors: Sequence[float],
        x_test: Any,
        step: int = 0,
        time: float = 0.0,
        parameters: list[Any] | None = None,
    ) -> None:
        self._initial = initial
        self._backend = initial._backend
        self._x = x
        self._x_test = x_test
        self._factors = list(factors)
        self._buffers = Buffers(self._backend)
        self._batch_buffers = Buffers(self._backend)
        self._spare: list[Any] | None = None
        self._gradient: tuple[int, list[Any]] | None = None
        self._pass: tuple[int, Pass] | None = None
        self._now = _Now(step, time, initial.parameters if parameters is None else parameters, np.empty(0))
        self.forward()

    @property
    def step(self) -> int:
        """Number of steps done."""
        return self._now.step

    @property
    def time(self) -> float:
        """Sum of the step sizes so far."""
        return self._now.time

    @property
    def u(self) -> Float64:
        """Predictions f(x_i), as of the last forward pass on all examples."""
        return self._now.u

    @property
    def parameters(self) -> list[Any]:
        """Parameters of this step; overwritten two steps later."""
        return self._now.parameters

    def forward(self) -> None:
        """Forward pass of all examples under the current parameters."""
        self._gradient = None
        u = self._forward()
        self._now = self._now._replace(u=u)

    def _forward(self) -> Float64:
        done = self._network(self._now.parameters)._propagate(self._x, self._buffers)
        self._pass = (self._now.step, done)
        return self._predictions(done)

    def gradient(self, rho: Float64) -> list[Any]:
        """Gradient of the loss with rho = dL/du, kept for :meth:`advance`; overwritten by the next step."""
        if self._gradient is None or self._gradient[0] != self.step:
            done = self._whole_pass()
            self._gradient = (self.step, self._gradients(done, rho, self._buffers))
        return self._gradient[1]

    def advance(self, rho: Float64, step_size: float) -> None:
        """Full-batch step from rho = dL/du, and the forward pass after it."""
        self._descend(self.gradient(rho), step_size)
        self.forward()

    def forward_batch(self, batch: npt.NDArray[np.intp]) -> tuple[Float64, Pass]:
        """Predictions and forward pass of some examples under the current parameters."""
        b = self._backend
        x = self._x[batch] if b.is_numpy else b.xp.take(self._x, b.indices(batch), axis=0)
        done = self._network(self._now.parameters)._propagate(x, self._batch_buffers)
        return self._predictions(done), done

    def advance_batch(self, done: Pass, rho: Float64, step_size: float) -> None:
        """Step on some examples; u and the pass of all examples are stale until :meth:`forward`."""
        self._descend(self._gradients(done, rho, self._batch_buffers), step_size)

    def grams(self) -> list[Float64]:
        """G^(h)(k) of the examples for every parameter, shape (n, n), symmetric."""
        done = self._whole_pass()
        network = self._network(self._now.parameters)
        grams = network._grams(done, network._deltas(done, None, None), done)
        return [self._backend.to_numpy(G).astype(np.float64) for G in grams]

    def patterns(self) -> list[Any]:
        """Signs of the pre-activations of all examples."""
        return self._initial._signs(self._whole_pass())

    def test_predictions(self) -> Float64:
        """f on the test examples."""
        return self._predictions(self._network(self._now.parameters)._propagate(self._x_test, None))

    def network(self) -> DeepNetwork:
        """The trained network (a copy of the parameters)."""
        b = self._backend
        return self._network(
            [b.xp.asarray(p, copy=True) if not b.is_numpy else p.copy() for p in self.parameters]
        )

    def _network(self, parameters: list[Any]) -> DeepNetwork:
        return self._initial._trusted(parameters)

    def _whole_pass(self) -> Pass:
        """The pass of this step; made again when an interrupted step has overwritten its arrays."""
        if self._pass is None or self._pass[0] != self.step:
            self._forward()
        assert self._pass is not None
        return self._pass[1]

    def _predictions(self, done: Pass) -> Float64:
        return self._backend.to_numpy(done.outputs).astype(np.float64)

    def _gradients(self, done: Pass, rho: Float64, buffers: Buffers) -> list[Any]:
        network = self._network(self._now.parameters)
        weight = self._backend.asarray(rho)
        return network._gradients(done, weight, network._deltas(done, weight, buffers), self._into)

    def _into(self, k: int) -> Any:
        if not self._backend.has_out:
            return None
        if self._spare is None:
            self._spare = [self._backend.zeros(tuple(p.shape)) for p in self._now.parameters]
        return self._spare[k]

    def _descend(self, gradients: list[Any], step_size: float) -> None:
        """W - eta g, written over g."""
        b, now = self._backend, self._now
        self._gradient = None
        moved = []
        for k, (W, g) in enumerate(zip(now.parameters, gradients, strict=True)):
            eta = step_size * self._factors[k]
            if b.has_out and not b.is_numpy:
                g *= -eta
                g += W
                moved.append(g)
            else:
                moved.append(
                    b.rowwise(lambda w, g, eta=eta: w - eta * g, W, g, out=g if b.is_numpy else None)
                )
        first = now.parameters[0] is self._initial._parameters[0]
        self._spare = None if first or not b.has_out else now.parameters
        self._now = _Now(now.step + 1, now.time + step_size, moved, now.u)


class DeepFlowState(DeepState):
    """Gradient flow: integrates the parameters from one recorded time to the next (NumPy, float64).

    Where pre-activations of a kinked activation change sign the right-hand side jumps, and the error control
    shortens the steps. Meant for small networks: about 12 times the number of parameters.
    """

    def __init__(
        self,
        initial: DeepNetwork,
        x: Any,
        *,
        factors: Sequence[float],
        x_test: Any,
        slope: Callable[[Float64], Float64],
        rtol: float = 1e-6,
        atol: float = 1e-9,
    ) -> None:
        super().__init__(initial, x, factors=factors, x_test=x_test)
        self._slope = slope
        self._tolerances = {"rtol": rtol, "atol": atol}
        self._first_step: float | None = None

    def advance_to(self, step: int, step_size: float) -> None:
        """Move the state to time step x step_size."""
        # Imported here: the integrators of SciPy would double the time of `import lazygram`.
        from scipy.integrate import RK45

        time = step * step_size
        start = np.concatenate([p.ravel() for p in self.parameters])
        span = time - self.time
        first = None if self._first_step is None else min(self._first_step, span)
        solver = RK45(self._velocity, self.time, start, time, first_step=first, **self._tolerances)
        while solver.status == "running":
            message = solver.step()
            if solver.status == "failed":
                raise FloatingPointError(f"gradient flow: the integrator failed ({message})")
        self._first_step = solver.h_abs  # the next piece starts at the step size found here
        self._now = _Now(step, time, self._unpack(solver.y), self.u)
        self.forward()

    def _unpack(self, state: Float64) -> list[Any]:
        parts, begin = [], 0
        for p in self._initial.parameters:
            parts.append(np.ascontiguousarray(state[begin : begin + p.size]).reshape(p.shape))
            begin += p.size
        return parts

    def _velocity(self, _time: float, state: Float64) -> Float64:
        network = self._network(self._unpack(state))
        done = network._propagate(self._x, self._batch_buffers)
        weight = self._slope(self._predictions(done))
        deltas = network._deltas(done, weight, self._batch_buffers)
        gradients = network._gradients(done, weight, deltas, lambda _: None)
        return np.concatenate([-f * g.ravel() for f, g in zip(self._factors, gradients, strict=True)])
