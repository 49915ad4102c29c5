"""The bounds of Zou, Cao, Zhou and Gu for deep ReLU networks as plain functions, and which losses fit.

Setting (Zou, Cao, Zhou, Gu, "Stochastic gradient descent optimizes over-parameterized deep ReLU networks",
2018): L hidden layers of widths m_l between m and 2m, fixed output weights v = +-1, labels +-1,
``L_S = (1/n) sum_i l(y_i f(x_i))``, unit inputs with last coordinate mu, examples of different labels at
least phi apart. The paper gives orders; every unspecified constant is 1 here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = [
    "LOSS_CONSTANTS",
    "LossConstants",
    "descent_time",
    "gradient_ceiling",
    "gradient_floor",
    "norm_deviation",
    "pattern_ceiling",
    "radius_order",
    "step_size_order",
    "time_order",
]


@dataclass(frozen=True)
class LossConstants:
    """Assumptions 3.1-3.3 and 4.4 of a loss of the margin z.

    Attributes
    ----------
    alpha_0, alpha_1, p : float
        Assumption 3.2: ``-l'(z) >= min(alpha_0, alpha_1 l(z)^p)``; alpha_0 may be inf.
    smoothness : float
        Assumption 3.3: Lipschitz constant of l'; inf if there is none.
    note : str
        Where an assumption fails; empty if all hold.
    """

    alpha_0: float
    alpha_1: float
    p: float
    smoothness: float
    note: str = ""


LOSS_CONSTANTS = {
    "logistic": LossConstants(0.5, 0.5, 1.0, 0.25),
    "exponential": LossConstants(math.inf, 1.0, 1.0, math.inf, "smooth on sublevel sets only (3.3)"),
    "hinge": LossConstants(1.0, math.inf, 1.0, math.inf, "not differentiable at margin 1 (3.1, 3.3 fail)"),
    "squared_hinge": LossConstants(math.inf, math.sqrt(2.0), 0.5, 1.0),
}
"""By the names of :func:`lazygram.training.get_loss`: log(1 + e^-z), e^-z, (1 - z)_+, (1 - z)_+^2 / 2."""


def norm_deviation(n: int, depth: int, width: int, delta: float) -> float:
    """Theorem 5.1 (i), constant 1: ``L sqrt(log(n L/delta)/m)``, a bound on ``||x_l,i| - 1|``."""
    return depth * math.sqrt(math.log(n * depth / delta) / width)


def pattern_ceiling(depth: int, tau: float) -> float:
    """Theorem 5.3 (iii), constant 1: ``L^{4/3} tau^{2/3}``, share of a layer's nodes that can flip."""
    return math.pow(depth, 4.0 / 3.0) * math.pow(tau, 2.0 / 3.0)


def gradient_floor(n: int, width: int, separation: float, slope_sum: float) -> float:
    """Theorem 5.3 (vii), constant 1: ``(m phi/n^5) (sum_i |l'_i|)^2``, floor of ``|grad_{W_L} L_S|_F^2``."""
    return width * separation / float(n) ** 5 * slope_sum**2


def gradient_ceiling(n: int, width: int, depth: int, slope_sum: float) -> float:
    """Theorem 5.3 (viii), constant 1: ``(L^2 sqrt(m)/n) sum_i |l'_i|``, ceiling of ``|grad_{W_l} L_S|_2``."""
    return depth * depth * math.sqrt(width) / n * slope_sum


def radius_order(n: int, depth: int, separation: float) -> float:
    """Perturbation level of Lemma 5.4, constant 1: ``tau = n^-9 L^-17 phi^3``."""
    return float(n) ** -9 * float(depth) ** -17 * separation**3


def time_order(n: int, depth: int, separation: float, tau: float | None = None) -> float:
    """Lemma 5.5, constant 1: ``T = L^-4 n^-3 tau^2 phi``; ``k eta <= T`` keeps every layer within tau."""
    radius = radius_order(n, depth, separation) if tau is None else tau
    return float(depth) ** -4 * float(n) ** -3 * radius * radius * separation


def step_size_order(n: int, depth: int, width: int, separation: float) -> float:
    """Step size of Lemma 5.4, constant 1: ``phi n^-3 L^-9 / m``.

    The theorem prints it without phi; the lemma, with phi, is what its proof uses.
    """
    return separation * float(n) ** -3 * float(depth) ** -9 / width


def descent_time(
    n: int,
    width: int,
    separation: float,
    initial_loss: float,
    accuracy: float,
    loss: LossConstants,
) -> float:
    """Lemma 5.4, constant 1: ``K eta`` after which the loss is at most `accuracy` within the region.

    ``n^5/(m phi)`` times ``(L_0 - eps)/alpha_0^2 + alpha_1^-2 n^{-2p} int_eps^{L_0} z^{-2p} dz``: the time
    that a loss with ``dL/dt = -(m phi/n^5) min(alpha_0, alpha_1 (n L)^p)^2`` needs, with the minimum bounded
    through the sum of both reciprocals. 0 if the loss is small enough already.

    Raises
    ------
    ValueError
        If a number is not positive; the message names it.
    """
    for name, value in (("accuracy", accuracy), ("separation", separation)):
        if not value > 0.0:
            raise ValueError(f"{name}: must be positive, got {value}")
    if initial_loss <= accuracy:
        return 0.0
    flat = 0.0 if math.isinf(loss.alpha_0) else (initial_loss - accuracy) / loss.alpha_0**2
    power = 1.0 - 2.0 * loss.p
    integral: float
    if power == 0.0:
        integral = math.log(initial_loss / accuracy)
    else:
        integral = (math.pow(initial_loss, power) - math.pow(accuracy, power)) / power
    steep = integral / (loss.alpha_1**2 * math.pow(n, 2.0 * loss.p))
    return float(n) ** 5 / (width * separation) * (flat + steep)
