"""Duals of kinked or steep activations at many different variances, by interpolation in log(variance).

For phi whose only kink is at 0, phi(s z) is analytic in log s for every z, so Chebyshev interpolation in
log s converges geometrically: 16 nodes per octave reach rounding. The table of every pair of nodes comes
from the conditional expectation of :mod:`~lazygram.expectations.pairs`, whose quadrature grid is the same
for all nodes of an octave, so a whole octave pair is one matrix product per correlation. The core combines
the tables per entry (cpp/include/lazygram/duals/interpolation.hpp).

Kinks elsewhere (hard tanh) move with s and leave no such structure: those entries are integrated one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from lazygram import _core
from lazygram.arrays import Array, Float64
from lazygram.expectations.hermite import Coefficients, series
from lazygram.expectations.pairs import (
    conditional_expectation,
    expectation_matrix,
    mean_value,
)
from lazygram.expectations.tables import chebyshev_nodes, monomials, panel_edges, panels_for

__all__ = ["Interpolation", "interpolated", "many_coefficients", "many_means"]

Function = Callable[[Any], Any]
_Side = tuple[Float64, npt.NDArray[np.int32], Array]  # distinct scales, index per entry, variances

_NODES = 16  # per octave of the standard deviation
_DIRECT = 256  # fewer standard deviations than this get their own quadrature


@dataclass(frozen=True)
class _Grid:
    """Panels of x = sqrt((1 - |rho|) / 2), both signs of rho."""

    edges: Float64
    size: int

    @property
    def panels(self) -> int:
        return self.edges.size - 1

    @property
    def centre(self) -> Float64:
        result: Float64 = 0.5 * (self.edges[1:] + self.edges[:-1])
        return result

    @property
    def half(self) -> Float64:
        result: Float64 = 0.5 * np.diff(self.edges)
        return result


class _Key:
    """What a cached block belongs to: compared by activation and derivative, carries the functions."""

    def __init__(self, identity: tuple[Any, int], phi: Function, smoothed: Any) -> None:
        self.identity, self.phi, self.smoothed = identity, phi, smoothed

    def __hash__(self) -> int:
        return hash(self.identity)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.identity == other.identity


def _octave_nodes(octave: int) -> Float64:
    """Chebyshev nodes in log2 s on [octave, octave + 1]."""
    result: Float64 = 2.0 ** (octave + 0.5 + 0.5 * chebyshev_nodes(_NODES))
    return result


def _lagrange(scales: Float64, octave: int) -> Float64:
    """L_a(s), shape (len(scales), _NODES), by the barycentric formula."""
    t = 2.0 * (np.log2(scales) - octave) - 1.0
    nodes = chebyshev_nodes(_NODES)
    angles = np.pi * (np.arange(_NODES) + 0.5) / _NODES
    weights = np.sin(angles) * (-1.0) ** np.arange(_NODES)
    difference = t[:, None] - nodes
    exact = difference == 0.0
    terms = weights / np.where(exact, 1.0, difference)
    result: Float64 = terms / np.sum(terms, axis=1, keepdims=True)
    hit = exact.any(axis=1)
    result[hit] = exact[hit]
    return result


@lru_cache(maxsize=64)
def _block(key: _Key, low: int, high: int, panels: int, layer: float, size: int) -> Float64:
    """Monomial coefficients (node a of octave low, 2 panels, node b of octave high, size)."""
    grid = _Grid(panel_edges(panels, layer), size)
    u, v = _octave_nodes(low), _octave_nodes(high)
    x = grid.centre[:, None] + grid.half[:, None] * chebyshev_nodes(size)
    values = np.empty((_NODES, _NODES, 2, panels, size))
    for side, negative in enumerate((False, True)):
        for panel in range(panels):
            for n in range(size):
                values[:, :, side, panel, n] = expectation_matrix(
                    key.phi, key.smoothed, u, v, float(x[panel, n]), negative
                )
    coefficients = monomials(values.reshape(-1, size)).reshape(_NODES, _NODES, 2 * panels, size)
    result: Float64 = np.ascontiguousarray(coefficients.transpose(0, 2, 1, 3))
    return result


def many_means(mean: Callable[[float], float], kinks: tuple[float, ...], scales: Float64) -> Float64:
    """E phi(s Z) for very many s, interpolated in log s like :func:`many_coefficients`."""
    if scales.size <= _DIRECT or any(k != 0.0 for k in kinks):
        return np.array([mean(float(s)) for s in scales])
    result = np.empty(scales.size)
    positive, octave = _octaves(scales)
    for o in np.unique(octave):
        members = octave == o
        nodes = np.array([mean(float(s)) for s in _octave_nodes(int(o))])
        result[members] = _lagrange(positive[members], int(o)) @ nodes
    zero = scales == 0.0
    if zero.any():
        result[zero] = mean(0.0)
    return result


def many_coefficients(phi: Function, scales: Float64, *, from_primitive: bool = False) -> Coefficients:
    """Hermite coefficients as in :func:`~lazygram.expectations.hermite.series`, for very many scales.

    a_k(s) is interpolated in log s from the nodes of each octave instead of integrated per scale.
    """
    if scales.size <= _DIRECT:
        return series(phi, scales, from_primitive=from_primitive)
    positive, octave = _octaves(scales)
    parts: list[tuple[npt.NDArray[np.bool_], Float64, Coefficients]] = []
    for o in np.unique(octave[scales > 0.0]):
        nodes = series(phi, _octave_nodes(int(o)), from_primitive=from_primitive)
        members = (octave == o) & (scales > 0.0)
        parts.append((members, _lagrange(positive[members], int(o)), nodes))
    if not np.all(scales > 0.0):
        zero = scales == 0.0
        at_zero = series(phi, np.zeros(1), from_primitive=from_primitive)
        parts.append((zero, np.ones((int(np.sum(zero)), 1)), at_zero))
    terms = max(c.values.shape[1] for _, _, c in parts)
    values = np.zeros((scales.size, terms))
    length = np.zeros(scales.size, dtype=np.int32)
    error, quadrature = np.zeros(scales.size), np.zeros(scales.size)
    for members, weights, nodes in parts:
        values[members, : nodes.values.shape[1]] = weights @ nodes.values
        length[members] = np.max(nodes.length)
        error[members] = 2.0 * np.max(nodes.error)
        quadrature[members] = np.max(nodes.quadrature)
    return Coefficients(values, length, error, quadrature)


def _two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """a * b as a rounded product and its exact rounding error (Dekker)."""
    split = 134217729.0  # 2^27 + 1
    ah = split * a - (split * a - a)
    bh = split * b - (split * b - b)
    product = a * b
    cross = ah * (b - bh) + (a - ah) * bh
    return product, ((ah * bh - product) + cross) + (a - ah) * (b - bh)


def _half_chord(p: Array, q: Array, r: Array) -> Array:
    """sqrt((1 - |rho|) / 2) from p q - r^2 without cancellation, as the core computes it."""
    pq, lost_pq = _two_product(p, q)
    rr, lost_rr = _two_product(r, r)
    determinant = np.maximum((pq - rr) + (lost_pq - lost_rr), 0.0)
    m = np.sqrt(pq)
    scale = 2.0 * m * (m + np.abs(r))
    result: Array = np.sqrt(determinant / np.where(scale > 0.0, scale, 1.0))
    return result


def _one_by_one(
    phi: Function,
    kinks: tuple[float, ...],
    smoothed: Any,
    K: Array,
    first: _Side,
    second: _Side,
    out: Array,
) -> float:
    """Conditional expectation of every distinct (s_u, s_v, rho): slow, but without assumptions."""
    scales1, index1, var1 = first
    scales2, index2, var2 = second
    p, q, r = (np.asarray(a, dtype=np.float64) for a in (var1, var2, K))
    chord = _half_chord(p, q, r)
    # Symmetric in u and v bit for bit: the smaller scale is the outer variable.
    su, sv = scales1[index1], scales2[index2]
    columns = [np.minimum(su, sv), np.maximum(su, sv), chord, r < 0.0]
    rows, inverse = np.unique(
        np.stack([c.ravel().astype(np.float64) for c in columns], axis=1), axis=0, return_inverse=True
    )
    values = np.empty(rows.shape[0])
    error = 0.0
    for i, (u, v, x, negative) in enumerate(rows):
        at = np.array([min(x, np.sqrt(0.5))])
        values[i] = conditional_expectation(phi, kinks, smoothed, u, v, at, bool(negative))[0]
        if i % max(1, rows.shape[0] // 8) == 0:
            fine = conditional_expectation(phi, kinks, smoothed, u, v, at, bool(negative), nodes=27)[0]
            error = max(error, abs(float(fine - values[i])))
    out[...] = values[inverse.reshape(-1)].reshape(out.shape)
    return error


class Interpolation:
    """One dual at given standard deviations, ready for the core to combine tables per entry.

    Parameters
    ----------
    phi, kinks, smoothed
        See :func:`lazygram.expectations.pairs.conditional_expectation`; no kink but at 0.
    identity : tuple
        Hashable name of (activation, derivative), for the cache.
    scales : ndarray (S,)
        Standard deviations, increasing.
    codes : ndarray of int64, optional
        Pairs that will occur, ``smaller scale * 4096 + octave of the larger + 2048``, increasing; by default
        all. Each takes 10 to 50 KiB.
    """

    def __init__(
        self,
        phi: Function,
        kinks: tuple[float, ...],
        smoothed: Any,
        identity: tuple[Any, int],
        scales: Float64,
        codes: npt.NDArray[np.int64] | None = None,
    ) -> None:
        self._phi, self._kinks, self._smoothed, self._scales = phi, kinks, smoothed, scales
        self._key = _Key(identity, phi, smoothed)
        positive, self._octave = _octaves(scales)
        self._panels = panels_for(2.0 ** (int(self._octave.max()) + 1))
        panels, layer, size = self._panels
        size = -(-size // _core.INTERPOLATION_BLOCK) * _core.INTERPOLATION_BLOCK
        self._grid = _Grid(panel_edges(panels, layer), size)
        self._weights = np.empty((scales.size, _NODES))
        octaves = np.unique(self._octave)
        for o in octaves:
            members = self._octave == o
            self._weights[members] = _lagrange(positive[members], int(o))
        if codes is None:
            every = np.arange(scales.size)[:, None] * 4096 + octaves + 2048
            codes = every[octaves >= self._octave[:, None]]
        self._codes = codes
        self._contracted = np.empty((codes.size, 2 * panels * _NODES * size))
        for o in octaves:
            for other in np.unique(codes % 4096 - 2048):
                chosen = (self._octave[codes // 4096] == o) & (codes % 4096 - 2048 == other)
                if chosen.any():
                    block = self._block(int(o), int(other)).reshape(_NODES, -1)
                    self._contracted[chosen] = self._weights[codes[chosen] // 4096] @ block

    def _block(self, low: int, high: int) -> Float64:
        panels, layer, _ = self._panels
        return _block(self._key, low, high, panels, layer, self._grid.size)

    def __call__(self, K: Array, var1: Array, var2: Array) -> Array:
        """The dual of single entries, whose variances are among those of `scales`."""
        shape = (1, K.size)
        K, var1, var2 = (a.reshape(shape) for a in (K, var1, var2))
        one, two = (np.searchsorted(self._scales, np.sqrt(v), side="right") - 1 for v in (var1, var2))
        out = np.empty(shape)
        self.fill(K, (one, var1), (two, var2), out, 1)
        result: Array = out[0]
        return result

    def fill(
        self,
        K: Array,
        first: tuple[npt.NDArray[Any], Array],
        second: tuple[npt.NDArray[Any], Array],
        out: Array,
        threads: int,
    ) -> None:
        """Into `out`: sides are (index of each entry's scale, variances), all of the shape of K."""
        # The smaller scale is contracted, the larger weighted: symmetric bit for bit.
        low, high = np.minimum(first[0], second[0]), np.maximum(first[0], second[0])
        row = np.searchsorted(self._codes, low.astype(np.int64) * 4096 + self._octave[high] + 2048)
        _core.dual_interpolated(
            list(self._grid.edges[1:-1]),
            list(np.tile(self._grid.centre, 2)),
            list(np.tile(1.0 / self._grid.half, 2)),
            self._grid.size,
            self._contracted,
            self._weights,
            K,
            first[1],
            second[1],
            row.astype(np.int32),
            high.astype(np.int32),
            out,
            threads,
            None,
        )
        if self._scales[0] == 0.0:
            zero = low == 0
            out[zero] = self._means[0] * self._means[high[zero]]

    @cached_property
    def _means(self) -> Float64:
        result: Float64 = np.array([mean_value(self._phi, self._kinks, float(s)) for s in self._scales])
        return result

    def error(self) -> float:
        """Largest difference from the generator where nothing was interpolated from."""
        error = 0.0
        probe = np.array([0.0, 0.011, 0.3, 0.69])
        used = np.unique(self._octave[self._scales > 0.0])
        for o in (used[0], used[-1]):
            s, t = 2.0 ** (o + 0.31), 2.0 ** (used[-1] + 0.77)
            mine = _evaluate(
                self._grid,
                self._block(int(o), int(used[-1])),
                _lagrange(np.array([s]), int(o))[0],
                _lagrange(np.array([t]), int(used[-1]))[0],
                probe,
            )
            truth = conditional_expectation(
                self._phi, self._kinks, self._smoothed, float(s), float(t), probe, False, nodes=27
            )
            error = max(error, float(np.max(np.abs(mine - truth))))
        return error


def _octaves(scales: Float64) -> tuple[Float64, npt.NDArray[np.int64]]:
    """Scales with 1 for 0, and the octave of each."""
    positive = np.where(scales > 0.0, scales, 1.0)
    return positive, np.floor(np.log2(positive)).astype(np.int64)


def interpolated(
    phi: Function,
    kinks: tuple[float, ...],
    smoothed: Any,
    identity: tuple[Any, int],
    K: Array,
    first: _Side,
    second: _Side,
    out: Array,
    threads: int,
) -> float:
    """Fill `out` with the dual and return the estimate of its largest absolute error.

    Parameters
    ----------
    phi, kinks, smoothed
        See :func:`lazygram.expectations.pairs.conditional_expectation`.
    identity : tuple
        Hashable name of (activation, derivative), for the cache.
    K : ndarray (n1, n2)
        Covariances.
    first, second : tuple
        Distinct standard deviations (increasing), each entry's index into them (n1, n2), variances (n1, n2).
    out : ndarray (n1, n2)
        Result.
    threads : int
        Threads of the core.
    """
    scales1, index1, var1 = first
    scales2, index2, var2 = second
    scales = np.unique(np.concatenate([scales1, scales2]))
    if any(k != 0.0 for k in kinks) or K.size <= 256:
        return _one_by_one(phi, kinks, smoothed, K, first, second, out)
    one = np.searchsorted(scales, scales1)[index1]
    two = np.searchsorted(scales, scales2)[index2]
    low, high = np.minimum(one, two), np.maximum(one, two)
    codes = np.unique(low.astype(np.int64) * 4096 + _octaves(scales)[1][high] + 2048)
    prepared = Interpolation(phi, kinks, smoothed, identity, scales, codes)
    prepared.fill(K, (one, var1), (two, var2), out, threads)
    return prepared.error()


def _evaluate(grid: _Grid, block: Float64, a: Float64, b: Float64, x: Float64) -> Float64:
    """Readable version of the core's kernel for rho >= 0."""
    panel = np.searchsorted(grid.edges[1:-1], x, side="left")
    t = (x - grid.centre[panel]) / grid.half[panel]
    coefficients = np.einsum("apbn,a,b->pn", block, a, b)[panel]
    result: Float64 = np.sum(coefficients * t[:, None] ** np.arange(grid.size), axis=1)
    return result
