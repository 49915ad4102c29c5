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

_GROWTH = 1.3  # of the step from one to the next, at most
_SAFETY = 0.9
# What is left after a step of the largest error / step^2 seen. Bits change one by one: a step in which none
# does says little about the next.
_MEMORY = 0.9
# Error of the inner integration relative to what a step may have.
_INNER = 1e-2
# The first step, in units of the time in which the fastest component decays.
_FIRST = 1e-2


class EventFlowIntegrator:
    """Moves an event-driven state along the gradient flow dw_r/dt = -dL/dw_r.

    While no bit changes, predictions obey du/dt = -H rho(u) with a constant H, an equation of n unknowns that
    is integrated far below the tolerance. Its integral g of rho over the step is what descent needs: a step
    of the engine with g moves every weight exactly as the flow with the present bits would, and finds the
    bits that change on the way. What is neglected is that these change in the course of the step and not at
    its end: with H changing linearly, (1/2) (H(k+1) - H(k)) g in the predictions, the estimated local error.
    It falls like the square of the step, so the next step follows from the largest error / step^2 of late.
    The state cannot go back: a step whose error exceeds the tolerance is kept, and counted.

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
    at most; they do so with their signs, because a pair (neuron, example) that slides along zero turns on and
    off in turns. `facts()["error"]` is the largest entry that their sum had: an estimate, not a bound.
    """

    def __init__(self, state: EventState, y: Float64, loss: Loss, tolerance: float) -> None:
        self._state = state
        self._y = y
        self._loss = loss
        self._time = 0.0
        self._steps = 0
        self._sum = np.zeros(y.size)  # of the local errors
        self._error = 0.0
        self._worst = 0.0
        size = float(np.abs(loss.derivative(state.u, y)).max())
        self._allowed = tolerance * (size if size > 0 else 1.0)
        self._inner = _INNER * min(tolerance, 1e-2)
        self._step = 0.0
        self._rate = 0.0  # error of a step / its length squared
        self._H = state.gram()

    def advance_to(self, time: float) -> None:
        """Move the state to this time; does nothing for times that have passed."""
        while self._time < time:
            H = self._H
            if self._step == 0.0:
                self._step = _FIRST / max(float(np.abs(H).sum(axis=1).max()), 1e-300)
            left = time - self._time
            # Two steps rather than a long and a very short one.
            step = left if left <= self._step else min(self._step, left / 2)
            g = self._frozen(H, step)
            self._state.advance(g, 1.0)
            self._time = time if step == left else self._time + step
            self._steps += 1
            if not np.isfinite(self._state.u).all():
                return  # the run stops at predictions that are not finite
            self._H = self._state.gram()
            neglected = 0.5 * ((self._H - H) @ g)
            self._sum += neglected
            error = float(np.abs(neglected).max())
            self._error = max(self._error, float(np.abs(self._sum).max()))
            self._worst = max(self._worst, error / self._allowed)
            self._rate = max(error / step**2, _MEMORY * self._rate)
            wanted = _SAFETY * (self._allowed / self._rate) ** 0.5 if self._rate > 0 else np.inf
            self._step = min(wanted, _GROWTH * step)

    def facts(self) -> dict[str, Any]:
        """Steps taken, estimated error of predictions, largest local error relative to the allowed one."""
        return {"engine_steps": self._steps, "error": self._error, "worst_step": self._worst}

    def state(self) -> Array:
        """What :meth:`restore` needs to go on bit for bit."""
        numbers = (self._time, self._step, self._steps, self._error, self._worst, self._allowed, self._rate)
        return np.concatenate([numbers, self._sum])

    def restore(self, saved: Array) -> None:
        """Go on where :meth:`state` was taken."""
        numbers, self._sum = saved[:7], np.array(saved[7:])
        self._time, self._step, steps, self._error, self._worst, self._allowed, self._rate = map(
            float, numbers
        )
        self._steps = int(steps)

    def _frozen(self, H: Float64, step: float) -> Float64:
        """Integral of rho over a step with constant H; u - H g are then the predictions."""
        u0 = self._state.u.copy()
        n = u0.size

        def velocity(_time: float, g_and_rho: Float64) -> Float64:
            return self._loss.derivative(u0 - H @ g_and_rho, self._y)

        with single_threaded_blas():
            # An error of g moves the predictions by H times as much; H g is of the size of the movement.
            solver = RK45(velocity, 0.0, np.zeros(n), step, rtol=self._inner, atol=self._inner * step)
            while solver.status == "running":
                message = solver.step()
                if solver.status == "failed":
                    raise FloatingPointError(f"gradient flow: the integrator failed ({message})")
        return np.asarray(solver.y, np.float64)
