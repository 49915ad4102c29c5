"""The Gaussian network's descent in four scalars, for many random starts at once, and its limit law.

With |w*| = 1 Algorithm 1 (see :mod:`lazygram.problems.gaussian_cnn`) closes in

    u = v . w*      q = |component of v across w*|      x = a . a*      s = 1 . a

and the constants k, S = 1 . a*, B = |a*|^2: neither the dimension p nor the k output weights are
needed after the start. Which of the two minima a start reaches (Table 5.1 of the thesis) takes a few
vector operations per step.

As |a*| -> 0 the output weights settle before the angle moves, and the global minimum is reached if
and only if phi0 is below the angle phi_c of the separating saddle, where a . a* = 0 (the thesis
excludes it from Lemma 5.1 by assumption): a closed form for the probability.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import betainc

from lazygram.arrays import Float64, check_positive_float, check_positive_int
from lazygram.problems.gaussian_cnn import correlation, step_size_limit

__all__ = [
    "Outcome",
    "Reduced",
    "critical_angle",
    "draw_starts",
    "limit_probability",
    "reduced_step",
    "success_outcomes",
    "teacher_output",
]

_CHECK_EVERY = 25  # steps between two looks at which runs are decided


@dataclass
class Reduced:
    """State of many runs; arrays of one shape.

    Attributes
    ----------
    u, q : ndarray
        Components of v along w* and across it (q >= 0).
    x, s : ndarray
        a . a* and 1 . a.
    """

    u: Float64
    q: Float64
    x: Float64
    s: Float64

    @property
    def angle(self) -> Float64:
        """Phi, exact near 0 and near pi."""
        return np.asarray(np.arctan2(self.q, self.u))

    def select(self, runs: npt.NDArray[np.bool_]) -> Reduced:
        """Keep some of the runs."""
        return Reduced(self.u[runs], self.q[runs], self.x[runs], self.s[runs])


@dataclass(frozen=True)
class Outcome:
    """How many runs of one teacher ended where.

    Attributes
    ----------
    draws, successes, failures : int
        Starts, those that came near the global minimum, those near the spurious point.
    steps : int
        Step at which the last run was decided, or the cap.
    """

    draws: int
    successes: int
    failures: int
    steps: int

    @property
    def probability(self) -> float:
        """Share of all draws that reached the global minimum."""
        return self.successes / self.draws

    @property
    def unresolved(self) -> float:
        """Share of runs that were undecided at the cap."""
        return (self.draws - self.successes - self.failures) / self.draws


def _check_ratio(rho: float, k: int) -> float:
    k = check_positive_int(k, "k")
    if not 0 <= rho <= k:
        raise ValueError(f"rho: (1.a*)^2 / |a*|^2 lies between 0 and k = {k}, got {rho}")
    return float(rho)


def teacher_output(k: int, rho: float, norm: float = 1.0) -> Float64:
    """Give some a* of R^k with (1 . a*)^2 = rho |a*|^2, 1 . a* >= 0 and the given norm.

    Which one does not matter: only k, rho and the norm enter the dynamics.

    Raises
    ------
    TypeError, ValueError
        If `rho` is not between 0 and k, or another argument does not fit.
    """
    rho, norm = _check_ratio(rho, k), check_positive_float(norm, "norm")
    ones = np.full(k, 1 / math.sqrt(k))
    across = np.zeros(k)
    if k > 1:
        across[:2] = 1 / math.sqrt(2), -1 / math.sqrt(2)
    return norm * (math.sqrt(rho / k) * ones + math.sqrt(1 - rho / k) * across)


def draw_starts(
    a_star: Float64, p: int, draws: int, rng: np.random.Generator, *, radius_factor: float = 1.0
) -> Reduced:
    """Random starts of Theorem 5.4 without its choice of signs, |w*| = 1.

    Parameters
    ----------
    a_star : ndarray, shape (k,)
        The teacher's output weights.
    p : int
        Length of a patch, at least 2.
    draws : int
        Number of starts.
    rng : numpy.random.Generator
        Source of randomness.
    radius_factor : float, default 1
        Radius of the ball of output weights over the theorem's |1 . a*| / sqrt(k).

    Returns
    -------
    Reduced
        Arrays of shape (draws,).
    """
    k, p, draws = len(a_star), check_positive_int(p, "p"), check_positive_int(draws, "draws")
    if p < 2:
        raise ValueError(f"p: must be at least 2, got {p}: in one dimension there is no angle to learn")
    v = rng.standard_normal((draws, p))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    direction = rng.standard_normal((draws, k))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    radius = radius_factor * abs(a_star.sum()) / math.sqrt(k) * rng.random(draws) ** (1 / k)
    # w* is the first unit vector: the law of v0 is rotation invariant.
    across = np.linalg.norm(v[:, 1:], axis=1)
    return Reduced(v[:, 0], across, radius * (direction @ a_star), radius * direction.sum(axis=1))


def reduced_step(
    state: Reduced,
    k: float | Float64,
    total: float | Float64,
    square: float | Float64,
    step_size: float,
) -> Reduced:
    """One step of Algorithm 1 in the four scalars (|w*| = 1).

    Parameters
    ----------
    state : Reduced
        Before the step.
    k, total, square : float or ndarray
        Number of patches, S = 1 . a* and B = |a*|^2; arrays for runs of different teachers.
    step_size : float
        eta.
    """
    eta = step_size / (2 * np.pi)
    u, q, x, s = state.u, state.q, state.x, state.s
    phi = np.arctan2(q, u)
    g = correlation(phi)
    norm = np.hypot(u, q)
    turn = eta * x * (np.pi - phi) / norm**3
    return Reduced(
        u + turn * q * q,
        q * (1 - turn * u),
        x - eta * (np.pi - 1) * x + eta * ((g - 1) * square + (total - s) * total),
        s - eta * (k + np.pi - 1) * s + eta * (k + g - 1) * total,
    )


def success_outcomes(
    cells: Sequence[tuple[Float64, Reduced]],
    step_size: float,
    *,
    near: float = 0.3,
    failures_from: int = 500,
    max_steps: int = 25000,
    show: Callable[[int, float], None] | None = None,
) -> list[Outcome]:
    """Run all starts of several teachers until each is near a minimum, the global or the spurious one.

    Parameters
    ----------
    cells : sequence of (ndarray, Reduced)
        For each teacher its output weights a*, shape (k,), and starts, see :func:`draw_starts`.
    step_size : float
        eta, below :func:`~lazygram.problems.gaussian_cnn.step_size_limit` of the largest k.
    near : float, default 0.3
        A run has succeeded when phi < near, failed when phi > pi - near and a . a* < 0, so that the
        angle still grows.
    failures_from : int, default 500
        Failures are looked for from this step on, when the output weights have settled. Where the
        spurious point does not attract, and beyond the saddle's angle, a run that starts near pi comes
        back, however slowly.
    max_steps : int, default 25000
        Runs undecided then are counted as unresolved.
    show : callable, optional
        ``show(step, share of the runs decided)``, now and then.

    Returns
    -------
    list of Outcome
        One per teacher.

    Raises
    ------
    ValueError
        If the step size makes a descent diverge.
    """
    limit = step_size_limit(max(len(a_star) for a_star, _ in cells))
    if not 0 < step_size < limit:
        raise ValueError(f"step_size: must be in (0, {limit:.4g}), got {step_size:g}")
    draws = [len(starts.u) for _, starts in cells]
    owner = np.repeat(np.arange(len(cells)), draws)
    constants = np.array([(len(a), a.sum(), a @ a) for a, _ in cells], dtype=np.float64)[owner].T
    fields = ("u", "q", "x", "s")
    state = Reduced(*(np.concatenate([getattr(starts, name) for _, starts in cells]) for name in fields))
    successes, failures, last = (np.zeros(len(cells), dtype=np.int64) for _ in range(3))
    for step in range(max_steps + 1):
        if step % _CHECK_EVERY == 0 or step == max_steps:
            phi = state.angle
            good = phi < near
            bad = (phi > np.pi - near) & (state.x < 0) & (step >= failures_from)
            successes += np.bincount(owner[good], minlength=len(cells))
            failures += np.bincount(owner[bad], minlength=len(cells))
            last[owner] = step
            rest = ~(good | bad)
            state, owner, constants = state.select(rest), owner[rest], constants[:, rest]
            if show is not None:
                show(step, 1 - len(owner) / sum(draws))
            if len(owner) == 0:
                break
        if step < max_steps:
            k, total, square = constants
            state = reduced_step(state, k, total, square, step_size)
    rows = zip(draws, successes, failures, last, strict=True)
    return [Outcome(*(int(value) for value in row)) for row in rows]


def critical_angle(k: int, rho: float) -> float | None:
    """phi_c: the angle of the separating saddle, or None where there is none.

    It solves ``(rho/k) (k+g-1)/(k+pi-1) + (1-rho/k) (g-1)/(pi-1) = 0`` with g = g(phi_c), which has
    a solution if and only if rho < (k + pi - 1) / pi.

    Raises
    ------
    TypeError, ValueError
        If `k` is not positive or `rho` not in [0, k].
    """
    share = _check_ratio(rho, k) / k
    along, across = share / (k + math.pi - 1), (1 - share) / (math.pi - 1)
    g = (across - (k - 1) * along) / (along + across)
    if g <= 0:
        return None
    return float(brentq(lambda phi: float(correlation(phi)) - g, 0.0, math.pi, xtol=1e-14))


def limit_probability(k: int, rho: float, p: int) -> float:
    """Probability of reaching the global minimum from one random start, in the limit |a*| -> 0.

    P(phi0 < phi_c) for a direction uniform on the unit sphere of R^p: (1 + cos phi0) / 2 follows the
    Beta((p-1)/2, (p-1)/2) law. Where there is no saddle the probability is 1. Not in the thesis,
    which has simulations only (Table 5.1).
    """
    p = check_positive_int(p, "p")
    if p < 2:
        raise ValueError(f"p: must be at least 2, got {p}")
    phi = critical_angle(k, rho)
    if phi is None:
        return 1.0
    half = (p - 1) / 2
    return float(betainc(half, half, math.sin(phi / 2) ** 2))
