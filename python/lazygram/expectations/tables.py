"""Tables of duals for one pair of standard deviations: polynomials of the correlation, with a tested error.

Two kinds, evaluated by the core (cpp/include/lazygram/duals/table.hpp): a Chebyshev series in rho where the
Hermite series converges fast, otherwise polynomials in x = sqrt((1 - |rho|) / 2) on panels graded towards
|rho| = 1, which resolve both the half-integer powers of kinked activations and the layer of width 1/s of
steep ones. Every table is compared with its generator at points that are not nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lazygram import _core
from lazygram.arrays import Float64
from lazygram.expectations.hermite import coefficients, long_coefficients
from lazygram.expectations.pairs import conditional_expectation

__all__ = ["DualTable", "chebyshev_nodes", "make_table", "monomials", "panel_edges", "panels_for"]

_EPS = float(np.finfo(np.float64).eps)
_HALF = float(np.sqrt(0.5))
_TOLERANCE = 4e-15  # of the tables' interpolation, relative to max |value|
_MAX_CHEBYSHEV = 128
_MAX_SERIES_SCALE = 32.0  # about 65 s^2 terms for tanh
_PANEL_CHOICES = (1, 2, 3, 4, 6, 8, 10, 12, 14, 16)
_SIZE_SINGLE, _SIZE_PANEL = 40, 22


@dataclass(frozen=True)
class DualTable:
    """A dual as a function of rho.

    Attributes
    ----------
    formula : lazygram._core.Dual
        What the core evaluates.
    error : float
        Estimate of the largest absolute error over rho in [-1, 1].
    kind : str
        ``"correlation"`` or ``"root"``.
    """

    formula: Any
    error: float
    kind: str


def _chebyshev_coefficients(values: Float64) -> Float64:
    """Coefficients of the interpolant through values at cos(pi (j + 1/2) / n), along the last axis."""
    n = values.shape[-1]
    # Extended precision where the platform has it: the sums' rounding would dominate the last coefficients.
    half = np.arange(n, dtype=np.longdouble) + np.longdouble(0.5)
    angles = np.outer(np.arange(n), half) * (np.arccos(np.longdouble(-1)) / n)
    coefficients = (values.astype(np.longdouble) @ np.cos(angles).T) * (np.longdouble(2) / n)
    coefficients[..., 0] /= 2
    result: Float64 = coefficients.astype(np.float64)
    return result


def chebyshev_nodes(n: int) -> Float64:
    half = np.arange(n, dtype=np.longdouble) + np.longdouble(0.5)
    result: Float64 = np.cos(half * (np.arccos(np.longdouble(-1)) / n)).astype(np.float64)
    return result


def _series_values(a: Float64, b: Float64, rho: Float64) -> Float64:
    """sum_k a_k b_k rho^k, small terms first, in extended precision where the platform has it."""
    product = a.astype(np.longdouble) * b
    total = np.zeros(rho.shape, dtype=np.longdouble)
    for c in product[::-1]:
        total = total * rho + c
    return total  # type: ignore[return-value]


def _series_near_one(product: Float64, x: Float64, negative: bool) -> Float64:
    """sum_k product_k rho^k at rho = +-(1 - 2 x^2), from log1p so that 1 - rho is not rounded."""
    log = np.log1p(np.maximum(-2.0 * x * x, -1.0 + 1e-16))
    total = np.zeros_like(x)
    signed = product * (-1.0) ** np.arange(product.size) if negative else product
    for begin in range(product.size, 0, -2048):
        k = np.arange(max(0, begin - 2048), begin)
        total += np.exp(np.outer(log, k)) @ signed[k]
    return total


def _correlation_table(
    a: Float64, b: Float64, error: float, *, at_any_error: bool = False
) -> DualTable | None:
    """a_0 b_0 + rho * (Chebyshev series); None where that needs too many terms, unless at any error."""
    at_zero, zero = float(a[0] * b[0]), np.zeros_like(a[1:])
    first, second = (a[1:], b[1:]) if a.size > 1 else (zero, zero)
    scale = max(float(np.sum(np.abs(a * b))), 1e-300)
    for n in (8, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, _MAX_CHEBYSHEV):
        c = _chebyshev_coefficients(_series_values(first, second, chebyshev_nodes(n)))
        resolved = np.sum(np.abs(c[-3:])) <= max(0.25 * _TOLERANCE * scale, 0.1 * error)
        if not (resolved or (at_any_error and n == _MAX_CHEBYSHEV)):
            continue
        keep = max(1, int(np.max(np.nonzero(np.abs(c) > 0.1 * _EPS * scale)[0], initial=0)) + 1)
        c = c[:keep]
        rho = np.concatenate([[-1.0, 1.0], np.cos(np.linspace(0.1, 3.1, 41))])
        mine = at_zero + rho * np.polynomial.chebyshev.chebval(rho, c)
        worst = float(np.max(np.abs(mine - _series_values(a, b, rho))))
        return DualTable(_core.Dual.correlation_table(at_zero, list(c)), worst + error, "correlation")
    return None


def panel_edges(panels: int, layer: float) -> Float64:
    """Boundaries on [0, sqrt(1/2)], geometric in x + layer."""
    edges: Float64 = np.geomspace(layer, layer + _HALF, panels + 1) - layer
    edges[0], edges[-1] = 0.0, _HALF
    return edges


def monomials(samples: Float64) -> Float64:
    """Coefficients of t^0, t^1, ... of the interpolants through rows of samples at Chebyshev nodes.

    Well conditioned here: the Chebyshev coefficients fall like 3.4^-k, the conversion grows like 2.4^k.
    """
    c = _chebyshev_coefficients(samples)
    n = samples.shape[-1]
    basis = np.zeros((n, n))
    for k in range(n):
        powers = np.polynomial.chebyshev.cheb2poly(np.eye(1, k + 1, k)[0])
        basis[k, : powers.size] = powers
    result: Float64 = c @ basis
    return result


def panels_for(scale: float) -> tuple[int, float, int]:
    """Panels, layer and coefficients per panel that resolve standard deviations up to `scale`."""
    layer = 0.5 / max(1.0, scale)
    octaves = float(np.log2(1.0 + _HALF / layer))
    wanted = 1 if octaves < 2.0 else 0.8 * octaves
    panels = next((n for n in _PANEL_CHOICES if n >= wanted), _PANEL_CHOICES[-1])
    return panels, layer, _SIZE_SINGLE if panels == 1 else 24


def _root_table(values: Callable[[Float64, bool], Float64], layer: float, error: float) -> tuple[Any, float]:
    """The fewest panels that reach the tolerance (or a tenth of the generator's error), and their error."""
    best: tuple[Any, float] | None = None
    octaves = np.log2(1.0 + _HALF / layer)
    for panels in _PANEL_CHOICES:
        if panels < 0.7 * octaves - 1.0 and panels != _PANEL_CHOICES[-1]:
            continue
        size = _SIZE_SINGLE if panels == 1 else _SIZE_PANEL
        edges = panel_edges(panels, layer)
        centre, half = 0.5 * (edges[1:] + edges[:-1]), 0.5 * np.diff(edges)
        x = centre[:, None] + half[:, None] * chebyshev_nodes(size)
        sides = [values(x.ravel(), negative).reshape(x.shape) for negative in (False, True)]
        samples = np.concatenate(sides)  # (2 panels, size)
        c = _chebyshev_coefficients(samples)
        scale = max(float(np.max(np.abs(samples))), 1e-300)
        tail = float(np.max(np.sum(np.abs(c[:, -3:]), axis=1)))
        tolerance = max(_TOLERANCE * scale, 0.1 * error)
        if tail > tolerance and panels != _PANEL_CHOICES[-1]:
            continue
        significant = np.nonzero(np.max(np.abs(c), axis=0) > 0.05 * _EPS * scale)[0]
        keep = max(1, int(np.max(significant, initial=0)) + 1)
        powers = np.stack([np.polynomial.chebyshev.cheb2poly(np.append(row[:keep], 0.0))[:keep] for row in c])
        if powers.shape[1] < keep:
            powers = np.pad(powers, ((0, 0), (0, keep - powers.shape[1])))
        formula = _core.Dual.root_table(
            list(edges[1:-1]),
            list(np.tile(centre, 2)),
            list(np.tile(1.0 / half, 2)),
            list(powers[:, ::-1].T.ravel()),
        )
        # Test between the nodes, at both ends of every panel included.
        local = np.concatenate([[-1.0, 1.0], np.cos(np.linspace(0.2, 3.0, 5))])
        t = centre[:, None] + half[:, None] * local
        worst = 0.0
        for side, negative in enumerate((False, True)):
            truth = values(t.ravel(), negative).reshape(t.shape)
            rows = powers[side * panels : (side + 1) * panels]
            mine = np.stack([np.polynomial.polynomial.polyval(local, row) for row in rows])
            worst = max(worst, float(np.max(np.abs(mine - truth))))
        best = (formula, worst)
        if worst <= 8 * tolerance:
            break
    assert best is not None
    return best


def make_table(
    phi: Callable[[Any], Any],
    kinks: tuple[float, ...],
    smoothed: Callable[[Any, Any], Any] | None,
    scale_u: float,
    scale_v: float,
    *,
    from_primitive: bool = False,
) -> DualTable:
    """Table of E[phi(u) phi(v)] over rho for standard deviations scale_u, scale_v.

    Parameters
    ----------
    phi, kinks, smoothed
        See :func:`lazygram.expectations.pairs.conditional_expectation`.
    scale_u, scale_v : float
        Standard deviations, >= 0.
    from_primitive : bool
        phi is a primitive of the function wanted (only through Hermite coefficients).
    """
    # Smooth activations through their Hermite coefficients; a custom one with unknown kinks as well, whose
    # error estimate then says how far that went.
    product: Float64 | None = None
    estimate = 0.0
    if (not kinks or from_primitive) and max(scale_u, scale_v) <= _MAX_SERIES_SCALE:
        scales = np.array([scale_u, scale_v])
        series = coefficients(phi, scales, from_primitive=from_primitive)
        a, b, estimate = *series.values, float(np.max(series.error))
        if not series.smooth:
            table = _correlation_table(a, b, estimate, at_any_error=True)
            assert table is not None
            return table
        usable = series.converged or from_primitive
        if not usable:
            longer = long_coefficients(phi, scales)
            if longer is not None:
                (a, b), estimate, usable = longer[0], float(np.max(longer[1])), True
        if usable:
            product = a * b
            if product.size <= 4096:
                table = _correlation_table(a, b, estimate)
                if table is not None:
                    return table

    def values(x: Float64, negative: bool) -> Float64:
        if product is not None:
            return _series_near_one(product, x, negative)
        return conditional_expectation(phi, kinks, smoothed, scale_u, scale_v, x, negative)

    layer = 0.5 / max(1.0, scale_u, scale_v)
    formula, worst = _root_table(values, layer, estimate)
    generator = estimate
    if product is None:
        # The generator's own error: the same with other panels' nodes.
        probe = np.array([0.0, 1e-3 * layer, 0.3 * layer, 0.2, 0.6, _HALF])
        generator = 0.0
        for negative in (False, True):
            fine = conditional_expectation(phi, kinks, smoothed, scale_u, scale_v, probe, negative, nodes=27)
            generator = max(generator, float(np.max(np.abs(fine - values(probe, negative)))))
    return DualTable(formula, worst + generator, "root")
