"""E[phi(u) phi(v)] for one pair of standard deviations and many correlations: what tables are made from.

With u = s_u x and v = s_v (rho x + tau z), tau = sqrt(1 - rho^2), x and z independent N(0, 1):

    E = E_x[ phi(s_u x) m(s_v rho x, s_v tau) ],   m(mu, t) = E phi(mu + t Z).

The outer rule is split at the kinks of phi(s_u x) and graded, with the width tau that smoothing leaves,
towards those of m; the inner expectation m is a closed form where the activation has one, otherwise a
second rule split at the kink, whose place depends on x. No assumption on smoothness beyond "analytic
between the kinks, with length scale 1 in u".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lazygram.arrays import Float64
from lazygram.expectations.rules import REACH, gauss_panels, graded_edges, line_rule, normal_density

__all__ = ["conditional_expectation", "expectation_matrix", "features_of", "mean_value"]

Function = Callable[[Any], Any]
Smoothed = Callable[[Any, Any], Any]

_INNER_REACH = 9.0  # exp(-81/2) = 2.6e-18 of a function that varies slowly out there


def features_of(kinks: tuple[float, ...], scale: float) -> tuple[Float64, Float64]:
    """Places and widths, in units of z, where phi(scale * z) has kinks or changes on the scale 1/scale."""
    if scale <= 0.0:
        return np.zeros(0), np.zeros(0)
    places = np.array(sorted({0.0, *kinks})) / scale
    return places, np.full(places.size, 0.5 / scale)


def mean_value(phi: Function, kinks: tuple[float, ...], scale: float, *, nodes: int = 24) -> float:
    """E[phi(scale * Z)] by a composite rule split at the kinks."""
    if scale <= 0.0:
        return float(np.asarray(phi(np.zeros(1)))[0])
    z, w = line_rule(*features_of(kinks, scale), nodes=nodes)
    return float(np.sum(w * np.asarray(phi(scale * z), dtype=np.float64)))


def _inner(phi: Function, kinks: tuple[float, ...], mean: Float64, deviation: float, nodes: int) -> Float64:
    """m(mean, deviation) for each mean, by quadrature over z in [-9, 9]."""
    reach = _INNER_REACH
    grid = np.linspace(-reach, reach, 13)
    parts = [np.broadcast_to(grid, (mean.size, grid.size))]
    for kink in sorted({0.0, *kinks}):
        place = (kink - mean) / deviation
        width = 0.5 / deviation
        levels = int(np.ceil(np.log2(1.0 / width))) + 1 if width < 1.0 else 0
        steps = width * 2.0 ** np.arange(levels)
        offsets = np.concatenate([[0.0], steps, -steps])
        parts.append(place[:, None] + offsets)
    edges = np.sort(np.clip(np.concatenate(parts, axis=1), -reach, reach), axis=1)
    z, w = gauss_panels(edges, nodes)
    values = np.asarray(phi(mean[:, None] + deviation * z), dtype=np.float64)
    result: Float64 = np.sum(values * w * normal_density(z), axis=1)
    return result


def _outer_rule(
    kinks: tuple[float, ...], scale_u: float, scale_v: float, rho: float, tau: float, nodes: int
) -> tuple[Float64, Float64]:
    """Nodes and weights (density included) for the outer expectation."""
    places, widths = features_of(kinks, scale_u)
    if abs(rho) * scale_v > 1e-12:
        others, _ = features_of(kinks, scale_v)
        places = np.concatenate([places, others / rho])
        # Never wider than the scale of phi itself, never finer than rounding of the place.
        width = min(0.5 / (abs(rho) * scale_v), 0.5 * tau / abs(rho)) if tau > 0.0 else 1.0
        widths = np.concatenate([widths, np.full(others.size, max(width, 1e-8))])
    z, w = gauss_panels(graded_edges(places, widths), nodes)
    return z, w * normal_density(z)


def _correlation_of(x: float, negative: bool) -> tuple[float, float]:
    """rho = +-(1 - 2 x^2) and sqrt(1 - rho^2)."""
    rho = (1.0 - 2.0 * x * x) * (-1.0 if negative else 1.0)
    return rho, 2.0 * x * float(np.sqrt(1.0 - x * x))


def _one(
    phi: Function,
    kinks: tuple[float, ...],
    smoothed: Smoothed | None,
    scale_u: float,
    scale_v: float,
    x: float,
    negative: bool,
    nodes: int,
) -> float:
    """One correlation, given as rho = +-(1 - 2 x^2)."""
    rho, tau = _correlation_of(x, negative)
    z, w = _outer_rule(kinks, scale_u, scale_v, rho, tau, nodes)
    mean, deviation = scale_v * rho * z, scale_v * tau
    if deviation * REACH < 1e-14 * max(1.0, abs(scale_v)):
        inner = np.asarray(phi(mean), dtype=np.float64)
    elif smoothed is not None:
        inner = np.asarray(smoothed(mean, deviation), dtype=np.float64)
    else:
        inner = _inner(phi, kinks, mean, deviation, max(12, nodes - 4))
    return float(np.sum(w * np.asarray(phi(scale_u * z), dtype=np.float64) * inner))


def conditional_expectation(
    phi: Function,
    kinks: tuple[float, ...],
    smoothed: Smoothed | None,
    scale_u: float,
    scale_v: float,
    x: Float64,
    negative: bool,
    *,
    nodes: int = 20,
) -> Float64:
    """E[phi(u) phi(v)] at rho = 1 - 2 x^2 (or its negative), x in [0, sqrt(1/2)].

    Parameters
    ----------
    phi : callable
        Vectorised function on float64 arrays.
    kinks : tuple of float
        Where phi or one of its derivatives jumps.
    smoothed : callable or None
        smoothed(mu, t) = E phi(mu + t Z) in closed form.
    scale_u, scale_v : float
        Standard deviations.
    x : ndarray (k,)
        sqrt((1 - |rho|) / 2).
    negative : bool
        Sign of rho.
    nodes : int
        Gauss-Legendre nodes per panel.

    Returns
    -------
    ndarray (k,)
    """
    if scale_u <= 0.0 or scale_v <= 0.0:
        value = mean_value(phi, kinks, scale_u) * mean_value(phi, kinks, scale_v)
        return np.full(x.size, value)
    return np.array([_one(phi, kinks, smoothed, scale_u, scale_v, float(t), negative, nodes) for t in x])


def expectation_matrix(
    phi: Function, smoothed: Smoothed | None, u: Float64, v: Float64, x: float, negative: bool
) -> Float64:
    """E[phi(u_a g) phi(v_b h)] for all pairs of scales at one correlation; kinks of phi at 0 only.

    Such kinks do not move with the scale, so one grid serves all pairs.

    Returns
    -------
    ndarray (len(u), len(v))
    """
    rho, tau = _correlation_of(x, negative)
    z, w = _outer_rule((), float(np.max(u)), float(np.max(v)), rho, tau, 20)
    outer = np.asarray(phi(u[:, None] * z), dtype=np.float64) * w
    inner = np.empty((v.size, z.size))
    for b, scale in enumerate(v):
        mean, deviation = scale * rho * z, scale * tau
        if tau * REACH < 1e-14:
            inner[b] = phi(mean)
        elif smoothed is not None:
            inner[b] = smoothed(mean, deviation)
        else:
            inner[b] = _inner(phi, (), mean, deviation, 16)
    result: Float64 = outer @ inner.T
    return result
