"""What lazy training should show: exponents from theory, and the limits that a frozen kernel gives.

With a constant H_inf the residuals add up to ``sum_k eta (y - u(k)) = alpha = H_inf^{-1} (y - u(0))`` after
training to convergence. Neuron r then ends at ``w_r(0) + m^{-1/2} a_r sum_i alpha_i x_i 1_ri``, 1_ri being
the indicator of ``w_r . x_i >= 0``. It follows that

- all neurons together move by ``|W - W(0)|_F^2 = alpha^T H_inf alpha = (y - u(0))^T alpha`` at every width;
- pre-activation j of neuron r is pushed by ``m^{-1/2} q``, q = ``a_r sum_{i != j} alpha_i x_i . x_j 1_ri``,
  and while it is positive by ``m^{-1/2} p`` more, p = ``a_r alpha_j``. Its density at 0 is
  ``1 / sqrt(2 pi)``, so the share that ends on the other side is ``m^{-1/2} / sqrt(2 pi)`` times the mean
  over j and r of the sum of

      start above, p + q < 0:   |p + q|,  times |p + q| / |p| if q > 0
      start below, q > 0:       q,        times q / |p|       if p + q < 0

  If q > 0 > p + q it is pushed back from both sides and slides along 0: it is positive for a share q / |p| of
  the steps, and at the end with that probability (all residuals taken to decay alike). Without these factors
  the share comes out 15 % too large. q is sampled here with normal vectors in the plane ``w . x_j = 0``.

Both are computed with NumPy alone, from X, H_inf and the residual. The two pushes make changes from above and
from below unequal, so H changes by a multiple of ``m^{-1/2}`` too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lazygram.experiments.base import Row, at_least, at_most, in_band, ordered
from lazygram.experiments.checks import exponent

__all__ = ["Measured", "expectations", "frozen_limits"]

Float64Array = npt.NDArray[np.float64]

_DRAWS = 4000  # standard error of the expectation below 1 %
_WIDE = 10_000  # from here on the frozen kernel is compared
_APART = 8  # ratio of widths at which lmin(H(0)) differs by more than the seeds do


@dataclass(frozen=True)
class Measured:
    """What the experiment measured; arrays of shape (seeds, widths), `lambda_0` (seeds,)."""

    widths: tuple[int, ...]
    lambda_0: Float64Array
    pattern_change: Float64Array
    max_distance: Float64Array
    total_distance: Float64Array
    gram_change: Float64Array
    lambda_start: Float64Array
    lambda_least: Float64Array
    start: Float64Array
    final_loss: Float64Array
    distance_bound: Float64Array
    frozen_patterns: Float64Array
    frozen_total: Float64Array


def frozen_limits(
    X: Float64Array, H_inf: Float64Array, residual: Float64Array, seed: int
) -> tuple[float, float]:
    """Limits of a frozen kernel: share of changed patterns times sqrt(m), and total movement.

    Parameters
    ----------
    X : ndarray, shape (n, dim)
        Unit vectors.
    H_inf : ndarray, shape (n, n)
        Their infinite-width Gram matrix.
    residual : ndarray, shape (n,)
        ``y - u(0)``.
    seed : int
        Of the random vectors.
    """
    alpha = np.linalg.solve(H_inf, residual)
    inner = X @ X.T
    across = np.random.default_rng((seed, 1)).standard_normal((_DRAWS, X.shape[1])) @ X.T
    shares = np.empty(len(X))
    for j in range(len(X)):
        # w - (w . x_j) x_j is a normal vector in the plane.
        active = (across - across[:, [j]] * inner[j] >= 0.0).astype(np.float64)
        active[:, j] = 0.0
        q = active @ (alpha * inner[j])
        shares[j] = 0.5 * (_crossings(alpha[j], q) + _crossings(-alpha[j], -q))  # a_r = 1, a_r = -1
    return float(shares.mean()) / math.sqrt(2 * math.pi), math.sqrt(float(residual @ alpha))


def _crossings(p: float, q: Float64Array) -> float:
    """Mean distance to 0 from within which a pre-activation ends on the other side; see the module's text."""
    push = p + q
    slides = (q > 0) & (push < 0)
    size = max(abs(p), np.finfo(np.float64).tiny)
    from_above = np.where(push < 0, -push, 0.0) * np.where(slides, -push / size, 1.0)
    from_below = np.where(q > 0, q, 0.0) * np.where(slides, q / size, 1.0)
    return float((from_above + from_below).mean())


def expectations(m: Measured) -> tuple[list[Row], list[str]]:
    """Compare with the frozen kernel, with exponents, and with the lemmas.

    Returns
    -------
    rows : list of Row
    notes : list of str
        What these settings leave out.
    """
    rows, notes = [], []
    patterns = (m.pattern_change / m.start).mean(axis=0)
    distance = (m.max_distance / m.start).mean(axis=0)
    if len(m.widths) > 1:
        rows += [
            ordered("patterns changed, by width", "lecture notes", patterns.tolist(), rising=False),
            ordered("largest distance, by width", "lecture notes", distance.tolist(), rising=False),
            in_band(
                "patterns changed: exponent in m", "Lemma 2.5: -1/2", exponent(m.widths, patterns), -0.6, -0.4
            ),
            # The largest of m neurons grows a little with m.
            in_band(
                "largest distance: exponent in m",
                "Lemma 2.3: -1/2",
                exponent(m.widths, distance),
                -0.55,
                -0.4,
            ),
            in_band(
                "all neurons together: exponent in m",
                "frozen kernel: 0",
                exponent(m.widths, (m.total_distance / m.start).mean(axis=0)),
                -0.05,
                0.05,
            ),
            in_band(
                "||H(k) - H(0)||_2: exponent in m",
                "theory: -1/2",
                exponent(m.widths, (m.gram_change / m.start).mean(axis=0)),
                -0.65,
                -0.35,
            ),
        ]
    if m.widths[-1] >= _APART * m.widths[0]:
        lowest = m.lambda_start.mean(axis=0).tolist()
        rows.append(ordered("lmin(H(0)), by width", "Lemma 2.1", lowest, rising=True, ends_only=True))
    for w, width in enumerate(m.widths):
        label = f"m = {width}: "
        if width >= _WIDE:
            ratio = float((m.pattern_change[:, w] / m.frozen_patterns[:, w]).mean())
            rows.append(
                in_band(f"{label}patterns changed / frozen kernel", "theory, first order", ratio, 0.93, 1.07)
            )
            ratio = float((m.total_distance[:, w] / m.frozen_total[:, w]).mean())
            rows.append(
                in_band(f"{label}|W - W(0)|_F / frozen kernel", "theory, first order", ratio, 0.95, 1.05)
            )
        ratio = float((m.max_distance[:, w] / m.distance_bound[:, w]).max())
        rows.append(at_most(f"{label}largest distance / R'", "Corollary 2.1", ratio, 1.0))
        least = float((m.lambda_least[:, w] / m.lambda_0).min())
        rows.append(at_least(f"{label}least lmin(H(k)) / lambda_0", "condition in Lemma 2.3", least, 0.5))
    if not any(width >= _WIDE for width in m.widths):
        notes.append(f"The frozen kernel is compared for widths from {_WIDE} on; there is none.")
    return rows, notes
