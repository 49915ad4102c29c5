"""Input laws for learning one filter: how patches lie about the teacher, to sample and to integrate.

The teacher's direction is the first axis (``w*/|w*| = e_1``). A single patch has a polar angle alpha in
[0, pi] to it, with a density, and is otherwise rotationally symmetric; its length is independent.
So for a filter w at angle phi the second moments of the regions

    S(w, w*)  = {w . Z >= 0, w* . Z >= 0}      S(w, -w*) = {w . Z >= 0, w* . Z < 0}

(Du, thesis 2019, Section 6.2) are one-dimensional integrals: a 2 x 2 block in the plane of w* and
w, and one number for all directions across it. With several patches around a common direction
(thesis, Section 6.4) they are two-dimensional integrals on the circle, p = 2.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from scipy.special import betainc, erf, gammaln, ndtr, ndtri

from lazygram.arrays import Float64, check_positive_float, check_positive_int

__all__ = [
    "FilterInputs",
    "GaussianInputs",
    "NearbyPatches",
    "PolarInputs",
    "RegionMoments",
    "SphereInputs",
    "TruncatedNormalInputs",
]

_NODES = 48  # of Gauss and Legendre's rule, per smooth piece
_REACH = 12.0  # standard deviations beyond which a normal density is below rounding


@dataclass(frozen=True)
class RegionMoments:
    """Second moments of the mean patches Z++, Z+-, Z-+ of regions (signs of w first, of w* second).

    Z++ = (1/k) sum_i Z_i 1{w . Z_i >= 0, w* . Z_i >= 0} and so on; k = 1 has no cross moments.

    Attributes
    ----------
    both, first : ndarray, shape (2, 2)
        E Z++ Z++' and E Z+- Z+-' in the plane of w* (first axis) and w.
    both_first, both_second, first_second : ndarray, shape (2, 2)
        E Z++ Z+-', E Z++ Z-+' and E Z+- Z-+'; not symmetric.
    both_across, first_across : float or None
        The eigenvalue of the first two in the directions across the plane; None for p = 2.
    """

    both: Float64
    first: Float64
    both_first: Float64
    both_second: Float64
    first_second: Float64
    both_across: float | None = None
    first_across: float | None = None

    def eigenvalues(self, which: str = "both") -> Float64:
        """Distinct eigenvalues of E Z++ Z++' ("both") or E Z+- Z+-' ("first"), ascending."""
        plane, across = (self.both, self.both_across) if which == "both" else (self.first, self.first_across)
        values = np.linalg.eigvalsh(plane)
        return np.sort(values if across is None else np.append(values, across))


class FilterInputs(Protocol):
    """What the constants of the theory need of a law of inputs."""

    @property
    def dim(self) -> int:
        """Length p of a patch."""

    @property
    def patches(self) -> int:
        """Number k of patches."""

    def moments(self, phi: float) -> RegionMoments:
        """Second moments of the regions for a filter at angle `phi` to the teacher."""

    def sample(self, count: int, rng: np.random.Generator) -> Float64:
        """Draw inputs; shape (count, k, p)."""


def _check_dim(dim: int) -> int:
    dim = check_positive_int(dim, "dim")
    if dim < 2:
        raise ValueError(f"dim: must be at least 2, got {dim}")
    return dim


def _check_sigma(sigma: float, name: str) -> float:
    """A positive standard deviation; infinity (a uniform law) is one."""
    return math.inf if sigma == math.inf else check_positive_float(sigma, name)


def _check_angle(phi: float) -> float:
    if not 0 <= phi <= math.pi:
        raise ValueError(f"phi: an angle in [0, pi] is needed, got {phi}")
    return float(phi)


def _truncated_density(x: Float64, sigma: float, half_width: float) -> Float64:
    """Density of N(0, sigma^2) conditioned on |x| <= half_width, for such x."""
    if sigma == math.inf:
        return np.full_like(x, 0.5 / half_width)
    mass = float(erf(half_width / (math.sqrt(2) * sigma)))
    return np.exp(-0.5 * (x / sigma) ** 2) / (math.sqrt(2 * math.pi) * sigma * mass)


def _truncated_sample(
    shape: tuple[int, ...], sigma: float, half_width: float, rng: np.random.Generator
) -> Float64:
    """Draws of that law, by inversion: one uniform each, for every sigma."""
    uniform = rng.random(shape)
    if sigma == math.inf:
        return np.asarray(half_width * (2 * uniform - 1))
    low, high = ndtr(-half_width / sigma), ndtr(half_width / sigma)
    angle = sigma * ndtri(low + uniform * (high - low))
    return np.asarray(np.clip(angle, -half_width, half_width))


@lru_cache
def _gauss(count: int) -> tuple[Float64, Float64]:
    """Gauss and Legendre's nodes and weights on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return (nodes + 1) / 2, weights / 2


def _pieces(edges: Sequence[float], low: float, high: float, count: int = _NODES) -> tuple[Float64, Float64]:
    """Nodes and weights on [low, high], split at `edges`, `count` to a piece.

    Each piece is mapped by (1 - cos) / 2, which makes square roots at its ends smooth.
    """
    inside = sorted({low, high, *(edge for edge in edges if low < edge < high)})
    nodes, weights = _gauss(count)
    unit, slope = (1 - np.cos(np.pi * nodes)) / 2, np.sin(np.pi * nodes) * np.pi / 2
    starts, lengths = np.array(inside[:-1])[:, None], np.diff(inside)[:, None]
    return (starts + lengths * unit).ravel(), (lengths * slope * weights).ravel()


def _unit_across(direction: Float64, rng: np.random.Generator) -> Float64:
    """Unit vectors, uniform among those orthogonal to the unit vectors `direction`, shape (..., p)."""
    u = rng.standard_normal(direction.shape)
    for _ in range(2):  # a vector almost along the direction keeps a rest of it after one projection
        u -= (u * direction).sum(axis=-1, keepdims=True) * direction
        u /= np.linalg.norm(u, axis=-1, keepdims=True)
    return u


@dataclass(frozen=True)
class PolarInputs(ABC):
    """One patch, rotationally symmetric about the teacher.

    Parameters
    ----------
    dim : int
        Length p of the patch, at least 2.

    Raises
    ------
    TypeError, ValueError
        If a parameter does not fit.
    """

    dim: int

    def __post_init__(self) -> None:
        _check_dim(self.dim)

    @property
    def patches(self) -> int:
        """One."""
        return 1

    @property
    def squared_length(self) -> float:
        """E |Z|^2."""
        return 1.0

    @abstractmethod
    def density(self, alpha: Float64) -> Float64:
        """Density of the polar angle on [0, pi]."""

    @abstractmethod
    def sample(self, count: int, rng: np.random.Generator) -> Float64:
        """Draw inputs; shape (count, 1, p)."""

    @property
    def edges(self) -> tuple[float, ...]:
        """Angles between which the density is smooth and of the scale of the piece."""
        return ()

    def moments(self, phi: float) -> RegionMoments:
        """A_{w,w*} and A_{w,-w*} for a filter at angle `phi`, to about 1e-13.

        Raises
        ------
        ValueError
            If `phi` is not in [0, pi].
        """
        phi = _check_angle(phi)
        corner = abs(math.pi / 2 - phi)  # where the boundary of {w . Z >= 0} begins to cut circles
        edges = (*self.edges, corner, math.pi - corner)
        zero = np.zeros((2, 2))
        both, both_across = self._region(phi, *_pieces(edges, 0.0, math.pi / 2))
        first, first_across = self._region(phi, *_pieces(edges, math.pi / 2, math.pi))
        return RegionMoments(both, first, zero, zero, zero, both_across, first_across)

    def _region(self, phi: float, alpha: Float64, weights: Float64) -> tuple[Float64, float | None]:
        """E ZZ' 1{w . Z >= 0} over polar angles at the nodes: block in the plane, number across."""
        mass = self.squared_length * weights * self.density(alpha)
        cos, sin = np.cos(alpha), np.sin(alpha)
        # With Z = cos(alpha) e_1 + sin(alpha) u the region is c = u . e_2 >= threshold.
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            threshold = -(math.cos(phi) * cos) / (math.sin(phi) * sin)
        threshold = np.clip(threshold, -1.0, 1.0)
        share, mean, rest = self._cap(threshold)
        plane = np.empty((2, 2))
        plane[0, 0] = (mass * cos**2 * share).sum()
        plane[0, 1] = plane[1, 0] = (mass * cos * sin * mean).sum()
        plane[1, 1] = (mass * sin**2 * (share - rest)).sum()
        if self.dim == 2:
            return plane, None
        return plane, float((mass * sin**2 * rest).sum() / (self.dim - 2))

    def _cap(self, threshold: Float64) -> tuple[Float64, Float64, Float64]:
        """P(c >= t), E c 1{c >= t} and E (1 - c^2) 1{c >= t}, c a coordinate of the sphere S^{p-2}."""
        if self.dim == 2:  # c is -1 or 1
            share = 0.5 * (threshold <= -1.0) + 0.5 * (threshold < 1.0)
            return share, 0.5 * (threshold < 1.0) - 0.5 * (threshold <= -1.0), np.zeros_like(share)
        m = self.dim - 2
        tail = (1 - threshold) / 2
        share = betainc(m / 2, m / 2, tail)
        log_scale = gammaln((m + 1) / 2) - gammaln(m / 2) - 0.5 * math.log(math.pi)
        mean = math.exp(log_scale) / m * (1 - threshold**2) ** (m / 2)
        rest = m / (m + 1) * betainc(m / 2 + 1, m / 2 + 1, tail)
        return share, mean, rest


@dataclass(frozen=True)
class TruncatedNormalInputs(PolarInputs):
    """The thesis' synthetic law (Section 6.4): unit patches that gather around w* and -w*.

    Z = s (cos theta e_1 + sin theta u): theta ~ N(0, sigma^2) conditioned on [-pi/2, pi/2], s = +-1
    with probability 1/2 each, u uniform on the unit sphere orthogonal to e_1.

    Parameters
    ----------
    dim : int
        p. The thesis does not say; for p = 2 alone sigma -> infinity is rotation invariant.
    sigma : float
        Standard deviation in radians (the thesis writes N(0, sigma)); ``inf`` is the uniform law.
    """

    sigma: float

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_sigma(self.sigma, "sigma")

    def density(self, alpha: Float64) -> Float64:
        """Density of the polar angle on [0, pi]; +w* and -w* are alike."""
        return _truncated_density(np.minimum(alpha, np.pi - alpha), self.sigma, math.pi / 2)

    @property
    def edges(self) -> tuple[float, ...]:
        """A few standard deviations from both poles."""
        marks = [m * self.sigma for m in (2.0, 5.0, _REACH)] if self.sigma < 1 else []
        return tuple(x for m in marks if m < math.pi / 2 for x in (m, math.pi - m))

    def sample(self, count: int, rng: np.random.Generator) -> Float64:
        """Draw inputs; shape (count, 1, p)."""
        theta = _truncated_sample((count, 1), self.sigma, math.pi / 2, rng)
        sign = np.where(rng.random((count, 1)) < 0.5, -1.0, 1.0)
        axis = np.zeros((count, self.dim))
        axis[:, 0] = 1.0
        Z = sign * (np.cos(theta) * axis + np.sin(theta) * _unit_across(axis, rng))
        return Z[:, None, :]


@dataclass(frozen=True)
class SphereInputs(PolarInputs):
    """Uniform on the unit sphere of R^p. For p = 2 A_{w,-w*} has eigenvalues (phi -+ sin phi)/(4 pi)."""

    def density(self, alpha: Float64) -> Float64:
        """Density of the polar angle: sin^(p-2), normalised."""
        log_scale = gammaln(self.dim / 2) - gammaln((self.dim - 1) / 2) - 0.5 * math.log(math.pi)
        return np.asarray(math.exp(log_scale) * np.sin(alpha) ** (self.dim - 2))

    def sample(self, count: int, rng: np.random.Generator) -> Float64:
        """Draw inputs; shape (count, 1, p)."""
        Z = rng.standard_normal((count, 1, self.dim))
        return np.asarray(Z / np.linalg.norm(Z, axis=-1, keepdims=True))


@dataclass(frozen=True)
class GaussianInputs(SphereInputs):
    """N(0, I_p). A_{w,-w*} has top eigenvalue (phi + sin phi)/(2 pi) for every p."""

    @property
    def squared_length(self) -> float:
        """E |Z|^2 = p."""
        return float(self.dim)

    def sample(self, count: int, rng: np.random.Generator) -> Float64:
        """Draw inputs; shape (count, 1, p)."""
        return rng.standard_normal((count, 1, self.dim))


@dataclass(frozen=True)
class NearbyPatches:
    """Several unit patches around a common direction (thesis, Section 6.4, Figure 6.3b).

    Z is a patch of `base`; ``Z_i = cos(psi_i) Z + sin(psi_i) u_i`` with psi_i ~ N(0, spread^2)
    conditioned on [-pi, pi] and u_i uniform on the unit sphere orthogonal to Z, all independent.

    Parameters
    ----------
    base : PolarInputs
        Law of the common direction; its patches must have unit length.
    count : int
        Number k of patches.
    spread : float
        sigma_2, in radians; ``inf`` is uniform.

    Raises
    ------
    TypeError, ValueError
        If a parameter does not fit.
    """

    base: PolarInputs
    count: int
    spread: float

    def __post_init__(self) -> None:
        check_positive_int(self.count, "count")
        _check_sigma(self.spread, "spread")
        if self.base.squared_length != 1.0:
            raise ValueError("base: unit patches are needed")

    @property
    def dim(self) -> int:
        """Length p of a patch."""
        return self.base.dim

    @property
    def patches(self) -> int:
        """k."""
        return self.count

    def sample(self, count: int, rng: np.random.Generator) -> Float64:
        """Draw inputs; shape (count, k, p)."""
        shape = (count, self.count)
        center = np.broadcast_to(self.base.sample(count, rng), (*shape, self.dim))
        psi = _truncated_sample((*shape, 1), self.spread, math.pi, rng)
        return np.asarray(np.cos(psi) * center + np.sin(psi) * _unit_across(center, rng))

    def moments(self, phi: float) -> RegionMoments:
        """Second moments of the regions for a filter at angle `phi`, p = 2, to about 1e-10.

        Given the common direction the patches are independent, so moments of two patches are
        products of integrals over one.

        Raises
        ------
        ValueError
            If `phi` is not in [0, pi], or p is not 2.
        """
        phi = _check_angle(phi)
        if self.dim != 2:
            raise ValueError(f"dim: moments of several patches are integrated for p = 2, not {self.dim}")
        half = math.pi / 2
        # On the circle, w* at angle 0 and w at phi.
        arcs = {"both": (phi - half, half), "first": (half, half + phi), "second": (-half, phi - half)}
        center, weight = self._centers(phi)
        means, squares = {}, {}
        for name, (low, high) in arcs.items():
            means[name], squares[name] = self._arc(center, low, high)
        pairs = (self.count - 1) / self.count

        def moment(one: str, other: str) -> Float64:
            product = pairs * np.einsum("n,ni,nj->ij", weight, means[one], means[other])
            if one == other:
                product += np.einsum("n,nij->ij", weight, squares[one]) / self.count
            return np.asarray(product)

        return RegionMoments(
            moment("both", "both"),
            moment("first", "first"),
            moment("both", "first"),
            moment("both", "second"),
            moment("first", "second"),
        )

    def _centers(self, phi: float) -> tuple[Float64, Float64]:
        """Nodes on (-pi, pi) for the common direction, and weights that contain its density."""
        half = math.pi / 2
        kinks = {-half, half, phi - half, phi + half}
        # An arc's integral changes over a few `spread` around its ends and around their antipodes,
        # where the truncation lies.
        steps = (0.0, 1.0, 2.5, 5.0, 8.0, _REACH)
        scale = self.spread if self.spread < 1 else 1.0
        near = {
            math.remainder(kink + turn + sign * step * scale, 2 * math.pi)
            for kink in kinks
            for turn in (0.0, math.pi)
            for step in steps
            for sign in (-1.0, 1.0)
            if step * scale < math.pi
        }
        poles = [sign * edge for edge in (0.0, *self.base.edges) for sign in (-1.0, 1.0)]
        nodes, weights = _pieces([*near, *poles], -math.pi, math.pi, 16)  # short pieces, many of them
        return nodes, 0.5 * weights * self.base.density(np.abs(nodes))

    def _arc(self, center: Float64, low: float, high: float) -> tuple[Float64, Float64]:
        """Integrals of z and zz' over directions in an arc, for patches around each center."""
        mean, square = np.zeros((len(center), 2)), np.zeros((len(center), 2, 2))
        nodes, weights = _gauss(_NODES)
        reach = min(math.pi, _REACH * self.spread)
        for turn in (-2 * math.pi, 0.0, 2 * math.pi):
            # The part of the arc within reach of the center; the kernel is smooth there.
            start = np.clip(low + turn - center, -reach, reach)
            length = np.clip(high + turn - center, -reach, reach) - start
            if not length.any():
                continue
            offset = start[:, None] + length[:, None] * nodes
            mass = length[:, None] * weights * _truncated_density(offset, self.spread, math.pi)
            angle = center[:, None] + offset
            z = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
            weighted = (mass[..., None] * z).swapaxes(1, 2)
            mean += weighted.sum(axis=-1)
            square += weighted @ z
        return mean, square
