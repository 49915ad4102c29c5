"""Gradient flow on the event engine: adaptive steps, each an exact event step, with an error estimate."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.integrate import RK45

from lazygram.arrays import Array, Float64
from lazygram.parallel import single_threaded_blas
from lazygram.training.events import EventState
from lazygram.training.losses import Loss

__all__ = ["EventFlowIntegrator"]

_GROWTH = (0.2, 2.0)  # of the step from one to the next
_SAFETY = 0.9
# Error of the inner integration relative to that of a step.
_INNER = 1e-3
# The first step, in units of the time in which the fastest component decays.
_FIRST = 1e-2


class EventFlowIntegrator:
    """Moves an event-driven state along the gradient flow dw_r/dt = -dL/dw_r.

    While no bit changes, predictions obey du/dt = -H rho(u) with a constant H, an equation of n unknowns that
    is integrated to rounding-like accuracy. Its integral g of rho over the step is what descent needs: a step
    of the engine with g moves every weight exactly as the flow with the present bits would. The engine then
    finds the bits that changed on the way, and what they contributed to the predictions, which is of the
    order of what was neglected by leaving them out until the end of the step: the estimated local error. It
    falls like the square of the step, so the next step is the present one times sqrt(tolerance / error).

    Parameters
    ----------
    state : EventState
        One output, a_r = +-1.
    y : ndarray, shape (n,)
        Labels.
    loss : Loss
        Its derivative is needed.
    tolerance : float
        Local error of a prediction in one step, relative to the largest initial residual |rho_i|.

    Notes
    -----
    The flow of a convex loss under a positive definite H draws trajectories together, so local errors add up
    at most: `facts()["error"]` is their sum, an estimate of the largest error of a prediction.
    """

    def __init__(self, state: EventState, y: Float64, loss: Loss, tolerance: float) -> None:
        self._state = state
        self._y = y
        self._loss = loss
        self._time = 0.0
        self._steps = 0
        self._error = 0.0
        self._worst = 0.0
        size = float(np.abs(loss.derivative(state.u, y)).max())
        self._allowed = tolerance * (size if size > 0 else 1.0)
        self._step = 0.0

    def advance_to(self, time: float) -> None:
        """Move the state to this time; does nothing for times that have passed."""
        while self._time < time:
            H = self._state.gram()
            if self._step == 0.0:
                self._step = _FIRST / max(float(np.abs(H).sum(axis=1).max()), 1e-300)
            left = time - self._time
            # Two steps rather than a long and a very short one.
            step = (
                left if left <= self._step else min(self._step, left / 2 if left < 2 * self._step else left)
            )
            g, predicted = self._frozen(H, step)
            self._state.advance(g, 1.0)
            error = float(np.abs(self._state.u - predicted).max())
            self._time = time if step == left else self._time + step
            self._steps += 1
            if not np.isfinite(error):
                return  # the run stops with predictions that are not finite
            self._error += error
            self._worst = max(self._worst, error / self._allowed)
            factor = _SAFETY * (self._allowed / error) ** 0.5 if error > 0 else _GROWTH[1]
            self._step = step * min(max(factor, _GROWTH[0]), _GROWTH[1])

    def facts(self) -> dict[str, Any]:
        """Steps taken, sum of the estimated local errors, the largest of them relative to the allowed one."""
        return {"engine_steps": self._steps, "error": self._error, "worst_step": self._worst}

    def state(self) -> Array:
        """What :meth:`restore` needs to go on bit for bit."""
        return np.array([self._time, self._step, self._steps, self._error, self._worst, self._allowed])

    def restore(self, saved: Array) -> None:
        """Go on where :meth:`state` was taken."""
        self._time, self._step, steps, self._error, self._worst, self._allowed = (float(x) for x in saved)
        self._steps = int(steps)

    def _frozen(self, H: Float64, step: float) -> tuple[Float64, Float64]:
        """Integral of rho over a step with constant H, and the predictions that follow: u - H g."""
        u0 = self._state.u.copy()
        n = u0.size

        def velocity(_time: float, g_and_rho: Float64) -> Float64:
            return self._loss.derivative(u0 - H @ g_and_rho, self._y)

        with single_threaded_blas():
            solver = RK45(
                velocity,
                0.0,
                np.zeros(n),
                step,
                first_step=None,
                rtol=1e-9,
                atol=_INNER * self._allowed * step,
            )
            while solver.status == "running":
                message = solver.step()
                if solver.status == "failed":
                    raise FloatingPointError(f"gradient flow: the integrator failed ({message})")
            g = np.asarray(solver.y, np.float64)
            return g, u0 - H @ g
