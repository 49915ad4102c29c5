"""Constants and theorems for learning one filter: gamma, L, beta, L_cross, step sizes, random starts.

Setting and texts: :mod:`lazygram.problems.conv_filter` (Du, thesis 2019, chapter 6). With Z++ and so on
the mean patches over regions,

    gamma(phi) = lambda_min E Z++ Z++'    L(phi) = lambda_max E Z++ Z++'    (Definition 6.1, (6.4))
    beta       = sup over 0 < phi <= pi/2 of lambda_max(E Z+- Z+-') / phi
    L_cross    = sup over phi of (|E Z++ Z+-'| + |E Z++ Z-+'| + |E Z+- Z-+'|) / phi, operator norms

The laws here are symmetric about the teacher, so that the minimum and maximum over filters at an angle
are reached by all of them. Both are nonincreasing in phi.

Where the thesis prints something else: Assumption 6.2's beta is about Z+- (it prints Z++); the
constants of Theorems 6.7 and 6.8 are 1/(2 pi) for the unit circle and 1/pi for N(0, I) (it has the
upper bounds 1 and p); beta is not monotone in the smoothness of the law; the lower bound of Theorem
6.5 is false for patches at small angles and is not offered here; Theorem 6.4's step size must carry
gamma - 6 L_cross to the first power for its number of steps to follow. Names ending in ``_order`` are
"O(...)" and "Theta(...)" with the hidden constant set to 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.special import betainc

from lazygram.arrays import Float64, check_positive_float, check_positive_int
from lazygram.problems.filter_inputs import FilterInputs, RegionMoments

__all__ = [
    "ball_start",
    "ball_start_bound",
    "ball_start_probability",
    "contraction",
    "cross_constant",
    "filter_step_size",
    "growth_constant",
    "largest_moment",
    "robust_angle",
    "sgd_step_size_order",
    "sgd_steps_order",
    "smallest_moment",
    "start_angle",
]

_SMALL = 1e-6  # the angle that stands for the limit 0


def smallest_moment(inputs: FilterInputs, phi: float) -> float:
    """gamma(phi), shared by all filters at angle `phi` in [0, pi]."""
    return float(inputs.moments(phi).eigenvalues()[0])


def largest_moment(inputs: FilterInputs, phi: float) -> float:
    """L(phi), shared by all filters at angle `phi` in [0, pi]."""
    return float(inputs.moments(phi).eigenvalues()[-1])


def _supremum(value: Callable[[float], float], low: float, high: float, count: int) -> float:
    """Largest value on [low, high]: a grid, then a search about its best point."""
    grid = np.linspace(low, high, count)
    values = [value(float(phi)) for phi in grid]
    best = int(np.argmax(values))
    around = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, count - 1)])
    found = minimize_scalar(lambda phi: -value(phi), bounds=around, method="bounded")
    return max(values[best], -float(found.fun))


def growth_constant(inputs: FilterInputs, *, grid: int = 17) -> float:
    """Beta: the least constant with lambda_max(E Z+- Z+-') <= beta phi for 0 < phi <= pi/2.

    Parameters
    ----------
    inputs : FilterInputs
        Law of the inputs.
    grid : int, default 17
        Angles tried before the search about the best one.
    """

    def rate(phi: float) -> float:
        return float(inputs.moments(phi).eigenvalues("first")[-1]) / phi

    return _supremum(rate, _SMALL, math.pi / 2, check_positive_int(grid, "grid"))


def _cross_norms(moments: RegionMoments) -> float:
    parts = (moments.both_first, moments.both_second, moments.first_second)
    return float(sum(np.linalg.norm(part, 2) for part in parts))


def cross_constant(inputs: FilterInputs, *, from_angle: float = 0.0, grid: int = 17) -> float:
    """L_cross: how fast the moments between patches of different regions grow with the angle.

    Parameters
    ----------
    inputs : FilterInputs
        Law of the inputs; zero for a single patch.
    from_angle : float, default 0
        Take the supremum over angles from here to pi. For patches that nearly agree it is reached
        at 0, and stays positive as they come together: the limits angle -> 0 and spread -> 0 do
        not commute. Over ``phi >= 0.1`` it does fall to zero.
    grid : int, default 17
        Angles tried before the search about the best one.

    Raises
    ------
    ValueError
        If `from_angle` is not in [0, pi).
    """
    if not 0 <= from_angle < math.pi:
        raise ValueError(f"from_angle: must be in [0, pi), got {from_angle}")
    low = max(from_angle, _SMALL)
    grid = check_positive_int(grid, "grid")
    return _supremum(lambda phi: _cross_norms(inputs.moments(phi)) / phi, low, math.pi, grid)


def start_angle(distance: float, norm: float) -> float:
    """phi_0 = arcsin(|w0 - w*| / |w*|), the largest angle a filter at that distance can have.

    Raises
    ------
    ValueError
        If the distance is not below the norm, as the theorems ask.
    """
    norm = check_positive_float(norm, "norm")
    if not 0 <= distance < norm:
        raise ValueError(f"distance: must be in [0, |w*|) = [0, {norm:g}), got {distance:g}")
    return math.asin(distance / norm)


def filter_step_size(
    inputs: FilterInputs, phi: float, beta: float, *, cross: float = 0.0, grid: int = 17
) -> float:
    """Step size of Theorems 6.2 (one patch, ``cross = 0``) and 6.3.

    ``min over [0, phi] of (gamma - 6 L_cross) / (2 (L + 10 L_cross + 4 beta)^2)``, with which
    ``|w_{t+1} - w*|^2`` is at most :func:`contraction` times ``|w_t - w*|^2``.

    Parameters
    ----------
    inputs : FilterInputs
        Law of the inputs.
    phi : float
        phi_t, see :func:`start_angle`.
    beta, cross : float
        :func:`growth_constant` and :func:`cross_constant` of the law.
    grid : int, default 17
        Angles over which the minimum is taken, both ends included.

    Raises
    ------
    ValueError
        If ``gamma(phi) <= 6 L_cross``: the theorem does not apply.
    """
    values = [inputs.moments(float(angle)).eigenvalues() for angle in np.linspace(0.0, phi, grid)]
    gains = [float(value[0]) - 6 * cross for value in values]
    if min(gains) <= 0:
        raise ValueError(f"cross: gamma - 6 L_cross must be positive, is {min(gains):.4g}")
    return min(
        gain / (2 * (float(value[-1]) + 10 * cross + 4 * beta) ** 2)
        for gain, value in zip(gains, values, strict=True)
    )


def contraction(step_size: float, gamma: float, cross: float = 0.0) -> float:
    """``1 - eta (gamma - 6 L_cross) / 2``: factor of the squared distance (Theorems 6.2, 6.3)."""
    return 1 - step_size * (gamma - 6 * cross) / 2


def robust_angle(inputs: FilterInputs, cross: float) -> float:
    """phi_*: the largest angle with gamma(phi) >= 6 L_cross (Theorem 6.4).

    Raises
    ------
    ValueError
        If there is none.
    """
    start = smallest_moment(inputs, 0.0)
    if start < 6 * cross:
        raise ValueError(f"cross: gamma(0) = {start:.4g} is below 6 L_cross = {6 * cross:.4g}")
    if cross == 0:
        return math.pi
    return float(brentq(lambda phi: smallest_moment(inputs, phi) - 6 * cross, 0.0, math.pi, xtol=1e-10))


def sgd_step_size_order(
    gamma: float, cross: float, norm: float, gradient_bound: float, precision: float
) -> float:
    """``eps^2 (gamma(phi_1) - 6 L_cross) |w*|^2 / B^2`` (Theorem 6.4), hidden constant 1.

    phi_1 is the mean of phi_0 and phi_*; B bounds the norm of the stochastic gradient.
    """
    return precision**2 * (gamma - 6 * cross) * norm**2 / gradient_bound**2


def sgd_steps_order(
    gamma: float, cross: float, norm: float, gradient_bound: float, precision: float, distance: float
) -> float:
    """``B^2 / (eps^2 (gamma(phi_1) - 6 L_cross)^2 |w*|^2) ln(|w0 - w*| / (eps |w*|))``, constant 1.

    Number of steps of Theorem 6.4; it is ``ln(...) / (eta (gamma - 6 L_cross))`` for
    :func:`sgd_step_size_order`.
    """
    gain = gamma - 6 * cross
    scale = gradient_bound**2 / (precision**2 * gain**2 * norm**2)
    return scale * math.log(distance / (precision * norm))


def _check_alpha(alpha: float) -> float:
    alpha = check_positive_float(alpha, "alpha")
    if alpha > 1:
        raise ValueError(f"alpha: must be at most 1, got {alpha:g}")
    return alpha


def ball_start(w_star: Float64, alpha: float, count: int, rng: np.random.Generator) -> Float64:
    """Starts uniform in the ball of radius alpha |w*| about 0; shape (count, p)."""
    p, alpha = len(w_star), _check_alpha(alpha)
    direction = rng.standard_normal((count, p))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    radius = alpha * np.linalg.norm(w_star) * rng.random((count, 1)) ** (1 / p)
    return np.asarray(radius * direction)


def ball_start_bound(alpha: float, p: int) -> float:
    """Theorem 6.6: P(|w0 - w*| <= sqrt(1 - alpha^2) |w*|) is at least ``1/2 - alpha sqrt(pi p / 2)``.

    For :func:`ball_start` with ``alpha <= 1 / sqrt(2 pi p)``. Very loose: ``1/2 - alpha
    sqrt(p / (2 pi))`` is accurate, and :func:`ball_start_probability` exact.
    """
    return 0.5 - _check_alpha(alpha) * math.sqrt(math.pi * check_positive_int(p, "p") / 2)


def ball_start_probability(alpha: float, p: int) -> float:
    """The probability that Theorem 6.6 bounds, by quadrature (not in the thesis).

    At radius ``r alpha |w*|`` the start must have a cosine of at least ``alpha (r + 1/r) / 2`` with
    w*; the cosine c of a uniform direction has (1 + c) / 2 ~ Beta((p-1)/2, (p-1)/2), and r^p is
    uniform.
    """
    alpha, p = _check_alpha(alpha), check_positive_int(p, "p")
    if p < 2:
        raise ValueError(f"p: must be at least 2, got {p}")
    nodes, weights = np.polynomial.legendre.leggauss(200)
    r = (nodes + 1) / 2
    least = np.minimum(alpha * (r + 1 / r) / 2, 1.0)
    tail = betainc((p - 1) / 2, (p - 1) / 2, (1 - least) / 2)
    return float((weights / 2 * p * r ** (p - 1) * tail).sum())
