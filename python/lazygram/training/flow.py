"""Gradient flow dW/dt = -dL/dW by an adaptive Runge-Kutta method: the reference for small step sizes."""

from __future__ import annotations

import numpy as np
from scipy.integrate import RK45

from lazygram import _core
from lazygram.arrays import Array, Float64
from lazygram.networks.two_layer import TwoLayerReLU
from lazygram.parallel import single_threaded_blas
from lazygram.training.dense import DenseState
from lazygram.training.losses import Loss

__all__ = ["FlowState"]


class FlowState(DenseState):
    """Integrates the flow from one recorded time to the next.

    The right-hand side jumps where a pre-activation changes sign, so the order of the method is lost there
    and the error control shortens the steps; `rtol` and `atol` bound the local error of every weight. Meant
    for small networks: about 12 times width x dim numbers of float64.
    """

    def __init__(
        self,
        initial: TwoLayerReLU,
        X: Array,
        y: Float64,
        loss: Loss,
        *,
        train_output: bool,
        X_test: Array | None,
        threads: int | None,
        rtol: float = 1e-5,
        atol: float = 1e-7,
    ) -> None:
        super().__init__(initial, X, train_output=train_output, X_test=X_test, threads=threads)
        self._y = y
        self._loss = loss
        self._tolerances = {"rtol": rtol, "atol": atol}
        self._time = 0.0
        self._first_step: float | None = None

    def advance_to(self, step: int, step_size: float) -> None:
        """Move the state to time step x step_size."""
        time = step * step_size
        W, a = self.weights
        start = np.concatenate([W.ravel(), a.ravel()]) if self._train_output else W.ravel()
        span = time - self._time
        first = None if self._first_step is None else min(self._first_step, span)
        solver = RK45(self._velocity, self._time, start, time, first_step=first, **self._tolerances)
        while solver.status == "running":
            message = solver.step()
            if solver.status == "failed":
                raise FloatingPointError(f"gradient flow: the integrator failed ({message})")
        self._first_step = solver.h_abs  # the next piece starts at the step size found here
        self._time = time
        self._now = self._now._replace(step=step, **self._unpack(solver.y))
        self.forward()

    def _unpack(self, state: Float64) -> dict[str, Array]:
        W, a = self.weights
        return {
            "W": np.ascontiguousarray(state[: W.size]).reshape(W.shape),
            "a": np.ascontiguousarray(state[W.size :]).reshape(a.shape) if self._train_output else a,
        }

    def _velocity(self, _time: float, state: Float64) -> Float64:
        parameters = self._unpack(state)
        W, a = parameters["W"], parameters["a"]
        u, bits = self._new_predictions(self._X.shape[0]), self._new_bits(self._X.shape[0])
        slope = np.empty_like(state)
        with single_threaded_blas():
            _core.forward(W, a, self._X, u, bits, self._threads)
            _core.loss_gradient(
                W,
                a,
                self._X,
                self._loss.derivative(u, self._y),
                bits,
                slope[: W.size].reshape(W.shape),
                slope[W.size :].reshape(a.shape) if self._train_output else a,
                self._train_output,
                self._threads,
            )
        np.negative(slope, out=slope)
        return slope
