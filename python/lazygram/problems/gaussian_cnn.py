"""A one-hidden-layer convolutional network with Gaussian input: population loss, gradients, descent.

Model (Du, thesis 2019, chapter 5). The input Z has k patches Z_1..Z_k in R^p, all entries N(0, 1):

    f(Z, w, a) = sum_i a_i relu(w . Z_i),   label f(Z, w*, a*),   loss (1/2) E (f - label)^2

with weight normalisation w = v / |v|, both v and a trained. Throughout W = |w*|, phi = angle(v, w*),
``g(phi) = (pi - phi) cos phi + sin phi``, B = |a*|^2, S = 1 . a*, rho = S^2 / B.

All arrays may carry leading axes, one entry per run; they broadcast between the teacher, v and a.
:mod:`lazygram.problems.gaussian_cnn_reduced` follows the same dynamics in four scalars.

Where the thesis prints something else: the last term of its population loss (5.3) lacks the
prefactor 1/(2 pi) that all six terms carry, and Theorem 5.4's "phi0 = Theta(1/sqrt(p))" is about
cos(phi0).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from lazygram.arrays import Float64, as_stack, check_nonnegative_int, check_positive_float, check_positive_int

__all__ = [
    "Descent",
    "GaussianCNN",
    "Gradients",
    "SampleTerms",
    "angle_between",
    "correlation",
    "correlation_gap",
    "sign_patterns",
    "spurious_ratio",
    "step_size_limit",
]


class Gradients(NamedTuple):
    """Gradients with respect to the filter, shape (..., p), and the output weights, (..., k)."""

    filter: Float64
    output: Float64


class SampleTerms(NamedTuple):
    """Loss and gradients of single inputs: shapes (n,), (n, p), (n, k)."""

    loss: Float64
    filter: Float64
    output: Float64


def _sine_excess(x: Float64) -> Float64:
    """sin x - x cos x for 0 <= x <= pi, with full relative accuracy near 0, where it is x^3 / 3."""
    square = x * x
    series: Float64 = (
        x * square / 3 * (1 - square / 10 * (1 - square / 28 * (1 - square / 54 * (1 - square / 88))))
    )
    full = np.sin(x) - x * np.cos(x)
    return np.asarray(np.where(x < 0.25, series, full), dtype=np.float64)


def correlation(phi: Any) -> Float64:
    """g(phi) = (pi - phi) cos phi + sin phi, so that E relu(u . Z) relu(u' . Z) = g / (2 pi).

    u, u' are unit vectors at angle `phi` in [0, pi]. g falls from pi to 0; near pi it is
    ``(pi - phi)^3 / 3``, computed without cancellation.
    """
    return _sine_excess(np.pi - np.asarray(phi, dtype=np.float64))


def correlation_gap(phi: Any) -> Float64:
    """pi - g(phi), without cancellation at small angles, where it is ``pi phi^2 / 2``."""
    phi = np.asarray(phi, dtype=np.float64)
    return np.asarray(2 * np.pi * np.sin(phi / 2) ** 2 - _sine_excess(phi))


def angle_between(v: Float64, w: Float64, name: str = "v") -> Float64:
    """Angle in [0, pi] between vectors along the last axis.

    From differences of unit vectors: arccos would lose all angles below 1e-8.

    Parameters
    ----------
    v, w : ndarray, shape (..., p)
        Vectors.
    name : str
        How error messages call `v`.

    Raises
    ------
    ValueError
        If a vector is zero.
    """
    norms = np.linalg.norm(v, axis=-1, keepdims=True), np.linalg.norm(w, axis=-1, keepdims=True)
    if not (norms[0].all() and norms[1].all()):
        raise ValueError(f"{name}: a zero vector has no direction")
    first, second = v / norms[0], w / norms[1]
    apart = np.linalg.norm(first - second, axis=-1)
    return np.asarray(2 * np.arctan2(apart, np.linalg.norm(first + second, axis=-1)))


def step_size_limit(k: int) -> float:
    """4 pi / (k + pi - 1): above it gradient descent in a diverges for every filter.

    The theorems ask for at most half of it (and, Theorem 5.3, for less still).
    """
    return 4 * math.pi / (check_positive_int(k, "k") + math.pi - 1)


def spurious_ratio(k: int) -> float:
    """rho_crit = (k + pi - 1) / pi: the spurious point attracts if and only if rho is below it."""
    return (check_positive_int(k, "k") + math.pi - 1) / math.pi


def sign_patterns(v: Float64, a: Float64) -> tuple[Float64, Float64]:
    """The four starts (v, a), (v, -a), (-v, a), (-v, -a) of Theorem 5.4, along a new first axis."""
    return np.stack([v, v, -v, -v]), np.stack([a, -a, a, -a])


@dataclass(frozen=True)
class Descent:
    """What gradient descent did; the first axis of every record counts the recorded steps.

    Attributes
    ----------
    step : ndarray of int, shape (t,)
        The recorded steps, 0 and the last included.
    v, a : ndarray
        The last iterate, shapes (..., p) and (..., k).
    angle, output_distance, sum_gap, loss : ndarray, shape (t, ...)
        phi, |a - W a*|, |1 . a - W 1 . a*| and the population loss.
    norm, overlap : ndarray, shape (t, ...)
        |v|, which never decreases, and a . a*, whose sign says whether the angle falls.
    """

    step: np.ndarray[Any, np.dtype[np.int64]]
    v: Float64
    a: Float64
    angle: Float64
    output_distance: Float64
    sum_gap: Float64
    loss: Float64
    norm: Float64
    overlap: Float64


@dataclass(frozen=True)
class GaussianCNN:
    """Population objective of a teacher (w*, a*).

    Parameters
    ----------
    w_star : array_like, shape (..., p)
        The teacher's filter, not zero.
    a_star : array_like, shape (..., k)
        The teacher's output weights, not zero.

    Raises
    ------
    TypeError, ValueError
        If an argument is not such an array; the message names it.

    References
    ----------
    S. S. Du, *Gradient Descent for Non-convex Problems in Modern Machine Learning*, thesis,
    Carnegie Mellon University, 2019, Theorems 5.1-5.5 and Lemma 5.1. S. S. Du, J. D. Lee, Y. Tian,
    B. Poczos and A. Singh, ICML 2018.

    Examples
    --------
    >>> from lazygram.problems.gaussian_cnn import GaussianCNN
    >>> problem = GaussianCNN(w_star=[2.0, 0.0, 1.0], a_star=[-1.0, 0.5, 2.0, 1.0])
    >>> round(float(problem.loss([1.0, 2.0, -1.0], [1.0, -2.0, 0.5, 3.0])), 6)
    8.298102
    """

    w_star: Float64
    a_star: Float64
    filter_norm: Float64 = field(init=False)
    total: Float64 = field(init=False)

    def __post_init__(self) -> None:
        for name in ("w_star", "a_star"):
            value = as_stack(getattr(self, name), name, None)
            if not np.linalg.norm(value, axis=-1).all():
                raise ValueError(f"{name}: must not be zero")
            object.__setattr__(self, name, value)
        object.__setattr__(self, "filter_norm", np.linalg.norm(self.w_star, axis=-1))
        object.__setattr__(self, "total", self.a_star.sum(axis=-1))

    @property
    def p(self) -> int:
        """Length of a patch."""
        return int(self.w_star.shape[-1])

    @property
    def k(self) -> int:
        """Number of patches."""
        return int(self.a_star.shape[-1])

    @property
    def ratio(self) -> Float64:
        """rho = (1 . a*)^2 / |a*|^2, between 0 and k."""
        return np.asarray(self.total**2 / (self.a_star**2).sum(axis=-1))

    def angle(self, v: Any) -> Float64:
        """Phi: the angle between `v`, shape (..., p), and the teacher's filter."""
        return angle_between(as_stack(v, "v", self.p), self.w_star)

    def loss(self, v: Any, a: Any) -> Float64:
        """Population loss of the weight-normalised network; depends on the direction of v only.

        Computed as ``((pi-1) |d|^2 + (1.d)^2 + 2 W (pi - g) a.a*) / (4 pi)`` with d = a - W a*,
        which is exact near the global minimum, where Theorem 5.1's six terms cancel.

        Parameters
        ----------
        v, a : array_like, shapes (..., p) and (..., k)
            Filter (not zero) and output weights.
        """
        v, a = as_stack(v, "v", self.p), as_stack(a, "a", self.k)
        return self._loss(angle_between(v, self.w_star), a)

    def _loss(self, phi: Float64, a: Float64) -> Float64:
        difference = a - self._target
        overlap = (a * self.a_star).sum(axis=-1)
        squares = (np.pi - 1) * (difference**2).sum(axis=-1) + difference.sum(axis=-1) ** 2
        return np.asarray((squares + 2 * self.filter_norm * correlation_gap(phi) * overlap) / (4 * np.pi))

    @property
    def _target(self) -> Float64:
        """W a*: the output weights at the global minimum."""
        return self.filter_norm[..., None] * self.a_star

    def gradients(self, v: Any, a: Any) -> Gradients:
        """Gradients of :meth:`loss` (Theorem 5.2); v . dl/dv = 0.

        Parameters
        ----------
        v, a : array_like, shapes (..., p) and (..., k)
            Filter (not zero) and output weights.
        """
        v, a = as_stack(v, "v", self.p), as_stack(a, "a", self.k)
        return self._gradients(v, a, angle_between(v, self.w_star))

    def _gradients(self, v: Float64, a: Float64, phi: Float64) -> Gradients:
        norm = np.linalg.norm(v, axis=-1, keepdims=True)
        unit = v / norm
        across = self.w_star - (unit * self.w_star).sum(axis=-1, keepdims=True) * unit
        overlap = (a * self.a_star).sum(axis=-1)
        by_filter = -(overlap * (np.pi - phi))[..., None] / (2 * np.pi * norm) * across
        width, g = self.filter_norm[..., None], correlation(phi)[..., None]
        sums = a.sum(axis=-1) - self.filter_norm * self.total
        by_output = (sums[..., None] + (np.pi - 1) * a - (g - 1) * width * self.a_star) / (2 * np.pi)
        return Gradients(by_filter, by_output)

    def loss_unnormalised(self, w: Any, a: Any) -> Float64:
        """Population loss of the network without weight normalisation, with the filter w itself."""
        w, a = as_stack(w, "w", self.p), as_stack(a, "a", self.k)
        # relu is positively homogeneous: f(Z, w, a) = f(Z, w / |w|, |w| a).
        phi = angle_between(w, self.w_star, "w")
        return self._loss(phi, np.linalg.norm(w, axis=-1, keepdims=True) * a)

    def gradients_unnormalised(self, w: Any, a: Any) -> Gradients:
        """Gradients of :meth:`loss_unnormalised`.

        Parameters
        ----------
        w, a : array_like, shapes (..., p) and (..., k)
            Filter (not zero) and output weights.
        """
        w, a = as_stack(w, "w", self.p), as_stack(a, "a", self.k)
        phi, norm = angle_between(w, self.w_star, "w"), np.linalg.norm(w, axis=-1)
        overlap = (a * self.a_star).sum(axis=-1)
        sums = a.sum(axis=-1)
        off_own = sums**2 - (a**2).sum(axis=-1)
        off_cross = sums * self.total - overlap
        ratio = self.filter_norm / norm
        along = (a**2).sum(axis=-1) / 2 + (off_own - ratio * (np.sin(phi) * overlap + off_cross)) / (
            2 * np.pi
        )
        towards = overlap * (np.pi - phi) / (2 * np.pi)
        by_filter = along[..., None] * w - towards[..., None] * self.w_star
        by_output = norm[..., None] * self._gradients(w, norm[..., None] * a, phi).output
        return Gradients(by_filter, by_output)

    def predict(self, Z: Any, w: Any, a: Any) -> Float64:
        """f(Z, w, a) for inputs `Z`, shape (n, p, k), with the filter w itself; shape (n,)."""
        Z = as_stack(Z, "Z", self.p, self.k)
        return np.asarray(np.maximum(np.einsum("npk,p->nk", Z, w), 0) @ np.asarray(a))

    def sample_terms(self, Z: Any, v: Any, a: Any) -> SampleTerms:
        """Loss and gradients of single inputs, weight-normalised: the finite model.

        Their means over Gaussian `Z` estimate :meth:`loss` and :meth:`gradients`; they share no
        formula with them. For a single teacher (no leading axes).

        Parameters
        ----------
        Z : array_like, shape (n, p, k)
            Inputs.
        v, a : array_like, shapes (p,) and (k,)
            Filter (not zero) and output weights.
        """
        Z = as_stack(Z, "Z", self.p, self.k)
        v, a = as_stack(v, "v", self.p), as_stack(a, "a", self.k)
        norm = float(np.linalg.norm(v))
        if norm == 0:
            raise ValueError("v: a zero vector has no direction")
        unit = v / norm
        hidden = np.einsum("npk,p->nk", Z, unit)
        error = np.maximum(hidden, 0) @ a - self.predict(Z, self.w_star, self.a_star)
        by_unit = error[:, None] * np.einsum("npk,nk->np", Z, (hidden > 0) * a)
        by_filter = (by_unit - (by_unit @ unit)[:, None] * unit) / norm
        return SampleTerms(0.5 * error**2, by_filter, error[:, None] * np.maximum(hidden, 0))

    def start(self, rng: np.random.Generator) -> tuple[Float64, Float64]:
        """Random initialisation of Theorem 5.4, for a single teacher (no leading axes).

        v is uniform on the unit sphere, a uniform in the ball of radius |1 . a*| W / sqrt(k); drawn
        in this order: p normals, k normals, one uniform. With 1 . a* = 0 the ball is a point.

        Returns
        -------
        v, a : ndarray, shapes (p,) and (k,)
        """
        v = rng.standard_normal(self.p)
        direction = rng.standard_normal(self.k)
        radius = abs(self.total) * self.filter_norm / math.sqrt(self.k) * rng.random() ** (1 / self.k)
        return v / np.linalg.norm(v), radius * direction / np.linalg.norm(direction)

    def good_start(self, v: Any, a: Any) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Whether a start meets Theorem 5.3's conditions: a.a* > 0, phi < pi/2, |1.a| <= W |1.a*|."""
        v, a = as_stack(v, "v", self.p), as_stack(a, "a", self.k)
        small = np.abs(a.sum(axis=-1)) <= self.filter_norm * np.abs(self.total)
        aligned = (v * self.w_star).sum(axis=-1) > 0
        return np.asarray(((a * self.a_star).sum(axis=-1) > 0) & aligned & small)

    def bad_start(self, v: Any, a: Any) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Whether a start meets Theorem 5.5's conditions, from which descent ends at the spurious point.

        a.a* < 0, |1.a| <= W |1.a*| and ``g(phi) <= 1 - 2 rho``, which needs rho <= 1/2 and a small
        step size.
        """
        v, a = as_stack(v, "v", self.p), as_stack(a, "a", self.k)
        small = np.abs(a.sum(axis=-1)) <= self.filter_norm * np.abs(self.total)
        away = correlation(angle_between(v, self.w_star)) <= 1 - 2 * self.ratio
        return np.asarray(((a * self.a_star).sum(axis=-1) < 0) & away & small)

    @property
    def spurious_output(self) -> Float64:
        """a_sp = W (11' + (pi-1) I)^{-1} (11' - I) a*, which with phi = pi is stationary; (..., k).

        (Lemma 5.1.) A local minimum that attracts if and only if :attr:`ratio` is below
        :func:`spurious_ratio`.
        """
        mean = self.total[..., None] / self.k
        along = mean * (self.k - 1) / (self.k + np.pi - 1)
        return np.asarray(self.filter_norm[..., None] * (along - (self.a_star - mean) / (np.pi - 1)))

    @property
    def spurious_loss(self) -> Float64:
        """Loss at the spurious stationary point."""
        along, across = self._parts
        k, pi = self.k, np.pi
        terms = along * (2 * k + pi - 2) / (k + pi - 1) + across * (pi - 2) / (pi - 1)
        return np.asarray(self.filter_norm**2 * terms / 4)

    @property
    def spurious_overlap(self) -> Float64:
        """a_sp . a*, negative where the spurious point attracts.

        There the minimum is degenerate in the angle (the loss rises by
        ``W |a_sp . a*| delta^3 / (6 pi)`` at phi = pi - delta), so that the angle converges only as
        ``pi - phi_t ~ 2 pi / (eta W |a_sp . a*| t)`` for |v| near 1.
        """
        along, across = self._parts
        terms = along * (self.k - 1) / (self.k + np.pi - 1) - across / (np.pi - 1)
        return np.asarray(self.filter_norm * terms)

    @property
    def _parts(self) -> tuple[Float64, Float64]:
        """Squared norm of a* along the vector of ones, and across it."""
        along = self.total**2 / self.k
        across = ((self.a_star - self.total[..., None] / self.k) ** 2).sum(axis=-1)
        return np.asarray(along), np.asarray(across)

    def descend(self, v: Any, a: Any, step_size: float, steps: int, *, record_every: int = 1) -> Descent:
        """Algorithm 1: gradient descent on the population loss, v and a updated at once.

        Parameters
        ----------
        v, a : array_like, shapes (..., p) and (..., k)
            Start; v not zero. All runs of the leading axes go together.
        step_size : float
            eta, below :func:`step_size_limit`.
        steps : int
            Number of steps.
        record_every : int, default 1
            Record step 0, every so many steps, and the last one.

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit, the step size makes the descent diverge, or v is zero.
        """
        v, a = as_stack(v, "v", self.p), as_stack(a, "a", self.k)
        step_size = check_positive_float(step_size, "step_size")
        if step_size >= step_size_limit(self.k):
            raise ValueError(
                f"step_size: must be below 4 pi / (k + pi - 1) = {step_size_limit(self.k):.4g}, "
                f"got {step_size:g}: the output weights would diverge"
            )
        steps = check_nonnegative_int(steps, "steps")
        record_every = check_positive_int(record_every, "record_every")
        recorded: list[tuple[Any, ...]] = []
        for step in range(steps + 1):
            phi = angle_between(v, self.w_star)
            if step % record_every == 0 or step == steps:
                recorded.append((step, *self._measure(v, a, phi)))
            if step < steps:
                slope = self._gradients(v, a, phi)
                v, a = v - step_size * slope.filter, a - step_size * slope.output
        columns = [np.array(column) for column in zip(*recorded, strict=True)]
        return Descent(columns[0], v, a, *columns[1:])

    def _measure(self, v: Float64, a: Float64, phi: Float64) -> tuple[Float64, ...]:
        """One record, in the order of the fields of Descent."""
        difference = a - self._target
        norms = np.linalg.norm(difference, axis=-1), np.abs(difference.sum(axis=-1))
        overlap = (a * self.a_star).sum(axis=-1)
        return phi, *norms, self._loss(phi, a), np.linalg.norm(v, axis=-1), overlap
